"""What stands under a chart: columns are named as far as there is room, and the words above say what a column is of."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from agents.models import Agent
from costsite.analytics.axis import APART, LETTER, OUT_AT_MOST, WIDTHS, Name, names
from costsite.analytics.charts import Tick
from tests.analytics.facts import AFTERNOON, Spend, text_of

WIDE, TABLET, PHONE = WIDTHS


def named(ticks: list[Tick], width: int) -> list[str]:
    """Those for which a plot so wide has room."""
    return [name.label for name in names(ticks) if name.width <= width]


def test_on_a_phone_every_second_day_of_a_week_is_named_today_among_them() -> None:
    week = [Tick(round(100 * (place + 0.5) / 7, 2), f"{day} 1{place}") for place, day in enumerate("SMTWTFS")]

    assert named(week, PHONE) == [tick.label for tick in week]
    week = [Tick(tick.at, f"Wed {10 + place}") for place, tick in enumerate(week)]
    # 250 / 7 = 35.7 px a day; six letters of 7 px and 6 px between them are 48.
    assert named(week, PHONE) == ["Wed 10", "Wed 12", "Wed 14", "Wed 16"]
    assert named(week, TABLET) == [tick.label for tick in week]


def test_a_monday_at_the_end_of_a_month_ends_where_the_chart_does() -> None:
    mondays = [Tick(round(100 * (day - 0.5) / 30, 2), f"{day} Nov") for day in (2, 9, 16, 23, 30)]

    last = next(name for name in names(mondays) if name.label == "30 Nov")

    assert (last.at, last.ends_there) == (100, True)
    assert named(mondays, WIDE) == [tick.label for tick in mondays]
    # On a phone it would end 4 px before the end of the name before it: 188 + 21 > 250 - 42.
    assert named(mondays, PHONE) == ["2 Nov", "9 Nov", "16 Nov", "23 Nov"]


def box(name: Name, width: int) -> tuple[float, float]:
    across, at = LETTER * len(name.label), width * name.at / 100
    return (at - across, at) if name.ends_there else (at - across / 2, at + across / 2)


@given(st.lists(st.text("a", min_size=1, max_size=8), max_size=80), st.sampled_from(WIDTHS))
def test_whatever_is_named_keeps_apart_and_within_the_chart(labels: list[str], width: int) -> None:
    ticks = [Tick(round(100 * (place + 0.5) / len(labels), 3), label) for place, label in enumerate(labels)]

    shown = [name for name in names(ticks) if name.width <= width]

    assert shown or not labels
    for one, other in pairwise(shown):
        assert box(one, width)[1] + APART <= box(other, width)[0]
    assert all(box(name, width)[1] <= width + OUT_AT_MOST for name in shown)


@pytest.mark.parametrize(
    ("query", "per"), [("", "day"), ("?range=24-hours", "hour"), ("?range=90-days", "week"), ("?range=7-days", "day")]
)
def test_what_a_column_is_of_is_said_above_it(spend: Spend, as_viewer: Client, query: str, per: str) -> None:
    spend(started_at=AFTERNOON)
    for page in ("/", "/workspaces/acme/", reverse("agent", args=[Agent.objects.get().pk])):
        html = text_of(as_viewer, page + query)

        assert f"Spend per {per} " in html, page
        assert all(f"per {other} by" not in html for other in ("day", "week") if other != per), page


def test_the_days_of_a_chart_are_said_before_what_lies_beside_them(spend: Spend, as_viewer: Client) -> None:
    spend(started_at=AFTERNOON)

    assert "by workspace, 18 to 24 Nov; line: 11 to 17 Nov. 0.1800¢" in text_of(as_viewer, "/?range=7-days&compare=1")
    assert "per day, 26 Oct to 24 Nov; a column narrows the list to its day." in text_of(as_viewer, "/runs/")


def test_a_day_to_come_is_not_said_to_have_cost_nothing(spend: Spend, as_viewer: Client) -> None:
    spend()
    spend(started_at=datetime(2026, 10, 28, 9, tzinfo=UTC))

    bars = as_viewer.get("/?compare=1").context["chart"].bars

    assert bars[27].tip == ("Sat 28 Nov: still to come", "before: 0.1800¢")
    assert bars[2].tip == ()
