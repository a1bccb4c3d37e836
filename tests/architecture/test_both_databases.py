"""Which tests run on which database."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.both_databases import runs

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture
def new_test(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> pytest.Item:
    """This one, as if somebody had just written it among those of the budgets."""
    node: pytest.Item = request.node
    monkeypatch.setattr(node, "path", TESTS / "budgets" / "test_news.py")
    return node


def on_both(item: pytest.Item) -> tuple[bool, bool]:
    """Whether it runs on SQLite, and on PostgreSQL."""
    return runs(item, on_postgresql=False), runs(item, on_postgresql=True)


def test_a_test_that_says_nothing_runs_on_both(new_test: pytest.Item) -> None:
    assert on_both(new_test) == (True, True)


@pytest.mark.parametrize(("mark", "where"), [("sqlite", (True, False)), ("postgresql", (False, True))])
def test_a_test_that_is_about_one_of_them_runs_there_and_says_why(
    mark: str, where: tuple[bool, bool], new_test: pytest.Item
) -> None:
    new_test.add_marker(getattr(pytest.mark, mark)("its database is a file"))
    assert on_both(new_test) == where

    new_test.own_markers.clear()
    new_test.add_marker(mark)
    with pytest.raises(pytest.UsageError, match="say why"):
        on_both(new_test)


def test_what_has_no_database_runs_once(new_test: pytest.Item, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_test, "path", TESTS / "langchain_plugin" / "test_spool.py")
    assert on_both(new_test) == (True, False)

    new_test.add_marker(pytest.mark.django_db)
    assert on_both(new_test) == (True, True)
