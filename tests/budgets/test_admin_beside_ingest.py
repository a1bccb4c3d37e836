"""A budget set in the admin while the agent's calls come in."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse

from agents.models import Agent
from budgets.counters import differences
from budgets.models import BudgetPeriod
from budgets.policies import set_budget
from tests.budgets.conftest import CENT, TESTER, spend

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.postgresql("threads that write to one SQLite in memory lock each other's tables"),
]

ROUNDS = 15


def test_the_form_of_an_agent_and_its_calls_do_not_wait_for_each_other_in_a_circle(
    support_bot: Agent, superuser: User, settings: Any
) -> None:
    """Recording holds the shared lock and takes the agent's row, to note when it last ran; the form takes both too."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    set_budget(support_bot, by=TESTER, limit_cents=1)
    failed: list[BaseException] = []

    def report() -> None:
        try:
            for _ in range(ROUNDS):
                Agent.objects.filter(pk=support_bot.pk).update(last_run_at=None)
                spend(support_bot, 1, is_root=True)
        except BaseException as error:
            failed.append(error)
        finally:
            connection.close()

    browser = Client()
    browser.force_login(superuser)
    page = reverse("admin:agents_agent_change", args=[support_bot.pk])
    threads = [threading.Thread(target=report) for _ in range(2)]
    for thread in threads:
        thread.start()
    for limit in range(2, 2 + ROUNDS):
        form = {"name": f"Bot {limit}", "active": "on", "monthly_budget_cents": str(limit)}
        assert browser.post(page, form | {"initial-monthly_budget_cents": str(limit - 1)}).status_code == 302
    for thread in threads:
        thread.join()

    assert failed == []
    assert list(differences()) == []
    assert BudgetPeriod.objects.get().spent_microcents == 2 * ROUNDS * CENT
