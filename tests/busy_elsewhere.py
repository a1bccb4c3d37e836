"""A job that another process is at, for those who may not be at it too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection

from agents.write_lock import only_job


@contextmanager
def job_elsewhere(name: str, folder: Path) -> Iterator[None]:
    """On a connection of its own, as that of another process would be."""
    began, over = threading.Event(), threading.Event()

    def work() -> None:
        with only_job(name):
            began.set()
            over.wait(600)
        connection.close()

    with pytest.MonkeyPatch.context() as patched:
        if connection.vendor == "sqlite":  # beside a database in memory there is no file to lock
            patched.setitem(connection.settings_dict, "NAME", folder / "costsite.sqlite3")
        worker = threading.Thread(target=work)
        worker.start()
        assert began.wait(60)
        try:
            yield
        finally:
            over.set()
            worker.join()
