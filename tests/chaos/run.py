"""Kill everything, move every clock, change every budget; then read the books.

    make chaos [SECONDS=120] [SEED=…]

A site (SQLite) and six client processes run while, about once a second, something happens: the web service or the
background service is killed, a client is killed or paused, a clock is stepped, a budget is raised, granted to or
archived, agents are merged, a copy of the site is made. The month ends on the way. At the end everything that waits is
sent, and it is held against the clients' own diaries:

- every call that a client saw end is in the ledger once; nothing is in it that no client began;
- every call is booked to the agent that its client's name stands for by then, and no merge is left half done;
- calls, runs, days and budget counters agree: `rebuild_rollups` and `rebuild_budget_periods` find nothing;
- no budget is overspent by more than docs/budgets.md says: what killed clients held, what was held when the server's
  clock was set ahead, calls whose own time lies in another month than their lease, and what merges brought.

Prints what happened and the seed; ends with 1 when anything is not so. The same seed gives the same acts at the same
times; what they meet differs from run to run.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.chaos.merges import Merges
from tests.end_to_end.live_site import ROOT, LiveSite
from tests.own_site import reading

MOVED_CLOCK = Path(__file__).with_name("moved_clock")
CLIENTS = 6
LIMIT_CENTS = 400
"""Of the agent `bounded`; its calls cost up to 0.4 cents, so that it meets its limit on the way."""


@dataclass
class Client:
    process: subprocess.Popen[bytes]
    clock: Path


@dataclass
class Chaos:
    folder: Path
    dice: random.Random
    moves_server_clock: bool = True
    acts: Counter[str] = field(default_factory=Counter)
    clients: list[Client] = field(default_factory=list)
    excused: int = 0
    """Microcents that budgets may be over by: what was held when it was lost from sight."""
    serial: int = 0

    def __post_init__(self) -> None:
        self.world, self.server_clock = self.folder / "world", self.folder / "server"
        self.world.write_text("0")
        self.server_clock.write_text("0")
        self.site = MovedSite(self.folder / "site", clocks=[self.world, self.server_clock])
        self.merges = Merges(self.site, random.Random(self.dice.random()))  # what it meets changes no other act
        self.background: subprocess.Popen[bytes] | None = None

    # ── the cast ─────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self, month_ends_after: float) -> None:
        now = datetime.now(UTC)
        next_month = (now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        self.world.write_text(str((next_month - now).total_seconds() - month_ends_after))
        self.site.prepare()
        self.site.manage("set_budget", "acme", "--limit-cents", str(20 * LIMIT_CENTS))
        self.site.manage("shell", "-v0", "-c", AGENTS)
        self.site.manage("set_budget", "acme", "--agent", "bounded", "--limit-cents", str(LIMIT_CENTS))
        self.site.start()
        self.start_background()
        for _ in range(CLIENTS):
            self.start_client()

    def start_background(self) -> None:
        self.background = self.site.run_module("costsite.serve.background")

    def start_client(self) -> None:
        self.serial += 1
        clock = self.folder / f"clock-{self.serial}"
        clock.write_text("0")
        agent = self.merges.name(self.serial)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COSTSITE_")} | {
            "COSTSITE_URL": self.site.url,
            "COSTSITE_API_KEY": self.site.key,
            "COSTSITE_STATE_DIR": str(self.folder / "clients"),
            "COSTSITE_ADOPT_EVERY_SECONDS": "2",
            "COSTSITE_RETRY_MAX_SECONDS": "2",
            **moved_by(self.world, clock),
        }
        with (self.folder / "clients.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.worker",
                 agent, str(self.dice.getrandbits(32)), str(self.folder / f"diary-{self.serial}")],
                cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log,
            )  # fmt: skip
        self.clients.append(Client(process, clock))

    # ── what may happen ──────────────────────────────────────────────────────────────────────────────────────────

    def happen(self) -> None:
        acts: list[tuple[int, Callable[[], None]]] = [
            (4, self.kill_web),
            (2, self.kill_background),
            (5, self.kill_client),
            (3, self.pause_client),
            (4, self.step_client_clock),
            (2 if self.moves_server_clock else 0, self.step_server_clock),
            (1 if self.moves_server_clock else 0, self.server_clock_goes_wild),
            (2, self.grant),
            (1, self.raise_limit),
            (1, self.archive_and_set_again),
            (1, self.back_up),
            (3, self.merge),
        ]
        act = self.dice.choices([act for _, act in acts], [weight for weight, _ in acts])[0]
        self.acts[act.__name__.replace("_", " ")] += 1
        act()

    def kill_web(self) -> None:
        self.site.kill()
        time.sleep(self.dice.uniform(0, 2))
        self.site.start()

    def kill_background(self) -> None:
        assert self.background is not None
        os.killpg(self.background.pid, signal.SIGKILL)
        self.background.wait()
        self.start_background()

    def kill_client(self) -> None:
        client = self.clients.pop(self.dice.randrange(len(self.clients)))
        client.process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)  # what was on its way to it is granted by then
        self.excused += self.site.held(self.merges.before, pid=client.process.pid)
        client.process.kill()
        client.process.wait()
        self.start_client()

    def pause_client(self) -> None:
        client = self.dice.choice(self.clients)
        client.process.send_signal(signal.SIGSTOP)
        time.sleep(self.dice.uniform(0.5, 4))
        client.process.send_signal(signal.SIGCONT)

    def step_client_clock(self) -> None:
        self.dice.choice(self.clients).clock.write_text(
            str(self.dice.choice([0, 0, -30, 30, -90, 90, -7_200, 7_200, -86_400, 3 * 86_400]))
        )

    def step_server_clock(self) -> None:
        self.excused += self.site.held(self.merges.before)  # a step ahead may free leases before their holders know
        self.server_clock.write_text(str(self.dice.choice([0, -45, 45, -90, 90])))

    def server_clock_goes_wild(self) -> None:
        self.excused += self.site.held(self.merges.before)
        before = self.server_clock.read_text()
        self.server_clock.write_text(str(self.dice.choice([730 * 86_400, -2_500 * 86_400])))
        time.sleep(self.dice.uniform(0.5, 3))
        self.server_clock.write_text(before)

    def grant(self) -> None:
        self.site.manage("grant_budget", "acme", "--agent", "bounded", "--cents", "50", "--reason", "chaos")

    def raise_limit(self) -> None:
        limit = self.site.one("SELECT limit_cents FROM budgets_budgetpolicy WHERE agent_id IS NOT NULL"
                              " AND agent_id = (SELECT id FROM agents_agent WHERE slug = 'bounded')")  # fmt: skip
        self.site.manage("set_budget", "acme", "--agent", "bounded", "--limit-cents", str(limit + 50))

    def archive_and_set_again(self) -> None:
        """Of the agent whose budget is never in the way: what is spent without one is nobody's overspend."""
        budget = ("set_budget", "acme", "--agent", "free")
        self.site.manage(*budget, "--limit-cents", "100000")
        self.site.manage(*budget, "--none")

    def back_up(self) -> None:
        self.site.manage("backup", str(self.folder / f"copy-{self.acts['back up']}"))

    def merge(self) -> None:
        self.merges.merge_one()

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────

    def settle(self) -> None:
        """All clocks right, everything started, everything sent."""
        self.server_clock.write_text("0")
        for client in self.clients:
            client.clock.write_text("0")
        time.sleep(1)
        self.site.start()
        for client in self.clients:
            assert client.process.stdin is not None
            client.process.stdin.close()
        for client in self.clients:
            client.process.wait(timeout=120)
        for _ in range(20):  # what killed clients left, and what the server asked for again
            self.site.run_module("langchain_plugin.cli", "flush", "--timeout", "30", client=self.folder).wait()
            if not any(path.stat().st_size for path in self.folder.glob("clients/*/*-*.jsonl")):
                break
            time.sleep(1)
        if self.background is not None:
            self.background.terminate()  # the parent alone: it sends its workers home itself
            self.background.wait(timeout=120)
        print(f"moved at the end: {self.site.manage('shell', '-v0', '-c', MOVE_WHAT_IS_LEFT).strip()}")
        self.site.stop()

    def problems(self) -> list[str]:
        began: set[str] = set()
        done: set[str] = set()
        kinds: Counter[str] = Counter()
        for path in self.folder.glob("diary-*"):
            for line in path.read_text().splitlines():
                kind, label, *rest = line.split()
                kinds[" ".join([kind, *rest])] += 1
                if kind == "began":
                    began.add(label)
                elif kind in ("done", "failed"):
                    done.add(label)
        rows = Counter(self.site.all("SELECT thread_id FROM agents_llmcall"))
        found = [
            *(f"{label} ended and is not in the ledger" for label in sorted(done - rows.keys())[:20]),
            *(f"{label} is in the ledger {count} times" for label, count in rows.items() if count > 1),
            *(f"{label} is in the ledger and never began" for label in sorted(rows.keys() - began)[:20]),
        ]
        print(f"{sum(self.acts.values())} acts: " + ", ".join(f"{name} {n}" for name, n in self.acts.most_common()))
        print(f"{len(began):,} calls began: " + ", ".join(f"{name} {n:,}" for name, n in kinds.most_common()))
        print(f"{sum(rows.values()):,} calls in the ledger; {len(done - rows.keys())} of those that ended are missing")
        print(f"{self.merges.made} merges, {self.merges.cut_short} of them were cut short by a kill")
        found += self.merges.problems()
        for command in ("rebuild_rollups", "rebuild_budget_periods"):
            ran = self.site.try_to_manage(command, "--check")
            if ran.returncode:
                found.append(f"{command} --check: {ran.stdout[-500:]} {ran.stderr[-500:]}")
        return found + self.overspent()

    def overspent(self) -> list[str]:
        elsewhere = self.site.one(OUTSIDE_ITS_LEASE)
        merged = self.merges.spent_without_a_limit()
        bound = self.excused + elsewhere + merged
        found = []
        for month, spent, limit in self.site.rows(SPENT):
            over = max(0, spent - limit)
            print(
                f"bounded in {month}: {spent / 1e6:,.2f}¢ of {limit / 1e6:,.2f}¢, over by {over / 1e6:.2f}¢;"
                f" excused {bound / 1e6:.2f}¢ ({elsewhere / 1e6:.2f}¢ outside of a lease of that month,"
                f" {merged / 1e6:.2f}¢ of merged agents)"
            )
            if over > bound:
                found.append(f"{month} is overspent by {over} microcents, and {bound} are excused")
        return found


def moved_by(*clocks: Path) -> dict[str, str]:
    """The environment of a process whose clock these files move."""
    path = os.pathsep.join([str(MOVED_CLOCK), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return {"PYTHONPATH": path, "CHAOS_CLOCKS": ":".join(map(str, clocks))}


class MovedSite(LiveSite):
    """A site whose clock files move."""

    def __init__(self, state_dir: Path, *, clocks: list[Path]) -> None:
        super().__init__(state_dir)
        self._clocks = clocks

    def environment(self) -> dict[str, str]:
        return super().environment() | {"COSTSITE_RETENTION_DAYS": "400"} | moved_by(*self._clocks)

    def run_module(self, module: str, *arguments: str, client: Path | None = None) -> subprocess.Popen[bytes]:
        """A service of the site, or (with the folder of the clients) a command of theirs."""
        environment = self.environment()
        if client is not None:
            environment |= {
                "COSTSITE_URL": self.url,
                "COSTSITE_API_KEY": self.key,
                "COSTSITE_STATE_DIR": str(client / "clients"),
            }
        with (self.state_dir / "site.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    # Read from the file itself: a site that is down is asked too.

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with reading(self.state_dir) as ledger:
            found: list[tuple[Any, ...]] = ledger.execute(query, values).fetchall()
            return found

    def all(self, query: str) -> list[str]:
        return [str(row[0]) for row in self.rows(query)]

    def one(self, query: str, *values: object) -> int:
        return int(self.rows(query, *values)[0][0] or 0)

    def held(self, except_for: Collection[str], pid: int | None = None) -> int:
        """Microcents that live leases hold: all, or those of a process (by what it reported of itself, if it did).

        `except_for`: ids of leases whose calls are excused as a whole.
        """
        held = f"""
            SELECT replace(lease_id, '-', ''), granted_microcents - used_microcents FROM budgets_spendlease
            WHERE agent_id = {_BOUNDED} AND released_at IS NULL AND granted_microcents > used_microcents
            AND renewed_at > datetime((SELECT max(renewed_at) FROM budgets_spendlease), '-5 minutes')
            """
        of_client = "replace(client_id, '-', '') {} (SELECT replace(client_id, '-', '') FROM agents_client{})"
        if pid is None:
            rows = self.rows(held)
        else:
            known, unknown = of_client.format("IN", " WHERE pid = ?"), of_client.format("NOT IN", "")
            rows = self.rows(f"{held} AND ({known} OR {unknown})", pid)
        return sum(microcents for lease, microcents in rows if lease not in except_for)


AGENTS = """
from agents.models import Agent, Workspace
for slug in ("bounded", "free"):
    Agent.objects.create(workspace=Workspace.objects.get(slug="acme"), slug=slug)
"""
MOVE_WHAT_IS_LEFT = "from agents.moving import sweep; print(sweep(300))"
_BOUNDED = "(SELECT id FROM agents_agent WHERE slug = 'bounded')"
SPENT = f"""
SELECT strftime('%Y-%m', c.day), sum(c.cost_microcents),
       (SELECT limit_cents FROM budgets_budgetpolicy WHERE agent_id = {_BOUNDED}) * 1000000
       + 1000000 * (SELECT coalesce(sum(cents), 0) FROM budgets_budgetgrant
                    WHERE policy_id IN (SELECT id FROM budgets_budgetpolicy WHERE agent_id = {_BOUNDED}))
FROM agents_llmcall c WHERE c.agent_id = {_BOUNDED} GROUP BY 1
"""
OUTSIDE_ITS_LEASE = f"""
SELECT coalesce(sum(c.cost_microcents), 0) FROM agents_llmcall c
LEFT JOIN budgets_spendlease l ON replace(l.lease_id, '-', '') = replace(c.lease_id, '-', '')
WHERE c.agent_id = {_BOUNDED} AND (l.lease_id IS NULL OR l.month <> strftime('%Y-%m', c.day))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument(
        "--right-server-clock", action="store_true", help="Leave the server's clock alone: budgets are excused less."
    )
    parser.add_argument("--keep", type=Path, help="A new folder for the databases, diaries and logs.")
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.seconds:g} s", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        chaos = Chaos(folder, random.Random(options.seed), moves_server_clock=not options.right_server_clock)
        chaos.start(month_ends_after=options.seconds * 0.4)
        ends = time.monotonic() + options.seconds
        try:
            while time.monotonic() < ends:
                time.sleep(chaos.dice.expovariate(1.0))
                chaos.happen()
            chaos.settle()
            problems = chaos.problems()
        finally:
            for client in chaos.clients:
                client.process.kill()
            chaos.site.kill()
            if chaos.background is not None and chaos.background.poll() is None:
                os.killpg(chaos.background.pid, signal.SIGKILL)
    for problem in problems:
        print(f"WRONG: {problem}")
    print(f"{len(problems)} problems (seed {options.seed})" if problems else "The books are right.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
