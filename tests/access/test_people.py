"""Every page, and every address of the admin, against every kind of person: pages.txt and admin.txt are the tables."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client, RequestFactory

from tests.access.acts import body_of
from tests.access.asking import Answer, ask
from tests.access.conftest import browser_of
from tests.access.table import PROBES, Row, read, routes
from tests.access.world import QUARTZ, ZEPHYR, World

pytestmark = pytest.mark.django_db(databases="__all__")

PROJECT: Final = Path(__file__).resolve().parents[2]
TABLES: Final = {"pages": read("pages.txt"), "admin": read("admin.txt")}
CALLERS: Final = tuple(TABLES["pages"][0].cells)
HIDDEN_FROM: Final = {
    "nobody": (QUARTZ, ZEPHYR), "stranger": (QUARTZ, ZEPHYR), "outsider": (QUARTZ,), "viewer": (ZEPHYR,),
    "owner": (ZEPHYR,), "superuser": (),
}  # fmt: skip
INLINE: Final = re.compile(
    r"<style|\sstyle=|\son\w+=[\"']|javascript:|<script(?![^>]*\ssrc=)(?![^>]*type=\"application/json\")", re.I
)


def answers(table: str, caller: str, world: World, root: Client, browser: Client) -> Iterator[tuple[Row, Answer]]:
    for row in TABLES[table]:
        body = body_of(row, world.rows, root) if row.method == "POST" else None
        yield row, ask(browser, row.method, row.address(world.rows), body)


def faults(answer: Answer, caller: str) -> Iterator[str]:
    """What no answer may have, whoever asked for it."""
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        policy = answer.headers.get("Content-Security-Policy", "")
        # A probe has an empty answer where there is none.
        strict = "script-src 'self'" in policy and "style-src 'self'" in policy and "unsafe" not in policy
        if answer.text and not strict:
            yield f"has the content policy {policy!r}"
        if inline := INLINE.search(answer.text):
            yield f"has {inline[0]!r} inline"
    for word in HIDDEN_FROM[caller]:
        if word in answer.text.lower():
            yield f"tells of {word}"


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("table", TABLES)
def test_each_person_is_answered_as_the_table_says(table: str, caller: str, world: World, root: Client) -> None:
    wrong = []
    for row, answer in answers(table, caller, world, root, browser_of(world, caller)):
        if answer.cell != row.cells[caller]:
            wrong.append(f"{row.title} answers {answer.cell}, not {row.cells[caller]}; wrote {answer.wrote}")
        wrong += [f"{row.title} {fault}" for fault in faults(answer, caller)]
    assert wrong == []


@pytest.mark.parametrize("caller", ["stranger", "outsider", "viewer", "owner"])
def test_staff_status_opens_the_admin_and_nothing_else(caller: str, world: World, root: Client) -> None:
    User.objects.exclude(username="root").update(is_staff=False)
    browser = browser_of(world, caller)
    wrong = [
        f"{row.title} answers {answer.cell}, not {row.cells[caller]}"
        for row, answer in answers("pages", caller, world, root, browser)
        if answer.cell != row.cells[caller]
    ]
    open_to_all = {"/admin/login/", "/admin/logout/"}
    wrong += [
        f"{row.title} answers {answer.cell}, not login"
        for row, answer in answers("admin", caller, world, root, browser)
        if answer.cell != "login" and row.name not in open_to_all
    ]
    assert wrong == []


def test_every_address_has_its_rows(world: World) -> None:
    """One for GET, and one for POST. A new address fails here until the tables say who may what."""
    told = {(row.method, row.route(world.rows)) for table in TABLES.values() for row in table}
    served = {route for route, _ in routes() if not route.startswith("api/")} | PROBES

    missing = sorted({(method, route) for method in ("GET", "POST") for route in served} - told)

    assert missing == []
    assert {route for _, route in told} <= served


def test_the_demo_answers_one_address_more(tmp_path: Path) -> None:
    """Whose link lets in once; tests/costsite/test_demo.py tries it."""
    say = "import django; django.setup(); from tests.access.table import routes; print(*(one for one, _ in routes()))"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COSTSITE_")}
    demo = {"COSTSITE_DEMO": "true", "COSTSITE_STATE_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "costsite.settings"}
    said = subprocess.run(
        [sys.executable, "-c", say], env=kept | demo, cwd=PROJECT, capture_output=True, text=True, check=True
    )

    assert set(said.stdout.split()) - {route for route, _ in routes()} == {"login/link/"}


def test_every_action_of_a_list_has_its_row(superuser: User, rf: RequestFactory) -> None:
    request = rf.get("/")
    request.user = superuser
    told = {row.name for row in TABLES["admin"]}
    offered = {
        f"/admin/{model._meta.app_label}/{model._meta.model_name}/#{action}"
        for model, its_admin in admin.site._registry.items()
        for action in its_admin.get_actions(request)
    }

    assert offered - told == set()


def test_every_act_needs_a_form_of_the_sites_own(world: World, root: Client) -> None:
    wrong = []
    for row in (*TABLES["pages"], *TABLES["admin"]):
        who = [caller for caller, cell in row.cells.items() if cell.endswith("!")]
        if not who:
            continue
        browser = browser_of(world, who[-1])
        browser.handler.enforce_csrf_checks = True
        answer = ask(browser, "POST", row.address(world.rows), body_of(row, world.rows, root))
        if answer.cell != "403":
            wrong.append(f"{row.title} answers {answer.cell} to a form from elsewhere")
    assert wrong == []


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"])
def test_nothing_acts_by_another_method(method: str, world: World, root: Client) -> None:
    addresses = {row.address(world.rows): row for table in TABLES.values() for row in table if row.method == "POST"}
    said = {row.title: ask(root, method, address).cell for address, row in addresses.items()}

    assert {title: cell for title, cell in said.items() if cell.endswith("!") or cell.startswith("5")} == {}
