"""What stands between a call and the money: the agent's lease, and the limit of the run itself.

Raises `BudgetExceeded` and nothing else of its own; whoever calls it lets that one through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_plugin.allowance import Allowance
from langchain_plugin.budget_exceeded import BudgetExceeded
from langchain_plugin.call_event import refused_event
from langchain_plugin.decisions import Stopped, stopped_here
from langchain_plugin.estimate import input_bound
from langchain_plugin.lease_prices import Model, Size
from langchain_plugin.wire import MICROCENTS_PER_CENT

if TYPE_CHECKING:
    from langchain_plugin.leasing import LeaseKeeper
    from langchain_plugin.refusals import Refusals
    from langchain_plugin.run_tree import OpenCall, OpenRun
    from langchain_plugin.wire import TokenCounts


REPORTED = frozenset({"exhausted", "held", "too_large"})
"""Refusals that a budget of the site makes; the others are this process's own."""


class Guard:
    """Of one handler; the leases are shared with all that report to the same place. Reports what it refuses."""

    def __init__(self, leases: LeaseKeeper, refusals: Refusals, run_limit_cents: float | None) -> None:
        self._leases = leases
        self._refusals = refusals
        self._run_limit = None if run_limit_cents is None else round(run_limit_cents * MICROCENTS_PER_CENT)

    def before_run(self, run: OpenRun) -> None:
        """Refuse a run that could not pay for a single call, by what is known here.

        Raises:
            BudgetExceeded: A budget is spent.

        """
        stopped = self._leases.of(run.agent).refuses_new_runs()
        if stopped is not None:
            raise self._refused(run, stopped)

    def share_spent(self, agent: str) -> float | None:
        """Of the tightest budget, the part that is spent, as of the site's last answer; None without a budget."""
        budget = self._leases.of(agent).budget
        if budget is None:
            return None
        return budget.spent_microcents / budget.limit_microcents if budget.limit_microcents else 1.0

    def before_call(self, call: OpenCall) -> None:
        """Hold what a call may cost.

        Raises:
            BudgetExceeded: It may not be made.

        """
        agent = call.run.agent
        allowance = self._leases.of(agent)
        model = _model_of(call)
        if self._run_limit is None and allowance.is_free(model):
            return
        request = call.request
        size = Size(model, input_bound(call.messages, request.tools), request.max_output_tokens, request.answers)
        taken = self._leases.take(agent, call.call_id, size)
        if isinstance(taken, Stopped):
            raise self._refused(call.run, taken)
        call.taken, call.lease_id = taken, taken.lease_id
        if self._run_limit is not None:
            self._hold_of_run(call, allowance, size, self._run_limit)

    def after_call(self, call: OpenCall, counts: TokenCounts, *, served_from_local_cache: bool) -> None:
        """Put a call's cost in the place of its hold."""
        taken = call.taken
        if taken is None:
            return
        call.taken = None
        allowance = self._leases.of(call.run.agent)
        cost = allowance.prices.cost_of(_model_of(call), counts, served_from_local_cache=served_from_local_cache)
        if taken.lease_id is not None:
            allowance.settle(call.call_id, cost)
        if self._run_limit is not None:
            with allowance.lock:
                call.run.taken_microcents += cost - call.run_hold_microcents
                call.run_hold_microcents = 0

    def _hold_of_run(self, call: OpenCall, allowance: Allowance, size: Size, limit: int) -> None:
        hold = allowance.prices.worst_case(size) or 0
        run = call.run
        with allowance.lock:
            left = limit - run.taken_microcents
            if hold <= left and left > 0:
                run.taken_microcents += hold
                call.run_hold_microcents = hold
                return
        allowance.give_back(call.call_id)
        call.taken = None
        stopped = stopped_here("run_limit", run.agent, limit=limit, spent=limit - left, asked=hold, scope="run")
        raise self._refused(run, stopped)

    def _refused(self, run: OpenRun, stopped: Stopped) -> BudgetExceeded:
        refusal = BudgetExceeded(run.agent, stopped.facts)
        if refusal.kind in REPORTED:
            event = refused_event(run, refusal.kind, refusal.policy_id)
            self._refusals.add(event, run_made_calls=run.announced)
        return refusal


def _model_of(call: OpenCall) -> Model:
    request = call.request
    return request.provider, request.request_model, request.service_tier
