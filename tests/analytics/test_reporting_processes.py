"""What the dashboard says of the processes that report: what waits, and what they lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.urls import reverse

from agents.clients import note_client, note_rejected
from agents.models import Client as ReportingClient
from langchain_plugin import wire
from tests.analytics.facts import AFTERNOON, Cast, Spend, text_of

SENDER = uuid4()


def heard(cast: Cast, after: float, *, client_id: UUID = SENDER, **health: Any) -> None:
    """A batch that comes in so many seconds before the page is read."""
    at = AFTERNOON - timedelta(seconds=60 - after)
    batch = wire.EventBatch(
        batch_id=uuid4(), client_id=client_id, sent_at=at, health=wire.ClientHealth(**health), events=[]
    )
    note_client(cast.acme, batch, now=at)


def test_what_a_burst_left_behind_is_not_said_to_wait_when_it_was_sent(
    cast: Cast, spend: Spend, as_viewer: Client
) -> None:
    spend()
    for after, left in ((0, 600), (0.2, 100), (0.4, 0)):
        heard(cast, after, spool_events=left, spool_bytes=left * 400)

    assert "waiting 0" in text_of(as_viewer, "dashboard")
    assert ReportingClient.objects.get().spool_bytes == 0


def test_what_still_waits_is_said(cast: Cast, spend: Spend, as_viewer: Client) -> None:
    spend()
    heard(cast, 0, spool_events=0)
    heard(cast, 1, spool_events=40)
    heard(cast, 6, spool_events=30)
    heard(cast, 7, spool_events=2, client_id=uuid4())

    assert "waiting 32" in text_of(as_viewer, "dashboard")


@pytest.mark.parametrize("before", [{}, {"disk_full": 5}])
def test_the_last_loss_of_a_process_is_said_though_it_never_comes_back(
    before: dict[str, int], cast: Cast, spend: Spend, as_viewer: Client
) -> None:
    spend()
    heard(cast, 0, dropped=before)
    heard(cast, 0.5, dropped={"disk_full": 7})

    assert "7 events lost by reporting processes in 7 days: disk_full 7" in text_of(as_viewer, "dashboard")


def test_what_was_rejected_is_kept_and_stands_among_no_losses(
    cast: Cast, spend: Spend, as_viewer: Client, admin_client: Client
) -> None:
    spend()
    heard(cast, 0, dropped={"rejected": 6})
    heard(cast, 10, dropped={"rejected": 6, "rejected_not_kept": 1}, client_id=uuid4())
    for client in ReportingClient.objects.all():
        note_rejected(client.pk, 6)

    html = text_of(as_viewer, "dashboard")

    assert "1 event lost by reporting processes in 7 days: rejected_not_kept 1. Totals" in html
    assert "12 rejections of events in 7 days. What is rejected is kept" in html
    assert "dropped 1" in html
    assert "rejected 6" not in text_of(admin_client, reverse("admin:agents_client_changelist"))


def test_a_process_that_reports_all_the_time_is_written_down_every_five_seconds(
    cast: Cast, django_assert_num_queries: Any
) -> None:
    heard(cast, 0)
    for after in range(1, 5):
        with django_assert_num_queries(1):
            heard(cast, after, spool_events=500, dropped={"disk_full": 0})
    heard(cast, 5, spool_events=500)

    assert ReportingClient.objects.get().last_seen_at == AFTERNOON - timedelta(seconds=55)
