"""What a downloaded file is called: of whom, what and when, whatever anybody named their agents."""

from __future__ import annotations

import re
from datetime import date
from typing import Any
from urllib.parse import unquote

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from agents.models import Agent, AgentRunLog
from budgets.models import BudgetPolicy
from costsite.analytics.file_names import file_name
from costsite.analytics.periods import Days
from tests.analytics.facts import Cast, Spend

NOVEMBER = Days(date(2026, 11, 1), date(2026, 12, 1))


def named(client: Client, address: str) -> str:
    """As a browser that knows RFC 6266 would save it."""
    response: Any = client.get(address)
    assert response.status_code == 200, address
    header = response.headers["Content-Disposition"]
    found = re.fullmatch(r'attachment; filename(?:="([^"\\]*)"|\*=utf-8\'\'([\w.%~-]+))', header)
    assert found is not None, header
    return found[1] or unquote(found[2])


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/?csv=spend-per-day", "dashboard-spend-per-day-2026-11-01-to-2026-11-30"),
        ("/?csv=spend-per-day&range=7-days&by=model&workspace=acme&status=ok",
         "dashboard-spend-per-day-acme-ok-by-model-2026-11-18-to-2026-11-24"),
        ("/?csv=spend-per-day&agent={agent}&tag=web&model=acme-1",
         "dashboard-spend-per-day-support-bot-web-2026-11-01-to-2026-11-30"),
        ("/?csv=spend-per-day&range=24-hours&model=acme-1", "dashboard-spend-per-day-2026-11-23-to-2026-11-24"),
        ("/?csv=workspaces&range=7-days&model=acme-1", "dashboard-workspaces-2026-11-01-to-2026-11-24"),
        ("/?csv=movers&range=90-days", "dashboard-movers-2026-11-17-to-2026-11-23"),
        ("/workspaces/acme/?csv=models&range=last-month&agent={agent}",
         "acme-models-support-bot-2026-10-01-to-2026-10-31"),
        ("/workspaces/acme/?csv=tags&from=2026-11-03&to=2026-11-03", "acme-tags-2026-11-03"),
        ("/workspaces/acme/?csv=will-it-hold&range=7-days", "acme-will-it-hold-2026-11-01-to-2026-11-30"),
        ("/workspaces/?csv=workspaces", "workspaces-workspaces-2026-11-01-to-2026-11-24"),
        ("/analytics/{agent}/?csv=run-costs&range=7-days", "acme-support-bot-run-costs-2026-11-18-to-2026-11-24"),
        ("/analytics/{agent}/?csv=steps&model=acme-1&tag=web",
         "acme-support-bot-steps-acme-1-web-2026-11-01-to-2026-11-30"),
        ("/analytics/{agent}/?csv=efforts&range=7-days", "acme-support-bot-efforts-2026-11-01-to-2026-11-24"),
        ("/analytics/?csv=agents&q=bot", "analytics-agents-bot-2026-11-01-to-2026-11-24"),
        ("/runs/?csv=activity", "runs-activity-2026-10-26-to-2026-11-24"),
        ("/runs/export.csv", "runs-2026-11-24"),
        ("/runs/export.csv?agent={agent}&range=7-days&status=ok",
         "acme-support-bot-runs-status-ok-2026-11-18-to-2026-11-24"),
        ("/runs/export.csv?workspace=acme&hour=2026-11-20T12", "acme-runs-hour-2026-11-20T12-2026-11-24"),
        ("/runs/{run}/?csv=calls", "acme-support-bot-run-{run}-calls-2026-11-24"),
        ("/budgets/{budget}/?csv=grants", "acme-support-bot-budget-{budget}-grants-2026-11-24"),
        ("/budgets/{budget}/?csv=will-it-hold",
         "acme-support-bot-budget-{budget}-will-it-hold-2026-11-01-to-2026-11-30"),
        ("/budgets/export.csv?q=bot", "budgets-bot-2026-11-24"),
        ("/prices/export.csv", "prices-2026-11-01-to-2026-11-24"),
        ("/keys/?csv=keys", "keys-2026-11-24"),
    ],
)  # fmt: skip
def test_two_downloads_tell_of_whom_what_and_when_they_are(
    pages: list[str], as_viewer: Client, address: str, name: str
) -> None:
    agent = Agent.objects.get(slug="support-bot")
    run, budget = AgentRunLog.objects.filter(agent=agent)[0], BudgetPolicy.objects.get(agent=agent)
    ids = {"agent": agent.pk, "run": run.pk, "budget": budget.pk}

    assert named(as_viewer, address.format(**ids)) == f"{name.format(**ids)}.csv"


@pytest.mark.parametrize(
    ("slug", "shown"),
    [
        ("../../etc/passwd", "etc-passwd"),
        ('a"; filename="evil.exe', "a-filename-evil-exe"),
        ("cv\u202efdp.exe", "cv-fdp-exe"),
        ("bot.v2", "bot-v2"),
        ("مساعد الدعم", "مساعد-الدعم"),
        ("x" * 200, "x" * 200),
        ("é" * 200, "é" * 200),
        ("🤖👩", ""),
        ("-rf", "rf"),
        (".hidden", "hidden"),
    ],
)
def test_whatever_an_agent_is_called_its_file_lands_where_it_should(
    spend: Spend, as_viewer: Client, slug: str, shown: str
) -> None:
    spend()
    agent = Agent.objects.get()
    Agent.objects.filter(pk=agent.pk).update(slug=slug)

    name = named(as_viewer, f"{reverse('agent', args=[agent.pk])}?csv=models&range=7-days")

    of_it = f"agent-{agent.pk}-{shown}".encode()[:40].decode(errors="ignore").rstrip("-")
    assert name == f"acme-{of_it}-models-2026-11-18-to-2026-11-24.csv"


def test_two_ranges_and_two_agents_are_four_files(cast: Cast, spend: Spend, as_viewer: Client) -> None:
    for slug in ("bot-v2", "bot.v2"):
        spend(agent=slug)
    pages = [reverse("agent", args=[agent.pk]) for agent in Agent.objects.all()]

    names = {named(as_viewer, f"{page}?csv=models&range={of}") for page in pages for of in ("7-days", "90-days")}

    assert len(names) == 4


@given(st.lists(st.text(), max_size=8))
def test_a_name_is_short_and_of_letters_digits_and_dashes(parts: list[str]) -> None:
    name = file_name(["", *parts], NOVEMBER)

    assert len(name.encode()) < 200
    assert name.endswith("2026-11-01-to-2026-11-30")
    assert not name.startswith("-")
    assert not re.search(r'[\s/\\.:*?"<>|;%\x00-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069]', name)
