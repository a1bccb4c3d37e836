"""What the sections of Cost optimization compare, figure by figure; and agents that have next to nothing to show."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from agents.models import Agent as AgentRow
from agents.models import Workspace
from costsite.advice.nightly import review
from tests.advice.conftest import FIRST, YESTERDAY, Book
from tests.advice.planted import Agent, Month
from tests.advice.test_finding import one_call_runs
from tests.advice.test_page import text

pytestmark = [pytest.mark.django_db]


def rows(html: str, heading: str) -> list[list[str]]:
    """The cells of the table with such a heading, its head left out."""
    for table in re.findall(r"<table.*?</table>", html, re.DOTALL):
        if f">{heading}</th>" in table:
            body = table.split("<tbody>", 1)[1]
            lines = re.findall(r"<tr>.*?</tr>", body, re.DOTALL)
            cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.DOTALL) for line in lines]
            return [[" ".join(unescape(re.sub(r"<[^>]+>", " ", cell)).split()) for cell in line] for line in cells]
    raise AssertionError(f"no table has {heading}")


def test_efforts_are_compared_by_cost_tokens_reasoning_and_failures(book: Book, client: Client, viewer: User) -> None:
    book(one_call_runs(300, failing=3, effort="medium", day=3, reasoning_tokens=100))
    book(one_call_runs(250, failing=5, effort="high", day=4, output_tokens=2_500, reasoning_tokens=2_000))
    book(one_call_runs(20, day=5))
    review(YESTERDAY)
    client.force_login(viewer)

    html = client.get("/optimization/").content.decode()

    # 1,000 x 100 + 2,500 x 200 and 1,000 x 100 + 500 x 200 microcents a call; 2,000 of 2,500 and 100 of 500 reasoned.
    assert [row[:7] for row in rows(html, "Reasoning")] == [
        ["support-bot acme-1", "high", "250", "0.6000¢", "2,500", "80 %", "2.0 %"],
        ["support-bot acme-1", "medium", "300", "0.2000¢", "500", "20 %", "1.0 %"],
    ]
    assert "Lower the effort" in text(client)
    assert "low: cheapest, good for simple tasks" not in html


def test_identical_prompts_are_counted_beside_what_they_cost(book: Book, client: Client, viewer: User) -> None:
    book(one_call_runs(40, day=3, prompt_hash="ab" * 16))
    book(one_call_runs(10, day=4))
    review(YESTERDAY)
    client.force_login(viewer)

    html = client.get("/optimization/").content.decode()

    # 39 after the first, at 0.2 cents each.
    (row,) = rows(html, "Identical prompts")
    assert row[:5] == ["support-bot", "not reported", "–", "39", "7.80¢"]
    assert "ab" * 16 not in html, "hashes are shown to nobody"


@pytest.fixture
def poor(book: Book, workspace: Workspace) -> dict[str, AgentRow]:
    """An agent without a run, one with one, one whose runs all failed before a token, and one that has no price."""
    AgentRow.objects.create(workspace=workspace, slug="idle")
    once, failing = Month(Agent("once"), FIRST), Month(Agent("failing"), FIRST)
    book(once.talk(once.uuid(FIRST), FIRST, 2, 1_500, 100))
    nothing: dict[str, Any] = {"status": "error", "usage_basis": "estimated", "input_tokens": 0, "output_tokens": 0}
    book(failing.call(failing.uuid(FIRST), FIRST + timedelta(days=day), 0, **nothing) for day in range(3))
    book(one_call_runs(3, agent="unpriced", request_model="acme-unheard-of"))
    review(YESTERDAY)
    return {agent.slug: agent for agent in AgentRow.objects.all()}


def test_agents_with_next_to_nothing_are_said_to_be_new(
    poor: dict[str, AgentRow], client: Client, viewer: User
) -> None:
    client.force_login(viewer)

    page = text(client)

    assert "Nothing to advise" in page
    assert "once (1 of 30 runs)" in page
    assert "failing (0 of 30 runs)" in page
    assert "idle (" not in page
    assert "No run of the last 30 days was unusual for its agent." in page


@pytest.mark.parametrize(
    ("slug", "says"),
    [
        ("idle", "manage.py review_runs --today does it now"),
        ("once", "n 2 calls"),
        ("failing", "n 3 calls"),
        ("unpriced", "n 3 calls"),
    ],
)
def test_what_if_answers_for_agents_with_next_to_nothing(
    slug: str, says: str, poor: dict[str, AgentRow], client: Client, owner: User
) -> None:
    client.force_login(owner)

    for model in ("openai/gpt-5-mini", "acme-ai/unheard-of"):
        page = text(client, f"/optimization/what-if/?agent={poor[slug].pk}&range=this-month&model={model}")
        if model.startswith("openai/") or slug == "idle":
            assert says in page
        else:
            assert "No price is known for acme-ai/unheard-of" in page
    for agent in poor.values():
        assert client.get(f"/analytics/{agent.pk}/").status_code == 200


def test_tags_as_long_as_the_ledger_takes_them_and_very_many_of_them_are_no_trouble(
    book: Book, client: Client, viewer: User
) -> None:
    for number in range(60):
        tag = f"task:{number:03}" + "x" * 56
        book(one_call_runs(1, day=3 + number % 20, tags=(tag, *(f"{other}" + "t" * 62 for other in range(7)))))
    review(YESTERDAY)
    client.force_login(viewer)

    assert "Cost optimization" in text(client)
