"""What the site writes is its owner's alone, also in a folder that was there before and that others may enter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.own_site import surroundings

PROJECT = Path(__file__).resolve().parents[2]

TOUCH = "import os, pathlib; pathlib.Path(os.environ['COSTSITE_STATE_DIR'], 'made').touch()"


def run(state: Path, *command: str) -> None:
    subprocess.run(
        [sys.executable, *command], cwd=PROJECT, check=True, umask=0o022, stdin=subprocess.DEVNULL,
        env=surroundings(state, DJANGO_SETTINGS_MODULE="costsite.settings"),
    )  # fmt: skip


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(0o755)
    return folder


def modes(folder: Path) -> dict[str, str]:
    return {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir() if path.is_file()}


@pytest.mark.sqlite("its databases are files")
def test_databases_made_by_a_command_are_private(open_folder: Path) -> None:
    for database in ("default", "queue"):
        run(open_folder, "manage.py", "migrate", "--database", database, "-v0")

    made = modes(open_folder)
    assert {"costsite.sqlite3", "queue.sqlite3", "secret_key"} <= made.keys()
    assert set(made.values()) == {"0o600"}


def test_files_made_while_serving_are_private(open_folder: Path) -> None:
    run(open_folder, "-c", f"import costsite.wsgi; {TOUCH}")

    assert modes(open_folder)["made"] == "0o600"
