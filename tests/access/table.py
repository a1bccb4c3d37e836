"""The tables beside this file: who asks for what, and what they are answered.

A line is a method, an address, and a cell for each caller of the heading. In an address `[a|b]` stands for both,
`{run}` for a row of the workspace Quartz, and `{}`, in the admin, for its row of that table; what follows a `#` says
which of several acts of one address is meant. A line `NAME = a|b` lets `[NAME]` stand for `[a|b]`.

A cell is the status, or `login` for the way to the login page; with `!` something is written, and without it nothing
may be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from django.http import HttpResponse
from django.urls import URLResolver, get_resolver, resolve

from costsite.health.probes import ProbeMiddleware

HERE: Final = Path(__file__).parent
PROBES: Final = frozenset(ProbeMiddleware(lambda _: HttpResponse())._probes)
_ONE_OF: Final = re.compile(r"\[([^\]]+)\]")


@dataclass(frozen=True)
class Row:
    method: str
    name: str
    """The address as the table has it, after `[a|b]` was written out."""
    cells: Mapping[str, str]
    """By caller."""

    @property
    def title(self) -> str:
        return f"{self.method} {self.name}"

    def address(self, rows: Mapping[str, object]) -> str:
        """Where it is in a world with these rows."""
        path, _, _ = self.name.partition("#")
        table = path.split("/")[3] if path.startswith("/admin/") and "{}" in path else ""
        return path.replace("{}", str(rows[table]) if table else "").format_map(rows)

    def route(self, rows: Mapping[str, object]) -> str:
        """The pattern of the URLconf that answers it; of a probe, which comes before that, its path."""
        path = self.address(rows).partition("?")[0]
        return path if path in PROBES else str(resolve(path).route)


def read(name: str) -> list[Row]:
    """The rows of a table, in its order."""
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    words = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    sets: dict[str, list[str]] = {}
    for name, choices in (line[::2] for line in words if line[1:2] == ["="]):
        sets.setdefault(name, []).extend(choices.split("|"))
    heading, *rest = [line for line in words if line[1:2] != ["="]]
    return [row for line in rest for row in _rows(heading, line, sets)]


def _rows(heading: list[str], words: list[str], sets: Mapping[str, list[str]]) -> Iterator[Row]:
    method, address, *cells = words
    if len(cells) != len(heading):
        raise ValueError(f"{method} {address} has {len(cells)} cells for {len(heading)} callers.")
    for name in _written_out(address, sets):
        yield Row(method, name, dict(zip(heading, cells, strict=True)))


def _written_out(address: str, sets: Mapping[str, list[str]]) -> Iterator[str]:
    found = _ONE_OF.search(address)
    if found is None:
        yield address
        return
    for choice in sets.get(found[1]) or found[1].split("|"):
        yield from _written_out(address.replace(found[0], choice, 1), sets)


def routes(resolver: Any = None, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every pattern that the site answers, with its view."""
    for pattern in (resolver or get_resolver()).url_patterns:
        route = before + str(pattern.pattern).removeprefix("^")  # as `resolve` joins them
        if isinstance(pattern, URLResolver):
            yield from routes(pattern, route)
        else:
            yield route, pattern.callback
