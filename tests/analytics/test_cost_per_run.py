"""What a run costs: a median over the runs whose cost is known, and how many are not.

A call of N times the usual size costs N x 0.18 cents (see facts).
"""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from agents import ledger
from agents.models import Agent, AgentRunLog
from costsite.analytics import figures
from costsite.analytics.per_run import PlacedRun, per_run, run_plot
from costsite.analytics.periods import Days
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.queries.run_filter import RunFilter
from costsite.analytics.views.usual_run import usual_run
from langchain_plugin import wire
from tests.analytics.facts import AFTERNOON, PRICED_MICROCENTS, UNPRICED, Cast, Spend, text_of
from tests.factories import NOON


def of_size(times: int) -> dict[str, int]:
    return {"input_tokens": 1_200 * times, "output_tokens": 300 * times}


@pytest.fixture
def mixed(cast: Cast, spend: Spend) -> None:
    """Runs of 0.18, 0.36 and 0.54 cents; two without a price; one of which half has none; one refused."""
    for times in (1, 2, 3):
        spend(**of_size(times))
    spend(**UNPRICED)
    spend(**UNPRICED)
    half = uuid4()
    spend(run_id=half)
    spend(run_id=half, **UNPRICED)
    refused = wire.Refused(
        type="refused", run_id=uuid4(), agent="support-bot", refusal_id=uuid4(), kind="exhausted", refused_at=NOON
    )
    assert ledger.record(cast.acme, [(0, refused)], client=None, received_at=AFTERNOON).accepted == [0]
    assert AgentRunLog.objects.count() == 7


def test_runs_whose_cost_is_not_known_are_left_out_of_the_median_and_counted_beside_it(
    mixed: None, cast: Cast, client: Client
) -> None:
    # Known are 0.18, 0.36 and 0.54 cents. As nothing, the others would have made it 0.18 cents, or 0.
    for person in (cast.viewer, cast.superuser):
        client.force_login(person)
        for page in (reverse("dashboard"), reverse("workspace", args=["acme"])):
            assert "Cost per run 0.3600¢ median, n 3 + 3 unpriced runs" in text_of(client, page), (person, page)


def test_an_agents_plot_and_a_run_compare_with_the_same_median(mixed: None, as_viewer: Client) -> None:
    agent = text_of(as_viewer, "agent", Agent.objects.get().pk)
    dearest = AgentRunLog.objects.order_by("-cost_microcents")[0]

    assert "Median 0.3600¢ per run Estimated cost of each run, 1 to 30 Nov, logarithmic scale." in agent
    assert "n 3 + 3 unpriced runs. p95 0.5400¢." in agent
    assert "1.5 × the median of 0.3600¢, n 3 + 3 unpriced runs" in text_of(as_viewer, "run", dearest.pk)


def test_where_no_run_has_a_price_the_cost_per_run_is_unpriced(spend: Spend, as_viewer: Client) -> None:
    spend(**UNPRICED)

    assert "Cost per run unpriced median, n 0 + 1 unpriced run" in text_of(as_viewer, "dashboard")
    agent = text_of(as_viewer, "agent", Agent.objects.get().pk)
    assert "Per-run cost history Cost not known: 1 unpriced run" in agent


def test_a_month_without_runs_has_no_cost_per_run(spend: Spend, as_viewer: Client) -> None:
    spend(started_at=AFTERNOON - timedelta(days=40))

    assert "Cost per run – median, n 0 " in text_of(as_viewer, "dashboard")


def test_of_many_runs_the_newest_are_read_and_that_is_said(cast: Cast, spend: Spend) -> None:
    for minute, times in enumerate((9, 9, 9, 1, 2, 3)):
        spend(**of_size(times), started_at=NOON + timedelta(minutes=minute))

    usual = usual_run(cast.viewer, calendar_now(), RunFilter(), most=3)

    assert (usual.median, usual.counted) == (2 * PRICED_MICROCENTS, "newest 3 runs")


def test_a_run_that_cost_nothing_counts_though_it_has_no_dot() -> None:
    costs = [0, 0, 180_000, 360_000, 540_000]
    runs = [PlacedRun(0.5, cost, 0, "20 Nov 12:00", f"/runs/{cost}/") for cost in costs]
    usual = per_run([(cost, 0) for cost in costs], cut=False)

    plot = run_plot(runs, usual, days=Days(NOON.date(), NOON.date() + timedelta(days=1)))

    assert (usual.median, usual.n) == (180_000, 5)
    assert plot is not None
    assert plot.plot.median == 180_000
    assert [dot.tip for dot in plot.dots] == [f"20 Nov 12:00: {figures.money(cost)}" for cost in costs[2:]]
    assert plot.measure.endswith("n 5. p95 0.5400¢. 2 that cost nothing have no dot.")


def test_as_many_runs_are_marked_as_the_title_says() -> None:
    costs = [180_000] * 15 + [720_000, 720_001, 900_000, 1_000_000, 1_200_000, 1_800_000]
    runs = [PlacedRun(0.5, cost, 0, "20 Nov 12:00", "/runs/1/") for cost in costs]

    plot = run_plot(runs, per_run([(cost, 0) for cost in costs], cut=False), days=Days(NOON.date(), AFTERNOON.date()))

    # The 95th percentile of 21 runs is their 20th, 1.20 cents; over 4 x 0.18 = 0.72 cents are five.
    assert plot is not None
    assert plot.title == "Median 0.1800¢ per run; 5 over 4 × that, the dearest 1.80¢"
    assert [costs[mark.dot.index] for mark in plot.dots if mark.dot.outlier] == costs[16:]


def test_where_most_runs_cost_nothing_the_median_has_no_line_and_nothing_is_an_outlier() -> None:
    costs = [0, 0, 0, 180_000]
    runs = [PlacedRun(0.5, cost, 0, "20 Nov 12:00", "/runs/1/") for cost in costs]

    plot = run_plot(runs, per_run([(cost, 0) for cost in costs], cut=False), days=Days(NOON.date(), AFTERNOON.date()))

    assert plot is not None
    assert plot.title == "Median 0¢ per run"
    assert plot.plot.median_at is None
    assert not any(mark.dot.outlier for mark in plot.dots)
