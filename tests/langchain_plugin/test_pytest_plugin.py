"""The fixture `costsite` and `max_cost`, in test runs of their own, as a project that installed the plugin has them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENDED_WELL, TESTS_FAILED, USAGE_ERROR = 0, 1, 4

HEAD = """
    import asyncio, threading
    from decimal import Decimal
    import pytest
    from langchain_core.messages import AIMessage
    from langchain_plugin import CostCallbackHandler
    from tests.langchain_plugin.models import ScriptedModel

    def model(name="gpt-5-mini", provider="openai", tokens=(1_000, 100)):
        class Priced(ScriptedModel):
            def _get_ls_params(self, stop=None, **kwargs):
                return {"ls_provider": provider, "ls_model_name": name, "ls_model_type": "chat"}
        usage = {"input_tokens": tokens[0], "output_tokens": tokens[1], "total_tokens": sum(tokens)}
        return Priced(model_name=name, usage=usage)
    """


def run(tmp_path: Path, tests: str, *arguments: str) -> tuple[int, str]:
    """pytest's exit code, and what it printed, of a file of tests in a process of its own."""
    (tmp_path / "test_costs.py").write_text(dedent(HEAD) + dedent(tests))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COSTSITE_", "DJANGO_"))}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:django", "-p",
         "langchain_plugin.pytest_plugin", *arguments, str(tmp_path / "test_costs.py")],
        cwd=tmp_path, env=environment | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
                                         "HOME": str(tmp_path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return ran.returncode, ran.stdout + ran.stderr


def test_the_fixture_has_what_each_call_used_and_costs(tmp_path: Path) -> None:
    code, said = run(
        tmp_path,
        """
        def test_calls(costsite):
            costsite.price("acme-large", input=2, output=10, cache_read=0.5)
            model().invoke("Hello")
            large = model("acme-large", "acme")
            large.usage["input_token_details"] = {"cache_read": 400}
            large.invoke("Hello")
            assert [(call.model, call.input_tokens, call.output_tokens) for call in costsite.calls] == [
                ("gpt-5-mini", 1_000, 100), ("acme-large", 1_000, 100)]
            assert (costsite.input_tokens, costsite.output_tokens) == (2_000, 200)
            # gpt-5-mini: 1,000 x $0.25 + 100 x $2.00 a million = 0.025 + 0.02 cents.
            # acme-large: 600 x $2 + 400 x $0.50 + 100 x $10 a million = 0.12 + 0.02 + 0.1 cents.
            assert [call.cost_cents for call in costsite.calls] == [Decimal("0.045"), Decimal("0.24")]
            assert costsite.cost_cents == Decimal("0.285")

        def test_starts_with_nothing(costsite):
            assert (costsite.calls, costsite.cost_cents) == ([], 0)

        def test_sees_threads_and_tasks_and_callbacks_beside_it(costsite):
            own = CostCallbackHandler(agent="own")
            thread = threading.Thread(target=model().invoke, args=("Hello", {"callbacks": [own]}))
            thread.start(); thread.join()
            asyncio.run(model().ainvoke("Hello"))
            assert len(costsite.calls) == 2
            assert own.last_run.calls == 1
        """,
    )
    assert code == ENDED_WELL, said
    assert not list(tmp_path.rglob("*.jsonl")), "nothing is written"


def test_a_test_that_costs_too_much_fails_and_names_the_dearest_call(tmp_path: Path) -> None:
    code, said = run(
        tmp_path,
        """
        @pytest.mark.max_cost(cents=0.09)
        def test_just_enough():
            model().invoke("Hello")
            model().invoke("Hello")

        @pytest.mark.max_cost(cents=0.2)
        def test_too_dear():
            model().invoke("Hello")
            model(tokens=(10_000, 100)).invoke("Hello")

        @pytest.mark.max_cost(cents=0)
        def test_nothing_is_called():
            pass
        """,
    )
    # 10,000 x $0.25 + 100 x $2.00 a million = 0.27 cents; and 0.045 of the other.
    assert code == TESTS_FAILED
    assert "1 failed, 2 passed" in said
    assert (
        "Cost 0.3150¢ of at most 0.2000¢ in 2 calls. The dearest: gpt-5-mini, 0.2700¢: 10,000 in, 100 out." in said
    ), said


def test_an_unknown_cost_fails_and_says_the_mend(tmp_path: Path) -> None:
    code, said = run(
        tmp_path,
        """
        @pytest.mark.max_cost(cents=2)
        def test_unpriced():
            model("parrot-1", "acme").invoke("Hello")
        """,
    )
    assert code == TESTS_FAILED
    assert 'parrot-1 has no price here. Give it one with costsite.price("parrot-1", input=…, output=…)' in said


def test_a_test_that_fails_by_itself_says_its_own_reason(tmp_path: Path) -> None:
    code, said = run(
        tmp_path,
        """
        @pytest.mark.max_cost(cents=0)
        def test_fails():
            model().invoke("Hello")
            assert 1 == 2
        """,
    )
    assert (code, "assert 1 == 2" in said, "of at most" in said) == (TESTS_FAILED, True, False)


@pytest.mark.parametrize("mark", ["max_cost", "max_cost()", "max_cost(2)", "max_cost(cents='2')", "max_cost(cents=-1)"])
def test_a_mark_that_is_wrong_is_refused_before_anything_runs(mark: str, tmp_path: Path) -> None:
    code, said = run(tmp_path, f"@pytest.mark.{mark}\ndef test_it(): open('ran', 'w')")
    assert code == USAGE_ERROR
    assert "write @pytest.mark.max_cost(cents=2)" in said
    assert not (tmp_path / "ran").exists()


def test_loading_it_imports_nothing_but_pytest() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import langchain_plugin.pytest_plugin;"
        "print(sorted(set(sys.modules) - before))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "['langchain_plugin', 'langchain_plugin._version', 'langchain_plugin.pytest_plugin']"
