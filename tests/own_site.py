"""A site of a test's own: its state folder, and its ledger on the database that this run of the tests is about.

That is SQLite, in the folder; or, where `python -m tests.postgresql pytest` started a server for the run, a database of
that server which is named after the folder. A test need not know which.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from tests.postgresql import SERVER_OF_THE_RUN

ROOT = Path(__file__).resolve().parents[1]
SERVER = os.environ.get(SERVER_OF_THE_RUN, "")
"""Address of the run's PostgreSQL server, at its database `postgres`; empty: this run is on SQLite."""
_made: set[str] = set()
"""Names of the databases that were made."""
_OF_THIS_PROCESS = ("COSTSITE_", "DATABASE_", "DJANGO_", "REDIS_", "PYTHONUNBUFFERED")


def surroundings(folder: Path, **settings: str) -> dict[str, str]:
    """The environment of a process of the site in `folder`, which knows nothing of this process's own settings.

    Nor of the one that changes how Python writes: what a site says must come at once without it.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OF_THIS_PROCESS)}
    return inherited | {"COSTSITE_STATE_DIR": str(folder), "DATABASE_URL": database_url(folder)} | settings


def database_url(folder: Path) -> str:
    """DATABASE_URL of the site in `folder`: empty for SQLite. On PostgreSQL its database is made the first time."""
    if not SERVER:
        return ""
    if _name(folder) not in _made:
        _make_database(_name(folder))
    return _url(folder)


def make_tables(folder: Path) -> None:
    """As `manage.py migrate` does for a new site, but by a copy: migrating takes longer than most tests."""
    copy(_migrated(), folder)


def copy(source: Path, target: Path) -> None:
    """Become what the site in `source` is, which does not run."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    if SERVER:
        _make_database(_name(target), template=_name(source))


def databases_of(folder: Path, url: str = "") -> tuple[str, ...]:
    """As Django names them: in SQLite, the queue has a file of its own."""
    return ("default",) if url or database_url(folder) else ("default", "queue")


def migrate(folder: Path, environment: dict[str, str]) -> None:
    """All of it, which takes a few seconds."""
    for database in databases_of(folder, environment["DATABASE_URL"]):
        command = [sys.executable, "manage.py", "migrate", "--database", database, "-v0"]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)


@contextmanager
def reading(folder: Path, database_url: str = "") -> Iterator[Any]:
    """A connection to a site's ledger, past the site: one that is down can be read too. It has `execute(query)`."""
    if url := database_url or (SERVER and _url(folder)):
        with psycopg.connect(url) as connection:
            yield connection
    else:
        address = f"file:{folder / 'costsite.sqlite3'}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=20)) as connection:
            yield connection


@cache
def _migrated() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="costsite-migrated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    migrate(folder, surroundings(folder))
    (folder / "secret_key").unlink()  # each site makes its own
    return folder


def _make_database(name: str, *, template: str = "template1") -> None:
    with psycopg.connect(SERVER, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    _made.add(name)


def _name(folder: Path) -> str:
    """A folder's name may have any letters and be of any length; a database's 63 bytes."""
    return f"site_{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:24]}"


def _url(folder: Path) -> str:
    return f"{SERVER.rpartition('/')[0]}/{_name(folder)}"
