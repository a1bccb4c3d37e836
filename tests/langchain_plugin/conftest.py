"""A handler whose spool can be read: no server answers, so what was reported stays on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from langchain_plugin import CostCallbackHandler

Spooled = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def handler(tmp_path: Path) -> CostCallbackHandler:
    # A port that nothing listens on: the discard port of this machine.
    return CostCallbackHandler(
        agent="support-bot", api_key="cs_0123456789_test", url="http://127.0.0.1:9", state_dir=tmp_path
    )


@pytest.fixture
def spooled(handler: CostCallbackHandler, tmp_path: Path) -> Spooled:
    """What lies in the spool of `handler`, in the order it was written."""

    def read() -> list[dict[str, Any]]:
        files = sorted(path for path in tmp_path.rglob("*.jsonl") if path.name != "rejected.jsonl")
        return [json.loads(line) for path in files for line in path.read_text().splitlines() if line]

    return read


def calls_of(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] == "llm_call"]
