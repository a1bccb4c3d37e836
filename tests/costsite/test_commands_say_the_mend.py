"""What hinders a command is one sentence that says the mend, never a traceback."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.costsite.test_serve import PROJECT
from tests.own_site import databases_of, surroundings

HERE = shlex.join([sys.executable, "manage.py"]).replace(f"{PROJECT}/", "")


def run(folder: Path, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=PROJECT, env=surroundings(folder, **settings), capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"COSTSITE_WORKERS": "many"}, "COSTSITE_WORKERS is 'many'; set it to a whole number."),
        ({"COSTSITE_LOG_LEVEL": "loud"}, "COSTSITE_LOG_LEVEL is 'loud'; set it to one of debug, info, "),
        ({"COSTSITE_STATE_DIR": "/dev/null/state"}, "Set COSTSITE_STATE_DIR to a folder that this user may write to."),
        ({"COSTSITE_SECRET_KEY_FILE": "/nowhere"}, "COSTSITE_SECRET_KEY_FILE is '/nowhere', which cannot be read: "),
        (
            {"DATABASE_URL": "mysql://me:hidden@host/db"},
            "DATABASE_URL begins with mysql://, which this site cannot use",
        ),
        ({"DATABASE_URL": "hidden"}, "DATABASE_URL is no address, which this site cannot use; set it to postgresql://"),
        ({"DATABASE_URL": "postgresql://me:hidden@host:x/db"}, "DATABASE_URL cannot be read; set it to postgresql://"),
    ],
)
@pytest.mark.parametrize("command", [("check",), ("create_workspace", "acme")], ids=lambda command: command[0])
def test_a_setting_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, command: tuple[str, ...], settings: dict[str, str], sentence: str
) -> None:
    ended = run(tmp_path, *command, **settings)

    assert ended.returncode == 1
    assert sentence in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert "hidden" not in ended.stderr


def test_the_traceback_is_there_for_who_asks(tmp_path: Path) -> None:
    assert "Traceback" in run(tmp_path, "check", "--traceback", COSTSITE_WORKERS="many").stderr


@pytest.mark.parametrize("level", ["info", "Warning"])
def test_a_log_level_is_good_in_any_case(tmp_path: Path, level: str) -> None:
    ended = run(tmp_path, "check", COSTSITE_LOG_LEVEL=level)

    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("command", [("create_workspace", "acme"), ("createsuperuser", "--noinput", "--username=root")])
def test_a_command_that_needs_tables_says_how_to_make_them(tmp_path: Path, command: tuple[str, ...]) -> None:
    ended = run(tmp_path, *command, DJANGO_SUPERUSER_PASSWORD="not-a-secret", DJANGO_SUPERUSER_EMAIL="")

    assert ended.returncode == 1
    mend = " && ".join(f"{HERE} migrate --database {name}" for name in databases_of(tmp_path))
    assert f"Run: {mend}" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", [("migrate",), ("serve", "--migrate")], ids=lambda command: command[-1])
def test_a_migration_that_fails_says_why_and_not_that_it_is_missing(tmp_path: Path, command: tuple[str, ...]) -> None:
    in_the_way = "CREATE TABLE django_content_type (id integer)"
    made = run(
        tmp_path, "shell", "-v0", "-c", f"from django.db import connection as c; c.cursor().execute({in_the_way!r})"
    )
    assert made.returncode == 0, made.stderr

    ended = run(tmp_path, *command)

    assert ended.returncode == 1
    assert re.search(r'Error: .*"?django_content_type"? already exists', ended.stderr.splitlines()[-1]), ended.stderr
    assert "lacks" not in ended.stderr


@pytest.mark.parametrize("command", [("create_workspace", "acme"), ("migrate",)], ids=lambda command: command[0])
def test_a_database_that_does_not_answer_is_named(tmp_path: Path, command: tuple[str, ...]) -> None:
    nobody_listens = "postgresql://me:hidden@127.0.0.1:1/costs"

    ended = run(tmp_path, *command, DATABASE_URL=nobody_listens)

    assert ended.returncode == 1
    assert "Check DATABASE_URL" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert "hidden" not in ended.stderr


def test_an_argument_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    ended = run(tmp_path, "reprice", "--from", "yesterday")

    assert (ended.returncode, ended.stderr) == (1, "'yesterday' is no day; write it as 2026-11-20.\n")


def test_the_demo_keeps_its_data_apart_from_a_site_s_own(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    for name in ("__init__.py", "environment.py", "settings.py"):
        (checkout / "costsite").mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / "costsite" / name, checkout / "costsite" / name)

    def folder(**settings: str) -> Path:
        asked = [sys.executable, "-c", "from costsite import settings; print(settings.STATE_DIR)"]
        said = subprocess.run(
            asked, cwd=checkout, env=surroundings(tmp_path, **settings), capture_output=True, text=True
        )
        return Path(said.stdout.strip())

    assert folder(COSTSITE_STATE_DIR="", COSTSITE_DEMO="true") == checkout / "var/demo"
    assert folder(COSTSITE_STATE_DIR="") == checkout / "var"
    assert folder(COSTSITE_DEMO="true") == tmp_path
