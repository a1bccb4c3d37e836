"""Why a run cost more than its agent's runs do: the likely causes, each with its microcents over the usual run. Pure.

Causes overlap: a loop also makes many calls, and many calls grow the context. Each says what would have been saved were
it alone mended, at most what the run cost over the usual one. The likeliest is the most particular of those that
account for a good part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from costsite.advice.chains import MILLION, Call, Step, conversations, history, in_circles, paid_for
from langchain_plugin.wire import UnitPrices, cost_of

LOOPS: Final = "loops"
FAILED: Final = "failed"
DEARER_MODEL: Final = "dearer_model"
VERBOSE_PROMPT: Final = "verbose_prompt"
COMPACT: Final = "compact"
SMALLER_PIECES: Final = "smaller_pieces"
LONG_ANSWERS: Final = "long_answers"
LESS_CACHE: Final = "less_cache"

LABELS: Final = {
    LOOPS: "Retries and loops",
    FAILED: "Failed or abandoned spend",
    DEARER_MODEL: "Dearer model",
    VERBOSE_PROMPT: "Overly verbose prompt",
    COMPACT: "Context that should be compacted",
    SMALLER_PIECES: "Task that should be broken into smaller pieces",
    LONG_ANSWERS: "Longer answers",
    LESS_CACHE: "Lower cache share",
}
"""From the most particular to what else it may be."""

GOOD_PART: Final = 40
"""Percent of what is over that makes a cause the likeliest before less particular ones."""
WORTH_SAYING: Final = 5
"""Percent of what is over; below it a cause is noise."""


@dataclass(frozen=True)
class AgentUsual:
    """The middle of an agent's runs, by which one of them is explained. Money in microcents."""

    runs: int = 0
    cost: int = 0
    calls: int = 0
    first_input_tokens: int = 0
    history_microcents: int = 0
    output_tokens: int = 0
    """Of a call."""
    cache_percent: int = 0
    """Input tokens of its calls that were read from a cache."""
    model: str = ""
    prices: UnitPrices | None = None
    """Of `model`, which most of its calls are made on; None: not known."""


@dataclass(frozen=True)
class Cause:
    kind: str
    microcents: int | None
    """Over the usual run; None where the run has no price."""
    figures: dict[str, int | str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return LABELS[self.kind]


NOMINAL: Final = UnitPrices(
    input=4 * MILLION, output=16 * MILLION, cache_read=MILLION, cache_write_5m=5 * MILLION, cache_write_1h=8 * MILLION,
    reasoning=16 * MILLION, input_audio=4 * MILLION, output_audio=16 * MILLION,
)  # fmt: skip
"""Where no price is known: the relation most models have, so that causes can be weighed against one another."""


def explain(calls: Sequence[Call], prices: Sequence[UnitPrices | None], usual: AgentUsual) -> list[Cause]:
    """The causes, likeliest first; those that account for less than `WORTH_SAYING` percent left out.

    `calls` in their order, `prices` of each. A run in which a call has no price is weighed by tokens.
    """
    priced = all(price is not None or call.served_from_local_cache for call, price in zip(calls, prices, strict=True))
    priced = priced and all(call.cost_microcents is not None for call in calls)
    each = list(prices) if priced else [NOMINAL] * len(calls)
    costs = [_cost(call, price, priced) for call, price in zip(calls, each, strict=True)]
    usual_cost = usual.cost if priced else sum(costs) * usual.calls // max(1, len(calls))
    over = sum(costs) - usual_cost
    if over <= 0 or not calls:
        return []
    talks = conversations(calls, each)
    main = max(talks, key=len, default=[])
    found = [
        *_loops(calls, costs),
        *_failed(calls, costs),
        *(_dearer_model(calls, costs, usual) if priced else ()),
        *_verbose_prompt(main, usual),
        *_compact(talks, main, usual, priced=priced),
        *_smaller_pieces(calls, usual_cost, usual),
        *_long_answers(calls, each, usual),
        *_less_cache(calls, each, usual),
    ]
    weighed = [
        Cause(cause.kind, min(cause.microcents or 0, over), cause.figures)
        for cause in found
        if (cause.microcents or 0) * 100 >= over * WORTH_SAYING
    ]
    order = {kind: place for place, kind in enumerate(LABELS)}
    weighed.sort(
        key=lambda cause: (
            (0, order[cause.kind])
            if (cause.microcents or 0) * 100 >= over * GOOD_PART
            else (1, -(cause.microcents or 0))
        )
    )
    return weighed if priced else [Cause(cause.kind, None, cause.figures) for cause in weighed]


def _cost(call: Call, prices: UnitPrices | None, priced: bool) -> int:
    if priced:
        return call.cost_microcents or 0
    return cost_of(call.tokens, prices or NOMINAL, served_from_local_cache=call.served_from_local_cache).cost


def _loops(calls: Sequence[Call], costs: Sequence[int]) -> list[Cause]:
    circles = in_circles(calls)
    return [Cause(LOOPS, sum(costs[place] for place in circles), {"calls": len(circles)})] if len(circles) > 1 else []


def _failed(calls: Sequence[Call], costs: Sequence[int]) -> list[Cause]:
    failed = [place for place, call in enumerate(calls) if call.status != "ok"]
    return [Cause(FAILED, sum(costs[place] for place in failed), {"calls": len(failed)})] if failed else []


def _dearer_model(calls: Sequence[Call], costs: Sequence[int], usual: AgentUsual) -> list[Cause]:
    """What the run's calls on other models cost beyond the same tokens on the usual one."""
    if usual.prices is None:
        return []
    other = [place for place, call in enumerate(calls) if call.model != usual.model]
    as_usual = sum(
        cost_of(calls[place].tokens, usual.prices, served_from_local_cache=calls[place].served_from_local_cache).cost
        for place in other
    )
    dearer = sum(costs[place] for place in other) - as_usual
    if not other or dearer <= 0:
        return []
    model = max((calls[place] for place in other), key=lambda call: call.cost_microcents or 0).model
    return [Cause(DEARER_MODEL, dearer, {"calls": len(other), "model": model, "usual_model": usual.model})]


def _verbose_prompt(main: Sequence[Step], usual: AgentUsual) -> list[Cause]:
    """What the first prompt has beyond the usual one is sent with every call."""
    first = main[0].call.input_tokens if main else 0
    if first < 2 * usual.first_input_tokens or first - usual.first_input_tokens < 500:
        return []
    extra = sum(paid_for(step, first) - paid_for(step, usual.first_input_tokens) for step in main)
    return [Cause(VERBOSE_PROMPT, extra, {"tokens": first, "usual_tokens": usual.first_input_tokens})]


def _compact(talks: Sequence[Sequence[Step]], main: Sequence[Step], usual: AgentUsual, *, priced: bool) -> list[Cause]:
    """What was sent again beyond the first prompt, over what that usually comes to."""
    if len(main) < 3:
        return []
    first, largest = main[0].call.input_tokens, max(step.call.input_tokens for step in main)
    if largest < 2 * first or largest < 4_000:
        return []
    sent = [history(steps) for steps in talks]
    tokens, cost = sum(tokens for tokens, _ in sent), sum(cost for _, cost in sent)
    if priced:
        cost -= usual.history_microcents
    return [Cause(COMPACT, cost, {"from_tokens": first, "to_tokens": largest, "history_tokens": tokens})]


def _smaller_pieces(calls: Sequence[Call], usual_cost: int, usual: AgentUsual) -> list[Cause]:
    """What so many calls more come to, at what a call of the agent usually costs."""
    more = len(calls) - usual.calls
    if not usual.calls or len(calls) < 2 * usual.calls or more < 3:
        return []
    return [Cause(SMALLER_PIECES, more * usual_cost // usual.calls, {"calls": len(calls), "usual_calls": usual.calls})]


def _long_answers(calls: Sequence[Call], prices: Sequence[UnitPrices | None], usual: AgentUsual) -> list[Cause]:
    written = [place for place, call in enumerate(calls) if call.output_tokens > 2 * usual.output_tokens]
    cost = tokens = 0
    for place in written:
        price = prices[place]
        more = calls[place].output_tokens - usual.output_tokens
        tokens += more
        if price is not None and not calls[place].served_from_local_cache:
            cost += more * price.output // MILLION
    figures: dict[str, int | str] = {"tokens": tokens, "usual_tokens": usual.output_tokens}
    return [Cause(LONG_ANSWERS, cost, figures)] if written and usual.output_tokens else []


def _less_cache(calls: Sequence[Call], prices: Sequence[UnitPrices | None], usual: AgentUsual) -> list[Cause]:
    """What the tokens cost that are usually read from a cache, and were not."""
    sent = sum(call.input_tokens for call in calls)
    read = sum(call.cache_read_tokens for call in calls)
    if not sent or usual.cache_percent < 10 or read * 200 > sent * usual.cache_percent:
        return []
    cost = 0
    for call, price in zip(calls, prices, strict=True):
        if price is not None and not call.served_from_local_cache:
            missing = max(0, call.input_tokens * usual.cache_percent // 100 - call.cache_read_tokens)
            cost += missing * (price.input - price.cache_read) // MILLION
    return [Cause(LESS_CACHE, cost, {"percent": 100 * read // sent, "usual_percent": usual.cache_percent})]
