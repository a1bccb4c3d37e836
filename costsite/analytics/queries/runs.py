"""Runs: pages of them, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import DateTimeField, Exists, Q, QuerySet, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce

from agents.models import Agent, AgentRunLog
from agents.models.visibility import (
    NAMED_WORKSPACES,
    VisibleQuerySet,
    is_superuser,
    sees_nothing,
    workspace_ids_of,
)
from agents.spend import Spend
from costsite.advice.models import RunReview
from costsite.analytics.periods import Calendar
from costsite.analytics.queries.plain import instant, plain_answer, plain_rows
from costsite.analytics.queries.run_filter import RunFilter, as_wanted, led_from, led_to

User = AbstractBaseUser | AnonymousUser

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

NEWEST_FIRST = ("-started_at", "-id")
OLDEST_FIRST = ("started_at", "id")
"""Six indexes have this order: of all runs, of each workspace's, of each agent's, and the same of each status."""
SIFTED_RUNS = 3_000
"""Looked through for one page."""


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
    rows, sifted_to = _wanted_first(user, calendar, wanted, before=before, after=after, most=limit + 1)
    found = RunRow.read(rows)
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


def columns_of_runs(
    user: User, calendar: Calendar, wanted: RunFilter, columns: Sequence[str], *, before: Cursor | None, limit: int
) -> tuple[list[tuple[Any, ...]], Cursor | None]:
    """The same runs by the thousand: these columns of them, as `plain` has rows, and where the rest goes on, if it
    does.
    """
    rows, sifted_to = _wanted_first(user, calendar, wanted, before=before, most=limit + 1)
    found = plain_rows(rows.values_list(*columns, "started_at", "id"))
    if len(found) <= limit:
        return [row[:-2] for row in found], sifted_to
    started_at, pk = found[limit - 1][-2:]
    return [row[:-2] for row in found[:limit]], Cursor(instant(started_at), pk)


def _wanted_first(
    user: User,
    calendar: Calendar,
    wanted: RunFilter,
    *,
    before: Cursor | None,
    after: Cursor | None = None,
    most: int,
) -> tuple[VisibleQuerySet[AgentRunLog], Cursor | None]:
    """The first `most` in their order, the oldest first where they are those after a place; and how far back was looked
    for them, where it was not to the end.
    """
    order, beyond = NEWEST_FIRST, Q()
    if after is not None:
        order = OLDEST_FIRST
        beyond = Q(Q(started_at__gt=after.started_at) | Q(id__gt=after.id), started_at__gte=after.started_at)
    elif before is not None:
        beyond = Q(Q(started_at__lt=before.started_at) | Q(id__lt=before.id), started_at__lte=before.started_at)
    part = _part(user, calendar, wanted, beyond)
    sifted_to = part.place_of(SIFTED_RUNS, order) if wanted.sifts else None
    end = part.place_of(most, order) if part.workspaces and not wanted.sifts else sifted_to
    rows = part.whole
    if end is not None:
        rows = rows.filter(_not_beyond(end, order))
    if wanted.sifts:
        rows = rows.filter(as_wanted(wanted, rows.db))
    return AgentRunLog.objects.firsts_of([rows], *part.sorted_by(order), most=most).order_by(*order), sifted_to


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
    part = _part(user, calendar, wanted, Q())
    rows = part.newest(most) if part.workspaces else part.whole
    return rows.order_by(*part.sorted_by(NEWEST_FIRST))[:most]


def newest_figures(
    user: User, calendar: Calendar, wanted: RunFilter, columns: Sequence[str], most: int
) -> list[tuple[Any, ...]]:
    """Columns of the newest `most`, newest first."""
    part = _part(user, calendar, wanted, Q())
    if part.workspaces:
        return part.first_figures(columns, most, NEWEST_FIRST)
    return plain_rows(newest_alone(user, calendar, wanted, most).values_list(*columns))


def newest_to_sum(user: User, calendar: Calendar, wanted: RunFilter, most: int) -> VisibleQuerySet[AgentRunLog]:
    """The newest `most`, and what began in the same instant as the last of them: to be added up where they are."""
    return _part(user, calendar, wanted, Q()).newest(most)


@dataclass(frozen=True)
class _Part:
    """The runs that one sees: each workspace's have an index in the order they are wanted in, or all have."""

    rows: VisibleQuerySet[AgentRunLog]
    since: datetime | None
    """`rows` leave it to be said."""
    workspaces: Sequence[int] = ()
    """Whose they are; empty: `rows` are these already, and have one index."""

    @property
    def whole(self) -> VisibleQuerySet[AgentRunLog]:
        """In no order: to have many workspaces' runs put into one is to read them all."""
        return self._from(self.since)

    def _from(self, *bounds: Any) -> VisibleQuerySet[AgentRunLog]:
        """The nearest bound first: SQLite walks from the one that it is told first, PostgreSQL by the one it knows."""
        rows = self._begun(*bounds)
        return rows.in_workspaces(self.workspaces) if self.workspaces else rows

    def _begun(self, *bounds: Any) -> VisibleQuerySet[AgentRunLog]:
        rows = self.rows
        for bound in bounds:
            rows = rows if bound is None else rows.filter(started_at__gte=bound)
        return rows

    def sorted_by(self, order: Sequence[str]) -> Sequence[Any]:
        """How `whole` is put in order. Of many workspaces by what no index has: in the order of all runs' index SQLite
        would walk everybody's to spare itself a sort.
        """
        if not self.workspaces:
            return order
        at = Coalesce("started_at", Value(EPOCH))
        return (at.desc() if order == NEWEST_FIRST else at.asc()), order[1]

    def newest(self, most: int) -> VisibleQuerySet[AgentRunLog]:
        """The newest `most` at least, and no more than began in the same instant as the last of them.

        They are a range of an index: to look them up by their ids, one by one, takes longer than to add them up.
        """
        statement, parameters = self._statement_for_place(most, NEWEST_FIRST)
        statement = f"SELECT started_at FROM ({statement}) AS last"
        if self.workspaces and self.since is not None:
            # Of a day there are rarely so many. To count them takes a tenth of what finding their place does.
            few, of_few = self.whole.order_by().values_list("id")[:most].query.sql_with_params()
            statement = f"SELECT CASE WHEN (SELECT COUNT(*) FROM ({few}) AS few) = {most} THEN ({statement}) END"
            parameters = [*of_few, *parameters]
        last = RawSQL(statement, parameters, output_field=DateTimeField())  # noqa: S611
        return self._from(Coalesce(last, Value(self.since or EPOCH)), self.since)

    def place_of(self, number: int, order: Sequence[str]) -> Cursor | None:
        """Where the run with this number is, counted from 1; None where there are fewer."""
        found = plain_answer(*self._statement_for_place(number, order))
        return Cursor(instant(found[0][0]), found[0][1]) if found else None

    def _statement_for_place(self, number: int, order: Sequence[str]) -> tuple[str, list[Any]]:
        """What reads `started_at` and `id` of the run with this number, from indexes alone, and its parameters."""
        if self.workspaces:
            statement, parameters = self._statement_of_firsts((), number, order)
            return f"{statement} LIMIT 1 OFFSET {number - 1}", parameters
        try:
            place = self.whole.order_by(*order).values_list("started_at", "id")[number - 1 : number]
            statement, of_place = place.query.sql_with_params()
        except EmptyResultSet:
            return "SELECT NULL AS started_at, NULL AS id WHERE 1 = 0", []
        return statement, list(of_place)

    def first_figures(self, columns: Sequence[str], most: int, order: Sequence[str]) -> list[tuple[Any, ...]]:
        """Columns of the first `most`, of many workspaces."""
        statement, parameters = self._statement_of_firsts(columns, most, order)
        return [row[2:] for row in plain_answer(f"{statement} LIMIT {most}", parameters)]

    def _statement_of_firsts(self, columns: Sequence[str], most: int, order: Sequence[str]) -> tuple[str, list[Any]]:
        """What reads `started_at`, `id` and more columns of all workspaces' runs in one order, the first `most` at
        least, and its parameters.

        A union of what an index has in this order each: databases merge these, and read no more of them than is wanted.
        PostgreSQL does when each part has its order and end, SQLite when it has neither. Django would write but one of
        the two, and take longer to write it than it takes to answer.
        """
        way = "DESC" if order == NEWEST_FIRST else "ASC"
        in_order = f"ORDER BY started_at {way}, id {way}"
        rows = self._begun(self.since).filter(workspace_id=_SOME_WORKSPACE).values_list("started_at", "id", *columns)
        statement, parameters = rows.query.sql_with_params()
        if connections[self.rows.db].vendor == "postgresql":
            statement = f"({statement} {in_order} LIMIT {most})"
        return (
            f"{' UNION ALL '.join([statement] * len(self.workspaces))} {in_order}",
            [pk if one == _SOME_WORKSPACE else one for pk in self.workspaces for one in parameters],
        )


_SOME_WORKSPACE = -1
"""Where a statement has the workspace; no other parameter is below 0."""


def _part(user: User, calendar: Calendar, wanted: RunFilter, beyond: Q) -> _Part:
    """The runs that an index leads to."""
    rows, since = led_to(calendar, wanted).filter(beyond), led_from(calendar, wanted)
    if wanted.agent_id is not None:
        # Whether the agent may be seen is asked once. "This agent's, of these workspaces" are for PostgreSQL two sets
        # of rows to lay over each other, all the workspaces' among them, and then to sort.
        seen = Agent.objects.visible_to(user).filter(pk=wanted.agent_id)
        return _Part(rows.filter(Exists(seen), agent_id=wanted.agent_id), since)
    if wanted.workspace_id is not None:
        return _Part(rows.filter(workspace_id=wanted.workspace_id).visible_to(user), since)
    if is_superuser(user):
        return _Part(rows, since)
    mine = [] if sees_nothing(user) else workspace_ids_of(user)
    if len(mine) == 1:
        return _Part(rows.filter(workspace_id=mine[0]), since)
    return _Part(rows, since, mine) if 1 < len(mine) <= NAMED_WORKSPACES else _Part(rows.visible_to(user), since)
