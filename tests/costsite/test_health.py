"""What machines ask of the site."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.db import OperationalError, connections
from django.test import Client as Browser
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from prometheus_client.parser import text_string_to_metric_families

from agents import ledger
from agents.models import Client
from costsite.tasks import schedule_tick
from tests.factories import WorkspaceFactory, llm_call

pytestmark = pytest.mark.django_db(databases="__all__")
TOKEN = "only-prometheus-knows"


@pytest.fixture(params=["/healthz", "/readyz"])
def probe(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_probe_is_answered_under_any_name_over_plain_http(client: Browser, probe: str, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    answer = client.get(probe, headers={"host": "10.0.0.7:8000"})
    assert answer.status_code == 200


def test_a_probe_is_asked_and_never_told(client: Browser, probe: str) -> None:
    assert client.post(probe).status_code == 405


def test_a_database_that_is_away_makes_the_site_unready_and_not_dead(client: Browser) -> None:
    with patch.object(connections["default"], "cursor", side_effect=OperationalError("password=hidden")):
        assert client.get("/healthz").status_code == 200
        answer = client.get("/readyz")
    assert (answer.status_code, "hidden" in answer.content.decode()) == (503, False)
    assert client.get("/readyz").status_code == 200


# ── metrics ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def figures(client: Browser) -> dict[str, float]:
    answer = client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200, answer.content
    return {
        sample.name + "".join(f"[{value}]" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("token", "header", "status"),
    [
        ("", "Bearer ", 404),
        ("", f"Bearer {TOKEN}", 404),
        (TOKEN, "", 401),
        (TOKEN, "Bearer another", 401),
        (TOKEN, f"Basic {TOKEN}", 401),
        (TOKEN, f"Bearer {TOKEN}", 200),
    ],
)
def test_the_figures_are_for_who_has_the_token(
    client: Browser, settings: Any, token: str, header: str, status: int
) -> None:
    settings.COSTSITE_METRICS_TOKEN = token
    assert client.get("/metrics", headers={"authorization": header}).status_code == status


def test_the_figures_of_a_site_that_nobody_uses_yet(client: Browser, settings: Any) -> None:
    settings.COSTSITE_METRICS_TOKEN = TOKEN
    said = figures(client)
    assert (said["costsite_calls_total"], said["costsite_processes"], said["costsite_live_leases"]) == (0, 0, 0)
    assert "costsite_last_report_age_seconds" not in said, "nobody reported: no age, and above all not 0"


def test_the_figures_are_what_was_recorded(client: Browser, settings: Any) -> None:
    settings.COSTSITE_METRICS_TOKEN = TOKEN
    now = timezone.now()
    workspace = WorkspaceFactory()
    calls = [llm_call(started_at=now, ended_at=now), llm_call(started_at=now, ended_at=now, request_model="parrot-1")]
    ledger.record(workspace, list(enumerate(calls)), client=None, received_at=now)
    for number, (minutes, waiting, dropped) in enumerate(
        [(5, 7, {"torn_line": 1, "rejected": 6}), (10, 2, {}), (60, 99, {"bug": 9})]
    ):
        Client.objects.create(
            workspace=workspace, client_id=f"00000000-0000-0000-0000-00000000000{number}", spool_events=waiting,
            dropped=dropped, rejected_events=dropped.get("rejected", 0), last_seen_at=now - timedelta(minutes=minutes),
        )  # fmt: skip
    schedule_tick()
    Schedule.objects.update(next_run=now - timedelta(minutes=3))
    OrmQ.objects.create(key="costsite", payload="", lock=now - timedelta(seconds=90))

    said = figures(client)
    assert said["costsite_calls_total"] == 2
    # 1,200 x $0.15 + 300 x $0.60 a million; the other has no price.
    assert said["costsite_cost_usd"] == pytest.approx(0.00036)
    assert said["costsite_unpriced_calls"] == 1
    assert (said["costsite_processes"], said["costsite_waiting_events"]) == (2, 9)
    assert said["costsite_dropped_events[torn_line]"] == 1
    assert "costsite_dropped_events[bug]" not in said
    assert "costsite_dropped_events[rejected]" not in said, "what was rejected is kept"
    assert said["costsite_rejected_events"] == 6
    assert 300 <= said["costsite_last_report_age_seconds"] < 400
    assert said["costsite_queued_tasks"] == 1
    assert 90 <= said["costsite_oldest_task_age_seconds"] < 190
    assert 180 <= said["costsite_tick_overdue_seconds"] < 280
