"""A server that the site cannot live under is refused where it starts, and not found out by a batch that hangs."""

from __future__ import annotations

import subprocess
import sys

import pytest

GUNICORN = "sys.modules['gunicorn.workers.ggevent'] = types.ModuleType('ggevent')"
GEVENT = """
monkey = sys.modules['gevent.monkey'] = types.ModuleType('gevent.monkey')
monkey.is_module_patched = lambda name: name == 'threading'
"""


@pytest.mark.parametrize("loaded", [GUNICORN, GEVENT], ids=["gunicorn with --preload", "gevent has patched"])
def test_a_worker_of_greenlets_is_refused_with_the_mend(loaded: str) -> None:
    started = subprocess.run(
        [sys.executable, "-c", f"import sys, types\n{loaded}\nimport costsite.wsgi"], capture_output=True, text=True
    )

    assert started.returncode == 1
    assert "cannot be served by gevent or eventlet" in started.stderr
    assert "manage.py serve" in started.stderr
