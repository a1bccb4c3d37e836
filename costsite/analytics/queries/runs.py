"""Runs: pages of them, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import EmptyResultSet
from django.db.models import DateTimeField, Exists, Q, QuerySet, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce

from agents.models import Agent, AgentRunLog
from agents.models.visibility import VisibleQuerySet
from agents.spend import Spend
from costsite.advice.models import RunReview
from costsite.analytics.periods import Calendar
from costsite.analytics.queries.plain import instant, plain_answer
from costsite.analytics.queries.run_filter import RunFilter, as_wanted, led_to

User = AbstractBaseUser | AnonymousUser

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

NEWEST_FIRST = ("-started_at", "-id")
OLDEST_FIRST = ("started_at", "id")
"""Six indexes have this order: of all runs, of each workspace's, of each agent's, and the same of each status."""
Parts = Sequence[VisibleQuerySet[AgentRunLog]]
"""Of the runs one sees, each in the order of an index."""
SIFTED_RUNS = 3_000
"""Looked through for one page."""
SIFTED_PARTS = 10
"""Of more, one statement that looks through each for itself takes longer to write than to answer."""


@dataclass(frozen=True)
class RunRow:
    id: int
    run_id: UUID
    agent_id: int
    agent_name: str
    workspace_id: int
    workspace_name: str
    workspace_slug: str
    started_at: datetime
    ended_at: datetime | None
    status: str
    status_label: str
    error_type: str
    refused_calls: int
    thread_id: str
    tags: tuple[str, ...]
    parent_run_id: UUID | None
    spend: Spend
    mark: str = ""
    """What made it unusual for its agent, in words; empty where the last review did not mark it."""

    @classmethod
    def read(cls, rows: QuerySet[AgentRunLog]) -> list[RunRow]:
        """All of `rows`, and what stands beside them in other tables, by one query."""
        return [cls._of(row) for row in rows.select_related("agent", "workspace", "review").defer("review__causes")]

    @classmethod
    def _of(cls, row: AgentRunLog) -> RunRow:
        review: RunReview | None = getattr(row, "review", None)
        return cls(
            id=row.pk,
            run_id=row.run_id,
            agent_id=row.agent_id,
            agent_name=str(row.agent),
            workspace_id=row.workspace_id,
            workspace_name=row.workspace.name,
            workspace_slug=row.workspace.slug,
            started_at=row.started_at,
            ended_at=row.ended_at,
            status=row.status,
            status_label=row.get_status_display(),
            error_type=row.error_type,
            refused_calls=row.refused_calls,
            thread_id=row.thread_id,
            tags=tuple(str(tag) for tag in row.tags),
            parent_run_id=row.parent_run_id,
            spend=Spend.of_row(row),
            mark=review.label if review else "",
        )

    @property
    def duration(self) -> timedelta | None:
        return self.ended_at - self.started_at if self.ended_at else None

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.started_at, self.id)


@dataclass(frozen=True)
class Cursor:
    """A place in the list of runs: right after (or before) the run that started then and has this id."""

    started_at: datetime
    id: int

    @property
    def place(self) -> tuple[datetime, int]:
        """Greater of what is newer."""
        return self.started_at, self.id

    def __str__(self) -> str:
        return f"{(self.started_at - EPOCH) // timedelta(microseconds=1)}-{self.id}"

    @classmethod
    def parse(cls, text: str) -> Cursor | None:
        """From a query string; what nobody could have followed a link to is None."""
        at, dash, pk = text.partition("-")
        if not (
            dash and at.isascii() and at.isdigit() and pk.isascii() and pk.isdigit() and len(at) < 17 and len(pk) < 19
        ):
            return None
        return cls(EPOCH + timedelta(microseconds=int(at)), int(pk))


@dataclass(frozen=True)
class RunPage:
    rows: tuple[RunRow, ...]
    newer: Cursor | None
    older: Cursor | None
    sifted_to: Cursor | None = None
    """How far back was looked for what no index leads to; None: to the end."""


def list_runs(
    user: User,
    calendar: Calendar,
    wanted: RunFilter,
    *,
    before: Cursor | None = None,
    after: Cursor | None = None,
    limit: int = 50,
) -> RunPage:
    """Runs older than `before`, or newer than `after`, or the newest; newest first, at most `limit`.

    What no index leads to is looked for among the next `SIFTED_RUNS` runs, so that the rarest of them takes no longer
    than any; the page then says how far it looked, and goes on from there.
    """
    order, beyond = NEWEST_FIRST, Q()
    if after is not None:
        order = OLDEST_FIRST
        beyond = Q(Q(started_at__gt=after.started_at) | Q(id__gt=after.id), started_at__gte=after.started_at)
    elif before is not None:
        beyond = Q(Q(started_at__lt=before.started_at) | Q(id__lt=before.id), started_at__lte=before.started_at)
    parts = _parts(user, calendar, wanted, beyond)
    sifted_to = _place_of(SIFTED_RUNS, parts, order) if wanted.sifts else None
    if parts and wanted.sifts:
        sought = as_wanted(wanted, parts[0].db)
        if len(parts) > SIFTED_PARTS:
            parts = [AgentRunLog.objects.firsts_of(parts, *order, most=SIFTED_RUNS).filter(sought)]
        else:
            sought &= _not_beyond(sifted_to, order) if sifted_to else Q()
            parts = [part.filter(sought) for part in parts]
    found = RunRow.read(AgentRunLog.objects.firsts_of(parts, *order, most=limit + 1).order_by(*order))
    more = len(found) > limit
    found = found[:limit]
    end = found[-1].cursor if more else sifted_to
    if after is not None:
        found.reverse()
        newer = (found[0].cursor if more and found else sifted_to) or None
        older = found[-1].cursor if found else after
        return RunPage(tuple(found), newer, older, None if more else sifted_to)
    newer = found[0].cursor if found else before
    return RunPage(tuple(found), newer if before is not None else None, end, None if more else sifted_to)


def _place_of(number: int, parts: Parts, order: Sequence[str]) -> Cursor | None:
    """Where the run with this number is, counted from 1; None where there are fewer."""
    found = plain_answer(*_statement_for_place(number, parts, order))
    return Cursor(instant(found[0][0]), found[0][1]) if found else None


def _statement_for_place(number: int, parts: Parts, order: Sequence[str]) -> tuple[str, list[Any]]:
    """What reads `started_at` and `id` of the run with this number, from indexes alone, and its parameters.

    A plain statement: of a union with an order and a bound in each of its parts, Django writes for SQLite one that
    looks each row up.
    """
    first = 0 if len(parts) > 1 else number - 1
    firsts, parameters = [], list[Any]()
    for part in parts:
        places = part.order_by(*order).values_list("started_at", "id")[first:number]
        try:
            statement, of_part = places.query.sql_with_params()
        except EmptyResultSet:
            continue
        firsts.append(f"SELECT started_at, id FROM ({statement}) AS part")
        parameters += of_part
    if not firsts:
        return "SELECT NULL AS started_at, NULL AS id WHERE 1 = 0", []
    if len(parts) == 1:
        return firsts[0], parameters
    way = "DESC" if order == NEWEST_FIRST else "ASC"
    statement = (
        f"SELECT started_at, id FROM ({' UNION ALL '.join(firsts)}) AS parts"
        f" ORDER BY started_at {way}, id {way} LIMIT 1 OFFSET {number - 1}"
    )
    return statement, parameters


def _not_beyond(end: Cursor, order: Sequence[str]) -> Q:
    """Up to that run, with it."""
    if order == NEWEST_FIRST:
        return Q(Q(started_at__gt=end.started_at) | Q(id__gte=end.id), started_at__gte=end.started_at)
    return Q(Q(started_at__lt=end.started_at) | Q(id__lte=end.id), started_at__lte=end.started_at)


def page_among(
    user: User, places: Sequence[Cursor], *, before: Cursor | None, after: Cursor | None, limit: int
) -> RunPage:
    """As `list_runs`, of runs whose places are known already, newest first."""
    if after is not None:
        newer_runs = [one for one in places if one.place > after.place]
        shown, more_newer = newer_runs[-limit:], len(newer_runs) > limit
    else:
        shown = [one for one in places if before is None or one.place < before.place][:limit]
        more_newer = bool(shown) and shown[0] != places[0]
    more_older = bool(shown) and shown[-1] != places[-1]
    rows = AgentRunLog.objects.visible_among(user, (one.id for one in shown)).order_by(*NEWEST_FIRST)
    return RunPage(tuple(RunRow.read(rows)), shown[0] if more_newer else None, shown[-1] if more_older else None)


def newest_alone(user: User, calendar: Calendar, wanted: RunFilter, most: int) -> QuerySet[AgentRunLog]:
    """The newest `most`, newest first, for what stands in their own rows: nothing is joined to them."""
    parts = _parts(user, calendar, wanted, Q())
    if len(parts) == 1:
        return parts[0].order_by(*NEWEST_FIRST)[:most]
    return AgentRunLog.objects.firsts_of(parts, *NEWEST_FIRST, most=most).order_by(*NEWEST_FIRST)


def newest_to_sum(user: User, calendar: Calendar, wanted: RunFilter, most: int) -> VisibleQuerySet[AgentRunLog]:
    """The newest `most`, and what began in the same instant as the last of them: to be added up where they are.

    They are a range of an index: to look them up by their ids, one by one, takes longer than to add them up.
    """
    parts = _parts(user, calendar, wanted, Q())
    rows = parts[0] if len(parts) == 1 else led_to(calendar, wanted).visible_to(user)
    statement, parameters = _statement_for_place(most, parts, NEWEST_FIRST)
    last = RawSQL(f"SELECT started_at FROM ({statement}) AS last", parameters, output_field=DateTimeField())  # noqa: S611
    return rows.filter(started_at__gte=Coalesce(last, Value(EPOCH)))


def _parts(user: User, calendar: Calendar, wanted: RunFilter, beyond: Q) -> Parts:
    """The runs that an index leads to, in parts that have one each."""
    rows = led_to(calendar, wanted).filter(beyond)
    if wanted.agent_id is not None:
        # Whether the agent may be seen is asked once. "This agent's, of these workspaces" are for PostgreSQL two sets
        # of rows to lay over each other, all the workspaces' among them, and then to sort.
        seen = Agent.objects.visible_to(user).filter(pk=wanted.agent_id)
        return [rows.filter(Exists(seen), agent_id=wanted.agent_id)]
    if wanted.workspace_id is not None:
        return [rows.filter(workspace_id=wanted.workspace_id).visible_to(user)]
    return rows.parts_visible_to(user)
