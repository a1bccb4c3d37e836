"""For pytest: the fixture `costsite`, and `@pytest.mark.max_cost(cents=2)`. docs/costs-in-tests.md shows both.

pytest loads this at every start, so nothing is imported here that a test without them does not need.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from decimal import Decimal

    from langchain_plugin.testing import Recording

MARK = "max_cost"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"{MARK}(cents): fail when the test's model calls cost more, or their cost is not known"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker(MARK) is not None:
            limit_of(item)  # what is wrong with the mark is said before anything runs
            if isinstance(item, pytest.Function) and "costsite" not in item.fixturenames:
                item.fixturenames.insert(0, "costsite")


@pytest.fixture
def costsite() -> Iterator[Recording]:
    """What this test's model calls use: `costsite.calls`, `costsite.input_tokens`, `costsite.cost_cents`."""
    from langchain_plugin.testing import Recording, record

    recording = Recording()
    record(recording)
    yield recording
    record(None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    result = yield
    if item.get_closest_marker(MARK) is not None:
        recording: Recording = item.funcargs["costsite"]  # type: ignore[attr-defined]
        if reason := recording.too_dear(limit_of(item)):
            pytest.fail(reason, pytrace=False)
    return result


def limit_of(item: pytest.Item) -> Decimal:
    """The mark's cents.

    Raises:
        pytest.UsageError: It has none.

    """
    from decimal import Decimal

    mark = item.get_closest_marker(MARK)
    cents = mark.kwargs.get("cents") if mark is not None and not mark.args and len(mark.kwargs) == 1 else None
    if isinstance(cents, bool) or not isinstance(cents, int | float | Decimal) or not 0 <= cents < float("inf"):
        raise pytest.UsageError(f"{item.nodeid}: write @pytest.mark.{MARK}(cents=2), with a number of cents from 0 on.")
    return Decimal(str(cents))
