"""The calls of a run as the conversation they are: what was sent again, for how much, what went in circles. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from langchain_plugin.wire import TokenCounts, UnitPrices

MILLION: Final = 1_000_000
REPEATS_ALLOWED: Final = 2
"""A tool may be asked the same thing twice, as after a time-out; from the third time on it is a loop."""


class Call(NamedTuple):
    """What the advice reads of a model call, in the order of `COLUMNS`. Money in microcents."""

    run_id: Any
    sub_agent: str
    purpose: str
    provider: str
    model: str
    request_model: str
    response_model: str
    service_tier: str
    effort: str
    status: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    cache_write_unknown_tokens: int
    reasoning_tokens: int
    input_audio_tokens: int
    output_audio_tokens: int
    served_from_local_cache: bool
    cost_microcents: int | None
    saved_microcents: int
    prompt_hash: str
    tool_calls: Any

    @property
    def tokens(self) -> TokenCounts:
        return TokenCounts(*self[10:19])

    @property
    def written_tokens(self) -> int:
        return self.cache_write_5m_tokens + self.cache_write_1h_tokens + self.cache_write_unknown_tokens

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What a price is looked up by."""
        return self.provider, self.request_model, self.response_model, self.service_tier


COLUMNS: Final = Call._fields


class Step(NamedTuple):
    """A call of a conversation with its unit prices and the part of its input that the call before had sent already."""

    call: Call
    prices: UnitPrices
    again: int
    """Input tokens that were sent before."""


def conversations(calls: Sequence[Call], prices: Sequence[UnitPrices | None]) -> list[list[Step]]:
    """The run's own and each sub-agent's, in the order of the calls; those of unknown price or tokens left out.

    Failed calls are no turn of a conversation, and a summary is not one of the context it shortens.
    """
    by_whom: dict[str, list[Step]] = defaultdict(list)
    for call, price in zip(calls, prices, strict=True):
        if price is None or not call.input_tokens or call.status != "ok" or call.purpose != "agent":
            continue
        if call.served_from_local_cache:
            continue
        steps = by_whom[call.sub_agent]
        again = min(steps[-1].call.input_tokens, call.input_tokens) if steps else 0
        steps.append(Step(call, price, again))
    return list(by_whom.values())


def paid_for(step: Step, tokens: int) -> int:
    """Microcents that the first `tokens` of a call's input really cost: read from a cache, then written, then fresh."""
    call, prices = step.call, step.prices
    read = min(tokens, call.cache_read_tokens)
    written = min(tokens - read, call.written_tokens)
    fresh = tokens - read - written
    write_price = (
        prices.cache_write_1h if call.cache_write_1h_tokens > call.written_tokens // 2 else prices.cache_write_5m
    )
    return (read * prices.cache_read + written * write_price + fresh * prices.input) // MILLION


def history(steps: Sequence[Step]) -> tuple[int, int]:
    """Tokens, and microcents, of what a conversation sent again beyond its first prompt."""
    if not steps:
        return 0, 0
    first = steps[0].call.input_tokens
    tokens = cost = 0
    for step in steps[1:]:
        if step.again > first:
            tokens += step.again - first
            cost += paid_for(step, step.again) - paid_for(step, first)
    return tokens, cost


def in_circles(calls: Sequence[Call]) -> set[int]:
    """Places of calls that asked a tool the same thing again, from the third time on, or sent the same prompt again.

    The same from another sub-agent, or to another model, is not again.
    """
    asked: dict[tuple[str, str, str], int] = defaultdict(int)
    prompts: set[tuple[str, str, str]] = set()
    found = set()
    for place, call in enumerate(calls):
        if call.status != "ok" or call.served_from_local_cache:
            continue
        again = []
        for name, arguments_hash in (tool[:2] for tool in call.tool_calls or () if len(tool) > 1):
            if arguments_hash:
                asked[call.sub_agent, name, arguments_hash] += 1
                again.append(asked[call.sub_agent, name, arguments_hash] > REPEATS_ALLOWED)
        if again and all(again):
            found.add(place)
        if call.prompt_hash:
            prompt = (call.sub_agent, call.model, call.prompt_hash)
            if prompt in prompts:
                found.add(place)
            prompts.add(prompt)
    return found


def read_dearer_than_needed(steps: Sequence[Step], *, least_tokens: int = 1_024) -> int:
    """Microcents that a prompt cache would have spared: what was sent again and read from none, at the price of a read.

    Prompts under `least_tokens` are not cached by any provider. Where writing costs more than sending, it is paid for.
    """
    spared = 0
    for place, step in enumerate(steps):
        call, prices = step.call, step.prices
        if prices.cache_read >= prices.input or step.again < least_tokens or call.cache_read_tokens:
            continue
        if call.written_tokens:
            continue
        spared += step.again * (prices.input - prices.cache_read)
        if place + 1 < len(steps):
            spared -= (call.input_tokens - step.again) * (prices.cache_write_5m - prices.input)
    return max(0, spared // MILLION)
