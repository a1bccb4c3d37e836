"""docs/budgets.md does what it says: its receiver hears, its commands run in the order of the page."""

from __future__ import annotations

import logging
import re
import shlex
from pathlib import Path

import pytest
from django.core.management import call_command

from agents.models import Agent
from budgets.models import BudgetChange
from budgets.policies import set_budget
from budgets.signals import budget_threshold_crossed
from tests.budgets.conftest import TESTER, spend

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "budgets.md").read_text(encoding="utf-8")


def block(language: str, heading: str) -> str:
    """The one block of a language under a heading."""
    part = PAGE.split(f"\n{heading}\n", 1)[1].split("\n## ", 1)[0]
    (found,) = re.findall(rf"^```{language}\n(.+?)^```", part, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.mark.django_db(transaction=True)
def test_the_receiver_on_the_page_hears_what_spending_passes_and_not_what_lay_behind(
    support_bot: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    spend(support_bot, 30)
    names: dict[str, object] = {}
    exec(block("python", "## Crossings"), names)
    try:
        with caplog.at_level(logging.WARNING, "budget-watch"):
            set_budget(support_bot, by=TESTER, limit_cents=50)
            spend(support_bot, 11)
    finally:
        assert budget_threshold_crossed.disconnect(names["tell_the_log"])

    said = [record.getMessage() for record in caplog.records if record.name == "budget-watch"]
    assert said == ["support-bot has spent 41 of 50 cents, 80 % or more: support-bot"]


@pytest.mark.django_db
def test_every_command_on_the_page_runs_in_the_order_of_the_page(support_bot: Agent) -> None:
    commands = [shlex.split(line) for line in block("bash", "## Commands").splitlines()]
    assert len(commands) == 6
    for python, manage, *command in commands:
        assert (python, manage) == ("python", "manage.py")
        call_command(*command)
    whats = list(BudgetChange.objects.order_by("pk").values_list("what", "policy__scope"))
    assert whats == [
        ("made", "workspace"), ("made", "agent"), ("made", "site"), ("granted", "agent"), ("archived", "agent"),
    ]  # fmt: skip
