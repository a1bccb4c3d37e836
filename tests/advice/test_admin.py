"""In the admin: runs by what the review marked, and rows that hold for every workspace."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agents.models import AgentRunLog, Workspace
from costsite.advice import causes
from costsite.advice.models import TaskRow
from costsite.advice.nightly import review
from tests.advice.conftest import FIRST, YESTERDAY, Book
from tests.advice.planted import Agent, Month

pytestmark = pytest.mark.django_db

RUNS = reverse("admin:agents_agentrunlog_changelist")


@pytest.fixture
def month(book: Book) -> Month:
    month = Month(Agent(), FIRST)
    book(month.events((causes.LOOPS, causes.COMPACT)))
    review(YESTERDAY)
    return month


def test_the_list_of_runs_is_filtered_by_unusually_high_tokens(
    month: Month, client: Client, superuser: User, viewer: User
) -> None:
    for person in (superuser, viewer):
        client.force_login(person)

        html = client.get(RUNS, {"unusual": "yes"}).content.decode()

        assert "Unusually high tokens" in client.get(RUNS).content.decode()
        assert "Retries and loops" in html
        assert "Context that should be compacted" in html
        ordinary = AgentRunLog.objects.exclude(run_id__in=month.planted).order_by("pk")[0]
        assert all(str(run_id) in html for run_id in month.planted)
        assert str(ordinary.run_id) not in html


def test_another_workspaces_runs_are_not_in_the_filtered_list(
    month: Month, client: Client, elsewhere: Workspace, django_user_model: type[User]
) -> None:
    stranger = django_user_model.objects.create_user("stan", is_staff=True)
    stranger.memberships.create(workspace=elsewhere)
    client.force_login(stranger)

    html = client.get(RUNS, {"unusual": "yes"}).content.decode()

    assert not any(str(run_id) in html for run_id in month.planted)


def test_the_list_asks_no_more_for_the_marks_of_its_runs(month: Month, client: Client, superuser: User) -> None:
    client.force_login(superuser)
    with CaptureQueriesContext(connection) as queries:
        client.get(RUNS)

    assert not [query for query in queries if 'FROM "advice_runreview"' in query["sql"]]


def test_a_new_site_has_three_tasks_which_only_who_runs_it_changes(
    client: Client, superuser: User, owner: User
) -> None:
    rows = [(row.name, row.effort, row.tier) for row in TaskRow.objects.order_by("pk")]
    assert rows == [
        ("Code formatting", "low", "small"),
        ("Bug fixes", "medium", "mid"),
        ("Architecture decisions", "high", "top"),
    ]
    change = reverse("admin:advice_taskrow_change", args=[TaskRow.objects.order_by("pk")[0].pk])
    changed = {"task": "formatting", "name": "Code formatting", "effort": "medium", "tier": "small"}
    for person, status, effort in ((owner, 403, "low"), (superuser, 302, "medium")):
        client.force_login(person)

        assert client.get(change).status_code == 200
        assert client.post(change, changed).status_code == status
        assert TaskRow.objects.get(task="formatting").effort == effort
