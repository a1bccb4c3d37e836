"""Lists as CSV: streamed, and safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
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

_MAY_COMPUTE = re.compile(r"[=+\-@＝＋－＠\t\r\n]")
"""All that `_FORMULA` finds has one of these, and most names have none."""
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
"""What computes to itself: an amount that is less than nothing stays one that can be added up."""


class Column(NamedTuple):
    title: str
    value: Callable[[Any], object]


def csv_answer(name: str, columns: Sequence[Column], rows: Iterable[Row]) -> StreamingHttpResponse:
    """`rows` as a file `name`.csv, a line at a time."""
    lines = ([[_cell(column.value(row)) for column in columns]] for row in rows)
    # Columns of a chart are named for what it draws: agents, models.
    return csv_of_chunks(name, [text_cell(column.title) for column in columns], lines)


def csv_of_chunks(
    name: str, titles: Sequence[str], chunks: Iterable[Iterable[Sequence[object]]], *, next_link: str = ""
) -> StreamingHttpResponse:
    """A file `name`.csv, a chunk of lines at a time, of cells as they are to stand there: text has been through
    `text_cell`. `next_link` says where the list goes on, when it does.
    """
    response = StreamingHttpResponse(_written(titles, chunks), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=f"{name}.csv")
    if next_link:
        response["Link"] = f'<{next_link}>; rel="next"'
    return response


def _written(titles: Sequence[str], chunks: Iterable[Iterable[Sequence[object]]]) -> Iterator[str]:
    piece = io.StringIO(newline="")
    writer = csv.writer(piece)
    writer.writerow(titles)
    for chunk in chunks:
        writer.writerows(chunk)
        yield piece.getvalue()
        piece.seek(0)
        piece.truncate()
    if piece.tell():
        yield piece.getvalue()


def _cell(value: object) -> object:
    """`value` as text; unknown is empty."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    return text_cell(value) if isinstance(value, str) else value


def text_cell(text: str) -> str:
    """`text`; what a spreadsheet would compute gets an apostrophe before it."""
    if not _MAY_COMPUTE.search(text) or _NUMBER.fullmatch(text):
        return text
    return _FORMULA.sub(_defused, text)


def _defused(found: re.Match[str]) -> str:
    """The same with an apostrophe before what would be computed."""
    separator = found.group(1) or ""
    return f"{separator}'{found.group()[len(separator) :]}"
