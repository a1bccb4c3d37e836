"""The report of the benchmarks: a part really runs, its figures reach the report, and what was not run stays in it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.live_site import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

from figures import Figure


def report(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "report.py"), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def kept_part(name: str) -> dict[str, Any]:
    """As an earlier run left it."""
    figure = {"what": "a batch", "value": 30.0, "unit": "µs", "beside": "raw", "baseline": 10.0, "ratio": 3.0}
    return {
        "part": name, "command": "x.py", "commit": "0123456789ab", "date": "2026-01-31", "seconds": 1.0,
        "figures": [figure],
    }  # fmt: skip


def test_a_part_that_is_run_is_in_the_report_beside_those_that_were_run_before(tmp_path: Path) -> None:
    kept = tmp_path / "benchmarks.json"
    kept.write_text(json.dumps({"parts": [kept_part("ingest"), kept_part("callback")]}))
    done = report("--quick", "--only", "memory without", "--to", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    parts = {part["part"]: part for part in json.loads(kept.read_text())["parts"]}
    assert set(parts) == {"callback", "memory without a server", "ingest"}
    (figure,) = parts["memory without a server"]["figures"]
    assert (figure["unit"], figure["at_most"]) == ("MB", 10)
    shown = (tmp_path / "benchmarks.md").read_text()
    assert f"| {figure['what']} |" in shown
    assert "| a batch | 30.0 µs | raw: 10.0 | 3.00 |" in shown
    assert "commit 0123456789ab, 2026-01-31" in shown


def test_a_part_nobody_knows_is_refused(tmp_path: Path) -> None:
    done = report("--only", "no such part", "--to", str(tmp_path))
    assert done.returncode == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (Figure("a page", 99.0, "ms", at_most=100), True),
        (Figure("a page", 101.0, "ms", at_most=100), False),
        (Figure("the callback", 30.0, "µs", "another", 20.0, 1.5, at_most=1.5), True),
        (Figure("the callback", 31.0, "µs", "another", 20.0, 1.55, at_most=1.5), False),
        (Figure("ingest", 200.0, "µs", "share of raw", 58.0, 0.29, at_least=0.3), False),
        (Figure("a stall", 49.0, "ms", "no callback", 7.0, 7.0, at_most=50, limits_value=True), True),
        (Figure("overspend", 0.0, "¢", at_most=0), True),
        (Figure("a budget's spend", 0.99, "of the limit"), None),
    ],
)
def test_a_limit_is_of_the_ratio_where_something_stands_beside_the_figure(figure: Figure, met: bool | None) -> None:
    assert figure.met is met
