"""Every operation of the API, against every kind of key: keys.txt is the table."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from django.test import Client

from costsite.api import api
from tests.access.asking import Answer, ask
from tests.access.table import Row, read, routes
from tests.access.world import QUARTZ, ZEPHYR, World, make_keys
from tests.costsite.api_client import batch
from tests.factories import llm_call

pytestmark = pytest.mark.django_db(databases="__all__")

TABLE: Final = read("keys.txt")
CALLERS: Final = tuple(TABLE[0].cells)
HIDDEN_FROM: Final = dict.fromkeys(CALLERS, ZEPHYR) | {"elsewhere": QUARTZ}
BUDGET: Final = {"limit_cents": 700, "reason": "launch"}


def body_of(row: Row) -> bytes | None:
    """What whoever may do it sends."""
    now = datetime.now(UTC)
    grant = {"cents": 100, "ends_at": f"{now.year + 1}-01-01", "reason": "launch"}
    of_path: dict[str, Any] = {"workspace": BUDGET, "agents": BUDGET, "grants": grant, "release": {}}
    words = row.name.split("/")[3:]
    if words == ["events"]:
        sent: Any = batch(llm_call(agent=f"{QUARTZ}-two", started_at=now, ended_at=now))
    elif words == ["leases"]:
        sent = {"agent": f"{QUARTZ}-bot", "client_id": "0" * 32, "least_microcents": 1}
    elif row.method in ("POST", "PUT"):
        sent = next(of_path[word] for word in reversed(words) if word in of_path)
    else:
        return None
    return json.dumps(sent).encode()


def with_key(key: str) -> Client:
    return Client(raise_request_exception=False, headers={"Authorization": f"Bearer {key}"} if key else {})


def fault(row: Row, answer: Answer, caller: str) -> list[str]:
    expected, hidden = row.cells[caller], HIDDEN_FROM[caller]
    if hidden.encode() in (body_of(row) or b"") or hidden in row.name:
        hidden = "\0"  # an answer may repeat what it was asked for
    wrong = [f"{row.title} answers {answer.cell}, not {expected}: {answer.text[:200]}"] * (answer.cell != expected)
    return wrong + [f"{row.title} tells of {hidden}"] * (hidden in answer.text.lower())


@pytest.mark.parametrize("caller", CALLERS)
def test_each_key_is_answered_as_the_table_says(caller: str, world: World) -> None:
    client = with_key(make_keys(world)[caller])
    wrong: list[str] = []
    for row in TABLE:
        wrong += fault(row, ask(client, row.method, row.address(world.rows), body_of(row)), caller)
    assert wrong == []


def test_the_session_of_a_superuser_is_no_key(world: World, root: Client) -> None:
    wrong: list[str] = []
    for row in TABLE:
        wrong += fault(row, ask(root, row.method, row.address(world.rows), body_of(row)), "none")
    assert wrong == []


def test_every_operation_has_its_rows(world: World) -> None:
    """A new one fails here until the table says who may what."""
    told = {(row.method, row.route(world.rows)) for row in TABLE}
    served = {
        (method, "api/v1" + path.replace("{", "<").replace("}", ">"))
        for _, router in api._routers
        for path, view in router.path_operations.items()
        for operation in view.operations
        for method in operation.methods
    }

    assert served - told == set()
    assert {route for route, _ in routes() if route.startswith("api/")} == {route for _, route in told}


def test_another_method_than_an_operations_own_is_refused_and_changes_nothing(world: World) -> None:
    client = with_key(make_keys(world)["whole"])
    own: dict[str, set[str]] = {}
    for row in TABLE:
        own.setdefault(row.route(world.rows), set()).add(row.method)
    said = {
        f"{method} {row.address(world.rows)}": ask(client, method, row.address(world.rows), b"{}").cell
        for row in TABLE
        for method in {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"} - own[row.route(world.rows)]
        if row.name != "/api/v1/"  # where nothing is
    }

    assert {asked: cell for asked, cell in said.items() if cell != "405"} == {}
