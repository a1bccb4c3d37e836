"""A real site in a process of its own, with its own state, which can be stopped, killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self
from urllib.error import URLError
from urllib.request import Request, urlopen

from tests import own_site
from tests.own_site import ROOT

START_SECONDS = 180.0
WEB = ("--host", "127.0.0.1", "--threads", "8", "--no-access-log")
"""The site's own web service, without the supervisor that would start it again when a test kills it."""


OWNER = """
from django.contrib.auth import get_user_model
from agents.models import Membership, Workspace
person, made = get_user_model().objects.get_or_create(username="olive", defaults={"is_staff": True})
if made:
    person.set_password("correct horse battery")
    person.save()
    acme = Workspace.objects.get(slug="acme")
    Membership.objects.create(user=person, workspace=acme, role=Membership.Role.OWNER)
"""


class Recorded(NamedTuple):
    """What the ledger holds of one agent, by each of the ways it is counted."""

    calls: int
    distinct_calls: int
    calls_of_runs: int
    calls_of_days: int
    input_tokens: int


def exactly(calls: int, input_tokens_each: int = 100) -> Recorded:
    """Each call once, in the ledger, in its run, and in its day."""
    return Recorded(calls, calls, calls, calls, calls * input_tokens_each)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass
class LiveSite:
    """`url` and `key` stay the same however often it is started."""

    state_dir: Path
    port: int = field(default_factory=free_port)
    key: str = ""
    database_url: str = ""
    """Empty: as tests/own_site.py has it, on the database that the tests run on."""
    redis_url: str = ""
    """Empty: tasks wait in the database."""
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def copy(self, prepared: LiveSite) -> Self:
        """Become what a site is that does not run."""
        own_site.copy(prepared.state_dir, self.state_dir)
        self.key = prepared.key
        return self

    def prepare(self) -> Self:
        """Make the tables, a workspace, and a key of it."""
        self.state_dir.mkdir(exist_ok=True)
        if self.database_url:
            own_site.migrate(self.state_dir, self.environment())
        else:
            own_site.make_tables(self.state_dir)
        self.manage("create_workspace", "acme")
        self.key = self.manage("create_api_key", "acme").strip()
        return self

    def add_owner(self) -> None:
        """Olive, who owns the workspace and logs in as `browsing.log_in` does. Does nothing when she is there."""
        self.manage("shell", "-v0", "-c", OWNER)

    def manage(self, *arguments: str) -> str:
        """The output of a management command."""
        ran = self.try_to_manage(*arguments)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def try_to_manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A management command that may fail."""
        return subprocess.run(
            self.manage_command(*arguments), cwd=ROOT, env=self.environment(), capture_output=True, text=True
        )

    def start(self) -> None:
        """Returns when it answers. Does nothing when it runs."""
        if self._process is not None and self._process.poll() is None:
            return
        with (self.state_dir / "site.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.web_command(),
                cwd=ROOT, env=self.environment(), stdin=subprocess.PIPE, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.state_dir / "site.log").read_text())
            time.sleep(0.05)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a crash or a power cut would: nothing is finished, nothing said."""
        self._end(signal.SIGKILL)

    @property
    def pid(self) -> int:
        """Of the web service, which was started."""
        assert self._process is not None
        return self._process.pid

    def processes(self) -> list[int]:
        """Of the web service: all of its session."""
        leader = self.pid
        found = []
        for folder in Path("/proc").iterdir():
            with suppress(OSError):  # one that ended meanwhile
                if folder.name.isdigit() and os.getpgid(int(folder.name)) == leader:
                    found.append(int(folder.name))
        return found

    def recorded(self, agent: str) -> Recorded:
        """Read past the site, so that one that is down can be asked too."""
        of_agent = f"agent_id IN (SELECT id FROM agents_agent WHERE slug = '{agent}')"
        with own_site.reading(self.state_dir, self.database_url) as ledger:

            def numbers(query: str) -> tuple[int, ...]:
                return tuple(int(number or 0) for number in ledger.execute(f"{query} WHERE {of_agent}").fetchone())

            calls, distinct, tokens = numbers(
                "SELECT count(*), count(DISTINCT call_id), sum(input_tokens) FROM agents_llmcall"
            )
            (of_runs,) = numbers("SELECT sum(calls) FROM agents_agentrunlog")
            (of_days,) = numbers("SELECT sum(calls) FROM agents_usageday")
        return Recorded(calls, distinct, of_runs, of_days, tokens)

    def web_command(self) -> list[str]:
        return [sys.executable, "-m", "costsite.serve.web", "--port", str(self.port), *WEB]

    def manage_command(self, *arguments: str) -> list[str]:
        return [sys.executable, "manage.py", *arguments]

    def environment(self) -> dict[str, str]:
        own = {"DATABASE_URL": self.database_url} if self.database_url else {}
        return own_site.surroundings(self.state_dir, COSTSITE_LOG_LEVEL="WARNING", REDIS_URL=self.redis_url, **own)

    def _answers(self) -> bool:
        try:
            with urlopen(Request(f"{self.url}/api/v1/key", headers={"Authorization": f"Bearer {self.key}"}), timeout=5):
                return True
        except (URLError, OSError):
            return False

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)  # its own session: the workers go with it
            self._process.wait(timeout=120)
