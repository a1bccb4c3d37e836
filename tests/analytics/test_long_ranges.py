"""A range of more than half a year, which charts draw by month and pages read from sums by month: every figure of it
equal to a sum over calls that is worked out here, and to the sums by day.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agents.models import Agent, LLMCall, ModelPrice, TagMonth, UsageMonth, Workspace, WorkspaceTagDay
from costsite.analytics.filters import filters_from
from costsite.analytics.forecast import Forecast, forecast_month
from costsite.analytics.periods import NO_DAYS, Days
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.queries.usage import usage_split
from costsite.analytics.stacks import SERIES
from tests.analytics.conftest import book, priced_call
from tests.analytics.facts import (
    AFTERNOON,
    PRICED_MICROCENTS,
    UNPRICED,
    Cast,
    exact,
    file_of,
    grouped,
    known,
    within,
)
from tests.factories import AgentFactory, WorkspaceFactory

BEGAN = datetime(2025, 3, 1, 12, tzinfo=UTC)
DAYS = 633
"""Up to the afternoon on which these tests happen."""
MODELS = (
    {},
    {"provider": "other-ai"},
    {"request_model": "acme-2"},
    {"request_model": UNPRICED["request_model"]},
)

RANGES = {
    "a year up to today": ("2025-11-25", "2026-11-24"),
    "a year of whole months": ("2025-04-01", "2026-03-31"),
    "a year that ended long ago": ("2025-03-17", "2026-03-16"),
    "the first day of a month, and the last": ("2025-06-30", "2026-01-01"),
    "just over half a year": ("2026-05-10", "2026-11-08"),
    "up to a day to come": ("2026-01-15", "2026-12-24"),
}


@pytest.fixture
def long_history(cast: Cast) -> list[LLMCall]:
    """Acme's calls of most days, by nine agents; and some of others'."""
    draw = Random(20_261_124)
    ModelPrice.objects.create(
        provider="other-ai", model="acme-1", input_per_million=3, output_per_million=5, effective_from=BEGAN
    )
    calls = []
    for _ in range(450):
        at = BEGAN + timedelta(days=draw.randrange(DAYS), minutes=draw.randrange(-700, 700))
        calls.append(
            priced_call(
                agent=f"agent-{draw.randrange(9)}",
                started_at=at,
                input_tokens=draw.randrange(1, 5_000),
                status="error" if draw.random() < 0.2 else "ok",
                tags=draw.choice([[], ["web"], ["web", "night"], ["night"]]),
                **draw.choice(MODELS),
            )
        )
    for first in range(0, len(calls), 100):
        book(cast.acme, calls[first : first + 100])
    book(cast.elsewhere, [priced_call(agent="stranger", tags=["web"], started_at=BEGAN + timedelta(days=400))])
    return list(LLMCall.objects.filter(workspace=cast.acme).select_related("agent"))


@pytest.fixture
def _clocks_ahead(cast: Cast, long_history: list[LLMCall]) -> None:
    """Calls of a day to come: of a month that has begun, and in no range up to today."""
    later = AFTERNOON + timedelta(days=2)
    calls = [priced_call(agent=f"agent-{number}", started_at=later, tags=["web"]) for number in (0, 8, 9)]
    book(cast.acme, [*calls, priced_call(agent="agent-9", started_at=later, status="error")], later)
    assert LLMCall.objects.filter(day__gt=AFTERNOON.date()).count() == 4


def asked_for(name: str) -> tuple[str, date, date]:
    """As the address says it, and its first day and the first after it."""
    first, last = RANGES[name]
    return f"from={first}&to={last}", date.fromisoformat(first), date.fromisoformat(last) + timedelta(days=1)


def cents(microcents: int | None) -> str | None:
    return None if microcents is None else exact(microcents)


def by_month(rows: list[dict[str, str]]) -> dict[str, dict[str, float]]:
    """Of a file by day: sums by month and column; what is not known adds nothing."""
    sums: dict[str, dict[str, float]] = {}
    for row in rows:
        of_month = sums.setdefault(row["Day"][:7], {})
        for column, value in row.items():
            if column != "Day":
                of_month[column] = round(of_month.get(column, 0) + float(value or 0), 6)
    return sums


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", lambda call: True),
        ("by=agent", lambda call: True),
        ("by=model", lambda call: True),
        ("by=provider", lambda call: True),
        ("by=agent&status=error", lambda call: call.status == "error"),
        ("by=model&model=acme-1&provider=other-ai", lambda call: (call.model, call.provider) == ("acme-1", "other-ai")),
        ("by=agent&tag=web", lambda call: "web" in call.tags),
        ("tag=night", lambda call: "night" in call.tags),
        ("agent={bot}&by=model", lambda call: call.agent.slug == "agent-4"),
        ("agent={bot}&tag=web", lambda call: call.agent.slug == "agent-4" and "web" in call.tags),
    ],
)
def test_each_month_of_a_chart_is_of_the_calls(
    long_history: list[LLMCall], as_viewer: Client, name: str, query: str, wanted: Callable[[LLMCall], bool]
) -> None:
    days, start, end = asked_for(name)
    bot = Agent.objects.get(slug="agent-4")
    calls = [call for call in within(long_history, start, end) if wanted(call)]
    of_months = grouped(calls, lambda call: f"{call.started_at:%Y-%m}")
    for place in ("/", "/workspaces/acme/"):
        address = f"{place}?{days}&{query.format(bot=bot.pk)}"
        chart = as_viewer.get(address).context["chart"]
        assert chart.head[0] == "Month from", address

        drawn = {row[0][:7]: row[-2:] for row in chart.exact_rows}
        unpriced = {month: sum(call.cost_microcents is None for call in found) for month, found in of_months.items()}
        assert {month: drawn[month] for month in of_months} == {
            month: (cents(known(found)), unpriced[month]) for month, found in of_months.items()
        }, address
        assert {cost for month, (cost, _) in drawn.items() if month not in of_months} <= {"0"}, address
        assert chart.measure.endswith("in all.")
        assert sum(bar.column.total for bar in chart.bars) == (known(calls) or 0), address

        # Part by part as by day, which is read from other sums.
        summed = by_month(file_of(as_viewer, address, "spend-per-day"))
        head = list(chart.exact_head[1:])
        for first, *values in chart.exact_rows:
            of_month = dict(zip(head, (float(value or 0) for value in values), strict=True))
            assert {name: summed[first[:7]].get(name) for name in head} == of_month, (address, first)


OF_ACME = ("ok", "acme-1", "acme-ai")
SHORTER = {
    "range=7-days": (date(2026, 11, 18), date(2026, 11, 25)),
    "range=30-days": (date(2026, 10, 26), date(2026, 11, 25)),
    "range=90-days": (date(2026, 8, 27), date(2026, 11, 25)),
    "range=last-month": (date(2026, 10, 1), date(2026, 11, 1)),
    "from=2026-10-04&to=2026-10-29": (date(2026, 10, 4), date(2026, 10, 30)),
    "from=2026-09-20&to=2026-10-29": (date(2026, 9, 20), date(2026, 10, 30)),
    "from=2026-09-05&to=2026-11-06": (date(2026, 9, 5), date(2026, 11, 7)),
    "from=2025-03-05&to=2025-06-03": (date(2025, 3, 5), date(2025, 6, 4)),
}


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", lambda call: True),
        ("status=error", lambda call: call.status == "error"),
        ("status=ok&model=acme-1&provider=acme-ai", lambda call: (call.status, call.model, call.provider) == OF_ACME),
        ("tag=web", lambda call: "web" in call.tags),
    ],
)
@pytest.mark.usefixtures("_clocks_ahead")
@pytest.mark.parametrize("reader", ["viewer", "superuser"])
def test_a_chart_names_the_dearest_agents(
    long_history: list[LLMCall], cast: Cast, client: Client, reader: str, query: str, wanted: Callable[[LLMCall], bool]
) -> None:
    """Seven of nine, each day by day; and the days before, where they are compared."""
    client.force_login(getattr(cast, reader))
    found = [call for call in long_history if wanted(call)]
    long = {days: (start, end) for days, start, end in map(asked_for, RANGES) if end <= date(2026, 11, 25)}
    for days, (start, end) in (SHORTER | long).items():
        calls = within(found, start, end)
        spent = {name: known(mine) or 0 for name, mine in grouped(calls, lambda call: call.agent.slug).items()}
        dearest = sorted((name for name in spent if spent[name]), key=lambda name: (-spent[name], name))[:SERIES]
        for page in ("/", "/workspaces/acme/"):
            address = f"{page}?{days}&by=agent&compare=1&workspace=acme&{query}"
            rows = file_of(client, address, "spend-per-day")
            drawn = client.get(address.replace("&compare=1", "")).context["chart"]
            assert sum(bar.column.total for bar in drawn.bars) == (known(calls) or 0), address
            columns = {name: f"{name} (cost_cents)" for name in dearest}
            others = {"Day", "cost_cents", "unpriced_calls", "Other (cost_cents)", "Before (cost_cents)"}
            assert set(rows[0]) - others == set(columns.values()), address
            for name, column in columns.items():
                mine = grouped((call for call in calls if call.agent.slug == name), lambda call: f"{call.day}")
                assert {row["Day"]: row[column] for row in rows if row["Day"] in mine} == {
                    day: exact(known(of_day)) for day, of_day in mine.items()
                }, (address, name)
            first = date(2026, 9, 1) if days == "range=last-month" else start - (end - start)
            earlier = within(found, first, min(start, first + timedelta(days=len(rows))))
            told = sum(float(row["Before (cost_cents)"] or 0) for row in rows)
            assert round(told, 6) == float(exact(known(earlier) or 0)), address


@pytest.mark.parametrize("name", RANGES)
def test_the_agents_page_is_of_the_calls(long_history: list[LLMCall], as_viewer: Client, name: str) -> None:
    days, start, end = asked_for(name)
    bot = Agent.objects.get(slug="agent-4")
    mine = [call for call in within(long_history, start, end) if call.agent_id == bot.pk]
    for query, calls in (("", mine), ("&tag=web", [call for call in mine if "web" in call.tags])):
        chart = as_viewer.get(f"/analytics/{bot.pk}/?{days}{query}").context["chart"]

        assert chart.head[0] == "Month from"
        assert sum(bar.column.total for bar in chart.bars) == (known(calls) or 0)


@pytest.mark.parametrize("name", [*RANGES, "last month"])
@pytest.mark.parametrize("query", ["", "status=error&model=acme-1", "agent={bot}"])
def test_what_a_workspace_spent_on_models_and_tags_is_of_the_calls(
    long_history: list[LLMCall], as_viewer: Client, name: str, query: str
) -> None:
    days, start, end = ("range=last-month", date(2026, 10, 1), date(2026, 11, 1)) if name == "last month" else (
        asked_for(name)
    )  # fmt: skip
    bot = Agent.objects.get(slug="agent-4")
    address = f"/workspaces/acme/?{days}&{query.format(bot=bot.pk)}"
    calls = within(long_history, start, end)
    of_one = [call for call in calls if "agent" not in query or call.agent_id == bot.pk]
    narrowed = [call for call in of_one if "status" not in query or (call.status, call.model) == ("error", "acme-1")]

    models = {(row["provider"], row["model"]): row for row in file_of(as_viewer, address, "models")}
    by_model = grouped(narrowed, lambda call: (call.provider, call.model))
    assert {key: (row["cost_cents"], row["calls"]) for key, row in models.items()} == {
        key: (exact(known(found)), str(len(found))) for key, found in by_model.items()
    }
    tags: dict[str, list[LLMCall]] = {}
    for call in of_one:
        for tag in call.tags or [""]:
            tags.setdefault(tag, []).append(call)
    found = {row["tag"]: (row["cost_cents"], row["calls"]) for row in file_of(as_viewer, address, "tags")}
    assert found == {tag: (exact(known(of_tag)), str(len(of_tag))) for tag, of_tag in tags.items()}


def test_a_long_range_changes_nothing_that_is_not_of_it(long_history: list[LLMCall], as_viewer: Client) -> None:
    """This month, its forecast, the trends of a month and who is listed are the same whatever is drawn."""
    bot = Agent.objects.get(slug="agent-4").pk
    for page in ("/", "/workspaces/acme/", f"/analytics/{bot}/"):
        usual = as_viewer.get(page).context
        for name in RANGES:
            context = as_viewer.get(f"{page}?{asked_for(name)[0]}").context
            for figure in ("month", "change", "runs", "forecast", "forecast_words", "table", "movers", "will_hold"):
                assert usual.get(figure) == context.get(figure), (page, name, figure)


def test_a_range_and_the_one_it_is_compared_with_are_of_the_calls(
    long_history: list[LLMCall], as_viewer: Client
) -> None:
    days, start, end = asked_for("just over half a year")
    before = start - (end - start)
    for query in ("", "&by=agent&status=error", "&tag=web"):
        wanted = [
            call
            for call in long_history
            if ("status" not in query or call.status == "error") and ("tag" not in query or "web" in call.tags)
        ]
        chart = as_viewer.get(f"/?{days}&compare=1{query}").context["chart"]

        assert sum(bar.column.total for bar in chart.bars) == known(within(wanted, start, end))
        column = chart.exact_head.index("Before (cost_cents)")
        assert round(sum(float(row[column] or 0) for row in chart.exact_rows), 6) == float(
            exact(known(within(wanted, before, start)))
        )


@pytest.mark.parametrize("query", ["", "&by=agent&status=error", "&tag=web", "&by=model&model=acme-1"])
def test_calendar_months_are_laid_beside_those_before_month_by_month(
    long_history: list[LLMCall], as_viewer: Client, query: str
) -> None:
    """May to October beside November to April, which are three days shorter."""
    wanted = [
        call
        for call in long_history
        if ("status" not in query or call.status == "error")
        and ("tag" not in query or "web" in call.tags)
        and ("model=acme" not in query or call.model == "acme-1")
    ]
    firsts = [date(2025, 11, 1), date(2025, 12, 1), *(date(2026, month, 1) for month in range(1, 6))]
    chart = as_viewer.get(f"/?from=2026-05-01&to=2026-10-31&compare=1{query}").context["chart"]

    assert "1 May to 31 Oct 2026; line: 1 Nov to 30 Apr" in chart.measure
    column = chart.exact_head.index("Before (cost_cents)")
    assert [row[column] for row in chart.exact_rows] == [
        cents(known(within(wanted, first, end))) for first, end in pairwise(firsts)
    ]


@pytest.mark.parametrize("reader", ["viewer", "superuser"])
def test_whole_months_are_not_read_day_by_day(
    long_history: list[LLMCall], cast: Cast, client: Client, reader: str
) -> None:
    client.force_login(getattr(cast, reader))
    days = asked_for("a year of whole months")[0]
    for page, table in (
        (f"/?{days}&by=agent", UsageMonth),
        (f"/?{days}&by=model", UsageMonth),
        (f"/?{days}&tag=web", TagMonth),
        (f"/workspaces/acme/?{days}", UsageMonth),
        (f"/workspaces/acme/?{days}", WorkspaceTagDay),
    ):
        with CaptureQueriesContext(connection) as queries:
            client.get(page)
        assert any(table._meta.db_table in query["sql"] for query in queries), page
        assert len(queries) <= 12, page


def test_a_month_without_a_price_is_unknown(cast: Cast, as_viewer: Client) -> None:
    book(cast.acme, [priced_call(started_at=BEGAN + timedelta(days=400), **UNPRICED), priced_call()])
    unpriced: Any = None
    for query in ("", "&by=agent", "&by=model", "&by=agent&status=ok"):
        chart = as_viewer.get(f"/?from=2026-01-01&to=2026-11-24{query}").context["chart"]
        unpriced = {row[0]: row[-2:] for row in chart.exact_rows}

        assert unpriced["2026-04-01"] == (None, 1), query
        assert unpriced["2026-05-01"] == ("0", 0), query


def test_names_that_look_like_parts_of_a_statement_are_names(cast: Cast, as_viewer: Client) -> None:
    tag, model = "{0} %s {} 100%", "a'b {x!r} %(p)s"
    at = BEGAN + timedelta(days=400)
    ModelPrice.objects.create(model=model, input_per_million=1, output_per_million=2, effective_from=BEGAN)
    book(cast.acme, [priced_call(started_at=at, tags=[tag], request_model=model), priced_call(started_at=at)])

    (row,) = (
        row for row in file_of(as_viewer, "/workspaces/acme/?from=2026-01-01&to=2026-11-24", "tags") if row["tag"]
    )
    assert (row["tag"], row["cost_cents"]) == (tag, "0.18")
    for query in (urlencode({"tag": tag}), urlencode({"model": model}), urlencode({"model": model, "by": "agent"})):
        for page in ("/", "/workspaces/acme/"):
            chart = as_viewer.get(f"{page}?from=2026-01-01&to=2026-11-24&{query}").context["chart"]
            assert sum(bar.column.total for bar in chart.bars) == PRICED_MICROCENTS, (page, query)


def test_agents_that_never_called_take_nobodys_colour(cast: Cast, as_viewer: Client) -> None:
    for number in range(9):
        AgentFactory(slug=f"never-{number}", workspace=cast.acme)
    book(cast.acme, [priced_call(agent="late", started_at=BEGAN + timedelta(days=400))])

    for days in ("range=90-days", "from=2026-01-01&to=2026-11-24"):
        dearest = usage_split(
            cast.viewer, filters_from(QueryDict(f"{days}&by=agent"), calendar_now(), by=("", "agent")), "agent", 7, {},
            drawn=NO_DAYS, tomorrow=calendar_now().tomorrow,
        ).dearest  # fmt: skip
        assert list(dearest) == [Agent.objects.get(slug="late").pk] * ("from" in days)


def test_a_workspace_that_is_archived_is_listed_where_it_had_calls(cast: Cast, client: Client) -> None:
    for slug, days in (("in-the-range", 100), ("between", 300), ("lately", 610)):
        place = WorkspaceFactory(slug=slug, name=slug)
        book(place, [priced_call(started_at=BEGAN + timedelta(days=days))])
        Workspace.objects.filter(pk=place.pk).update(archived_at=AFTERNOON)
    client.force_login(cast.superuser)

    rows = file_of(client, "/?from=2025-03-01&to=2025-10-31", "workspaces")

    assert {row["workspace"] for row in rows} == {"Acme", "Elsewhere", "in-the-range", "lately"}


def test_a_forecast_is_tested_as_it_is_made(cast: Cast, as_viewer: Client) -> None:
    """Four weeks, the earliest from eight weeks before it: the same on every page, whatever range is drawn."""
    book(
        cast.acme,
        [priced_call(started_at=AFTERNOON - timedelta(days=back), input_tokens=100 * back) for back in range(1, 120)],
    )
    spent = {call.started_at.date(): call.cost_microcents or 0 for call in LLMCall.objects.all()}
    whole = forecast_month(spent, AFTERNOON.date(), Days(date(2026, 11, 1), date(2026, 12, 1)))
    assert isinstance(whole, Forecast)
    assert whole.tested == 4

    for query in ("", "range=24-hours", "range=90-days", "from=2025-12-01&to=2026-11-24"):
        assert as_viewer.get(f"/?{query}").context["forecast"] == whole, query
