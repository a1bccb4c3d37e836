"""What an agent may spend in this process without asking: the client's side of a lease.

Nothing here waits or talks to anyone: a decision is arithmetic under a lock. `leasing.py` asks the site and tells the
answers. Money in microcents; times are of the monotonic clock in seconds, unless they say otherwise.

An answer's amount counts beyond what the request said was outstanding. So each request is remembered by what had been
taken when it was made, and calls that began meanwhile come off the answer. What calls cost beyond the lease the site
does not believe before it has their events, and grants once more: that comes off here, and is asked for on top.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_plugin.decisions import Ask, Stopped, Taken, stopped_here
from langchain_plugin.lease_prices import LeasePrices, Model, Size

if TYPE_CHECKING:
    from langchain_plugin import wire
    from langchain_plugin.wire_leases import LeaseAnswer, RefusalFacts

ASK_AGAIN_SECONDS = 2.0
"""A refusal is believed for so long, then the next attempt asks again: a grant frees a blocked process in seconds."""
FRESH_SECONDS = 5 * ASK_AGAIN_SECONDS
CIRCUIT_SECONDS = 30.0
"""After a failure nobody waits for the site for so long, unless it answers before."""
FIRST_RETRY_SECONDS = 1.0
"""After a failure the site is asked again, in the background and at growing pauses: what is spent meanwhile is spent
outside of any lease."""
SHORTLY_SECONDS = 0.25
MAX_BUSY_ANSWERS = 5
LEAST_BETWEEN_RENEWALS_SECONDS = 0.5
"""Of those nobody waits for: towards the end of a budget every amount is soon half spent."""
CALLS_ARRIVE_SECONDS = 900.0
"""An event that is not with the site by then was dropped, or waits for a site that is down: it counts when it comes."""
KEEP_SECONDS = 300.0
"""An allowance is renewed while calls were seen within this time."""
QUIET_SECONDS = 10.0
"""Without a call for so long, a process does not need at once what it has set aside."""
MAX_MODELS = 50


@dataclass(frozen=True)
class Asking:
    """A request to the site, as it stood when it was made."""

    least: int
    outstanding: int
    keep: int
    """What is left, and may be spent while the answer is on its way."""
    owed: int
    """Of `outstanding`, what goes beyond the lease: the answer does not count it."""
    models: tuple[Model, ...]
    taken: int
    asked_at: float
    asked_at_wall: float


@dataclass(frozen=True)
class Refusal:
    """Why a call may not be made."""

    facts: RefusalFacts
    at: float


class Allowance:
    """Of one agent, for every thread of the process."""

    def __init__(self, agent: str, *, on_unreachable: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.agent = agent
        self._mutex = threading.RLock()
        """Of `lock`, for what happens at every call: entering it by the condition is a call in Python."""
        self.lock = threading.Condition(self._mutex)
        """Notified whenever the site answered, or could not be asked."""
        self._on_unreachable = on_unreachable
        self._clock = clock
        self._lease_id: str | None = None
        self._bounded = False
        """The lease has an amount: a budget stops this agent inside a run."""
        self._valid_until = 0.0
        self._valid_until_wall = 0.0
        self._renew_at = 0.0
        self._authorised = 0
        """The running total of `_taken` that may be reached."""
        self._granted_amount = 0
        self._taken = 0
        """All that calls cost that have ended, and what open ones hold, since the process began."""
        self._holds: dict[str, Taken] = {}
        """Of open calls, by call id."""
        self._unreported: dict[str, tuple[int, float]] = {}
        """What ended calls cost whose events the site has not confirmed, and when they ended; by call id."""
        self.prices = LeasePrices()
        """As of the last answer."""
        self._models: dict[Model, None] = {}
        """Those that were called, the newest last."""
        self._answered_models: frozenset[Model] = frozenset()
        """Those that the last answer was asked about: what it says nothing of has no price there."""
        self._refusal: Refusal | None = None
        self._no_new_runs: Refusal | None = None
        self._open_circuit_until = 0.0
        self._has_failed = False
        self._failures = 0
        """One after another."""
        self._retry_at = 0.0
        self._busy_answers = 0
        self._heard_at = 0.0
        self._is_asked = False
        """An answer is on its way."""
        self._asking_for_all = False
        """What was left is on offer to the site: an answer is a moment away."""
        self._seen_at = clock()
        self.answers = 0
        """How often the site answered: who waits for one sees it rise."""
        self.budget: wire.BudgetNews | None = None
        """The tightest budget, as of the last answer."""
        self._known_limit: int | None = None
        """Its limit, or the one that a Receipt told of last."""

    # ── deciding ─────────────────────────────────────────────────────────────────────────────────────────────────

    def refuses_new_runs(self) -> Stopped | None:
        """What is known without asking: a budget that is spent. None: a run may start."""
        with self._mutex:
            self._seen_at = self._clock()
            for refusal in (self._no_new_runs, self._refusal):
                if refusal is not None and refusal.facts.kind == "exhausted" and self._holds_still(refusal):
                    return Stopped(refusal.facts)
            return None

    def is_free(self, model: Model) -> bool:
        """No budget stops this agent inside a run, and nothing needs asking yet: the answer of most agents' calls.

        Without the lock, which an answer may hold just now: a call a moment earlier had gone by the old one too.
        """
        now = self._clock()
        if self._bounded or self._has_failed or now >= self._renew_at or not self._is_valid(now):
            return False
        if model not in self._answered_models:
            return False
        self._seen_at = now
        return True

    def take(self, call_id: str, size: Size, *, may_wait: bool = False) -> Taken | Stopped | Ask:
        """Hold a call's worst case, as far as that can be decided here. `may_wait`: for the price of a new model."""
        with self._mutex:
            now = self._seen_at = self._clock()
            self._note_model(size.model)
            known = self._is_valid(now)
            if known and not self._bounded:
                return self._hold(call_id, None, 0)
            if known and may_wait and not self._knows_price_of(size.model):
                return Ask(0)  # its price is a moment away, and the fallback may be many times as dear
            hold = self.prices.worst_case(size)
            if hold is None:
                return self._stopped("unpriced")
            if known and self._taken + hold <= self._authorised:
                return self._hold(call_id, self._lease_id, hold)
            least = self.least_for(size)
            refusal = self._refusal
            if refusal is not None and self._holds_still(refusal) and _is_in_the_way(refusal.facts, least):
                return Stopped(refusal.facts)
            if now < self._open_circuit_until:
                return self._without_the_site()
            return Ask(least)

    def least_for(self, size: Size) -> int:
        """What to ask the site for where a call does not fit: what it may cost, on top of what is owed; 0 to hear its
        price first.

        A fallback's price is to hold by, not to ask by: the site would refuse a call that does fit at its own.
        """
        with self._mutex:
            return (self.prices.worst_case(size) or 0) + self._owed if self._knows_price_of(size.model) else 0

    def take_without_asking(self) -> Taken | Stopped:
        """What becomes of a call when there was no time to hear the site, or nobody to hear."""
        with self.lock:
            return self._without_the_site()

    def _hold(self, call_id: str, lease_id: str | None, microcents: int) -> Taken:
        taken = Taken(lease_id, microcents)
        if lease_id is not None:
            self._holds[call_id] = taken
            self._taken += microcents
        return taken

    def _without_the_site(self) -> Taken | Stopped:
        if (spent := self._spent) is not None:
            return spent
        if self._on_unreachable == "block":
            wait = max(0.0, self._retry_at - self._clock())
            return self._stopped("unreachable", retry_after_seconds=wait)
        return Taken(None, 0)

    # ── a call's end ─────────────────────────────────────────────────────────────────────────────────────────────

    def settle(self, call_id: str, microcents: int) -> None:
        """A call ended and cost so much: that takes the place of its hold."""
        with self._mutex:
            taken = self._holds.pop(call_id, None)
            if taken is None:
                return
            self._taken += microcents - taken.microcents
            self._unreported[call_id] = microcents, self._clock()
            self.lock.notify_all()  # what is free again may be what somebody waits for

    def give_back(self, call_id: str) -> None:
        """A call was not made after all."""
        with self.lock:
            taken = self._holds.pop(call_id, None)
            if taken is not None:
                self._taken -= taken.microcents
                self.lock.notify_all()

    def confirmed(self, call_ids: Iterable[str]) -> None:
        """The site has these calls: it counts them itself from now on."""
        with self.lock:
            for call_id in call_ids:
                self._unreported.pop(call_id, None)

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────

    def hear_of(self, budget: wire.BudgetNews | None) -> None:
        """How the tightest budget stands, as a Receipt has it. Under another limit than was known, what was given leave
        for may be too much: it is asked about at once, and once.
        """
        with self._mutex:
            if budget is not None and budget.limit_microcents != self._known_limit:
                self._known_limit = budget.limit_microcents
                self._renew_at = min(self._renew_at, self._clock())

    def wants_renewal(self) -> bool:
        """It is half spent or half over, and in use."""
        with self._mutex:
            now = self._clock()
            if self._is_asked or now < self._retry_at or self._is_quiet(now):
                return False
            if not self._is_valid(now):
                return self._refusal is None or self._refusal.at + ASK_AGAIN_SECONDS <= now
            half_spent = (
                self._bounded
                and self._authorised - self._taken < self._granted_amount // 2
                and now >= self._heard_at + LEAST_BETWEEN_RENEWALS_SECONDS
            )
            return now >= self._renew_at or half_spent or not self._answered_models.issuperset(self._models)

    def is_idle(self) -> bool:
        """No call was seen for long: what it has set aside is of more use to others."""
        with self.lock:
            return self._is_quiet(self._clock())

    def _is_quiet(self, now: float) -> bool:
        """A call that is open holds money, however long it takes: what it holds is to be held for it."""
        return not self._holds and now - self._seen_at > KEEP_SECONDS

    def seconds_to_renewal(self) -> float:
        """Infinite while nobody calls."""
        with self.lock:
            now = self._clock()
            if self._is_quiet(now):
                return math.inf
            return max(0.0, (self._retry_at if self._has_failed else self._renew_at) - now)

    def asking(self, least: int = 0) -> Asking:
        """What to ask the site for now.

        Who asks for a call that does not fit gives back what is left: it is too little here, and may be enough for
        another process. Until the answer comes nothing is taken of it. In the background it is kept, and spent
        meanwhile, unless nobody has spent any for a while: then the site may give it to others.
        """
        with self.lock:
            now = self._clock()
            if least or now - self._seen_at > QUIET_SECONDS:
                self._authorised = min(self._authorised, self._taken)
                self._asking_for_all = True
            keep = max(0, self._authorised - self._taken) if self._bounded and self._is_valid(now) else 0
            models = tuple(self._models)
            self._is_asked = True
            return Asking(least, self.outstanding, keep, self._owed, models, self._taken, now, time.time())

    @property
    def _owed(self) -> int:
        """What calls took beyond what was authorised, as far as the site does not know of it: it counts the rest."""
        beyond = self._taken - self._authorised
        return min(beyond, self.outstanding) if beyond > 0 else 0

    @property
    def outstanding(self) -> int:
        """What open calls hold, and what ended ones cost that the site does not know of."""
        with self.lock:
            return sum(taken.microcents for taken in self._holds.values()) + self.unreported

    @property
    def unreported(self) -> int:
        """What ended calls cost that the site does not know of, and soon will."""
        with self.lock:
            long_ago = self._clock() - CALLS_ARRIVE_SECONDS
            for call_id in [call_id for call_id, (_, at) in self._unreported.items() if at < long_ago]:
                del self._unreported[call_id]
            return sum(cost for cost, _ in self._unreported.values())

    @property
    def is_known_to_be_bounded(self) -> bool:
        """The site has said that a budget stops this agent, and answers were had since it last could not be asked."""
        with self.lock:
            return self._bounded and not self._has_failed

    @property
    def was_heard_of(self) -> bool:
        """The site answered once, or could not be asked, or was waited for in vain."""
        return bool(self.answers) or self._has_failed or self._clock() < self._open_circuit_until

    def may_try_again(self) -> bool:
        """A busy site is asked again before it counts as one that does not answer; False when that was done enough."""
        with self.lock:
            self._busy_answers += 1
            self._is_asked = self._asking_for_all = False
            return self._busy_answers <= MAX_BUSY_ANSWERS

    @property
    def is_being_answered(self) -> bool:
        return self._asking_for_all

    @property
    def lease_id(self) -> str | None:
        return self._lease_id

    def granted(self, asking: Asking, answer: LeaseAnswer) -> None:
        """The site answered with leave to go on."""
        with self.lock:
            self._answered()
            if not self._is_less_than_was_refused(answer.available_microcents):
                self._refusal = None
            self._no_new_runs = Refusal(answer.no_new_runs, self._clock()) if answer.no_new_runs is not None else None
            self._lease_id = str(answer.lease_id) if answer.lease_id is not None else None
            self._bounded = answer.available_microcents is not None
            self._granted_amount = answer.available_microcents or 0
            self._authorised = asking.taken - asking.owed + self._granted_amount
            self._valid_until = asking.asked_at + answer.valid_for_seconds
            self._valid_until_wall = asking.asked_at_wall + answer.valid_for_seconds
            self._renew_at = asking.asked_at + answer.valid_for_seconds / 2
            self.budget = answer.budget
            self._note_limit(answer.budget)
            self._answered_models = frozenset(asking.models)
            self.prices = LeasePrices(answer)
            self._heard()

    def refused(self, asking: Asking, facts: RefusalFacts, budget: wire.BudgetNews | None = None) -> None:
        """The site answered with a refusal. What the lease had left was given back, or is not there any more: a budget
        may have been set or lowered since. `budget`: how the one stands that refuses, where the key may read it.
        """
        with self.lock:
            self._answered()
            self._refusal = Refusal(facts, self._clock())
            self.budget = budget or self.budget
            self._note_limit(budget)
            self._authorised = min(self._authorised, asking.taken)
            if not self._bounded:
                self._bounded, self._lease_id, self._authorised = True, None, self._taken
            self._renew_at = self._clock() + ASK_AGAIN_SECONDS
            self._heard()

    def _note_limit(self, budget: wire.BudgetNews | None) -> None:
        if budget is not None:
            self._known_limit = budget.limit_microcents

    def waited_in_vain(self) -> None:
        """A site that hangs is waited for once, not by every call: until it answers it is one that does not."""
        with self.lock:
            self._open_circuit_until = max(self._open_circuit_until, self._clock() + CIRCUIT_SECONDS)

    def failed(self) -> None:
        """The site could not be asked: nobody waits for it for a while."""
        with self.lock:
            self._has_failed = True
            now = self._clock()
            self._open_circuit_until = now + CIRCUIT_SECONDS
            self._retry_at = now + min(CIRCUIT_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(self._failures, 10))
            self._failures += 1
            self._heard()

    def released(self) -> None:
        """What was set aside was given back; the next call asks again."""
        with self.lock:
            self._lease_id = None
            self._valid_until = 0.0
            self._authorised = self._taken

    def _answered(self) -> None:
        self._has_failed = False
        self._failures = 0
        self._open_circuit_until = self._retry_at = 0.0

    def _heard(self) -> None:
        self._heard_at = self._clock()
        self._busy_answers = 0
        self._is_asked = self._asking_for_all = False
        self.answers += 1
        self.lock.notify_all()

    def _is_less_than_was_refused(self, available: int | None) -> bool:
        """A renewal that came meanwhile and brought less leaves a refusal as it was: asking again helps nobody yet."""
        refusal = self._refusal
        if refusal is None or available is None or refusal.facts.kind == "exhausted":
            return False
        return available < refusal.facts.asked_microcents

    # ── what holds ───────────────────────────────────────────────────────────────────────────────────────────────

    def _is_valid(self, now: float) -> bool:
        # By both clocks: the monotonic one stands still while a laptop sleeps, the wall's can be set back.
        return now < self._valid_until and time.time() < self._valid_until_wall

    def _holds_still(self, refusal: Refusal) -> bool:
        return self._clock() < refusal.at + ASK_AGAIN_SECONDS and self._is_this_month(refusal.facts)

    @staticmethod
    def _is_this_month(facts: RefusalFacts) -> bool:
        return facts.blocked_until is None or time.time() < facts.blocked_until.timestamp()

    def _knows_price_of(self, model: Model) -> bool:
        """The last answer says what it costs, or, where it was asked, that nobody knows."""
        return model in self.prices or model in self._answered_models

    def _note_model(self, model: Model) -> None:
        if model not in self._models:
            if len(self._models) >= MAX_MODELS:
                self._models.pop(next(iter(self._models)))
            self._models[model] = None

    def held_here(self, asked: int) -> Stopped:
        """What is left in this process does not do for a call, and there is no time to ask: it may in a moment."""
        return self._stopped("held", asked, retry_after_seconds=SHORTLY_SECONDS)

    def not_now(self, asked: int) -> Stopped:
        """The same where nobody waits: the budget is spent, if the site said so a moment ago. While calls are seen it
        is asked again and again; what it said long ago, when it was last asked, a grant may have changed since.
        """
        last = self._refusal
        is_fresh = last is not None and self._clock() < last.at + FRESH_SECONDS
        return (self._spent if is_fresh else None) or self.held_here(asked)

    @property
    def _spent(self) -> Stopped | None:
        """The last refusal, where it said that a budget is spent, and nobody has said since that more was granted."""
        last = self._refusal
        if last is None or last.facts.kind != "exhausted" or not self._is_this_month(last.facts):
            return None
        return Stopped(last.facts)

    def _stopped(self, kind: str, asked: int = 0, *, retry_after_seconds: float | None = None) -> Stopped:
        """A refusal that is made here, with the figures of the last answer."""
        budget = self.budget
        limit, spent = (budget.limit_microcents, budget.spent_microcents) if budget is not None else (0, 0)
        return stopped_here(
            kind, self.agent, limit=limit, spent=spent, asked=asked, retry_after_seconds=retry_after_seconds
        )


def _is_in_the_way(facts: RefusalFacts, hold: int) -> bool:
    """A smaller call than the one that was too large may go through: it asks for itself."""
    return facts.kind != "too_large" or hold > facts.left_microcents
