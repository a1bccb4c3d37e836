"""Django's own checks, those for deployment too, have nothing to say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def check(folder: Path, *options: str, **changes: str) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("COSTSITE_", "DATABASE_", "DJANGO_"))
    }
    return subprocess.run(
        [sys.executable, PROJECT / "manage.py", "check", *options],
        env=kept | {"COSTSITE_STATE_DIR": str(folder)} | changes, capture_output=True, text=True,
    )  # fmt: skip


def test_a_site_behind_https_passes_the_deployment_checks(tmp_path: Path) -> None:
    checked = check(
        tmp_path,
        "--deploy",
        "--fail-level",
        "WARNING",
        COSTSITE_HTTPS="true",
        COSTSITE_ALLOWED_HOSTS="costs.example.com",
    )

    assert checked.returncode == 0, checked.stderr


def test_a_site_as_it_comes_passes_the_checks(tmp_path: Path) -> None:
    checked = check(tmp_path, "--fail-level", "WARNING")

    assert checked.returncode == 0, checked.stderr


def test_a_setting_that_cannot_be_read_is_named_with_its_mend(tmp_path: Path) -> None:
    checked = check(tmp_path, COSTSITE_WORKERS="many")

    assert checked.returncode != 0
    assert "COSTSITE_WORKERS is 'many'; set it to a whole number." in checked.stderr


def test_a_secret_that_could_be_guessed_stops_the_start(tmp_path: Path) -> None:
    short, enough = check(tmp_path, COSTSITE_SECRET_KEY="s" * 31), check(tmp_path, COSTSITE_SECRET_KEY="s" * 32)

    assert short.returncode != 0
    assert "COSTSITE_SECRET_KEY has 31 characters" in short.stderr
    assert "Set 32 random characters or more" in short.stderr
    assert enough.returncode == 0, enough.stderr


def test_an_old_secret_that_could_be_guessed_stops_the_start_too(tmp_path: Path) -> None:
    enough = f"{'a' * 32}, {'b' * 40}"
    good, bad = (
        check(tmp_path, COSTSITE_OLD_SECRET_KEYS=enough),
        check(tmp_path, COSTSITE_OLD_SECRET_KEYS=f"{enough},c"),
    )

    assert good.returncode == 0, good.stderr
    assert bad.returncode != 0
    assert "COSTSITE_OLD_SECRET_KEYS has a secret of only 1 characters" in bad.stderr


def test_debug_pages_for_every_host_are_warned_of(tmp_path: Path) -> None:
    open_to_all = check(tmp_path, COSTSITE_DEBUG="true", COSTSITE_ALLOWED_HOSTS="*")
    at_home = check(tmp_path, "--fail-level", "WARNING", COSTSITE_DEBUG="true")

    assert "costsite.W001" in open_to_all.stderr
    assert "Set COSTSITE_DEBUG to false" in open_to_all.stderr
    assert at_home.returncode == 0, at_home.stderr
