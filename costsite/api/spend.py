"""GET /spend: what a period cost, as `agents.cost_tracker` has it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Literal

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from ninja import Query, Router
from pydantic import Field

from agents.clock import month_bounds, month_of
from agents.cost_tracker import CostTracker, SpendOf
from agents.models import ApiKey
from costsite.api.authentication import BearerKey, key_of
from costsite.api.columns import SPEND_COLUMNS
from costsite.api.parameters import Format, Parameters, agent_of, bad_parameter, ledger_days
from costsite.api.schemas import SpendAnswer, SpendGroup, Sums, answer, sums_of
from costsite.csv_answer import Column, csv_answer

router = Router(tags=["Spend"], auth=BearerKey(ApiKey.Scope.READ))

MAX_DAYS = 400
MAX_GROUPS = 1_000

GROUPINGS: dict[str, tuple[str, ...]] = {
    "agent": ("agent",),
    "workspace": ("workspace",),
    "model": ("provider", "model"),
    "day": ("day",),
}
"""The names that tell the groups apart."""


class SpendParameters(Parameters):
    group_by: Literal["agent", "workspace", "model", "day"] = "agent"
    agent: str | None = Field(None, description="Slug: of this agent only.")
    month: str | None = Field(None, description="As 2026-11; without any of the three, this month.")
    from_: date | None = Field(None, alias="from", description="The first day.")
    to: date | None = Field(None, description="The first day that is out; without it, tomorrow.")
    format: Format = "json"


@router.get("/spend", response=SpendAnswer, summary="Spend of a period, by agent, workspace, model or day")
def show_spend(request: HttpRequest, parameters: Query[SpendParameters]) -> HttpResponseBase:
    parameters.check(request)
    days = ledger_days()
    start, end = _period(parameters, today=days.of(timezone.now()))
    spent = _reach(key_of(request), parameters.agent).between(start, end)
    groups = _groups(spent, parameters.group_by)
    if parameters.format == "csv":
        return csv_answer("spend", _columns(parameters.group_by), groups)
    spend = SpendAnswer(
        period_start=start,
        period_end=end,
        time_zone=days.zone.key,
        group_by=parameters.group_by,
        total=Sums(**sums_of(spent.total())),
        groups=[SpendGroup(**sums_of(group), **_names(group, parameters.group_by)) for group in groups[:MAX_GROUPS]],
        more_groups=len(groups) > MAX_GROUPS,
    )
    return answer(spend)


def _reach(key: ApiKey, slug: str | None) -> CostTracker:
    """What the key reads: its workspace, or one agent of it."""
    if slug is not None:
        return CostTracker().agent(agent_of(key, slug))
    return CostTracker().workspace(key.workspace) if key.agent is None else CostTracker().agent(key.agent)


def _groups(spent: CostTracker, by: str) -> list[SpendOf[Any]]:
    """The dearest first, days in their order."""
    if by == "agent":
        return [*spent.by_agent()]
    if by == "workspace":
        return [*spent.by_workspace()]
    return [*spent.by_model()] if by == "model" else [*spent.by_day()]


def _names(group: SpendOf[Any], by: str) -> dict[str, Any]:
    """What the group is called, by `GROUPINGS`."""
    if by in {"agent", "workspace"}:
        return {by: group.of.slug}
    values = group.of if by == "model" else (group.of,)
    return dict(zip(GROUPINGS[by], values, strict=True))


def _columns(by: str) -> list[Column]:
    """The names grouped by, then the sums."""

    def name_of(name: str) -> Column:
        return Column(name.capitalize(), lambda group: _names(group, by)[name])

    return [*map(name_of, GROUPINGS[by]), *SPEND_COLUMNS]


def _period(parameters: SpendParameters, *, today: date) -> tuple[date, date]:
    """The first day that is in, and the first that is out."""
    if parameters.month is not None:
        if parameters.from_ or parameters.to:
            raise bad_parameter("month", "stands alone; leave out `from` and `to`")
        return _month(parameters.month)
    if parameters.from_ is None:
        if parameters.to is not None:
            raise bad_parameter("from", "is needed with `to`")
        return _month(month_of(today))
    start = parameters.from_
    end = today + timedelta(days=1) if parameters.to is None else parameters.to
    if end <= start:
        raise bad_parameter("to", "must be after `from`: it is the first day that is out")
    if (end - start).days > MAX_DAYS:
        raise bad_parameter("from", f"and `to` are over {MAX_DAYS} days apart; ask for parts")
    return start, end


def _month(month: str) -> tuple[date, date]:
    try:
        return month_bounds(month)
    except (ValueError, OverflowError):
        raise bad_parameter("month", "must be a month, as 2026-11") from None
