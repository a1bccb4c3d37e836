"""Configs and models are copied and pickled with the handler in them; none of that breaks, and no key travels."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage

from langchain_plugin import CostCallbackHandler
from tests.langchain_plugin.conftest import Spooled, calls_of
from tests.langchain_plugin.models import ScriptedModel


def test_a_deep_copy_of_a_config_holds_the_same_handler(handler: CostCallbackHandler) -> None:
    assert copy.deepcopy({"callbacks": [handler]})["callbacks"][0] is handler


def test_a_copied_model_reports_as_before(handler: CostCallbackHandler, spooled: Spooled) -> None:
    ScriptedModel(callbacks=[handler]).model_copy(deep=False).invoke([HumanMessage("hi")])

    assert len(calls_of(spooled())) == 1


def test_a_pickled_handler_carries_no_key_and_takes_it_from_the_environment(
    handler: CostCallbackHandler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pickled = pickle.dumps({"callbacks": [handler]})
    monkeypatch.setenv("COSTSITE_API_KEY", "cs_0123456789_test")

    [remade] = pickle.loads(pickled)["callbacks"]

    assert b"cs_0123456789" not in pickled
    assert (remade.config.agent, remade.config.state_dir) == ("support-bot", tmp_path)
    assert remade.reporter is handler.reporter
