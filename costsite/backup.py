"""Copies of a SQLite site, made while it runs, and put back while it does not.

A copy is a folder: the ledger as of one instant, and the secret key, without which its API keys would fit no more. The
queue is not among it: what is due is found in the ledger again. PostgreSQL has tools of its own for this.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

LEDGER: Final = "costsite.sqlite3"
SECRET: Final = "secret_key"  # noqa: S105 - a file's name
_BESIDE: Final = ("-wal", "-shm")
"""What SQLite keeps next to a database; without these, or with another's, the file is not what it was."""


class BackupError(Exception):
    """It cannot be done; the message says the mend."""


def back_up(database: Path, secret: Path, folder: Path) -> None:
    """Copy `database` and `secret` into a new `folder`.

    One statement of SQLite's own copies the database as of its first page read: writers go on meanwhile, and what they
    write is not in the copy. The folder has its name only when all of it is on the disk.

    Args:
        database: The ledger's file.
        secret: The site's secret key; need not be there, when the environment gives it.
        folder: Must not exist.

    Raises:
        BackupError: `folder` exists or cannot be made, or the disk is full.

    """
    if folder.exists():
        raise BackupError(f"{folder} exists; name a folder that does not.")
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700, parents=True)
        copy = unfinished / LEDGER
        with (
            closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")  # one file, and nothing beside it
        copy.chmod(0o600)
        if secret.exists():
            shutil.copyfile(secret, unfinished / SECRET)
            (unfinished / SECRET).chmod(0o600)
        for path in (*unfinished.iterdir(), unfinished):
            _sync(path)
        unfinished.rename(folder)
        _sync(folder.parent)
    except (OSError, sqlite3.Error) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise BackupError(f"{folder} cannot be written ({error}); free space there, or name another place.") from error


def restore(folder: Path, database: Path, secret: Path) -> list[Path]:
    """Put a copy in the place of `database` and `secret`; what was there stays beside it, under the paths returned.

    Raises:
        BackupError: `folder` holds no whole copy, or the site runs.

    """
    copy = folder / LEDGER
    if not copy.is_file():
        raise BackupError(f"{folder} holds no copy of a site: {LEDGER} is missing. Name what `backup` made.")
    _check(copy)
    if database.exists():
        _require_unused(database)
    aside: list[Path] = []
    try:
        fresh = database.with_name(f"{database.name}.restored")
        shutil.copyfile(copy, fresh)
        fresh.chmod(0o600)
        _sync(fresh)
        aside += _set_aside(database)
        fresh.rename(database)
        if (folder / SECRET).is_file() and not _same(folder / SECRET, secret):
            aside += _set_aside(secret)
            shutil.copyfile(folder / SECRET, secret)
            secret.chmod(0o600)
        _sync(database.parent)
    except OSError as error:
        raise BackupError(
            f"{database} cannot be written ({error}); what was there is beside it: {[*map(str, aside)]}."
        ) from error
    return aside


def _check(copy: Path) -> None:
    try:
        with closing(sqlite3.connect(f"{copy.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            ((said,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
            connection.execute("SELECT count(*) FROM django_migrations").fetchone()
    except sqlite3.Error as error:
        said = str(error)
    if said != "ok":
        raise BackupError(f"{copy} is damaged, or no copy of a site ({said}); take an older one.")


def _require_unused(database: Path) -> None:
    """To leave WAL takes a database for oneself, so SQLite says whether anybody else has it open."""
    try:
        with closing(sqlite3.connect(database, timeout=0)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.OperationalError as error:
        raise BackupError(f"{database} is in use ({error}); stop the site first.") from error
    except sqlite3.DatabaseError:
        return  # it is damaged: that is why one restores


def _set_aside(path: Path) -> list[Path]:
    """Rename a file, with what SQLite keeps beside it, to the first free name."""
    number = 1
    while path.with_name(f"{path.name}.before-{number}").exists():
        number += 1
    aside = []
    for suffix in ("", *_BESIDE):
        old = path.with_name(path.name + suffix)
        if old.exists():
            aside.append(old.rename(path.with_name(f"{path.name}.before-{number}{suffix}")))
    return aside[:1]


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.read_bytes() == other.read_bytes()


def _sync(path: Path) -> None:
    """Have a file, or a folder's list of names, on the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # not every file system syncs folders
            os.fsync(fd)
    finally:
        os.close(fd)
