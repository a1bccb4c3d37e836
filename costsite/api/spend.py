"""GET /spend: what a period cost, from the rollups."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Literal, NamedTuple

from django.db.models import QuerySet, Sum
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from ninja import Query, Router
from pydantic import Field

from agents.clock import month_bounds, month_of
from agents.models import ApiKey, UsageDay
from agents.models.sums import SUM_COLUMNS, UsageSums
from costsite.api.authentication import BearerKey, key_of
from costsite.api.csv_answer import SUM_COLUMNS as CSV_SUMS
from costsite.api.csv_answer import Column, csv_answer
from costsite.api.parameters import Format, Parameters, agent_of, bad_parameter, ledger_days
from costsite.api.schemas import Spend, SpendGroup, Sums, answer, sums_of

router = Router(tags=["Spend"], auth=BearerKey(ApiKey.Scope.READ))

MAX_DAYS = 400
MAX_GROUPS = 1_000

GROUPINGS: dict[str, dict[str, str]] = {
    "agent": {"agent": "agent__slug"},
    "workspace": {"workspace": "workspace__slug"},
    "model": {"provider": "provider", "model": "model"},
    "day": {"day": "day"},
}


class SpendParameters(Parameters):
    group_by: Literal["agent", "workspace", "model", "day"] = "agent"
    agent: str | None = Field(None, description="Slug: of this agent only.")
    month: str | None = Field(None, description="As 2026-11; without any of the three, this month.")
    from_: date | None = Field(None, alias="from", description="The first day.")
    to: date | None = Field(None, description="The first day that is out; without it, tomorrow.")
    format: Format = "json"


@router.get("/spend", response=Spend, summary="Spend of a period, by agent, workspace, model or day")
def show_spend(request: HttpRequest, parameters: Query[SpendParameters]) -> HttpResponseBase:
    parameters.check(request)
    days = ledger_days()
    start, end = _period(parameters, today=days.of(timezone.now()))
    rows = UsageDay.objects.all().readable_with(key_of(request)).filter(day__gte=start, day__lt=end)
    if parameters.agent is not None:
        rows = rows.filter(agent=agent_of(key_of(request), parameters.agent))
    groups = _grouped(rows, parameters.group_by)
    if parameters.format == "csv":
        return csv_answer("spend", _columns(parameters.group_by), groups[:MAX_GROUPS])
    spend = Spend(
        period_start=start,
        period_end=end,
        time_zone=days.zone.key,
        group_by=parameters.group_by,
        total=Sums(**sums_of(_summed(rows.aggregate(**_SUMS)))),
        groups=[SpendGroup(**sums_of(group.sums), **group.names) for group in groups[:MAX_GROUPS]],
        more_groups=len(groups) > MAX_GROUPS,
    )
    return answer(spend)


class Group(NamedTuple):
    names: dict[str, Any]
    sums: UsageSums


_SUMS = {f"sum_{name}": Sum(name) for name in SUM_COLUMNS}


def _summed(row: dict[str, Any]) -> UsageSums:
    return UsageDay(**{name: row[f"sum_{name}"] or 0 for name in SUM_COLUMNS})


def _grouped(rows: QuerySet[UsageDay], by: str) -> list[Group]:
    """The dearest first, days in their order; one more than are shown, to tell that there are more."""
    names = GROUPINGS[by]
    order = ["day"] if by == "day" else ["-sum_cost_microcents", *names.values()]
    found = rows.values(*names.values()).annotate(**_SUMS).order_by(*order)[: MAX_GROUPS + 1]
    return [Group({name: row[path] for name, path in names.items()}, _summed(row)) for row in found]


def _columns(by: str) -> list[Column]:
    """The names grouped by, then the sums."""

    def name_of(name: str) -> Column:
        return Column(name.capitalize(), lambda group: group.names[name])

    def sum_of(column: Column) -> Column:
        return Column(column.title, lambda group: column.value(group.sums))

    return [*map(name_of, GROUPINGS[by]), *map(sum_of, CSV_SUMS)]


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
