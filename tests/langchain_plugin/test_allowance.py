"""The client's side of a lease: arithmetic, without a site."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from langchain_plugin import wire, wire_leases
from langchain_plugin.allowance import (
    ASK_AGAIN_SECONDS,
    CIRCUIT_SECONDS,
    KEEP_SECONDS,
    LEAST_BETWEEN_RENEWALS_SECONDS,
    Allowance,
)
from langchain_plugin.decisions import Ask, Stopped, Taken
from langchain_plugin.hold import hold_of
from langchain_plugin.lease_prices import Size

LEASE = UUID(int=5)
MODEL = ("openai", "gpt-4o", "")
USD = 100_000_000
"""A price of 1 USD for a million tokens, in microcents."""
PRICES = wire.UnitPrices(
    input=2 * USD, output=10 * USD, cache_read=USD, cache_write_5m=3 * USD, cache_write_1h=3 * USD, reasoning=10 * USD,
    input_audio=2 * USD, output_audio=10 * USD,
)  # fmt: skip
CALL = Size(MODEL, 1_000, 100, 1)
"""1,000 input tokens at the dearest 3 USD a million and 100 output tokens at 10 USD: 0.3 + 0.1 cents."""
HOLD = 300_000 + 100_000


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def allowance(clock: Clock) -> Allowance:
    return Allowance("support-bot", on_unreachable="allow", clock=clock)


def answer(available: int | None, **fields: Any) -> wire_leases.LeaseAnswer:
    entry = wire_leases.LeasePrice(provider="openai", model="gpt-4o", prices=PRICES, output_bound_tokens=5_000)
    facts: dict[str, Any] = {
        "agent": "support-bot",
        "lease_id": LEASE if available is not None else None,
        "available_microcents": available,
        "valid_for_seconds": 120,
        "price_card": [entry],
        "fallback": PRICES,
    }
    return wire_leases.LeaseAnswer(**facts | fields)


def facts(kind: str, **fields: Any) -> wire_leases.RefusalFacts:
    amounts = {
        "limit_microcents": 1_000_000,
        "spent_microcents": 0,
        "left_microcents": 0,
        "held_microcents": 0,
        "asked_microcents": 0,
    }
    return wire_leases.RefusalFacts(
        kind=kind, scope="agent", subject="support-bot", policy_id=1, mode="hard", **amounts | fields
    )


def granted(allowance: Allowance, available: int | None, **fields: Any) -> None:
    allowance.granted(allowance.asking(), answer(available, **fields))


def test_a_hold_is_the_dearest_price_of_each_side_rounded_up() -> None:
    assert hold_of(PRICES, 1_000, 100) == HOLD
    assert hold_of(PRICES, 0, 0) == 0
    assert hold_of(PRICES.model_copy(update={"request": 7}), 0, 0) == 7
    assert hold_of(wire.UnitPrices(**dict.fromkeys(wire.UnitPrices.model_fields, 1)), 1, 0) == 2  # and its request


def test_before_any_answer_a_call_must_be_asked_about(allowance: Allowance) -> None:
    assert isinstance(allowance.take("1", CALL), Ask)


def test_without_a_budget_nothing_is_held(allowance: Allowance) -> None:
    granted(allowance, None)
    assert allowance.take("1", CALL) == Taken(None, 0)
    assert allowance.outstanding == 0


def test_calls_go_on_until_the_next_does_not_fit(allowance: Allowance) -> None:
    granted(allowance, 2 * HOLD + 1)
    assert allowance.take("1", CALL) == Taken(str(LEASE), HOLD)
    assert allowance.take("2", CALL) == Taken(str(LEASE), HOLD)
    assert allowance.take("3", CALL) == Ask(HOLD)


def test_a_call_that_cost_less_makes_room_for_the_next(allowance: Allowance) -> None:
    granted(allowance, HOLD)
    allowance.take("1", CALL)
    allowance.settle("1", HOLD // 2)
    assert allowance.take("2", CALL) == Ask(HOLD)
    assert isinstance(allowance.take("2", CALL._replace(input_tokens=300)), Taken)


def test_a_call_that_was_not_made_gives_back_what_it_held(allowance: Allowance) -> None:
    granted(allowance, HOLD)
    allowance.take("1", CALL)
    allowance.give_back("1")
    assert isinstance(allowance.take("2", CALL), Taken)


def test_what_ended_stays_outstanding_until_the_site_has_it(allowance: Allowance) -> None:
    granted(allowance, 10 * HOLD)
    allowance.take("1", CALL)
    allowance.take("2", CALL)
    allowance.settle("1", 5)
    assert allowance.outstanding == 5 + HOLD
    allowance.confirmed(["1", "of another agent"])
    assert allowance.outstanding == HOLD


def test_what_never_reaches_the_site_is_not_outstanding_for_ever(allowance: Allowance, clock: Clock) -> None:
    granted(allowance, 10 * HOLD)
    allowance.take("1", CALL)
    allowance.settle("1", 5)
    clock.now += 901
    assert allowance.outstanding == 0


def test_calls_that_began_while_the_answer_was_on_its_way_come_off_it(allowance: Allowance) -> None:
    granted(allowance, 3 * HOLD)
    asking = allowance.asking()
    assert asking.keep == 3 * HOLD
    allowance.take("1", CALL)
    allowance.granted(asking, answer(2 * HOLD))
    allowance.take("2", CALL)
    assert isinstance(allowance.take("3", CALL), Ask)


def test_who_asks_for_a_call_that_does_not_fit_offers_what_is_left(allowance: Allowance) -> None:
    granted(allowance, HOLD - 1)
    asking = allowance.asking(least=HOLD)
    assert (asking.least, asking.keep) == (HOLD, 0)
    assert isinstance(allowance.take("1", CALL._replace(input_tokens=1, max_output_tokens=1)), Ask)


def test_a_lease_is_over_by_whichever_clock_says_so_first(
    allowance: Allowance, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    granted(allowance, 10 * HOLD)
    clock.now += 119
    assert isinstance(allowance.take("1", CALL), Taken)
    with monkeypatch.context() as asleep:  # the monotonic clock stood still
        later = time.time() + 121
        asleep.setattr(time, "time", lambda: later)
        assert isinstance(allowance.take("2", CALL), Ask)
    clock.now += 1
    assert isinstance(allowance.take("2", CALL), Ask)


def test_a_refusal_is_believed_for_two_seconds(allowance: Allowance, clock: Clock) -> None:
    allowance.refused(allowance.asking(), facts("exhausted"))
    assert isinstance(allowance.take("1", CALL), Stopped)
    assert allowance.refuses_new_runs() is not None
    clock.now += ASK_AGAIN_SECONDS
    assert isinstance(allowance.take("1", CALL), Ask)
    assert allowance.refuses_new_runs() is None


def test_a_refusal_ends_with_its_month(allowance: Allowance) -> None:
    allowance.refused(
        allowance.asking(), facts("exhausted", blocked_until=datetime.now(UTC) - timedelta(microseconds=1))
    )
    assert allowance.refuses_new_runs() is None


def test_a_smaller_call_than_the_one_that_was_too_large_asks_for_itself(allowance: Allowance) -> None:
    granted(allowance, 0)
    allowance.refused(allowance.asking(HOLD), facts("too_large", left_microcents=HOLD - 1))
    assert isinstance(allowance.take("1", CALL), Stopped)
    assert isinstance(allowance.take("1", CALL._replace(input_tokens=1)), Ask)


def test_a_spent_budget_of_mode_dispatch_stops_runs_and_no_calls(allowance: Allowance) -> None:
    granted(allowance, None, no_new_runs=facts("exhausted"))
    assert allowance.refuses_new_runs() is not None
    assert isinstance(allowance.take("1", CALL), Taken)


@pytest.mark.parametrize(("on_unreachable", "goes_on"), [("allow", True), ("block", False)])
def test_when_the_site_does_not_answer_the_setting_decides_without_a_wait(
    clock: Clock, on_unreachable: str, goes_on: bool
) -> None:
    allowance = Allowance("support-bot", on_unreachable=on_unreachable, clock=clock)
    allowance.failed()
    taken = allowance.take("1", CALL)
    assert isinstance(taken, Taken if goes_on else Stopped)
    clock.now += CIRCUIT_SECONDS
    assert isinstance(allowance.take("1", CALL), Ask)


def test_a_site_that_failed_is_asked_again_in_the_background_at_growing_pauses(
    allowance: Allowance, clock: Clock
) -> None:
    for pause in (1, 2, 4, 8, 16, 30, 30):
        assert isinstance(allowance.take("call", CALL), Ask | Taken)  # in use
        allowance.asking()
        allowance.failed()
        clock.now += pause - 0.1
        assert not allowance.wants_renewal()
        assert isinstance(allowance.take("call", CALL), Taken)  # nobody waits
        clock.now += 0.1
        assert allowance.wants_renewal()
    granted(allowance, HOLD)
    assert allowance.take("1", CALL) == Taken(str(LEASE), HOLD)
    allowance.failed()
    clock.now += 1
    assert allowance.wants_renewal()


def test_what_was_spent_stays_spent_while_the_site_does_not_answer(allowance: Allowance, clock: Clock) -> None:
    allowance.refused(allowance.asking(), facts("exhausted", blocked_until=datetime.now(UTC) + timedelta(days=3)))
    clock.now += 60
    allowance.failed()
    assert isinstance(allowance.take("1", CALL), Stopped)


@pytest.mark.parametrize(("unpriced", "expected"), [("allow", Taken), ("refuse", Stopped), ("assume", Taken)])
def test_a_model_without_a_price_goes_by_the_sites_setting(
    allowance: Allowance, unpriced: str, expected: type[object]
) -> None:
    entry = wire_leases.LeasePrice(provider="openai", model="gpt-4o", prices=None, output_bound_tokens=5_000)
    granted(allowance, 10 * HOLD, price_card=[entry], unpriced=unpriced)
    taken = allowance.take("1", CALL)
    assert isinstance(taken, expected)
    if isinstance(taken, Taken):
        assert taken.microcents == (HOLD if unpriced == "assume" else 0)


def test_without_a_maximum_the_bound_of_the_model_holds_for_each_answer(allowance: Allowance) -> None:
    granted(allowance, 10**9)
    taken = allowance.take("1", CALL._replace(max_output_tokens=None, answers=2))
    assert taken == Taken(str(LEASE), 300_000 + 2 * 5_000_000)


def test_a_model_that_is_not_on_the_card_waits_for_its_price_where_it_may(allowance: Allowance) -> None:
    granted(allowance, 10**9)
    other = CALL._replace(model=("openai", "new-model", ""))
    assert allowance.take("1", other, may_wait=True) == Ask(0)
    assert allowance.take("1", other) == Taken(str(LEASE), HOLD)
    assert allowance.wants_renewal()


def test_a_model_whose_price_was_not_asked_is_not_asked_for_at_the_fallbacks(allowance: Allowance) -> None:
    dear = PRICES.model_copy(update={"input": 10**9, "output": 10**9})
    granted(allowance, 2 * HOLD, fallback=dear)
    other = CALL._replace(model=("openai", "new-model", ""))
    # On an event loop, where no price is waited for: neither is it asked for so much, nor refused by what others asked.
    assert allowance.take("1", other) == Ask(0)
    allowance.refused(allowance.asking(), facts("too_large", left_microcents=2 * HOLD))
    assert allowance.take("1", other) == Ask(0)

    entry = wire_leases.LeasePrice(provider="openai", model="new-model", prices=PRICES, output_bound_tokens=5_000)
    granted(allowance, 2 * HOLD, fallback=dear, price_card=[entry])
    assert allowance.take("1", other, may_wait=True) == Taken(str(LEASE), HOLD)


def test_a_model_that_the_site_was_asked_about_and_knows_no_price_of_is_asked_for_at_the_fallbacks(
    allowance: Allowance,
) -> None:
    other = CALL._replace(model=("openai", "new-model", ""))
    allowance.take("1", other)
    granted(allowance, HOLD - 1)
    assert allowance.take("1", other, may_wait=True) == Ask(HOLD)


def test_an_allowance_is_renewed_when_half_of_it_is_spent_or_over(allowance: Allowance, clock: Clock) -> None:
    allowance.take("0", CALL)
    granted(allowance, 4 * HOLD)
    assert not allowance.wants_renewal()
    clock.now += 60
    assert allowance.wants_renewal()
    granted(allowance, 4 * HOLD)
    for call in "123":
        allowance.take(call, CALL)
    assert not allowance.wants_renewal()  # it was renewed a moment ago
    clock.now += LEAST_BETWEEN_RENEWALS_SECONDS
    assert allowance.wants_renewal()


def test_an_allowance_that_nobody_uses_is_not_renewed(allowance: Allowance, clock: Clock) -> None:
    granted(allowance, 4 * HOLD)
    clock.now += KEEP_SECONDS + 1
    assert allowance.is_idle()
    assert not allowance.wants_renewal()


@pytest.mark.parametrize("most", [HOLD, 2 * HOLD], ids=["bounded", "dearer than held"])
def test_no_order_of_events_takes_more_than_was_granted(most: int) -> None:
    """Against a site that keeps its own books, as `budgets.enforcement` does: it must never owe, but by what calls cost
    beyond what they held; and while it owes, no call begins.
    """
    begun = 0
    for seed in range(200):
        dice = random.Random(seed)
        clock = Clock()
        allowance = Allowance("support-bot", on_unreachable="block", clock=clock)
        limit, used, lease = 20 * HOLD, 0, 0
        """`lease`: what the site holds beyond what is used."""
        open_calls: list[str] = []
        pending: list[Any] = []
        for step in range(300):
            act = dice.choice(["take", "take", "end", "ask", "hear", "report"])
            if act == "take":
                call = str(step)
                if isinstance(allowance.take(call, CALL), Taken):
                    open_calls.append(call)
                    begun += 1
                    assert used + allowance.outstanding <= limit
            elif act == "end" and open_calls:
                allowance.settle(open_calls.pop(dice.randrange(len(open_calls))), dice.randint(0, most))
            elif act == "report":
                for call, (cost, _) in list(allowance._unreported.items()):
                    used += cost
                    lease -= cost
                    allowance.confirmed([call])
            elif act == "ask" and not pending:
                pending.append(allowance.asking(least=dice.choice([0, 0, HOLD])))
            elif act == "hear" and pending:
                asking = pending.pop()
                outstanding = min(asking.outstanding, max(0, lease))
                free = limit - used - outstanding
                keep = max(0, min(asking.keep, max(0, lease) - outstanding, free))
                if asking.least > free:
                    lease = outstanding + keep
                    allowance.refused(asking, facts("held"))
                else:
                    amount = max(keep, 0, min(free, max(asking.least, free // 2)))
                    lease = outstanding + amount
                    allowance.granted(asking, answer(amount))
            if most <= HOLD:
                assert used + allowance.outstanding <= limit
            clock.now += dice.choice([0, 0, 3])
    assert begun > 200 * 10


def test_what_a_call_cost_beyond_the_lease_comes_off_the_next_until_the_site_has_its_event(
    allowance: Allowance,
) -> None:
    granted(allowance, HOLD)
    allowance.take("1", CALL)
    allowance.settle("1", 3 * HOLD)
    # The lease is for one hold, and two are owed: the site believes one, and grants what it thinks is free.
    assert allowance.take("2", CALL) == Ask(3 * HOLD)
    granted(allowance, 2 * HOLD)
    assert allowance.take("2", CALL) == Ask(HOLD)
    granted(allowance, 2 * HOLD)
    assert allowance.take("2", CALL) == Taken(str(LEASE), HOLD)
    allowance.settle("2", HOLD)

    allowance.confirmed(["1", "2"])
    granted(allowance, HOLD)
    assert allowance.take("3", CALL) == Taken(str(LEASE), HOLD), "the site counts it all by now"


def test_a_refusal_of_a_call_and_what_is_owed_is_believed_for_a_while(allowance: Allowance, clock: Clock) -> None:
    granted(allowance, HOLD)
    allowance.take("1", CALL)
    allowance.settle("1", 3 * HOLD)
    allowance.refused(allowance.asking(3 * HOLD), facts("too_large", left_microcents=2 * HOLD))
    # The call alone would fit into what the site says is left: asked again at once, it would be refused again at once.
    assert isinstance(allowance.take("2", CALL), Stopped)
    allowance.confirmed(["1"])
    assert allowance.take("2", CALL) == Ask(HOLD)


def test_a_budget_that_is_set_and_spent_meanwhile_ends_what_was_without_bound(allowance: Allowance) -> None:
    granted(allowance, None)
    assert allowance.take("0", CALL) == Taken(None, 0)
    allowance.refused(allowance.asking(), facts("exhausted"))

    assert isinstance(allowance.take("1", CALL), Stopped)


def test_a_refusal_ends_what_was_given_leave_to_under_another_limit(allowance: Allowance, clock: Clock) -> None:
    granted(allowance, 100 * HOLD)
    assert isinstance(allowance.take("1", CALL), Taken)
    allowance.refused(allowance.asking(), facts("exhausted"))

    assert isinstance(allowance.take("2", CALL), Stopped)
    clock.now += ASK_AGAIN_SECONDS
    assert allowance.take("2", CALL) == Ask(HOLD)


def told(spent: int, limit: int) -> wire.BudgetNews:
    return wire.BudgetNews(agent="support-bot", spent_microcents=spent, limit_microcents=limit)


def test_a_receipt_that_tells_of_another_limit_is_a_reason_to_ask_once(allowance: Allowance, clock: Clock) -> None:
    def is_reason(budget: wire.BudgetNews) -> bool:
        allowance.hear_of(budget)
        return allowance.wants_renewal()

    granted(allowance, 100 * HOLD, budget=told(0, 200 * HOLD))
    assert not allowance.wants_renewal()
    assert not is_reason(told(HOLD, 200 * HOLD))
    assert is_reason(told(HOLD, 2 * HOLD))
    # Its key may not read the budget that refuses: what the Receipt told stays news to it, and is asked about once.
    allowance.refused(allowance.asking(), facts("exhausted", limit_microcents=None, spent_microcents=None))
    assert not is_reason(told(HOLD, 2 * HOLD))
    clock.now += ASK_AGAIN_SECONDS
    assert allowance.wants_renewal()

    granted(allowance, None)
    assert is_reason(told(HOLD, 3 * HOLD))


def test_nobody_is_woken_for_an_agent_that_makes_no_calls(allowance: Allowance, clock: Clock) -> None:
    granted(allowance, HOLD)
    assert allowance.seconds_to_renewal() == 60
    clock.now += KEEP_SECONDS + 1
    assert allowance.is_idle()
    allowance.released()
    assert allowance.seconds_to_renewal() == float("inf")


@pytest.mark.parametrize("kind", ["exhausted", "too_large"])
def test_without_time_to_ask_what_was_said_of_a_spent_budget_is_still_true(
    allowance: Allowance, clock: Clock, kind: str
) -> None:
    granted(allowance, 0)
    allowance.refused(allowance.asking(HOLD), facts(kind))
    clock.now += 2 * ASK_AGAIN_SECONDS

    assert allowance.not_now(HOLD).facts.kind == ("exhausted" if kind == "exhausted" else "held")
    clock.now += 60  # nobody asked since: a grant may have come
    assert allowance.not_now(HOLD).facts.kind == "held"
    granted(allowance, 0)
    assert allowance.not_now(HOLD).facts.kind == "held"


def test_a_call_that_takes_long_is_no_idleness(allowance: Allowance, clock: Clock) -> None:
    granted(allowance, 10 * HOLD)
    assert isinstance(allowance.take("1", CALL), Taken)
    clock.now += 4 * KEEP_SECONDS
    assert (allowance.is_idle(), allowance.wants_renewal()) == (False, True)

    allowance.settle("1", HOLD)
    assert (allowance.is_idle(), allowance.wants_renewal()) == (True, False)


@pytest.mark.parametrize(
    "end",
    [
        lambda allowance: granted(allowance, HOLD),
        lambda allowance: allowance.refused(allowance.asking(), facts("exhausted")),
        lambda allowance: allowance.failed(),
        lambda allowance: allowance.released(),
    ],
    ids=["an amount", "a refusal", "a failure", "given back"],
)
def test_a_call_needs_no_thought_until_the_site_says_or_does_something_else(
    allowance: Allowance, end: Callable[[Allowance], None]
) -> None:
    assert isinstance(allowance.take("1", CALL), Ask)
    assert not allowance.is_free(MODEL)  # nobody answered yet
    granted(allowance, None)
    assert allowance.is_free(MODEL)
    end(allowance)
    assert not allowance.is_free(MODEL)


def test_a_call_that_gives_a_reason_to_ask_is_not_free(
    allowance: Allowance, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowance.take("0", CALL)
    granted(allowance, None)
    assert not allowance.is_free(("openai", "gpt-5", ""))  # its price is not known here

    clock.now += 59.9
    assert allowance.is_free(MODEL)
    clock.now += 0.1  # half over: it is renewed
    assert not allowance.is_free(MODEL)

    granted(allowance, None)
    later = time.time() + 3_600
    monkeypatch.setattr(time, "time", lambda: later)  # a laptop slept: only the wall's clock went on
    assert not allowance.is_free(MODEL)
