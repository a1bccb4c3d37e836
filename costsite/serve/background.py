"""The background service: django-q2's cluster, with the schedule it keeps. `python -m costsite.serve.background`."""

from __future__ import annotations

import os

import django

from costsite.serve import lifeline


def main() -> None:
    lifeline.hold()
    os.umask(0o077)  # see costsite.wsgi
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costsite.settings")
    django.setup()
    from django.core.management import call_command
    from django.db import connections

    from costsite.tasks import schedule_tick

    schedule_tick()
    connections["default"].ensure_connection()  # whose file it is holds for all workers: agents.database_file
    connections.close_all()
    call_command("qcluster", skip_checks=True)


if __name__ == "__main__":
    main()
