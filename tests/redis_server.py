"""A Redis server for the tests, on a socket in a folder of its own, which can be taken away and brought back."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

WHY_NOT = "" if shutil.which("redis-server") else "no Redis is installed: install Debian's redis-server"
QUEUE = "django_q:costsite:q"


@dataclass
class RedisServer:
    """Nothing of what it holds outlives it: no file is kept."""

    folder: Path
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.folder / 'redis.sock'}"

    def start(self) -> None:
        """Returns when it answers."""
        self._process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", str(self.folder / "redis.sock"), "--save", "",
             "--dir", str(self.folder)],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not self._answers():
            assert time.monotonic() < deadline, "Redis did not start"
            time.sleep(0.05)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()
        self._process = None

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def queued(self) -> int:
        """Tasks that no worker has taken."""
        return int(redis.from_url(self.url).llen(QUEUE))

    def _answers(self) -> bool:
        try:
            return bool(redis.from_url(self.url).ping())
        except redis.ConnectionError:
            return False


@contextmanager
def running_redis() -> Iterator[RedisServer]:
    # A socket's path has at most 107 characters: the system's temporary folder, not pytest's deep one.
    server = RedisServer(Path(tempfile.mkdtemp(prefix="costsite-redis-")))
    server.start()
    try:
        yield server
    finally:
        if server._process is not None:
            server.kill()
        shutil.rmtree(server.folder, ignore_errors=True)
