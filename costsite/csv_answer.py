"""Lists as CSV: streamed, and safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from django.http import StreamingHttpResponse
from django.utils.http import content_disposition_header

Row = TypeVar("Row")

_FORMULA = re.compile(r'^(?=[\t\r\n])|(^|[;,|\t\r\n])(?:[^\S\t\r\n]|")*[=+\-@＝＋－＠]')
"""What makes a spreadsheet compute a cell, or what follows where it splits one: at a semicolon in half the world, where
our quotes hold nothing together, and a pair of them with nothing between may stand before a formula.

Agents, models and tags are names that anyone may choose.
"""


_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
"""What computes to itself: an amount that is less than nothing stays one that can be added up."""


class Column(NamedTuple):
    title: str
    value: Callable[[Any], object]


class _Line:
    """A file for the csv module that hands back what was written to it."""

    def write(self, line: str) -> str:
        return line


def csv_answer(
    name: str, columns: Sequence[Column], rows: Iterable[Row], *, next_link: str = ""
) -> StreamingHttpResponse:
    """`rows` as a file `name`.csv, a line at a time. `next_link` says where the list goes on, when it does."""
    response = StreamingHttpResponse(_lines(columns, rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=f"{name}.csv")
    if next_link:
        response["Link"] = f'<{next_link}>; rel="next"'
    return response


def _lines(columns: Sequence[Column], rows: Iterable[Row]) -> Iterator[str]:
    writer = csv.writer(_Line())
    # Columns of a chart are named for what it draws: agents, models.
    yield str(writer.writerow([_cell(column.title) for column in columns]))
    for row in rows:
        yield str(writer.writerow([_cell(column.value(row)) for column in columns]))


def _cell(value: object) -> object:
    """`value` as text; unknown is empty, and text that a spreadsheet would compute gets an apostrophe before it."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        return value
    return _FORMULA.sub(_defused, value)


def _defused(found: re.Match[str]) -> str:
    """The same with an apostrophe before what would be computed."""
    separator = found.group(1) or ""
    return f"{separator}'{found.group()[len(separator) :]}"
