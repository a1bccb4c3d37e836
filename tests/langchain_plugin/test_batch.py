from __future__ import annotations

import json
from typing import NamedTuple

from langchain_plugin.batch import ENVELOPE_BYTES, gather
from langchain_plugin.fingerprints import Fingerprints
from langchain_plugin.losses import Losses
from langchain_plugin.segment import Line


class OneCall(NamedTuple):
    """A file in which one call lies: a source gives its first line, however long it is."""

    call_id: str

    def read(self, max_events: int, max_bytes: int) -> list[Line]:
        data = json.dumps({"type": "llm_call", "call_id": self.call_id, "padding": "x" * 600}).encode()
        return [Line(data, len(data) + 1)]

    def settle(self, end: int, lines: int) -> None:
        raise AssertionError("nothing is settled here")


def test_a_call_that_no_longer_fits_is_not_among_those_the_site_has_with_the_batch() -> None:
    sources = [OneCall("first"), OneCall("second")]
    batch = gather(sources, Fingerprints(Losses()), "", max_events=100, max_bytes=ENVELOPE_BYTES + 1_000)
    assert (len(batch.lines), batch.call_ids) == (1, ["first"])
