"""manage.py demo: what `make run` runs. The whole site, filled, with an agent that reports to it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser
from django.db import connections
from django.urls import reverse
from sesame.utils import get_query_string

from agents.models import Workspace
from costsite.as_typed import path_as_typed, python_as_typed
from costsite.demo import cast
from costsite.demo.budgets import give_demo_budgets
from costsite.demo.people import ADMIN, admin_login, demo_key
from costsite.management.at_once import CommandHeardAtOnce
from costsite.serve import readiness
from costsite.serve.services import site_services
from costsite.serve.supervisor import Supervisor

HOST = "127.0.0.1"
"""The demo hands out a login link, so nobody else's machine may reach it."""
STARTING_SECONDS = 60.0
AGENT_SECONDS = 120.0
EXAMPLE = "examples/support_agent.py"
BUDGETED_EXAMPLE = "examples/budgeted_agent.py"


class Command(CommandHeardAtOnce):
    help = "Run the site with a month of believable data and a real agent. Sign-in links work; not for real data."
    requires_system_checks = []  # they need the databases, which are made first

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="Port to listen on (8000, or the next free one).")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError(
                "The demo hands out sign-in links. Start it with COSTSITE_DEMO=true, as `make run` does."
            )
        readiness.migrate_everything()
        self.check(databases=list(settings.DATABASES))
        call_command("load_demo", verbosity=0, stdout=self.stdout)
        admin, password = admin_login()
        support = Workspace.objects.get(slug=cast.SUPPORT.slug)
        key = demo_key(support)
        give_demo_budgets(support)
        link = reverse("login-link") + get_query_string(admin)
        try:
            port = readiness.first_free(HOST, options["port"])
        except readiness.NotReadyError as error:
            raise CommandError(str(error)) from error
        connections.close_all()

        log = settings.STATE_DIR / "serve.log"
        settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            supervisor = Supervisor(site_services(HOST, port), settings.BASE_DIR, say=self.say, output=output)
            supervisor.stop_on_signals()
            supervisor.start()
            try:
                self._run(supervisor, f"http://{HOST}:{port}", options["port"], link, password, key)
            finally:
                supervisor.stop()
                self.say("\nStopped. make run starts it again, with the same data.")

    def _run(
        self, supervisor: Supervisor, url: str, wanted_port: int, link: str, password: str | None, key: str
    ) -> None:
        log = path_as_typed(settings.STATE_DIR / "serve.log")
        if not _answers(url, supervisor):
            if not supervisor.stopping.is_set():
                raise CommandError(f"The site did not answer in {STARTING_SECONDS:.0f} s; {log} says why.")
            return
        self._run_agent(EXAMPLE, url, key)
        self._run_agent(BUDGETED_EXAMPLE, url, key)
        # The password was shown when it was made, and is not kept.
        renew = f"COSTSITE_DEMO=true {python_as_typed('manage.py', 'changepassword', ADMIN)}"
        login = f"{ADMIN} / {password}" if password else f"{ADMIN}; a new password: {renew}"
        moved = "" if url.endswith(f":{wanted_port}") else f" (port {wanted_port} is taken)"
        self.say(
            "\n".join(
                (
                    f"\nCostsite runs on {url}/{moved}",
                    f"  Dashboard  {url}{link}   signs you in, once",
                    f"  Admin      {url}/admin/   {login}",
                    f"  API key    {key}",
                    f"  Try        in a second terminal: {_to_paste(EXAMPLE, url, key)}",
                    f"  Log        {log}",
                    "  Stop       Ctrl-C",
                )
            )
        )
        supervisor.watch()

    def _run_agent(self, example: str, url: str, key: str) -> None:
        """Run an example as anyone would, in a process of its own, through the callback and HTTP."""
        self.say(f"Running an agent: {example}")
        environment = os.environ | {
            "COSTSITE_URL": url,
            "COSTSITE_API_KEY": key,
            "COSTSITE_STATE_DIR": str(settings.STATE_DIR / "agent"),
            "PYTHONUNBUFFERED": "1",
        }
        command = [sys.executable, str(settings.BASE_DIR / example)]
        with tempfile.TemporaryFile("w+") as complaints:
            agent = subprocess.Popen(  # noqa: S603 - our own example
                command, env=environment, stdout=subprocess.PIPE, stderr=complaints, text=True
            )
            too_long = threading.Timer(AGENT_SECONDS, agent.kill)
            too_long.start()
            with agent:
                for line in agent.stdout or ():  # as it comes: which model is asked is said before it is
                    self.say(f"  {line.rstrip()}")
            too_long.cancel()
            complaints.seek(0)
            if agent.returncode == -signal.SIGKILL:
                self.stderr.write(f"  It did not end in {AGENT_SECONDS:.0f} s; the site runs on without it.")
            elif agent.returncode:
                self.stderr.write(f"  It failed: {what_ended_it(complaints.read())}")
                self.stderr.write(f"  Try it yourself: {_to_paste(example, url, key)}")


def _to_paste(example: str, url: str, key: str) -> str:
    return f"COSTSITE_URL={url} COSTSITE_API_KEY={key} {python_as_typed(example)}"


def what_ended_it(complaints: str) -> str:
    """The line of a process's standard error that names the exception.

    It is the first that is not indented below the last traceback: after it libraries add notes of their own.
    """
    _, traceback, below = complaints.rpartition("Traceback (most recent call last):")
    lines = [line for line in below.splitlines() if line.strip() and not line.startswith(" ")]
    if not lines:
        return "it said nothing"
    return lines[0] if traceback else lines[-1]


def _answers(url: str, supervisor: Supervisor) -> bool:
    """Wait until the site answers; False when it has not in time, or was told to stop."""
    until = time.monotonic() + STARTING_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{url}{reverse('login')}", timeout=5).close()  # noqa: S310 - our own address
            return True
        if supervisor.stopping.wait(0.1):
            return False
    return False
