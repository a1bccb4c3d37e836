"""What is skipped, one test or all on PostgreSQL, fails the run in CI, and nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import postgresql

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("ci", "exit_code"), [("true", 1), ("", 0)])
def test_a_skipped_test_fails_the_run_in_ci_alone(tmp_path: Path, ci: str, exit_code: int) -> None:
    test = tmp_path / "test_skips.py"
    test.write_text("import pytest\n\ndef test_it():\n    pytest.skip('no such program here')\n")

    plugins = ["-p", "no:cacheprovider", "-p", "tests.no_skips_in_ci"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "--rootdir", PROJECT, "-c", PROJECT / "pyproject.toml", test],
        cwd=PROJECT,
        env=os.environ | {"CI": ci},
        capture_output=True,
        text=True,
    )

    assert ran.returncode == exit_code, ran.stdout + ran.stderr
    assert "no such program here" in ran.stdout
    assert ("nothing may be" in ran.stdout) is (ci == "true")


@pytest.mark.parametrize(("ci", "exit_code"), [("true", 1), ("", 0)])
def test_without_a_postgresql_server_the_run_on_it_says_why_and_fails_in_ci_alone(
    ci: str, exit_code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(postgresql, "why_not", lambda: "none is installed")
    monkeypatch.setenv("CI", ci)

    assert postgresql.main(["pytest"]) == exit_code
    assert capsys.readouterr().err == "Not run on PostgreSQL: none is installed.\n"
