"""How the databases read runs and calls: by an index, and no further than a page needs, whoever asks.

A plan is as good as the planner's idea of the tables. So SQLite is asked with several ideas, that of a site with one
large workspace among them, and PostgreSQL beside twenty thousand rows of somebody else's.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agents.models import Agent, AgentRunLog, LLMCall, Membership, Workspace
from tests.analytics.facts import Cast, Spend
from tests.factories import NOON, AgentFactory, MembershipFactory, UserFactory, WorkspaceFactory

TABLES = ("agents_agentrunlog", "agents_llmcall")


def addresses(workspace: Workspace) -> list[str]:
    agent = Agent.objects.filter(workspace=workspace).order_by("pk")[0]
    run = AgentRunLog.objects.filter(workspace=workspace).order_by("pk")[0]
    runs = reverse("runs")
    return [
        reverse("dashboard"),
        reverse("analytics"),
        reverse("agent", args=[agent.pk]),
        reverse("workspace", args=[workspace.slug]),
        runs,
        f"{runs}?workspace={workspace.slug}",
        f"{runs}?agent={agent.pk}",
        f"{runs}?day=2026-11-20",
        f"{runs}?status=error",
        f"{runs}?status=error&workspace={workspace.slug}",
        f"{runs}?status=error&agent={agent.pk}",
        f"{runs}?status=error&before=1795176000000000-5",
        f"{runs}?before=1795176000000000-5",
        f"{runs}?tag=web&cost_over=1&tokens_over=5&thread=x",
        f"{runs}?tag=web&workspace={workspace.slug}&before=1795176000000000-5",
        f"{runs}?thread=x&agent={agent.pk}&after=1763640000000000-5",
        f"{runs}?unusual=1&agent={agent.pk}",
        f"{runs}?range=24-hours",
        f"{runs}?hour=2026-11-20T12&status=error",
        f"{reverse('dashboard')}?range=24-hours",
        f"{reverse('dashboard')}?range=24-hours&by=agent",
        f"{reverse('dashboard')}?range=24-hours&compare=1",
        f"{reverse('workspace', args=[workspace.slug])}?range=24-hours",
        f"{reverse('agent', args=[agent.pk])}?range=24-hours&compare=1",
        f"{runs}?after=1763640000000000-5",
        reverse("run", args=[run.pk]),
        reverse("admin:agents_agentrunlog_changelist"),
        reverse("admin:agents_llmcall_changelist"),
    ]


def asked(client: Client, pages: list[str]) -> Iterator[tuple[str, str]]:
    """Each page with what it asked about runs and calls."""
    for page in pages:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(page).status_code == 200, page
        found = [query["sql"] for query in queries if any(table in query["sql"] for table in TABLES)]
        assert found or page == reverse("dashboard"), page
        yield from ((page, sql) for sql in found)


def unions(client: Client) -> Iterator[tuple[str, str]]:
    """What finds a place among the runs of many workspaces, and reads nothing else."""
    runs = reverse("runs")
    for page, sql in asked(client, [runs, f"{runs}?tag=web", f"{runs}?thread=x&after=1763640000000000-5"]):
        if "UNION ALL" in sql and "LIMIT 1 OFFSET" in sql:
            yield page, sql


@pytest.fixture
def member(cast: Cast, spend: Spend, client: Client, request: pytest.FixtureRequest) -> Client:
    """Staff, of one workspace or of more, with a run of two calls in each."""
    User.objects.filter(pk=cast.viewer.pk).update(is_staff=True)
    places = [cast.acme, *(WorkspaceFactory() for _ in range(request.param - 1))]
    for place in places[1:]:
        MembershipFactory(user=cast.viewer, workspace=place)
    for place in [*places, cast.elsewhere]:
        call = spend(place)
        spend(place, run_id=call.run_id)
    client.force_login(cast.viewer)
    return client


# ── SQLite ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def planner(rows_of_a_workspace: int | None) -> sqlite3.Connection:
    """The site's tables, empty, with statistics of ten million rows and so many in each workspace, or without any."""
    database = sqlite3.connect(":memory:")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sql FROM sqlite_master WHERE sql NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type = 'index'"
        )
        for (sql,) in cursor.fetchall():
            database.execute(sql)
    if rows_of_a_workspace is None:
        return database
    database.execute("ANALYZE")
    rows = 10_000_000
    indexes = database.execute("SELECT tbl_name, name FROM sqlite_master WHERE type = 'index'").fetchall()
    for table, index in indexes:
        columns = [row[2] for row in database.execute(f'PRAGMA index_info("{index}")')]
        large = table in TABLES
        few = {
            "workspace_id": rows_of_a_workspace,
            "agent_id": rows_of_a_workspace // 3,
            "day": rows // 400,
            "status": rows // 5,
        }
        of_each = [few.get(columns[0] or "", 1) if large else 1, *(1 for _ in columns[1:])]
        size = rows if large else rows // rows_of_a_workspace
        database.execute(
            "INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", (table, index, " ".join(map(str, [size, *of_each])))
        )
    database.execute("ANALYZE sqlite_schema")
    return database


def reads_no_other_status(page: str, steps: list[str]) -> bool:
    """Of a page of runs of one status: an index leads to them, past none of another."""
    picked = [step for step in steps if "run_by" in step]
    return "status=" not in page or (bool(picked) and all("status=?" in step for step in picked))


@pytest.mark.sqlite("reads its plans")
@pytest.mark.parametrize(
    ("member", "rows_of_a_workspace"),
    # With half of all rows in a workspace, two have them all: then everybody's are the member's.
    [(1, rows) for rows in (None, 10_000_000, 5_000_000, 1_000_000, 30_000)]
    + [(places, rows) for places in (2, 12) for rows in (None, 300_000, 30_000)],
    indirect=["member"],
)
def test_a_members_rows_are_read_from_their_own_part_of_an_index(
    cast: Cast, member: Client, rows_of_a_workspace: int | None
) -> None:
    database = planner(rows_of_a_workspace)
    for page, sql in asked(member, addresses(cast.acme)):
        plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}")]
        aliases = {alias or table for table, alias in re.findall(rf'"({"|".join(TABLES)})"(?: ([UVW]\d))?', sql)}
        steps = [step for step in plan if re.match(rf"(SCAN|SEARCH) ({'|'.join(aliases)})\b", step)]
        everybodys = [step for step in steps if step.startswith("SCAN") or "run_by_time" in step]
        assert steps, (page, sql, plan)
        assert not everybodys, (page, sql, plan)
        assert reads_no_other_status(page, steps), (page, sql, plan)


@pytest.mark.sqlite("reads its plans")
@pytest.mark.parametrize("member", [2, 12], indirect=True)
@pytest.mark.parametrize("rows_of_a_workspace", [None, 300_000, 30_000])
def test_the_runs_of_many_workspaces_are_merged_and_not_sorted(member: Client, rows_of_a_workspace: int | None) -> None:
    database, found = planner(rows_of_a_workspace), list(unions(member))

    assert len(found) == 3
    for page, sql in found:
        plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}")]
        assert "MERGE (UNION ALL)" in plan, (page, sql, plan)
        assert not [step for step in plan if "TEMP B-TREE" in step], (page, sql, plan)


@pytest.mark.sqlite("reads its plans")
@pytest.mark.parametrize("rows_of_a_workspace", [None, 10_000_000, 30_000])
def test_a_members_rows_of_known_ids_are_looked_up_by_these(cast: Cast, rows_of_a_workspace: int | None) -> None:
    sql = str(AgentRunLog.objects.visible_among(cast.viewer, range(1, 500)).order_by("-started_at").query)
    plan = [row[3] for row in planner(rows_of_a_workspace).execute(f"EXPLAIN QUERY PLAN {sql}")]

    assert plan[0] == "SEARCH agents_agentrunlog USING INTEGER PRIMARY KEY (rowid=?)", plan


def test_of_known_ids_a_member_sees_those_of_their_own_workspaces(cast: Cast, spend: Spend) -> None:
    for place in (cast.acme, cast.elsewhere):
        spend(place)
    runs = AgentRunLog.objects
    mine, ids = runs.get(workspace=cast.acme), [run.pk for run in runs.all()]

    assert list(runs.visible_among(cast.viewer, ids)) == [mine]
    assert list(runs.visible_among(cast.viewer, [])) == []
    assert set(runs.visible_among(cast.superuser, ids)) == set(runs.all())
    assert list(runs.visible_among(AnonymousUser(), ids)) == []


@pytest.mark.sqlite("reads its plans")
@pytest.mark.parametrize("rows_of_a_workspace", [None, 10_000_000, 5_000_000, 1_000_000, 30_000])
def test_who_sees_everything_reads_the_newest_by_an_index_before_anything_is_joined(
    cast: Cast, spend: Spend, client: Client, rows_of_a_workspace: int | None
) -> None:
    spend()
    client.force_login(cast.superuser)
    database = planner(rows_of_a_workspace)
    for page, sql in asked(client, addresses(cast.acme)):
        plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}")]
        outer = [step for step in plan if re.match(rf"SCAN ({'|'.join(TABLES)})\b", step)]
        inner = [step for step in plan if re.match(r"SCAN [UVW]\d", step) and "USING" not in step]
        # Walking by rowid from the newest needs no index.
        by_rowid = re.search(r'ORDER BY (U0\."id"|1) DESC LIMIT', sql)
        if re.search(r" LIMIT \d+( OFFSET \d+)?(\) AS part)?$", sql) and "USE TEMP B-TREE FOR ORDER BY" not in plan:
            outer = [step for step in outer if "INDEX run_by_time" not in step]  # in its order, and no further
        assert not outer, (page, sql, plan)
        assert not inner or by_rowid, (page, sql, plan)
        assert reads_no_other_status(page, [step for step in plan if "run_by" in step]), (page, sql, plan)


@pytest.mark.sqlite("reads its plans")
@pytest.mark.parametrize("by", ["model", "provider", "agent"])
def test_sums_over_everything_are_read_from_an_index_alone_in_its_order(
    cast: Cast, spend: Spend, client: Client, by: str
) -> None:
    """Of 500 agents two months are a hundred thousand rows: to look each up, or to sort them, takes longer than all.

    What agents spent in two weeks is read from sums by agent, as is the split by agent; the others from sums by model.
    """
    spend()
    client.force_login(cast.superuser)
    database = planner(None)
    with CaptureQueriesContext(connection) as queries:
        client.get(reverse("dashboard"), {"by": by, "compare": "1", "range": "7-days"})
    summed = [
        query["sql"]
        for query in queries
        if re.search('FROM "?agents_(usage|agent|model)day"?', query["sql"])
        and '"unpriced_calls" > 0' not in query["sql"]
    ]

    of_models = [sql for sql in summed if "agents_modelday" in sql]
    assert (len(of_models), len(summed)) == ((0, 3) if by == "agent" else (1, 2))
    for sql in summed:
        plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}")]
        reads = [step for step in plan if re.search(" (agents_(agent|model)day|U0)", step)]
        assert reads, (sql, plan)
        index = "model_day_by_day" if sql in of_models else "agent_day_sums"
        assert all(f"USING COVERING INDEX {index}" in step for step in reads), (sql, plan)
        found = next((at for at, step in enumerate(plan) if step in ("SCAN by_value", "SCAN part")), len(plan))
        read = plan[:found]  # the few that were found may be sorted
        assert "USE TEMP B-TREE FOR GROUP BY" not in read, (sql, plan)


@pytest.mark.sqlite("reads its plans")
@pytest.mark.parametrize("member", [1, 2], indirect=True, ids=["member of one", "member of two"])
@pytest.mark.parametrize("by", ["model", "provider"])
def test_a_members_days_by_model_are_read_by_their_workspaces(member: Client, by: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        member.get(reverse("dashboard"), {"by": by, "compare": "1"})
    (split,) = (
        query["sql"]
        for query in queries
        if 'FROM "agents_modelday"' in query["sql"] and '"unpriced_calls" > 0' not in query["sql"]
    )

    plan = [row[3] for row in planner(None).execute(f"EXPLAIN QUERY PLAN {split}")]

    (read,) = (step for step in plan if "agents_modelday" in step)
    assert "(workspace_id=? AND day>? AND day<?)" in read, (split, plan)


@pytest.mark.sqlite("reads its plans")
def test_what_has_no_price_is_read_without_the_days_of_what_has_one(cast: Cast, spend: Spend, client: Client) -> None:
    spend(request_model="house-model")
    client.force_login(cast.superuser)
    with CaptureQueriesContext(connection) as queries:
        client.get(reverse("dashboard"))
    (unpriced,) = (query["sql"] for query in queries if '"unpriced_calls" > 0' in query["sql"])

    plan = [row[3] for row in planner(None).execute(f"EXPLAIN QUERY PLAN {unpriced}")]

    assert "USING INDEX model_day_unpriced (day>? AND day<?)" in plan[0], (unpriced, plan)


@pytest.mark.sqlite("reads its plans")
def test_a_tags_days_over_everything_are_read_without_those_of_other_tags(
    cast: Cast, spend: Spend, client: Client
) -> None:
    spend()
    client.force_login(cast.superuser)
    database = planner(None)
    for page, table in (
        (reverse("dashboard"), "agents_workspacetagday"),
        (f"{reverse('dashboard')}?by=agent&range=7-days", "agents_tagday"),
        (reverse("agent", args=[Agent.objects.get().pk]), "agents_tagday"),
    ):
        with CaptureQueriesContext(connection) as queries:
            client.get(f"{page}{'&' if '?' in page else '?'}tag=web")
        tagged = [query["sql"] for query in queries if f'FROM "{table}"' in query["sql"]]

        assert tagged, page
        for sql in tagged:
            plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}")]
            reads = [step for step in plan if table in step]
            assert reads, (page, sql, plan)
            assert all("(tag=? AND day>? AND day<?" in read for read in reads), (page, sql, plan)


@pytest.mark.sqlite("reads its plans")
def test_a_workspaces_tags_are_read_from_its_own_days(cast: Cast, spend: Spend, client: Client) -> None:
    spend()
    for reader in (cast.viewer, cast.superuser):
        client.force_login(reader)
        with CaptureQueriesContext(connection) as queries:
            client.get(reverse("workspace", args=["acme"]))
        (sql,) = (query["sql"] for query in queries if 'FROM "agents_workspacetagday"' in query["sql"])

        plan = [row[3] for row in planner(None).execute(f"EXPLAIN QUERY PLAN {sql}")]

        assert "agents_workspacetagday_1 (workspace_id=? AND day>? AND day<?)" in plan[0], (sql, plan)


@pytest.mark.sqlite("reads its plans")
@pytest.mark.parametrize(
    ("reader", "page", "query", "read"),
    [
        ("viewer", "dashboard", "by=model", "agents_usagemonth_1 (workspace_id=? AND month>? AND month<?)"),
        ("superuser", "dashboard", "by=model", "COVERING INDEX usage_month_by_month (month>? AND month<?)"),
        ("superuser", "dashboard", "by=agent", "usage_month_by_agent (agent_id=? AND month>? AND month<?)"),
        ("superuser", "dashboard", "tag=web", "tag_month_by_tag (tag=? AND month>? AND month<?"),
        ("viewer", "workspace", "", "usage_month_by_agent (agent_id=? AND month>? AND month<?)"),
    ],
)
def test_months_are_found_by_an_index(
    cast: Cast, spend: Spend, client: Client, reader: str, page: str, query: str, read: str
) -> None:
    spend()
    client.force_login(getattr(cast, reader))
    address = reverse(page, args=["acme"] if page == "workspace" else [])
    with CaptureQueriesContext(connection) as queries:
        client.get(f"{address}?from=2026-01-01&to=2026-11-24&{query}")
    database = planner(None)
    plans = [
        [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {query['sql']}")]
        for query in queries
        if re.search(r'FROM "?agents_(usage|tag)month', query["sql"])
    ]

    assert any(read in step for plan in plans for step in plan), plans
    of_months = [step for plan in plans for step in plan if "month" in step]
    assert not [step for step in of_months if step.startswith("SCAN")], of_months


# ── PostgreSQL ───────────────────────────────────────────────────────────────────────────────────────────────────────


def rows_read(plan: dict[str, Any]) -> float:
    """Of runs and calls, those that were passed over too."""
    read = 0.0
    if plan.get("Relation Name") in TABLES:
        rows = (
            plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
        )
        read = rows * plan["Actual Loops"]
    return read + sum(rows_read(part) for part in plan.get("Plans", ()))


@pytest.mark.postgresql("reads its plans")
@pytest.mark.parametrize("member", [1, 2], indirect=True, ids=["member of one", "member of two"])
def test_a_member_never_waits_for_other_peoples_rows(cast: Cast, member: Client) -> None:
    stranger = AgentFactory(workspace=cast.elsewhere)
    AgentRunLog.objects.bulk_create(
        AgentRunLog(
            workspace=cast.elsewhere,
            agent=stranger,
            run_id=UUID(int=number),
            started_at=NOON + timedelta(seconds=number),
            day=NOON.date(),
            calls=1,
        )
        for number in range(20_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        # Twenty thousand rows are few enough to be read whole; ten million are not.
        cursor.execute("SET LOCAL enable_seqscan = off")
        for page, sql in asked(member, addresses(cast.acme)):
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
            plan = cursor.fetchone()[0][0]["Plan"]
            assert rows_read(plan) < 100, (page, sql, plan)


@pytest.mark.postgresql("reads its plans")
@pytest.mark.parametrize("member", [2, 12], indirect=True)
def test_the_runs_of_many_workspaces_are_merged(cast: Cast, member: Client) -> None:
    agent = Agent.objects.filter(workspace=cast.acme).order_by("pk")[0]
    AgentRunLog.objects.bulk_create(
        AgentRunLog(
            workspace=cast.acme, agent=agent, run_id=UUID(int=number), started_at=NOON - timedelta(seconds=number),
            day=NOON.date(), calls=1,
        )
        for number in range(20_000)
    )  # fmt: skip
    found = list(unions(member))
    assert len(found) == 3
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        for page, sql in found:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
            plan = cursor.fetchone()[0][0]["Plan"]
            assert rows_read(plan) < 3_100, (page, sql, plan)


def conditions_on_runs(plan: dict[str, Any]) -> str:
    own = plan if plan.get("Relation Name") == "agents_agentrunlog" else {}
    said = " ".join(str(own.get(key, "")) for key in ("Index Cond", "Recheck Cond", "Filter"))
    return " ".join([said, *(conditions_on_runs(part) for part in plan.get("Plans", ()))])


@pytest.mark.postgresql("reads its plans")
@pytest.mark.parametrize("member", [2], indirect=True)
def test_an_agents_runs_are_found_by_the_agent_alone(cast: Cast, member: Client) -> None:
    """With the workspaces of who asks beside it, all rows of both were laid over each other, and then sorted."""
    agent = Agent.objects.filter(workspace=cast.acme).order_by("pk")[0]
    pages = [f"{reverse('runs')}?agent={agent.pk}", f"{reverse('runs')}?agent={agent.pk}&cost_over=5"]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for page, sql in asked(member, pages):
            cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}")
            conditions = conditions_on_runs(cursor.fetchone()[0][0]["Plan"])
            assert "agent_id" in conditions, (page, sql)
            assert "workspace_id = ANY" not in conditions, (page, sql)


# ── the door ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_memberships_are_read_once_for_each_time_a_user_is_loaded(cast: Cast) -> None:
    with CaptureQueriesContext(connection) as queries:
        for rows in (Workspace.objects, Agent.objects, AgentRunLog.objects, LLMCall.objects):
            list(rows.visible_to(cast.viewer))
    memberships = [query for query in queries if "agents_membership" in query["sql"]]
    Membership.objects.filter(user=cast.viewer).delete()

    assert len(memberships) == 1
    assert list(Workspace.objects.visible_to(User.objects.get(pk=cast.viewer.pk))) == []


def test_the_first_rows_of_many_workspaces_are_the_first_of_all(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [cast.acme, *(WorkspaceFactory() for _ in range(4))]
    for place in places[1:]:
        MembershipFactory(user=cast.viewer, workspace=place)
    for number in range(40):
        place = [*places, cast.elsewhere][number % 6]
        AgentRunLog.objects.create(
            workspace=place,
            agent=Agent.objects.get_or_create(workspace=place, slug="one")[0],
            run_id=UUID(int=number),
            started_at=NOON + timedelta(minutes=number),
            day=NOON.date(),
        )
    seen = [number for number in range(40) if number % 6 != 5]
    order = ("-started_at", "-id")

    def first(person: User, most: int) -> list[int]:
        rows = AgentRunLog.objects.firsts_visible_to(person, *order, most=most).order_by(*order)
        return [row.run_id.int for row in rows]

    assert first(cast.viewer, 7) == seen[::-1][:7]
    assert first(cast.viewer, 100) == seen[::-1]
    assert first(cast.superuser, 7) == list(range(39, 32, -1))
    assert first(UserFactory(), 7) == []
    assert first(UserFactory(is_active=False, is_superuser=True), 7) == []
    monkeypatch.setattr("agents.models.visibility.NAMED_WORKSPACES", 4)
    assert first(cast.viewer, 7) == seen[::-1][:7]
