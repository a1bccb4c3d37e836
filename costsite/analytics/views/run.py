"""One run: its calls, what each cost, and why it cost more or less than such runs do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from agents.spend import NOTHING, Spend, cents_text
from costsite.advice.asking import mark_of
from costsite.analytics import figures
from costsite.analytics.filters import whole_number
from costsite.analytics.per_run import per_run
from costsite.analytics.queries import one_run
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.queries.run_costs import RunCost, run_costs
from costsite.analytics.queries.run_filter import RunFilter
from costsite.analytics.queries.run_refusals import refused_by
from costsite.analytics.queries.runs import RunRow
from costsite.analytics.run_why import RunSize, Why, why
from costsite.analytics.token_charts import context_by_call
from costsite.analytics.token_costs import token_costs
from costsite.analytics.views.page import Export, found_or_404, page
from costsite.analytics.views.run_refusals import refusal_lines

CALLS_PER_PAGE = 50
DRAWN_CALLS = 200
"""Of a longer run the chart of its context is of as many, those that are listed among them."""
EXPORTED_CALLS = 10_000
COMPARED_RUNS = 200
"""A run is compared with the median of this many newest runs of its agent."""


@dataclass(frozen=True)
class CallLine:
    """A call in a run's table, with what it brought the run's cost to."""

    number: int
    call: one_run.CallRow
    nested: bool
    bar: float
    """Percent of the dearest call."""
    running: Spend
    """Of the run's calls up to and with this one."""
    after: timedelta
    """Since the run began."""
    branch: Spend | None
    """Of the calls of a sub-agent that follow each other on the page: with the first of them."""


def branches_of(calls: Sequence[one_run.CallRow]) -> dict[int, Spend]:
    """What each branch of the tree cost, by the place of its first call."""
    branches: dict[int, Spend] = {}
    first, name = 0, ""
    for index, call in enumerate(calls):
        if not call.sub_agent:
            name = ""
            continue
        if call.sub_agent != name:
            first, name = index, call.sub_agent
        branches[first] = branches.get(first, NOTHING) + call.spend
    return branches


@login_required
def run(request: HttpRequest, pk: int) -> HttpResponseBase:
    user, calendar = request.user, calendar_now()
    found = found_or_404(one_run.find_run(user, pk), "run")
    wants_file = "csv" in request.GET
    most = EXPORTED_CALLS if wants_file else CALLS_PER_PAGE
    offset = 0 if wants_file else whole_number(request.GET.get("from", ""), most=10_000_000) or 0
    drawn_from = offset - offset % DRAWN_CALLS
    read = one_run.calls_of(user, found, offset=drawn_from, limit=max(DRAWN_CALLS, offset - drawn_from + most))
    calls = read[offset - drawn_from :]
    more = len(calls) > most
    calls = calls[:most]
    drawn = calls if wants_file else read[:DRAWN_CALLS]
    lines = _lines(found, calls, offset, one_run.spend_of_first_calls(user, found, offset))
    newest = run_costs(user, calendar, RunFilter(agent_id=found.agent_id), COMPARED_RUNS)
    usual = per_run([(one.cost, one.unpriced_calls) for one in newest.runs], cut=newest.cut)
    newer, older = one_run.neighbours(user, found)
    unit = figures.MoneyUnit.for_values([call.cost for call in calls] + [lines[-1].running.cost if lines else None])
    context_chart = context_by_call(
        "context",
        [
            (
                call.step or call.model or "call",
                call.spend.fresh_input_tokens,
                call.spend.cache_read_tokens,
                call.spend.cache_written_tokens,
            )
            for call in drawn
        ],
        first=drawn_from + 1,
        hrefs=lambda number: _place_of(number, offset),
    )
    kinds = token_costs([call.by_kind for call in drawn])
    context = {
        "run": found,
        "times_median": figures.times(found.spend.cost_microcents, usual.median or 0)
        if not found.spend.unpriced_calls and found.spend.calls
        else "",
        "per_run": usual,
        "why": _why(found.spend, newest.runs, usual.median),
        "marked": mark_of(found.id),
        "refusals": refusal_lines(user, calendar, refused_by(user, found)),
        "lines": lines,
        "unit": unit,
        "has_estimates": any(call.estimated for call in calls),
        "kinds": kinds,
        "drawn_calls": len(drawn),
        "drawn_from": drawn_from + 1,
        "context": context_chart,
        "page_total": Spend.sum_of(call.spend for call in calls),
        "whole_run_shown": not offset and not more,
        "previous": max(0, offset - CALLS_PER_PAGE) if offset else None,
        "next": offset + CALLS_PER_PAGE if more else None,
        "parent": one_run.find_parent(user, found),
        "newer": newer,
        "older": older,
    }

    def exports() -> dict[str, Export]:
        return {
            "calls": _calls_export(lines),
            "context": Export(context_chart.exact_head, context_chart.exact_rows),
            "cost-by-kind": Export(kinds.exact_head, kinds.exact_rows),
        }

    subject = (found.workspace_slug, found.agent_name, f"run {found.id}")
    return page(request, "analytics/run.html", calendar, "runs", context, exports=exports, subject=subject)


def _place_of(number: int, offset: int) -> str:
    """Where a call's row is, from the page that begins after `offset` calls."""
    here = offset < number <= offset + CALLS_PER_PAGE
    page_of_it = (number - 1) // CALLS_PER_PAGE * CALLS_PER_PAGE
    return f"#call-{number}" if here else f"?from={page_of_it}#call-{number}"


def _lines(found: RunRow, calls: Sequence[one_run.CallRow], offset: int, spent: Spend) -> list[CallLine]:
    dearest = max((call.cost or 0 for call in calls), default=0) or 1
    branches = branches_of(calls)
    lines = []
    for index, call in enumerate(calls):
        spent += call.spend
        lines.append(
            CallLine(
                number=offset + index + 1,
                call=call,
                nested=bool(call.sub_agent),
                bar=round(100 * (call.cost or 0) / dearest, 2),
                running=spent,
                after=call.started_at - found.started_at,
                branch=branches.get(index),
            )
        )
    return lines


def _why(spend: Spend, newest: Sequence[RunCost], median: int | None) -> Why | None:
    """Against the run whose cost is the median. None where a call of either has no price."""
    usual = next((one for one in newest if one.cost is not None and one.cost == median), None)
    if usual is None or spend.unpriced_calls or not spend.calls:
        return None
    mine = RunSize(spend.cost_microcents, spend.calls, spend.input_tokens, spend.output_tokens, spend.cache_read_tokens)
    its = RunSize(usual.cost_microcents, usual.calls, usual.input_tokens, usual.output_tokens, usual.cache_read_tokens)
    return why(mine, its)


def _calls_export(lines: Sequence[CallLine]) -> Export:
    head = (
        "call", "started_at", "step", "sub_agent", "provider", "model", "status", "input_tokens", "cache_read_tokens",
        "cache_written_tokens", "output_tokens", "reasoning_tokens", "cost_cents", "price_source", "duration_seconds",
    )  # fmt: skip
    rows = [
        (
            line.number,
            line.call.started_at,
            line.call.step,
            line.call.sub_agent,
            line.call.provider,
            line.call.model,
            line.call.status,
            line.call.spend.input_tokens,
            line.call.spend.cache_read_tokens,
            line.call.spend.cache_written_tokens,
            line.call.spend.output_tokens,
            line.call.spend.reasoning_tokens,
            cents_text(line.call.cost),
            line.call.price_source,
            line.call.duration.total_seconds(),
        )
        for line in lines
    ]
    return Export(head, rows)
