"""Asking the site as a caller does, and seeing what that wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any, Final

from django.conf import settings
from django.db import connections, transaction
from django.test import Client

_WRITES: Final = re.compile(
    r"\s*(?:INSERT\s+(?:OR\s+\w+\s+)?INTO|REPLACE\s+INTO|UPDATE|DELETE\s+FROM)\s+\W?(\w+)", re.I
)
_NOT_COUNTED: Final = {"django_session"}
"""Reading a page may end an old session."""


class Written:
    """The tables that statements wrote at least a row of."""

    def __init__(self) -> None:
        self.tables: list[str] = []

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        found = _WRITES.match(sql)
        # An INSERT that returns its keys has not counted its rows yet.
        if found and found[1] not in _NOT_COUNTED and (sql.lstrip()[:1] in "Ii" or context["cursor"].rowcount):
            self.tables.append(found[1])
        return result


@contextmanager
def undone() -> Iterator[Written]:
    """What is done inside is taken back at the end, so that the next one asks the same site."""
    written = Written()
    with ExitStack() as stack:
        for alias in settings.DATABASES:
            stack.enter_context(connections[alias].execute_wrapper(written))
            stack.enter_context(transaction.atomic(using=alias))
        try:
            yield written
        finally:
            for alias in settings.DATABASES:
                transaction.set_rollback(True, using=alias)


@dataclass(frozen=True)
class Answer:
    cell: str
    """As the tables say it."""
    text: str
    headers: Mapping[str, str]
    wrote: Sequence[str]


def ask(client: Client, method: str, address: str, body: Any = None) -> Answer:
    """The answer to a form, to JSON as bytes, or to nothing sent."""
    cookies = deepcopy(client.cookies)  # of who logs out, for the next question
    with undone() as written:
        if isinstance(body, dict):
            response: Any = client.post(address, body)
        else:
            response = client.generic(method, address, body or b"", content_type="application/json")
        content = b"".join(response.streaming_content) if response.streaming else response.content
    client.cookies = cookies
    cell = str(response.status_code)
    if response.status_code == 302 and re.match(r"(/admin)?/login/", response.headers["Location"]):
        cell = "login"
    return Answer(
        cell + ("!" if written.tables else ""), content.decode("utf-8", "replace"), response.headers, written.tables
    )


class _Form(HTMLParser):
    """What a browser would send from the forms of a page, if nobody touched them."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: dict[str, Any] = {}
        self._select = self._text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        name = given.get("name") or ""
        if tag == "select":
            self._select = name
        elif tag == "option" and self._select and "selected" in given:
            self.sent[self._select] = given.get("value") or ""
        elif tag == "textarea":
            self._text, self.sent[name] = name, ""
        elif tag == "input" and name and self._is_sent(given):
            self.sent.setdefault(name, []).append(given.get("value") or "")

    def _is_sent(self, given: dict[str, str | None]) -> bool:
        kind = given.get("type") or "text"
        return kind not in ("submit", "button", "file") and (kind not in ("checkbox", "radio") or "checked" in given)

    def handle_data(self, data: str) -> None:
        if self._text:
            self.sent[self._text] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._text = ""


def form_on(client: Client, address: str) -> dict[str, Any]:
    form = _Form()
    form.feed(client.get(address).content.decode())
    form.sent.pop("csrfmiddlewaretoken", None)
    return form.sent
