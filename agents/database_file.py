"""SQLite's file, and whether it is still the one that is served.

A process that has a file open goes on writing into it after somebody put another in its place, or deleted it: what it
acknowledges then is gone with its last connection. So the file's identity is noted when it is first opened, and nothing
is acknowledged that went into another. The new file is not opened either: beside it may lie the journal of the old one.
"""

from __future__ import annotations

import logging
import os
from typing import Any, Final

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

log = logging.getLogger(__name__)

_served: Final[dict[str, tuple[int, int]]] = {}
"""Device and inode by the file's name, as this process first opened it."""
_said: Final[set[str]] = set()


class DatabaseReplacedError(OperationalError):
    """The database file is another than the one that was opened; the message says the mend."""


def file_name(connection: BaseDatabaseWrapper) -> str | None:
    """Of the database; None where there is no file, or where the database looks after it itself."""
    if connection.vendor != "sqlite":
        return None
    name = str(connection.settings_dict["NAME"])
    return None if ":memory:" in name or name.startswith("file:") else name


def require_same_file(connection: BaseDatabaseWrapper) -> None:
    """Raise DatabaseReplacedError when the file was replaced, moved or deleted since this process opened it."""
    name = file_name(connection)
    if name is None or name not in _served or _identity(name) == _served[name]:
        return
    error = DatabaseReplacedError(
        f"The database file {name} was replaced, moved or deleted while the site runs; nothing is written. Stop the"
        f" site, put the file that is to be served at that place, without the -wal and -shm of another, and start the"
        " site again."
    )
    if name not in _said:
        _said.add(name)
        log.critical(error)
    raise error


@receiver(connection_created, dispatch_uid="agents.database_file")
def _note(connection: BaseDatabaseWrapper, **_kwargs: Any) -> None:
    name = file_name(connection)
    if name is None:
        return
    if name not in _served:
        identity = _identity(name)
        if identity is not None:
            _served[name] = identity
        return
    try:
        require_same_file(connection)
    except DatabaseReplacedError:
        connection.close()  # else it would be used as it is: it is made once
        raise


def _identity(name: str) -> tuple[int, int] | None:
    try:
        stat = os.stat(name)  # noqa: PTH116 - every transaction asks, and Path takes three times as long
    except OSError:
        return None
    return stat.st_dev, stat.st_ino
