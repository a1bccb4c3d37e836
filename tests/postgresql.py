"""A PostgreSQL server for the tests, thrown away afterwards.

`running_server()` makes a cluster in a temporary folder. `make test-postgresql` runs the tests on one; some of them:

    python -m tests.postgresql pytest tests/budgets

The server's programs are looked for on PATH and where Debian keeps them; COSTSITE_POSTGRESQL_BIN names another folder.
The cluster listens on a socket in its own folder and on no port, so it can meet no other server. It refuses to run as
root, so under root its programs run as the user `postgres`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

SERVER_OF_THE_RUN = "TESTS_POSTGRESQL_SERVER"
"""What says in the environment that the tests run on PostgreSQL, and at which address."""
NOTHING_COLLECTED = 5
"""pytest's exit code."""


def binaries() -> Path | None:
    """The folder with initdb and pg_ctl, the newest where there are several; None where there is no server."""
    if named := os.environ.get("COSTSITE_POSTGRESQL_BIN"):
        return Path(named)
    if found := shutil.which("initdb"):
        return Path(found).parent
    installed = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in installed), key=lambda path: float(path.parent.name), default=None)


def why_not() -> str:
    """Why no server can be started here; empty when one can."""
    if binaries() is None:
        return "no PostgreSQL server is installed: install Debian's postgresql, or set COSTSITE_POSTGRESQL_BIN"
    if os.geteuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            return "PostgreSQL does not run as root, and there is no user postgres to run it as"
    return ""


@dataclass
class Server:
    """A running one, which a test may restart under those who use it."""

    url: str
    """Its DATABASE_URL."""
    data: Path
    user: str | None
    """Who its programs run as; None: whoever runs this."""

    def restart(self) -> None:
        """As when it crashes: sessions are cut off, what was not committed is gone. Returns when it answers again."""
        self.control("restart", "-m", "immediate", "-l", str(self.data.with_name("log")))

    def control(self, *arguments: str) -> None:
        folder = binaries()
        assert folder is not None
        self.run(str(folder / "pg_ctl"), "-D", str(self.data), "-w", "-t", "120", *arguments)

    def run(self, *command: str) -> None:
        subprocess.run(
            command, user=self.user, cwd=self.data.parent, check=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "LC_ALL": "C.UTF-8"},
        )  # fmt: skip


@contextmanager
def throwaway_server() -> Iterator[str]:
    """Start a server and give its DATABASE_URL; stop and remove it at the end."""
    with running_server() as server:
        yield server.url


@contextmanager
def running_server() -> Iterator[Server]:
    """Start a server; stop and remove it at the end."""
    folder = binaries()
    assert folder is not None, why_not()
    user = "postgres" if os.geteuid() == 0 else None
    # A socket's path has at most 107 characters: the system's temporary folder, not pytest's deep one.
    root = Path(tempfile.mkdtemp(prefix="costsite-pg-"))
    try:
        if user:
            shutil.chown(root, user)
        data = root / "data"
        server = Server(f"postgres://costsite@{quote(str(root), safe='')}/postgres", data, user)
        server.run(str(folder / "initdb"), "-D", str(data), "-U", "costsite", "--auth=trust", "--no-sync", "-E", "UTF8")
        with (data / "postgresql.conf").open("a") as settings:
            settings.write(
                f"listen_addresses = ''\nunix_socket_directories = '{root}'\nmax_connections = 200\n"
                "fsync = off\nfull_page_writes = off\nlog_min_messages = error\ndeadlock_timeout = 200ms\n"
            )
        server.control("-l", str(root / "log"), "start")
        try:
            yield server
        finally:
            server.control("-m", "immediate", "stop")
    finally:
        shutil.rmtree(root, ignore_errors=True)


def main(arguments: list[str]) -> int:
    """Run a module, such as pytest, with a server of its own as this site's database."""
    if reason := why_not():
        print(f"Not run on PostgreSQL: {reason}.", file=sys.stderr)
        return int(os.environ.get("CI") == "true")
    with throwaway_server() as url:
        environment = {**os.environ, "DATABASE_URL": url, SERVER_OF_THE_RUN: url}
        code = subprocess.call([sys.executable, "-m", *arguments], env=environment)
    return 0 if code == NOTHING_COLLECTED else code  # as of `-k wire`: it needs no database, and ran without


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
