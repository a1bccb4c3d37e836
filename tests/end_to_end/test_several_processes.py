"""Two web services and two background services on one PostgreSQL and one Redis; one of each dies under load."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.budgets.receivers import Webhook, webhook
from tests.end_to_end.background import background_of, due_now
from tests.end_to_end.books import require_right_books
from tests.end_to_end.live_site import LiveSite, free_port
from tests.end_to_end.load import CALL, batch_of, load_on, until
from tests.own_site import database_url
from tests.redis_server import WHY_NOT, running_redis

pytestmark = [
    pytest.mark.postgresql("what is on one SQLite is on one machine"),
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
]

SET_UP = """
from agents import server_clock
from agents.models import Agent, Workspace
from budgets.models import BudgetPolicy, NotificationChannel
from budgets.policies import By, set_budget
acme, by = Workspace.objects.get(slug="acme"), By(command="test")
set_budget(acme, by=by, limit_cents=100_000_000)
BudgetPolicy.objects.update(first_month="2020-01")  # it counts what came before it was made, too
set_budget(Agent.objects.create(workspace=acme, slug="spender"), by=by, limit_cents=1)
NotificationChannel.objects.create(workspace=acme, kind="webhook", name="#costs", url={url!r})
server_clock.follow()
"""
LOOK = """
import json
from agents.models import LedgerState
from budgets.models import BudgetPeriod, MonthlyStatement, MonthsClosed, Notification, ThresholdCrossing
from costsite.advice.models import ReviewedDay, ReviewState
from django.db.models import Sum
from django_q.models import Schedule, Task
of_channel = Notification.objects.exclude(channel=None).order_by("pk")
print(json.dumps({{
    "ticks": Task.objects.filter(func="costsite.tasks.tick").count(),
    "failed": list(Task.objects.filter(success=False).values_list("func", "result")),
    "schedules": Schedule.objects.count(),
    "told": [[str(id), state, attempts] for id, state, attempts in
             of_channel.values_list("notification_id", "state", "attempts")],
    "lines": list(ThresholdCrossing.objects.order_by("threshold").values_list("threshold", flat=True)),
    "through": getattr(MonthsClosed.objects.first(), "through", ""),
    "statements": list(MonthlyStatement.objects.values_list("month", "agent__slug", "revision", "calls")),
    "reviewed": str(getattr(ReviewState.objects.first(), "through", None) or ""),
    "reviewed_calls": ReviewedDay.objects.filter(day={yesterday!r}).aggregate(calls=Sum("calls"))["calls"],
    "spent": BudgetPeriod.objects.filter(policy__agent__slug="spender").aggregate(s=Sum("spent_microcents"))["s"],
}}))
"""


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as state:
        yield state


class Listening(LiveSite):
    def environment(self) -> dict[str, str]:
        return super().environment() | {"COSTSITE_NOTIFY_PRIVATE_ADDRESSES": "true", "COSTSITE_TIME_ZONE": "UTC"}


@pytest.fixture
def sites(hook: Webhook, tmp_path: Path) -> Iterator[tuple[LiveSite, LiveSite]]:
    """As on two machines: a state folder each, one secret."""
    with running_redis() as redis:
        first = Listening(tmp_path / "one", redis_url=redis.url).prepare()
        first.manage("shell", "-v0", "-c", SET_UP.format(url=hook.url()))
        ledger = database_url(first.state_dir)
        second = replace(first, state_dir=tmp_path / "two", port=free_port(), database_url=ledger)
        second.state_dir.mkdir()
        (second.state_dir / "secret_key").write_bytes((first.state_dir / "secret_key").read_bytes())
        yield first, second
        for site in (first, second):
            site.stop()


def send(site: LiveSite, events: list[dict[str, Any]]) -> set[str]:
    batch = {"batch_id": str(uuid4()), "client_id": str(uuid4()), "sent_at": datetime.now(UTC).isoformat()}
    key = {"Authorization": f"Bearer {site.key}"}
    answer = httpx.post(f"{site.url}/api/v1/events", json=batch | {"events": events}, headers=key, timeout=60)
    assert len(answer.json()["accepted"]) == len(events), answer.text
    return {event["call_id"] for event in events}


def test_when_a_web_service_and_a_worker_die_nothing_is_lost_and_what_is_due_is_done_once(
    sites: tuple[LiveSite, LiveSite], hook: Webhook
) -> None:
    first, second = sites
    first.start()
    second.start()
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    yesterday, last_month = noon - timedelta(days=1), noon.replace(day=1) - timedelta(days=15)
    # Of a month that is over, and of a day that is: both are due as soon as a worker looks.
    before = send(second, batch_of("reader", started_at=last_month, ended_at=last_month))
    before |= send(first, batch_of("reader", calls=20, started_at=yesterday, ended_at=yesterday))

    def look() -> dict[str, Any]:
        return dict(json.loads(first.manage("shell", "-v0", "-c", LOOK.format(yesterday=f"{yesterday:%Y-%m-%d}"))))

    began = time.monotonic()
    with background_of(first, second) as (_, second_background), load_on(first.url, second.url, key=first.key) as load:
        until(lambda: look()["reviewed"] and hook.taken, "the first tick")
        load.goes_on(20, at=first.url)
        load.goes_on(20, at=second.url)

        second.kill()
        second_background.kill()

        load.goes_on(20, at=first.url)
        spent = send(first, batch_of("spender", calls=20))  # 0.72 of one cent
        heard = len(hook.taken)
        until(lambda: len(hook.taken) > heard, "the message that half the budget is spent")
        ticks = look()["ticks"]
        due_now(first)
        until(lambda: look()["ticks"] > ticks, "a tick of the worker that is left")
        done = look()
        minutes = (time.monotonic() - began) / 60
    assert load.unreachable > 0, "what was on its way to the one that died is sent again"
    require_right_books(first, load.acknowledged | before | spent)

    assert done["failed"] == []
    assert done["schedules"] == 1
    # One a minute, the first at once, and the one that was asked for.
    assert done["ticks"] <= minutes + 2
    assert (done["lines"], done["spent"]) == ([50], 20 * CALL)
    assert {(state, attempts) for _, state, attempts in done["told"]} == {("sent", 1)}
    assert sorted(taken.json["id"] for taken in hook.taken) == sorted(id for id, _, _ in done["told"])
    calls = 10 + 20 * (yesterday.month == last_month.month)
    closed = [row for row in done["statements"] if row[0] == f"{last_month:%Y-%m}"]
    assert {tuple(row) for row in closed} == {(f"{last_month:%Y-%m}", agent, 1, calls) for agent in (None, "reader")}
    assert len(closed) == 2
    assert done["reviewed_calls"] == (20 if done["reviewed"] == f"{yesterday:%Y-%m-%d}" else None), (
        "before three: later"
    )
