"""Run logs: every run one may see, narrowed by what the address says, with a strip of what was spent above them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.http import urlencode

from agents.spend import MICROCENTS_PER_CENT
from costsite.analytics import figures
from costsite.analytics.file_names import file_name
from costsite.analytics.filters import CALL_STATUSES, LARGEST_ID, day_wanted, days_wanted, text_wanted, whole_number
from costsite.analytics.periods import RANGES, Calendar, Days
from costsite.analytics.queries import agents, runs, workspaces
from costsite.analytics.queries.advice import reviewed_through
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.queries.run_filter import STATUSES, RunFilter
from costsite.analytics.queries.site import my_workspaces
from costsite.analytics.stacks import DAYS_ONE_BY_ONE, STRIP_HEIGHT, Stack, spend_per_day
from costsite.analytics.views.chosen import chosen_agent, of_agent
from costsite.analytics.views.page import Export, page

RUNS_PER_PAGE = 50
LISTED_WORKSPACES = 200
LISTED_AGENTS = 200
STRIP_DAYS = 30
FEW_DAYS = 7


@dataclass(frozen=True)
class When:
    """When runs began: a day, an hour, a range; nothing: whenever."""

    days: Days | None = None
    begun_from: datetime | None = None
    begun_before: datetime | None = None
    range: str = ""
    words: str = ""
    named: Mapping[str, str] = field(default_factory=dict)
    """The same as parts of a query string."""


def when_wanted(request: HttpRequest, calendar: Calendar) -> When:
    """What is no day, no hour and no range is as if it were not there."""
    day = day_wanted(request.GET.get("day", ""))
    if day is not None:
        return When(Days(day, day + timedelta(days=1)), words=f"on {day:%-d %b %Y}", named={"day": f"{day}"})
    hour = _hour_wanted(request.GET.get("hour", ""))
    if hour is not None:
        local = hour.astimezone(calendar.zone)
        return When(
            begun_from=hour,
            begun_before=hour + timedelta(hours=1),
            words=f"in the hour from {local:%-d %b %H:%M}",
            named={"hour": f"{hour:%Y-%m-%dT%H}"},
        )
    chosen = days_wanted(request.GET)
    if chosen is not None:
        named = next((name for name in ("this-month", "last-month") if calendar.days_of(name) == chosen), "")
        parts = {"from": f"{chosen.start}", "to": f"{chosen.last}"}
        return When(chosen, range=named, words=f"from {chosen}", named=parts)
    name = request.GET.get("range", "")
    if name == "24-hours":
        since = calendar.now - timedelta(hours=24)
        return When(begun_from=since, range=name, words="in the last 24 hours", named={"range": name})
    if name in RANGES:
        days = calendar.days_of(name)
        return When(days, range=name, words=f"from {days}", named={"range": name})
    return When()


def _hour_wanted(text: str) -> datetime | None:
    """`2026-11-24T14`, in UTC."""
    try:
        at = datetime.strptime(text, "%Y-%m-%dT%H").replace(tzinfo=UTC)
    except ValueError:
        return None
    return at if 1970 < at.year < 9_000 else None


def cents_wanted(text: str) -> int | None:
    """An amount in cents as microcents."""
    try:
        cents = Decimal(text.strip()) if len(text) < 20 else Decimal("NaN")
    except InvalidOperation:
        return None
    return int(cents * MICROCENTS_PER_CENT) if cents.is_finite() and 0 <= cents < 10**12 else None


def wanted_runs(request: HttpRequest, calendar: Calendar) -> tuple[RunFilter, dict[str, Any]]:
    """The filter that the query string names, and what the page shows of it.

    A workspace or an agent that one may not see is as if it were not named; so is an agent of another workspace than
    the one that was chosen beside it.
    """
    mine = my_workspaces(request.user)
    slug = request.GET.get("workspace", "")
    workspace = next((workspace for workspace in mine if workspace.slug == slug), None)
    listed = sorted(mine, key=lambda one: one.archived)[:LISTED_WORKSPACES]
    if workspace is not None and workspace not in listed:
        listed.append(workspace)
    agent_id = whole_number(request.GET.get("agent", ""), most=LARGEST_ID)
    agent = chosen_agent(request.user, agent_id, workspace.id if workspace else None)
    agents_listed = agents.visible_agents(request.user, workspace.id if workspace else None, LISTED_AGENTS)
    if agent is not None and all(one.id != agent.id for one in agents_listed):
        agents_listed.append(agent)
    when = when_wanted(request, calendar)
    status = request.GET.get("status", "")
    status = status if status in STATUSES.values else ""
    tag, thread = text_wanted(request.GET, "tag"), text_wanted(request.GET, "thread")
    provider, model = text_wanted(request.GET, "provider"), text_wanted(request.GET, "model")
    call_status = request.GET.get("call_status", "")
    call_status = call_status if call_status in CALL_STATUSES else ""
    cost_over = cents_wanted(request.GET.get("cost_over", ""))
    tokens_over = whole_number(request.GET.get("tokens_over", ""), most=10**15)
    asks_unusual = request.GET.get("unusual") == "1"
    wanted = RunFilter(
        workspace_id=workspace.id if workspace else None,
        agent_id=agent.id if agent else None,
        days=when.days,
        status=status,
        begun_from=when.begun_from,
        begun_before=when.begun_before,
        cost_over=cost_over,
        tokens_over=tokens_over,
        tag=tag,
        thread=thread,
        provider=provider,
        model=model,
        call_status=call_status,
        marked=asks_unusual,
    )
    cost_text = request.GET.get("cost_over", "") if cost_over is not None else ""
    kept = {
        "workspace": workspace.slug if workspace else "",
        "agent": f"{agent.id}" if agent else "",
        **when.named,
        "status": status,
        "cost_over": cost_text,
        "tokens_over": "" if tokens_over is None else f"{tokens_over}",
        "unusual": "1" if asks_unusual else "",
        "tag": tag,
        "thread": thread,
        "provider": provider,
        "model": model,
        "call_status": call_status,
    }
    shown = {
        "kept": {name: value for name, value in kept.items() if value},
        "workspaces": listed,
        "wanted_workspace": workspace,
        "wanted_agent": agent,
        "agents": agents_listed,
        "when": when,
        "wanted_day": when.days.start if when.days and len(when.days) == 1 else None,
        "statuses": STATUSES.choices,
        "wanted_status": status,
        "wanted_tag": tag,
        "wanted_thread": thread,
        "wanted_provider": provider,
        "wanted_model": model,
        "wanted_call_status": call_status,
        "cost_over": cost_text,
        "tokens_over": tokens_over if tokens_over is not None else "",
        "asks_unusual": asks_unusual,
        "reviewed_through": reviewed_through() if asks_unusual else None,
        "more_open": wanted.sifts,
        "filtered": bool(workspace or agent or when.words or status or wanted.sifts),
    }
    return wanted, shown


@login_required
def run_logs(request: HttpRequest) -> HttpResponseBase:
    calendar = calendar_now()
    wanted, shown = wanted_runs(request, calendar)
    run_page = runs.list_runs(
        request.user,
        calendar,
        wanted,
        before=runs.Cursor.parse(request.GET.get("before", "")),
        after=runs.Cursor.parse(request.GET.get("after", "")),
        limit=RUNS_PER_PAGE,
    )
    sifted_to = run_page.sifted_to
    strip = _strip(request, calendar, wanted, shown["kept"])
    context = shown | {
        "strip": strip,
        "run_page": run_page,
        "sifted_runs": runs.SIFTED_RUNS,
        "sifted_to": sifted_to.started_at if sifted_to else None,
        "run_unit": figures.MoneyUnit.for_values([run.spend.cost for run in run_page.rows]),
    }

    def exports() -> dict[str, Export]:
        return {"activity": Export(strip.exact_head, strip.exact_rows).over(_strip_days(calendar, wanted))}

    return page(request, "analytics/runs.html", calendar, "runs", context, exports=exports, subject=subject_of(shown))


def subject_of(shown: dict[str, Any]) -> tuple[str, ...]:
    """Of whom the runs are."""
    workspace, agent = shown["wanted_workspace"], shown["wanted_agent"]
    if agent is not None:
        return of_agent(agent)
    return (workspace.slug,) if workspace else ()


def runs_file_name(wanted: RunFilter, shown: dict[str, Any], calendar: Calendar) -> str:
    when: Mapping[str, str] = shown["when"].named
    narrowed_to = [
        f"{name} {value}"
        for name, value in shown["kept"].items()
        if name not in ("workspace", "agent") and (name not in when or wanted.days is None)
    ]
    return file_name((*subject_of(shown), "runs", *narrowed_to), wanted.days or calendar.today)


def _not_in_strip(wanted: RunFilter, strip: Days) -> str:
    """Which filters of the list the days' sums do not follow, in words."""
    names = [
        name
        for name, asked in (
            ("day", wanted.begun_from or (wanted.days is not None and strip.start != wanted.days.start)),
            ("status", wanted.status),
            ("cost", wanted.cost_over is not None),
            ("tokens", wanted.tokens_over is not None or wanted.marked),
            ("tag", wanted.tag),
            ("thread", wanted.thread),
            ("calls", wanted.of_calls),
        )
        if asked
    ]
    if not names:
        return ""
    filters = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f" of every run, whatever its {filters}"


def _strip_days(calendar: Calendar, wanted: RunFilter) -> Days:
    """Those of the list, as far as they can be drawn one by one; of a few days, with what came before them."""
    if wanted.days is None:
        return calendar.last_30_days
    end = min(max(wanted.days.end, wanted.days.start + timedelta(days=1)), calendar.tomorrow)
    if FEW_DAYS < (end - wanted.days.start).days <= DAYS_ONE_BY_ONE:
        return Days(wanted.days.start, end)
    if wanted.days.start >= calendar.last_30_days.start:
        return calendar.last_30_days
    return Days(end - timedelta(days=STRIP_DAYS), end)


def _strip(request: HttpRequest, calendar: Calendar, wanted: RunFilter, kept: Mapping[str, str]) -> Stack:
    """What the workspace or agent spent day by day, whatever else narrows the list: hours and tags have no sums."""
    days = _strip_days(calendar, wanted)
    if wanted.agent_id is not None:
        totals: Any = agents.agent_by_day(request.user, wanted.agent_id, days)
    elif wanted.workspace_id is not None:
        totals = workspaces.workspace_by_day(request.user, wanted.workspace_id, days)
    else:
        totals = workspaces.site_by_day(request.user, days)
    whenever = {name: value for name, value in kept.items() if name not in ("range", "from", "to", "day", "hour")}

    def only(day: Days) -> str:
        return f"{reverse('runs')}?{urlencode(whenever | {'day': f'{day.start}'})}"

    return spend_per_day(
        "activity",
        title="Spend per day",
        of=_not_in_strip(wanted, days),
        beside="a column narrows the list to its day",
        totals=totals,
        series=[],
        days=days,
        calendar=calendar,
        day_href=only,
        height=STRIP_HEIGHT,
    )
