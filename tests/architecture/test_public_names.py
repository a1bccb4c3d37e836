"""What the plugin promises by name."""

from __future__ import annotations

import re
from pathlib import Path

import langchain_plugin

PROJECT = Path(__file__).resolve().parents[2]


def test_every_public_name_resolves_and_is_listed_in_order() -> None:
    assert langchain_plugin.__all__ == sorted(langchain_plugin.__all__)
    assert [name for name in langchain_plugin.__all__ if not hasattr(langchain_plugin, name)] == []


def test_a_name_that_is_not_public_is_said_to_be_missing() -> None:
    assert not hasattr(langchain_plugin, "CostTracker")


def test_every_public_name_is_in_the_docs() -> None:
    docs = "\n".join(
        path.read_text(encoding="utf-8") for path in [PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")]
    )

    assert [
        name for name in langchain_plugin.__all__ if not re.search(rf"\b{name}\b", docs) and name != "__version__"
    ] == []
