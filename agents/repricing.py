"""Costs after the fact: calls whose price came late, or was wrong, get the one that holds for their time.

Calls are read and priced without a lock, page by page; only what changes is then locked, read once more, priced by
the prices of that moment and written, with the runs, rollups, corrections and counters it moves, in one transaction
of at most `CALLS_AT_ONCE`. So it may be stopped and begun again at any point, twice at a time, beside any traffic: a
call that was replaced meanwhile is priced as it is then, and one that is right already is left alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import F, QuerySet, Sum
from django.utils import timezone
from django_q.tasks import async_task

from agents.models import CostCorrection, LedgerState, LLMCall, ModelDay, ModelPrice, PriceListState, Workspace
from agents.price_books import price_book
from agents.pricing import PriceBook, library
from agents.pricing.entered import came_from_entered_price
from agents.pricing.names import bare
from agents.rollups import Postings, negative, place_of, sums_of_stored, total
from agents.signals import costs_corrected
from agents.storage import storage
from agents.write_lock import writing
from langchain_plugin.wire import TokenCounts

CALLS_AT_ONCE: Final = 250
"""Per transaction: what keeps everybody who waits behind it under 200 ms."""
CALLS_PER_PAGE: Final = 2_000
"""Read at a time, without a lock."""

_READ: Final = (
    "workspace_id",
    "provider",
    "model",
    "request_model",
    "response_model",
    "service_tier",
    "started_at",
    *TokenCounts._fields,
    "served_from_local_cache",
    "usage_basis",
    "cost_basis",
    "cost_microcents",
    "saved_microcents",
    "price_source",
)
_WRITTEN: Final = ("workspace_id", "call_id", "cost_basis", "cost_microcents", "saved_microcents", "price_source")


@dataclass(frozen=True)
class Selection:
    """Which calls to look at. Days are local, both included; empty means any."""

    workspace_id: int | None = None
    provider: str = ""
    model: str = ""
    """As pages name it; a * at the end stands for the rest."""
    first_day: date | None = None
    last_day: date | None = None
    priced_too: bool = False
    """False: unpriced calls alone."""
    closed_months: bool = False
    """True: months before the current one too, whose statements have gone out."""


@dataclass
class Change:
    """What repricing changes for one workspace, provider and model. Money in microcents."""

    calls: int = 0
    newly_priced_calls: int = 0
    no_longer_priced_calls: int = 0
    before: int = 0
    after: int = 0

    def count(self, call: LLMCall, before: int | None) -> None:
        """A call that has its new cost and had the cost `before`."""
        self.calls += 1
        self.newly_priced_calls += before is None
        self.no_longer_priced_calls += call.cost_microcents is None
        self.before += before or 0
        self.after += call.cost_microcents or 0

    def add(self, other: Change) -> None:
        self.calls += other.calls
        self.newly_priced_calls += other.newly_priced_calls
        self.no_longer_priced_calls += other.no_longer_priced_calls
        self.before += other.before
        self.after += other.after


@dataclass
class Repriced:
    """What became of a selection: by workspace id, provider and model."""

    repricing_id: UUID
    changes: dict[tuple[int, str, str], Change] = field(default_factory=lambda: defaultdict(Change))
    calls_of_closed_months: int = 0
    """Calls left alone because their month is closed; how many of them would change is not looked at."""

    @property
    def calls(self) -> int:
        return sum(change.calls for change in self.changes.values())


@dataclass
class Corrected:
    """What one transaction of a repricing moved, for those who keep counters."""

    workspace_id: int
    spent: dict[tuple[int, date], int] = field(default_factory=lambda: defaultdict(int))
    """Microcents by agent id and local day, to be added; negative where calls became cheaper."""
    spent_by_lease: dict[tuple[UUID, int, date], int] = field(default_factory=lambda: defaultdict(int))
    """The same by the lease that the calls name, whoever's it is, agent id and local day."""


def reprice(selection: Selection, *, apply: bool, reason: str, now: datetime | None = None) -> Repriced:
    """Price the selected calls anew; with `apply`, write what changes, else only say it.

    `reason` is kept with each correction. Nothing changes twice: a second run finds nothing left to do.
    """
    repriced = Repriced(uuid4())
    if apply:
        # On PostgreSQL a batch may still be writing by the prices of a moment ago, unseen: it ends before this begins,
        # and one that starts later sees the prices of now. So no call falls between the two.
        with writing(alone=True):
            pass
    state = LedgerState.current()
    days = _days(selection)
    if state.retained_from is not None:
        days = days.filter(day__gte=state.retained_from)
    if not selection.closed_months:
        open_month = current_month_start(now, state)
        looked_at = "calls" if selection.priced_too else "unpriced_calls"
        closed = days.filter(day__lt=open_month).aggregate(calls=Sum(looked_at))
        repriced.calls_of_closed_months = closed["calls"] or 0
        days = days.filter(day__gte=open_month)
    for workspace_id, day in days.order_by("workspace_id", "day").values_list("workspace_id", "day").distinct():
        for ids in _changing(selection, workspace_id, day, None if apply else repriced):
            if apply:
                _write(workspace_id, ids, reason, repriced)
    return repriced


def current_month_start(now: datetime | None = None, state: LedgerState | None = None) -> date:
    """The first day of the ledger's current month: what is before it is closed."""
    days = (state or LedgerState.current()).days()
    return days.of(now or timezone.now()).replace(day=1)


# ── what asks for it ─────────────────────────────────────────────────────────────────────────────────────────────────


def reprice_after_saving(price: ModelPrice) -> None:
    """Queue the repricing of the open month's unpriced calls for when the price is committed.

    A queue that cannot be reached takes nothing back: the next sweep does the same.
    """
    price_id = price.pk

    def queue_it() -> None:  # a function: Django writes the name of what failed, and a partial has none
        async_task("agents.tasks.reprice_unpriced", price_id)

    transaction.on_commit(queue_it, robust=True)


def reprice_unpriced(price_id: int) -> Repriced | None:
    """Price what was unpriced in the open month, where the price holds; None when the price is gone."""
    price = ModelPrice.objects.filter(pk=price_id).first()
    if price is None:
        return None
    return reprice(Selection(workspace_id=price.workspace_id), apply=True, reason=f"price #{price_id} was saved")


def sweep() -> str:
    """Price the open month's unpriced calls if prices or the price library changed since the last sweep.

    What a lost task left undone is done here, and a new version of the library takes effect. Cheap when nothing did.
    """
    state, _ = PriceListState.objects.get_or_create(pk=1, defaults={"mark": uuid4()})
    in_force = f"{state.mark.hex} {library.source()}"
    if state.swept == in_force:
        return "nothing due"
    repriced = reprice(Selection(), apply=True, reason=f"prices changed; {library.source()}")
    PriceListState.objects.filter(pk=1).update(swept=in_force)
    return f"{repriced.calls} calls repriced"


# ── finding ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _days(selection: Selection) -> QuerySet[ModelDay]:
    """The rollups of days that have calls of the selection."""
    rows = ModelDay.objects.filter(**_where(selection))
    return rows if selection.priced_too else rows.filter(unpriced_calls__gt=0)


def _calls(selection: Selection, workspace_id: int, day: date) -> QuerySet[LLMCall]:
    calls = LLMCall.objects.filter(**_where(selection) | {"workspace_id": workspace_id, "day": day})
    return calls if selection.priced_too else calls.filter(cost_basis=LLMCall.CostBasis.UNPRICED)


def _where(selection: Selection) -> dict[str, object]:
    model = selection.model
    where = {
        "workspace_id": selection.workspace_id,
        "provider": selection.provider or None,
        "day__gte": selection.first_day,
        "day__lte": selection.last_day,
        "model": None if model.endswith("*") else model or None,
        "model__startswith": model[:-1] if model.endswith("*") else None,
    }
    return {name: value for name, value in where.items() if value is not None}


def _changing(selection: Selection, workspace_id: int, day: date, tally: Repriced | None) -> Iterator[list[int]]:
    """Ids of the calls whose cost would change, at most `CALLS_AT_ONCE` at a time; counted into `tally`."""
    book = price_book(workspace_id)
    calls = _calls(selection, workspace_id, day)
    if not selection.priced_too:
        # A site may make a million calls a day of a model that has no price: these are not read one by one.
        named = calls.order_by().values_list("model", "provider", "request_model", "response_model").distinct()
        known = {model for model, *names in named if book.knows(*names)}
        if not known:
            return
        calls = calls.filter(model__in=known)
    calls = calls.order_by("pk").only(*_READ)
    after, ids = 0, list[int]()
    while page := list(calls.filter(pk__gt=after)[:CALLS_PER_PAGE]):
        after = page[-1].pk
        for call in page:
            before = call.cost_microcents
            if _charge(book, call):
                ids.append(call.pk)
                if tally is not None:
                    tally.changes[workspace_id, call.provider, call.model].count(call, before)
            if len(ids) == CALLS_AT_ONCE:
                yield ids
                ids = []
    if ids:
        yield ids


def _charge(book: PriceBook, call: LLMCall) -> bool:
    """Give the call the cost the book says, in memory; False when it has it already.

    A cost that the price library once gave stays when the library forgets the model: what was known is not made
    unknown by an upgrade. A cost from an entered price goes when the price goes.
    """
    cost, saved, source = book.charge(
        call.provider,
        call.request_model,
        call.response_model,
        call.service_tier,
        call.started_at,
        TokenCounts(*(getattr(call, name) for name in TokenCounts._fields)),
        served_from_local_cache=call.served_from_local_cache,
    )
    if (cost, saved) == (call.cost_microcents, call.saved_microcents):
        return False
    if not source and not came_from_entered_price(call.price_source):
        return False
    if cost is None:
        call.cost_basis = LLMCall.CostBasis.UNPRICED
    elif call.cost_basis == LLMCall.CostBasis.UNPRICED:
        call.cost_basis = call.usage_basis
    call.cost_microcents, call.saved_microcents, call.price_source = cost, saved, source
    return True


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _write(workspace_id: int, ids: list[int], reason: str, repriced: Repriced) -> None:
    """One transaction: the calls as they are now, at the prices of now."""
    corrections: dict[tuple[int, date, str, str], Change] = defaultdict(Change)
    # Alone, on PostgreSQL too: nobody replaces a call between its reading and its writing here.
    with writing(alone=True):
        store = storage()
        book = price_book(workspace_id)
        postings, corrected, rows = Postings(workspace_id), Corrected(workspace_id), []
        for call in LLMCall.objects.filter(pk__in=ids).order_by("call_id"):
            before, sums_before = call.cost_microcents, sums_of_stored(call)
            if not _charge(book, call):
                continue
            postings.add(place_of(call), total([negative(sums_before), sums_of_stored(call)]))
            rows.append(
                (
                    workspace_id,
                    call.call_id.hex,
                    call.cost_basis,
                    call.cost_microcents,
                    call.saved_microcents,
                    call.price_source,
                )
            )
            difference = (call.cost_microcents or 0) - (before or 0)
            corrected.spent[call.agent_id, call.day] += difference
            if call.lease_id is not None:
                corrected.spent_by_lease[call.lease_id, call.agent_id, call.day] += difference
            corrections[call.agent_id, call.day, call.provider, call.model].count(call, before)
        if not rows:
            return
        postings.post_runs(store)
        store.replace(LLMCall, _WRITTEN, 2, rows)
        postings.post_rollups(store)
        _keep_corrections(workspace_id, corrections, reason, repriced.repricing_id)
        costs_corrected.send(Corrected, corrected=corrected)
    for (_, _, provider, model), change in corrections.items():
        repriced.changes[workspace_id, provider, model].add(change)


def _keep_corrections(
    workspace_id: int, corrections: dict[tuple[int, date, str, str], Change], reason: str, repricing_id: UUID
) -> None:
    for (agent_id, day, provider, model), change in sorted(corrections.items()):
        row, _ = CostCorrection.objects.get_or_create(
            repricing_id=repricing_id,
            workspace_id=workspace_id,
            agent_id=agent_id,
            day=day,
            provider=provider,
            model=model,
            defaults={"reason": reason[:200]},
        )
        CostCorrection.objects.filter(pk=row.pk).update(
            calls=F("calls") + change.calls,
            newly_priced_calls=F("newly_priced_calls") + change.newly_priced_calls,
            no_longer_priced_calls=F("no_longer_priced_calls") + change.no_longer_priced_calls,
            cost_before_microcents=F("cost_before_microcents") + change.before,
            cost_after_microcents=F("cost_after_microcents") + change.after,
        )


def unpriced_models(workspaces: QuerySet[Workspace], *, now: datetime | None = None) -> dict[tuple[int, str, str], int]:
    """The current month's unpriced calls by workspace id, provider and model, the most calls first."""
    rows = ModelDay.objects.filter(
        day__gte=current_month_start(now), unpriced_calls__gt=0, workspace__in=workspaces
    ).values_list("workspace_id", "provider", "model")
    return {tuple(key): calls for *key, calls in rows.annotate(calls=Sum("unpriced_calls")).order_by("-calls")}


def calls_it_is_for(price: ModelPrice, unpriced: dict[tuple[int, str, str], int]) -> int:
    """How many of `unpriced_models` the price speaks of, by the names on the pages."""
    entered = price.as_entered()
    return sum(
        calls
        for (workspace_id, provider, model), calls in unpriced.items()
        if price.workspace_id in (None, workspace_id) and entered.covers(provider, (model, bare(model)))
    )
