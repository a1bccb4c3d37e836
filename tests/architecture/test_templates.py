"""Templates say what they are: a page, or a part that starts with an underscore."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
TAG = re.compile(r"""\{%\s*(include|extends)\s+["']([^"']+)["']""")


def tags() -> list[tuple[Path, str, str]]:
    templates = sorted((PROJECT / "templates").rglob("*.html"))
    return [
        (path, kind, target) for path in templates for kind, target in TAG.findall(path.read_text(encoding="utf-8"))
    ]


def test_what_is_included_starts_with_an_underscore() -> None:
    included = [(path, target) for path, kind, target in tags() if kind == "include"]

    assert included, "the pages share parts"
    assert [(path.name, target) for path, target in included if not Path(target).name.startswith("_")] == []


def test_nothing_is_inline_that_the_content_policy_forbids() -> None:
    forbidden = re.compile(
        r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)(?![^>]*application/json)|javascript:", re.IGNORECASE
    )
    found = [
        f"{path.relative_to(PROJECT)}: {match.group().strip()}"
        for path in sorted((PROJECT / "templates").rglob("*.html"))
        if (match := forbidden.search(path.read_text(encoding="utf-8")))
    ]

    assert found == []
