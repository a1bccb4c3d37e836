from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from uuid import uuid4

import pytest

from langchain_plugin import wire
from langchain_plugin.news import MAX_SIZES_KEPT, News
from tests.langchain_plugin.conftest import MakeReporter
from tests.langchain_plugin.stub_site import StubSite, leave


def prices(price: int) -> wire.UnitPrices:
    return wire.UnitPrices(
        input=price, output=price, cache_read=price, cache_write_5m=price, cache_write_1h=price, reasoning=price,
        input_audio=price, output_audio=price,
    )  # fmt: skip


def entry(model: str, price: int | None, *, tier: str = "", up_to: int | None = None) -> wire.PriceCardEntry:
    return wire.PriceCardEntry(
        provider="openai",
        model=model,
        service_tier=tier,
        prices=None if price is None else prices(price),
        valid_up_to_input_tokens=up_to,
    )


def receipt(**told: object) -> wire.Receipt:
    return wire.Receipt.model_validate({"batch_id": uuid4(), "accepted": [], "duplicates": [], "rejected": []} | told)


def test_a_price_is_of_a_model_a_tier_and_a_size_of_context() -> None:
    news = News(None)
    card = [entry("big", 300), entry("big", 200, up_to=200_000), entry("big", 150, tier="flex"), entry("odd", None)]
    news.tell(receipt(price_card=card))
    assert news.unit_prices("openai", "big", "", 1_000) == prices(200)
    assert news.unit_prices("openai", "big", "", 200_000) == prices(200)
    assert news.unit_prices("openai", "big", "", 200_001) == prices(300)
    assert news.unit_prices("openai", "big", "flex", 300_000) == prices(150)
    assert news.unit_prices("openai", "big", "priority") is None
    assert news.unit_prices("azure", "big") is None


def test_unpriced_and_not_yet_known_are_told_apart() -> None:
    news = News(None)
    news.tell(receipt(price_card=[entry("odd", None), entry("small", 5, up_to=1_000)]))
    assert (news.unit_prices("openai", "odd"), news.knows_model("openai", "odd")) == (None, True)
    assert (news.unit_prices("openai", "new"), news.knows_model("openai", "new")) == (None, False)
    assert (news.unit_prices("openai", "small", "", 1_001), news.knows_model("openai", "small", "", 1_001)) == (
        None,
        False,
    )


def test_a_new_card_replaces_all_it_says_of_a_model_and_nothing_else() -> None:
    news = News(None)
    news.tell(receipt(price_card=[entry("a", 1, up_to=10), entry("a", 2), entry("b", 3)]))
    news.tell(receipt(price_card=[entry("a", 4)]))
    assert news.unit_prices("openai", "a", "", 5) == prices(4)
    assert news.unit_prices("openai", "b") == prices(3)


def test_settings_and_budgets_are_by_agent_and_the_last_word_holds() -> None:
    news = News(None)
    assert (news.agent_settings("bot"), news.budget("bot")) == (None, None)
    news.tell(
        receipt(
            agent_settings=[wire.AgentSettings(agent="bot", effort="low")],
            budgets=[wire.BudgetNews(agent="bot", spent_microcents=1, limit_microcents=10)],
        )
    )
    news.tell(receipt(budgets=[wire.BudgetNews(agent="bot", spent_microcents=2, limit_microcents=10)]))
    news.tell(receipt())
    settings, budget = news.agent_settings("bot"), news.budget("bot")
    assert settings is not None
    assert budget is not None
    assert (settings.effort, budget.spent_microcents) == ("low", 2)


def test_the_next_process_knows_the_key_the_prices_and_the_settings_from_the_start(tmp_path: Path) -> None:
    told = receipt(
        hash_key="5ec4e7" * 4,
        price_card=[entry("big", 200, up_to=200_000), entry("big", 300), entry("odd", None)],
        agent_settings=[wire.AgentSettings(agent="bot", active=False)],
        budgets=[wire.BudgetNews(agent="bot", spent_microcents=1, limit_microcents=10)],
    )
    News(tmp_path / "spool").tell(told)
    news = News(tmp_path / "spool")
    assert news.hash_key == "5ec4e7" * 4
    assert news.unit_prices("openai", "big", "", 200_001) == prices(300)
    assert news.knows_model("openai", "odd")
    settings = news.agent_settings("bot")
    assert settings is not None
    assert not settings.active
    assert news.budget("bot") is None, "what was spent is old news"
    assert (tmp_path / "spool" / "news.json").stat().st_mode & 0o777 == 0o600
    assert len(list((tmp_path / "spool").iterdir())) == 1, "nothing unfinished lies about"


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"hash_key": 1, "price_card": [{}]}'])
def test_what_was_kept_but_cannot_be_read_is_as_good_as_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "news.json").write_bytes(content)
    news = News(tmp_path)
    assert news.hash_key == ""
    news.tell(receipt(hash_key="f4e5" * 8))
    assert News(tmp_path).hash_key == "f4e5" * 8


def test_a_receipt_without_news_does_not_touch_the_disk(tmp_path: Path) -> None:
    news = News(tmp_path)
    told = receipt(hash_key="5ec4e7" * 4, price_card=[entry("a", 1)])
    news.tell(told)
    before = (tmp_path / "news.json").stat().st_mtime_ns
    time.sleep(0.02)
    news.tell(told)
    assert (tmp_path / "news.json").stat().st_mtime_ns == before


def test_what_a_lease_ended_is_ended_for_the_next_process_too(tmp_path: Path) -> None:
    effort, none = (wire.AgentSettings(agent="bot", effort=effort) for effort in ("high", ""))
    first = News(tmp_path)
    first.tell(receipt(agent_settings=[effort]))
    assert News(tmp_path).agent_settings("bot") == effort

    first.tell_settings(none)
    first.keep()
    assert News(tmp_path).agent_settings("bot") == none

    # A process that learned it from the file, and hears it from a lease and a Receipt: no change from either.
    before = (tmp_path / "news.json").stat().st_ino
    second = News(tmp_path)
    second.tell_settings(none)
    second.keep()
    second.tell(receipt(agent_settings=[none]))
    assert (tmp_path / "news.json").stat().st_ino == before, "every writing makes a new file"


def test_a_lease_that_a_process_is_granted_writes_down_the_settings_it_came_with(
    make_reporter: MakeReporter, site: StubSite
) -> None:
    site.lease_answer = lambda asked: leave(asked, agent_settings={"agent": "bot", "compact_at_tokens": 9_000})
    earlier = make_reporter()
    earlier.news.tell(receipt(agent_settings=[wire.AgentSettings(agent="bot", compact_at_tokens=5_000)]))
    assert earlier.leases is not None
    earlier.leases.of("bot")
    deadline = time.monotonic() + 60
    while (settings := make_reporter().news.agent_settings("bot")) is None or settings.compact_at_tokens != 9_000:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_who_waits_hears_of_the_receipt_that_makes_it_true_and_hastens_it() -> None:
    hastened: list[bool] = []
    news = News(None, hasten=lambda: hastened.append(True))
    threading.Timer(0.1, lambda: news.tell(receipt())).start()
    threading.Timer(0.3, lambda: news.tell(receipt(price_card=[entry("a", 1)]))).start()
    began = time.monotonic()
    assert news.wait_for(lambda: news.knows_model("openai", "a"), timeout=60)
    assert 0.25 < time.monotonic() - began < 50
    assert hastened == [True]
    assert news.wait_for(lambda: True, timeout=0)
    assert hastened == [True], "nobody waited"


def test_who_waits_in_vain_waits_no_longer_than_asked() -> None:
    began = time.monotonic()
    assert not News(None).wait_for(lambda: False, timeout=0.2)
    assert 0.2 <= time.monotonic() - began < 30


@pytest.mark.parametrize(
    "absurd",
    [
        {"prices": prices(1).model_dump() | {"output": -1}},
        {"prices": prices(1).model_dump() | {"input": 10**4000}},
        {"prices": prices(1).model_dump() | {"request": 10**18 + 1}},
        {"prices": {"input": 1}},
        {"model": "m" * 201},
        {"valid_up_to_input_tokens": -5},
        {"valid_up_to_input_tokens": 2**63},
    ],
)
def test_a_price_that_makes_no_sense_is_left_out_and_all_else_of_the_receipt_holds(
    absurd: dict[str, object], tmp_path: Path
) -> None:
    card = [entry("a", 1).model_dump() | absurd, entry("b", 2).model_dump()]
    told = {"batch_id": str(uuid4()), "accepted": [0], "duplicates": [], "rejected": [], "price_card": card}
    read = wire.Receipt.model_validate_json(json.dumps(told))
    assert read.names_every_event(1)
    news = News(tmp_path)
    news.tell(read)
    assert not news.knows_model("openai", "a")
    assert news.unit_prices("openai", "b") == prices(2)

    kept = {"hash_key": "", "agent_settings": [{"agent": ""}, {"agent": "bot"}, 5], "price_card": card}
    (tmp_path / "news.json").write_text(json.dumps(kept))
    next_process = News(tmp_path)
    assert not next_process.knows_model("openai", "a")
    assert next_process.unit_prices("openai", "b") == prices(2)
    assert next_process.agent_settings("bot") == wire.AgentSettings(agent="bot")


def test_settings_budgets_and_notices_that_make_no_sense_are_left_out_too() -> None:
    told = receipt(
        agent_settings=[{"agent": "a" * 201}, {"agent": "bot", "effort": "low"}],
        budgets=[
            {"agent": "bot", "spent_microcents": 1, "limit_microcents": -1},
            {"agent": "bot", "spent_microcents": 10**30, "limit_microcents": 1},
        ],
        notices=[{"code": 5}, {"code": "a", "message": "b"}],
    )
    assert told.agent_settings == [wire.AgentSettings(agent="bot", effort="low")]
    assert told.budgets == []
    assert told.notices == [wire.Notice(code="a", message="b")]


@pytest.mark.parametrize("hash_key", ["secret", "0" * 15, "0" * 129, "A" * 32, "0" * 31 + "\n", "\ud800" * 16])
def test_a_key_for_hashes_that_is_none_is_not_taken(hash_key: str, tmp_path: Path) -> None:
    news = News(tmp_path)
    news.tell(receipt().model_copy(update={"hash_key": hash_key}))
    assert news.hash_key == ""
    kept = {"hash_key": hash_key, "agent_settings": [], "price_card": []}
    (tmp_path / "news.json").write_text(json.dumps(kept))
    assert News(tmp_path).hash_key == ""


def test_one_model_has_a_bounded_number_of_prices() -> None:
    news = News(None)
    news.tell(receipt(price_card=[entry("a", size, up_to=size) for size in range(1, 1_000)]))
    assert news.unit_prices("openai", "a", "", 999) == prices(999)
    assert news.unit_prices("openai", "a", "", 1) == prices(1_000 - MAX_SIZES_KEPT)


def test_a_pipe_or_a_link_in_the_place_of_the_news_is_neither_waited_for_nor_followed(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    os.mkfifo(folder / "news.json")
    loaded: list[str] = []
    reading = threading.Thread(target=lambda: loaded.append(News(folder).hash_key), daemon=True)
    reading.start()
    reading.join(5)
    assert loaded == [""]

    (folder / "news.json").unlink()
    elsewhere = tmp_path / "elsewhere.json"
    kept = json.dumps({"hash_key": "0" * 32, "agent_settings": [], "price_card": []})
    elsewhere.write_text(kept)
    (folder / "news.json").symlink_to(elsewhere)
    news = News(folder)
    assert news.hash_key == ""
    news.tell(receipt(hash_key="f4e5" * 8))
    assert News(folder).hash_key == "f4e5" * 8, "the link itself was replaced"
    assert elsewhere.read_text() == kept


def test_news_in_a_folder_that_anybody_may_write_to_are_not_believed(tmp_path: Path) -> None:
    News(tmp_path).tell(receipt(hash_key="f4e5" * 8))
    assert News(tmp_path).hash_key == "f4e5" * 8
    tmp_path.chmod(0o777)
    assert News(tmp_path).hash_key == ""
