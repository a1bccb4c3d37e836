"""What a client's times are moved by: by its clock, never by how long a batch waited."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

import pytest

from agents import client_clocks
from agents.client_clocks import ClientClocks

BATCHES: dict[str, Sequence[tuple[float, float, float | None]]] = {
    "agreed within a minute": [(0, 0, 0), (1, 60, 0), (2, -60, 0)],
    "ahead is believed at once": [(0, -61, -61), (1, -7200, -7200)],
    "behind is believed the second time, by the smallest": [
        (0, 7200, None), (1, 7201, 7200), (2, 7200.5, 7200), (60, 7199, 7199),
    ],
    "what waited for a server that stood still": [
        (0, 3600, None), (0.1, 3584, None), (0.4, 3569, None), (1.5, 0.2, 0),
    ],
    "a pause of a server that knew the client": [(0, 0, 0), (10, 3600, None), (11, 0.1, 0)],
    "a pause while the client is known to be ahead": [(0, -7200, -7200), (10, -6900, None), (11.5, -7199, -7200)],
    "a clock that was ahead and was set back too far": [(0, -7200, -7200), (10, 300, None), (12, 301, 300)],
    "a clock that was set right": [(0, 7200, None), (2, 7200, 7200), (9, 0, 0), (10, 7200, None)],
    "an old difference explains nothing": [(0, 7200, None), (1_000, 90_000, None), (1_001, 90_000, 90_000)],
    "the same body again": [(0, 900, None), (30, 930, 900)],
}  # fmt: skip
"""When a batch came, by how much that was after its sent_at, what its times are moved by (None: ask again)."""


@pytest.mark.parametrize("batches", BATCHES.values(), ids=BATCHES.keys())
def test_times_are_moved_by_the_clock_and_not_by_the_wait(batches: Sequence[tuple[float, float, float | None]]) -> None:
    clocks, client = ClientClocks(), uuid4()
    for monotonic, difference, moved_by in batches:
        expected = None if moved_by is None else timedelta(seconds=moved_by)
        assert clocks.shift(client, timedelta(seconds=difference), monotonic=monotonic) == expected


def test_clients_are_told_apart_and_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_clocks, "CLIENTS", 2)
    clocks, first, second, third = ClientClocks(), uuid4(), uuid4(), uuid4()
    behind = timedelta(hours=1)
    assert [clocks.shift(client, behind, monotonic=0) for client in (first, second, third)] == [None] * 3
    assert clocks.shift(third, behind, monotonic=2) == behind
    assert clocks.shift(first, behind, monotonic=2) is None, "the one not heard of for longest is asked again"
