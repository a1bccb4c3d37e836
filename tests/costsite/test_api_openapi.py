"""GET /openapi.json: true to what is served, and readable by machines."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from django.test import Client
from ninja.openapi.schema import OpenAPISchema

from costsite.api import api
from costsite.api.openapi import CostsiteAPI
from tests.costsite.api_client import KeyHolder
from tests.factories import WorkspaceFactory

DOCS = Path(__file__).resolve().parents[2] / "docs" / "http-api.md"


def test_every_reference_leads_somewhere(acme: KeyHolder) -> None:
    schema = acme.read("openapi.json")

    def resolve(reference: str) -> Any:
        node: Any = schema
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        return node

    references = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(schema)))
    assert "#/components/schemas/EventBatch" in references
    assert all(resolve(reference) for reference in references)


def test_every_operation_needs_a_key_and_names_the_error_answer(acme: KeyHolder) -> None:
    paths = acme.read("openapi.json")["paths"]

    operations = [operation for methods in paths.values() for operation in methods.values()]
    assert {"/api/v1/events", "/api/v1/budgets"} <= set(paths)
    for operation in operations:
        assert operation["security"] == [{"BearerKey": []}]
        assert operation["responses"]["default"]["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorBody")


def test_every_address_has_its_heading_and_every_parameter_its_row_in_the_docs() -> None:
    text = DOCS.read_text(encoding="utf-8")
    headings = set(re.findall(r"^## ((?:GET|POST|PUT|DELETE) \S+)$", text, re.MULTILINE))

    served = set()
    for path, methods in api.get_openapi_schema()["paths"].items():
        for method, operation in methods.items():
            served.add(f"{method.upper()} {path}")
            for parameter in operation["parameters"]:
                assert f"`{parameter['name']}`" in text or f"{{{parameter['name']}}}" in path, parameter["name"]
    assert headings == served | {"GET /api/v1/openapi.json"}


def test_it_is_built_once_however_many_ask() -> None:
    class Counting(CostsiteAPI):
        built = 0

        def get_openapi_schema(self, **_options: Any) -> OpenAPISchema:
            self.built += 1
            return api.get_openapi_schema()

    counting = Counting(title="Costsite", docs_url=None, openapi_url=None)
    with ThreadPoolExecutor(8) as threads:
        answers = set(threads.map(lambda _: counting.as_json(), range(16)))
    assert (len(answers), counting.built) == (1, 1)
    assert json.loads(answers.pop()) == json.loads(json.dumps(api.get_openapi_schema()))


def test_every_key_gets_the_very_same_answer_and_no_key_none(acme: KeyHolder) -> None:
    other = KeyHolder(WorkspaceFactory(), scopes=["events:write"])
    first, second = (holder.client.get("/api/v1/openapi.json") for holder in (acme, other))

    assert (first.status_code, first["Content-Type"]) == (200, "application/json")
    assert second.content is first.content is api.as_json()  # the same bytes in memory: no copy was built
    assert Client().get("/api/v1/openapi.json").status_code == 401
