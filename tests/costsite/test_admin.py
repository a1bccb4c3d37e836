"""What nobody can reach through the admin, not even a superuser."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django_q.models import Schedule

from costsite.brief_log import BriefAboutRefusals
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def superuser_browser() -> Client:
    superuser: User = UserFactory(username="root", is_staff=True, is_superuser=True)
    browser = Client()
    browser.force_login(superuser)
    return browser


@pytest.mark.parametrize("table", ["", "schedule/", "success/", "failure/", "ormq/"])
@pytest.mark.parametrize("page", ["", "add/", "1/change/", "1/delete/"])
def test_background_work_has_no_page(superuser_browser: Client, table: str, page: str) -> None:
    assert superuser_browser.get(f"/admin/django_q/{table}{page}").status_code == 404


def test_a_schedule_that_runs_a_shell_command_cannot_be_entered(superuser_browser: Client) -> None:
    entered = {"name": "shell", "func": "os.system", "args": "'touch /tmp/entered'", "schedule_type": "O", "repeats": 1}

    response = superuser_browser.post("/admin/django_q/schedule/add/", entered)

    assert response.status_code == 404
    assert not Schedule.objects.exists()


def test_no_table_of_another_library_is_offered_but_people_and_groups() -> None:
    offered = {model._meta.app_label for model in admin.site._registry}

    assert offered == {"advice", "agents", "auth", "budgets"}


LISTS = [(model, f"/admin/{model._meta.app_label}/{model._meta.model_name}/") for model in admin.site._registry]


@pytest.mark.parametrize("lookup", ["regex", "iregex", "contains__regex"])
def test_no_list_matches_a_regular_expression_not_even_for_a_superuser(superuser_browser: Client, lookup: str) -> None:
    staff = Client()
    staff.force_login(UserFactory(username="staff", is_staff=True))
    for model, listed in LISTS:
        for field in model._meta.fields:
            asked = f"{listed}?{field.name}__{lookup}=^(c%2B)%2B$"
            assert superuser_browser.get(asked).status_code == 400, asked
            assert staff.get(asked).status_code in (400, 403), asked


def assert_no_row_has_it(response: Any, listed: str) -> None:
    """A bad question, to SQLite; Django in some cases, and PostgreSQL in all, know that no row has such a number."""
    if response.status_code == 302:
        assert response["Location"] == f"{listed}?e=1"
    else:
        assert response.status_code == 200, listed
        assert not response.context["cl"].result_list, listed


@pytest.mark.parametrize(
    "asked", ["id__in=9223372036854775808", "id__in=0,-9223372036854775809", "id=9223372036854775808"]
)
def test_a_number_that_no_column_can_hold_is_no_rows_in_any_list(superuser_browser: Client, asked: str) -> None:
    for model, listed in LISTS:
        if any(field.name == "id" for field in model._meta.fields):
            assert_no_row_has_it(superuser_browser.get(f"{listed}?{asked}"), listed)


@pytest.mark.parametrize("asked", ["agent__exact=9223372036854775808", "agent=9223372036854775808"])
@pytest.mark.parametrize("table", ["agents/llmcall", "agents/agentrunlog", "agents/apikey", "budgets/refusal"])
def test_an_agent_whose_number_no_column_can_hold_has_no_rows(
    superuser_browser: Client, table: str, asked: str
) -> None:
    assert_no_row_has_it(superuser_browser.get(f"/admin/{table}/?{asked}"), f"/admin/{table}/")


def test_rows_ticked_by_a_number_that_no_column_can_hold_are_none(superuser_browser: Client) -> None:
    ticked = {"action": "archive", "_selected_action": "9223372036854775808"}

    response = superuser_browser.post("/admin/agents/agent/", ticked)

    assert response.status_code == 302
    assert response["Location"] in ("/admin/agents/agent/?e=1", "/admin/agents/agent/")


def test_the_filters_that_a_list_offers_still_answer(superuser_browser: Client) -> None:
    for asked in ("is_staff__exact=1", "groups__isnull=True", "groups__id__exact=1", "username__icontains=ro"):
        assert superuser_browser.get(f"/admin/auth/user/?{asked}").status_code in (200, 302), asked
    shown = superuser_browser.get("/admin/auth/user/?is_staff__exact=1")
    assert [person.username for person in shown.context["cl"].result_list] == ["root"]


def test_who_is_refused_makes_one_line_of_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.addFilter(BriefAboutRefusals())
    staff = Client()
    staff.force_login(UserFactory(username="staff", is_staff=True))

    assert staff.get("/admin/auth/user/").status_code == 403
    assert staff.get("/admin/agents/agent/?slug__regex=a").status_code == 400

    assert "Forbidden (Permission denied): /admin/auth/user/" in caplog.text
    assert "Filtering by slug__regex not allowed" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_fault_keeps_where_it_was() -> None:
    try:
        raise ValueError("a fault")
    except ValueError:
        record = logging.LogRecord("django.request", logging.ERROR, "", 1, "500", None, sys.exc_info())
    record.status_code = 500
    assert BriefAboutRefusals().filter(record)
    assert record.exc_info is not None


def test_the_sites_log_is_brief(settings: Any) -> None:
    assert settings.LOGGING["filters"]["brief"] == {"()": "costsite.brief_log.BriefAboutRefusals"}
    assert settings.LOGGING["handlers"]["stderr"]["filters"] == ["brief"]


@pytest.mark.parametrize(
    "proposed", ["", "0", "-1", "a/b", "\x00", "1e400", "\u0663\u0662", str(2**63), "9999-12-31", "NaN"]
)
def test_a_form_opens_whatever_its_address_proposes(superuser_browser: Client, proposed: str) -> None:
    for model, listed in LISTS:
        names = [field.name for field in model._meta.fields]
        response = superuser_browser.get(f"{listed}add/", dict.fromkeys(names, proposed))
        assert response.status_code in (200, 403), f"{listed} {proposed!r}"
