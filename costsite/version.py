"""The site's version: the one the plugin is published under, read from its one home."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_HOME = Path(__file__).resolve().parent.parent / "langchain_plugin" / "_version.py"


@cache
def site_version() -> str:
    """As text, not by import: the site imports the wire and nothing else of the plugin."""
    found = re.search(r'^__version__ = "([^"]+)"$', _HOME.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise RuntimeError(f'{_HOME} has no line `__version__ = "…"`; put it back.')
    return found[1]
