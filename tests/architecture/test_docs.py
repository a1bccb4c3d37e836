"""What people can set, call, run or listen to is written down; what is written down exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import get_commands
from django.dispatch import Signal

import agents.signals
import budgets.signals
from costsite.api import api
from langchain_plugin import config

PROJECT = Path(__file__).resolve().parents[2]
DOCS = {path.name: path.read_text(encoding="utf-8") for path in sorted((PROJECT / "docs").glob("*.md"))}
SETTINGS = DOCS["settings.md"]
ALL_DOCS = "\n".join(DOCS.values())
SITE_SETTINGS = sorted(
    set(
        re.findall(
            r'env_(?:str|int|bool|list)\(\s*"([A-Z_]+)"', (PROJECT / "costsite/settings.py").read_text(encoding="utf-8")
        )
    )
)
PLUGIN_SETTINGS = sorted(f"COSTSITE_{name.upper()}" for name in config._SETTINGS)
HEADING = re.compile(r"^### `([A-Z_]+)`$", re.MULTILINE)


def section(title: str) -> str:
    """The part of docs/settings.md under a heading of the second level."""
    return SETTINGS.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_there_is_something_to_look_for() -> None:
    assert {"COSTSITE_TIME_ZONE", "DATABASE_URL"} <= set(SITE_SETTINGS)
    assert "COSTSITE_API_KEY" in PLUGIN_SETTINGS


@pytest.mark.parametrize(("title", "settings"), [("The site", SITE_SETTINGS), ("The plugin", PLUGIN_SETTINGS)])
def test_every_setting_has_a_heading_and_every_heading_a_setting(title: str, settings: list[str]) -> None:
    headings = sorted(HEADING.findall(section(title)))

    assert [name for name in settings if name not in headings] == [], "add a heading to docs/settings.md"
    assert [name for name in headings if name not in settings] == [], (
        "docs/settings.md names what the code does not read"
    )


def paths() -> list[str]:
    return sorted(str(path) for path in api.get_openapi_schema()["paths"])


def test_every_endpoint_is_documented() -> None:
    reference = DOCS.get("http-api.md", "")

    assert paths()
    assert [path for path in paths() if path.removeprefix("/api/v1") not in reference] == [], (
        "add it to docs/http-api.md"
    )


def test_every_signal_is_documented() -> None:
    modules = (agents.signals, budgets.signals)
    signals = [name for module in modules for name, value in vars(module).items() if isinstance(value, Signal)]

    assert {"usage_recorded", "budget_threshold_crossed"} <= set(signals)
    assert [name for name in signals if f"`{name}`" not in ALL_DOCS] == [], (
        "say in docs/ when it is sent, and with what"
    )


def test_every_command_is_documented() -> None:
    commands = sorted(
        name for name, app in get_commands().items() if app.split(".")[0] in ("agents", "budgets", "costsite")
    )

    assert "serve" in commands
    assert [name for name in commands if f"manage.py {name}" not in ALL_DOCS] == [], "name it in docs/ as `manage.py …`"


def test_every_make_target_is_explained() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    phony = {name for line in re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE) for name in line.split()}

    assert {"setup", "run", "test"} <= phony
    assert [name for name in sorted(phony) if not re.search(rf"^{name}:.*## \S", makefile, re.MULTILINE)] == []


def test_links_between_the_docs_lead_somewhere() -> None:
    pages = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md"))]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]

    assert broken == []
