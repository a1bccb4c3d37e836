"""How long the server takes for each page, how large it is, and how often it asks the database.

    python benchmarks/pages.py [--calls 1000000] [--agents 500] [--workspaces 20] [--rounds 20] [--keep FOLDER]

A year of calls, four to a run, of agents of which few are busy and most are not, is written to a SQLite database by
statements of its own, then summed into the rollups; every agent and workspace has a budget. Each page is asked for
through the whole of Django in this process, by who runs the site and by a member of three workspaces: a round for the
caches, then `--rounds` of which the median and the 95th percentile are shown, in CPU time of this process, in which
SQLite works too; and the 95th percentile by the clock, which on a machine with other work says more of that.
`--keep`: the database stays in that folder and is used again when it is there. A million calls take about a minute.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CALLS_PER_RUN = 4
DAYS = 365
MODELS = 12
BUSY = "((h % {agents}) * ((h / 65536) % {agents}) / {agents})"
"""Which agent a run is of: the product of two even draws, so that a few have most of the runs."""

SOME = f"""
    some AS (
        SELECT i, i / {CALLS_PER_RUN} AS r, ((i / {CALLS_PER_RUN}) * 2654435761) % 4294967296 AS h,
            (i * 40503) % 65521 AS g
        FROM number
    ),
    placed AS (
        SELECT i, r, h, g, {BUSY} AS a, :start + r * :seconds / :runs + (i % {CALLS_PER_RUN}) * 3 AS at FROM some
    )
"""
"""The numbers :first to :last as calls: run, agent, and second since 1970; `h` and `g` are draws by run and call."""


def write(calls: int, agents: int, workspaces: int) -> None:
    """The ledger and its sums, as if so many calls had been reported over a year."""
    from django.db import connection

    from agents.models import Agent, LedgerState, UsageDay, Workspace
    from agents.models.sums import SUM_COLUMNS
    from budgets.models import BudgetPeriod, BudgetPolicy

    LedgerState.objects.get_or_create(pk=1, defaults={"time_zone": "UTC"})
    places = Workspace.objects.bulk_create(
        Workspace(slug=f"workspace-{number}", name=f"Workspace {number}") for number in range(workspaces)
    )
    began = datetime.now(UTC) - timedelta(days=DAYS)
    people = Agent.objects.bulk_create(
        Agent(workspace=places[number % workspaces], slug=f"agent-{number}", created_at=began, last_run_at=began)
        for number in range(agents)
    )
    first_agent, first_place = people[0].pk, places[0].pk
    end = datetime.now(UTC)
    numbers = {
        "start": int(end.timestamp()) - DAYS * 86_400,
        "seconds": DAYS * 86_400 - 60,
        "runs": calls // CALLS_PER_RUN,
    }
    some = SOME.replace("{agents}", str(agents))
    who = f"{first_place} + a % {workspaces}, {first_agent} + a"
    when = "datetime(at, 'unixepoch')"
    chunk = 200_000
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous = OFF")
        cursor.execute("PRAGMA cache_size = -400000")
        for first in range(0, calls, chunk):
            span = numbers | {"first": first, "last": min(calls, first + chunk) - 1}
            cursor.execute(
                _named(
                    f"""
                INSERT INTO agents_llmcall (workspace_id, agent_id, call_id, run_id, call_index, step, sub_agent,
                    purpose, provider, model, request_model, response_model, service_tier, effort, started_at, ended_at,
                    received_at, day, status, error_type, input_tokens, output_tokens, cache_read_tokens,
                    cache_write_5m_tokens, cache_write_1h_tokens, cache_write_unknown_tokens, reasoning_tokens,
                    input_audio_tokens, output_audio_tokens, usage_basis, tokens_from, served_from_local_cache,
                    provisional, cost_basis, cost_microcents, saved_microcents, price_source, prompt_messages,
                    prompt_hash, tool_calls, thread_id, tags)
                WITH RECURSIVE number(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM number WHERE i < :last), {some}
                SELECT {who}, printf('%032x', i), printf('%032x', r + 1000000000), i % {CALLS_PER_RUN},
                    'step-' || (i % 3), '', 'agent', 'vendor-' || (a % 3), 'model-' || ((a * 3 + g % 2) % {MODELS}),
                    '', '', '', '', {when}, {when}, {when}, date(at, 'unixepoch'),
                    CASE WHEN g % 50 = 0 THEN 'error' ELSE 'ok' END, '', 2000 + g, 200 + g % 900, g / 2, 0, 0, 0,
                    g % 90, 0, 0, 'measured', '', 0, 0, CASE WHEN g % 997 = 0 THEN 'unpriced' ELSE 'measured' END,
                    CASE WHEN g % 997 = 0 THEN NULL ELSE 20000 + g * 13 END, g, 'benchmark', 4, '', '[]',
                    'thread-' || (h % 9973), CASE g % 4 WHEN 0 THEN '[]' ELSE '["tag-' || (h % 7) || '"]' END
                FROM placed
            """,
                    span,
                ),
                span,
            )
        sums = ", ".join(f"SUM({column})" for column in SUM_COLUMNS)
        of_a_call = _of_a_call()
        columns = ", ".join(SUM_COLUMNS)
        addends = ", ".join(f"{of_a_call[column]} AS {column}" for column in SUM_COLUMNS)
        key = "workspace_id, day, agent_id, provider, model, status, effort"
        each = f"SELECT {key}, run_id, started_at, ended_at, thread_id, tags, {addends} FROM agents_llmcall"
        cursor.execute(
            f"INSERT INTO agents_usageday ({key}, {columns}) SELECT {key}, {sums} FROM ({each}) GROUP BY {key}"
        )
        cursor.execute(
            f"INSERT INTO agents_agentrunlog (workspace_id, agent_id, run_id, started_at, ended_at, day, status,"
            f" error_type, thread_id, tags, refused_calls, {columns})"
            f" SELECT workspace_id, agent_id, run_id, MIN(started_at), MAX(ended_at), MIN(day),"
            f" CASE WHEN MAX(status = 'error') THEN 'error' ELSE 'ok' END, '', thread_id, tags, 0, {sums}"
            f" FROM ({each}) GROUP BY run_id ORDER BY run_id"
        )
        cursor.execute(
            f"INSERT INTO agents_workspaceday (workspace_id, day, runs, {columns})"
            f" SELECT workspace_id, day, COUNT(DISTINCT run_id), {sums} FROM ({each}) GROUP BY workspace_id, day"
        )
        cursor.execute(
            f"INSERT INTO agents_tagday (workspace_id, day, agent_id, tag, {columns})"
            f" SELECT workspace_id, day, agent_id, COALESCE(json_extract(tags, '$[0]'), ''), {sums} FROM ({each})"
            " GROUP BY 1, 2, 3, 4"
        )
        cursor.execute("ANALYZE")
    month = f"{end:%Y-%m}"
    policies = BudgetPolicy.objects.bulk_create(
        BudgetPolicy(scope="agent", workspace=agent.workspace, agent=agent, limit_cents=10_000, first_month=month)
        for agent in people
    ) + BudgetPolicy.objects.bulk_create(
        BudgetPolicy(scope="workspace", workspace=place, limit_cents=1_000_000, first_month=month) for place in places
    )
    spent: dict[Any, int] = {}
    rows = UsageDay.objects.filter(day__gte=end.date().replace(day=1))
    for place, agent, cost in rows.values_list("workspace_id", "agent_id", "cost_microcents"):
        for subject in ((place, agent), (place, None)):
            spent[subject] = spent.get(subject, 0) + cost
    BudgetPeriod.objects.bulk_create(
        BudgetPeriod(policy=policy, month=month, spent_microcents=spent.get((policy.workspace_id, policy.agent_id), 0))
        for policy in policies
    )


def _named(sql: str, names: dict[str, int]) -> str:
    """Django's cursors take %(name)s; a percent sign of SQL's own is doubled."""
    sql = sql.replace("%", "%%")
    for name in names:
        sql = sql.replace(f":{name}", f"%({name})s")
    return sql


def _of_a_call() -> dict[str, str]:
    """What a call adds to each sum."""
    from agents.models.sums import SUM_COLUMNS

    return {column: column for column in SUM_COLUMNS} | {
        "calls": "1",
        "failed_calls": "status <> 'ok'",
        "estimated_calls": "0",
        "unpriced_calls": "cost_microcents IS NULL",
        "local_cache_hits": "0",
        "cost_microcents": "COALESCE(cost_microcents, 0)",
    }


def addresses() -> list[str]:
    """Of the busiest agent, its workspace, and the longest of the newest runs."""
    from django.db.models import Sum

    from agents.models import Agent, AgentRunLog, UsageDay

    busiest = UsageDay.objects.values("agent").annotate(made=Sum("calls")).order_by("-made")[0]["agent"]
    agent = Agent.objects.select_related("workspace").get(pk=busiest)
    run = AgentRunLog.objects.filter(agent=agent).order_by("-started_at")[0].pk
    place = f"/workspaces/{agent.workspace.slug}/"
    return [
        "/", "/?by=agent&range=90-days", "/?by=model&compare=1", "/?range=24-hours", "/analytics/",
        f"/analytics/{agent.pk}/", f"/analytics/{agent.pk}/?range=90-days&compare=1", "/workspaces/", place,
        f"{place}?by=model&range=90-days", "/runs/", "/runs/?before=1780000000000000-5", "/runs/?status=error",
        f"/runs/?agent={agent.pk}&cost_over=999999", "/runs/?tag=no-such-tag", f"/runs/{run}/",
        f"/?agent={agent.pk}&range=90-days", "/?tag=no-such-tag&range=90-days", "/runs/?model=no-such-model",
        "/budgets/", "/prices/", "/optimization/",
    ]  # fmt: skip


def p95_of(times: list[float]) -> float:
    return sorted(times)[max(0, -(-95 * len(times) // 100) - 1)]


def measure(rounds: int) -> float:
    """Print a line a page and reader; the slowest 95th percentile, in milliseconds."""
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from agents.models import Agent, Membership, Workspace

    pages = addresses()
    root, _ = User.objects.get_or_create(username="root", defaults={"is_superuser": True, "is_staff": True})
    member, _ = User.objects.get_or_create(username="member")
    busy = Agent.objects.get(pk=int(pages[5].split("/")[2])).workspace
    for place in [busy, *Workspace.objects.exclude(pk=busy.pk)[:2]]:
        Membership.objects.get_or_create(user=member, workspace=place, role=Membership.Role.OWNER)
    slowest = 0.0
    print(f"{'page':<48} {'reader':<7} {'CPU':>8} {'p95':>8} {'by clock':>8} {'queries':>8} {'kB':>6}")
    for person in (root, member):
        client = Client()
        client.force_login(person)
        for page in pages:
            with CaptureQueriesContext(connection) as queries:
                answer = client.get(page)
                asked = len(queries)
            assert answer.status_code == 200, (page, answer.status_code)
            times: list[float] = []
            worked: list[float] = []
            for _ in range(rounds):
                start, busy_from = time.perf_counter(), time.process_time()
                client.get(page)
                times.append((time.perf_counter() - start) * 1_000)
                worked.append((time.process_time() - busy_from) * 1_000)
            slowest = max(slowest, p95_of(worked))
            print(
                f"{page:<48} {person.get_username():<7} {statistics.median(worked):>5.0f} ms {p95_of(worked):>5.0f} ms"
                f" {p95_of(times):>5.0f} ms"
                f" {asked:>8} {len(answer.content) / 1_000:>6.0f}",
                flush=True,
            )
    return slowest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--agents", type=int, default=500)
    parser.add_argument("--workspaces", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        os.environ |= {"DJANGO_SETTINGS_MODULE": "costsite.settings", "COSTSITE_STATE_DIR": str(folder)}
        sys.path.insert(0, str(ROOT))
        import django

        django.setup()
        from django.conf import settings
        from django.core.management import call_command

        from costsite.serve.web import OBJECTS_BETWEEN_COLLECTIONS

        settings.ALLOWED_HOSTS = ["testserver"]
        gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)  # as the site's own server has it
        if not (folder / "costsite.sqlite3").exists():
            call_command("migrate", verbosity=0)
            start = time.perf_counter()
            write(options.calls, options.agents, options.workspaces)
            print(f"{options.calls:,} calls of {options.agents} agents written in {time.perf_counter() - start:.0f} s")
        print(f"slowest p95: {measure(options.rounds):.0f} ms")


if __name__ == "__main__":
    main()
