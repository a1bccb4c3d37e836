"""A lock on an open file that ends with the process that holds it, however that process ends.

On Unix `flock`: it belongs to the open file, so a forked child shares it and must close its copy. On Windows
`msvcrt.locking` on a byte far behind any content, since its locks keep others from reading (written from the
documentation; no test runs there).
"""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    import msvcrt

    _FAR_BEHIND = 0x7FFF_0000

    def try_lock(fd: int) -> bool:
        position = os.lseek(fd, 0, os.SEEK_CUR)
        os.lseek(fd, _FAR_BEHIND, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            os.lseek(fd, position, os.SEEK_SET)
        return True

else:
    import fcntl

    def try_lock(fd: int) -> bool:
        """Take the lock if it is free, without waiting.

        Raises:
            OSError: The file system has no locks.

        """
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
