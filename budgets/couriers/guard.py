"""What a library that sends may do while it does: talk to public addresses, and read its own files.

An audit hook sees each connection with the very address it goes to, after every name was looked up and every redirect
followed, whichever library opens it. A check of the URL alone can be led astray by both.
"""

from __future__ import annotations

import os
import socket
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies

from budgets.channel_urls import may_reach

_STARTS_A_PROCESS: Final = frozenset({"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.startfile"})
_CERTIFICATES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class Guard:
    """Put in place with `sys.addaudithook`, for the rest of the process's life.

    `private`: the site's own network may be reached. A proxy that the environment names may be, wherever it is: what
    lies behind it is for the proxy to decide.
    """

    def __init__(self, *, private: bool) -> None:
        self.stopped_connection = False
        """True once something wanted to reach an address it may not."""
        self._private = private
        self._proxies = set(_endpoints(getproxies().values()))
        self._readable = tuple(_own_folders())

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            self._may_connect(*args)
        elif event in ("socket.sendto", "socket.sendmsg"):
            if args[1] is not None:
                self._stop_connection()
        elif event == "open":
            self._may_open(*args)
        elif event in _STARTS_A_PROCESS:
            raise PermissionError("A courier starts no process.")

    def _may_connect(self, connection: socket.socket, address: Any) -> None:
        if connection.family not in (socket.AF_INET, socket.AF_INET6):
            self._stop_connection()
        host, port = str(address[0]), address[1]
        if (host, port) not in self._proxies and not may_reach(host, private=self._private):
            self._stop_connection()

    def _stop_connection(self) -> None:
        self.stopped_connection = True
        raise PermissionError("A courier reaches no such address.")

    def _may_open(self, path: Any, mode: Any, flags: int) -> None:
        if isinstance(path, int):
            return
        real = os.path.realpath(os.fsdecode(path))
        writes = flags & (os.O_WRONLY | os.O_RDWR)
        if real != os.devnull and (writes or not real.startswith(self._readable)):
            raise PermissionError("A courier opens no such file.")


def _own_folders() -> Iterable[str]:
    """Python's and its libraries' folders, the certificates, and the list of time zones."""
    python = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    # Libraries may lie elsewhere on the path. The site's own folder, with its databases, must not count.
    elsewhere = [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    certificates = [os.environ[name] for name in _CERTIFICATES if os.environ.get(name)]
    for folder in {*python, *elsewhere, *certificates, "/etc/ssl", "/usr/share/zoneinfo", "/etc/mime.types"}:
        real = os.path.realpath(folder)
        yield real + os.sep if Path(real).is_dir() else real


def _endpoints(urls: Iterable[str]) -> Iterable[tuple[str, int]]:
    for url in urls:
        try:
            parts = urlsplit(url)
            found = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)
        except (OSError, ValueError):
            continue
        for *_, address in found:
            yield str(address[0]), int(address[1])
