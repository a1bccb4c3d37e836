"""Every error the API answers with has one shape, whoever answers: a router, ninja, Django or a middleware."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from agents.keys import create_key
from agents.models import Workspace
from agents.signals import usage_recorded
from langchain_plugin import wire
from tests.factories import llm_call

V1 = "/api/v1"


def _batch() -> str:
    call = llm_call().model_dump(mode="json")
    now = datetime.now(UTC).isoformat()
    ids = {"batch_id": call["call_id"], "client_id": call["call_id"], "sent_at": now}
    return json.dumps({**ids, "events": [call]})


def post(client: Client, body: Any = b"{}", **extra: Any) -> Any:
    return client.post(f"{V1}/events", body, content_type="application/json", **extra)


PROVOCATIONS: dict[str, tuple[Callable[[Client], Any], int, str]] = {
    "no key": (lambda client: client.get(f"{V1}/key", headers={"Authorization": ""}), 401, "no_key"),
    "unknown key": (lambda client: client.get(f"{V1}/key", headers={"Authorization": "Bearer cs_x"}), 401, "bad_key"),
    "unknown address": (lambda client: client.get(f"{V1}/budget"), 404, "not_found"),
    "unknown address, no key": (lambda client: client.get(f"{V1}/x", headers={"Authorization": ""}), 404, "not_found"),
    "unknown version": (lambda client: client.get("/api/v2/runs"), 404, "not_found"),
    "the root": (lambda client: client.get(f"{V1}/"), 404, "not_found"),
    "the prefix": (lambda client: client.get("/api/"), 404, "not_found"),
    "a slash too many": (lambda client: client.get(f"{V1}/runs/"), 404, "not_found"),
    "an id that is none": (lambda client: client.get(f"{V1}/runs/7"), 404, "not_found"),
    "an unknown run": (lambda client: client.get(f"{V1}/runs/{'0' * 8}-0000-7000-8000-{'0' * 12}"), 404, "unknown_run"),
    "an unknown agent": (lambda client: client.get(f"{V1}/runs?agent=x"), 404, "unknown_agent"),
    "GET where POST": (lambda client: client.get(f"{V1}/events"), 405, "method_not_allowed"),
    "POST where GET": (lambda client: client.post(f"{V1}/runs"), 405, "method_not_allowed"),
    "DELETE": (lambda client: client.delete(f"{V1}/runs"), 405, "method_not_allowed"),
    "OPTIONS": (lambda client: client.options(f"{V1}/events"), 405, "method_not_allowed"),
    "a made-up method": (lambda client: client.generic("BREW", f"{V1}/events"), 405, "method_not_allowed"),
    "a parameter of the wrong type": (lambda client: client.get(f"{V1}/runs?limit=many"), 422, "bad_parameter"),
    "a parameter out of bounds": (lambda client: client.get(f"{V1}/runs?limit=201"), 422, "bad_parameter"),
    "an unknown parameter": (lambda client: client.get(f"{V1}/runs?agnet=x"), 422, "bad_parameter"),
    "an unknown parameter of agents": (lambda client: client.get(f"{V1}/agents?x=1"), 422, "bad_parameter"),
    "a cursor that is none": (lambda client: client.get(f"{V1}/runs?after=%FF%00"), 422, "bad_parameter"),
    "a cursor that is none, agents": (lambda client: client.get(f"{V1}/agents?after=!"), 422, "bad_parameter"),
    "a month that is none": (lambda client: client.get(f"{V1}/spend?month=2026-13"), 422, "bad_parameter"),
    "an unknown budget": (lambda client: client.get(f"{V1}/budgets/7"), 404, "unknown_budget"),
    "a budget whose id is none": (lambda client: client.get(f"{V1}/budgets/x"), 404, "not_found"),
    "a key that may change no budget": (lambda client: client.put(f"{V1}/budgets/workspace"), 403, "missing_scope"),
    "PATCH where PUT": (lambda client: client.patch(f"{V1}/budgets/workspace"), 405, "method_not_allowed"),
    "an unknown parameter of budgets": (lambda client: client.get(f"{V1}/budgets?x=1"), 422, "bad_parameter"),
    "a cursor that is none, budgets": (lambda client: client.get(f"{V1}/budgets?after=!"), 422, "bad_parameter"),
    "not JSON": (lambda client: post(client, b"<html>"), 400, "not_json"),
    "no batch": (lambda client: post(client), 422, "bad_batch"),
    "too large": (lambda client: post(client, b" " * (wire.MAX_BATCH_BYTES + 1)), 413, "batch_too_large"),
    "broken gzip": (lambda client: post(client, b"x", headers={"Content-Encoding": "gzip"}), 400, "bad_gzip"),
    "half a gzip": (
        lambda client: post(client, gzip.compress(b"{}" * 50)[:-4], headers={"Content-Encoding": "gzip"}),
        400,
        "bad_gzip",
    ),
    "another encoding": (
        lambda client: post(client, headers={"Content-Encoding": "br"}), 415, "unsupported_encoding",
    ),
    "a host that is not ours": (lambda client: client.get(f"{V1}/key", HTTP_HOST="evil.example"), 400, "unknown_host"),
    "an address that is no text": (lambda client: client.get(f"{V1}/%ff%00"), 404, "not_found"),
}  # fmt: skip


@pytest.fixture
def client(workspace: Workspace) -> Client:
    _, key = create_key(workspace)
    return Client(raise_request_exception=False, headers={"Authorization": f"Bearer {key}"})


def shape_of(response: Any, status: int) -> wire.ErrorBody:
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/json"
    body = wire.ErrorBody.model_validate_json(response.content, extra="forbid")
    assert set(response.json()) == {"code", "message", "details"}
    assert body.message.endswith("."), "a sentence"
    assert len(response.content) < 2_000, "large input is not sent back"
    return body


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize(("provoke", "status", "code"), PROVOCATIONS.values(), ids=PROVOCATIONS.keys())
def test_the_shape_of(
    client: Client, settings: Any, provoke: Callable[[Client], Any], status: int, code: str, debug: bool
) -> None:
    settings.DEBUG = debug

    assert shape_of(provoke(client), status).code == code


@pytest.mark.parametrize("debug", [False, True])
def test_the_shape_of_a_crash_tells_nothing_of_the_inside(client: Client, settings: Any, debug: bool) -> None:
    settings.DEBUG = debug

    def crash(**_: object) -> None:
        raise RuntimeError("the password is 1234")

    usage_recorded.connect(crash)
    try:
        response = post(client, _batch())
    finally:
        usage_recorded.disconnect(crash)

    assert shape_of(response, 500).code == "server_error"
    assert b"1234" not in response.content


@pytest.mark.parametrize(
    "said", ["database is locked", "could not serialize access", "deadlock detected", "disk is full"]
)
def test_the_shape_of_a_database_that_cannot_now(client: Client, said: str) -> None:
    def refuse(**_: object) -> None:
        raise OperationalError(said)

    usage_recorded.connect(refuse)
    try:
        response = post(client, _batch())
    finally:
        usage_recorded.disconnect(refuse)

    assert shape_of(response, 503).code == "database_busy"
    assert int(response.headers["Retry-After"]) > 0
    assert post(client, _batch()).status_code == 200


def test_405_names_what_is_allowed(client: Client) -> None:
    response = client.get(f"{V1}/events")

    assert response.headers["Allow"] == "POST"
    assert response.json()["message"] == "This address answers POST only."


def test_pages_keep_their_own_errors(client: Client) -> None:
    assert client.get("/no-such-page").headers["Content-Type"].startswith("text/html")
