"""Refusals are summed by the minute, and none is lost on the way or told twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import HumanMessage

from langchain_plugin import BudgetExceeded, wire
from langchain_plugin.refusals import MAX_KEPT, Refusals
from tests.langchain_plugin.models import ScriptedModel
from tests.langchain_plugin.stub_site import StubSite, refusal
from tests.langchain_plugin.test_guard import handler_of

BEGIN = 1_795_000_000 // 60 * 60
"""The first second of a minute."""


class Told:
    def __init__(self) -> None:
        self.now = float(BEGIN)
        self.events: list[dict[str, Any]] = []
        self.refusals = Refusals(self.events.append, lambda: self.now)

    def refuse(self, run: str = "run-1", *, made_calls: bool = True, kind: str = "held", policy: int = 7) -> None:
        self.refusals.add(
            {
                "type": "refused", "run_id": run, "agent": "support-bot", "refusal_id": str(uuid4()), "kind": kind,
                "refused_at": self.now, "policy_id": policy,
            },
            run_made_calls=made_calls,
        )  # fmt: skip

    @property
    def counts(self) -> list[tuple[str, str, int]]:
        return [(event["run_id"], event["kind"], event.get("count", 1)) for event in self.events]


@pytest.fixture
def told() -> Told:
    return Told()


def test_the_first_is_told_at_once_and_those_that_follow_when_the_minute_is_over(told: Told) -> None:
    for _ in range(40):
        told.refuse()
    told.refusals.report_due()
    assert told.counts == [("run-1", "held", 1)]

    told.now += 60
    told.refusals.report_due()
    told.refusals.report_due()
    assert told.counts == [("run-1", "held", 1), ("run-1", "held", 39)]
    assert len({event["refusal_id"] for event in told.events}) == 2


def test_another_minute_kind_or_budget_is_another_sum(told: Told) -> None:
    for kind, policy in [("held", 7), ("too_large", 7), ("held", 8)] * 2:
        told.refuse(kind=kind, policy=policy)
    told.now += 61
    told.refuse()
    told.refusals.report()
    assert sorted(told.counts) == sorted(
        [("run-1", "held", 1)] * 4 + [("run-1", "too_large", 1)] * 2 + [("run-1", "held", 1)]
    )


def test_runs_that_made_no_call_are_summed_under_the_first_of_them(told: Told) -> None:
    for number in range(1_000):
        told.refuse(f"run-{number}", made_calls=False, kind="exhausted")
    told.refusals.report()
    assert told.counts == [("run-0", "exhausted", 1), ("run-0", "exhausted", 999)]


def test_a_run_that_ends_tells_what_it_has(told: Told) -> None:
    told.refuse("run-1")
    told.refuse("run-1")
    told.refuse("run-2")
    told.refusals.run_ended("run-1")
    assert told.counts == [("run-1", "held", 1), ("run-2", "held", 1), ("run-1", "held", 1)]


def test_a_child_process_does_not_tell_what_is_its_parents(told: Told) -> None:
    told.refuse()
    told.refuse()
    told.refusals.after_fork()
    told.refusals.report()
    assert told.counts == [("run-1", "held", 1)]


def test_more_kinds_than_are_kept_are_told_one_by_one(told: Told) -> None:
    for number in range(MAX_KEPT + 50):
        told.refuse(f"run-{number}")
        told.refuse(f"run-{number}")
    told.refusals.report()
    assert sum(count for _, _, count in told.counts) == 2 * (MAX_KEPT + 50)


def test_an_agent_that_asks_again_and_again_fills_no_spool(site: StubSite, tmp_path: Path) -> None:
    site.lease_answer = refusal("exhausted")
    costs, model = handler_of(site, tmp_path), ScriptedModel()
    for _ in range(300):
        with pytest.raises(BudgetExceeded):
            model.invoke([HumanMessage("?")], {"callbacks": [costs]})
    assert costs.flush()
    events = [event for event in site.events if event["type"] == "refused"]
    # Two a minute, and the 300 take longer than one on no machine that runs tests.
    assert len(events) <= 6
    assert sum(event.get("count", 1) for event in events) == 300
    for event in events:
        wire.Refused.model_validate(event)
