"""GET /key: what the holder of a key may know of it. `costsite doctor` asks this."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router

from costsite.api.authentication import BearerKey, key_of
from costsite.api.schemas import KeyFacts, KeyWorkspace, answer
from costsite.version import site_version
from langchain_plugin.wire import WIRE_VERSION

router = Router(tags=["Key"], auth=BearerKey(None))


@router.get("/key", response=KeyFacts, summary="The key's own facts, with any scope")
def show_key(request: HttpRequest) -> HttpResponse:
    key = key_of(request)
    return answer(
        KeyFacts(
            workspace=KeyWorkspace(slug=key.workspace.slug, name=key.workspace.name),
            agent=None if key.agent is None else key.agent.slug,
            scopes=key.scopes,
            server_time=timezone.now(),
            version=site_version(),
            wire_version=WIRE_VERSION,
        )
    )
