"""A holder of an API key, for the tests of the API: over Django's own test client, with real keys."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from django.http.response import HttpResponseBase
from django.test import Client

from agents.keys import create_key
from agents.models import Agent, Workspace
from langchain_plugin import wire

EVENTS = "/api/v1/events"


class KeyHolder:
    def __init__(self, workspace: Workspace, *, agent: Agent | None = None, scopes: list[str] | None = None) -> None:
        self.row, self.key = create_key(workspace, agent=agent, scopes=scopes)
        self.client = Client(raise_request_exception=False, headers={"Authorization": f"Bearer {self.key}"})

    def get(self, address: str, **parameters: Any) -> Any:
        """GET /api/v1/`address`."""
        return self.client.get(f"/api/v1/{address}", parameters)

    def read(self, address: str, **parameters: Any) -> Any:
        """The JSON of an answer that must be 200."""
        response = self.get(address, **parameters)
        assert response.status_code == 200, response.content
        return response.json()

    def csv(self, address: str, **parameters: Any) -> str:
        response = self.get(address, format="csv", **parameters)
        assert response.status_code == 200, response.content
        return b"".join(response.streaming_content).decode()

    def post(self, body: bytes, **headers: str) -> Any:
        """POST /api/v1/events with exactly these bytes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(EVENTS, body, content_type="application/json", headers=named)

    def report(self, *events: Any, **envelope: Any) -> wire.Receipt:
        """The Receipt for events given as wire models or as plain JSON values."""
        response = self.post(json.dumps(batch(*events, **envelope)).encode())
        assert response.status_code == 200, response.content
        return wire.Receipt.model_validate_json(response.content)


def batch(*events: Any, **envelope: Any) -> dict[str, Any]:
    """A batch as JSON values, sent now."""
    return {
        "batch_id": str(uuid4()),
        "client_id": str(uuid4()),
        "sent_at": datetime.now(UTC).isoformat(),
        "events": [event.model_dump(mode="json") if isinstance(event, wire.WireModel) else event for event in events],
    } | envelope


def error_of(response: HttpResponseBase) -> wire.ErrorBody:
    """The error an answer is: always the one shape."""
    assert response.headers["Content-Type"] == "application/json"
    return wire.ErrorBody.model_validate_json(response.content, extra="forbid")  # type: ignore[attr-defined]
