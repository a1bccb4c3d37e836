"""Taking an advice: done, dismissed, snoozed or open again, each with a reason and written down."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from django.contrib.auth.models import User
from django.utils import timezone

from agents.admin_history import note_change
from agents.models import Agent, LedgerState
from agents.write_lock import writing
from costsite.advice.models import Advice, AdviceChange

SNOOZE_DAYS: Final = 30
LONGEST_REASON: Final = 500


class DecisionError(ValueError):
    """The decision cannot be written down; the message says the mend."""


def decide(advice_id: int, state: str, reason: str, by: User) -> Advice:
    """Write a decision down, with who made it. The caller has checked that they may.

    DecisionError when the state is unknown or the reason is missing: who comes later must know why.
    """
    reason = reason.replace("\x00", "").strip()[:LONGEST_REASON]
    if state not in Advice.State.values:
        raise DecisionError(f"{state[:20]!r} is no state; choose one of {', '.join(Advice.State.values)}.")
    if not reason and state != Advice.State.OPEN:
        raise DecisionError("Say why, in a few words: who comes later will want to know.")
    today = LedgerState.current().today()
    until: date | None = today + timedelta(days=SNOOZE_DAYS) if state == Advice.State.SNOOZED else None
    with writing():
        advice = Advice.objects.select_for_update().get(pk=advice_id)
        AdviceChange.objects.create(
            workspace_id=advice.workspace_id,
            advice=advice,
            person_id=by.pk,
            username=by.get_username(),
            state_before=advice.state,
            state_after=state,
            reason=reason,
            snoozed_until=until,
            month_microcents=advice.month_microcents,
        )
        advice.state, advice.reason, advice.snoozed_until = state, reason, until
        advice.decided_at, advice.decided_on = timezone.now(), today
        advice.save(update_fields=["state", "reason", "snoozed_until", "decided_at", "decided_on"])
    return advice


def set_default_model(agent_id: int, model: str, by: User) -> None:
    """Make `model` the agent's default; the admin's history of the agent says who did."""
    with writing():
        agent = Agent.objects.select_for_update().get(pk=agent_id)
        before, agent.default_model = agent.default_model, model
        agent.save(update_fields=["default_model"])
        note_change(agent, by, f"Default model from {before or 'none'} to {model}, after a what-if.")
