"""Files of tens of thousands of rows are written two at a time, and whoever comes meanwhile is told to come again.

Each takes a processor for most of a second. Eight at once took all threads, and leases and `/healthz` waited a minute.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Final, ParamSpec

from django.http import StreamingHttpResponse

AT_A_TIME: Final = 2
"""Per process."""
RETRY_AFTER_SECONDS: Final = 5
BUSY: Final = (
    f"{AT_A_TIME} large files are being written, and no more at a time, so that all else is answered meanwhile;"
    f" ask for this one again in {RETRY_AFTER_SECONDS} s."
)

_places = threading.BoundedSemaphore(AT_A_TIME)
Asked = ParamSpec("Asked")


class FilesBusyError(Exception):
    """So many large files are being written that this one has to be asked for again."""


def few_at_a_time(view: Callable[Asked, StreamingHttpResponse]) -> Callable[Asked, StreamingHttpResponse]:
    """`view`, with a place from its beginning until its answer is written or given up. FilesBusyError at once when
    there is none: one that waited would hold the thread that others need.
    """

    @wraps(view)
    def in_its_place(*args: Asked.args, **kwargs: Asked.kwargs) -> StreamingHttpResponse:
        if not _places.acquire(blocking=False):
            raise FilesBusyError
        try:
            answer = view(*args, **kwargs)
            answer.streaming_content = _UntilWritten(iter(answer), _places.release)
        except BaseException:
            _places.release()
            raise
        return answer

    return in_its_place


class _UntilWritten:
    """`pieces`; `end` is called after the last, when they are closed, or when nobody can ask for them any more."""

    def __init__(self, pieces: Iterator[bytes], end: Callable[[], None]) -> None:
        self._pieces = pieces
        # Called once, whoever is first: the server closes what it has answered.
        self.close = weakref.finalize(self, end)
        self.close.atexit = False

    def __iter__(self) -> _UntilWritten:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._pieces)
        except BaseException:
            self.close()
            raise
