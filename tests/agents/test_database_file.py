"""Nothing is acknowledged that went into a database file which is no longer at its place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.own_site import make_tables, surroundings

pytestmark = pytest.mark.sqlite("its database is a file")

SET_UP = """
import os, shutil
from pathlib import Path
import django; django.setup()
from django.conf import settings
from django.db import connection
from django.utils import timezone
from agents import ledger
from agents.database_file import DatabaseReplacedError
from agents.models import LLMCall, Workspace
from agents.write_lock import writing
from tests.factories import llm_call

path = Path(settings.DATABASES["default"]["NAME"])
workspace = Workspace.objects.create(slug="acme", name="Acme")

def record():
    now = timezone.now()
    return ledger.record(workspace, [(0, llm_call(started_at=now))], client=None, received_at=now).accepted

def refused(act):
    try:
        act()
    except DatabaseReplacedError as error:
        return str(error)
    raise AssertionError("it was acknowledged")

assert record() == [0]
"""


@pytest.mark.parametrize("gone", ["os.replace(copy, path)", "path.unlink()", "path.rename(copy)"])
def test_a_file_that_is_no_longer_at_its_place_is_not_written_to(gone: str, tmp_path: Path) -> None:
    said = run(
        tmp_path,
        f"""
copy = path.with_name("copy.sqlite3")
shutil.copy(path, copy)
{gone}
print(refused(record))
connection.close()  # and a connection that is made anew does not take the other file for it
if path.exists():
    print(refused(lambda: LLMCall.objects.count()))
""",
    )

    assert "costsite.sqlite3 was replaced, moved or deleted while the site runs; nothing is written. Stop the" in said


def test_what_went_into_a_file_that_was_replaced_meanwhile_is_not_acknowledged(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
from agents.signals import usage_recorded
shutil.copy(path, path.with_name("copy.sqlite3"))
usage_recorded.connect(lambda **_: os.replace(path.with_name("copy.sqlite3"), path), weak=False)
print(refused(record))
""",
    )


def run(folder: Path, script: str) -> str:
    """What the script says on a database of its own."""
    make_tables(folder)
    done = subprocess.run(
        [sys.executable, "-c", SET_UP + script], text=True, capture_output=True, timeout=120,
        env=surroundings(folder, DJANGO_SETTINGS_MODULE="costsite.settings"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
