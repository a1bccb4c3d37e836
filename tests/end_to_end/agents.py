"""Drives `agent_process.py` from a test, and kills it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.end_to_end.live_site import ROOT


class AgentProcess:
    """One process with one agent, which reports to `url` and keeps its spool in `state_dir`.

    `python`: what runs Python where it is to run; here, if nothing is said.
    """

    def __init__(
        self, agent: str, *, url: str, key: str, state_dir: Path, python: Sequence[str] = (sys.executable,),
        **settings: str,
    ) -> None:  # fmt: skip
        self._environment = agent_environment(agent, url=url, key=key, state_dir=state_dir, **settings)
        self._log_path = state_dir / f"{agent}.log"
        state_dir.mkdir(parents=True, exist_ok=True)
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*python, "-m", "tests.end_to_end.agent_process"],
                cwd=ROOT, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        self._await("ready")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        """What it wrote to standard error."""
        return self._log_path.read_text()

    def call(self, count: int, *, threads: int = 1) -> None:
        self._tell(f"call {count} threads {threads}" if threads > 1 else f"call {count}")
        self._await("done")

    def flush(self, seconds: float) -> bool:
        self._tell(f"flush {seconds}")
        return self._answer() == "True"

    def fork(self, count: int, then: str) -> int:
        """The pid of a child that makes `count` calls."""
        self._tell(f"fork {count} {then}")
        return int(self._answer())

    def spawn(self, count: int, method: str) -> None:
        self._tell(f"spawn {count} {method}")
        self._await("done")

    def waits_for_log(self, part: str, seconds: float = 60) -> None:
        """Until it has said this."""
        deadline = time.monotonic() + seconds
        while part not in self.log and time.monotonic() < deadline:
            time.sleep(0.05)
        assert part in self.log

    def losses(self) -> str:
        self._tell("losses")
        return self._answer()

    def exit(self) -> float:
        """Let it end as scripts end; the seconds that took."""
        began = time.monotonic()
        self._tell("exit")
        status = self._process.wait(timeout=120)
        assert status == 0, (status, self.log)
        return time.monotonic() - began

    def end_by(self, number: signal.Signals) -> None:
        self._process.send_signal(number)  # nothing happens where it has ended
        self._process.wait(timeout=120)

    def _tell(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        assert answer, self.log
        return answer

    def _await(self, word: str) -> None:
        answer = self._answer()
        assert answer == word, (answer, self.log)


def agent_environment(agent: str, *, url: str, key: str, state_dir: Path, **settings: str) -> dict[str, str]:
    """The environment of a process that reports; pauses are short, since a test would wait for them."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("COSTSITE_", "DJANGO_"))}
    return inherited | {
        "COSTSITE_AGENT": agent,
        "COSTSITE_API_KEY": key,
        "COSTSITE_URL": url,
        "COSTSITE_STATE_DIR": str(state_dir),
        "COSTSITE_SEND_AFTER_SECONDS": "0.2",
        "COSTSITE_RETRY_MAX_SECONDS": "0.5",
        "COSTSITE_ADOPT_EVERY_SECONDS": "0.5",
        **{f"COSTSITE_{name.upper()}": value for name, value in settings.items()},
    }


def flush_from_the_command_line(environment: dict[str, str], seconds: float = 90) -> subprocess.CompletedProcess[str]:
    return from_the_command_line(environment, "flush", "--timeout", str(seconds))


def from_the_command_line(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """`costsite` with these arguments."""
    return subprocess.run(
        [sys.executable, "-m", "langchain_plugin.cli", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
