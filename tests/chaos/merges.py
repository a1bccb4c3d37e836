"""Names that stand for another agent from some moment on, in the middle of everything else.

Some clients of the chaos report under names of their own. From time to time one of these agents is merged into another,
by the command, which is often killed on the way: before the merge, or while it moves what there is. Who reports under
the name goes on.
"""

from __future__ import annotations

import random
import subprocess
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.chaos.run import MovedSite

STRAY: Final = "stray-"
COMMIT_SECONDS = 60.0


class Merges:
    def __init__(self, site: MovedSite, dice: random.Random) -> None:
        self._site, self._dice = site, dice
        self.before: set[str] = set()
        """Ids of leases that strays had before they were merged into the agent with a limit, which did not bound them.
        Those of the moment after are among them.
        """
        self.made = self.cut_short = 0

    def name(self, serial: int) -> str:
        """Of the agent of a new client; a stray's is its own, or one that others report under already."""
        stray = f"{STRAY}{serial}"
        if serial <= 3:
            return ["bounded", "free", stray][serial - 1]
        waiting = self._strays()
        return self._dice.choice(["bounded", "bounded", "free", stray, *waiting[-2:]]) if waiting else stray

    def merge_one(self) -> None:
        unmerged = self._strays()
        if not unmerged:
            return
        source = self._dice.choice(unmerged)
        others = [name for name in unmerged if name != source]
        target = self._dice.choice(["bounded", "free", "free", *others])
        held = self._leases(source)
        command = self._site.run_module("manage", "merge_agents", "acme", source, target, "--apply")
        if self._dice.random() < 0.2:
            time.sleep(self._dice.uniform(0, 3))  # before it begins, or anywhere
        else:
            self._wait_for_commit(command, source)
            time.sleep(self._dice.choice([0, 0.01, 0.05, 0.2, 0.5]))
        if command.poll() is None and self._dice.random() < 0.8:
            command.kill()
        command.wait(timeout=300)
        if not self._is_merged(source):
            return
        self.made += 1
        if target == "bounded":
            self.before |= held | self._leases(source)
        self.cut_short += self._site.one(
            "SELECT count(*) FROM agents_agentmerge m JOIN agents_agent a ON a.id = m.source_id"
            " WHERE a.slug = ? AND m.finished_at IS NULL",
            source,
        )

    def spent_without_a_limit(self) -> int:
        """Microcents that the agent with a limit was given by merges, and what strays were granted before these."""
        costs = dict(
            self._site.rows(
                "SELECT replace(lease_id, '-', ''), sum(cost_microcents) FROM agents_llmcall"
                " WHERE agent_id = (SELECT id FROM agents_agent WHERE slug = 'bounded') GROUP BY lease_id"
            )
        )
        return sum(costs.get(lease, 0) or 0 for lease in self.before)

    def problems(self) -> list[str]:
        """What a merge left undone, and calls that are not whose their name stands for. For a site that is down."""
        names = {
            slug: into or slug
            for slug, into in self._site.rows(
                "SELECT a.slug, t.slug FROM agents_agent a LEFT JOIN agents_agent t ON t.id = a.merged_into_id"
            )
        }
        found = [
            f"{label} is booked to {agent}, and its name stands for {names.get(_name_in(label))}"
            for label, agent in self._site.rows(
                "SELECT c.thread_id, a.slug FROM agents_llmcall c JOIN agents_agent a ON a.id = c.agent_id"
            )
            if agent != names.get(_name_in(label))
        ][:20]
        if strangers := self._site.one(
            "SELECT count(*) FROM agents_llmcall c"
            " JOIN agents_agentrunlog r ON r.workspace_id = c.workspace_id AND r.run_id = c.run_id"
            " WHERE r.agent_id <> c.agent_id"
        ):
            found.append(f"{strangers} calls are another agent's than their run")
        for table in (
            "agents_agentrunlog",
            "agents_llmcall",
            "agents_usageday",
            "agents_usagemonth",
            "agents_agentday",
            "agents_tagday",
            "agents_tagmonth",
            "budgets_spendlease",
        ):
            if left := self._site.one(
                f"SELECT count(*) FROM {table} WHERE agent_id IN"
                " (SELECT id FROM agents_agent WHERE merged_into_id IS NOT NULL)"
            ):
                found.append(f"{left} rows of {table} name an agent that was merged")
        if unfinished := self._site.one("SELECT count(*) FROM agents_agentmerge WHERE finished_at IS NULL"):
            found.append(f"{unfinished} merges are not finished")
        return found

    def _strays(self) -> list[str]:
        """Agents that may be merged: known to the site, and not merged yet."""
        return self._site.all(
            f"SELECT slug FROM agents_agent WHERE slug LIKE '{STRAY}%' AND merged_into_id IS NULL ORDER BY id"
        )

    def _leases(self, name: str) -> set[str]:
        """Of an agent, and of whoever asks under its name or one that stood for it."""
        return {
            str(lease)
            for (lease,) in self._site.rows(
                "WITH stray AS (SELECT id FROM agents_agent WHERE slug = ?)"
                " SELECT replace(lease_id, '-', '') FROM budgets_spendlease WHERE agent_id = (SELECT id FROM stray)"
                " OR asked_as IN (SELECT slug FROM agents_agent WHERE id = (SELECT id FROM stray) OR id IN"
                " (SELECT source_id FROM agents_agentmerge WHERE target_id = (SELECT id FROM stray)))",
                name,
            )
        }

    def _is_merged(self, name: str) -> bool:
        return bool(self._site.one("SELECT count(merged_into_id) FROM agents_agent WHERE slug = ?", name))

    def _wait_for_commit(self, command: subprocess.Popen[bytes], source: str) -> None:
        until = time.monotonic() + COMMIT_SECONDS
        while command.poll() is None and not self._is_merged(source) and time.monotonic() < until:
            time.sleep(0.005)


def _name_in(label: str) -> str:
    return label.partition(":")[0]
