"""What nobody can reach through the admin, not even a superuser."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django_q.models import Schedule

from tests.factories import UserFactory

pytestmark = pytest.mark.django_db(databases=["default", "queue"])


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
