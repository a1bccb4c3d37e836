"""What lies in the spool folders, for people: whose it is, how much, how old. Nothing here changes any of it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from langchain_plugin.about_folder import whose_folder
from langchain_plugin.adoption import is_being_made, open_file, spool_files
from langchain_plugin.file_lock import try_lock
from langchain_plugin.segment import count_lines, read_lines


class Waiting(NamedTuple):
    """What one file holds."""

    path: Path
    is_alive: bool
    """Its owner lives, and sends it."""
    events: int
    bytes: int
    oldest_at: float | None
    """When the call of its first event began, Unix seconds; None where that cannot be read."""


class Folder(NamedTuple):
    """Where events wait for one site, under one key."""

    path: Path
    url: str
    key_prefix: str
    """Both empty where no process has said."""
    files: list[Waiting]

    @property
    def events(self) -> int:
        return sum(file.events for file in self.files)


def folders(state_dir: Path) -> Iterator[Folder]:
    """Every spool folder under a state folder."""
    try:
        paths = sorted(path for path in state_dir.iterdir() if re.fullmatch("[0-9a-f]{16}", path.name))
    except OSError:
        return
    for path in paths:
        yield look_into(path)


def look_into(path: Path) -> Folder:
    url, key_prefix = whose_folder(path)
    return Folder(path, url, key_prefix, [file for file in map(_file, spool_files(path)) if file is not None])


def _file(path: Path) -> Waiting | None:
    fd = None if is_being_made(path) else open_file(path)
    if fd is None:
        return None
    try:
        is_alive = not try_lock(fd)
        size = os.fstat(fd).st_size
        return Waiting(path, is_alive, count_lines(fd, 0, size), size, _oldest_at(fd, size))
    except OSError:
        return None
    finally:
        os.close(fd)


def _oldest_at(fd: int, size: int) -> float | None:
    try:
        event = json.loads(read_lines(fd, 0, size, 1, 1)[0].data)
        return float(event.get("started_at") or event["refused_at"])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None
