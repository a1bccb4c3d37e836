"""docs/http-api.md, command by command, as a shell runs it and the site answers it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from django.test import Client

from agents.models import Workspace
from tests.costsite.api_client import KeyHolder

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "http-api.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^```bash\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)

STAND_INS = """
python() { case "$*" in *budgets:write*) echo "$BUDGETS_KEY";; *) echo "$KEY";; esac; }
curl() { printf '%s\\0' "$@"; cat; }
"""
"""For `manage.py create_api_key`, which prints a key; and for curl: what it was told, and what it would send."""


class Request(NamedTuple):
    method: str
    address: str
    authorization: str
    body: str


def typed(command: str, key: str, budgets_key: str = "") -> Request:
    """What a shell makes of a command: dates filled in, the key set, the body read."""
    said = subprocess.run(
        ["sh", "-euc", STAND_INS + command],
        env={"KEY": key, "BUDGETS_KEY": budgets_key, "PATH": "/usr/bin:/bin"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    *arguments, body = said.stdout.split("\0")
    (address,) = (argument for argument in arguments if argument.startswith("http://127.0.0.1:8000/"))
    (header,) = (argument for argument in arguments if argument.startswith("Authorization: "))
    assert ("-d" in arguments) == bool(body)
    method = arguments[arguments.index("-X") + 1] if "-X" in arguments else "POST" if body else "GET"
    return Request(method, address, header.removeprefix("Authorization: "), body)


def answer(request: Request) -> Any:
    """The site's, which must be 200 or 201: its JSON, or text."""
    client = Client(headers={"Authorization": request.authorization})
    where = urlsplit(request.address)
    target = f"{where.path}?{where.query}"
    # The content type that curl gives -d.
    form = "application/x-www-form-urlencoded"
    given = client.generic(request.method, target, request.body, content_type=form)
    assert given.status_code in (200, 201), given.content
    if given.headers["Content-Type"] == "application/json":
        return given.json()
    return b"".join(given.streaming_content).decode()  # type: ignore[attr-defined]


def documented(heading: str) -> Any:
    """The first answer printed under a heading."""
    return json.loads(PAGE.split(f"{heading}\n", 1)[1].split("```json\n", 1)[1].split("```", 1)[0])


@pytest.fixture
def key(workspace: Workspace) -> str:
    return KeyHolder(workspace).key


def posting() -> str:
    (command,) = (command for command in COMMANDS if "/events" in command)
    return command


def test_every_command_on_the_page_works_as_pasted_and_in_the_order_of_the_page(key: str, workspace: Workspace) -> None:
    budgets_key = KeyHolder(workspace, scopes=["read", "budgets:write"]).key
    requests = (typed(text, key, budgets_key) for text in COMMANDS)
    answers = {urlsplit(request.address).path: answer(request) for request in requests}

    # 1,200 tokens in at 0.15 USD a million and 300 out at 0.60: 180 + 180 millionths of a dollar = 0.036 cents.
    run, spend = answers["/api/v1/runs/019a9f00-0000-7000-8000-000000000003"], answers["/api/v1/spend"]
    assert (run["estimated_cost_cents"], run["status"], len(run["llm_calls"])) == ("0.036", "ok", 1)
    assert (spend["total"]["estimated_cost_cents"], spend["groups"][0]["model"]) == ("0.036", "gpt-4o-mini")
    assert [agent["agent"] for agent in answers["/api/v1/agents"]["agents"]] == ["sales-bot"]
    assert answers["/api/v1/budgets/agents/sales-bot"]["limit_cents"] == 5_000
    assert answers["/api/v1/runs"].splitlines()[1].startswith("019a9f00-0000-7000-8000-000000000003,sales-bot,ok,")


def test_the_search_for_runs_on_the_page_finds_the_run_of_the_example(key: str) -> None:
    answer(typed(posting(), key))
    (search,) = (command for command in COMMANDS if "/runs?agent" in command)

    assert [run["run_id"] for run in answer(typed(search, key))["runs"]] == ["019a9f00-0000-7000-8000-000000000003"]


def test_the_batch_on_the_page_is_answered_with_the_receipt_beside_it_and_then_as_a_duplicate(
    key: str, workspace: Workspace
) -> None:
    request = typed(posting(), key)
    expected = documented("### The Receipt") | {"hash_key": workspace.hash_key}

    assert answer(request) == expected
    assert answer(request) == expected | {"accepted": [], "duplicates": [0]}


def test_what_the_page_says_of_a_key_has_the_fields_of_the_answer(key: str) -> None:
    told = answer(typed(COMMANDS[0], key))
    expected = documented("## GET /api/v1/key")

    assert told.keys() == expected.keys()
    assert {name: told[name] for name in ("workspace", "agent", "scopes", "wire_version")} == {
        name: expected[name] for name in ("workspace", "agent", "scopes", "wire_version")
    }
