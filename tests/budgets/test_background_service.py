"""From a call that passes a line to a webhook that hears of it, through the real background service, killed too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.budgets.receivers import Webhook, webhook
from tests.own_site import make_tables, surroundings

PROJECT = Path(__file__).resolve().parents[2]
SECONDS = 60.0

PREPARE = """
from budgets.models import NotificationChannel
from budgets.policies import set_budget
from tests.budgets.conftest import TESTER
from tests.factories import AgentFactory, WorkspaceFactory
agent = AgentFactory(workspace=WorkspaceFactory(slug="acme"), slug="support-bot")
set_budget(agent, by=TESTER, limit_cents=50)
NotificationChannel.objects.create(workspace=agent.workspace, kind="webhook", name="#costs", url={url!r})
"""
SPEND = """
from agents.models import Agent
from tests.budgets.conftest import spend
spend(Agent.objects.get(slug="support-bot"), 25)
"""
SWEEP = """
from datetime import timedelta
from django.utils import timezone
from budgets.notifications.sending import sweep
sweep(timezone.now() + timedelta(minutes=4))
"""
LOOK = """
import json
from budgets.models import Notification
print(json.dumps(list(Notification.objects.values("state", "attempts", "last_error"))))
"""


@dataclass
class Site:
    """A site with a database of its own, whose background service can be killed."""

    folder: Path
    service: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        return surroundings(self.folder, COSTSITE_NOTIFY_PRIVATE_ADDRESSES="true", PYTHONPATH=str(PROJECT))

    def manage(self, *arguments: str) -> str:
        ran = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=PROJECT, env=self.environment, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def do(self, code: str) -> str:
        return self.manage("shell", "-v0", "-c", code)

    def notifications(self) -> list[dict[str, Any]]:
        return list(json.loads(self.do(LOOK)))

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.service = subprocess.Popen(
                [sys.executable, "-m", "costsite.serve.background"],
                cwd=PROJECT, env=self.environment, stdin=subprocess.PIPE, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        """Every process of the service at once, as when the machine's memory runs out."""
        if self.service is not None and self.service.poll() is None:
            os.killpg(self.service.pid, signal.SIGKILL)
            self.service.wait()


def until(holds: Callable[[], bool], site: Site, what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not happen: {(site.folder / 'log').read_text()}"
        time.sleep(0.2)


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as state:
        yield state


@pytest.fixture
def site(tmp_path: Path, hook: Webhook) -> Iterator[Site]:
    make_tables(tmp_path)
    site = Site(tmp_path)
    site.do(PREPARE.format(url=hook.url()))
    site.start()
    try:
        yield site
    finally:
        site.kill()


def test_a_call_that_passes_a_line_reaches_a_webhook_once(site: Site, hook: Webhook) -> None:
    site.do(SPEND)
    until(lambda: bool(hook.taken), site, "the message")
    until(lambda: site.notifications()[0]["state"] == "sent", site, "the note that it was sent")
    site.do(SWEEP)
    time.sleep(2)  # were it queued again, a worker would have it by now
    assert [taken.json["title"][:17] for taken in hook.taken] == ["support-bot: 50 %"]
    assert [row["attempts"] for row in site.notifications()] == [1]
    assert hook.url() not in (site.folder / "log").read_text()


def test_a_service_that_is_killed_while_it_sends_sends_again_with_the_same_id(site: Site, hook: Webhook) -> None:
    hook.seconds = 20
    site.do(SPEND)
    until(lambda: len(hook.taken) == 1, site, "the first message")
    site.kill()
    assert [row["state"] for row in site.notifications()] == ["sending"]

    hook.seconds = 0
    site.start()
    site.do(SWEEP)
    until(lambda: len(hook.taken) == 2, site, "the second message")
    until(lambda: site.notifications()[0]["state"] == "sent", site, "the note that it was sent")
    first, second = hook.taken
    assert first.json["id"] == second.json["id"] == second.headers["Idempotency-Key"]
    assert [row["attempts"] for row in site.notifications()] == [2]
