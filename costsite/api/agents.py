"""GET /agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from ninja import Query, Router
from pydantic import Field

from agents.models import Agent, ApiKey
from costsite.api.authentication import BearerKey, key_of
from costsite.api.paging import name_cursor, name_of
from costsite.api.parameters import Format, Parameters
from costsite.api.schemas import AgentAnswer, AgentPage, answer
from costsite.csv_answer import Column, csv_answer

if TYPE_CHECKING:
    from django.db.models import QuerySet

router = Router(tags=["Agents"], auth=BearerKey(ApiKey.Scope.READ))

MAX_PAGE = 200
MAX_CSV_AGENTS = 10_000

COLUMNS = (
    Column("Agent", lambda agent: agent.slug),
    Column("Name", lambda agent: str(agent)),
    Column("Active", lambda agent: "yes" if agent.active else "no"),
    Column("Effort", lambda agent: agent.effort),
    Column("Default model", lambda agent: agent.default_model),
    Column("Created at", lambda agent: agent.created_at),
    Column("Last run at", lambda agent: agent.last_run_at),
)


class AgentParameters(Parameters):
    after: str | None = Field(None, description="The `next` of the page before.")
    limit: int = Field(MAX_PAGE, ge=1, le=MAX_PAGE)
    format: Format = "json"


@router.get("/agents", response=AgentPage, summary="Agents, by slug; archived ones left out")
def list_agents(request: HttpRequest, parameters: Query[AgentParameters]) -> HttpResponseBase:
    parameters.check(request)
    agents: QuerySet[Agent] = Agent.objects.live().readable_with(key_of(request)).order_by("slug")
    if parameters.after:
        agents = agents.filter(slug__gt=name_of(parameters.after))
    if parameters.format == "csv":
        return csv_answer("agents", COLUMNS, agents[:MAX_CSV_AGENTS])
    found = list(agents[: parameters.limit + 1])
    page = found[: parameters.limit]
    following = name_cursor(page[-1].slug) if len(found) > len(page) else None
    return answer(AgentPage(agents=[AgentAnswer.of(agent) for agent in page], next=following))
