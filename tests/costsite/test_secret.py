"""A site gets another secret, and its API keys go on as the setting says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.own_site import make_tables, surroundings

PROJECT = Path(__file__).resolve().parents[2]

OLD, NEW = "the-old-secret-" + "o" * 20, "the-new-secret-" + "n" * 20
OPENS = "import django; django.setup(); from agents.keys import find_key; print(find_key({key!r}))"


def said(state: Path, *command: str, **settings: str) -> str:
    environment = surroundings(state, DJANGO_SETTINGS_MODULE="costsite.settings", **settings)
    done = subprocess.run(
        [sys.executable, *command], cwd=PROJECT, check=True, capture_output=True, text=True, env=environment
    )
    return done.stdout.strip()


def test_a_key_made_under_the_old_secret_opens_as_long_as_that_is_listed(tmp_path: Path) -> None:
    make_tables(tmp_path)
    said(tmp_path, "manage.py", "create_workspace", "acme", COSTSITE_SECRET_KEY=OLD)
    key = said(tmp_path, "manage.py", "create_api_key", "acme", "--name", "ci", COSTSITE_SECRET_KEY=OLD)
    opens = OPENS.format(key=key)

    listed = said(tmp_path, "-c", opens, COSTSITE_SECRET_KEY=NEW, COSTSITE_OLD_SECRET_KEYS=f"{'x' * 32}, {OLD}")
    unlisted = said(tmp_path, "-c", opens, COSTSITE_SECRET_KEY=NEW)

    assert listed == f"{key[:13]}… (ci)"
    assert unlisted == "None"


def test_the_secret_a_site_made_for_itself_can_be_listed_by_its_file(tmp_path: Path) -> None:
    make_tables(tmp_path)
    said(tmp_path, "manage.py", "create_workspace", "acme")
    key = said(tmp_path, "manage.py", "create_api_key", "acme")
    own = str(tmp_path / "secret_key")

    found = said(tmp_path, "-c", OPENS.format(key=key), COSTSITE_SECRET_KEY=NEW, COSTSITE_OLD_SECRET_KEYS_FILE=own)

    assert found == f"{key[:13]}…"
