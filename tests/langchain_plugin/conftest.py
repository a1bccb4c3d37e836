"""A handler whose spool can be read, since no server answers; and reporters of a site that answers as it is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from langchain_plugin import CostCallbackHandler
from langchain_plugin.config import Config
from langchain_plugin.handler import _trees
from langchain_plugin.reporter import Reporter, _all
from tests.langchain_plugin.stub_site import StubSite

KEY = "cs_0123456789_the-secret-part"
Spooled = Callable[[], list[dict[str, Any]]]
MakeReporter = Callable[..., Reporter]
"""From settings by name; it reports to `site`, and hardly waits before it does."""


@pytest.fixture(autouse=True)
def no_thread_outlives_its_test() -> Iterator[None]:
    """One that did would try to reach a site that is gone, and say so while the next test reads the log."""
    before = set(_all)
    yield
    _trees.clear()  # all that report to one address share the table of open calls, as in one process
    for reporter in set(_all) - before:
        if reporter.leases is not None:  # first: it reports refusals, with which a sender would start again
            reporter.leases.stop()
            _has_ended(reporter.leases._thread)
        thread = reporter._sender._thread
        reporter.close()
        _has_ended(thread)


def _has_ended(thread: Thread | None) -> None:
    if thread is not None:
        thread.join(20)  # a request may take 15 seconds
        assert not thread.is_alive()


@pytest.fixture
def handler(tmp_path: Path) -> CostCallbackHandler:
    # A port that nothing listens on: the discard port of this machine.
    return CostCallbackHandler(
        agent="support-bot", api_key="cs_0123456789_test", url="http://127.0.0.1:9", state_dir=tmp_path
    )


@pytest.fixture
def spooled(handler: CostCallbackHandler, tmp_path: Path) -> Spooled:
    """What lies in the spool of `handler`, in the order it was written."""

    def read() -> list[dict[str, Any]]:
        files = sorted(path for path in tmp_path.rglob("*.jsonl") if path.name != "rejected.jsonl")
        return [json.loads(line) for path in files for line in path.read_text().splitlines() if line]

    return read


def calls_of(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] == "llm_call"]


@pytest.fixture
def site() -> Iterator[StubSite]:
    stub = StubSite()
    yield stub
    stub.close()


@pytest.fixture
def costs(site: StubSite, tmp_path: Path) -> CostCallbackHandler:
    """A handler that hardly waits before it reports to `site`."""
    return CostCallbackHandler(
        agent="support-bot", api_key=KEY, url=site.url, state_dir=tmp_path, send_after_seconds=0.05
    )


@pytest.fixture
def make_reporter(site: StubSite, tmp_path: Path) -> MakeReporter:
    def make(**settings: Any) -> Reporter:
        settings = {"url": site.url, "send_after_seconds": 0.05, "retry_max_seconds": 0.05} | settings
        return Reporter(Config.resolve(api_key=KEY, state_dir=tmp_path, environ={}, **settings))

    return make
