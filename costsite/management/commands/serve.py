"""manage.py serve: the whole site in one command."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import connections

from costsite.management.at_once import CommandHeardAtOnce
from costsite.serve import readiness
from costsite.serve.services import BACKGROUND, WEB, site_services
from costsite.serve.supervisor import Supervisor


class Command(CommandHeardAtOnce):
    help = "Serve the site: web and background work together, until Ctrl-C or SIGTERM."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="Address to listen on (127.0.0.1).")
        parser.add_argument("--port", type=int, default=8000, help="Port to listen on (8000).")
        parser.add_argument(
            "--workers", type=int, help="Web processes (SQLite: 1; PostgreSQL: one per processor, at least 2)."
        )
        parser.add_argument(
            "--only", choices=[WEB, BACKGROUND], help="One of the two, where several machines or units share the work."
        )
        parser.add_argument("--migrate", action="store_true", help="Bring the databases up to date first.")
        parser.add_argument("--no-access-log", action="store_true", help="Do not write a line per request.")

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        if options["workers"] is not None and options["workers"] < 1:
            raise CommandError("--workers is the number of web processes; the least it can be is 1.")
        try:
            if options["migrate"]:
                readiness.migrate_everything(options["verbosity"] - 1)
            readiness.require_migrations()
            if options["only"] != BACKGROUND:
                readiness.require_free(host, port)
        except readiness.NotReadyError as error:
            raise CommandError(str(error)) from error
        settings.STATIC_ROOT.mkdir(
            parents=True, exist_ok=True
        )  # whitenoise warns of a missing folder; nothing need be in it
        connections.close_all()

        supervisor = Supervisor(
            site_services(
                host,
                port,
                web_processes=options["workers"],
                access_log=not options["no_access_log"],
                only=options["only"],
            ),
            folder=settings.BASE_DIR,
            say=self.say,
        )
        supervisor.stop_on_signals()
        supervisor.start()
        shown = f"[{host}]" if ":" in host else host
        doing = "works in the background" if options["only"] == BACKGROUND else f"serves on http://{shown}:{port}/"
        self.say(f"Costsite {doing} (Ctrl-C stops it)")
        supervisor.watch()
        self.say("Stopping.")
        supervisor.stop()
