"""A day of an agent's life as the wire's events. Pure, without Django.

The same seed and day always give the same events, ids included: loading a day twice adds nothing, and a later day can
be loaded without the earlier ones.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from hashlib import sha256
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

from costsite.demo.cast import RUNAWAY, Agent, Model, Workspace
from costsite.demo.shapes import how_many, second_of_day
from langchain_plugin import wire

RUNAWAY_DAY = 12
"""Of each month."""
RUNAWAY_CALLS = 140
LONGEST_RUN = 60
FAILING_AGAIN = 0.35
"""A provider that just failed is likely to fail the next attempt too."""
FAILURES = ("RateLimitError", "APITimeoutError", "InternalServerError", "OverloadedError")


def events_of_day(workspace: Workspace, day: date, zone: ZoneInfo, seed: int) -> list[wire.Event]:
    """Everything that began in `workspace` on the local day, in the order it ended."""
    events: list[wire.Event] = []
    for agent in workspace.agents:
        rng = Random(f"{seed}/{agent.slug}/{day}")  # noqa: S311 - a demo, not a secret
        mean = agent.runs_per_weekday * (agent.weekend if day.weekday() >= 5 else 1.0)
        midnight = datetime.combine(day, time_of_day(), zone)
        for _ in range(how_many(mean, rng)):
            started_at = midnight + timedelta(
                seconds=second_of_day(agent.hours, rng), microseconds=rng.randrange(1_000_000)
            )
            events += Run(agent, started_at, rng).events()
        if agent is RUNAWAY and day.day == RUNAWAY_DAY:
            events += Run(agent, midnight + timedelta(hours=13, minutes=7), rng, calls=RUNAWAY_CALLS).events()
    return sorted(events, key=when)


def when(event: wire.Event) -> datetime:
    """The moment the event could first be reported."""
    if isinstance(event, wire.RunStarted):
        return event.started_at
    return event.refused_at if isinstance(event, wire.Refused) else event.ended_at


class Run:
    """One execution: its context grows with each answer and tool result, and caches remember what was said before."""

    def __init__(self, agent: Agent, started_at: datetime, rng: Random, calls: int | None = None) -> None:
        self.agent, self.rng, self.started_at = agent, rng, started_at
        self.run_id = uuid7(started_at, rng)
        self.now = started_at
        self.model = rng.choices([model for model, _ in agent.models], weights=[share for _, share in agent.models])[0]
        self.calls = calls or self._how_many_calls()
        self.goes_in_circles = calls is not None
        self.context = max(agent.context.sample(rng), 12)
        self.in_cache = 0
        self.messages = 2
        self.call_index = 0
        self.tags = tuple(rng.choice(group) for group in agent.tags)
        # A handful of threads each day, so that people come back with a second question.
        self.thread_id = f"thread-{started_at:%y%m%d}-{rng.randrange(40)}" if agent.threads else ""

    @property
    def is_bare(self) -> bool:
        """A model called outside any chain."""
        return not self.agent.tools and not self.agent.more_calls

    def events(self) -> Iterator[wire.Event]:
        if not self.is_bare:
            yield wire.RunStarted(
                type="run_started",
                run_id=self.run_id,
                agent=self.agent.slug,
                started_at=self.started_at,
                thread_id=self.thread_id,
                tags=self.tags,
            )
        status: wire.RunStatus = "ok"
        while self.call_index < self.calls and status == "ok":
            status = yield from self._turn()
        if not self.is_bare:
            yield wire.RunEnded(
                type="run_ended",
                run_id=self.run_id,
                agent=self.agent.slug,
                started_at=self.started_at,
                ended_at=self.now,
                status=status,
                error_type="" if status == "ok" else "ModelUnavailable",
            )

    def _how_many_calls(self) -> int:
        calls = 1
        while self.rng.random() < self.agent.more_calls and calls < LONGEST_RUN:
            calls += 1
        return calls

    def _turn(self) -> Generator[wire.Event, None, wire.RunStatus]:
        """A call, retried where it failed; then what a tool answers, or a sub-agent's work, makes it longer."""
        attempts, chance = 0, self.agent.failing
        while self.rng.random() < chance:
            yield self._failed_call()
            attempts, chance = attempts + 1, FAILING_AGAIN
            if attempts == 3:
                return "error"
            self.now += timedelta(seconds=2.0**attempts)
        if self.rng.random() < self.agent.cancelled:
            yield self._call(self.model, "cancelled")
            return "cancelled"
        abandoned = self.rng.random() < self.agent.abandoned
        call = self._call(self.model, "abandoned" if abandoned else "ok")
        yield call
        if abandoned:
            return "cancelled"
        self.in_cache = self.context
        self.context += (
            (call.output_tokens or 0) - call.reasoning_tokens + self.rng.randint(*self.agent.tool_answer_tokens)
        )
        self.messages += 2
        self.now += timedelta(seconds=self.rng.uniform(0.2, 4))
        if self.agent.sub_agent_model and self.rng.random() < 0.25:
            yield self._call(self.agent.sub_agent_model, "ok", sub_agent=self.agent.sub_agent)
        return "ok"

    def _failed_call(self) -> wire.LLMCall:
        return self._finish(
            self.model,
            "error",
            self.rng.uniform(0.4, 20),
            usage_basis="estimated",
            input_tokens=0,
            output_tokens=0,
            error_type=self.rng.choice(FAILURES),
        )

    def _call(self, model: Model, status: wire.CallStatus, sub_agent: str = "") -> wire.LLMCall:
        visible = self.agent.answer.sample(self.rng)
        reasoning = round(visible * model.reasoning * self.rng.uniform(0.3, 1.7)) if model.reasoning else 0
        if status != "ok":
            # Cut off part-way: what had been streamed is known, what the provider counted is not.
            streamed = round(visible * self.rng.uniform(0.05, 0.7)) if status == "abandoned" else 0
            seconds = 0.5 + streamed / model.tokens_per_second
            return self._finish(
                model, status, seconds, usage_basis="estimated", input_tokens=self.context, output_tokens=streamed
            )
        output = visible + reasoning
        facts: dict[str, object] = {
            "input_tokens": self.context,
            "output_tokens": output,
            "reasoning_tokens": reasoning,
        }
        if not sub_agent:
            facts |= self._cache_counts(model)
        if self.call_index == 0 and self.rng.random() < self.agent.local_cache:
            return self._finish(model, status, 0.002, served_from_local_cache=True, **facts)
        first_token = self.rng.lognormvariate(-0.7, 0.35) + self.context / 40_000
        if self.agent.tools and self.call_index + 1 < self.calls and not sub_agent:
            facts["tool_calls"] = (self._tool_call(),)
        return self._finish(
            model,
            status,
            first_token + output / model.tokens_per_second,
            sub_agent=sub_agent,
            time_to_first_token_seconds=round(first_token, 3),
            **facts,
        )

    def _tool_call(self) -> wire.ToolCall:
        if self.goes_in_circles:
            return wire.ToolCall("run_tests", digest("the same arguments again"))
        return wire.ToolCall(self.rng.choice(self.agent.tools), f"{self.rng.getrandbits(128):032x}")

    def _cache_counts(self, model: Model) -> dict[str, int]:
        """Anthropic's cache is asked for: it reads what the call before wrote and writes the rest. The others cache by
        themselves, from 1,024 tokens, in blocks of 128.
        """
        if model.provider == "anthropic":
            if self.context < 1_024 or self.is_bare:
                return {}
            return {"cache_read_tokens": self.in_cache, "cache_write_5m_tokens": self.context - self.in_cache}
        remembered = self.in_cache if self.call_index else (self.context // 2 if self.rng.random() < 0.3 else 0)
        return {"cache_read_tokens": remembered // 128 * 128} if remembered >= 1_024 else {}

    def _finish(self, model: Model, status: wire.CallStatus, seconds: float, **facts: object) -> wire.LLMCall:
        began, self.now = self.now, self.now + timedelta(seconds=seconds)
        index, self.call_index = self.call_index, self.call_index + (status == "ok")
        steps = self.agent.steps
        return wire.LLMCall.model_validate(
            {
                "type": "llm_call",
                "call_id": uuid7(began, self.rng),
                "run_id": self.run_id,
                "agent": self.agent.slug,
                "is_root": self.is_bare,
                "call_index": index,
                "step": steps[0] if index == 0 else steps[-1] if index + 1 >= self.calls else steps[len(steps) // 2],
                "provider": model.provider,
                "request_model": model.name,
                "response_model": (model.answers_as or model.name) if status == "ok" else "",
                "effort": model.effort,
                "started_at": began,
                "ended_at": self.now,
                "status": status,
                "max_output_tokens": self.agent.max_output_tokens,
                "prompt_messages": self.messages,
                "prompt_hash": digest(f"{self.run_id}/{self.context}"),
                "thread_id": self.thread_id,
                "tags": self.tags,
            }
            | facts
        )


def uuid7(at: datetime, rng: Random) -> UUID:
    """As RFC 9562 has it: 48 bits of Unix milliseconds, then chance."""
    milliseconds = int(at.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | rng.getrandbits(12) << 64 | 0b10 << 62 | rng.getrandbits(62))


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:32]
