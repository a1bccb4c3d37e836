"""The bytes of a batch: bounded, and unpacked with care."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from typing import Any

import pytest

from agents.models import LLMCall
from langchain_plugin import wire
from tests.costsite.api_client import EVENTS, KeyHolder, batch, error_of
from tests.factories import llm_call


def body(*events: Any) -> bytes:
    return json.dumps(batch(*(events or [llm_call()]))).encode()


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", " gzip "])
def test_a_gzipped_batch_is_read(acme: KeyHolder, encoding: str) -> None:
    response = acme.post(gzip.compress(body()), content_encoding=encoding)

    assert response.status_code == 200
    assert LLMCall.objects.count() == 1


def test_identity_is_no_encoding(acme: KeyHolder) -> None:
    assert acme.post(body(), content_encoding="identity").status_code == 200


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "x" * 5_000])
def test_another_encoding_is_refused_with_those_that_are_taken(acme: KeyHolder, encoding: str) -> None:
    response = acme.post(body(), content_encoding=encoding)

    assert response.status_code == 415
    assert error_of(response).code == "unsupported_encoding"
    assert "send the batch as gzip" in error_of(response).message
    assert response.headers["Accept-Encoding"] == "gzip, identity"


PACKED = gzip.compress(body())


@pytest.mark.parametrize(
    "broken",
    [
        PACKED[:-1],
        PACKED[: len(PACKED) // 2],
        b"",
        b"\x1f",
        PACKED + b"more",
        PACKED + PACKED,
        body(),
        zlib.compress(body()),
    ],
    ids=["without its last byte", "half", "empty", "one byte", "bytes after it", "twice", "plain text", "zlib"],
)
def test_broken_gzip_is_refused(acme: KeyHolder, broken: bytes) -> None:
    response = acme.post(broken, content_encoding="gzip")

    assert response.status_code == 400
    assert error_of(response).code == "bad_gzip"


def test_gzip_with_a_wrong_checksum_is_refused(acme: KeyHolder) -> None:
    response = acme.post(PACKED[:-8] + b"\x00\x00\x00\x00" + PACKED[-4:], content_encoding="gzip")

    assert (response.status_code, error_of(response).code) == (400, "bad_gzip")


def test_a_bomb_is_refused_before_it_takes_memory(acme: KeyHolder) -> None:
    bomb = gzip.compress(b" " * (200 * 1024 * 1024))
    assert len(bomb) < 300_000
    acme.post(b"")  # what the first request of all loads is not the bomb's

    tracemalloc.start()
    response = acme.post(bomb, content_encoding="gzip")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert response.status_code == 413
    assert error_of(response).code == "batch_too_large"
    assert peak < 4 * wire.MAX_BATCH_BYTES


def padded(size: int) -> bytes:
    """A good batch of exactly `size` bytes."""
    bare = body()
    return bare + b" " * (size - len(bare))


@pytest.mark.parametrize("packed", [False, True])
def test_the_limit_is_the_last_size_that_is_taken(acme: KeyHolder, packed: bool) -> None:
    def post(size: int) -> Any:
        sent = padded(size)
        return acme.post(gzip.compress(sent), content_encoding="gzip") if packed else acme.post(sent)

    assert post(wire.MAX_BATCH_BYTES).status_code == 200
    too_large = post(wire.MAX_BATCH_BYTES + 1)
    assert too_large.status_code == 413
    assert error_of(too_large).message == "The batch is over 2,097,152 bytes; send it in halves."


def test_a_length_over_the_limit_is_refused_without_reading(acme: KeyHolder) -> None:
    """The body behind the claim is short; had it been read, it would have been cut short instead."""
    response = acme.client.generic(
        "POST", EVENTS, body(), content_type="application/json", CONTENT_LENGTH=str(wire.MAX_BATCH_BYTES + 1)
    )

    assert response.status_code == 413


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", "not JSON (line 1, column 1)"),
        (b"<html>", "not JSON (line 1, column 1)"),
        (b'{"batch_id": ', "not JSON (line 1, column 14)"),
        (b"\xff\xfe\x00", "not JSON"),
        (b'{"a": 1} {"a": 2}', "not JSON (line 1, column 10)"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_what_is_not_json_is_refused(acme: KeyHolder, sent: bytes, said: str) -> None:
    response = acme.post(sent)

    assert (response.status_code, error_of(response).code) == (400, "not_json")
    assert said in error_of(response).message


def test_a_server_that_cannot_tell_where_a_chunked_body_ends_says_what_it_needs(acme: KeyHolder) -> None:
    response = acme.client.generic(
        "POST", EVENTS, b"", content_type="application/json", headers={"Transfer-Encoding": "chunked"}
    )

    assert (response.status_code, error_of(response).code) == (411, "length_required")
