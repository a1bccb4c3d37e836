"""Who sees and changes what in the admin, and that its lists stay quick when the tables are large."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from agents import ledger
from agents.keys import create_key, find_key
from agents.merging import merge
from agents.models import (
    Agent,
    AgentDay,
    AgentMerge,
    AgentRunLog,
    ApiKey,
    CostCorrection,
    LLMCall,
    Membership,
    Workspace,
)
from agents.models import Client as ReportingClient
from tests.factories import NOON, AgentFactory, MembershipFactory, UserFactory, WorkspaceFactory, llm_call

TABLES = (
    "workspace",
    "agent",
    "apikey",
    "modelprice",
    "agentrunlog",
    "llmcall",
    "client",
    "costcorrection",
    "agentmerge",
)
READ_ONLY = ("agentrunlog", "llmcall", "client", "costcorrection", "agentmerge")


def address(table: str, page: str = "changelist", *args: Any) -> str:
    return reverse(f"admin:agents_{table}_{page}", args=args)


@pytest.fixture
def filled(workspace: Workspace, elsewhere: Workspace) -> Iterator[None]:
    """A row of every table in Acme and in Elsewhere."""
    for place in (workspace, elsewhere):
        ledger.record(
            place,
            [(0, llm_call(agent=f"{place.slug}-bot", is_root=True))],
            client=None,
            received_at=timezone.now(),
        )
        ReportingClient.objects.create(workspace=place, client_id=uuid4(), host=f"{place.slug}-host")
        create_key(place, name=f"{place.slug}-key")
        CostCorrection.objects.create(
            workspace=place,
            agent=Agent.objects.get(workspace=place),
            repricing_id=uuid4(),
            day=NOON.date(),
            model=f"{place.slug}-model",
            calls=1,
            cost_before_microcents=1,
            cost_after_microcents=2,
            reason="a new price",
        )
        bot = Agent.objects.get(workspace=place)
        AgentMerge.objects.create(workspace=place, source=bot, target=bot, by_name="a row for the list")
    return


@pytest.mark.parametrize(
    ("facts", "before", "after"),
    [
        ({"newly_priced_calls": 3, "cost_after_microcents": 540_000}, "unpriced", "0.54"),
        ({"newly_priced_calls": 1, "cost_before_microcents": 360_000}, "0.36 + 1 unpriced", "0"),
        ({"no_longer_priced_calls": 3, "cost_before_microcents": 2_000_000}, "2", "unpriced"),
        ({}, "0", "0"),
    ],
)
def test_a_correction_of_what_had_no_price_is_not_from_nothing(
    workspace: Workspace, superuser: User, client: Client, facts: dict[str, int], before: str, after: str
) -> None:
    agent = Agent.objects.create(workspace=workspace, slug="one")
    CostCorrection.objects.create(
        workspace=workspace, agent=agent, repricing_id=uuid4(), day=NOON.date(), calls=3, reason="a new price", **facts
    )
    client.force_login(superuser)

    html = client.get(address("costcorrection")).content.decode()

    assert f'<td class="field-before_in_cents">{before}</td>' in html
    assert f'<td class="field-after_in_cents">{after}</td>' in html


def row_of(table: str, place: Workspace) -> Any:
    from django.apps import apps

    rows: Any = apps.get_model("agents", table).objects
    return place if table == "workspace" else rows.filter(workspace=place).first()


@pytest.mark.parametrize("table", [table for table in TABLES if table != "modelprice"])
def test_staff_see_the_rows_of_their_workspaces_and_no_others(
    filled: None, workspace: Workspace, elsewhere: Workspace, viewer: User, superuser: User, client: Client, table: str
) -> None:
    for person, sees_all in ((viewer, False), (superuser, True)):
        client.force_login(person)
        listed = client.get(address(table)).context["cl"].result_list
        own = client.get(address(table, "change", row_of(table, workspace).pk))
        other = client.get(address(table, "change", row_of(table, elsewhere).pk))

        assert len(listed) == (2 if sees_all else 1)
        assert own.status_code == 200
        assert (other.status_code == 200) is sees_all


@pytest.mark.parametrize("table", TABLES)
def test_the_admin_holds_under_the_content_policy(
    filled: None, workspace: Workspace, superuser: User, client: Client, table: str
) -> None:
    client.force_login(superuser)
    pages = [address(table)]
    if table not in READ_ONLY:
        pages.append(address(table, "add"))
    if table != "modelprice":
        pages.append(address(table, "change", row_of(table, workspace).pk))
    for page in pages:
        response = client.get(page)

        html = response.content.decode()
        assert response.status_code == 200, page
        assert "style-src 'self'" in response.headers["Content-Security-Policy"]
        assert not re.search(r"<style|\sstyle=|\son(click|change|load|submit)=", html), page
        assert all("src=" in tag or 'type="application/json"' in tag for tag in re.findall(r"<script[^>]*>", html)), (
            page
        )
        assert "css/tokens.css" in html


def test_a_key_is_shown_once_and_opens_its_workspace(workspace: Workspace, owner: User, client: Client) -> None:
    client.force_login(owner)

    response = client.post(
        address("apikey", "add"), {"workspace": workspace.pk, "name": "ci", "scopes": ["events:write"]}
    )

    key = re.search(r"cs_[0-9a-f]{10}_[\w-]{40,}", response.content.decode())
    assert key is not None
    found = find_key(key[0])
    assert found is not None
    assert (found.workspace, found.name, found.scopes, found.created_by) == (workspace, "ci", ["events:write"], owner)
    assert "no-store" in response.headers["Cache-Control"]
    assert ApiKey.objects.count() == 1
    for page in (address("apikey"), address("apikey", "change", found.pk)):
        html = client.get(page).content.decode()
        assert key[0] not in html
        assert found.key_hash not in html


def test_a_revoked_key_opens_nothing(workspace: Workspace, owner: User, client: Client) -> None:
    row, key = create_key(workspace)
    client.force_login(owner)

    client.post(address("apikey"), {"action": "revoke", "_selected_action": [row.pk], "index": 0})

    assert find_key(key) is None


def test_who_only_views_revokes_nothing(
    workspace: Workspace, elsewhere: Workspace, viewer: User, client: Client
) -> None:
    MembershipFactory(user=viewer, workspace=elsewhere, role=Membership.Role.OWNER)
    theirs, key = create_key(workspace)
    own, own_key = create_key(elsewhere)
    client.force_login(viewer)

    client.post(address("apikey"), {"action": "revoke", "_selected_action": [theirs.pk, own.pk], "index": 0})

    assert find_key(key) is not None
    assert find_key(own_key) is None


def test_a_key_for_one_agent_is_for_an_agent_of_its_workspace(
    workspace: Workspace, elsewhere: Workspace, superuser: User, client: Client
) -> None:
    stranger = AgentFactory(workspace=elsewhere)
    client.force_login(superuser)

    response = client.post(
        address("apikey", "add"), {"workspace": workspace.pk, "agent": stranger.pk, "scopes": ["read"]}
    )

    assert "choose an agent of Acme, or none" in response.content.decode()
    assert not ApiKey.objects.exists()


def test_owners_make_agents_in_their_own_workspaces_only(
    workspace: Workspace, elsewhere: Workspace, owner: User, client: Client
) -> None:
    client.force_login(owner)
    for place in (workspace, elsewhere):
        client.post(address("agent", "add"), {"workspace": place.pk, "slug": "new-bot", "active": "on"})

    assert [agent.workspace for agent in Agent.objects.all()] == [workspace]


def test_an_agent_keeps_its_workspace_and_its_slug(
    filled: None, workspace: Workspace, elsewhere: Workspace, superuser: User, client: Client
) -> None:
    agent = Agent.objects.get(workspace=workspace)
    client.force_login(superuser)

    client.post(
        address("agent", "change", agent.pk),
        {"workspace": elsewhere.pk, "slug": "other", "name": "Renamed", "effort": "low", "active": "on"},
    )

    agent.refresh_from_db()
    assert (agent.workspace, agent.slug, agent.name, agent.effort) == (workspace, "acme-bot", "Renamed", "low")


@pytest.mark.parametrize(("role", "status", "name"), [("owner", 302, "New name"), ("viewer", 403, "")])
def test_owners_change_what_viewers_only_see(
    filled: None, workspace: Workspace, client: Client, role: str, status: int, name: str
) -> None:
    person = UserFactory(is_staff=True)
    MembershipFactory(user=person, workspace=workspace, role=role)
    agent = Agent.objects.get(workspace=workspace)
    client.force_login(person)

    response = client.post(address("agent", "change", agent.pk), {"name": "New name", "active": "on"})

    agent.refresh_from_db()
    assert (response.status_code, agent.name) == (status, name)


def members_form(workspace: Workspace, username: str, role: str = "viewer") -> dict[str, Any]:
    kept = Membership.objects.filter(workspace=workspace)
    form: dict[str, Any] = {
        "name": workspace.name,
        "slug": workspace.slug,
        "default_budget-TOTAL_FORMS": 0,
        "default_budget-INITIAL_FORMS": 0,
        "memberships-TOTAL_FORMS": kept.count() + 1,
        "memberships-INITIAL_FORMS": kept.count(),
        f"memberships-{kept.count()}-user": username,
        f"memberships-{kept.count()}-role": role,
        f"memberships-{kept.count()}-workspace": workspace.pk,
    }
    for index, membership in enumerate(kept):
        form |= {
            f"memberships-{index}-id": membership.pk,
            f"memberships-{index}-workspace": workspace.pk,
            f"memberships-{index}-role": membership.role,
        }
    return form


def test_an_owner_adds_a_member_by_username(workspace: Workspace, owner: User, client: Client) -> None:
    newcomer = UserFactory(username="nora")
    client.force_login(owner)

    response = client.post(address("workspace", "change", workspace.pk), members_form(workspace, "nora"))

    assert response.status_code == 302
    assert Membership.objects.get(user=newcomer).role == Membership.Role.VIEWER


def test_a_username_nobody_has_is_said_with_the_mend(workspace: Workspace, owner: User, client: Client) -> None:
    client.force_login(owner)

    response = client.post(address("workspace", "change", workspace.pk), members_form(workspace, "nobody"))

    assert "Nobody active has this username" in response.content.decode()
    assert Membership.objects.count() == 1


def test_the_form_of_members_does_not_tell_who_else_has_a_login(
    workspace: Workspace, owner: User, client: Client
) -> None:
    UserFactory(username="secret-person")
    client.force_login(owner)

    assert "secret-person" not in client.get(address("workspace", "change", workspace.pk)).content.decode()


def test_a_viewer_does_not_make_themselves_owner(workspace: Workspace, viewer: User, client: Client) -> None:
    client.force_login(viewer)
    form = members_form(workspace, "vera", "owner") | {"memberships-0-role": "owner"}

    assert client.post(address("workspace", "change", workspace.pk), form).status_code == 403
    assert Membership.objects.get(user=viewer).role == Membership.Role.VIEWER


HOSTILE = ["two\nlines", "red \x1b[31m", "a\ttab", "\x9b2J", "a\u2028b", "bot\u202egnp.exe"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_breaks_a_line_or_drives_a_terminal_is_refused_with_the_mend(
    filled: None, workspace: Workspace, superuser: User, client: Client, name: str
) -> None:
    agent = Agent.objects.get(workspace=workspace)
    client.force_login(superuser)
    for page, form in (
        (address("workspace", "change", workspace.pk), members_form(workspace, "") | {"name": name}),
        (address("agent", "change", agent.pk), {"name": name, "active": "on"}),
        (address("agent", "change", agent.pk), {"default_model": name, "active": "on"}),
        (address("agent", "add"), {"workspace": workspace.pk, "slug": name, "active": "on"}),
    ):
        answer = client.post(page, form)
        assert answer.status_code == 200
        assert "take out the line break, the control character" in answer.content.decode()
    with pytest.raises(CommandError, match="take out the line break"):
        call_command("create_workspace", "new", "--name", name)


@pytest.mark.parametrize("slug", ["\u200b", "\u3164"])
def test_an_agent_is_not_made_under_a_name_that_nobody_sees(
    workspace: Workspace, superuser: User, client: Client, slug: str
) -> None:
    client.force_login(superuser)
    answer = client.post(address("agent", "add"), {"workspace": workspace.pk, "slug": slug, "active": "on"})

    assert "A name needs a character that can be seen." in answer.content.decode()
    assert not Agent.objects.filter(slug=slug).exists()


@pytest.mark.parametrize("name", ["דוח מכירות", "می‌خواهم", "مساعد\u200f 2", "👩‍💻 team 🏴󠁧󠁢󠁳󠁣󠁴󠁿", "Zoë’s bot", "支援"])
def test_names_of_every_script_and_emoji_are_taken(
    filled: None, workspace: Workspace, superuser: User, client: Client, name: str
) -> None:
    agent = Agent.objects.get(workspace=workspace)
    client.force_login(superuser)

    client.post(address("workspace", "change", workspace.pk), members_form(workspace, "") | {"name": name})
    client.post(address("agent", "change", agent.pk), {"name": name, "active": "on"})

    workspace.refresh_from_db()
    agent.refresh_from_db()
    assert (workspace.name, agent.name) == (name, name)


def test_archiving_keeps_the_row(filled: None, workspace: Workspace, owner: User, client: Client) -> None:
    agent = Agent.objects.get(workspace=workspace)
    client.force_login(owner)

    client.post(address("agent"), {"action": "archive", "_selected_action": [agent.pk], "index": 0})
    agent.refresh_from_db()
    assert agent.archived_at is not None

    client.post(address("agent"), {"action": "restore", "_selected_action": [agent.pk], "index": 0})
    agent.refresh_from_db()
    assert agent.archived_at is None


def test_a_workspace_that_was_archived_is_restored_by_a_superuser_alone(
    workspace: Workspace, owner: User, superuser: User, client: Client
) -> None:
    _, key = create_key(workspace)
    Workspace.objects.filter(pk=workspace.pk).archive()
    form = {"action": "restore", "_selected_action": [workspace.pk], "index": 0}

    client.force_login(owner)
    assert "Take out of the archive" not in client.get(address("workspace")).content.decode()
    client.post(address("workspace"), form)
    assert find_key(key) is None

    client.force_login(superuser)
    client.post(address("workspace"), form)
    assert find_key(key) is not None


def test_an_owner_names_a_workspace_and_keeps_its_slug(
    workspace: Workspace, elsewhere: Workspace, owner: User, superuser: User, client: Client
) -> None:
    form = members_form(workspace, "") | {"name": "Acme & Co", "slug": elsewhere.slug}
    client.force_login(owner)

    answer = client.post(address("workspace", "change", workspace.pk), form)

    workspace.refresh_from_db()
    assert answer.status_code == 302, "who has the slug is not told"
    assert (workspace.name, workspace.slug) == ("Acme & Co", "acme")
    client.force_login(superuser)
    client.post(address("workspace", "change", workspace.pk), form | {"slug": "acme-2"})
    workspace.refresh_from_db()
    assert workspace.slug == "acme-2"


@pytest.mark.parametrize("table", ["workspace", "agent"])
def test_who_owns_one_workspace_archives_nothing_of_another(
    filled: None, workspace: Workspace, elsewhere: Workspace, owner: User, client: Client, table: str
) -> None:
    MembershipFactory(user=owner, workspace=elsewhere)
    client.force_login(owner)
    own, theirs = row_of(table, workspace), row_of(table, elsewhere)

    client.post(address(table), {"action": "archive", "_selected_action": [own.pk, theirs.pk], "index": 0})

    assert list(type(own).objects.archived()) == [own]


def test_archiving_again_keeps_the_time_of_the_first(workspace: Workspace) -> None:
    rows = Workspace.objects.filter(pk=workspace.pk)

    assert rows.archive() == 1
    first = rows.get().archived_at
    assert rows.archive() == 0
    assert rows.get().archived_at == first
    assert (rows.restore(), rows.restore()) == (1, 0)


@pytest.mark.parametrize("table", ["agentrunlog", "llmcall"])
def test_the_columns_have_the_names_that_api_and_export_use(
    filled: None, superuser: User, client: Client, table: str
) -> None:
    client.force_login(superuser)

    html = client.get(address(table)).content.decode()

    for name in ("Input tokens", "Output tokens", "Estimated cost (cents)"):
        assert name in html
    assert ">unpriced<" not in html  # the calls have a price: 1,200 in and 300 out on gpt-4o-mini
    assert ">0.036<" in html  # 1,200 x 0.15 + 300 x 0.60 = 360 USD per million = 0.036 cents


@pytest.mark.parametrize(
    ("table", "model", "field"), [("agentrunlog", AgentRunLog, "run_id"), ("llmcall", LLMCall, "call_id")]
)
def test_a_row_is_found_by_the_first_digits_of_its_id(
    filled: None,
    workspace: Workspace,
    viewer: User,
    superuser: User,
    client: Client,
    table: str,
    model: Any,
    field: str,
) -> None:
    row = model.objects.get(workspace=workspace)
    for person in (viewer, superuser):
        client.force_login(person)

        found = client.get(address(table), {"q": str(getattr(row, field))[:13]}).context["cl"].result_list
        nothing = client.get(address(table), {"q": "abc"})

        assert list(found) == [row]
        assert len(nothing.context["cl"].result_list) == 0
        assert "8 or more hexadecimal digits" in nothing.content.decode()


@pytest.mark.sqlite("reads its plans")
@pytest.mark.parametrize("table", ["agentrunlog", "llmcall"])
@pytest.mark.parametrize("query", ["", "?q=0193abcd"])
def test_lists_of_runs_and_calls_read_a_bounded_part_of_an_index(
    filled: None, workspace: Workspace, viewer: User, superuser: User, client: Client, table: str, query: str
) -> None:
    MembershipFactory(user=viewer, workspace=WorkspaceFactory())
    more_than_a_page = [(index, llm_call(is_root=True)) for index in range(60)]
    ledger.record(workspace, more_than_a_page, client=None, received_at=timezone.now())
    for person in (viewer, superuser):
        client.force_login(person)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address(table) + query).status_code == 200
        asked = [sql["sql"] for sql in queries if f'FROM "agents_{table}"' in sql["sql"]]
        assert asked
        for sql in asked:
            with connection.cursor() as cursor:
                plan = [row[3] for row in cursor.execute("EXPLAIN QUERY PLAN " + sql).fetchall()]
            bare = [step for step in plan if re.fullmatch(r"SCAN (agents_\w+|[UV]\d)", step)]
            # Walking by rowid from the newest, no further than the page, and counting no further than the newest:
            # the two scans that are quick however large the table.
            newest = f'ORDER BY "agents_{table}"."id" DESC LIMIT 50' in sql
            counted = sql.startswith("SELECT COUNT(*) FROM (SELECT") and "LIMIT 2000)" in sql
            assert not bare or newest or counted, (sql, plan)
        assert len(queries) < 15


def test_newest_runs_of_several_workspaces_come_first(
    workspace: Workspace, elsewhere: Workspace, viewer: User, client: Client
) -> None:
    MembershipFactory(user=viewer, workspace=elsewhere)
    for minute, place in enumerate([workspace, elsewhere, workspace]):
        ledger.record(
            place,
            [
                (
                    0,
                    llm_call(
                        is_root=True, started_at=NOON + timedelta(minutes=minute), ended_at=NOON + timedelta(hours=1)
                    ),
                )
            ],
            client=None,
            received_at=timezone.now(),
        )
    client.force_login(viewer)

    listed = client.get(address("agentrunlog")).context["cl"].result_list

    assert [run.started_at.minute for run in listed] == [2, 1, 0]


@pytest.mark.parametrize(
    ("table", "lookup"),
    [
        ("workspace", "hash_key__startswith"),
        ("workspace", "memberships__user__password__startswith"),
        ("apikey", "key_hash__startswith"),
        ("apikey", "key_hash"),
        ("apikey", "workspace__hash_key__startswith"),
        ("agent", "workspace__hash_key__regex"),
        ("client", "workspace__hash_key__startswith"),
    ],
)
def test_a_secret_cannot_be_spelt_out_through_the_address_of_a_list(
    filled: None, viewer: User, superuser: User, client: Client, table: str, lookup: str
) -> None:
    for person in (viewer, superuser):
        client.force_login(person)
        assert client.get(address(table), {lookup: "4"}).status_code == 400


@pytest.mark.parametrize(
    ("table", "lookup", "value"),
    [
        ("workspace", "slug__startswith", "acme"),
        ("agent", "active__exact", "1"),
        ("apikey", "name", "acme-key"),
        ("apikey", "id__gt", "0"),
    ],
)
def test_a_list_can_be_asked_about_what_it_shows(
    filled: None, viewer: User, client: Client, table: str, lookup: str, value: str
) -> None:
    client.force_login(viewer)

    response = client.get(address(table), {lookup: value})

    assert response.status_code == 200
    assert len(response.context["cl"].result_list) == 1


@pytest.mark.parametrize("page", ["/admin/agents/apikey/add/", "/admin/budgets/budgetpolicy/add/"])
def test_an_owner_cannot_spell_out_the_agents_of_others(
    page: str, elsewhere: Workspace, workspace: Workspace, owner: User, client: Client
) -> None:
    secret = AgentFactory(workspace=elsewhere, slug="secret-merger-bot")
    mine = AgentFactory(workspace=workspace, slug="support-bot")
    client.force_login(owner)

    shown = client.get(page, {"agent": secret.pk}).content + client.post(page, {"agent": secret.pk}).content
    found = client.get(
        "/admin/autocomplete/",
        {"term": "bot", "app_label": "agents", "model_name": "apikey", "field_name": "agent"},
    ).json()

    assert b"secret-merger-bot" not in shown
    assert [int(result["id"]) for result in found["results"]] == [mine.pk]


def test_a_list_of_agents_says_what_each_spent_this_month_in_one_query(
    filled: None, workspace: Workspace, viewer: User, client: Client
) -> None:
    AgentFactory(workspace=workspace, slug="idle")
    AgentDay.objects.update(day=timezone.now().date())  # of this month, whenever the test runs
    client.force_login(viewer)

    with CaptureQueriesContext(connection) as queries:
        html = client.get(address("agent")).content.decode()

    assert '<td class="field-spend_this_month">0.04</td>' in html  # 0.036 cents: a call on gpt-4o-mini
    assert '<td class="field-spend_this_month">0.00</td>' in html
    assert sum("agents_agentday" in query["sql"] for query in queries) == 1


def test_lists_of_runs_separate_thousands(filled: None, superuser: User, client: Client) -> None:
    client.force_login(superuser)

    assert '<td class="field-input_tokens">1,200</td>' in client.get(address("agentrunlog")).content.decode()


def test_a_merged_agent_is_read_and_no_longer_changed_or_chosen(
    workspace: Workspace, owner: User, client: Client
) -> None:
    source, target = AgentFactory(workspace=workspace, slug="suport-bot"), AgentFactory(workspace=workspace, slug="bot")
    client.force_login(owner)
    stale = Agent.objects.get(pk=source.pk)
    merge(source, target, by=owner)

    listed = client.get(address("agent")).content.decode()
    assert "suport-bot" not in listed
    assert ">bot</a>" in listed
    page = client.get(address("agent", "change", source.pk)).content.decode()
    assert "Merged into" in page
    assert 'name="effort"' not in page
    assert client.post(address("agent", "change", source.pk), {"effort": "low"}).status_code == 403
    chosen = client.get(
        reverse("admin:autocomplete"),
        {"term": "", "app_label": "agents", "model_name": "apikey", "field_name": "agent"},
    )
    assert [one["text"] for one in chosen.json()["results"]] == ["bot"]
    client.post(address("agent"), {"action": "restore", "_selected_action": [source.pk]})
    source.refresh_from_db()
    assert (source.merged_into, source.archived_at is not None) == (target, True)
    assert "suport-bot was merged into it." in client.get(address("agent", "history", target.pk)).content.decode()
    merges = client.get(address("agentmerge")).content.decode()
    assert "olive" in merges
    assert stale.merged_into is None


def test_a_form_saves_what_was_changed_in_it_alone(workspace: Workspace, superuser: User, client: Client) -> None:
    agent = AgentFactory(workspace=workspace, slug="bot")
    client.force_login(superuser)
    with CaptureQueriesContext(connection) as queries:
        answer = client.post(
            address("agent", "change", agent.pk),
            {"effort": "low", "active": "on", "initial-monthly_budget_cents": "", "monthly_budget_cents": ""},
        )

    assert answer.status_code == 302
    (written,) = (query["sql"] for query in queries if query["sql"].startswith('UPDATE "agents_agent"'))
    assert "merged_into" not in written
    agent.refresh_from_db()
    assert agent.effort == "low"
