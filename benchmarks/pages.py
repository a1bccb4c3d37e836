"""How long the server takes for each page, how large it is, how often it asks the database, and whether any of that
grows with the calls.

    python benchmarks/pages.py [--calls 1000000] [--smaller 0] [--agents 500] [--workspaces 20] [--rounds 20]
                               [--database sqlite|postgresql] [--keep FOLDER] [--database-url URL] [--only TEXT]

A year of calls (benchmarks/year.py) is written. With `--smaller` two are, of the same agents, days and models: of
`--calls`, and of so many fewer calls a day that they are `--smaller`. Each page is asked for through the whole of
Django, by who runs the site, by a member of three workspaces and by one of all. A process for each database answers,
and they take turns page by page: once for the caches, its queries and its size, then `--rounds` times of which the
median and the 95th percentile are shown.

Time is CPU time of the process that answers; SQLite works in it, and of PostgreSQL the connection's own backend is
added, which is told to do its work alone (max_parallel_workers_per_gather is 0), so that all of it is counted. Beside
it stands the 95th percentile by the clock, which on a machine with other work says more of that. Between the pages a
loop is timed, and a walk through memory, which say how fast the machine was meanwhile: one that is shared may be half
as fast as before, first at what waits for memory.

`--keep`: databases stay in that folder and are used again when they are there. PostgreSQL is a throwaway server, or
the one that `--database-url` or DATABASE_URL names, in which databases are made and stay.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from figures import loop_seconds, note, walk_seconds

ROOT = Path(__file__).resolve().parents[1]
READERS = ("root", "member", "of all")
OF_ONES_OWN = "&to="
"""In the address of a range of one's own choice."""
PAGE_MS, WHAT_IF_MS, MOST_QUERIES, MOST_KB, MOST_TIMES = 100, 300, 12, 150, 1.5


# ── the process that answers ─────────────────────────────────────────────────────────────────────────────────────────


def addresses() -> list[str]:
    """Every page, and the charts and lists under what narrows them: of the busiest agent, its workspace, and the
    longest of the newest runs.
    """
    from datetime import UTC, datetime, timedelta

    from django.db.models import Sum

    from agents.models import Agent, AgentDay, AgentRunLog, ApiKey, ModelPrice
    from budgets.models import BudgetGrant, BudgetPolicy

    busiest = AgentDay.objects.values("agent").annotate(made=Sum("calls")).order_by("-made", "agent")[0]["agent"]
    agent = Agent.objects.select_related("workspace").get(pk=busiest)
    other = Agent.objects.filter(workspace=agent.workspace).exclude(pk=busiest).order_by("pk")[0]
    run = AgentRunLog.objects.filter(agent=agent).order_by("-started_at")[0].pk
    budget = BudgetPolicy.objects.get(agent=agent).pk
    of_place = BudgetPolicy.objects.get(workspace=agent.workspace, agent=None).pk
    grant = BudgetGrant.objects.get(policy=budget).pk
    price = ModelPrice.objects.get().pk
    key = ApiKey.objects.filter(workspace=agent.workspace).order_by("pk")[0].pk
    own, place = f"/analytics/{agent.pk}/", f"/workspaces/{agent.workspace.slug}/"
    today = datetime.now(UTC).date()
    year, weeks = (f"from={today - timedelta(days=days)}{OF_ONES_OWN}{today}" for days in (364, 174))
    narrowed = ("model=gpt-5&status=error", "tag=tag-3", "tag=tag-3&model=gpt-5", "tag=no-such-tag&range=90-days")
    pages = [
        "/", "/?by=agent&range=90-days", "/?by=model&compare=1", "/?by=provider&compare=1",
        "/?range=24-hours", "/?by=agent&range=24-hours", "/?by=agent&range=24-hours&compare=1",
        "/?by=agent&status=error&compare=1",
        f"/?agent={agent.pk}&range=90-days", *(f"/?{query}" for query in narrowed),
        f"/?{year}", f"/?{year}&by=agent", f"/?{year}&by=model", f"/?{year}&by=agent&status=error",
        f"/?{year}&tag=tag-3", f"/?{year}&by=agent&status=error&compare=1", f"/?{year}&tag=tag-3&compare=1",
        f"/?{weeks}&by=agent", f"/?{weeks}&by=agent&status=error", f"/?{weeks}&tag=tag-3&compare=1",
        "/?by=agent&range=90-days&status=ok", "/?by=agent&range=90-days&tag=tag-3",
        "/?by=agent&range=90-days&status=ok&compare=1", "/?range=90-days&tag=tag-3&compare=1",
        f"{own}?{year}", f"{own}?{year}&tag=tag-3", f"{place}?{year}", f"{place}?{year}&by=model&status=error",
        "/analytics/", "/analytics/?q=agent-4&sort=last-run", "/analytics/?from=450",
        own, f"{own}?range=90-days&compare=1", f"{own}?range=24-hours&compare=1", f"{own}?tag=tag-3&range=90-days",
        f"{own}merge/", f"{own}merge/?into={other.slug}", f"{own}merged/",
        "/workspaces/", place, f"{place}?by=model&range=90-days", f"{place}?range=24-hours&compare=1",
        *(f"{place}?{query}" for query in narrowed),
        "/runs/", "/runs/?before=1780000000000000-5", "/runs/?range=24-hours", "/runs/?status=error",
        f"/runs/?workspace={agent.workspace.slug}&status=error", f"/runs/?agent={agent.pk}",
        f"/runs/?agent={agent.pk}&cost_over=999999", "/runs/?tag=tag-3", "/runs/?tag=no-such-tag",
        "/runs/?thread=no-such-thread", "/runs/?model=no-such-model", "/runs/?call_status=error", "/runs/?unusual=1",
        f"/runs/{run}/",
        "/budgets/", f"/budgets/{budget}/", f"/budgets/{of_place}/", f"/budgets/{budget}/grant/",
        f"/budgets/grants/{grant}/revoke/",
        "/prices/", "/prices/?model=gpt-5", "/prices/enter/", f"/prices/{price}/", f"/prices/{price}/progress/",
        "/keys/", f"/keys/{key}/first-event/", "/inbox/", "/optimization/",
        f"/optimization/what-if/?agent={agent.pk}&model=anthropic/claude-haiku-4-5", "/password/",
    ]  # fmt: skip
    tables = ("agents/agent", "agents/agentrunlog", "agents/llmcall", "budgets/budgetpolicy")
    return [*pages, "/admin/", *(f"/admin/{table}/" for table in tables), f"/admin/agents/agent/{agent.pk}/change/"]


def answer_pages(folder: Path, calls: int, alike: int, agents: int, workspaces: int) -> None:
    """Say the addresses; then, for each line of input with a reader's name and an address, what the page took."""
    os.environ |= {"DJANGO_SETTINGS_MODULE": "costsite.settings", "COSTSITE_STATE_DIR": str(folder)}
    sys.path.insert(0, str(ROOT))
    import django

    django.setup()
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from agents.models import Membership, Workspace
    from costsite.serve.web import collect_little

    settings.ALLOWED_HOSTS = ["testserver"]
    collect_little()  # as the site's own server does
    call_command("migrate", verbosity=0)
    if not Workspace.objects.exists():
        import year

        began = time.perf_counter()
        year.write(calls, agents, workspaces, alike)
        print(f"{calls:,} calls written in {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
        began = time.perf_counter()
        said = year.review()
        print(f"{said}, in {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    a_grant_and_a_price()
    pages = addresses()
    root, _ = User.objects.get_or_create(username="root", defaults={"is_superuser": True, "is_staff": True})
    member, of_all = (User.objects.get_or_create(username=name)[0] for name in ("member", "of-all"))
    for number, place in enumerate(Workspace.objects.order_by("pk")):
        for person in (member, of_all) if number < 3 else (of_all,):
            Membership.objects.get_or_create(user=person, workspace=place, role=Membership.Role.OWNER)
    browsers = {name: Client() for name in READERS}
    for name, person in zip(READERS, (root, member, of_all), strict=True):
        browsers[name].force_login(person)
    backend = None
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            backend = cursor.fetchone()[0]
            cursor.execute("SET max_parallel_workers_per_gather = 0")

    def cpu_seconds() -> float:
        spent = time.process_time()
        return spent + (int(Path(f"/proc/{backend}/schedstat").read_text().split()[0]) / 1e9 if backend else 0.0)

    print(json.dumps(pages), flush=True)
    for line in sys.stdin:
        reader, page, counted = json.loads(line)
        client = browsers[reader]
        if counted:
            with CaptureQueriesContext(connection) as queries:
                answer = client.get(page)
                asked = len(queries)
            assert answer.status_code == 200, (page, answer.status_code)
            print(json.dumps({"queries": asked, "kB": len(answer.content) / 1_000}), flush=True)
            continue
        began, worked_from = time.perf_counter(), cpu_seconds()
        client.get(page)
        took = {"cpu": (cpu_seconds() - worked_from) * 1_000, "clock": (time.perf_counter() - began) * 1_000}
        print(json.dumps(took), flush=True)


def a_grant_and_a_price() -> None:
    """For the pages that speak of one: a grant on each budget of an agent, and a price of a model nobody called."""
    from datetime import UTC, datetime, timedelta

    from django.db import connection

    from agents.models import ModelPrice
    from budgets.models import BudgetGrant, BudgetPolicy

    if ModelPrice.objects.exists():
        return
    ModelPrice.objects.bulk_create([ModelPrice(model="never-called", kind=ModelPrice.Kind.FREE)])
    month = timedelta(days=30)
    BudgetGrant.objects.bulk_create(
        BudgetGrant(policy=policy, cents=5_000, reason="launch week", ends_at=datetime.now(UTC) + month)
        for policy in BudgetPolicy.objects.exclude(agent=None)
    )
    if connection.vendor == "postgresql":  # as its autovacuum does within a minute of so many new rows
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


class Site:
    """A database of so many calls, and the process that answers from it."""

    def __init__(self, database_url: str, folder: Path, calls: int, alike: int, agents: int, workspaces: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore:No directory", __file__, "--answer", str(folder), "--calls", str(calls),
             "--alike", str(alike), "--agents", str(agents), "--workspaces", str(workspaces)],
            env=os.environ | {"DATABASE_URL": database_url, "COSTSITE_TIME_ZONE": "UTC"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.pages: list[str] = json.loads(self._line())

    def ask(self, reader: str, number: int, *, counted: bool = False) -> dict[str, float]:
        """How long it took, in milliseconds; or, `counted`, how many queries it asked and how large it is."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([reader, self.pages[number], counted]) + "\n")
        self.process.stdin.flush()
        took: dict[str, float] = json.loads(self._line())
        return took

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("The process that answers pages has ended.")
        return line

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)


# ── the run ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def p95_of(times: list[float]) -> float:
    return sorted(times)[max(0, -(-95 * len(times) // 100) - 1)]


def measure(sites: list[Site], rounds: int, only: str) -> list[dict[str, Any]]:
    """A line a page and reader: of the first site, with how many times the second's median its own is."""
    print(f"{'page':<58} {'reader':<7}{'median':>8}{'p95':>8}{'by clock':>10}{'times':>7}{'queries':>8}{'kB':>6}")
    lines = []
    for reader in READERS:
        for number, page in enumerate(sites[0].pages):
            if only not in page or (page.startswith("/admin/") and reader != "root"):
                continue
            loop, walk = loop_seconds(million_turns=1), walk_seconds()
            # The first fills the caches.
            counted, *_ = [site.ask(reader, number, counted=True) for site in sites]
            took: list[list[dict[str, float]]] = [[] for _ in sites]
            for _ in range(rounds):
                for of, site in zip(took, sites, strict=True):
                    of.append(site.ask(reader, number))
            medians = [statistics.median(one["cpu"] for one in of) for of in took]
            first = took[0]
            line = {
                "page": page, "reader": reader, "median": medians[0], "p95": p95_of([one["cpu"] for one in first]),
                "clock": p95_of([one["clock"] for one in first]), "loop": loop, "walk": walk, **counted,
                "times": medians[0] / medians[-1] if len(sites) > 1 else None,
            }  # fmt: skip
            lines.append(line)
            times = f"{line['times']:>7.2f}" if line["times"] else f"{'':>7}"
            print(
                f"{page:<58} {reader:<7}{line['median']:>5.0f} ms{line['p95']:>5.0f} ms{line['clock']:>7.0f} ms"
                f"{times}{line['queries']:>8}{line['kB']:>6.0f}",
                flush=True,
            )
    return lines


def show(lines: list[dict[str, Any]], calls: int, smaller: int, database: str) -> None:
    where = f"{calls:,} calls, {database}"
    what_if = [line for line in lines if "/what-if/" in line["page"]]
    years = [line for line in lines if OF_ONES_OWN in line["page"]]
    pages = [line for line in lines if line not in what_if and line not in years]
    for label, chosen, limit in (
        ("slowest page", pages, PAGE_MS), ("slowest page, of a range of one's own", years, PAGE_MS),
        ("what-if of a month", what_if, WHAT_IF_MS),
    ):  # fmt: skip
        if chosen:
            worst = max(chosen, key=lambda line: line["p95"])
            note(f"{label}, {where}: p95", worst["p95"], "ms", at_most=limit)
            print(f"{label}: p95 {worst['p95']:.0f} ms, {worst['page']} for {worst['reader']} (at most {limit} ms)")
    loop = statistics.median(line["loop"] for line in lines)
    note(f"a loop of ten million turns meanwhile, {where}", loop, "s of CPU")
    print(f"a loop of ten million turns meanwhile: {loop:.2f} s of CPU")
    walk = statistics.median(line["walk"] for line in lines) * 1_000
    note(f"a walk through a million integers meanwhile, {where}", walk, "ms of CPU")
    print(f"a walk through a million integers meanwhile: {walk:.0f} ms of CPU")
    if lines[0]["times"]:
        worst = max(lines, key=lambda line: line["times"])
        beside = worst["median"] / worst["times"]
        note(
            f"page that grows most, {where}: median", worst["median"], "ms", beside=f"{smaller:,} calls",
            baseline=beside, at_most=MOST_TIMES,
        )  # fmt: skip
        print(f"grows most: {worst['times']:.2f} times, {worst['page']} for {worst['reader']} (at most {MOST_TIMES})")
    for label, column, unit, limit in (("queries", "queries", "", MOST_QUERIES), ("largest page", "kB", "kB", MOST_KB)):
        worst = max(lines, key=lambda line: line[column])
        note(f"{label}, {where}", worst[column], unit or "queries", at_most=limit)
        print(f"{label}: {worst[column]:.0f} {unit}, {worst['page']} for {worst['reader']} (at most {limit})")


def database_in(server: str, name: str) -> str:
    """The address of a database of this name; it is made when it is not there."""
    import psycopg

    with psycopg.connect(server.replace("postgres://", "postgresql://", 1), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(f'CREATE DATABASE "{name}"')
    return f"{server.rpartition('/')[0]}/{name}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--smaller", type=int, default=0)
    parser.add_argument("--agents", type=int, default=500)
    parser.add_argument("--workspaces", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--database-url", default=os.environ.get("DATABASE_URL", ""))
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--only", default="", help="pages whose address holds this text")
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--alike", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        answer_pages(options.answer, options.calls, options.alike, options.agents, options.workspaces)
        return
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = options.database_url if options.database == "postgresql" else ""
        if options.database == "postgresql" and not server:
            sys.path.insert(0, str(ROOT))
            from tests.postgresql import throwaway_server

            server = stack.enter_context(throwaway_server())
        sites = []
        for calls in filter(None, (options.calls, options.smaller)):
            alike = calls // options.smaller if options.smaller else 1
            name = f"{calls}" if alike == 1 else f"{calls}_{alike}_alike"
            url = database_in(server, f"pages_{name}") if server else ""
            site = Site(url, folder / name, calls, alike, options.agents, options.workspaces)
            stack.callback(site.close)
            sites.append(site)
        lines = measure(sites, options.rounds, options.only)
        if not lines:
            parser.error(f"--only: no page's address holds {options.only!r}")
        show(lines, options.calls, options.smaller, "PostgreSQL" if server else "SQLite")


if __name__ == "__main__":
    main()
