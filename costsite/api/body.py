"""The bytes of a request, read with a bound before and after inflating."""

from __future__ import annotations

import zlib

from django.http import HttpRequest

from costsite.api.errors import ApiError
from langchain_plugin.wire import MAX_BATCH_BYTES

_GZIP = 31
"""zlib's `wbits` for exactly the gzip format."""


def read_body(request: HttpRequest) -> bytes:
    """The body, inflated when it is gzip: at most `MAX_BATCH_BYTES` on the way and at the end.

    Raises ApiError: 413 too large, 415 an encoding other than gzip, 411 no length from a server that needs one,
    400 cut short or broken gzip.
    """
    encoding = request.META.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding not in {"", "identity", "gzip"}:
        raise ApiError(
            415,
            "unsupported_encoding",
            "Content-Encoding is neither gzip nor identity; send the batch as gzip, or plain without that header.",
            headers={"Accept-Encoding": "gzip, identity"},
        )
    sent = _read_sent(request)
    return inflate(sent) if encoding == "gzip" else sent


def _read_sent(request: HttpRequest) -> bytes:
    try:
        if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
            return _read_chunked(request)
        try:
            length = int(request.META.get("CONTENT_LENGTH") or 0)
        except ValueError:
            length = 0
        if length > MAX_BATCH_BYTES:
            raise _too_large()
        body = request.read(length)
    except OSError as error:  # Django wraps what its own stream meets in a kind of OSError; a server's stream may not
        raise _cut_short() from error
    if len(body) < length:
        raise _cut_short()
    return body


def _read_chunked(request: HttpRequest) -> bytes:
    """A body without a length. Django's stream would read it as empty; the server's own ends where the body does."""
    if not request.META.get("wsgi.input_terminated"):
        raise ApiError(411, "length_required", "Send a Content-Length; this server does not take chunked bodies.")
    pieces: list[bytes] = []
    left = MAX_BATCH_BYTES + 1
    while left > 0 and (piece := request.META["wsgi.input"].read(left)):
        pieces.append(piece)
        left -= len(piece)
    if left <= 0:
        raise _too_large()
    return b"".join(pieces)


def inflate(packed: bytes) -> bytes:
    """`packed` as gzip, inflated to at most `MAX_BATCH_BYTES`; a bomb costs that much memory and no more."""
    stream = zlib.decompressobj(wbits=_GZIP)
    try:
        body = stream.decompress(packed, MAX_BATCH_BYTES + 1)
    except zlib.error as error:
        raise ApiError(
            400, "bad_gzip", "The body is not gzip, though Content-Encoding says so; compress it again."
        ) from error
    if len(body) > MAX_BATCH_BYTES:
        raise _too_large()
    if not stream.eof or stream.unused_data:
        raise ApiError(400, "bad_gzip", "The gzip body is cut short or has bytes after its end; send it whole.")
    return body


def _too_large() -> ApiError:
    return ApiError(413, "batch_too_large", f"The batch is over {MAX_BATCH_BYTES:,} bytes; send it in halves.")


def _cut_short() -> ApiError:
    return ApiError(400, "body_cut_short", "The body ended before its Content-Length; send it again.")
