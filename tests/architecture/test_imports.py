"""Imports go down, messages go up. The contracts are in pyproject.toml; what they cannot say is here."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

PROJECT = Path(__file__).resolve().parents[2]
SERVER = ("agents", "budgets", "costsite")
WIRE = ("langchain_plugin.wire", "langchain_plugin.wire_leases")


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*SERVER, "langchain_plugin", cache_dir=None)


def test_the_import_contracts_hold() -> None:
    checked = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=PROJECT, capture_output=True, text=True
    )

    assert checked.returncode == 0, checked.stdout


def test_the_server_imports_the_wire_and_nothing_else_of_the_plugin(graph: grimp.ImportGraph) -> None:
    imported = {
        (module, target)
        for module in graph.modules
        if module.split(".")[0] in SERVER
        for target in graph.find_modules_directly_imported_by(module)
        if target.split(".")[0] == "langchain_plugin" and target not in WIRE
    }

    assert imported == set()


def test_only_the_ledger_itself_writes_by_raw_statements(graph: grimp.ImportGraph) -> None:
    """The demo, the API, pages and admin go through the ledger's door, where calls are counted once."""
    storage = {"agents.storage"} | graph.find_descendants("agents.storage")
    outside = {
        module
        for module in graph.modules
        if module.split(".")[0] == "costsite"
        or module.startswith(("agents.admin", "agents.management", "agents.models"))
    }

    assert {module for module in outside if storage & graph.find_modules_directly_imported_by(module)} == set()


def test_what_says_that_it_is_pure_is_held_to_it(graph: grimp.ImportGraph) -> None:
    """A module whose docstring says so stands in the contract, by itself or by its package."""
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (held,) = [contract["source_modules"] for contract in contracts if contract["id"] == "pure"]
    says_pure = {
        module
        for module in graph.modules
        if module.split(".")[0] in SERVER and re.search(r"\bPure(:|\.| of | geometry|, )|No Django", _docstring(module))
    }

    assert {"agents.clock", "agents.pricing.book", "costsite.analytics.charts"} <= says_pure
    assert {
        module for module in says_pure if not any(module == pure or module.startswith(f"{pure}.") for pure in held)
    } == set()


def _docstring(module: str) -> str:
    path = PROJECT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
