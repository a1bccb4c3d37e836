"""What a budget does to an agent: no way of running it buys a token that is not paid for, and nothing else changes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from pydantic import PrivateAttr

from langchain_plugin import BudgetExceeded, CostCallbackHandler
from langchain_plugin.leasing import BETWEEN_WAITS_ON_LOOP_SECONDS, WAIT_FOR_AN_ANSWER_ON_LOOP_SECONDS, LeaseKeeper
from langchain_plugin.news import News
from tests.langchain_plugin.models import ScriptedModel, StreamingModel
from tests.langchain_plugin.stub_site import StubSite, leave, page, receipt, refusal
from tests.langchain_plugin.ways import AGENT_WAYS, QUESTION, WAYS, look_up, state, tool_call

USD = 100_000_000
PRICES = dict.fromkeys(
    ("input", "cache_read", "cache_write_5m", "cache_write_1h", "input_audio", "output", "reasoning", "output_audio"),
    10_000 * USD,
)
"""A cent for each token: a call of `ScriptedModel` costs 120 cents, and one that asks `QUESTION` holds 64."""
CENT = 1_000_000


def handler_of(site: StubSite, folder: Path, *, waits: bool = True, **settings: Any) -> CostCallbackHandler:
    facts = {"agent": "support-bot", "api_key": f"cs_{uuid4().hex[:10]}_test", "url": site.url, "state_dir": folder}
    costs = CostCallbackHandler(**facts | {"held_wait_seconds": 0} | settings)
    assert costs.reporter.leases is not None
    allowance = costs.reporter.leases.of("support-bot")
    if waits:  # a call made before the first answer may go through: the site is waited for a second at most
        with allowance.lock:
            assert allowance.lock.wait_for(lambda: allowance.answers > 0, 60)
    return costs


def with_prices(asked: dict[str, Any], available_cents: int | None, **changes: Any) -> Any:
    card = [{"provider": "acme", "model": "scripted-1", "prices": PRICES, "output_bound_tokens": 20}]
    bounded = {
        "lease_id": str(uuid4()),
        "available_microcents": None if available_cents is None else available_cents * CENT,
        "price_card": card,
        "fallback": PRICES,
        "budget": {"agent": "support-bot", "spent_microcents": 0, "limit_microcents": 500 * CENT},
    }
    return leave(asked, **bounded | changes)


def purse(site: StubSite, cents: int, **changes: Any) -> None:
    """Have the site give out so much and no more, as the real one would: a cent a token."""

    def answer(asked: dict[str, Any]) -> Any:
        calls = {event["call_id"]: event for event in site.events if event["type"] == "llm_call"}
        spent = sum(call["input_tokens"] + (call["output_tokens"] or 0) for call in calls.values())
        free = cents - spent - asked.get("outstanding_microcents", 0) // CENT
        least = asked.get("least_microcents", 0) / CENT
        if least > free:
            kind = "too_large" if least > cents - spent else "held"
            return refusal(kind, left_microcents=(cents - spent) * CENT, retry_after_seconds=0.1)(asked)
        return with_prices(asked, max(0, free), **changes)

    site.lease_answer = answer


# ── blocking ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", [ScriptedModel, StreamingModel], ids=["whole", "streaming"])
@pytest.mark.parametrize("run", WAYS, ids=lambda way: way.__name__)
def test_a_spent_budget_blocks_every_way_of_calling_a_model(
    run: Callable[[Any, Any], None], model: Callable[[], ScriptedModel], site: StubSite, tmp_path: Path
) -> None:
    site.lease_answer = refusal("exhausted")
    asked = model()
    with pytest.raises(BudgetExceeded):
        run(asked, {"callbacks": [handler_of(site, tmp_path)]})
    assert asked.calls == 0


@pytest.mark.parametrize("way", AGENT_WAYS)
def test_a_spent_budget_blocks_every_way_of_running_an_agent(way: str, site: StubSite, tmp_path: Path) -> None:
    site.lease_answer = refusal("exhausted")
    model = ScriptedModel(answers=[tool_call(order="A-1"), "It is on its way."])
    with pytest.raises(BudgetExceeded):
        AGENT_WAYS[way](create_agent(model, tools=[look_up]), {"callbacks": [handler_of(site, tmp_path)]})
    assert model.calls == 0


@pytest.mark.parametrize("way", AGENT_WAYS)
def test_a_budget_that_ends_within_a_run_stops_it_there(way: str, site: StubSite, tmp_path: Path) -> None:
    # A call with tools holds some 1,200 cents, and this model uses up most of them.
    purse(site, 2_000)
    usage = {"input_tokens": 1_000, "output_tokens": 20, "total_tokens": 1_020}
    model = ScriptedModel(answers=[tool_call(order="A-1"), "It is on its way."], usage=usage)
    with pytest.raises(BudgetExceeded):
        AGENT_WAYS[way](create_agent(model, tools=[look_up]), {"callbacks": [handler_of(site, tmp_path)]})
    assert model.calls == 1


def test_a_refused_call_is_told_by_what_is_left_and_what_it_may_cost(site: StubSite, tmp_path: Path) -> None:
    site.lease_answer = lambda asked: (
        refusal("too_large")(asked) if asked["least_microcents"] else with_prices(asked, 0)
    )
    with pytest.raises(BudgetExceeded) as caught:
        ScriptedModel().invoke(QUESTION, {"callbacks": [handler_of(site, tmp_path)]})
    assert str(caught.value).startswith("Blocked: 2.10¢ of 50.00¢ is left; the next call may cost 3.40¢.")
    assert (caught.value.kind, caught.value.policy_id, caught.value.left_microcents) == ("too_large", 7, 2_100_000)


def test_a_refusal_is_reported_with_the_run_it_ended(site: StubSite, tmp_path: Path) -> None:
    site.lease_answer = refusal("exhausted")
    costs = handler_of(site, tmp_path)
    with pytest.raises(BudgetExceeded):
        ScriptedModel().invoke(QUESTION, {"callbacks": [costs]})
    assert costs.flush(60)
    (event,) = [event for event in site.events if event["type"] == "refused"]
    assert (event["agent"], event["kind"], event["policy_id"]) == ("support-bot", "exhausted", 7)
    assert costs.last_run is not None
    assert (costs.last_run.status, costs.last_run.calls) == ("refused", 0)


def test_a_blocked_agent_runs_again_seconds_after_a_grant(site: StubSite, tmp_path: Path) -> None:
    site.lease_answer = refusal("exhausted")
    costs, model = handler_of(site, tmp_path), ScriptedModel()
    with pytest.raises(BudgetExceeded):
        model.invoke(QUESTION, {"callbacks": [costs]})
    site.lease_answer = lambda asked: with_prices(asked, 1_000)
    deadline = time.monotonic() + 60
    while not model.calls and time.monotonic() < deadline:
        try:
            model.invoke(QUESTION, {"callbacks": [costs]})
        except BudgetExceeded:
            time.sleep(0.1)
    assert model.calls == 1  # by asking again after `ASK_AGAIN_SECONDS`: the lease that was refused is not half over


def test_two_handlers_on_one_call_hold_it_once(site: StubSite, tmp_path: Path) -> None:
    purse(site, 150)
    key = f"cs_{uuid4().hex[:10]}_test"
    two = [handler_of(site, tmp_path, api_key=key) for _ in range(2)]
    ScriptedModel().invoke(QUESTION, {"callbacks": two})
    assert two[0].last_run is not None


def test_a_fallback_is_asked_about_for_itself(site: StubSite, tmp_path: Path) -> None:
    cheap = {"provider": "acme", "model": "cheap", "prices": dict.fromkeys(PRICES, 1), "output_bound_tokens": 20}
    dear = {"provider": "acme", "model": "scripted-1", "prices": PRICES, "output_bound_tokens": 20}
    purse(site, 1, price_card=[cheap, dear])
    first, second = ScriptedModel(), ScriptedModel(model_name="cheap")
    first.with_fallbacks([second]).invoke(QUESTION, {"callbacks": [handler_of(site, tmp_path)]})
    assert (first.calls, second.calls) == (0, 1)


# ── not blocking ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_budget_nothing_is_asked_twice_and_nothing_held(site: StubSite, tmp_path: Path) -> None:
    costs, model = handler_of(site, tmp_path), ScriptedModel()
    for _ in range(50):
        model.invoke(QUESTION, {"callbacks": [costs]})
    assert model.calls == 50
    assert len(site.lease_requests) <= 2
    assert costs.flush(60)
    assert not any("lease_id" in event for event in site.events)


def test_calls_name_the_lease_that_pays_for_them(site: StubSite, tmp_path: Path) -> None:
    lease_id = str(uuid4())
    site.lease_answer = lambda asked: with_prices(asked, 10_000, lease_id=lease_id)
    costs = handler_of(site, tmp_path)
    ScriptedModel().invoke(QUESTION, {"callbacks": [costs]})
    assert costs.flush(60)
    (call,) = [event for event in site.events if event["type"] == "llm_call"]
    assert call["lease_id"] == lease_id


def test_one_lease_serves_many_calls(site: StubSite, tmp_path: Path) -> None:
    site.lease_answer = lambda asked: with_prices(asked, 100_000)
    costs, model = handler_of(site, tmp_path), ScriptedModel()
    for _ in range(200):
        model.invoke(QUESTION, {"callbacks": [costs]})
    assert len(site.lease_requests) <= 3


def test_a_failed_call_gives_back_what_it_held(site: StubSite, tmp_path: Path) -> None:
    purse(site, 150)
    costs = handler_of(site, tmp_path)

    class TooManyRequestsError(RuntimeError):
        status_code = 429

    model = ScriptedModel(answers=[*[TooManyRequestsError()] * 5, "At last."])
    for _ in range(5):
        with pytest.raises(TooManyRequestsError):
            model.invoke(QUESTION, {"callbacks": [costs]})
    assert model.invoke(QUESTION, {"callbacks": [costs]}).content == "At last."


def test_at_exit_a_lease_is_given_back(site: StubSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langchain_plugin.reporter.RELEASE_SECONDS", 60)  # on a machine that is busy with other tests
    site.lease_answer = lambda asked: with_prices(asked, 10_000)
    costs = handler_of(site, tmp_path)
    ScriptedModel().invoke(QUESTION, {"callbacks": [costs]})
    leases = costs.reporter.leases
    assert leases is not None
    assert leases._thread is not None
    costs.reporter._at_exit()
    leases._thread.join(20)
    assert not leases._thread.is_alive()
    assert leases.of("support-bot").lease_id is None  # and no other was asked for
    path, body = site.lease_requests[-1]
    assert path.endswith("/release")
    assert body == {"outstanding_microcents": 0}


def test_a_closed_reporter_keeps_no_call_waiting(site: StubSite, tmp_path: Path) -> None:
    site.lease_answer = lambda asked: with_prices(asked, 10_000)
    costs, model = handler_of(site, tmp_path, held_wait_seconds=60), ScriptedModel()
    leases = costs.reporter.leases
    assert leases is not None
    costs.reporter.close()
    leases.of("support-bot").released()  # as when its time is over
    asked, began = len(site.lease_requests), time.monotonic()
    model.invoke(QUESTION, {"callbacks": [costs]})
    leases.hear_first("another")
    assert time.monotonic() - began < 1
    assert model.calls == 1
    assert len(site.lease_requests) == asked


@pytest.mark.parametrize(("on_unreachable", "blocks"), [("allow", False), ("block", True)])
def test_without_a_site_the_setting_decides(on_unreachable: str, blocks: bool, tmp_path: Path) -> None:
    costs = CostCallbackHandler(
        agent="support-bot", api_key="cs_0123456789_test", url="http://127.0.0.1:9", state_dir=tmp_path,
        on_unreachable=on_unreachable,
    )  # fmt: skip
    model = ScriptedModel()
    for _ in range(3):
        if blocks:
            with pytest.raises(BudgetExceeded, match="does not answer"):
                model.invoke(QUESTION, {"callbacks": [costs]})
        else:
            model.invoke(QUESTION, {"callbacks": [costs]})
    assert model.calls == (0 if blocks else 3)


def test_a_site_that_hangs_delays_the_first_call_by_a_second_and_the_others_by_nothing(
    site: StubSite, tmp_path: Path
) -> None:
    hang = threading.Event()

    def slow(asked: dict[str, Any]) -> Any:
        hang.wait(60)
        return leave(asked)

    site.lease_answer = slow
    costs, model = handler_of(site, tmp_path, waits=False), ScriptedModel()
    began = time.monotonic()
    for _ in range(20):
        model.invoke(QUESTION, {"callbacks": [costs]})
    # A second where nothing else runs; were each to wait, or one for the answer, it would be more on any machine.
    assert time.monotonic() - began < 14
    hang.set()


def test_an_answer_that_is_no_answer_stops_nobody(site: StubSite, tmp_path: Path) -> None:
    site.lease_answer = page(200)
    model = ScriptedModel()
    model.invoke(QUESTION, {"callbacks": [handler_of(site, tmp_path)]})
    assert model.calls == 1


# ── the limit of a run ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_stops_at_its_own_limit(site: StubSite, tmp_path: Path) -> None:
    site.lease_answer = lambda asked: with_prices(asked, None, lease_id=None)
    model = ScriptedModel(answers=[tool_call(order=f"A-{n}") for n in range(50)])
    costs = handler_of(site, tmp_path, run_limit_cents=2_000)
    with pytest.raises(BudgetExceeded, match=r"of this run's 2,000\.00¢ is left"):
        create_agent(model, tools=[look_up]).invoke(state(), {"callbacks": [costs]})
    assert 1 <= model.calls <= 16  # 120 cents each
    ScriptedModel().invoke(QUESTION, {"callbacks": [costs]})  # the next run has its own


# ── what is left ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_left_is_said_before_the_site_has_the_calls(site: StubSite, tmp_path: Path) -> None:
    site.answer = page(503)
    site.lease_answer = lambda asked: with_prices(asked, 400)
    costs = handler_of(site, tmp_path)
    ScriptedModel().invoke(QUESTION, {"callbacks": [costs]})
    # 500 cents, of which this call took 120.
    assert str(costs.last_run).endswith("380.00¢ of 500.00¢ left")


def test_what_a_receipt_counts_is_not_counted_here_once_more(
    site: StubSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = {"agent": "support-bot", "spent_microcents": 120 * CENT, "limit_microcents": 500 * CENT}
    site.answer = lambda batch: receipt(batch, budgets=[budget] if batch["events"] else [])
    site.lease_answer = lambda asked: with_prices(asked, 400)
    costs = handler_of(site, tmp_path)
    spent: list[int] = []
    tell = News.tell

    def watched(news: News, told: Any) -> None:
        tell(news, told)
        known = costs.reporter.budget("support-bot")  # as early as somebody who waits for the news can ask
        spent.append(known.spent_microcents if known is not None else 0)

    monkeypatch.setattr(News, "tell", watched)
    ScriptedModel().invoke(QUESTION, {"callbacks": [costs]})
    assert costs.flush(60)
    assert spent[-1] == 120 * CENT


def test_what_was_granted_while_nobody_called_is_waited_for(
    site: StubSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("langchain_plugin.allowance.KEEP_SECONDS", 0.0)  # nobody asks in the background meanwhile
    site.lease_answer = refusal("exhausted")
    costs, model = handler_of(site, tmp_path, held_wait_seconds=60), ScriptedModel()
    with pytest.raises(BudgetExceeded, match="is spent"):
        model.invoke(QUESTION, {"callbacks": [costs]})

    def slowly(asked: dict[str, Any]) -> Any:
        time.sleep(1.5)  # longer than one wait
        return with_prices(asked, 1_000)

    site.lease_answer = slowly
    time.sleep(2.1)  # a refusal is believed for two seconds
    model.invoke(QUESTION, {"callbacks": [costs]})

    assert model.calls == 1


def test_a_run_that_was_refused_says_what_is_left(site: StubSite, tmp_path: Path) -> None:
    site.lease_answer = refusal("exhausted", spent_microcents=50_000_000, left_microcents=0)
    costs = handler_of(site, tmp_path)
    with pytest.raises(BudgetExceeded):
        ScriptedModel().invoke(QUESTION, {"callbacks": [costs]})
    assert str(costs.last_run).endswith(", 0¢ of 50.00¢ left")


def test_a_budget_that_was_ended_is_said_no_more(site: StubSite, tmp_path: Path) -> None:
    site.lease_answer = lambda asked: with_prices(asked, 400)
    costs = handler_of(site, tmp_path)
    assert costs.reporter.budget("support-bot") is not None
    site.lease_answer = leave
    assert costs.reporter.leases is not None
    costs.reporter.leases.renew("support-bot")
    deadline = time.monotonic() + 20
    while costs.reporter.budget("support-bot") is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert costs.reporter.budget("support-bot") is None


# ── one event loop ───────────────────────────────────────────────────────────────────────────────────────────────────


class Together(ScriptedModel):
    """Counts how many calls run at once."""

    most_at_once: int = 0
    _now: int = PrivateAttr(0)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            return await super()._agenerate(*args, **kwargs)
        finally:
            self._now -= 1


def test_sixty_four_awaits_with_five_places_never_stall_the_loop(
    site: StubSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    purse(site, 5 * 64 + 60)
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    costs, model = handler_of(site, tmp_path), Together(seconds=0.3, usage=usage)
    waits: list[float] = []
    hear = LeaseKeeper._hear

    def watched(keeper: LeaseKeeper, allowance: Any, call_id: str, size: Any, timeout: float) -> Any:
        waits.append(timeout)
        return hear(keeper, allowance, call_id, size, timeout)

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(
            *(model.ainvoke(QUESTION, {"callbacks": [costs]}) for _ in range(64)), return_exceptions=True
        )

    monkeypatch.setattr(LeaseKeeper, "_hear", watched)
    began = time.monotonic()
    answers = asyncio.run(all_at_once())
    refusals = [answer for answer in answers if isinstance(answer, BudgetExceeded)]
    assert len(refusals) + model.calls == 64
    assert 1 <= model.most_at_once <= 5
    assert {refused.kind for refused in refusals} <= {"held", "too_large"}
    # What the loop stood still for, told by what it waited for: how long that took is the machine's.
    assert all(wait <= WAIT_FOR_AN_ANSWER_ON_LOOP_SECONDS for wait in waits)
    assert len(waits) <= 1 + (time.monotonic() - began) / BETWEEN_WAITS_ON_LOOP_SECONDS


def test_threads_that_wait_for_each_other_all_get_through(site: StubSite, tmp_path: Path) -> None:
    """Four places for sixteen calls: holds are freed as calls end, and nobody is refused for what is only held."""
    purse(site, 400)
    model = ScriptedModel(seconds=0.1, usage={"input_tokens": 1, "output_tokens": 1, "total_tokens": 2})
    costs = handler_of(site, tmp_path, held_wait_seconds=120)
    failures: list[BaseException] = []

    def call() -> None:
        try:
            model.invoke([HumanMessage("?")], {"callbacks": [costs]})
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=call) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(180)
    assert failures == []
    assert model.calls == 16
