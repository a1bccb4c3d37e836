"""A ledger of a test's own that other processes work on, and the Python that runs in them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def own_ledger(folder: Path, **database: str) -> dict[str, str]:
    """The environment of processes whose ledger is in `folder`, or where `database` says; its tables are made."""
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")},
        **database,
        "COSTSITE_STATE_DIR": str(folder),
        "PYTHONPATH": str(ROOT),
    }
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
    return environment


def python(environment: dict[str, str], *code: str) -> subprocess.Popen[str]:
    """A process that runs `code`. Its input stays open until it is asked for its `said`, or this process ends."""
    arguments = [sys.executable, "-c", "".join(code)]
    return subprocess.Popen(
        arguments, cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def said(process: subprocess.Popen[str]) -> str:
    """What a process printed that ends well, once its input is closed."""
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 0
    return printed


def result(process: subprocess.Popen[str]) -> int:
    return int(said(process))
