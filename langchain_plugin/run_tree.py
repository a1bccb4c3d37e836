"""Which model call belongs to which run: LangChain's tree of ids, while they are open.

One tree serves every handler that reports to the same site, whatever its key and folder, so that two handlers on one
call count it once: the first to see an id owns it. LangChain's ids are keys here and nothing more; a caller may use one
twice, so runs and calls get ids of their own (UUIDv7: in order of time, which keeps the ledger's index small).
"""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

from langchain_core.runnables.config import var_child_runnable_config

from langchain_plugin.decisions import Taken
from langchain_plugin.request import Request

MAX_OPEN_IDS = 50_000
"""What started and, by some bug elsewhere, never ends must not grow for ever. Beyond so many the oldest chains are
forgotten, and the oldest calls are reported as cancelled: their prompts are let go of, and an end that still comes is
known for as many again.
"""


# Seeded from the system, apart from the `random` a user may seed; not `os.urandom` for each id, because a system call
# gives the interpreter's lock away, and the caller would wait for whoever takes it.
_random = random.Random()  # noqa: S311 - ids must be unique, not secret
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def new_id() -> str:
    """A UUIDv7: in order of time, then 74 random bits."""
    bits = _random.getrandbits(74)
    digits = f"{time.time_ns() // 1_000_000 << 80 | 7 << 76 | bits >> 62 << 64 | 2 << 62 | bits & _LOW_62:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


_LOW_62 = (1 << 62) - 1


def key_of(langchain_id: UUID) -> int | UUID:
    """What a table has an id under: a number, since hashing a UUID is a call in Python. What is no UUID stays."""
    return getattr(langchain_id, "int", langchain_id)


class OpenRun:
    """A run from its root's start to its end."""

    __slots__ = (
        "agent",
        "announced",
        "call_numbers",
        "ended",
        "is_bare_call",
        "root_id",
        "run_id",
        "started_at",
        "taken_microcents",
        "totals",
        "watchers",
    )

    def __init__(self, root_id: UUID, agent: str, watcher: Any, *, is_bare_call: bool = False) -> None:
        self.root_id = root_id
        self.run_id = new_id()
        self.agent = agent
        self.started_at = time.time()
        self.is_bare_call = is_bare_call
        self.announced = False
        self.ended = False
        self.call_numbers = itertools.count() if not is_bare_call else None
        self.totals: Any = None
        self.taken_microcents = 0
        """What its calls cost and hold, where the run has a limit of its own."""
        self.watchers: list[Any] = [watcher]
        """The handlers that saw it: each shows it as its last run."""

    def watch(self, handler: Any) -> None:
        if handler not in self.watchers:
            self.watchers.append(handler)


class OpenCall:
    """A model call from its start to its end."""

    __slots__ = (
        "call_id",
        "first_token_monotonic",
        "forget_task",
        "index",
        "langchain_run_id",
        "lease_id",
        "messages",
        "owner",
        "reported",
        "request",
        "run",
        "run_hold_microcents",
        "shadowed",
        "started_at",
        "started_monotonic",
        "streamed_characters",
        "taken",
    )

    def __init__(self, langchain_run_id: UUID, run: OpenRun, owner: Any, request: Request, messages: Any) -> None:
        self.call_id = run.run_id if run.is_bare_call else new_id()
        self.langchain_run_id = langchain_run_id
        self.run = run
        self.owner = owner
        self.request = request
        self.messages = messages
        self.index = next(run.call_numbers) if run.call_numbers is not None else 0
        self.started_at = time.time()
        self.started_monotonic = time.monotonic()
        self.first_token_monotonic: float | None = None
        self.streamed_characters = 0
        self.reported = False
        """Already reported as cancelled; an end that still comes replaces that."""
        self.shadowed: OpenCall | None = None
        """An open call under the same LangChain id, where a caller used one twice at once."""
        self.forget_task: Callable[[], object] | None = None
        self.lease_id: str | None = None
        """Whose money it spends."""
        self.taken: Taken | None = None
        """What it holds of the agent's lease; None: nothing, or no longer."""
        self.run_hold_microcents = 0

    def message_count(self) -> int:
        """Messages of the prompt. LangChain hands chat models a list of lists, text models a list of texts."""
        messages = self.messages
        if not messages:
            return 0
        return len(messages[0]) if isinstance(messages[0], list) else len(messages)

    def streamed(self, characters: int) -> None:
        if self.first_token_monotonic is None:
            self.first_token_monotonic = time.monotonic()
        self.streamed_characters += characters


class RunTree:
    """The open ids of one process. Every method is a few dict operations, each atomic under the GIL."""

    def __init__(self) -> None:
        self.runs: dict[UUID, OpenRun] = {}
        """By the id of every open chain, tool and retriever: the run it is part of."""
        self.calls: dict[int | UUID, OpenCall] = {}
        """By `key_of` the ids, in the order they started."""
        self.given_up: dict[int | UUID, OpenCall] = {}
        """Likewise: those that were reported as cancelled, and are not looked after any more; one may still end."""
        self.last_of_task: dict[Any, OpenCall] = {}
        """By asyncio task: the open call that began last in it."""
        if hasattr(os, "register_at_fork"):
            # What is open at a fork is the parent's to end; the child's calls still join the run they are part of.
            os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        self.calls.clear()
        self.given_up.clear()
        self.last_of_task.clear()

    def enter(
        self, langchain_id: UUID, parent_id: UUID | None, agent: Callable[[], str], handler: Any
    ) -> OpenRun | None:
        """A chain, tool or retriever starts, as part of its parent's run; the run where this begins one."""
        run = self.runs.get(langchain_id)
        if run is not None:
            run.watch(handler)
            return None
        parent = self.run_of(parent_id)
        run = self.runs[langchain_id] = parent if parent is not None else OpenRun(langchain_id, agent(), handler)
        if len(self.runs) > MAX_OPEN_IDS:
            self._forget_oldest_runs()
        return run if parent is None else None

    def leave(self, langchain_id: UUID) -> OpenRun | None:
        """A chain, tool or retriever ends; the run, when that was its root and nobody else ended it."""
        run = self.runs.pop(langchain_id, None)
        if run is None or run.root_id != langchain_id or run.ended:
            return None
        run.ended = True
        return run

    def open_call(
        self, langchain_id: UUID, run: OpenRun | None, agent: str, handler: Any, request: Request, messages: Any
    ) -> OpenCall | None:
        """A model call starts, as its own run of `agent` when it is part of none; None when another handler owns it."""
        key = key_of(langchain_id)
        calls = self.calls
        before = calls.get(key)
        if before is not None and before.owner is not handler:
            before.run.watch(handler)
            return None
        if run is None:
            run = OpenRun(langchain_id, agent, handler, is_bare_call=True)
        call = OpenCall(langchain_id, run, handler, request, messages)
        if before is not None:
            call.shadowed = before
        calls[key] = call
        if len(calls) > MAX_OPEN_IDS:
            self._crowd_out_oldest()
        return call

    def run_of(self, parent_id: UUID | None) -> OpenRun | None:
        """The run of a parent. Where LangChain names none (`with_fallbacks` hands its runnables the config it was
        given, not its child's), the run in whose context this happens.
        """
        if parent_id is None:
            config = var_child_runnable_config.get()
            parent_id = getattr(config.get("callbacks"), "parent_run_id", None) if config else None
            if parent_id is None:
                return None
        return self.runs.get(parent_id)

    def close_call(self, langchain_id: UUID, handler: Any) -> OpenCall | None:
        """A model call ends; None when `handler` does not own it or its end was already seen."""
        key = key_of(langchain_id)
        calls = self.calls
        call = calls.get(key)
        if call is None:
            calls = self.given_up
            call = calls.get(key)
        if call is None or call.owner is not handler:
            return None
        if call.shadowed is None:
            calls.pop(key, None)
        else:
            calls[key] = call.shadowed
        return call

    def is_open(self, call: OpenCall) -> bool:
        top = self.calls.get(key_of(call.langchain_run_id))
        while top is not None and top is not call:
            top = top.shadowed
        return top is call and not call.reported

    def open_calls_of(self, run: OpenRun) -> list[OpenCall]:
        return [call for call in tuple(self.calls.values()) if call.run is run and not call.reported]

    def calls_started_before(self, monotonic: float) -> list[OpenCall]:
        """Calls still open, and those reported as cancelled that may yet end."""
        return [call for call in tuple(self.calls.values()) if call.started_monotonic < monotonic]

    def began_in_task(self, call: OpenCall, task: Any, parent_id: UUID | None) -> OpenCall | None:
        """Note that `call` begins in an asyncio task; the call before it in the same task, when that must be over.

        A task does one thing at a time. A call that began earlier in it, is not a parent of the new one, and has not
        streamed a token (a stream may pause between two) can only have been cancelled, as by a time-out.
        """
        before = self.last_of_task.get(task)
        self.last_of_task[task] = call
        if (
            before is None
            or before.first_token_monotonic is not None
            or before.langchain_run_id == parent_id
            or not self.is_open(before)
        ):
            return None
        return before

    def left_task(self, call: OpenCall, task: Any) -> None:
        if self.last_of_task.get(task) is call:
            del self.last_of_task[task]

    def give_up(self, call: OpenCall) -> None:
        """Look after a call no longer; whoever calls this reports it as cancelled, or has."""
        key = key_of(call.langchain_run_id)
        if self.calls.pop(key, None) is None:
            return
        self.given_up[key] = call
        if len(self.given_up) > MAX_OPEN_IDS:
            with suppress(RuntimeError, StopIteration):  # another thread does the same
                self.given_up.pop(next(iter(self.given_up)), None)

    def _forget_oldest_runs(self) -> None:
        for langchain_id in tuple(itertools.islice(self.runs, MAX_OPEN_IDS // 10)):
            run = self.runs.pop(langchain_id, None)
            if run is not None and run.root_id == langchain_id and run.announced and not run.ended:
                run.watchers[0].forgot(run)

    def _crowd_out_oldest(self) -> None:
        """One for each that starts beyond the bound, so that no single start has to wait for thousands."""
        try:
            oldest = self.calls[next(iter(self.calls))]
        except (RuntimeError, KeyError, StopIteration):
            return  # another thread starts or ends one; the next start makes room
        self.give_up(oldest)
        call: OpenCall | None = oldest
        while call is not None:
            if not call.reported:
                call.owner.report_cancelled(call)
            call = call.shadowed
