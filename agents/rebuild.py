"""Runs and rollups against the calls they sum up: what differs, and its mend.

One statement per workspace, day and table adds up the calls and takes the stored sums off. A statement sees one moment
of the database, so no lock is held while it reads, however long the day. And because sums only ever move by
differences, what it found stays right whatever is recorded, or moved to another day, before it is posted.

Not so what retention does: it deletes calls and leaves their sums. Its horizon is stored before anything is deleted, so
a comparison that missed a call was made behind a horizon that can be read by now. It is read again after each
comparison, and again where a difference is posted: what lies before it stays as it is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from typing import Any, Final
from uuid import UUID

from django.db import connection, models
from django.db.models import Max, Min

from agents.clock import Days, days_of, month_bounds, month_of
from agents.models import (
    AgentDay,
    AgentRunLog,
    LLMCall,
    ModelDay,
    ReportedRefusal,
    TagDay,
    TagMonth,
    UsageDay,
    UsageMonth,
    Workspace,
    WorkspaceDay,
    WorkspaceTagDay,
)
from agents.models.sums import SUM_COLUMNS
from agents.rollups import (
    AGENT_KEY,
    MODEL_KEY,
    NO_SUMS,
    TAG_KEY,
    TAG_MONTH_KEY,
    USAGE_KEY,
    USAGE_MONTH_KEY,
    WORKSPACE_KEY,
    WORKSPACE_TAG_KEY,
)
from agents.run_facts import RunFacts, end_from_stored
from agents.storage import Additions, Storage, storage
from agents.write_lock import writing
from langchain_plugin.wire import TokenCounts

MENDED_AT_ONCE: Final = 100
"""Differences in one transaction: well under 200 ms."""
A_ZONE: Final = timedelta(days=2)
"""More than two time zones put an instant apart, which is 26 hours."""

_CALL: Final = LLMCall._meta.db_table
_RUN: Final = AgentRunLog._meta.db_table
_REFUSAL: Final = ReportedRefusal._meta.db_table

_OF_A_CALL: Final = {
    "calls": "1",
    "failed_calls": "CASE WHEN c.status <> 'ok' THEN 1 ELSE 0 END",
    "estimated_calls": "CASE WHEN c.usage_basis = 'estimated' THEN 1 ELSE 0 END",
    "unpriced_calls": "CASE WHEN c.cost_microcents IS NULL THEN 1 ELSE 0 END",
    "local_cache_hits": "CASE WHEN c.served_from_local_cache THEN 1 ELSE 0 END",
    **{name: f"c.{name}" for name in TokenCounts._fields},
    "cost_microcents": "COALESCE(c.cost_microcents, 0)",
    "saved_microcents": "c.saved_microcents",
}
"""`rollups.sums_of` once more, in SQL: the two must agree, and the property test compares them."""
_ADDENDS: Final = ", ".join(f"{_OF_A_CALL[name]} AS {name}" for name in SUM_COLUMNS)
_NOTHING: Final = ", ".join(f"0 AS {name}" for name in SUM_COLUMNS)
_TAGS: Final = {
    "sqlite": """CROSS JOIN json_each(CASE c.tags WHEN '[]' THEN '[""]' ELSE c.tags END) AS tag""",
    "postgresql": "CROSS JOIN LATERAL jsonb_array_elements_text(CASE c.tags WHEN '[]' THEN '[\"\"]' ELSE c.tags END)"
    " AS tag(value)",
}
"""Each tag of a call; without any, `rollups.UNTAGGED`."""


@dataclass(frozen=True)
class Difference:
    """What must be added to a row of sums to make it right; a row that is not there counts as zeros."""

    workspace: Workspace
    day: date | None
    """Of the calls that were compared; none of a run's lies before it. None: days were compared, which all stay."""
    table: type[models.Model]
    key: tuple[Any, ...]
    """The values of the table's key behind the workspace; of a run, its id."""
    missing: dict[str, int]
    """By column. Of a run that is not there at all, nothing: it is made from its calls."""

    def __str__(self) -> str:
        where = " / ".join(str(part) for part in self.key if part != "")
        amounts = ", ".join(f"{name} {amount:+,}" for name, amount in self.missing.items() if amount)
        return f"{self.workspace.slug}: {self.table._meta.verbose_name} {where}: {amounts or 'is not there'}"


def differences(workspace: Workspace) -> Iterator[Difference]:
    """What is wrong in a workspace's runs and rollups, day by day. Days whose calls are gone stay as they are."""
    zone_name, retained_from = storage().ledger_state()
    days = days_of(zone_name)
    for day in _days(workspace, days, retained_from):
        found = [*_lost_runs(workspace, day), *_runs(workspace, day, days), *_rollups(workspace, day, days)]
        if found and not _is_gone(day):
            yield from found


def differences_of_months(workspace: Workspace, unposted: Sequence[Difference] = ()) -> Iterator[Difference]:
    """What is wrong in months, which are sums of days: of days as they stand, and for all times, for retention leaves
    both as they are. `unposted`: what days lack that nobody mended; months are then compared with what is right.
    """
    for table, key, of_days in ((UsageMonth, USAGE_MONTH_KEY, UsageDay), (TagMonth, TAG_MONTH_KEY, TagDay)):
        lacking: dict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
        for difference in unposted:
            if difference.table is of_days:
                day, *rest = difference.key
                lacking[day.replace(day=1), *rest].update(difference.missing)
        for month in _months(workspace, of_days, table):
            for of_month, missing in _month(workspace, month, table, key[2:], of_days):
                lacking[of_month].update(missing)
        for of_month, summed in sorted(lacking.items()):
            if any(summed.values()):
                yield Difference(workspace, None, table, of_month, {name: summed[name] for name in SUM_COLUMNS})


def mend(found: Iterator[Difference]) -> Iterator[Difference]:
    """Post differences, a bounded number in each transaction, and pass on each that was posted.

    A difference is posted once and by one process: two rebuilds at a time would post what both found.
    """
    while batch := list(islice(found, MENDED_AT_ONCE)):
        # Alone: what differs comes in an order of its own, and two orders of locking would deadlock on PostgreSQL.
        with writing(alone=True):
            standing = [one for one in batch if one.day is None or not _is_gone(one.day)]
            for difference in standing:
                _post(difference, storage())
        yield from standing


def _is_gone(day: date) -> bool:
    """Whether retention has let go of the day, or is about to."""
    retained_from = storage().ledger_state()[1]
    return retained_from is not None and day < retained_from


# ── finding ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _days(workspace: Workspace, days: Days, retained_from: date | None) -> Iterator[date]:
    ends: list[date] = []
    for table in (LLMCall, UsageDay, AgentDay, ModelDay, TagDay, WorkspaceTagDay, WorkspaceDay):
        span = table._default_manager.filter(workspace=workspace).aggregate(first=Min("day"), last=Max("day"))
        ends += [day for day in span.values() if day is not None]
    starts = AgentRunLog.objects.filter(workspace=workspace).aggregate(first=Min("started_at"), last=Max("started_at"))
    ends += [days.of(at) for at in starts.values() if at is not None]
    if not ends:
        return
    first, last = min(ends) - A_ZONE, max(ends) + A_ZONE
    day = max(first, retained_from) if retained_from else first
    while day <= last:
        yield day
        day += timedelta(days=1)


def _rollups(workspace: Workspace, day: date, days: Days) -> Iterator[Difference]:
    store = storage()
    of_day = "c.workspace_id = %s AND c.day = %s"
    here = [workspace.pk, store.day(day)]
    calls = f"FROM {_CALL} AS c WHERE {of_day}"
    tagged = f"FROM {_CALL} AS c {_TAGS[connection.vendor]} WHERE {of_day}"
    # Runs are counted on their day; their start is what is indexed. While a change of the time zone is under way, or
    # was interrupted, the two may be of different zones.
    begun = store.time(days.start(day - A_ZONE))
    ended = store.time(days.start(day + A_ZONE + timedelta(days=1)))
    for table, key, parts in (
        (
            UsageDay,
            ("workspace_id", *USAGE_KEY[2:]),
            [
                (
                    f"SELECT c.workspace_id, c.agent_id, c.provider, c.model, c.status, c.effort, {_ADDENDS} {calls}",
                    here,
                )
            ],
        ),
        (
            AgentDay,
            ("workspace_id", *AGENT_KEY[2:]),
            [(f"SELECT c.workspace_id, c.agent_id, {_ADDENDS} {calls}", here)],
        ),
        (
            ModelDay,
            ("workspace_id", *MODEL_KEY[2:]),
            [(f"SELECT c.workspace_id, c.provider, c.model, c.status, {_ADDENDS} {calls}", here)],
        ),
        (
            TagDay,
            ("workspace_id", *TAG_KEY[2:]),
            [(f"SELECT c.workspace_id, tag.value AS tag, c.agent_id, {_ADDENDS} {tagged}", here)],
        ),
        (
            WorkspaceTagDay,
            ("workspace_id", *WORKSPACE_TAG_KEY[2:]),
            [(f"SELECT c.workspace_id, tag.value AS tag, {_ADDENDS} {tagged}", here)],
        ),
        (
            WorkspaceDay,
            ("workspace_id",),
            [
                (f"SELECT c.workspace_id, 0 AS runs, {_ADDENDS} {calls}", here),
                (
                    f"SELECT workspace_id, 1 AS runs, {_NOTHING} FROM {_RUN}"
                    " WHERE workspace_id = %s AND day = %s AND started_at >= %s AND started_at < %s",
                    [*here, begun, ended],
                ),
            ],
        ),
    ):
        sums = ("runs", *SUM_COLUMNS) if table is WorkspaceDay else SUM_COLUMNS
        minus = ", ".join([*key, *(f"-{column} AS {column}" for column in sums)])
        parts.append((f"SELECT {minus} FROM {table._meta.db_table} AS c WHERE {of_day}", here))
        for row in _unbalanced(key, sums, parts):
            missing = dict(zip(sums, map(int, row[len(key) :]), strict=True))
            yield Difference(workspace, day, table, (day, *row[1 : len(key)]), missing)


def _months(workspace: Workspace, of_days: type[models.Model], table: type[models.Model]) -> list[date]:
    """The first days of those that have a row of either."""
    of_day = of_days._default_manager.filter(workspace=workspace).dates("day", "month")
    return sorted({*of_day, *table._default_manager.filter(workspace=workspace).dates("month", "month")})


def _month(
    workspace: Workspace, month: date, table: type[models.Model], key: Sequence[str], of_days: type[models.Model]
) -> Iterator[tuple[tuple[Any, ...], dict[str, int]]]:
    """Keys and what is missing, of the rows that do not agree with their days."""
    begin, end = map(storage().day, month_bounds(month_of(month)))
    columns = ", ".join([*key, *SUM_COLUMNS])
    minus = ", ".join([*key, *(f"-{column} AS {column}" for column in SUM_COLUMNS)])
    parts = [
        (
            f"SELECT {columns} FROM {of_days._meta.db_table} WHERE workspace_id = %s AND day >= %s AND day < %s",
            [workspace.pk, begin, end],
        ),
        (f"SELECT {minus} FROM {table._meta.db_table} WHERE workspace_id = %s AND month = %s", [workspace.pk, begin]),
    ]
    for row in _unbalanced(key, SUM_COLUMNS, parts):
        yield (month, *row[: len(key)]), dict(zip(SUM_COLUMNS, map(int, row[len(key) :]), strict=True))


def _runs(workspace: Workspace, day: date, days: Days, run_id: str | None = None) -> Iterator[Difference]:
    store = storage()
    if run_id is None:
        these = "r.workspace_id = %s AND r.started_at >= %s AND r.started_at < %s"
        here = [workspace.pk, store.time(days.start(day)), store.time(days.start(day + timedelta(days=1)))]
    else:
        these, here = "r.workspace_id = %s AND r.run_id = %s", [workspace.pk, run_id]
    of_run = "ON {0}.workspace_id = r.workspace_id AND {0}.run_id = r.run_id"
    sums = ("refused_calls", *SUM_COLUMNS)
    minus = ", ".join(f"-r.{column} AS {column}" for column in sums)
    parts = [
        (
            f"SELECT r.run_id, 0 AS refused_calls, {_ADDENDS} FROM {_RUN} AS r"
            f" JOIN {_CALL} AS c {of_run.format('c')} WHERE {these}",
            here,
        ),
        (
            f"SELECT r.run_id, f.count AS refused_calls, {_NOTHING} FROM {_RUN} AS r"
            f" JOIN {_REFUSAL} AS f {of_run.format('f')} WHERE {these}",
            here,
        ),
        (f"SELECT r.run_id, {minus} FROM {_RUN} AS r WHERE {these}", here),
    ]
    for row in _unbalanced(("run_id",), sums, parts):
        missing = dict(zip(sums, map(int, row[1:]), strict=True))
        yield Difference(workspace, day, AgentRunLog, (store.read_uuid(row[0]),), missing)


def _lost_runs(workspace: Workspace, day: date) -> Iterator[Difference]:
    """Calls whose run is not there."""
    store = storage()
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT c.run_id FROM {_CALL} AS c LEFT JOIN {_RUN} AS r"
            " ON r.workspace_id = c.workspace_id AND r.run_id = c.run_id"
            " WHERE c.workspace_id = %s AND c.day = %s AND r.id IS NULL",
            [workspace.pk, store.day(day)],
        )
        for (run_id,) in cursor.fetchall():
            yield Difference(workspace, day, AgentRunLog, (store.read_uuid(run_id),), {})


def _unbalanced(
    key: Sequence[str], sums: Sequence[str], parts: Sequence[tuple[str, Sequence[Any]]]
) -> list[tuple[Any, ...]]:
    """The sums of all parts by key, where any of them is not 0: a whole comparison in one statement."""
    wanted = ", ".join([*key, *(f"COALESCE(SUM({column}), 0)" for column in sums)])
    unequal = " OR ".join(f"SUM({column}) <> 0" for column in sums)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {wanted} FROM ({' UNION ALL '.join(sql for sql, _ in parts)}) AS part"
            f" GROUP BY {', '.join(key)} HAVING {unequal}",
            [value for _, values in parts for value in values],
        )
        return list(cursor.fetchall())


# ── mending ──────────────────────────────────────────────────────────────────────────────────────────────────────────

_KEYS: Final[dict[type[models.Model], tuple[str, ...]]] = {
    UsageDay: USAGE_KEY,
    UsageMonth: USAGE_MONTH_KEY,
    AgentDay: AGENT_KEY,
    ModelDay: MODEL_KEY,
    TagDay: TAG_KEY,
    TagMonth: TAG_MONTH_KEY,
    WorkspaceTagDay: WORKSPACE_TAG_KEY,
    WorkspaceDay: WORKSPACE_KEY,
}


def _post(difference: Difference, store: Storage) -> None:
    workspace = difference.workspace
    if difference.table is AgentRunLog:
        if not difference.missing:
            _revive(workspace, difference.key[0])
        else:
            _post_run(difference, store)
        return
    key = (store.day(part) if isinstance(part, date) else part for part in difference.key)
    row = (workspace.pk, *key, *difference.missing.values())
    added = Additions(difference.table, _KEYS[difference.table], tuple(difference.missing), [row])
    store.add_up([added])
    store.drop_empty(added)


def _post_run(difference: Difference, store: Storage) -> None:
    sums = tuple(difference.missing[name] for name in SUM_COLUMNS)
    store.add_to_runs([(difference.workspace.pk, difference.key[0], *sums)])
    run = AgentRunLog.objects.get(workspace=difference.workspace, run_id=UUID(difference.key[0]))
    refused = run.refused_calls + difference.missing["refused_calls"]
    end = end_from_stored(run.status, run.ended_at, run.error_type)
    AgentRunLog.objects.filter(pk=run.pk).update(
        refused_calls=refused, status=RunFacts(end=end, refused_calls=refused).status(run.calls)
    )


def _revive(workspace: Workspace, run_id: str) -> None:
    """Make a run anew from its calls, and count it on the day it began."""
    store = storage()
    days = days_of(store.ledger_state()[0])
    calls = LLMCall.objects.filter(workspace=workspace, run_id=UUID(run_id)).order_by("started_at", "id")
    first = calls.first()
    if first is None or AgentRunLog.objects.filter(workspace=workspace, run_id=UUID(run_id)).exists():
        return
    day = days.of(first.started_at)
    AgentRunLog.objects.create(
        workspace=workspace, agent_id=first.agent_id, run_id=UUID(run_id), started_at=first.started_at, day=day,
        thread_id=first.thread_id,
    )  # fmt: skip
    for difference in _runs(workspace, day, days, run_id):
        _post_run(difference, store)
    one_run = [(workspace.pk, store.day(day), 1, *NO_SUMS)]
    store.add_up([Additions(WorkspaceDay, WORKSPACE_KEY, ("runs", *SUM_COLUMNS), one_run)])
