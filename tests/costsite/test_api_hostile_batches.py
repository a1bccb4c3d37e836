"""Hostile events among good ones, over HTTP to a real server: no good one is lost, and each is counted once."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_plugin import wire
from tests.costsite.api_client import batch
from tests.end_to_end.live_site import LiveSite, exactly
from tests.factories import llm_call

LONGEST_SECONDS: Final = 30
GOOD: Final = "good-bot"

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(10**20, 10**40), st.floats(), st.text(max_size=20),
    st.sampled_from(["\x00", "\ud800", "9" * 400, "=1+1", "1e999", "\u202e", "llm_call", "measured", " "]),
)  # fmt: skip
JUNK = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=10,
)
CHANGES = st.dictionaries(
    st.one_of(st.sampled_from(sorted(wire.LLMCall.model_fields)), st.text(max_size=8)), JUNK, min_size=1, max_size=3
)
KINDS = st.sampled_from(["llm_call", "run_started", "run_ended", "refused", "unheard_of"])
ITEMS = st.lists(st.one_of(st.just(GOOD), JUNK, st.tuples(KINDS, CHANGES)), min_size=1, max_size=12)


def good() -> dict[str, Any]:
    now = datetime.now(UTC)
    call = llm_call(agent=GOOD, input_tokens=100, started_at=now, ended_at=now)
    return call.model_dump(mode="json")


def event_of(item: Any) -> Any:
    """A good event, junk, or a good event with something changed in it, which may still be taken."""
    if item == GOOD:
        return good()
    if isinstance(item, tuple):
        kind, changes = item
        return good() | {"agent": "hostile-bot", "type": kind} | changes
    return item


def test_good_events_arrive_beside_anything(site: LiveSite) -> None:
    sent = 0

    with httpx.Client(headers={"Authorization": f"Bearer {site.key}"}, timeout=LONGEST_SECONDS) as client:

        @settings(max_examples=150, deadline=None, derandomize=True, database=None)
        @given(items=ITEMS, packed=st.booleans())
        def report(items: list[Any], packed: bool) -> None:
            nonlocal sent
            body = json.dumps(batch(*map(event_of, items))).encode()
            headers = {"Content-Type": "application/json"} | ({"Content-Encoding": "gzip"} if packed else {})
            answer = client.post(
                f"{site.url}/api/v1/events", content=gzip.compress(body) if packed else body, headers=headers
            )

            assert answer.status_code == 200, answer.text
            receipt = wire.Receipt.model_validate_json(answer.content)
            fates = [*receipt.accepted, *receipt.duplicates, *(rejection.index for rejection in receipt.rejected)]
            assert sorted(fates) == list(range(len(items))), "each event has one fate"
            wanted = {index for index, item in enumerate(items) if item == GOOD}
            assert wanted <= set(receipt.accepted)
            sent += len(wanted)

        report()

    assert sent > 100
    assert site.recorded(GOOD) == exactly(sent)


def test_bytes_that_are_no_batch_are_refused_and_the_next_batch_is_taken(site: LiveSite) -> None:
    with httpx.Client(headers={"Authorization": f"Bearer {site.key}"}, timeout=LONGEST_SECONDS) as client:

        @settings(max_examples=100, deadline=None, derandomize=True, database=None)
        @given(
            body=st.one_of(st.binary(max_size=200), JUNK.map(lambda junk: json.dumps(junk).encode())),
            encoding=st.sampled_from(["", "gzip", "br", "identity"]),
        )
        def post(body: bytes, encoding: str) -> None:
            headers = {"Content-Type": "application/json"} | ({"Content-Encoding": encoding} if encoding else {})
            answer = client.post(f"{site.url}/api/v1/events", content=body, headers=headers)

            assert 400 <= answer.status_code < 500, answer.text
            wire.ErrorBody.model_validate_json(answer.content, extra="forbid")

        post()
        named = llm_call(agent=f"after-{uuid4()}", started_at=datetime.now(UTC), ended_at=datetime.now(UTC))
        answer = client.post(f"{site.url}/api/v1/events", json=batch(named))
    assert wire.Receipt.model_validate_json(answer.content).accepted == [0]
