"""GET /openapi.json: the machine-readable description, for whoever holds a key.

No page is served over it: the usual ones load their scripts from elsewhere, which the content policy forbids.
"""

from __future__ import annotations

import json
import threading
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from pydantic.json_schema import models_json_schema

from langchain_plugin import wire

_REF = "#/components/schemas/{model}"
BATCH_REF = _REF.format(model="EventBatch")
ERROR_REF = _REF.format(model="ErrorBody")
"""What ninja cannot see, because the events are read from the raw body and errors come from handlers."""


class CostsiteAPI(NinjaAPI):
    """Adds the wire's models to the components, the one error answer to every operation, and CSV to the lists that come
    as such.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._one_builds = threading.Lock()
        self._built: bytes | None = None

    def as_json(self) -> bytes:
        """The whole of it as JSON, built once for all keys: it takes a tenth of a second of a processor, and any key
        may ask. Whoever comes while it is built waits rather than build another.
        """
        with self._one_builds:
            if self._built is None:
                self._built = json.dumps(self.get_openapi_schema(), cls=DjangoJSONEncoder).encode()
            return self._built

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None
    ) -> OpenAPISchema:
        schema = super().get_openapi_schema(path_prefix=path_prefix, path_params=path_params)
        _, definitions = models_json_schema(
            [(wire.EventBatch, "validation"), (wire.ErrorBody, "serialization")], ref_template=_REF
        )
        schema["components"]["schemas"].update(definitions["$defs"])
        for operations in schema["paths"].values():
            for operation in operations.values():
                operation["responses"]["default"] = {
                    "description": "Every error",
                    "content": {"application/json": {"schema": {"$ref": ERROR_REF}}},
                }
                if any(parameter["name"] == "format" for parameter in operation["parameters"]):
                    operation["responses"][200]["content"]["text/csv"] = {"schema": {"type": "string"}}
        return schema
