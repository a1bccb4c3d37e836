"""Imports go down, messages go up. The contracts are in pyproject.toml; what they cannot say is here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import grimp
import pytest

PROJECT = Path(__file__).resolve().parents[2]
SERVER = ("agents", "costsite")


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
        if target.split(".")[0] == "langchain_plugin" and target != "langchain_plugin.wire"
    }

    assert imported == set()


def test_nobody_but_the_ledger_and_its_readers_writes_calls(graph: grimp.ImportGraph) -> None:
    """The demo goes through the ledger's door like everyone else."""
    for module in graph.find_descendants("costsite.demo"):
        assert "agents.storage" not in graph.find_modules_directly_imported_by(module), module
