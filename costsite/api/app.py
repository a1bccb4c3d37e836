"""The API: its routes and its one shape of error."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from costsite.api import agents, budgets, errors, events, key, leases, openapi, runs, spend
from costsite.api.authentication import BearerKey

api = openapi.CostsiteAPI(title="Costsite", version="1", docs_url=None, openapi_url=None)
errors.install(api)
for topic in (events, leases, key, agents, runs, spend, budgets):
    api.add_router("", topic.router)


@api.get("/openapi.json", auth=BearerKey(None), include_in_schema=False)
def show_openapi(request: HttpRequest) -> HttpResponse:
    return HttpResponse(api.as_json(), content_type="application/json")
