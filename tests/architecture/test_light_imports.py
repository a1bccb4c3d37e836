"""What an import costs others: each in a fresh interpreter, by what it loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


def loaded_by(code: str, folder: Path) -> set[str]:
    """The top-level modules in a fresh interpreter after `code`."""
    report = f"{code}\nimport json, sys; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    environment = os.environ | {"COSTSITE_STATE_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "costsite.settings"}
    ran = subprocess.run([sys.executable, "-c", report], cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return set(json.loads(ran.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("code", "expected", "unwanted"),
    [
        pytest.param(
            "import langchain_plugin.wire",
            {"pydantic"},
            {"langchain_core", "httpx", "django", "langsmith"},
            id="the wire",
        ),
        pytest.param(
            "from langchain_plugin import CostCallbackHandler",
            {"langchain_core"},
            {"django", "ninja", "django_q", "genai_prices", "plyer", "agents", "costsite"},
            id="the handler",
        ),
        pytest.param(
            # langchain-core itself may load httpx (its own tracing does); the handler adds it to nobody who has not.
            "import langchain_core.callbacks, langchain_core.messages, langchain_core.outputs, sys\n"
            "for name in [name for name in sys.modules if name.split('.')[0] == 'httpx']: del sys.modules[name]\n"
            "from langchain_plugin import CostCallbackHandler",
            {"langchain_core"},
            {"httpx"},
            id="the handler, and no HTTP client with it",
        ),
        pytest.param(
            "import django; django.setup()\nimport costsite.urls, costsite.api.app, costsite.wsgi",
            {"django", "ninja", "agents", "costsite", "pydantic"},
            {"langchain_core", "langsmith", "langchain", "httpx"},
            id="the site with every route",
        ),
    ],
)
def test_an_import_loads_no_more_than_it_must(
    code: str, expected: set[str], unwanted: set[str], tmp_path: Path
) -> None:
    loaded = loaded_by(code, tmp_path)

    assert expected <= loaded
    assert not unwanted & loaded
