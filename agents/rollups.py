"""How calls become sums: the one vector that runs and rollups share, and where each call's vector goes.

Every change of the ledger is posted as a difference: a new call adds its vector, a replaced or repriced one takes
the old vector out and puts the new one in. Sums only ever move by differences, so writers need no common lock and a
rebuild can mend while they write.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final, NamedTuple, TypeVar

from django.db.models import Model

from agents.models import (
    AgentDay,
    LLMCall,
    ModelDay,
    TagDay,
    TagMonth,
    UsageDay,
    UsageMonth,
    WorkspaceDay,
    WorkspaceTagDay,
)
from agents.models.sums import SUM_COLUMNS
from agents.storage import Additions, Row, Storage
from langchain_plugin.wire import TokenCounts

Key = TypeVar("Key", bound=Hashable)
Sums = tuple[int, ...]
"""One number for each of `SUM_COLUMNS`, in their order."""

NO_SUMS: Sums = (0,) * len(SUM_COLUMNS)
_COST = SUM_COLUMNS.index("cost_microcents")

USAGE_KEY = ("workspace_id", "day", "agent_id", "provider", "model", "status", "effort")
AGENT_KEY = ("workspace_id", "day", "agent_id")
MODEL_KEY = ("workspace_id", "day", "provider", "model", "status")
UNTAGGED = ("",)
"""What a call without tags counts under: a list of tags that says nothing of the rest would look complete."""
TAG_KEY = ("workspace_id", "day", "tag", "agent_id")
WORKSPACE_TAG_KEY = ("workspace_id", "day", "tag")
WORKSPACE_KEY = ("workspace_id", "day")


def month_key(key: tuple[str, ...]) -> tuple[str, ...]:
    """Of a table of days, that of its months."""
    return (key[0], "month", *key[2:])


USAGE_MONTH_KEY, TAG_MONTH_KEY = month_key(USAGE_KEY), month_key(TAG_KEY)


def sums_of(
    tokens: TokenCounts, failed: bool, estimated: bool, local_cache_hit: bool, cost: int | None, saved: int
) -> Sums:
    """The vector of one call. `cost` (None: unpriced) and `saved` in microcents.

    An `estimated` call is one whose usage the provider did not report. Whether it has a price is another question: it
    may count as unpriced too.
    """
    return (
        1,
        1 if failed else 0,
        1 if estimated else 0,
        1 if cost is None else 0,
        1 if local_cache_hit else 0,
        *tokens,
        cost or 0,
        saved,
    )


def total(vectors: Sequence[Sums]) -> Sums:
    return vectors[0] if len(vectors) == 1 else tuple(map(sum, zip(*vectors, strict=True)))


def negative(sums: Sums) -> Sums:
    return tuple([-number for number in sums])


class Place(NamedTuple):
    """Where a call's sums go."""

    day: date
    agent_id: int
    provider: str
    model: str
    status: str
    effort: str
    tags: tuple[str, ...]
    run_id: str
    """As 32 hex digits, the way the write path names rows."""


def place_of(call: LLMCall) -> Place:
    """Where a stored call's sums stand."""
    return Place(
        call.day, call.agent_id, call.provider, call.model, call.status, call.effort, tuple(call.tags), call.run_id.hex
    )


def sums_of_stored(call: LLMCall) -> Sums:
    """A stored call's vector, as it was posted."""
    return sums_of(
        TokenCounts(*(getattr(call, name) for name in TokenCounts._fields)),
        call.status != LLMCall.Status.OK,
        call.usage_basis == LLMCall.UsageBasis.ESTIMATED,
        call.served_from_local_cache,
        call.cost_microcents,
        call.saved_microcents,
    )


class _Rollup(NamedTuple):
    """Sums that a call is counted in by its place alone."""

    table: type[Model]
    key: tuple[str, ...]
    keys_of: Callable[[Place], Iterable[tuple[Any, ...]]]
    """Of a place, the keys without the workspace: the day, and what else."""
    months: type[Model] | None = None
    """Of its days by month, under the same key but for the month."""


_ROLLUPS: Final = (
    _Rollup(UsageDay, USAGE_KEY, lambda place: (place[:6],), UsageMonth),
    _Rollup(AgentDay, AGENT_KEY, lambda place: ((place.day, place.agent_id),)),
    _Rollup(
        TagDay, TAG_KEY, lambda place: [(place.day, tag, place.agent_id) for tag in place.tags or UNTAGGED], TagMonth
    ),
    _Rollup(ModelDay, MODEL_KEY, lambda place: ((place.day, place.provider, place.model, place.status),)),
    _Rollup(WorkspaceTagDay, WORKSPACE_TAG_KEY, lambda place: [(place.day, tag) for tag in place.tags or UNTAGGED]),
)
"""In the order in which all writers lock them: what more batches touch comes later."""


class Postings:
    """What one transaction adds to a workspace's sums; `post_rollups` writes it, in an order all writers share."""

    def __init__(self, workspace_id: int) -> None:
        self.workspace_id = workspace_id
        self._vectors: dict[Place, list[Sums]] = defaultdict(list)
        self._runs_begun: dict[date, int] = defaultdict(int)
        self._may_empty = False

    def add(self, place: Place, sums: Sums) -> None:
        self._vectors[place].append(sums)

    def take_out(self, place: Place, sums: Sums) -> None:
        self._may_empty = True
        self.add(place, negative(sums))

    def run_begins(self, day: date) -> None:
        self._runs_begun[day] += 1

    def run_leaves(self, day: date) -> None:
        self._may_empty = True
        self._runs_begun[day] -= 1

    def post_rollups(self, storage: Storage, last: Additions | None = None) -> list[Row]:
        """Add to the rollups: the finest first, the row every batch of the workspace touches last and shortest. Behind
        them to `last`, where there are sums that more batches touch; what those come to.

        Keys are sorted, so two writers meet in the same order and neither waits for the other in a circle.
        """
        workspace_id, day_of = self.workspace_id, storage.day
        places = self._summed()
        additions = []
        for table, key, keys_of, months in _ROLLUPS:
            found = _grouped((one, sums) for place, sums in places for one in keys_of(place))
            additions.append(Additions(table, key, SUM_COLUMNS, self._rows(found, day_of)))
            if months is not None:
                of_months = _grouped(((day.replace(day=1), *rest), sums) for (day, *rest), sums in found.items())
                additions.append(Additions(months, month_key(key), SUM_COLUMNS, self._rows(of_months, day_of)))
        by_day = dict.fromkeys(self._runs_begun, NO_SUMS) | _grouped((place.day, sums) for place, sums in places)
        days = [(workspace_id, day_of(day), self._runs_begun.get(day, 0), *by_day[day]) for day in sorted(by_day)]
        additions.append(Additions(WorkspaceDay, WORKSPACE_KEY, ("runs", *SUM_COLUMNS), days))

        told = storage.add_up(additions, last)
        if self._may_empty:
            # A row that sums up nothing would make a replaced call differ from one that came right at once.
            for added in additions:
                storage.drop_empty(added)
        return told

    def _rows(self, found: Mapping[tuple[Any, ...], Sums], day_of: Callable[[date], str]) -> list[Row]:
        return [(self.workspace_id, day_of(day), *rest, *sums) for (day, *rest), sums in sorted(found.items())]

    def post_runs(self, storage: Storage) -> None:
        """Add to the sums of runs that exist, for changes that touch nothing else of them."""
        storage.add_to_runs([(self.workspace_id, run_id, *sums) for run_id, sums in sorted(self.by_run().items())])

    def spent(self) -> dict[tuple[int, date], int]:
        """Microcents that are added, by agent id and local day: 0 where what is added and taken out is the same."""
        spent: dict[tuple[int, date], int] = defaultdict(int)
        for place, sums in self._summed():
            if sums[_COST]:
                spent[place.agent_id, place.day] += sums[_COST]
        return spent

    def by_run(self) -> dict[str, Sums]:
        """What each run gains."""
        return _grouped((place.run_id, sums) for place, sums in self._summed())

    def _summed(self) -> list[tuple[Place, Sums]]:
        # The calls of a run mostly share their place: added up there first, and kept so, they are few for all the rest.
        for vectors in self._vectors.values():
            if len(vectors) > 1:
                vectors[:] = [total(vectors)]
        return [(place, vectors[0]) for place, vectors in self._vectors.items()]


def _grouped(summands: Iterable[tuple[Key, Sums]]) -> dict[Key, Sums]:
    groups: dict[Key, list[Sums]] = defaultdict(list)
    for key, sums in summands:
        groups[key].append(sums)
    return {key: total(vectors) for key, vectors in groups.items()}
