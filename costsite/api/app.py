"""The API: its routes, its authentication, its one shape of error."""

from __future__ import annotations

from ninja import NinjaAPI
from ninja.security import HttpBearer

from agents.keys import find_key
from agents.models import ApiKey
from costsite.api import events
from django.http import HttpRequest


class BearerKey(HttpBearer):
    def authenticate(self, request: HttpRequest, token: str) -> ApiKey | None:
        return find_key(token)


api = NinjaAPI(title="Costsite", version="1", auth=BearerKey(), docs_url=None, openapi_url=None)
api.add_router("", events.router)
