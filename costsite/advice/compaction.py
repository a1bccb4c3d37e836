"""What summing up a conversation at N tokens would have saved, and what it saved where it was done. Pure.

A conversation is played again with its real calls. Before a call whose context is above the trigger, the context is
replaced by its first prompt (or a quarter of the trigger, where that is more) and a summary. From then on every call is
spared the tokens that went, at what it really paid for the part of its input that it had sent before: a token read from
a cache saves little. Paid for: the summary, whose call reads the whole context afresh, and the cache that the new
context no longer meets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from costsite.advice.chains import MILLION, Call, Step, paid_for
from costsite.advice.usual import median_of
from langchain_plugin.wire import KEPT_OF_TRIGGER, UnitPrices

TRIGGERS: Final = (4_000, 8_000, 12_000, 16_000, 24_000, 32_000, 48_000, 64_000, 96_000, 128_000)
SUMMARY_TOKENS: Final = 1_000
"""What a summary comes to, written once and read by every call after it."""


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


class _Pace(NamedTuple):
    """How a conversation goes on from one call to the next where no summary came between."""

    grows: int
    """Tokens that a step adds: the median; without any such step, what was answered."""
    again: tuple[int, int]
    """Microcents, and tokens, that were sent again."""
    new: tuple[int, int]
    """The same of what was added."""


def really_saved(calls: Sequence[Call], steps: Sequence[Step]) -> int:
    """Microcents that the summaries among `calls` saved on the run's conversation `steps`, their own cost taken off.

    After the first of them each call is held against the one it would have been: the context of the call before it, had
    nothing been taken away, and what a step adds; at what this conversation pays for what it sends again (caches
    included) and for what is new. So a cache that the new context does not meet counts against the summary.
    """
    step_of = {id(step.call): step for step in steps}
    pace = _pace(calls, step_of)
    saved = before = would = 0
    summed_up = False
    for call in calls:
        if call.purpose == "compaction":
            saved -= call.cost_microcents or 0
            summed_up = True
            continue
        step = step_of.get(id(call))
        if step is None:
            continue
        added = pace.grows if summed_up else call.input_tokens - before
        history, would = would, would + added
        if would <= call.input_tokens or added < 0:
            would = call.input_tokens  # nothing is gone, or somebody else shortened it
        else:
            paid = paid_for(step, call.input_tokens)
            whole = paid, call.input_tokens
            saved += _at(history, pace.again if pace.again[1] else whole)
            saved += _at(would - history, pace.new if pace.new[1] else whole) - paid
        before, summed_up = call.input_tokens, False
    return saved


def _pace(calls: Sequence[Call], step_of: Mapping[int, Step]) -> _Pace:
    grown, answered = [], []
    again = new = again_tokens = 0
    is_next = False
    for call in calls:
        step = step_of.get(id(call))
        if step is None:
            is_next = is_next and call.purpose != "compaction"
            continue
        added = call.input_tokens - step.again
        if is_next and added > 0:
            grown.append(added)
            again, again_tokens = again + paid_for(step, step.again), again_tokens + step.again
            new += paid_for(step, call.input_tokens) - paid_for(step, step.again)
        answered.append(call.output_tokens)
        is_next = True
    return _Pace(median_of(grown or answered), (again, again_tokens), (new, sum(grown)))


def _at(tokens: int, paid: tuple[int, int]) -> int:
    """What tokens cost where others cost so many microcents."""
    return tokens * paid[0] // paid[1]


def _summary(context: int, prices: UnitPrices) -> int:
    return (context * prices.input + SUMMARY_TOKENS * prices.output) // MILLION


def _cache_missed(step: Step, kept: int) -> int:
    """What sending the shortened context afresh costs beyond what its tokens cost as they were."""
    dearest = max(step.prices.input, step.prices.cache_write_5m) if step.call.written_tokens else step.prices.input
    return max(0, kept * dearest // MILLION - paid_for(step, kept))
