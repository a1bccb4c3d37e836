"""What lies in the spool folders, for people: whose it is, how much, how old. Nothing here changes any of it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from langchain_plugin.about_folder import whose_folder
from langchain_plugin.adoption import is_being_made, spool_files
from langchain_plugin.file_lock import try_lock
from langchain_plugin.losses import LINE_BEGINS
from langchain_plugin.own_file import open_own
from langchain_plugin.rejected import unwrapped
from langchain_plugin.segment import read_lines


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
    unread: list[OSError]
    """What could not be looked into, the folder itself or files in it: something may wait there."""

    @property
    def events(self) -> int:
        return sum(file.events for file in self.files)


def folders(state_dir: Path) -> Iterator[Folder]:
    """Every spool folder under a state folder; none when there is no such folder.

    Raises:
        OSError: It cannot be looked into.

    """
    try:
        paths = sorted(path for path in state_dir.iterdir() if re.fullmatch("[0-9a-f]{16}", path.name))
    except FileNotFoundError:
        return
    for path in paths:
        yield look_into(path)


def look_into(path: Path) -> Folder:
    url, key_prefix = whose_folder(path)
    files: list[Waiting] = []
    unread: list[OSError] = []
    try:
        os.scandir(path).close()
    except FileNotFoundError:
        pass
    except OSError as error:
        unread.append(error)
    for file in spool_files(path):
        try:
            if not is_being_made(file):
                files.append(_look_at(file))
        except FileNotFoundError:
            pass  # sent just now
        except OSError as error:
            unread.append(error)
    return Folder(path, url, key_prefix, files, unread)


def _look_at(path: Path) -> Waiting:
    fd = open_own(path, os.O_RDWR)
    try:
        is_alive = not try_lock(fd)
        size = os.fstat(fd).st_size
        return Waiting(path, is_alive, _count_events(fd), size, _oldest_at(fd, size))
    finally:
        os.close(fd)


def _count_events(fd: int) -> int:
    with os.fdopen(fd, "rb", closefd=False) as lines:
        return sum(line.endswith(b"\n") and not line.startswith(LINE_BEGINS) for line in lines)


def _oldest_at(fd: int, size: int) -> float | None:
    try:
        event = json.loads(read_lines(fd, 0, size, 1, 1)[0].data)
        event = unwrapped(event) or event
        return float(event.get("started_at") or event["refused_at"])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None
