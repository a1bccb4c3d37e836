"""The thread that asks the site for money: before it is needed, and for whoever waits. One for a process, site and key.

It has a connection of its own, so that a batch that takes long to send delays no renewal. Callers never touch the
network: they leave a wish and wait for the answer, bounded, and only where waiting is allowed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from langchain_plugin.allowance import Allowance, Asking
from langchain_plugin.decisions import Ask, Stopped, Taken
from langchain_plugin.errors import CheckFailed, LeaseRefused, ServerFailed
from langchain_plugin.fork_guard import no_fork
from langchain_plugin.lease_prices import Size

if TYPE_CHECKING:
    from langchain_plugin.config import Config
    from langchain_plugin.news import News
    from langchain_plugin.transport import Transport
    from langchain_plugin.wire import BudgetNews
    from langchain_plugin.wire_leases import RefusalFacts

logger = logging.getLogger("costsite")

WAIT_SECONDS = 1.0
"""The longest a call waits on a thread for an answer of the site."""
WAIT_ON_LOOP_SECONDS = 0.25
"""The same on an event loop, once: for the first call of a process, which found no lease yet."""
WAIT_FOR_AN_ANSWER_ON_LOOP_SECONDS = 0.02
"""On a loop, where the answer is on its way already: less than what a loop may stall."""
BETWEEN_WAITS_ON_LOOP_SECONDS = 1.0
"""Calls that begin together run one after another before the loop does anything else: were each to wait, it would
stand still for all of them."""
ANSWER_SECONDS = 15.0
"""Of one request, in the background: a site under load may take its time, and giving up early would let calls go on
outside of any lease."""
LONGEST_PATIENCE_SECONDS = 2.0
"""Before asking a busy site again."""
LOOK_SECONDS = 5.0


class _Waiter:
    """A call that waits for an answer. It is decided by the thread that hears it: a call that woke up to decide for
    itself could find the next question under way already, again and again.
    """

    __slots__ = ("call_id", "decided", "decision", "size")

    def __init__(self, call_id: str, size: Size) -> None:
        self.call_id = call_id
        self.size = size
        self.decided = threading.Event()
        self.decision: Taken | Stopped | None = None


class LeaseKeeper:
    """The allowances of a process, by agent."""

    def __init__(
        self,
        config: Config,
        client_id: Callable[[], UUID],
        transport: Transport,
        *,
        look: Callable[[], object] = lambda: None,
        news: News | None = None,
    ) -> None:
        self._look = look
        """Called every few seconds, on the thread here."""
        self._news = news
        """Told what answers say of budgets."""
        self._config = config
        self._client_id = client_id
        self._transport = transport
        self.after_fork()

    def after_fork(self) -> None:
        """A child has no lease: its parent's are its parent's."""
        self._allowances: dict[str, Allowance] = {}
        self._wishes: dict[str, int] = {}
        """By agent: what to ask for, where nobody waits."""
        self._waiters: dict[str, list[_Waiter]] = {}
        """By agent: the calls that wait for an answer, the first one first."""
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._waited_on_loop = False
        self._wait_on_loop_again_at = 0.0
        self._stopped = False
        self._transport.after_fork()

    def of(self, agent: str) -> Allowance:
        """The agent's allowance. The first asking has it fetched, without waiting for it."""
        allowance = self._allowances.get(agent)
        if allowance is None:
            with self._wake:
                allowance = self._allowances.setdefault(
                    agent, Allowance(agent, on_unreachable=self._config.on_unreachable)
                )
            self.renew(agent)
        return allowance

    def take(self, agent: str, call_id: str, size: Size) -> Taken | Stopped:
        """Hold a call's worst case, asking the site where it must be asked. Waits as long as it may, and no longer."""
        allowance = self.of(agent)
        is_on_loop = asyncio._get_running_loop() is not None
        taken = allowance.take(call_id, size, may_wait=not is_on_loop)
        if isinstance(taken, Taken):
            if allowance.wants_renewal():
                self.renew(agent)
            return taken
        if isinstance(taken, Stopped) and not taken.is_for_a_while:
            return taken
        if self._stopped:
            return allowance.take_without_asking()
        if is_on_loop:
            return self._take_on_loop(allowance, call_id, size, taken)
        return self._take_waiting(allowance, call_id, size, taken)

    def hear_first(self, agent: str) -> None:
        """Wait for the site's first word of an agent, as a first call would: at most a second, once, on no loop."""
        allowance = self.of(agent)
        if allowance.was_heard_of or self._stopped or asyncio._get_running_loop() is not None:
            return
        with allowance.lock:
            if not allowance.lock.wait_for(lambda: allowance.was_heard_of, WAIT_SECONDS):
                allowance.waited_in_vain()

    def renew(self, agent: str) -> None:
        """Have the agent's allowance renewed, without waiting for it."""
        self._ask_soon(agent, 0)

    def unreported(self, agent: str) -> int:
        """What calls cost that ended and that the site has not confirmed, where a lease pays for them; microcents."""
        allowance = self._allowances.get(agent)
        return 0 if allowance is None else allowance.unreported

    def confirmed(self, call_ids: Iterable[str]) -> None:
        ids = list(call_ids)
        for allowance in tuple(self._allowances.values()):
            allowance.confirmed(ids)

    def stop(self) -> None:
        """Have the thread end when it has done what it does now. Nothing is asked of the site any more: what a lease
        does not pay for is decided as without a site.
        """
        with self._wake:
            self._stopped = True
            self._wake.notify()

    def release_all(self, timeout: float) -> None:
        """At exit: give back what is set aside, for others to spend."""
        self.stop()
        deadline = time.monotonic() + timeout
        if self._thread is not None:
            self._thread.join(timeout / 2)  # what it is asking for now is given back too
        for allowance in tuple(self._allowances.values()):
            left = deadline - time.monotonic()
            if allowance.lease_id is not None and left > 0:
                self._release(allowance, left)

    # ── on the caller's thread ───────────────────────────────────────────────────────────────────────────────────

    def _take_waiting(self, allowance: Allowance, call_id: str, size: Size, first: Ask | Stopped) -> Taken | Stopped:
        deadline = time.monotonic() + self._config.held_wait_seconds
        answer: Taken | Stopped | Ask = first
        while True:
            if isinstance(answer, Ask):
                heard = self._hear(allowance, call_id, size, WAIT_SECONDS)
                if heard is None and not allowance.is_known_to_be_bounded:
                    allowance.waited_in_vain()
                    return allowance.take_without_asking()
                if heard is None and not answer.least and time.monotonic() < deadline:
                    answer = allowance.take(call_id, size)  # it was for a price alone: by the fallback, then
                    continue
                # A site that is slow is not one that is gone: a budget that stops is waited for like held money.
                answer = allowance.held_here(answer.least) if heard is None else heard
            if isinstance(answer, Taken) or not answer.is_for_a_while:
                return answer
            left = deadline - time.monotonic()
            if left <= 0:
                return answer
            # A call of this process that ends frees its hold at once; others' are asked about again in a while.
            with allowance.lock:
                allowance.lock.wait(min(left, answer.facts.retry_after_seconds or WAIT_SECONDS))
            answer = allowance.take(call_id, size)

    def _take_on_loop(self, allowance: Allowance, call_id: str, size: Size, first: Ask | Stopped) -> Taken | Stopped:
        if isinstance(first, Stopped):
            return first
        timeout = 0.0
        if not allowance.answers and not self._waited_on_loop:
            self._waited_on_loop = True
            timeout = WAIT_ON_LOOP_SECONDS
        elif allowance.is_being_answered and time.monotonic() >= self._wait_on_loop_again_at:
            timeout = WAIT_FOR_AN_ANSWER_ON_LOOP_SECONDS
        if timeout:
            heard = self._hear(allowance, call_id, size, timeout)
            self._wait_on_loop_again_at = time.monotonic() + BETWEEN_WAITS_ON_LOOP_SECONDS
            if heard is not None:
                return heard
        else:
            self._ask_soon(allowance.agent, first.least)
        return allowance.not_now(first.least) if allowance.answers else allowance.take_without_asking()

    def _hear(self, allowance: Allowance, call_id: str, size: Size, timeout: float) -> Taken | Stopped | None:
        """What the site's next answer makes of a call; None when none came in time."""
        waiter = _Waiter(call_id, size)
        with self._wake:
            self._waiters.setdefault(allowance.agent, []).append(waiter)
            self._wake.notify()
        self._start()
        waiter.decided.wait(timeout)
        with self._wake:
            if waiter.decision is None:
                self._waiters[allowance.agent].remove(waiter)
            return waiter.decision

    def _ask_soon(self, agent: str, least: int) -> None:
        with self._wake:
            self._wishes[agent] = max(least, self._wishes.get(agent, 0))
            self._wake.notify()
        self._start()

    def _start(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        with self._wake:
            if (self._thread is not None and self._thread.is_alive()) or self._stopped:
                return
            thread = threading.Thread(target=self._run, name="costsite-leases", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return  # the interpreter ends
            self._thread = thread

    # ── the thread ───────────────────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        while not self._stopped:
            try:
                self._look()
                for agent, least in self._next_wishes().items():
                    if self._stopped:
                        return
                    self._ask(self._allowances[agent], least)
                for allowance in tuple(self._allowances.values()):
                    if self._stopped:  # what was given back would be asked for again
                        return
                    if self._news is not None:
                        allowance.hear_of(self._news.budget(allowance.agent))
                    if allowance.is_idle():
                        if allowance.lease_id is not None:
                            self._release(allowance, ANSWER_SECONDS)
                    elif allowance.wants_renewal():
                        self._ask(allowance, 0)
            except Exception as error:  # ours: the thread outlives it
                logger.warning("Costsite's leases had an error (%s); it goes on trying.", type(error).__name__)
                time.sleep(LOOK_SECONDS)

    def _next_wishes(self) -> dict[str, int]:
        """By agent: what to ask for now; nothing, after a while in which nobody wished for anything."""
        with self._wake:
            if not self._stopped and not self._wishes and not any(self._waiters.values()):
                self._wake.wait(self._pause())
            wishes, self._wishes = self._wishes, {}
            for agent, waiters in self._waiters.items():
                if waiters:  # the one that waits longest; what the answer has beyond it goes to the others
                    wishes[agent] = max(wishes.get(agent, 0), self._allowances[agent].least_for(waiters[0].size))
            return wishes

    def _serve(self, allowance: Allowance) -> None:
        """Decide for those who wait, in their order, by what the site has just answered."""
        with self._wake:
            waiters = self._waiters.get(allowance.agent, [])
            for waiter in tuple(waiters):
                decision = allowance.take(waiter.call_id, waiter.size)
                if not isinstance(decision, Ask):
                    waiter.decision = decision
                    waiters.remove(waiter)
                    waiter.decided.set()

    def _pause(self) -> float:
        waits = [allowance.seconds_to_renewal() for allowance in tuple(self._allowances.values())]
        return max(0.05, min([*waits, LOOK_SECONDS]))

    def _ask(self, allowance: Allowance, least: int) -> None:
        with no_fork():
            from langchain_plugin import wire_leases

        with self._wake:
            if self._wishes.get(allowance.agent, 0) <= least:
                self._wishes.pop(allowance.agent, None)  # what was wished for meanwhile, this asks for too
        asking = allowance.asking(least)
        try:
            content = self._transport.lease(self._body(allowance.agent, asking), timeout=ANSWER_SECONDS)
            answer = wire_leases.LeaseAnswer.model_validate_json(content)
        except LeaseRefused as refusal:
            budget = budget_in(allowance.agent, refusal.facts)
            if self._news is not None and budget is not None:
                self._news.tell_budget(allowance.agent, budget)
            allowance.refused(asking, refusal.facts, budget)
        except (CheckFailed, ValueError) as error:
            logger.debug("Costsite could not ask for a lease: %s", error)
            wait = error.retry_after_seconds if isinstance(error, ServerFailed) else None
            if wait is not None and allowance.may_try_again():
                time.sleep(min(wait, LONGEST_PATIENCE_SECONDS))
                self.renew(allowance.agent)
                return
            allowance.failed()  # why, the sender says when it has something to send
        else:
            if self._news is not None:
                self._news.tell_budget(allowance.agent, answer.budget)
                self._news.tell_lines(answer.lines_passed)
                if answer.agent_settings is not None:
                    self._news.tell_settings(answer.agent_settings)
            allowance.granted(asking, answer)
        self._serve(allowance)
        if self._news is not None:
            self._news.keep()

    def _body(self, agent: str, asking: Asking) -> bytes:
        body: dict[str, Any] = {
            "agent": agent,
            "client_id": str(self._client_id()),
            "least_microcents": asking.least,
            "outstanding_microcents": asking.outstanding,
            "keep_microcents": asking.keep,
            "sent_at": time.time(),
            "models": [
                {"provider": provider, "model": model, "service_tier": tier} for provider, model, tier in asking.models
            ],
        }
        return json.dumps(body).encode()

    def _release(self, allowance: Allowance, timeout: float) -> None:
        lease_id, outstanding = allowance.lease_id, allowance.outstanding
        allowance.released()
        body = json.dumps({"outstanding_microcents": outstanding}).encode()
        with suppress(CheckFailed):  # it ends by itself
            self._transport.release(str(lease_id), body, timeout)


def budget_in(agent: str, facts: RefusalFacts) -> BudgetNews | None:
    """How the budget stands that refuses; None where the key may not read its figures."""
    from langchain_plugin.wire import BudgetNews

    if facts.limit_microcents is None or facts.spent_microcents is None:
        return None
    return BudgetNews(agent=agent, spent_microcents=facts.spent_microcents, limit_microcents=facts.limit_microcents)
