"""Redis holds tasks and nothing else: without it agents report and are held to their budgets, and people hear later."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.budgets.receivers import Webhook, webhook
from tests.end_to_end.background import background_of, due_now
from tests.end_to_end.live_site import LiveSite
from tests.end_to_end.load import CALL, batch_of, until
from tests.redis_server import WHY_NOT, RedisServer, running_redis

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

CALLS = 40
"""At 0.036 cents: 1.44 cents."""
SET_UP = """
from agents.models import Agent, Workspace
from budgets.models import NotificationChannel
from budgets.policies import By, set_budget
acme = Workspace.objects.get(slug="acme")
set_budget(Agent.objects.create(workspace=acme, slug="spender"), by=By(command="test"), limit_cents=1)
NotificationChannel.objects.create(workspace=acme, kind="webhook", name="#costs", url={url!r})
"""
NOTIFICATIONS = """
import json
from budgets.models import Notification
rows = Notification.objects.exclude(channel=None).order_by("pk").values_list("state", "attempts")
print(json.dumps(list(rows)))
"""


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as state:
        yield state


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def site(redis: RedisServer, hook: Webhook, budgeted_site: LiveSite, tmp_path: Path) -> Iterator[LiveSite]:
    site = WithMetrics(tmp_path / "site", redis_url=redis.url).copy(budgeted_site)
    site.manage("shell", "-v0", "-c", SET_UP.format(url=hook.url()))
    site.start()
    yield site
    site.stop()


class WithMetrics(LiveSite):
    def environment(self) -> dict[str, str]:
        return super().environment() | {
            "COSTSITE_NOTIFY_PRIVATE_ADDRESSES": "true",
            "COSTSITE_METRICS_TOKEN": "token-of-the-tests",
        }


def asked(site: LiveSite, path: str, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(
        f"{site.url}/api/v1/{path}", json=body, headers={"Authorization": f"Bearer {site.key}"}, timeout=60
    )


def lease(site: LiveSite) -> int:
    body = {"agent": "spender", "client_id": str(uuid4()), "least_microcents": CALL}
    return asked(site, "leases", body).status_code


def spend_it_all(site: LiveSite) -> None:
    events = batch_of("spender", calls=CALLS)
    batch = {"batch_id": str(uuid4()), "client_id": str(uuid4()), "events": events}
    answer = asked(site, "events", batch | {"sent_at": events[0]["started_at"]})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["accepted"]) == CALLS


def sent(site: LiveSite) -> list[list[Any]]:
    return list(json.loads(site.manage("shell", "-v0", "-c", NOTIFICATIONS)))


def test_while_redis_is_gone_budgets_hold_and_who_is_to_be_told_is_told_once_when_it_is_back(
    site: LiveSite, redis: RedisServer, hook: Webhook
) -> None:
    with background_of(site):
        assert lease(site) == 200
        redis.kill()

        spend_it_all(site)

        assert lease(site) == 402
        metrics = httpx.get(f"{site.url}/metrics", headers={"Authorization": "Bearer token-of-the-tests"}, timeout=60)
        assert metrics.status_code == 200
        assert f"costsite_calls_total {CALLS}.0" in metrics.text
        assert "costsite_queued_tasks" not in metrics.text, "not known, and so not said"
        assert httpx.get(f"{site.url}/readyz", timeout=60).status_code == 200
        assert (hook.taken, [state for state, _ in sent(site)]) == ([], ["pending"])

        redis.start()
        due_now(site)
        until(lambda: sent(site) == [["sent", 1]], "the message")
    assert [taken.json["title"] for taken in hook.taken] == ["spender is blocked"]


def test_a_redis_that_hangs_holds_up_only_who_passes_a_line(site: LiveSite, redis: RedisServer) -> None:
    redis.signal(signal.SIGSTOP)
    try:
        spend_it_all(site)
        assert lease(site) == 402
    finally:
        redis.signal(signal.SIGCONT)
