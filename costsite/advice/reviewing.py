"""Whether a run is unusual for its agent, and why: for the nightly scan, and for whoever asks of one run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Protocol

from django.utils import timezone

from agents.pricing import PriceBook
from costsite.advice.causes import AgentUsual, Cause, explain
from costsite.advice.chains import Call
from costsite.advice.models import AgentUsualRun, RunReview
from langchain_plugin.wire import UnitPrices


class RunSums(Protocol):
    """What a run says of itself: `AgentRunLog`, or the columns that the scan reads."""

    @property
    def id(self) -> int: ...
    @property
    def agent_id(self) -> int: ...
    @property
    def started_at(self) -> Any: ...
    @property
    def calls(self) -> int: ...
    @property
    def unpriced_calls(self) -> int: ...
    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def cost_microcents(self) -> int: ...


def exceeds(run: RunSums, usual: AgentUsualRun | None) -> bool:
    """Unusually high tokens or cost for its agent; of a new agent no run is."""
    if usual is None:
        return False
    if usual.tokens.is_exceeded_by(run.input_tokens + run.output_tokens):
        return True
    return not run.unpriced_calls and usual.cost.is_exceeded_by(run.cost_microcents)


def causes_of(
    run: RunSums,
    calls: Sequence[Call],
    prices: Sequence[UnitPrices | None],
    usual: AgentUsualRun,
    book: PriceBook,
) -> list[Cause]:
    own = book.unit_prices(usual.provider, usual.model, "", "", run.started_at, 0).prices if usual.model else None
    return explain(
        calls,
        prices,
        AgentUsual(
            runs=usual.runs,
            cost=usual.median_microcents,
            calls=usual.calls,
            first_input_tokens=usual.first_input_tokens,
            history_microcents=usual.history_microcents,
            output_tokens=usual.output_tokens,
            cache_percent=usual.cache_percent,
            model=usual.model,
            prices=own,
        ),
    )


def review_of(
    workspace_id: int,
    day: date,
    run: RunSums,
    calls: Sequence[Call],
    prices: Sequence[UnitPrices | None],
    usual: AgentUsualRun | None,
    book: PriceBook,
) -> RunReview | None:
    """The row of an unusual run, not saved; None of any other."""
    if usual is None or not exceeds(run, usual):
        return None
    causes = causes_of(run, calls, prices, usual, book)
    over = None if run.unpriced_calls else max(0, run.cost_microcents - usual.median_microcents)
    return RunReview(
        workspace_id=workspace_id,
        agent_id=run.agent_id,
        run_id=run.id,
        started_at=run.started_at,
        day=day,
        over_microcents=over,
        usual_microcents=usual.median_microcents,
        usual_runs=usual.runs,
        tokens=run.input_tokens + run.output_tokens,
        usual_tokens=usual.median_tokens,
        cause=causes[0].kind if causes else "",
        causes=[[cause.kind, cause.microcents, cause.figures] for cause in causes],
        reviewed_at=timezone.now(),
    )
