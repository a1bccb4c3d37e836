"""Files of the plugin's own in its folder, opened so that nothing planted there is followed, waited for or believed.

A link is not followed, a pipe is not waited for, what is no plain file is not opened. A folder is used only when
nobody but its owner, or a group its owner chose, can put anything there: events found in it are sent under this
process's key, and prices found in it are shown as what a run has cost.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_BINARY = getattr(os, "O_BINARY", 0)


class UnsafeFolder(OSError):  # noqa: N818 - reads as what was found
    """Others may put files into the folder. `strerror` says how."""

    def __init__(self, why: str, mend: str, folder: Path) -> None:
        super().__init__(errno.EPERM, why, str(folder))
        self.mend = mend


def check_folder(folder: Path, *, user: int | None = None) -> None:
    """See that only its owner, or a group its owner chose, writes there.

    A group may: many systems give each user a group of his own, and folders that it may write. The superuser may use
    anybody's folder (a volume that is mounted into a container seldom belongs to its root), and anybody a folder of
    the superuser's. Windows has no such owners and modes; there the folder of the user's profile is private.

    Args:
        folder: Itself; what it lies in may be anybody's.
        user: Whose process it is; None: this one's.

    Raises:
        UnsafeFolder: It belongs to somebody else, or anybody may write to it, or it is a link.
        OSError: There is none.

    """
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode):
        raise UnsafeFolder("it is a link, or no folder", "remove it", folder)
    if not hasattr(os, "geteuid"):
        return
    user = os.geteuid() if user is None else user
    if user != 0 and state.st_uid not in (0, user):
        raise UnsafeFolder("it belongs to another user", "remove it, or make it your own (`chown`)", folder)
    if state.st_mode & stat.S_IWOTH:
        raise UnsafeFolder("anybody may write to it", f"run `chmod o-w '{folder}'`", folder)


def make_folder(folder: Path) -> None:
    """Make it where there is none, for its owner alone.

    Raises:
        OSError: It cannot be made, or is not safe (`UnsafeFolder`).

    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_folder(folder)


def open_own(path: Path, flags: int) -> int:
    """Open a plain file; it is made for its owner alone when `flags` say that it is made.

    Raises:
        OSError: There is none, or what is there is a link or no plain file.

    """
    fd = os.open(path, flags | _SAFELY | _BINARY, 0o600)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is no plain file", str(path))
    return fd


def read_own(path: Path, max_bytes: int) -> bytes:
    """All of a file that is no longer than `max_bytes`.

    Raises:
        OSError: There is none, it is longer, or what is there is a link or no plain file.

    """
    content = read_start(path, max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return content


def read_start(path: Path, max_bytes: int) -> bytes:
    """A file's first bytes, at most so many.

    Raises:
        OSError: There is none, or what is there is a link or no plain file.

    """
    with open(open_own(path, os.O_RDONLY), "rb") as file:
        return file.read(max_bytes)


def replace_own(path: Path, content: bytes) -> None:
    """Put a whole new file in the place of whatever is there.

    Raises:
        OSError: It cannot be written; what was there is still there.

    """
    # A name that nobody can foresee, and a file that must not exist: a link laid there beforehand meets neither.
    fresh = path.with_name(f".{uuid4()}.fresh")
    try:
        with open(open_own(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY), "wb") as file:
            file.write(content)
        fresh.replace(path)
    except OSError:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
