"""Reporters in processes of their own, and what those leave in their folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import uuid4

from langchain_plugin.config import Config
from tests.langchain_plugin.conftest import KEY

ROOT = Path(__file__).parents[2]
DEAD_URL = "http://127.0.0.1:9"
Ended = subprocess.CompletedProcess[str]


def config_for(state_dir: Path, **settings: Any) -> Config:
    return Config.resolve(**{"api_key": KEY, "url": DEAD_URL, "state_dir": state_dir} | settings, environ={})


def spooled(folder: Path) -> list[Any]:
    """The events, without what a process leaves of its losses."""
    lines = [json.loads(text) for path in folder.rglob("*.jsonl") for text in path.read_text().splitlines()]
    return [line for line in lines if line.get("type") != "client_losses"]


def run(code: str, folder: Path, url: str = DEAD_URL, **settings: str) -> subprocess.CompletedProcess[str]:
    """`code` in a process of its own, with a `reporter` whose settings come from the environment."""
    start = """
        import sys, time
        from langchain_plugin.config import Config
        from langchain_plugin.reporter import Reporter
        reporter = Reporter.shared(Config.resolve())
    """
    return _run(["-c", dedent(start) + dedent(code)], folder, url, settings)


def run_file(
    script: Path, *arguments: str, folder: Path, url: str, **settings: str
) -> subprocess.CompletedProcess[str]:
    """A script in a process of its own, which may import what is here."""
    return _run([str(script), *arguments], folder, url, settings)


def _run(arguments: list[str], folder: Path, url: str, settings: dict[str, str]) -> Ended:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COSTSITE_")}
    environment |= {"COSTSITE_URL": url, "COSTSITE_API_KEY": KEY, "COSTSITE_STATE_DIR": str(folder)}
    environment |= {f"COSTSITE_{name.upper()}": value for name, value in settings.items()}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def left_in(config: Config, *call_ids: str) -> Path:
    """A file as a process leaves it that died."""
    config.spool_folder.mkdir(parents=True, exist_ok=True)
    path = config.spool_folder / f"{uuid4()}.jsonl"
    path.write_text("".join(json.dumps({"call_id": call_id}) + "\n" for call_id in call_ids))
    return path


def eventually(is_true: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
