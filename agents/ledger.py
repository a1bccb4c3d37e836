"""The one write path: a batch of events becomes calls, runs and rollups, each exactly once.

Events come in any order, late, twice, from several processes at a time. What is read and worked out without a lock is
done first; then one short transaction claims the runs, inserts the calls that are new, replaces those that were
provisional, and adds the differences to the sums: last, for other batches wait at these. Nothing here depends on the
order of batches, save what arrival itself decides: which agent a run belongs to, and which of two provisional reports
of a call stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from django.db.models import Min

from agents import arrivals, run_arrivals, server_clock
from agents.arrivals import CallArrival, call_arrival
from agents.bound_keys import BoundKey
from agents.clock import TOLERATED_LEAD, days_of
from agents.estimates import NOTHING_KNOWN, Typical, typical_usage
from agents.models import Agent, LLMCall, ReportedRefusal, Workspace
from agents.price_books import price_book
from agents.recorded import Recorded
from agents.registration import agents_named, note_runs, slug_of
from agents.reports import CallReport, RefusalReport, Report, Reported, StartReport, report_of
from agents.rollups import NO_SUMS, Postings, place_of, sums_of_stored
from agents.run_arrivals import Run, RunArrival, run_arrival, stored_run
from agents.run_facts import UNSEEN, End, RunFacts
from agents.signals import usage_recorded, usage_summed
from agents.storage import Storage, storage
from agents.write_lock import writing
from langchain_plugin import wire

Event: TypeAlias = wire.Event | Report
"""As the wire has it, or read already into what the ledger takes."""

REFUSAL_COLUMNS = (
    "workspace_id", "refusal_id", "agent_id", "run_id", "kind", "refused_at", "day", "count", "policy_id",
)  # fmt: skip


def record(
    workspace: Workspace,
    events: Sequence[tuple[int, Event]],
    *,
    client: int | None,
    received_at: datetime,
    clock_shift: timedelta = timedelta(0),
    key_agent: Agent | None = None,
) -> Recorded:
    """Write what is new of `events` (index in the batch, event) in one transaction.

    `client`: the primary key of the process that reports, where that is known. `clock_shift` is added to every time the
    events report (`agents.client_clocks`). `key_agent`: the one agent the key may report for. An event that cannot
    be booked is rejected by itself, with the mend; the others are written.
    Signals are sent inside the transaction: a receiver that fails undoes the batch, and it is sent again.
    """
    received_at = received_at.astimezone(UTC)
    recorded = Recorded(workspace)
    batch = _Batch(recorded, storage(), received_at, clock_shift, client)
    batch.arrive(events)
    with writing():
        batch.write(key_agent)
        usage_recorded.send(Recorded, recorded=recorded)
        last = batch.postings.post_rollups(batch.storage, recorded.last)
        usage_summed.send(Recorded, recorded=recorded, last=last)
    recorded.accepted.sort()
    recorded.duplicates.sort()
    return recorded


class _Stored(NamedTuple):
    """What the table has under a call's id."""

    provisional: bool
    run_id: str


@dataclass(slots=True)
class _SortedIn:
    """What becomes of a batch's calls: the fates by index, and what the table gets, by call id."""

    new: dict[str, CallArrival] = field(default_factory=dict)
    replacing: dict[str, CallArrival] = field(default_factory=dict)
    """Measured ones, whose provisional reports are in the table."""
    accepted: list[int] = field(default_factory=list)
    duplicates: list[int] = field(default_factory=list)


class _Batch:
    def __init__(
        self,
        recorded: Recorded,
        storage: Storage,
        received_at: datetime,
        shift: timedelta,
        client_id: int | None,
    ) -> None:
        self.recorded = recorded
        self.workspace_id = recorded.workspace.pk
        self.storage = storage
        self.received_at = received_at
        self.shift = shift
        self.latest = received_at + TOLERATED_LEAD
        self.client_id = client_id
        self.calls: list[CallArrival] = []
        self.told: list[RunArrival] = []
        self.runs: dict[str, Run] = {}
        self.postings = Postings(self.workspace_id)
        self.typical: dict[int, dict[str, Typical]] = {}
        """By agent, once one of its calls lacks tokens."""

    def arrive(self, events: Iterable[tuple[int, Event]]) -> None:
        for index, event in events:
            report = event if isinstance(event, Reported) else report_of(event)
            if isinstance(report, CallReport):
                self.calls.append(call_arrival(index, report, self.shift, self.received_at, self.latest))
            else:
                self.told.append(run_arrival(index, report, self.shift, self.received_at, self.latest))

    def write(self, key_agent: Agent | None) -> None:
        zone_name, retained_from = self.storage.ledger_state()
        self.days = self.recorded.days = days_of(zone_name)
        self.book = price_book(self.workspace_id)
        self._turn_away_too_old(retained_from)
        bound = None if key_agent is None else BoundKey(key_agent, self._names())
        if bound is not None:
            self._turn_away(lambda one: bound.problem_with_name(one.report.agent))
        self._find_agents()
        self._claim_runs()
        if bound is not None and (others := bound.not_its_own(run.agent_id for run in self.runs.values())):
            self._turn_away(lambda one: bound.not_its_run if self.runs[one.run_id].agent_id in others else "")
        for told in self.told:
            self._tell(told)
        self._write_refusals()
        self._write_calls()
        self._write_runs()
        self.recorded.spent = self.postings.spent()
        self._write_price_card()

    # ── who and when ─────────────────────────────────────────────────────────────────────────────────────────────

    def _turn_away_too_old(self, retained_from: date | None) -> None:
        if retained_from is None:
            return
        horizon = self.days.start(retained_from)
        if self.received_at < horizon:
            raise server_clock.wrong(self.received_at)
        for index, at in (
            *((call.index, call.started_at) for call in self.calls if call.started_at < horizon),
            *((told.index, told.at) for told in self.told if told.at < horizon),
        ):
            self.recorded.reject(
                index,
                "too_old",
                f"It began at {at:%Y-%m-%d %H:%M} UTC and the ledger keeps nothing from before {horizon:%Y-%m-%d}:"
                " if the date is wrong, set the clock of the reporting host.",
            )
        self.calls = [call for call in self.calls if call.started_at >= horizon]
        self.told = [told for told in self.told if told.at >= horizon]

    def _names(self) -> set[str]:
        return {call.report.agent for call in self.calls} | {told.report.agent for told in self.told}

    def _find_agents(self) -> None:
        if reported := self._names():
            by_slug = agents_named(self.workspace_id, map(slug_of, reported), self.storage)
            self.recorded.agents = {name: by_slug[slug_of(name)] for name in reported}

    def _claim_runs(self) -> None:
        beginnings: dict[str, tuple[int, str, datetime]] = {}
        for told in self.told:
            beginnings.setdefault(told.run_id, (told.index, told.report.agent, told.at))
        for call in self.calls:
            known = beginnings.get(call.run_id)
            if known is None or call.index < known[0]:
                beginnings[call.run_id] = (call.index, call.report.agent, call.started_at)
        if not beginnings:
            return
        agents = self.recorded.agents
        first = {run_id: (agents[name].id, at) for run_id, (_, name, at) in beginnings.items()}
        store = self.storage
        for row in store.claim_runs(
            run_arrivals.STORED_COLUMNS,
            self.workspace_id,
            [(run_id, agent, store.time(at), store.day(self.days.of(at))) for run_id, (agent, at) in first.items()],
        ):
            run = stored_run(row, store)
            self.runs[run.run_id] = run
        for run_id, (agent_id, _) in first.items():
            if run_id not in self.runs:
                self.runs[run_id] = Run(run_id, agent_id, RunFacts(), changed=True)

    def _turn_away(self, why_not: Callable[[CallArrival | RunArrival], str]) -> None:
        """What a bound key may not report: `why_not` is the mend, empty for what it may."""

        def is_kept(one: CallArrival | RunArrival) -> bool:
            if problem := why_not(one):
                self.recorded.reject(one.index, "agent_not_allowed", problem)
            return not problem

        self.calls = [call for call in self.calls if is_kept(call)]
        self.told = [told for told in self.told if is_kept(told)]

    # ── what is told of runs ─────────────────────────────────────────────────────────────────────────────────────

    def _tell(self, told: RunArrival) -> None:
        report = told.report
        if isinstance(report, RefusalReport):
            return
        run = self.runs[told.run_id]
        facts = run.facts
        before = copy(facts)
        if isinstance(report, StartReport):
            tags = tuple(dict.fromkeys(report.tags))
            facts.begin(told.at, report.thread_id, tags, report.langchain_run_id, report.parent_run_id)
        else:
            facts.finish(told.at, End(told.ended_at or told.at, report.status, report.error_type))
        if facts == before:
            self.recorded.duplicates.append(told.index)
        else:
            run.changed = True
            self.recorded.accepted.append(told.index)

    def _write_refusals(self) -> None:
        refusals = [(told, told.report) for told in self.told if isinstance(told.report, RefusalReport)]
        if not refusals:
            return
        fresh: dict[str, tuple[RunArrival, RefusalReport]] = {}
        for told, report in refusals:
            if report.refusal_id in fresh:
                self.recorded.duplicates.append(told.index)
            else:
                fresh[report.refusal_id] = told, report
        store = self.storage
        rows = [
            (
                self.workspace_id, refusal_id, self.runs[told.run_id].agent_id, told.run_id, report.kind,
                store.time(told.at), store.day(self.days.of(told.at)), report.count, report.policy_id,
            )
            for refusal_id, (told, report) in fresh.items()
        ]  # fmt: skip
        there = store.insert(ReportedRefusal, REFUSAL_COLUMNS, "refusal_id", sorted(rows))
        for refusal_id, (told, report) in fresh.items():
            if refusal_id in there:
                self.recorded.duplicates.append(told.index)
                continue
            run = self.runs[told.run_id]
            run.facts.saw(told.at)
            run.facts.refused_calls += report.count
            run.changed = True
            self.recorded.accepted.append(told.index)

    # ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _write_calls(self) -> None:
        if not self.calls:
            return
        # Nearly every call is new, so they are inserted first, and looked up only where the table had them already.
        sorted_in = self._sort_in({})
        self._price(sorted_in.new.values())
        there = self.storage.insert(LLMCall, arrivals.COLUMNS, "call_id", self._rows(sorted_in.new.values()))
        if there:
            sorted_in = self._sort_in(self._stored_calls(there))
        self.recorded.accepted += sorted_in.accepted
        self.recorded.duplicates += sorted_in.duplicates
        for call in sorted_in.new.values():
            self._book(call)
        if sorted_in.replacing:
            self._replace(sorted_in.replacing)

    def _stored_calls(self, call_ids: Iterable[str]) -> dict[str, _Stored]:
        store = self.storage
        reports = dict.fromkeys(call_ids, _Stored(provisional=False, run_id=""))
        columns = ["call_id", "provisional", "run_id"]
        for call_id, provisional, run_id in store.find(LLMCall, columns, "call_id", self.workspace_id, call_ids):
            reports[store.read_uuid(call_id)] = _Stored(bool(provisional), store.read_uuid(run_id))
        return reports

    def _sort_in(self, stored: dict[str, _Stored]) -> _SortedIn:
        """The calls by what is known of their ids: nothing, a provisional report, or a measured one."""
        sorted_in = _SortedIn()
        if not stored:
            alone = {call.call_id: call for call in self.calls}
            if len(alone) == len(self.calls):  # as nearly always
                sorted_in.new = alone
                sorted_in.accepted = [call.index for call in self.calls]
                return sorted_in
        new, replacing = sorted_in.new, sorted_in.replacing
        for call in self.calls:
            call_id = call.call_id
            known = new.get(call_id) or replacing.get(call_id) or stored.get(call_id)
            if known is None:
                new[call_id] = call
            elif call.provisional or not known.provisional or call.run_id != known.run_id:
                sorted_in.duplicates.append(call.index)
                continue
            elif call_id in stored:
                replacing[call_id] = call
            else:
                new[call_id] = call  # the provisional one never reaches the table
            sorted_in.accepted.append(call.index)
        return sorted_in

    def _price(self, calls: Iterable[CallArrival]) -> None:
        for call in calls:
            if call.lacks_tokens:
                self._guess_tokens(call)
            call.price(self.book)

    def _rows(self, calls: Iterable[CallArrival]) -> list[tuple[Any, ...]]:
        store = self.storage
        received_at = store.time(self.received_at)
        day_of = self.days.of
        rows = []
        for call in calls:
            call.day = day_of(call.started_at)
            agent_id = self.runs[call.run_id].agent_id
            rows.append(call.row(self.workspace_id, agent_id, self.client_id, received_at, store))
        return rows

    def _guess_tokens(self, call: CallArrival) -> None:
        """Where nobody can tell a call's usage, what the agent's calls of the model typically use."""
        agent_id = self.runs[call.run_id].agent_id
        if agent_id not in self.typical:
            self.typical[agent_id] = typical_usage(self.workspace_id, agent_id)
        typical = self.typical[agent_id].get(call.model, NOTHING_KNOWN)
        if call.report.input_tokens is None:
            call.tokens = call.tokens._replace(input_tokens=typical.input_tokens)
        if call.report.output_tokens is None:
            call.tokens = call.tokens._replace(output_tokens=typical.output_tokens)
        call.tokens_from = (LLMCall.TokensFrom.MEDIAN if typical.calls else LLMCall.TokensFrom.NOTHING).value

    def _book(self, call: CallArrival) -> None:
        run, report = self.runs[call.run_id], call.report
        run.facts.saw(call.started_at)
        if report.is_root:
            run.facts.is_the_call(
                call.started_at, call.ended_at, report.status, report.error_type, report.thread_id, call.tags,
                report.langchain_run_id,
            )  # fmt: skip
        self.postings.add(call.place(run.agent_id), call.sums())
        if call.cost and report.lease_id is not None:
            self.recorded.spent_by_lease[UUID(report.lease_id), run.agent_id, call.day] += call.cost

    def _replace(self, replacing: dict[str, CallArrival]) -> None:
        """Take out what provisional reports were booked as, and book the measured ones."""
        self._price(replacing.values())
        rows = self._rows(replacing[call_id] for call_id in sorted(replacing))
        before = LLMCall.objects.filter(
            workspace_id=self.workspace_id, call_id__in=[UUID(call_id) for call_id in replacing]
        )
        for old in before:
            call = replacing[old.call_id.hex]
            run = self.runs[call.run_id]
            self.postings.take_out(place_of(old), sums_of_stored(old))
            if old.cost_microcents and old.lease_id is not None:
                self.recorded.spent_by_lease[old.lease_id, old.agent_id, old.day] -= old.cost_microcents
            if call.report.is_root:
                run.facts.forget_the_call()
            run.lost_its_start = run.lost_its_start or old.started_at == run.facts.started_at < call.started_at
            self._book(call)
        self.storage.replace(LLMCall, arrivals.COLUMNS, 2, rows)

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _write_runs(self) -> None:
        store = self.storage
        rows = []
        last: dict[int, datetime] = {}
        gained = self.postings.by_run()
        for run in self.runs.values():
            if not run.changed and run.run_id not in gained:
                continue
            facts = run.facts
            if facts.started_at is UNSEEN:
                facts.started_at = self.received_at  # claimed for events that all turned out to be known
            elif run.lost_its_start:
                facts.started_at = _earliest(self.workspace_id, run.run_id, facts.reported_started_at)
            day = self.days.of(facts.started_at)
            if run.day != day:
                self.postings.run_begins(day)
                if run.day is not None:
                    self.postings.run_leaves(run.day)
            rows.append(run.row(self.workspace_id, day, gained.get(run.run_id, NO_SUMS), store))
            last[run.agent_id] = max(facts.started_at, last.get(run.agent_id, facts.started_at))
        store.save_runs(run_arrivals.COLUMNS, rows)
        note_runs(last, self.recorded.agents.values())

    def _write_price_card(self) -> None:
        seen = {(call.report.provider, call.report.request_model, call.report.service_tier) for call in self.calls}
        for provider, model, tier in sorted(seen):
            self.recorded.price_card.append(self.book.card_entry(provider, model, tier, self.received_at))


def _earliest(workspace_id: int, run_id: str, reported: datetime | None) -> datetime:
    """The start of a run from all that is stored of it; asked only when the call that set it is gone."""
    of_run = {"workspace_id": workspace_id, "run_id": UUID(run_id)}
    call = LLMCall.objects.filter(**of_run).aggregate(at=Min("started_at"))["at"]
    refusal = ReportedRefusal.objects.filter(**of_run).aggregate(at=Min("refused_at"))["at"]
    return min(at for at in (reported, call, refusal) if at is not None)
