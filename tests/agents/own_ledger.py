"""A ledger of a test's own that other processes work on, and the Python that runs in them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.own_site import ROOT, make_tables, surroundings


def own_ledger(folder: Path) -> dict[str, str]:
    """The environment of processes whose ledger is that of the site in `folder`; its tables are made."""
    make_tables(folder)
    return surroundings(folder, PYTHONPATH=str(ROOT), DJANGO_SETTINGS_MODULE="costsite.settings")


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
