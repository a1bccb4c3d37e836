"""What people can set, call, run or listen to has its heading in docs/; what has a heading exists."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand
from django.dispatch import Signal

from costsite.api import api, errors
from langchain_plugin import cli, config, wire

PROJECT = Path(__file__).resolve().parents[2]
DOCS = {path.name: path.read_text(encoding="utf-8") for path in sorted((PROJECT / "docs").glob("*.md"))}
PAGES = {
    name: (PROJECT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
} | {f"docs/{name}": text for name, text in DOCS.items()}
SETTINGS = DOCS["settings.md"]
API = DOCS["http-api.md"]
COMMANDS = DOCS["commands-and-signals.md"]
PACKAGES = sorted(path.parent.name for path in PROJECT.glob("*/apps.py"))
"""Of the site."""
SITE_SETTINGS = sorted(
    {
        name
        for package in PACKAGES
        for path in (PROJECT / package).rglob("*.py")
        for name in re.findall(r'env_\w+\(\s*"([A-Z_]+)"', path.read_text(encoding="utf-8"))
    }
)
PLUGIN_SETTINGS = sorted(f"COSTSITE_{name.upper()}" for name in config._SETTINGS)


def part(page: str, heading: str) -> str:
    """What stands under a heading, down to the next of its level or above."""
    assert f"\n{heading}\n" in page, f"add the heading {heading!r}"
    below = page.split(f"\n{heading}\n", 1)[1]
    return re.split(rf"^#{{1,{heading.index(' ')}}} ", below, maxsplit=1, flags=re.MULTILINE)[0]


def headings(text: str, pattern: str) -> list[str]:
    """The code in headings of the third level that has this form."""
    return sorted(re.findall(rf"^### `({pattern})`$", text, re.MULTILINE))


def test_there_is_something_to_look_for() -> None:
    assert {"COSTSITE_TIME_ZONE", "DATABASE_URL"} <= set(SITE_SETTINGS)
    assert "COSTSITE_API_KEY" in PLUGIN_SETTINGS


@pytest.mark.parametrize(("title", "settings"), [("The site", SITE_SETTINGS), ("The plugin", PLUGIN_SETTINGS)])
def test_every_setting_has_a_heading_and_every_heading_a_setting(title: str, settings: list[str]) -> None:
    assert headings(part(SETTINGS, f"## {title}"), "[A-Z_]+") == settings


def test_every_endpoint_has_a_heading_and_every_heading_an_endpoint() -> None:
    described = api.get_openapi_schema()["paths"]
    endpoints = [f"{method.upper()} {path}" for path, operations in described.items() for method in operations]

    # The description does not describe itself.
    assert sorted(re.findall(r"^## ([A-Z]+ /.*)$", API, re.MULTILINE)) == sorted(
        [*endpoints, "GET /api/v1/openapi.json"]
    )


@pytest.mark.parametrize("path", sorted(api.get_openapi_schema()["paths"]))
def test_every_parameter_of_an_endpoint_is_in_its_part(path: str) -> None:
    for method, operation in api.get_openapi_schema()["paths"][path].items():
        text = part(API, f"## {method.upper()} {path}")
        named = [parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "query"]
        assert [name for name in named if f"`{name}`" not in text] == []


API_SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in sorted((PROJECT / "costsite/api").glob("*.py")))


def test_every_error_of_the_api_is_in_the_table_of_errors_with_its_status() -> None:
    raised = {(int(status), code) for status, code in re.findall(r'ApiError\(\s*(\d+),\s*"(\w+)"', API_SOURCE)}
    raised |= {(status, code) for status, (code, _) in errors._WITHOUT_OWN_WORDS.items()}
    raised |= {(402, kind) for kind in get_args(wire.RefusalKind)}
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", part(API, "## Errors"), re.MULTILINE)

    assert (503, "database_busy") in raised
    assert {(int(status), code) for status, codes in rows for code in re.findall(r"`(\w+)`", codes)} == raised


def test_every_reason_of_a_rejection_and_every_notice_is_beside_the_receipt() -> None:
    receipt = part(API, "### The Receipt")
    notices = set(re.findall(r'Notice\(\s*code="(\w+)"', API_SOURCE))

    assert {"clock_differs", "bad_health"} <= notices
    assert [code for code in sorted(notices) if f"`{code}`" not in receipt] == []
    assert re.findall(r"^\| `(\w+)` \|", receipt, re.MULTILINE) == ["code", *get_args(wire.RejectionCode)]


def test_every_signal_has_a_heading_and_every_heading_a_signal() -> None:
    modules = [import_module(f"{name}.signals") for name in PACKAGES if (PROJECT / name / "signals.py").exists()]
    signals = sorted(name for module in modules for name, value in vars(module).items() if isinstance(value, Signal))

    assert "usage_recorded" in signals
    assert headings(part(COMMANDS, "## Signals"), r"\w+") == signals


def own_commands() -> dict[str, BaseCommand]:
    return {
        name: load_command_class(app, name)
        for name, app in sorted(get_commands().items())
        if app.split(".")[0] in PACKAGES
    }


def test_every_command_of_the_site_has_a_heading_and_every_heading_a_command() -> None:
    commands = [f"manage.py {name}" for name in own_commands()]

    assert "manage.py serve" in commands
    # `migrate` is Django's own.
    assert headings(part(COMMANDS, "## Commands of the site"), r"manage\.py \w+") == sorted(
        [*commands, "manage.py migrate"]
    )


@pytest.mark.parametrize("name", own_commands())
def test_every_option_of_a_command_is_in_its_part(name: str) -> None:
    of_all = set(BaseCommand().create_parser("manage.py", "any")._option_string_actions)
    options = set(own_commands()[name].create_parser("manage.py", name)._option_string_actions) - of_all
    text = part(COMMANDS, f"### `manage.py {name}`")

    assert [option for option in sorted(options) if f"`{option}" not in text] == []


def help_of(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    with pytest.raises(SystemExit):
        cli.main([*command, "--help"])
    return capsys.readouterr().out


def test_every_command_of_the_plugin_has_a_heading_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    names = re.findall(r"^    (\w+) ", help_of(capsys), re.MULTILINE)

    assert "doctor" in names
    assert headings(part(COMMANDS, "## Commands of the plugin"), r"costsite \w+") == sorted(
        f"costsite {name}" for name in names
    )
    for name in names:
        options = set(re.findall(r"--[a-z-]+", help_of(capsys, name))) - {"--help"}
        text = part(COMMANDS, f"### `costsite {name}`")
        assert [option for option in sorted(options) if f"`{option}" not in text] == []


def test_every_make_target_is_explained() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    phony = {name for line in re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE) for name in line.split()}

    assert {"setup", "run", "test"} <= phony
    assert [name for name in sorted(phony) if not re.search(rf"^{name}:.*## \S", makefile, re.MULTILINE)] == []


def anchors(page: str) -> set[str]:
    """Of its headings, as GitHub makes them: lower case, no punctuation, hyphens for spaces."""
    prose = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_between_the_docs_lead_somewhere() -> None:
    broken = []
    for name, text in PAGES.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if "://" in target:
                continue
            file, _, anchor = target.partition("#")
            path = (PROJECT / name).parent / file if file else PROJECT / name
            if not path.exists() or (anchor and anchor not in anchors(path.read_text(encoding="utf-8"))):
                broken.append(f"{name}: {target}")

    assert broken == []


def test_no_code_in_the_docs_is_broken_over_two_lines() -> None:
    prose = {name: re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL) for name, text in PAGES.items()}

    assert [
        f"{name}: {line}" for name, text in prose.items() for line in text.splitlines() if line.count("`") % 2
    ] == []


WIDTH = 128
"""Of a line of prose: about 125 is aimed at."""


@pytest.mark.parametrize("name", PAGES)
def test_prose_in_the_docs_is_no_wider_than_an_editor(name: str) -> None:
    prose = re.sub(r"^```.*?^```", "", PAGES[name], flags=re.MULTILINE | re.DOTALL)
    breakable = [line for line in prose.splitlines() if not line.startswith("|") and " " in line.strip(" -")]

    assert [f"{len(line)}: {line}" for line in breakable if len(line) > WIDTH] == []
