"""A site hears of each call once, whatever the handlers are called with that report to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda

from langchain_plugin import CostCallbackHandler
from langchain_plugin.config import Config
from tests.langchain_plugin.conftest import calls_of
from tests.langchain_plugin.models import ScriptedModel


def handler_for(folder: Path, **settings: Any) -> CostCallbackHandler:
    return CostCallbackHandler(
        **{"agent": "bot", "api_key": "cs_0123456789_a", "url": "http://127.0.0.1:9", "state_dir": folder} | settings
    )


def spooled_in(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in folder.rglob("*.jsonl") for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"api_key": "cs_9876543210_b"}, id="another key"),
        pytest.param({"url": "HTTP://127.0.0.1:9/"}, id="another spelling"),
        pytest.param({"url": "http://localhost:9/api/v1/"}, id="another name of this machine"),
        pytest.param({"state_dir": "elsewhere"}, id="another folder"),
    ],
)
def test_two_handlers_for_one_site_count_a_call_once_and_both_show_it(other: dict[str, str], tmp_path: Path) -> None:
    if "state_dir" in other:
        other = {"state_dir": str(tmp_path / other["state_dir"])}
    handlers = [handler_for(tmp_path), handler_for(tmp_path, **other)]
    agent = RunnableLambda(lambda question: ScriptedModel().invoke(question))

    agent.invoke("hi", {"callbacks": handlers})

    assert [event["type"] for event in spooled_in(tmp_path)] == ["run_started", "llm_call", "run_ended"]
    for handler in handlers:
        assert handler.last_run is not None
        assert handler.last_run.calls == 1


def test_two_sites_hear_of_a_call_each(tmp_path: Path) -> None:
    handlers = [handler_for(tmp_path), handler_for(tmp_path, url="http://127.0.0.1:19")]
    ScriptedModel().invoke("hi", {"callbacks": handlers})
    assert len(calls_of(spooled_in(tmp_path))) == 2


@pytest.mark.parametrize("silent", [{"api_key": None}, {"disabled": True}])
def test_a_handler_that_sends_nothing_keeps_no_other_from_it(
    silent: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COSTSITE_API_KEY", raising=False)
    handlers = [handler_for(tmp_path, **silent), handler_for(tmp_path)]
    ScriptedModel().invoke("hi", {"callbacks": handlers})
    assert len(calls_of(spooled_in(tmp_path))) == 1


def test_a_call_that_only_another_keys_handler_sees_is_no_part_of_this_keys_run(tmp_path: Path) -> None:
    # That run may be of another workspace, which must not get half of it.
    of_run, of_call = handler_for(tmp_path), handler_for(tmp_path, api_key="cs_9876543210_b", agent="other")
    run_id, call_id = uuid4(), uuid4()
    of_run.on_chain_start({}, {}, run_id=run_id)
    of_call.on_chat_model_start({}, [[HumanMessage("hi")]], run_id=call_id, parent_run_id=run_id)
    of_call.on_llm_error(ValueError(), run_id=call_id)
    of_run.on_chain_end({}, run_id=run_id)
    (event,) = spooled_in(tmp_path)
    assert (event["agent"], event["is_root"], event["call_id"]) == ("other", True, event["run_id"])


@pytest.mark.parametrize(
    ("spelling", "kept"),
    [
        ("HTTP://Costs.Example.COM", "http://costs.example.com"),
        ("https://costs.example.com:443//", "https://costs.example.com"),
        ("http://costs.example.com:80/Sub/api/v1/", "http://costs.example.com/Sub"),
        ("http://costs.example.com:443", "http://costs.example.com:443"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
        ("http://[::1]", "http://[::1]"),
    ],
)
def test_a_site_has_one_spelling(spelling: str, kept: str, tmp_path: Path) -> None:
    config, plain = (Config.resolve(url=url, state_dir=tmp_path, environ={}) for url in (spelling, kept))
    assert (config.url, config.spool_folder) == (kept, plain.spool_folder)
