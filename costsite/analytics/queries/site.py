"""Every workspace one sees, day by day: one read that the dashboard adds up in several ways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import DateField, Func, Q, Sum

from agents.models import Membership, Workspace, WorkspaceDay
from agents.models.visibility import is_superuser, remember_workspaces, sees_nothing
from agents.spend import Spend, known_cost
from costsite.analytics.periods import NO_DAYS, Days
from costsite.analytics.queries.plain import plain_rows
from costsite.analytics.queries.rollups import COST, NULL, CostByDay, Spans, spend_of, united, within
from costsite.analytics.queries.workspaces import Spender, WorkspaceFacts

User = AbstractBaseUser | AnonymousUser

COLUMNS = tuple(field.name for field in fields(Spend))


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


Costs = tuple[int, int, int]
"""Calls, those of them without a price, and microcents."""


@dataclass(frozen=True)
class SiteDays:
    """What each workspace did this month, and what it cost day by day."""

    months: Mapping[int, tuple[Spend, int]]
    """Usage, as much of it as was asked for, and the runs that began; of workspaces that had any."""
    days: Mapping[int, Mapping[date, Costs]]
    """A month that is read as one stands on its first day."""
    earlier: Mapping[date, Costs]
    """Days that are compared with and nothing else, of all of them or of the one that is shown."""

    def month(self, workspace_id: int | None = None) -> Spend:
        return Spend.sum_of(spend for spend, _ in self._months(workspace_id))

    def month_runs(self, workspace_id: int | None = None) -> int:
        return sum(runs for _, runs in self._months(workspace_id))

    def spend(self, days: Days, workspace_id: int | None = None) -> Spend:
        """Calls and what they cost; no tokens."""
        return spend_of(*_added_up(self._within(days, workspace_id)))

    def cost(self, days: Days, workspace_id: int | None = None) -> int | None:
        """Microcents; None where calls were made and none of them has a price."""
        return known_cost(*_added_up(self._within(days, workspace_id)))

    def by_day(self, days: Days, workspace_id: int | None = None) -> dict[date, Spend]:
        """Calls and what they cost, on days that had calls; with those compared with, which are of what is shown."""
        found: dict[date, list[Costs]] = {}
        for of_one in (*self._of(workspace_id), self.earlier):
            for day, costs in of_one.items():
                if costs[0] and days.start <= day < days.end:
                    found.setdefault(day, []).append(costs)
        return {day: spend_of(*_added_up(of_day)) for day, of_day in found.items()}

    def costs_by_day(self, days: Days) -> dict[int, CostByDay]:
        """Of each workspace."""
        return {
            workspace: {
                day: known_cost(*costs) for day, costs in of_one.items() if costs[0] and days.start <= day < days.end
            }
            for workspace, of_one in self.days.items()
        }

    def spent_by_day(self, workspace_id: int | None = None) -> dict[date, int]:
        """Microcents of what has a price."""
        spent: dict[date, int] = {}
        for of_one in self._of(workspace_id):
            for day, (_, _, cost) in of_one.items():
                spent[day] = spent.get(day, 0) + cost
        return spent

    def _months(self, workspace_id: int | None) -> Iterable[tuple[Spend, int]]:
        if workspace_id is None:
            return self.months.values()
        return [self.months[workspace_id]] if workspace_id in self.months else []

    def _of(self, workspace_id: int | None) -> Iterable[Mapping[date, Costs]]:
        return self.days.values() if workspace_id is None else (self.days.get(workspace_id, {}),)

    def _within(self, days: Days, workspace_id: int | None) -> list[Costs]:
        return [
            costs for of_one in self._of(workspace_id) for day, costs in of_one.items() if days.start <= day < days.end
        ]


def _added_up(costs: Sequence[Costs]) -> Costs:
    calls, unpriced, microcents = map(sum, zip(*costs, strict=True)) if costs else (0, 0, 0)
    return calls, unpriced, microcents


class MonthOf(Func):
    """The first day of a day's month."""

    template = "SUBSTR(%(expressions)s, 1, 8) || '01'"
    output_field = DateField()

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, template="DATE_TRUNC('month', %(expressions)s)::date", **extra)


def site_days(
    user: User, spans: Spans, drawn: Days = NO_DAYS, *, only: int | None = None, compared: int | None = None
) -> SiteDays:
    """At most the workspaces one sees, times the days and months.

    `drawn`: months of what is shown that stand on their first day alone. `only`: a workspace's id; of one the month has
    all its sums, of each of many its calls, what they cost, and how many are estimated. `compared`: a workspace's id,
    where of all of them one is shown.
    """
    rows: Any = WorkspaceDay.objects.visible_to(user).order_by()
    if only is not None:
        rows = rows.filter(workspace_id=only)
    of_month = ("estimated_calls",) if only is None else tuple(name for name in COLUMNS if name not in COST)
    columns = (*COST, *of_month, "runs")
    cover = spans.cover(drawn, but_earlier=True)
    parts = [rows.filter(within(days)).values_list("workspace_id", "day", *columns) for days in cover.days]
    # Of sums over days no more is asked for, and to add up all takes PostgreSQL as long as to pass all days on.
    sums = {f"sum_{name}": Sum(name) if name in COST else NULL for name in columns}
    if cover.months:
        of_months = rows.filter(within(cover.months)).annotate(month=MonthOf("day"))
        parts.append(of_months.values_list("workspace_id", "month").annotate(**sums))
    of_shown = rows if compared is None else rows.filter(workspace_id=compared)
    for days in spans.earlier:
        parts.append(of_shown.filter(within(days)).annotate(of_all=NULL).values_list("of_all", "day").annotate(**sums))

    by_day: dict[int, dict[date, Costs]] = {}
    earlier: dict[date, Costs] = {}
    of_this_month: dict[int, list[tuple[int, ...]]] = {}
    for workspace, day, *sums_of_day in plain_rows(united(parts)):
        costs_of = earlier if workspace is None else by_day.setdefault(workspace, {})
        costs_of[day] = sums_of_day[0], sums_of_day[1], sums_of_day[2]
        if spans.month.start <= day < spans.month.end:
            of_this_month.setdefault(workspace, []).append(tuple(sums_of_day))
    months = {}
    for workspace, of_days in of_this_month.items():
        *usage, runs = map(sum, zip(*of_days, strict=True))
        months[workspace] = Spend(**dict(zip(columns, usage, strict=False))), runs
    return SiteDays(months, by_day, earlier)


def spenders_of(workspaces: Iterable[WorkspaceFacts], site: SiteDays, spans: Spans) -> list[Spender]:
    """Those that are live or had calls, the dearest this month first."""
    spenders = [
        Spender(
            id=one.id,
            name=one.name,
            slug=one.slug,
            month=site.month(one.id),
            compared=site.cost(spans.compared, one.id),
            before=site.cost(spans.before, one.id),
            shown=site.cost(spans.shown, one.id) or 0,
            runs=site.month_runs(one.id),
            archived=one.archived,
        )
        for one in workspaces
        if not one.archived or one.id in site.days
    ]
    return sorted(spenders, key=lambda spender: (-spender.month.cost_microcents, -spender.month.calls, spender.name))
