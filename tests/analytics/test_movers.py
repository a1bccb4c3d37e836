"""Which agents moved, and how far: the sign says which way, however small the change."""

from __future__ import annotations

from datetime import timedelta

from django.test import Client

from tests.analytics.facts import AFTERNOON, Spend, text_of

YESTERDAY, A_WEEK_BEFORE = AFTERNOON - timedelta(days=1), AFTERNOON - timedelta(days=8)


def test_a_change_smaller_than_a_cent_has_its_sign_and_says_how_little_it_is(spend: Spend, as_viewer: Client) -> None:
    spend(agent="dear", input_tokens=0, output_tokens=1_000_000, started_at=YESTERDAY)  # 200 cents
    spend(agent="falling", started_at=A_WEEK_BEFORE)  # 0.18 cents
    spend(agent="rising", started_at=YESTERDAY)

    html = text_of(as_viewer, "/")

    movers = html[html.index("Movers") : html.index("Workspaces this month")]
    assert "dear +$2.00" in movers
    assert "falling −&lt;$0.01" in movers
    assert "rising +&lt;$0.01" in movers
