"""In CI everything a test needs is installed: a test that is skipped there proves nothing, so it fails the run."""

from __future__ import annotations

import os

import pytest


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", [])) if reporter else 0
    if os.environ.get("CI") == "true" and skipped and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"{skipped} skipped. With CI=true nothing may be: install what they name.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
