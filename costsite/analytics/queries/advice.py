"""Cost optimization: the advice, the months of agents, the runs that were marked, and what became of what was done."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import F, Q, QuerySet

from agents.models import Workspace
from agents.models.visibility import is_superuser
from costsite.advice.kinds import KINDS
from costsite.advice.models import Advice, AgentMonth, ReviewedDay, ReviewState, RunReview, TaskRow
from costsite.advice.tiers import TIERS
from costsite.advice.words import of_advice, of_cause
from costsite.analytics.queries.plain import plain_rows

User = AbstractBaseUser | AnonymousUser

ADVICES_READ = 500
"""The dearest; of a site with more, the rest is in no sum and is said to be left out."""
MEASURED_DAYS = 30


@dataclass(frozen=True)
class AdviceRow:
    """What of it is said in words is made when it is asked for: of hundreds that are added up, a few are shown."""

    id: int
    agent_id: int
    agent_name: str
    workspace_id: int
    workspace_name: str
    kind: str
    key: str
    month: int
    """Microcents it would have saved in the last 30 days."""
    first_found: date
    last_found: date
    state: str
    reason: str
    decided_on: date | None
    snoozed_until: date | None
    confidence_level: str
    figures: str
    evidence_runs: str
    """Both as JSON."""

    @property
    def section(self) -> str:
        return KINDS[self.kind].section

    @property
    def label(self) -> str:
        return KINDS[self.kind].label

    @property
    def formula(self) -> str:
        return KINDS[self.kind].formula

    @property
    def caveat(self) -> str:
        return KINDS[self.kind].caveat

    @property
    def confidence(self) -> str:
        return str(Advice.Confidence(self.confidence_level).label)

    @property
    def state_label(self) -> str:
        return str(Advice.State(self.state).label)

    @property
    def text(self) -> str:
        return of_advice(self.kind, self.key, json.loads(self.figures))

    @cached_property
    def evidence(self) -> list[tuple[int, datetime]]:
        """Runs, and when they began."""
        return [(pk, datetime.fromisoformat(at)) for pk, at in json.loads(self.evidence_runs)]


_COLUMNS = (
    "id", "agent_id", "agent__name", "agent__slug", "workspace_id", "workspace__name", "kind", "key",
    "month_microcents", "first_found", "last_found", "state", "reason", "decided_on", "snoozed_until", "confidence",
    "figures", "evidence",
)  # fmt: skip


def _read(rows: QuerySet[Advice]) -> list[AdviceRow]:
    return [
        AdviceRow(pk, agent_id, name or slug, *of_it)
        for pk, agent_id, name, slug, *of_it in plain_rows(rows.values_list(*_COLUMNS))
    ]


@dataclass(frozen=True)
class Standing:
    through: date | None
    """The last day that was reviewed; None: none was yet."""
    open: tuple[AdviceRow, ...]
    """The dearest first."""
    decided: tuple[AdviceRow, ...]
    """The latest decision first."""
    cut: bool


def reviewed_through() -> date | None:
    through: date | None = ReviewState.objects.filter(pk=1).values_list("through", flat=True).first()
    return through


def standing(user: User, through: date | None, today: date) -> Standing:
    """What is advised as of the review of `through`. What that no longer found is gone, but for what was decided."""
    rows = Advice.objects.visible_to(user)
    if through is not None:
        rows = rows.filter(Q(last_found__gte=through) | ~Q(state=Advice.State.OPEN))
    read = _read(rows.order_by("-month_microcents", "pk")[: ADVICES_READ + 1])
    found = [row for row in read if row.kind in KINDS]  # others are of an older version of the site
    cut, found = len(found) > ADVICES_READ, found[:ADVICES_READ]
    open_now = [
        row
        for row in found
        if (row.state == Advice.State.OPEN or (row.snoozed_until is not None and row.snoozed_until <= today))
        and (through is None or row.last_found >= through)  # one that was snoozed may be gone
    ]
    ids = {row.id for row in open_now}
    decided = [row for row in found if row.state != Advice.State.OPEN and row.id not in ids]
    decided.sort(key=lambda row: (row.decided_on or date.min, row.id), reverse=True)
    return Standing(through, tuple(open_now), tuple(decided), cut)


def find_advice(user: User, pk: int) -> Advice | None:
    return Advice.objects.visible_to(user).filter(pk=pk).first()


def owned_workspaces(user: User) -> set[int] | None:
    """Where the person may decide; None: everywhere."""
    if is_superuser(user):
        return None
    return set(Workspace.objects.owned_by(user).values_list("pk", flat=True))


@dataclass(frozen=True)
class MarkedRun:
    id: int
    agent_id: int
    agent_name: str
    started_at: datetime
    over: int | None
    usual: int
    label: str
    text: str


def dearest_marked_runs(user: User, since: datetime, most: int) -> list[MarkedRun]:
    """Runs with unusually high tokens or cost, what they cost over the usual first."""
    rows = RunReview.objects.visible_to(user).filter(started_at__gte=since)
    rows = rows.select_related("agent").order_by(F("over_microcents").desc(nulls_last=True), "-tokens", "-run")[:most]
    return [
        MarkedRun(
            row.run_id,
            row.agent_id,
            str(row.agent),
            row.started_at,
            row.over_microcents,
            row.usual_microcents,
            row.label,
            of_cause(row.causes[0][0], row.causes[0][2]) if row.causes else "",
        )
        for row in rows
    ]


@dataclass(frozen=True)
class MonthOfAgent:
    agent_id: int
    agent_name: str
    row: AgentMonth


def agent_months(user: User, most: int) -> list[MonthOfAgent]:
    """Of the agents that spent most, the dearest first."""
    rows: Any = AgentMonth.objects.visible_to(user).select_related("agent")
    return [MonthOfAgent(row.agent_id, str(row.agent), row) for row in rows.order_by("-cost_microcents", "pk")[:most]]


@dataclass(frozen=True)
class Task:
    id: int
    name: str
    task: str
    effort: str
    tier: str


def tasks(most: int) -> list[Task]:
    rows = TaskRow.objects.order_by("pk")[:most]
    return [Task(row.pk, row.name, row.task, row.get_effort_display(), TIERS[row.tier]) for row in rows]


@dataclass(frozen=True)
class Measured:
    """What runs of the agent cost before a decision and after it, each a mean in microcents with its n."""

    before: int | None
    before_runs: int
    after: int | None
    after_runs: int


def measured(user: User, done: list[AdviceRow], through: date | None) -> dict[int, Measured]:
    """By advice: `MEASURED_DAYS` before the day of the decision against the days since, that day itself left out."""
    days = [row.decided_on for row in done if row.decided_on is not None]
    if not days or through is None:
        return {}
    rows = ReviewedDay.objects.visible_to(user).filter(
        agent__in={row.agent_id for row in done}, day__gte=min(days) - timedelta(days=MEASURED_DAYS)
    )
    priced = F("runs") - F("unpriced_runs")
    of_agent: dict[int, list[tuple[date, int, int]]] = {}
    for agent_id, day, cost, runs in rows.values_list("agent_id", "day", "cost_microcents", priced):
        of_agent.setdefault(agent_id, []).append((day, cost, runs))
    found = {}
    for row in done:
        if row.decided_on is None:
            continue
        since = row.decided_on
        all_days = of_agent.get(row.agent_id, [])
        before = [day for day in all_days if since - timedelta(days=MEASURED_DAYS) <= day[0] < since]
        after = [day for day in all_days if day[0] > since]
        found[row.id] = Measured(*_mean(before), *_mean(after))
    return found


def _mean(days: list[tuple[date, int, int]]) -> tuple[int | None, int]:
    runs = sum(day[2] for day in days)
    return (sum(day[1] for day in days) // runs if runs else None), runs
