"""The API as its own description has it: schemathesis asks a real server what that allows, and what it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from costsite.api import api
from tests.costsite.api_client import batch
from tests.end_to_end.live_site import LiveSite
from tests.factories import llm_call

LONGEST_SECONDS: Final = 30
"""For one answer. Nothing that is asked here takes a second; on a machine that is busy it may."""
SCOPES: Final = ("events:write", "read", "budgets:write")
OF_CLOCKS: Final = {"clock_unsure", "server_clock"}
"""The two 503 that a client can cause: it says when it sent the batch, and is asked to send it again."""

AS_DESCRIBED: Final = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]

schema = schemathesis.openapi.from_dict(api.get_openapi_schema())
schema.config.generation.with_security_parameters = False  # the key is the test's


class Known:
    """A site, a key for all of it, and rows whose ids a description cannot tell."""

    def __init__(self, site: LiveSite) -> None:
        self.url = site.url
        scopes = [word for scope in SCOPES for word in ("--scope", scope)]
        self.headers = {"Authorization": f"Bearer {site.manage('create_api_key', 'acme', *scopes).strip()}"}
        now = datetime.now(UTC)
        call = llm_call(started_at=now, ended_at=now)
        self._send("POST", "events", batch(call))
        budget = self._send("PUT", "budgets/agents/support-bot", {"limit_cents": 10_000})
        end = f"{now + timedelta(days=2):%Y-%m-%d}"
        grant = self._send("POST", f"budgets/{budget['id']}/grants", {"cents": 5, "ends_at": end, "reason": "launch"})
        lease = self._send("POST", "leases", {"agent": "support-bot", "client_id": str(uuid4())})
        self.ids = {
            "run_id": str(call.run_id), "slug": "support-bot", "budget_id": budget["id"], "grant_id": grant["id"],
            "lease_id": lease["lease_id"],
        }  # fmt: skip

    def _send(self, method: str, address: str, body: Any) -> Any:
        answer = requests.request(method, f"{self.url}/api/v1/{address}", json=body, headers=self.headers, timeout=60)
        assert answer.ok, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    site = LiveSite(tmp_path_factory.mktemp("site")).prepare()
    site.start()
    yield Known(site)
    site.kill()


@schema.parametrize()
@settings(max_examples=50, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_the_description_has(case: schemathesis.Case, known: Known) -> None:
    if isinstance(case.body, dict) and isinstance(case.body.get("sent_at"), str):
        case.body["sent_at"] = datetime.now(UTC).isoformat()  # else every batch is one of another time
    # A batch is taken for the good events in it, and the Receipt says of each bad one why not.
    may_be_taken = case.operation.path == "/api/v1/events"
    asked(case, known, AS_DESCRIBED if may_be_taken else [*AS_DESCRIBED, negative_data_rejection])
    if case.path_parameters:
        case.path_parameters = {name: known.ids[name] for name in case.path_parameters}
        asked(case, known, AS_DESCRIBED)


def asked(case: schemathesis.Case, known: Known, checks: list[Any]) -> None:
    answer = case.call(base_url=known.url, headers=known.headers, timeout=LONGEST_SECONDS)
    if answer.status_code >= 500:
        assert json.loads(answer.content)["code"] in OF_CLOCKS, answer.content
    case.validate_response(answer, checks=checks)
