"""A year of calls, written by statements of its own to whichever database the site has, and summed into the rollups.

Four calls to a run, of agents of which few are busy and most are not; every agent and workspace has a budget, with
lines passed, refusals and notices; keys; and the nightly review has been there. A million calls take about half a
minute on SQLite, and two on PostgreSQL.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

CALLS_PER_RUN = 4
DAYS = 365
MODELS = (
    "gpt-4o-mini", "gpt-4o", "claude-sonnet-4-5", "claude-haiku-4-5", "gemini-2.5-flash", "gpt-5", "gpt-5-mini",
    "o3", "mistral-large-latest", "acme-1", "acme-2", "acme-3",
)  # fmt: skip
"""The last three have no price."""
CHUNK = 200_000
BUSY = "((h % {agents}) * ((h / 65536) % {agents}) / {agents})"
"""Which agent a run is of: the product of two even draws, so that a few have most of the runs."""

SQLITE = {
    "number": "number(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM number WHERE i < :last)",
    "instant": "datetime(at, 'unixepoch')",
    "day": "date(at, 'unixepoch')",
    "month": "date(day, 'start of month')",
    "id": "printf('%032x', {})",
    "no": "0",
    "json": "{}",
    "first_tag": "COALESCE(json_extract(tags, '$[0]'), '')",
    "any": "MAX",
}
POSTGRESQL = {
    "number": "number AS (SELECT i FROM generate_series(:first ::bigint, :last ::bigint) AS i)",
    "instant": "to_timestamp(at)",
    "day": "(to_timestamp(at) AT TIME ZONE 'UTC')::date",
    "month": "date_trunc('month', day)::date",
    "id": "lpad(to_hex({}), 32, '0')::uuid",
    "no": "false",
    "json": "({})::jsonb",
    "first_tag": "COALESCE(tags ->> 0, '')",
    "any": "bool_or",
}


def write(calls: int, agents: int, workspaces: int, alike: int = 1) -> None:
    """The ledger and its sums, as if so many calls had been reported over a year.

    Of `alike` runs each has the agent, the day and the models of the first: so a year of a hundred times the calls has
    the same agents, days and models as another, and only more calls a day.
    """
    from django.db import connection

    from agents.models import Agent, LedgerState, Workspace

    LedgerState.objects.get_or_create(pk=1, defaults={"time_zone": "UTC"})
    end = datetime.now(UTC)
    began = end - timedelta(days=DAYS)
    places = Workspace.objects.bulk_create(
        Workspace(slug=f"workspace-{number}", name=f"Workspace {number}") for number in range(workspaces)
    )
    people = Agent.objects.bulk_create(
        Agent(workspace=places[number % workspaces], slug=f"agent-{number}", created_at=began, last_run_at=end)
        for number in range(agents)
    )
    on_sqlite = connection.vendor == "sqlite"
    said = SQLITE if on_sqlite else POSTGRESQL
    with connection.cursor() as cursor:
        if on_sqlite:
            cursor.execute("PRAGMA synchronous = OFF")
            cursor.execute("PRAGMA cache_size = -400000")
        else:
            cursor.execute("SET synchronous_commit = off")
            cursor.execute("SET work_mem = '256MB'")
        different = calls // CALLS_PER_RUN // alike
        span = {"start": int(began.timestamp()), "seconds": DAYS * 86_400 - 3_600, "runs": different, "alike": alike}
        insert = _calls(said, agents, f"{places[0].pk} + a % {workspaces}, {people[0].pk} + a")
        for first in range(0, calls, CHUNK):
            of_chunk = span | {"first": first, "last": min(calls, first + CHUNK) - 1}
            cursor.execute(_named(insert, of_chunk), of_chunk)
        for statement in _sums(said):
            cursor.execute(statement.replace("%", "%%"), ())
        if not on_sqlite:  # which has no statistics on a site either: nothing there makes any
            cursor.execute("VACUUM ANALYZE")
    _budgets(people, places, end)
    _keys(places)


def _calls(said: dict[str, str], agents: int, who: str) -> str:
    """INSERT the numbers :first to :last as calls. `h` and `g` are draws by run and call, `at` is in Unix seconds.

    `b` is the first of the runs that are alike.
    """
    turn = f"(i % {CALLS_PER_RUN})"
    run = f"(i / {CALLS_PER_RUN})"
    tools = f"""'[["search", "' || ((h + {turn}) % 99991) || '"]]'"""
    values = {
        "call_id": said["id"].format("i"),
        "run_id": said["id"].format("r + 1000000000"),
        "call_index": turn,
        "step": "'step-' || (i % 3)",
        "sub_agent": "''",
        "purpose": "'agent'",
        "provider": "'vendor-' || (a % 3)",
        "model": f"CASE (a * 3 + g % 2) % {len(MODELS)} "
        + " ".join(f"WHEN {number} THEN '{name}'" for number, name in enumerate(MODELS))
        + " END",
        "request_model": "''",
        "response_model": "''",
        "service_tier": "''",
        "effort": "''",
        "started_at": said["instant"],
        "ended_at": said["instant"],
        "received_at": said["instant"],
        "day": said["day"],
        "status": "CASE WHEN g % 50 = 0 THEN 'error' ELSE 'ok' END",
        "error_type": "''",
        "input_tokens": f"1000 + h % 3000 + {turn} * (h % 1500) + g % 500",
        "output_tokens": "200 + g % 900",
        "cache_read_tokens": f"CASE WHEN {turn} > 0 AND h % 3 > 0 THEN 1000 ELSE 0 END",
        "cache_write_5m_tokens": "0",
        "cache_write_1h_tokens": "0",
        "cache_write_unknown_tokens": "0",
        "reasoning_tokens": "g % 90",
        "input_audio_tokens": "0",
        "output_audio_tokens": "0",
        "usage_basis": "'measured'",
        "tokens_from": "''",
        "served_from_local_cache": said["no"],
        "provisional": said["no"],
        "cost_basis": "CASE WHEN g % 997 = 0 THEN 'unpriced' ELSE 'measured' END",
        "cost_microcents": f"CASE WHEN g % 997 = 0 THEN NULL ELSE 20000 + (h % 3000 + {turn} * (h % 1500)) * 15 END",
        "saved_microcents": "g",
        "price_source": "'benchmark'",
        "prompt_messages": f"2 + 2 * {turn}",
        "prompt_hash": "'h' || ((h + i) % 1999993)",
        "tool_calls": said["json"].format(tools),
        "thread_id": "'thread-' || (h % 9973)",
        "tags": said["json"].format("CASE h % 4 WHEN 0 THEN '[]' ELSE '[\"tag-' || (h % 7) || '\"]' END"),
    }
    return (
        f"INSERT INTO agents_llmcall (workspace_id, agent_id, {', '.join(values)}) WITH RECURSIVE {said['number']},"
        f" numbered AS (SELECT i, {run} AS r, {run} / :alike AS b FROM number),"
        f" drawn AS (SELECT i, r, b, (b * 2654435761) % 4294967296 AS h,"
        f" ((b * {CALLS_PER_RUN} + {turn}) * 40503) % 65521 AS g FROM numbered),"
        f" placed AS (SELECT i, r, h, g, {BUSY.replace('{agents}', str(agents))} AS a,"
        f" :start + b * :seconds / :runs + (r % :alike) * 7 + {turn} * 3 AS at FROM drawn)"
        f" SELECT {who}, {', '.join(values.values())} FROM placed"
    )


def _sums(said: dict[str, str]) -> list[str]:
    """INSERT the days, runs and tags of all calls."""
    from agents.models.sums import SUM_COLUMNS

    of_a_call = {column: column for column in SUM_COLUMNS} | {
        "calls": "1",
        "failed_calls": "CASE WHEN status <> 'ok' THEN 1 ELSE 0 END",
        "estimated_calls": "0",
        "unpriced_calls": "CASE WHEN cost_microcents IS NULL THEN 1 ELSE 0 END",
        "local_cache_hits": "0",
        "cost_microcents": "COALESCE(cost_microcents, 0)",
    }
    sums = ", ".join(f"SUM({addend})" for addend in of_a_call.values())
    columns = ", ".join(SUM_COLUMNS)
    key = "workspace_id, day, agent_id, provider, model, status, effort"
    of_model = "workspace_id, day, provider, model, status"
    summed = ", ".join(f"SUM({column})" for column in SUM_COLUMNS)
    of_run = "workspace_id, agent_id, run_id, thread_id, tags"
    return [
        f"INSERT INTO agents_usageday ({key}, {columns}) SELECT {key}, {sums} FROM agents_llmcall GROUP BY {key}",
        f"INSERT INTO agents_agentday (workspace_id, day, agent_id, {columns})"
        f" SELECT workspace_id, day, agent_id, {sums} FROM agents_llmcall GROUP BY workspace_id, day, agent_id",
        f"INSERT INTO agents_modelday ({of_model}, {columns})"
        f" SELECT {of_model}, {sums} FROM agents_llmcall GROUP BY {of_model}",
        f"INSERT INTO agents_agentrunlog ({of_run}, started_at, ended_at, day, status, error_type, refused_calls,"
        f" {columns}) SELECT {of_run}, MIN(started_at), MAX(ended_at), MIN(day), CASE WHEN {said['any']}"
        f"(status = 'error') THEN 'error' ELSE 'ok' END, '', 0, {sums} FROM agents_llmcall GROUP BY {of_run}"
        " ORDER BY MIN(started_at)",
        f"INSERT INTO agents_workspaceday (workspace_id, day, runs, {columns})"
        f" SELECT workspace_id, day, COUNT(DISTINCT run_id), {sums} FROM agents_llmcall GROUP BY workspace_id, day",
        f"INSERT INTO agents_tagday (workspace_id, day, agent_id, tag, {columns}) SELECT workspace_id, day, agent_id,"
        f" {said['first_tag']}, {sums} FROM agents_llmcall GROUP BY 1, 2, 3, 4",
        f"INSERT INTO agents_workspacetagday (workspace_id, day, tag, {columns})"
        f" SELECT workspace_id, day, tag, {summed} FROM agents_tagday GROUP BY workspace_id, day, tag",
        *(
            f"INSERT INTO agents_{name}month (month, {of_month}, {columns})"
            f" SELECT {said['month']}, {of_month}, {summed} FROM agents_{name}day GROUP BY {said['month']}, {of_month}"
            for name, of_month in (
                ("usage", "workspace_id, agent_id, provider, model, status, effort"),
                ("tag", "workspace_id, agent_id, tag"),
            )
        ),
    ]


def _named(sql: str, names: dict[str, int]) -> str:
    """Django's cursors take %(name)s; a percent sign of SQL's own is doubled."""
    sql = sql.replace("%", "%%")
    for name in names:
        sql = sql.replace(f":{name}", f"%({name})s")
    return sql


def _budgets(people: list[Any], places: list[Any], end: datetime) -> None:
    """One for each agent and workspace, with the month's spend, three lines passed, and refusals of thirty days."""
    from django.contrib.auth.models import User

    from agents.models import AgentDay
    from budgets.models import BudgetPeriod, BudgetPolicy, Notification, Refusal, ThresholdCrossing

    month = f"{end:%Y-%m}"
    policies = BudgetPolicy.objects.bulk_create(
        BudgetPolicy(scope="agent", workspace=agent.workspace, agent=agent, limit_cents=10_000, first_month=month)
        for agent in people
    ) + BudgetPolicy.objects.bulk_create(
        BudgetPolicy(scope="workspace", workspace=place, limit_cents=1_000_000, first_month=month) for place in places
    )
    spent: dict[Any, int] = {}
    rows = AgentDay.objects.filter(day__gte=end.date().replace(day=1))
    for place, agent, cost in rows.values_list("workspace_id", "agent_id", "cost_microcents"):
        for subject in ((place, agent), (place, None)):
            spent[subject] = spent.get(subject, 0) + cost
    BudgetPeriod.objects.bulk_create(
        BudgetPeriod(policy=policy, month=month, spent_microcents=spent.get((policy.workspace_id, policy.agent_id), 0))
        for policy in policies
    )
    crossings = ThresholdCrossing.objects.bulk_create(
        ThresholdCrossing(
            policy=policy, month=month, threshold=threshold, limit_microcents=policy.limit_cents * 1_000_000,
            spent_microcents=policy.limit_cents * 10_000 * threshold, crossed_at=end, announced_at=end,
        )
        for policy in policies for threshold in (50, 80, 100)
    )  # fmt: skip
    root, _ = User.objects.get_or_create(username="root", defaults={"is_superuser": True, "is_staff": True})
    Notification.objects.bulk_create(
        Notification(
            cause="crossing", cause_key=f"crossing-{crossing.pk}", crossing=crossing, user=root, state="sent",
            workspace_id=crossing.policy.workspace_id, title=f"A budget has used {crossing.threshold} %",
            body="So much.",
        )
        for crossing in crossings
    )  # fmt: skip
    Refusal.objects.bulk_create(
        Refusal(
            policy=policy, workspace_id=policy.workspace_id, agent=policy.agent or people[0], kind="exhausted",
            count=3, minute=(end - timedelta(days=day)).replace(second=0, microsecond=0),
        )
        for policy in policies if policy.workspace_id is not None for day in range(30)
    )  # fmt: skip


def _keys(places: list[Any]) -> None:
    from agents.models import ApiKey

    ApiKey.objects.bulk_create(
        ApiKey(workspace=place, name=f"key {number}", prefix=f"cs_{uuid4().hex[:10]}", key_hash=uuid4().hex)
        for place in places
        for number in range(10)
    )


def review() -> str:
    """As the night does it, through yesterday."""
    from costsite.advice.nightly import review as review_through

    return review_through((datetime.now(UTC) - timedelta(days=1)).date())
