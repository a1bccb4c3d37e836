"""Months of traffic made by chance, with runs planted in them that are dear for a known reason.

Costs of ordinary runs are skewed, as real ones are: contexts are lognormal, runs have a geometric number of calls, and
every call sends what came before again. Each planted run is dear for one reason alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from costsite.advice import causes
from langchain_plugin import wire

MODEL, DEARER = "acme-1", "acme-large"
"""At 1 and 2 USD per million tokens in and out, and at ten times that. A cache read costs a tenth of the input."""


@dataclass
class Agent:
    slug: str = "support-bot"
    runs_a_day: int = 12
    context: float = 1_500.0
    """Median input tokens of a first call."""
    spread: float = 0.35
    """Deviation of its logarithm."""
    more_calls: float = 0.6
    """Chance that another call follows."""
    grows: int = 180
    answer: int = 150
    caches: bool = True


@dataclass
class Month:
    agent: Agent
    first: datetime
    days: int = 28
    seed: int = 1
    planted: dict[UUID, str] = field(default_factory=dict)
    """The cause of each planted run, by its id."""

    def __post_init__(self) -> None:
        self.rng = Random(f"{self.seed}/{self.agent.slug}")
        self.serial = 0

    def events(self, plant: tuple[str, ...] = ()) -> Iterator[wire.LLMCall]:
        """Ordinary runs on every day, and one of each of `plant` among them, spread over the month."""
        at = {self.rng.randrange(self.days - 2) + 1 + index * 0.001: cause for index, cause in enumerate(plant)}
        for day in range(self.days):
            for _ in range(self.agent.runs_a_day):
                yield from self.ordinary(self._moment(day))
            for cause in (cause for when, cause in at.items() if int(when) == day):
                yield from self.dear(cause, self._moment(day))

    def ordinary(self, at: datetime) -> Iterator[wire.LLMCall]:
        rng, run_id = self.rng, self.uuid(at)
        calls = 1
        while calls < 20 and rng.random() < self.agent.more_calls:
            calls += 1
        if rng.random() < 0.01:
            yield self.call(run_id, at, 0, status="error", usage_basis="estimated", input_tokens=0, output_tokens=0)
        yield from self.talk(run_id, at, calls, self._context(), self.agent.grows)

    def dear(self, cause: str, at: datetime) -> Iterator[wire.LLMCall]:
        run_id, context, grows = self.uuid(at), round(self.agent.context), self.agent.grows
        self.planted[run_id] = cause
        if cause == causes.VERBOSE_PROMPT:
            yield from self.talk(run_id, at, 3, 60 * context, grows)
        elif cause == causes.COMPACT:
            yield from self.talk(run_id, at, 9, context, 60 * grows)
        elif cause == causes.SMALLER_PIECES:
            yield from self.talk(run_id, at, 90, context, 0)
        elif cause == causes.LOOPS:
            yield from self.talk(run_id, at, 60, context, grows // 6, tool=("run_tests", "ab" * 16))
        elif cause == causes.FAILED:
            yield from self.talk(run_id, at, 2, context, grows)
            for index in range(6):
                yield self.call(
                    run_id, at, 2 + index, status="abandoned", usage_basis="estimated", input_tokens=20 * context,
                    output_tokens=40 * self.agent.answer, prompt_hash=self.hash(),
                )  # fmt: skip
        elif cause == causes.DEARER_MODEL:
            yield from self.talk(run_id, at, 4, 2 * context, grows, request_model=DEARER)
        elif cause == causes.LONG_ANSWERS:
            yield from self.talk(run_id, at, 3, context, grows, output_tokens=90 * self.agent.answer)
        else:
            raise ValueError(cause)

    def talk(
        self, run_id: UUID, at: datetime, calls: int, context: int, grows: int, tool: Any = None, **changes: Any
    ) -> Iterator[wire.LLMCall]:
        before = 0
        for index in range(calls):
            cached = before if self.agent.caches and before >= 1_024 else 0
            name, arguments = tool or ("search", self.hash())
            yield self.call(
                run_id, at + timedelta(seconds=3 * index), index, input_tokens=context, cache_read_tokens=cached,
                output_tokens=changes.pop("output_tokens", None) or round(self.agent.answer * self._around()),
                prompt_hash=self.hash(), tool_calls=(wire.ToolCall(name, arguments),), **changes,
            )  # fmt: skip
            before = context
            context += round(grows * self._around())

    def call(self, run_id: UUID, at: datetime, index: int, **changes: Any) -> wire.LLMCall:
        facts: dict[str, Any] = {
            "type": "llm_call", "call_id": self.uuid(at), "run_id": run_id, "agent": self.agent.slug,
            "call_index": index, "provider": "acme-ai", "request_model": MODEL, "started_at": at,
            "ended_at": at + timedelta(seconds=2),
        }  # fmt: skip
        return wire.LLMCall.model_validate(facts | changes)

    def uuid(self, at: datetime) -> UUID:
        self.serial += 1
        return UUID(int=int(at.timestamp() * 1000) << 80 | 0x7 << 76 | 0b10 << 62 | self.rng.getrandbits(62))

    def hash(self) -> str:
        return f"{self.rng.getrandbits(128):032x}"

    def _moment(self, day: int) -> datetime:
        return self.first + timedelta(days=day, seconds=self.rng.randrange(8 * 3600, 20 * 3600))

    def _context(self) -> int:
        return round(self.agent.context * self.rng.lognormvariate(0, self.agent.spread))

    def _around(self) -> float:
        return self.rng.uniform(0.6, 1.4)


ALL_CAUSES = (
    causes.VERBOSE_PROMPT, causes.COMPACT, causes.SMALLER_PIECES, causes.LOOPS, causes.FAILED, causes.DEARER_MODEL,
    causes.LONG_ANSWERS,
)  # fmt: skip
