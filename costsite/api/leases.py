"""POST /leases: money for a process to spend without asking, or a refusal that says which budget is in the way."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router
from pydantic import TypeAdapter, ValidationError

from agents import server_clock
from agents.bound_keys import BoundKey
from agents.clock import TOLERATED_SKEW
from agents.models import Agent, ApiKey
from agents.registration import agent_named, slug_of
from budgets.enforcement import BudgetEnforcementService, Permit, Refused, Standing
from budgets.key_reach import KeyReach
from budgets.model_moves import move_told
from budgets.models import SpendLease
from budgets.news import lines_passed_lately
from budgets.price_card import fallback_of, price_card
from budgets.words import instant_in_words
from costsite.api.agent_settings import settings_of
from costsite.api.authentication import BearerKey, key_of
from costsite.api.body import read_body
from costsite.api.errors import ApiError, ErrorAnswer, wrong_clock
from costsite.api.parameters import ledger_days
from costsite.api.problems import details_of
from langchain_plugin import wire, wire_leases

router = Router(tags=["Leases"], auth=BearerKey(ApiKey.Scope.EVENTS_WRITE))

Asked = TypeVar("Asked", bound=wire.WireModel)

_REQUEST: TypeAdapter[wire_leases.LeaseRequest] = TypeAdapter(wire_leases.LeaseRequest)
_RELEASE: TypeAdapter[wire_leases.LeaseRelease] = TypeAdapter(wire_leases.LeaseRelease)

_MESSAGES: Final = {
    "exhausted": "The budget of {subject} is spent; it runs again from {until}, or after a grant.",
    "held": "What is left of the budget of {subject} is set aside for calls that are under way; ask again shortly.",
    "too_large": "The call may cost more than is left of the budget of {subject}; set a smaller maximum of output "
    "tokens, take a cheaper model, or have more granted.",
}


@router.post("/leases", response=wire_leases.LeaseAnswer, summary="Take or renew a lease")
def take_lease(request: HttpRequest) -> HttpResponse:
    key = key_of(request)
    asked = _read(_REQUEST, request)
    ahead = _ahead(asked.sent_at)
    named = _agent(key, asked.agent)
    answer = BudgetEnforcementService().lease(
        named,
        asked.client_id,
        least=asked.least_microcents,
        outstanding=asked.outstanding_microcents,
        keep=asked.keep_microcents,
        ahead=ahead,
    )
    reach = KeyReach(key)
    if isinstance(answer, Refused):
        return _refusal(answer, reach)
    return HttpResponse(
        _permit(named.booked_to, asked, answer, reach).model_dump_json(), content_type="application/json"
    )


def _ahead(sent_at: datetime | None) -> timedelta:
    """How far the process's clock is before this one, as far as the ledger takes the times of its calls as they are."""
    if sent_at is None:
        return timedelta(0)
    now = timezone.now()
    try:
        server_clock.judge(sent_at, now)
    except server_clock.ServerClockError as error:
        raise wrong_clock(error) from error
    ahead = sent_at - now
    return ahead if abs(ahead) <= TOLERATED_SKEW else timedelta(0)


@router.post("/leases/{uuid:lease_id}/release", response={204: None}, summary="Give a lease back")
def release_lease(request: HttpRequest, lease_id: UUID) -> HttpResponse:
    asked = _read(_RELEASE, request)
    lease = SpendLease.objects.all().readable_with(key_of(request)).filter(pk=lease_id).first()
    if lease is None:
        raise ApiError(404, "unknown_lease", "This key has no lease of that id; it may be over already.")
    BudgetEnforcementService().release(lease, outstanding=asked.outstanding_microcents)
    return HttpResponse(status=204)


def _read(adapter: TypeAdapter[Asked], request: HttpRequest) -> Asked:
    try:
        return adapter.validate_json(read_body(request) or b"{}")
    except ValidationError as error:
        details = details_of(error)
        message = f"The request cannot be read: {'; '.join(detail['message'] for detail in details[:3])}."
        raise ApiError(422, "bad_request", message, details=details) from None


def _agent(key: ApiKey, name: str) -> Agent:
    """The agent of that name; one that is seen for the first time registers itself, as by its first event."""
    if key.agent is not None:
        if slug_of(name) == key.agent.slug:
            return key.agent  # nearly always, and without asking the database
        bound = BoundKey(key.agent, [name])
        if name not in bound.names:
            own = bound.agent.slug
            raise ApiError(
                403,
                "agent_not_allowed",
                f"This key may spend for the agent {own!r} only: give the handler agent={own!r}, or a key of the whole"
                " workspace.",
            )
    return agent_named(key.workspace_id, name)


def _permit(agent: Agent, asked: wire_leases.LeaseRequest, permit: Permit, reach: KeyReach) -> wire_leases.LeaseAnswer:
    own = next((standing for standing in permit.standings if standing.policy.agent_id is not None), None)
    move = None
    if own is not None:
        move = move_told(own.policy, limit=own.limit, spent=own.spent, month_ends_at=own.month.ends_at)
    wanted = [*asked.models, wire_leases.ModelAsked(provider=move.provider, model=move.model)] if move else asked.models
    card = price_card(agent, wanted, timezone.now())
    shown = [standing for standing in permit.standings if reach.opens(standing.policy)]
    tightest = min(shown, key=lambda standing: standing.left, default=None)
    return wire_leases.LeaseAnswer(
        agent=asked.agent,
        lease_id=permit.lease.lease_id if permit.lease is not None else None,
        available_microcents=permit.available,
        valid_for_seconds=permit.valid.total_seconds(),
        budget=_news(asked.agent, tightest) if tightest is not None else None,
        agent_settings=settings_of(asked.agent, agent, move),
        lines_passed=lines_passed_lately(reach, agent, [standing.policy for standing in shown]),
        no_new_runs=facts_of(permit.no_new_runs, reach) if permit.no_new_runs is not None else None,
        price_card=card,
        fallback=fallback_of(card),
        unpriced=settings.COSTSITE_UNPRICED_MODELS,
    )


def _news(agent: str, standing: Standing) -> wire.BudgetNews:
    return wire.BudgetNews(agent=agent, spent_microcents=standing.spent, limit_microcents=standing.limit)


def facts_of(refused: Refused, reach: KeyReach) -> wire_leases.RefusalFacts:
    shown = reach.opens(refused.policy)
    month_end = refused.month.ends_at
    waits_for_the_month = refused.kind == "exhausted"
    return wire_leases.RefusalFacts(
        kind=refused.kind.value,
        scope=refused.policy.scope,
        subject=refused.policy.subject,
        policy_id=refused.policy.pk,
        mode=refused.policy.mode,
        limit_microcents=refused.limit if shown else None,
        spent_microcents=refused.spent if shown else None,
        left_microcents=refused.left if shown else _as_far_as_the_refusal_tells(refused),
        held_microcents=refused.held if shown else None,
        asked_microcents=refused.asked,
        blocked_until=month_end if waits_for_the_month else None,
        blocked_until_text=instant_in_words(month_end, ledger_days().zone.key) if waits_for_the_month else "",
        retry_after_seconds=refused.retry_after.total_seconds() if refused.retry_after else None,
    )


def _as_far_as_the_refusal_tells(refused: Refused) -> int:
    """What is left of a budget whose figures the key may not read, in microcents: one digit, and never more than was
    asked for. A plugin tells by it which calls are too large. Exact, two of them a second apart are what others spent.
    """
    left = min(refused.left, refused.asked)
    step = int(10 ** (len(str(left)) - 1))
    return left // step * step


def _refusal(refused: Refused, reach: KeyReach) -> HttpResponse:
    facts = facts_of(refused, reach)
    message = _MESSAGES[facts.kind].format(subject=facts.subject, until=facts.blocked_until_text)
    headers = {"Retry-After": f"{facts.retry_after_seconds:.0f}"} if facts.retry_after_seconds is not None else {}
    return ErrorAnswer(ApiError(402, facts.kind, message, details=[facts.model_dump(mode="json")], headers=headers))
