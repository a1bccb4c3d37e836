"""Making a file of events: locked before it has a name that others would adopt, and made again if it loses its name."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from langchain_plugin.file_lock import try_lock
from langchain_plugin.own_file import make_folder, open_own

_BLOCK_BYTES = 1_000_000

if sys.platform == "win32":

    def read_at(fd: int, count: int, position: int) -> bytes:
        os.lseek(fd, position, os.SEEK_SET)
        return os.read(fd, count)

else:
    read_at = os.pread


def create(path: Path) -> int:
    """A new, empty, locked file under this name, in place of any that is there, and its folder if there is none.

    Raises:
        OSError: It cannot be made, the folder is not safe, or another process has the lock.

    """
    fd, unnamed = _unnamed(path)
    try:
        if unnamed != path:
            unnamed.rename(path)
    except BaseException:
        _undo(fd, unnamed)
        raise
    return fd


def is_gone(fd: int, path: Path) -> bool:
    """Nobody will find this open file under its name any more.

    It was deleted, or its folder was, or was moved, or what has its name now is a copy of it.
    """
    state = os.fstat(fd)
    if state.st_nlink == 0:
        return True
    try:
        named = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False  # it cannot be seen now, which says nothing of it
    return (named.st_dev, named.st_ino) != (state.st_dev, state.st_ino)


def write_again(fd: int, start: int, stop: int, path: Path) -> int:
    """A new file under this name with what lies between two positions of an open one. It has its name when it is whole.

    Raises:
        OSError: It cannot be written; nothing is left of it.

    """
    fresh, unnamed = _unnamed(path)
    try:
        while start < stop and (data := read_at(fd, min(_BLOCK_BYTES, stop - start), start)):
            start += os.write(fresh, data)
        if unnamed != path:
            unnamed.rename(path)
    except BaseException:
        _undo(fresh, unnamed)
        raise
    return fresh


def _unnamed(path: Path) -> tuple[int, Path]:
    make_folder(path.parent)
    # A name of its own each time: one that a crash or a refused lock left behind would be in the way for ever.
    # Windows renames no open file; there another process may win the lock in between, and memory has to do.
    unnamed = path if sys.platform == "win32" else path.with_name(f"{uuid4()}.new")
    fd = open_own(unnamed, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND)
    try:
        is_ours = try_lock(fd)
    except BaseException:
        _undo(fd, unnamed)
        raise
    if not is_ours:
        _undo(fd, unnamed)
        raise OSError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK), str(unnamed))
    return fd, unnamed


def _undo(fd: int, unnamed: Path) -> None:
    with suppress(OSError):
        unnamed.unlink(missing_ok=True)
    with suppress(OSError):
        os.close(fd)
