"""Every workspace one sees, day by day: one read that the dashboard adds up in several ways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import BigIntegerField, DateField, Func, Q, Sum, Value

from agents.models import Membership, Workspace, WorkspaceDay
from agents.models.visibility import is_superuser, remember_workspaces, sees_nothing
from agents.spend import NOTHING, Spend, known_cost
from costsite.analytics.periods import Cover, Days
from costsite.analytics.queries.plain import plain_rows
from costsite.analytics.queries.rollups import CostByDay, Spans, united, within
from costsite.analytics.queries.workspaces import Spender, WorkspaceFacts

User = AbstractBaseUser | AnonymousUser

COLUMNS = tuple(field.name for field in fields(Spend))
COSTS = ("calls", "unpriced_calls", "cost_microcents")
CALLS, UNPRICED, COST = map(COLUMNS.index, COSTS)


MOST_MEMBERSHIPS = 5_000
"""Read for one page; of a member, with their own."""


def my_workspaces(user: User) -> list[WorkspaceFacts]:
    """Every workspace one sees, by name; of a member, in the query that reads their memberships."""
    if sees_nothing(user):
        return []
    if is_superuser(user):
        rows = Workspace.objects.visible_to(user).order_by("name", "pk")
        return [WorkspaceFacts(row.pk, row.slug, row.name, row.archived_at is not None, True) for row in rows]
    mine = list(Membership.objects.filter(user=user.pk or 0).select_related("workspace"))
    remember_workspaces(user, [membership.workspace_id for membership in mine])
    facts = [
        WorkspaceFacts(
            one.workspace_id,
            one.workspace.slug,
            one.workspace.name,
            one.workspace.archived_at is not None,
            one.role == Membership.Role.OWNER,
        )
        for one in mine
    ]
    return sorted(facts, key=lambda workspace: (workspace.name, workspace.id))


@dataclass(frozen=True)
class Member:
    username: str
    name: str
    role: str


def workspace_with_members(user: User, slug: str) -> tuple[WorkspaceFacts, list[Member]] | None:
    """A workspace one sees, and who belongs to it, owners first; in one query, that of one's own memberships too."""
    if sees_nothing(user):
        return None
    if is_superuser(user):
        places: Any = Workspace.objects.visible_to(user).filter(slug=slug)
        of_it = places.values_list(
            "pk", "slug", "name", "archived_at", "memberships__user__username", "memberships__user__first_name",
            "memberships__user__last_name", "memberships__role",
        )[: MOST_MEMBERSHIPS]  # fmt: skip
        rows = list(of_it)
        if not rows:
            return None
        pk, slug, name, archived_at = rows[0][:4]
        facts = WorkspaceFacts(pk, slug, name, archived_at is not None, True)
        return facts, _members(row[4:] for row in rows if row[4] is not None)
    memberships = list(
        Membership.objects.filter(Q(user=user.pk or 0) | Q(workspace__slug=slug)).select_related("workspace", "user")[
            :MOST_MEMBERSHIPS
        ]
    )
    mine = [one for one in memberships if one.user_id == user.pk]
    remember_workspaces(user, [one.workspace_id for one in mine])
    my_own = next((one for one in mine if one.workspace.slug == slug), None)
    if my_own is None:
        return None
    place = my_own.workspace
    facts = WorkspaceFacts(
        place.pk, place.slug, place.name, place.archived_at is not None, my_own.role == Membership.Role.OWNER
    )
    return facts, _members(
        (one.user.get_username(), one.user.first_name, one.user.last_name, one.role)
        for one in memberships
        if one.workspace_id == place.pk
    )


def _members(rows: Iterable[tuple[str, str, str, str]]) -> list[Member]:
    owners_first = sorted(rows, key=lambda row: (row[3] != Membership.Role.OWNER, row[0]))
    return [
        Member(username, f"{first} {last}".strip(), str(Membership.Role(role).label))
        for username, first, last, role in owners_first
    ]


Row = tuple[int, ...]
"""Sums in the order of `COLUMNS` and, last, the runs that began."""


@dataclass(frozen=True)
class SiteDays:
    """Sums by workspace and day. A month that is read as one stands on its first day, with its calls and their cost
    alone: who wants more of it meets None.
    """

    rows: Mapping[int, Mapping[date, Row]]

    def spend(self, days: Days, workspace_id: int | None = None) -> Spend:
        return _added_up(self._rows(days, workspace_id))

    def runs(self, days: Days, workspace_id: int | None = None) -> int:
        return sum(row[-1] for row in self._rows(days, workspace_id))

    def cost(self, days: Days, workspace_id: int | None = None) -> int | None:
        """Microcents; None where calls were made and none of them has a price."""
        calls = unpriced = cost = 0
        for row in self._rows(days, workspace_id):
            calls, unpriced, cost = calls + row[CALLS], unpriced + row[UNPRICED], cost + row[COST]
        return known_cost(calls, unpriced, cost)

    def by_day(self, days: Days, workspace_id: int | None = None) -> dict[date, Spend]:
        """Calls and what they cost, on days that had calls."""
        found: dict[date, tuple[int, int, int]] = {}
        for of_one in self._of(workspace_id):
            for day, row in of_one.items():
                if row[CALLS] and days.start <= day < days.end:
                    calls, unpriced, cost = found.get(day, (0, 0, 0))
                    found[day] = calls + row[CALLS], unpriced + row[UNPRICED], cost + row[COST]
        return {
            day: Spend(calls=calls, unpriced_calls=unpriced, cost_microcents=cost)
            for day, (calls, unpriced, cost) in found.items()
        }

    def costs_by_day(self, days: Days) -> dict[int, CostByDay]:
        """Of each workspace."""
        return {
            workspace: {
                day: known_cost(row[CALLS], row[UNPRICED], row[COST])
                for day, row in of_one.items()
                if row[CALLS] and days.start <= day < days.end
            }
            for workspace, of_one in self.rows.items()
        }

    def spent_by_day(self, workspace_id: int | None = None) -> dict[date, int]:
        """Microcents of what has a price."""
        spent: dict[date, int] = {}
        for of_one in self._of(workspace_id):
            for day, row in of_one.items():
                spent[day] = spent.get(day, 0) + row[COST]
        return spent

    def _of(self, workspace_id: int | None) -> Iterable[Mapping[date, Row]]:
        return self.rows.values() if workspace_id is None else (self.rows.get(workspace_id, {}),)

    def _rows(self, days: Days, workspace_id: int | None) -> list[Row]:
        return [row for of_one in self._of(workspace_id) for day, row in of_one.items() if days.start <= day < days.end]


def _added_up(rows: list[Row]) -> Spend:
    return Spend(*list(map(sum, zip(*rows, strict=True)))[:-1]) if rows else NOTHING


class MonthOf(Func):
    """The first day of a day's month."""

    template = "SUBSTR(%(expressions)s, 1, 8) || '01'"
    output_field = DateField()

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, template="DATE_TRUNC('month', %(expressions)s)::date", **extra)


def site_days(user: User, cover: Cover, workspace_id: int | None = None) -> SiteDays:
    """At most the workspaces one sees, times the days and months."""
    rows: Any = WorkspaceDay.objects.visible_to(user).order_by()
    if workspace_id is not None:
        rows = rows.filter(workspace_id=workspace_id)
    columns = (*COLUMNS, "runs")
    parts = [rows.filter(within(days)).values_list("workspace_id", "day", *columns) for days in cover.days]
    if cover.months:
        # To add up all columns takes PostgreSQL as long as to pass all days on.
        nothing = Value(None, output_field=BigIntegerField())
        sums = {f"month_{name}": Sum(name) if name in COSTS else nothing for name in columns}
        of_months = rows.filter(within(cover.months)).annotate(month=MonthOf("day"))
        parts.append(of_months.values_list("workspace_id", "month").annotate(**sums))
    found: dict[int, dict[date, Row]] = {}
    for row in plain_rows(united(parts)):
        found.setdefault(row[0], {})[row[1]] = row[2:]
    return SiteDays(found)


def spenders_of(workspaces: Iterable[WorkspaceFacts], site: SiteDays, spans: Spans) -> list[Spender]:
    """Those that are live or had calls, the dearest this month first."""
    spenders = [
        Spender(
            id=one.id,
            name=one.name,
            slug=one.slug,
            month=site.spend(spans.month, one.id),
            compared=site.cost(spans.compared, one.id),
            before=site.cost(spans.before, one.id),
            shown=site.cost(spans.shown, one.id) or 0,
            runs=site.runs(spans.month, one.id),
            archived=one.archived,
        )
        for one in workspaces
        if not one.archived or one.id in site.rows
    ]
    return sorted(spenders, key=lambda spender: (-spender.month.cost_microcents, -spender.month.calls, spender.name))
