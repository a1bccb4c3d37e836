"""Budgets over HTTP: read with `read`, changed with `budgets:write`, and never by a key that is bound to one agent."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import Body, Query, Router
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, StringConstraints

from agents.models import Agent, ApiKey, Workspace
from budgets.models import BudgetGrant, BudgetPolicy
from budgets.models.policies import MAX_LIMIT_CENTS
from budgets.policies import By, archive, grant, policy_of, revoke_grant, set_budget
from costsite.api.authentication import BearerKey, key_of
from costsite.api.budget_answers import BudgetDetail, BudgetPage, GrantAnswer, answers_for, detail_for
from costsite.api.errors import ApiError
from costsite.api.paging import name_cursor, name_of
from costsite.api.parameters import Parameters, agent_of, bad_parameter, instant, ledger_days
from costsite.api.schemas import answer

router = Router(tags=["Budgets"], auth=BearerKey(ApiKey.Scope.READ))
WRITE = BearerKey(ApiKey.Scope.BUDGETS_WRITE)

MAX_PAGE = 200

Reason = Annotated[StrictStr, StringConstraints(max_length=500, pattern=r"^[^\x00]*$")]


class BudgetParameters(Parameters):
    agent: str | None = Field(None, description="Slug: the budgets that cover this agent.")
    after: str | None = Field(None, description="The `next` of the page before.")
    limit: int = Field(MAX_PAGE, ge=1, le=MAX_PAGE)


class ReasonParameters(Parameters):
    reason: Reason = Field("", description="Kept with the change.")


class BudgetBody(BaseModel):
    """What a budget should be. A misspelt field is an error: left out in silence, it would be another budget."""

    model_config = ConfigDict(extra="forbid")

    limit_cents: StrictInt = Field(ge=0, le=MAX_LIMIT_CENTS, description="Per calendar month; 0: nothing at all.")
    thresholds: list[StrictInt] | None = Field(
        None, max_length=100, description="Percents in rising order; left out: as they are, or 50, 80, 100."
    )
    mode: Literal["monitor", "dispatch", "hard"] | None = Field(None, description="Left out: as it is, or hard.")
    reason: Reason = Field("", description="Kept with the change.")


class GrantBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    cents: StrictInt = Field(ge=1, le=MAX_LIMIT_CENTS, description="On top of the limit.")
    ends_at: StrictStr = Field(
        max_length=64, description="A date (its first instant in the ledger's zone) or a time with its offset."
    )
    reason: Reason = Field(min_length=1, description="Kept with the grant.")


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@router.get("/budgets", response=BudgetPage, summary="Budgets that count what the key reads, and how they stand")
def list_budgets(request: HttpRequest, parameters: Query[BudgetParameters]) -> HttpResponse:
    parameters.check(request)
    key = key_of(request)
    policies = _readable(key)
    if parameters.agent is not None:
        agent = agent_of(key, parameters.agent)
        policies = policies & BudgetPolicy.objects.covering(agent.workspace_id, [agent.pk])
    if parameters.after:
        policies = policies.filter(pk__gt=_place_of(parameters.after))
    found = list(policies.select_related("workspace", "agent").order_by("pk")[: parameters.limit + 1])
    page = found[: parameters.limit]
    following = name_cursor(str(page[-1].pk)) if len(found) > len(page) else None
    return answer(BudgetPage(budgets=answers_for(key, page), next=following))


@router.get("/budgets/{int:budget_id}", response=BudgetDetail, summary="One budget with its grants in force")
def show_budget(request: HttpRequest, budget_id: int) -> HttpResponse:
    key = key_of(request)
    return answer(detail_for(key, _budget(key, budget_id)))


# ── changing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@router.put(
    "/budgets/agents/{slug}",
    response={200: BudgetDetail, 201: BudgetDetail},
    auth=WRITE,
    summary="Set an agent's budget",
)
def put_agent_budget(request: HttpRequest, slug: str, parameters: Body[BudgetBody]) -> HttpResponse:
    key = _writer(request)
    return _put(key, _agent(key, slug), parameters)


@router.put(
    "/budgets/workspace",
    response={200: BudgetDetail, 201: BudgetDetail},
    auth=WRITE,
    summary="Set the workspace's budget",
)
def put_workspace_budget(request: HttpRequest, parameters: Body[BudgetBody]) -> HttpResponse:
    key = _writer(request)
    return _put(key, key.workspace, parameters)


@router.delete("/budgets/{int:budget_id}", response={204: None}, auth=WRITE, summary="End a budget; it is archived")
def end_budget(request: HttpRequest, budget_id: int, parameters: Query[ReasonParameters]) -> HttpResponse:
    key = _writer(request)
    parameters.check(request)
    archive(_changeable(key, budget_id), by=By(key=key), reason=parameters.reason)
    return HttpResponse(status=204)


@router.post(
    "/budgets/{int:budget_id}/grants", response={201: GrantAnswer}, auth=WRITE, summary="Grant more for a while"
)
def grant_more(request: HttpRequest, budget_id: int, parameters: Body[GrantBody]) -> HttpResponse:
    key = _writer(request)
    policy = _changeable(key, budget_id)
    ends_at = instant("ends_at", parameters.ends_at, ledger_days())
    try:
        given = grant(policy, parameters.cents, ends_at=ends_at, reason=parameters.reason, by=By(key=key))
    except ValidationError as error:
        raise _bad_values(error) from None
    return _made(answer(GrantAnswer.of(given)))


@router.delete(
    "/budgets/{int:budget_id}/grants/{int:grant_id}", response={204: None}, auth=WRITE, summary="Take a grant back"
)
def take_back(request: HttpRequest, budget_id: int, grant_id: int, parameters: Query[ReasonParameters]) -> HttpResponse:
    key = _writer(request)
    parameters.check(request)
    policy = _changeable(key, budget_id)
    given = BudgetGrant.objects.filter(policy=policy, pk=_bounded(grant_id)).first()
    if given is None or not revoke_grant(given, by=By(key=key), reason=parameters.reason):
        raise ApiError(404, "unknown_grant", "This budget has no such grant in force; it may be over already.")
    return HttpResponse(status=204)


def _put(key: ApiKey, of: Agent | Workspace, body: BudgetBody) -> HttpResponse:
    is_new = policy_of(of) is None
    fields = body.model_dump(exclude={"reason"}, exclude_none=True)
    try:
        policy = set_budget(of, by=By(key=key), reason=body.reason, **fields)
    except ValidationError as error:
        raise _bad_values(error) from None
    if policy is None:
        raise ApiError(404, "unknown_budget", "The budget was ended at this moment; send the same again.")
    told = answer(detail_for(key, policy))
    return _made(told) if is_new else told


# ── what a key reaches ───────────────────────────────────────────────────────────────────────────────────────────────


def _readable(key: ApiKey) -> QuerySet[BudgetPolicy]:
    """Live budgets that count what the key reads: its agent's or all of its workspace's, and the ones above."""
    if key.agent_id is not None:
        return BudgetPolicy.objects.covering(key.workspace_id, [key.agent_id])
    return BudgetPolicy.objects.live().filter(Q(workspace=key.workspace_id) | Q(scope=BudgetPolicy.Scope.SITE))


def _budget(key: ApiKey, budget_id: int) -> BudgetPolicy:
    found = _readable(key).select_related("workspace", "agent").filter(pk=_bounded(budget_id)).first()
    if found is None:
        raise ApiError(
            404, "unknown_budget", "This key reads no budget of that id; GET /api/v1/budgets lists those it does."
        )
    return found


def _writer(request: HttpRequest) -> ApiKey:
    """The key, when it may change budgets: what an agent holds must not raise its own limit."""
    key = key_of(request)
    if key.agent_id is not None:
        raise ApiError(
            403,
            "key_of_one_agent",
            "This API key is bound to one agent, and such a key changes no budget; use one of the whole workspace with"
            f' the scope "{ApiKey.Scope.BUDGETS_WRITE.value}".',
        )
    return key


def _changeable(key: ApiKey, budget_id: int) -> BudgetPolicy:
    policy = _budget(key, budget_id)
    if policy.scope == BudgetPolicy.Scope.SITE:
        raise ApiError(
            403,
            "site_budget",
            "No API key changes the budget of the whole site; it is set in the admin, or with"
            " `manage.py set_budget --site`.",
        )
    return policy


def _agent(key: ApiKey, slug: str) -> Agent:
    """A live agent of the key's workspace."""
    agent = agent_of(key, slug.replace("\x00", "/"))  # no slug has a slash, and no database takes a NUL
    if agent.archived_at is not None:
        raise ApiError(404, "unknown_agent", "This agent is archived; take it out of the archive in the admin first.")
    return agent


def _bounded(row_id: int) -> int:
    """An id that a column can hold; what is larger names no row."""
    return row_id if row_id < 2**63 else 0


def _place_of(cursor: str) -> int:
    try:
        return _bounded(int(name_of(cursor)))
    except ValueError:
        raise bad_parameter("after", "is no cursor of this list; give the `next` of an earlier answer") from None


def _bad_values(error: ValidationError) -> ApiError:
    if not hasattr(error, "error_dict"):
        return ApiError(422, "bad_parameter", " ".join(error.messages))
    details: list[dict[str, Any]] = [
        {"where": field, "message": message} for field, messages in error.message_dict.items() for message in messages
    ]
    return ApiError(422, "bad_parameter", f"`{details[0]['where']}`: {details[0]['message']}", details=details)


def _made(response: HttpResponse) -> HttpResponse:
    response.status_code = 201
    return response
