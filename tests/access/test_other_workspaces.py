"""A member of one workspace sees nothing of another: by page, by file, by filter, or by a link on any of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import pytest
from django.test import Client

from agents.models import Agent, AgentRunLog
from tests.access.asking import ask
from tests.access.conftest import browser_of
from tests.access.table import read
from tests.access.world import QUARTZ, ZEPHYR, World

pytestmark = pytest.mark.django_db(databases="__all__")

LISTS = {
    "/", "/analytics/", "/workspaces/", "/runs/", "/budgets/", "/prices/", "/keys/", "/optimization/",
    "/runs/export.csv", "/budgets/export.csv", "/prices/export.csv",
}  # fmt: skip


def opened(caller: str, world: World) -> Iterator[tuple[str, str]]:
    """The pages that somebody may open, as the tables say; each with its text."""
    browser = browser_of(world, caller)
    for row in (*read("pages.txt"), *read("admin.txt")):
        if row.method == "GET" and row.cells[caller] == "200":
            address = row.address(world.rows)
            yield address, ask(browser, "GET", address).text


def files_on(address: str, page: str) -> set[str]:
    links = {unescape(link) for link in re.findall(r'href="([^"]*csv[^"]*)"', page)}
    return {address.partition("?")[0] + link if link.startswith("?") else link for link in links}


@pytest.mark.parametrize(
    ("caller", "other"), [("owner", ZEPHYR), ("viewer", ZEPHYR), ("outsider", QUARTZ), ("stranger", ZEPHYR)]
)
def test_no_file_and_no_filter_shows_another_workspace(caller: str, other: str, world: World) -> None:
    browser = browser_of(world, caller)
    agent = Agent.objects.get(slug=f"{other}-bot")
    run = AgentRunLog.objects.filter(agent=agent)[0]
    guesses = (
        f"?workspace={other}&range=90-days", f"?agent={agent.pk}&model={other}", f"?run={run.pk}&by=agent",
        f"?q={other}", f"?workspace__id__exact={agent.workspace_id}", f"?agent__id__exact={agent.pk}", f"?term={other}",
    )  # fmt: skip
    files: set[str] = set()
    told = []
    for address, text in opened(caller, world):
        files |= files_on(address, text)
        for guess in guesses if not address.endswith(("/change/", "/add/", "/history/", "/delete/")) else ():
            joined = address + (guess.replace("?", "&", 1) if "?" in address else guess)
            answer = ask(browser, "GET", joined)
            assert answer.cell in {"200", "302", "400", "404", "405"}, (joined, answer.cell)
            # The name of the workspace alone may be what was asked for, said again.
            told += [joined] * bool(re.search(rf"{other}[- ]", answer.text.lower()))
    for address in files:
        answer = ask(browser, "GET", address)
        assert answer.cell == "200", address
        assert answer.headers["Content-Type"].startswith("text/csv"), address
        told += [address] * (other in answer.text.lower())

    assert told == []
    assert len(files) > 5 or caller == "stranger", files


def test_a_superuser_sees_both_so_the_words_are_there_to_be_hidden(world: World) -> None:
    shown = {address: text.lower() for address, text in opened("superuser", world)}

    assert shown.keys() >= LISTS
    for address in LISTS:
        assert QUARTZ in shown[address], address
        assert ZEPHYR in shown[address], address
    changelists = [address for address in shown if re.fullmatch(r"/admin/(agents|budgets|advice)/\w+/", address)]
    of_workspaces = [address for address in changelists if QUARTZ in shown[address]]
    assert len(of_workspaces) > 12
    for address in of_workspaces:
        assert ZEPHYR in shown[address], address


def test_an_owner_and_a_viewer_see_their_own(world: World) -> None:
    for caller in ("owner", "viewer"):
        shown = {address: text.lower() for address, text in opened(caller, world)}
        for address in LISTS:
            assert QUARTZ in shown[address], (caller, address)


def test_a_member_who_was_removed_sees_nothing_any_more(world: World) -> None:
    browser: Client = browser_of(world, "viewer")
    person = world.people["viewer"]
    assert person is not None
    assert ask(browser, "GET", f"/workspaces/{QUARTZ}/").cell == "200"

    person.memberships.all().delete()  # type: ignore[attr-defined]  # of the ledger's Membership

    assert ask(browser, "GET", f"/workspaces/{QUARTZ}/").cell == "404"
    assert "You are not a member of a workspace" in ask(browser, "GET", "/").text
