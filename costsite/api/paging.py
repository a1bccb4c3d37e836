"""Pages by key instead of by offset: the hundredth page costs what the first does."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from costsite.api.errors import ApiError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Position(NamedTuple):
    """A place in a list ordered by start and id, newest first."""

    started_at: datetime
    id: int


def cursor_of(position: Position) -> str:
    """Opaque to clients, so that what it holds may change."""
    return _packed(f"{(position.started_at - _EPOCH) // _MICROSECOND}.{position.id}")


def position_of(cursor: str) -> Position:
    """ApiError 422 for anything that `cursor_of` did not make."""
    try:
        microseconds, row_id = (int(part) for part in _unpacked(cursor).split("."))
        if not 0 <= row_id < 2**63:
            raise _bad_cursor()
        return Position(_EPOCH + microseconds * _MICROSECOND, row_id)
    except (ValueError, OverflowError):
        raise _bad_cursor() from None


def name_cursor(name: str) -> str:
    """The cursor of a list ordered by a unique name."""
    return _packed(name)


def name_of(cursor: str) -> str:
    try:
        name = _unpacked(cursor)
    except ValueError:
        raise _bad_cursor() from None
    if "\x00" in name:
        raise _bad_cursor()
    return name


def _packed(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _unpacked(cursor: str) -> str:
    if len(cursor) > 2000:
        raise ValueError
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except binascii.Error as error:
        raise ValueError from error


def _bad_cursor() -> ApiError:
    return ApiError(
        422,
        "bad_parameter",
        "`after` is no cursor of this list; give the `next` of an earlier answer, or leave it out to begin.",
        details=[{"where": "after", "message": "not a cursor of this list"}],
    )
