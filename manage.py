#!/usr/bin/env python
"""Django's entry point."""

import os
import sys
import traceback


def main() -> None:
    os.umask(0o077)  # what commands make holds costs, sessions and hashed keys; see costsite.wsgi
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costsite.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import CommandError, execute_from_command_line
    from django.db import DatabaseError

    try:
        execute_from_command_line(sys.argv)
    except (ImproperlyConfigured, CommandError, DatabaseError) as error:
        # What settings and arguments raise while they are read, Django would show as a traceback.
        sentence = _why_the_databases_cannot_be_used(error) if isinstance(error, DatabaseError) else str(error)
        if not sentence or "--traceback" in sys.argv:
            raise
        sys.exit(sentence)


def _why_the_databases_cannot_be_used(error: Exception) -> str:
    """Empty when they can be: then the error is not one that a command mends."""
    from costsite.serve.readiness import NotReadyError, require_databases, require_migrations

    # Where migrating failed, migrations are missing because of the error, which is the one thing to know.
    require = require_databases if _arose_in_migrating(error) else require_migrations
    try:
        require()
    except NotReadyError as reason:
        return str(reason)
    return ""


def _arose_in_migrating(error: Exception) -> bool:
    """Not asked of sys.argv: `serve --migrate`, `demo` and `restore` migrate too."""
    from django.core.management.commands import migrate

    return any(frame.f_globals is vars(migrate) for frame, _ in traceback.walk_tb(error.__traceback__))


if __name__ == "__main__":
    main()
