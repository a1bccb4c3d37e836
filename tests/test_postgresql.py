"""The tests that a second database could fail, run against PostgreSQL in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgresql import throwaway_server, why_not


@pytest.mark.skipif(bool(os.environ.get("DATABASE_URL")), reason="this run has a database of its own")
@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_what_is_marked_passes_on_postgresql(tmp_path: Path) -> None:
    with throwaway_server() as database_url:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-m", "postgresql or every_database", "-q", "--no-header", "tests"],
            env={**os.environ, "DATABASE_URL": database_url, "COSTSITE_STATE_DIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=900,
        )
    print(done.stdout[-4_000:])
    assert done.returncode == 0, f"on PostgreSQL:\n{done.stdout}"
    assert " passed" in done.stdout
