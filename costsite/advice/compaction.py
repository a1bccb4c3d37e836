"""What summing up a conversation at N tokens would have saved, and what it saved where it was done. Pure.

A conversation is played again with its real calls. Before a call whose context is above the trigger, the context is
replaced by its first prompt (or a quarter of the trigger, where that is more) and a summary. From then on every call is
spared the tokens that went, at what it really paid for the part of its input that it had sent before: a token read from
a cache saves little. Paid for: the summary, whose call reads the whole context afresh, and the cache that the new
context no longer meets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from costsite.advice.chains import MILLION, Call, Step, paid_for
from costsite.advice.usual import median_of
from langchain_plugin.wire import UnitPrices

TRIGGERS: Final = (4_000, 8_000, 12_000, 16_000, 24_000, 32_000, 48_000, 64_000, 96_000, 128_000)
SUMMARY_TOKENS: Final = 1_000
"""What a summary comes to, written once and read by every call after it."""
KEPT_OF_TRIGGER: Final = 4


def saved_at(steps: Sequence[Step], trigger: int) -> int:
    """Microcents saved on one conversation; below 0 where the summaries cost more than they spare."""
    gone = saved = 0
    first = steps[0].call.input_tokens if steps else 0
    for step in steps[1:]:
        call, prices = step.call, step.prices
        if step.again < gone or not step.again:
            gone = 0  # somebody shortened it, or began another
        context = call.input_tokens - gone
        kept = max(first, trigger // KEPT_OF_TRIGGER) + SUMMARY_TOKENS
        if context > trigger and context > kept:
            saved -= _summary(context, prices)
            gone += context - kept
            saved -= _cache_missed(step, min(kept, step.again))
        if gone:
            saved += paid_for(step, step.again) * min(gone, step.again) // max(1, step.again)
    return saved


def saved_by_trigger(steps: Sequence[Step]) -> dict[int, int]:
    """Microcents for each trigger that the conversation reached."""
    largest = max((step.call.input_tokens for step in steps[1:]), default=0)
    return {trigger: saved_at(steps, trigger) for trigger in TRIGGERS if trigger < largest}


def really_saved(calls: Sequence[Call], steps: Sequence[Step]) -> int:
    """Microcents that the summaries among `calls` saved on the run's conversation `steps`, their own cost taken off.

    What a summary took away is what the next call would have sent, which is what the one before it sent and what a
    step of this conversation adds, less what it did send.
    """
    price_of = {id(step.call): step for step in steps}
    grows = _grows(calls, price_of)
    saved = removed = before = 0
    summed_up = False
    for call in calls:
        if call.purpose == "compaction":
            saved -= call.cost_microcents or 0
            summed_up = True
            continue
        step = price_of.get(id(call))
        if step is None:
            continue
        if summed_up:
            removed += max(0, before + grows - call.input_tokens)
            summed_up = False
        if removed:
            paid = paid_for(step, call.input_tokens)
            saved += paid * removed // max(1, call.input_tokens)
        before = call.input_tokens
    return saved


def _grows(calls: Sequence[Call], price_of: Mapping[int, Step]) -> int:
    """Tokens that a step adds: the median, of steps without a summary between; without any such, what was answered."""
    added, answered = [], []
    before: Call | None = None
    for call in calls:
        if id(call) not in price_of:
            before = None if call.purpose == "compaction" else before
            continue
        if before is not None and call.input_tokens > before.input_tokens:
            added.append(call.input_tokens - before.input_tokens)
        answered.append(call.output_tokens)
        before = call
    return median_of(added or answered)


def _summary(context: int, prices: UnitPrices) -> int:
    return (context * prices.input + SUMMARY_TOKENS * prices.output) // MILLION


def _cache_missed(step: Step, kept: int) -> int:
    """What sending the shortened context afresh costs beyond what its tokens cost as they were."""
    dearest = max(step.prices.input, step.prices.cache_write_5m) if step.call.written_tokens else step.prices.input
    return max(0, kept * dearest // MILLION - paid_for(step, kept))
