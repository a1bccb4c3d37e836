"""What must be true before the site is served, each with its mend."""

from __future__ import annotations

import errno
import socket

from django.conf import settings
from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor

from costsite.as_typed import python_as_typed


class NotReadyError(Exception):
    """The site cannot be served; the message says the mend."""


def migrate_everything(verbosity: int = 0) -> None:
    """Bring every database up to date. The queue has its own where the ledger's is SQLite."""
    from django.core.management import call_command

    for alias in settings.DATABASES:
        call_command("migrate", database=alias, verbosity=verbosity, interactive=False)


def require_databases() -> None:
    """Raise NotReadyError when a database cannot be reached."""
    for alias in settings.DATABASES:
        _missing_migrations(alias)


def require_migrations() -> None:
    """Raise NotReadyError when a database cannot be reached or lacks a migration."""
    for alias in settings.DATABASES:
        if missing := _missing_migrations(alias):
            commands = " && ".join(
                python_as_typed("manage.py", "migrate", "--database", name) for name in settings.DATABASES
            )
            raise NotReadyError(
                f"The database {alias!r} lacks {missing} migrations. Run: {commands}"
                f"   (or: {python_as_typed('manage.py', 'serve', '--migrate')})"
            )


def _missing_migrations(alias: str) -> int:
    try:
        executor = MigrationExecutor(connections[alias])
        return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    except DatabaseError as error:
        raise NotReadyError(
            f"The database {alias!r} cannot be used: {' '.join(str(error).split())}."
            " Check DATABASE_URL and COSTSITE_STATE_DIR."
        ) from error


def require_free(host: str, port: int) -> None:
    """Raise NotReadyError when something listens on the port, or it may not be used."""
    try:
        _try_to_listen(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise NotReadyError(
                f"Port {port} on {host} is taken. Stop what uses it, or choose another: --port {port + 1}"
                f" (with make: PORT={port + 1})"
            ) from error
        raise NotReadyError(
            f"Cannot listen on {host}, port {port}: {error.strerror or error}."
            " Choose others: --host 127.0.0.1 --port 8000"
        ) from error


def first_free(host: str, port: int, tries: int = 50) -> int:
    """`port`, or the next one nobody listens on."""
    for candidate in range(port, min(port + tries, 65536)):
        try:
            _try_to_listen(host, candidate)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise NotReadyError(f"Cannot listen on {host}, port {candidate}: {error.strerror or error}.") from error
        else:
            return candidate
    raise NotReadyError(f"No port from {port} to {port + tries - 1} is free on {host}; choose another with --port.")


def _try_to_listen(host: str, port: int) -> None:
    # Without SO_REUSEPORT, which the server sets: with it, two servers could share a port, each with half the requests.
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind(address)
        trial.listen(1)
