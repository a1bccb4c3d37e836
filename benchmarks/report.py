"""Run the benchmarks one after the other and write docs/benchmarks.md, with the same as JSON beside it.

    python benchmarks/report.py [--quick] [--large] [--only TEXT ...] [--list] [--to FOLDER]
                                [--keep FOLDER] [--other-handlers PYTHON]

A line of the report is a figure: what was measured, what it stands beside in the same run, their ratio, and the target
where there is one. Ratios are what two commits or machines can be compared by; the figure of the report before stands
beside each. A part that is not run keeps the figures, commit and date it has in the report.

`--quick`: minutes instead of a quarter of an hour, and figures that are rougher for it. `--large`: the parts that need
ten million calls, and nothing else. `--only`: the parts whose name holds a text. `--keep`: the databases of pages stay
there and are used again; on PostgreSQL those of the server that DATABASE_URL names. `--other-handlers`: a Python in
whose environment langfuse and openinference-instrumentation-langchain are installed, which stand beside the callback.

Ends with 1 when a benchmark broke. A target that is missed is said, and breaks nothing: a busy machine misses some.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from textwrap import wrap
from typing import Any

from figures import FILE, Figure, loop_seconds, read

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = (
    "django", "django-ninja", "django-q2", "genai-prices", "httpx", "langchain-core", "langsmith", "psycopg",
    "pydantic", "waitress",
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    name: str
    script: str
    full: str
    """Arguments."""
    quick: str
    large: bool = False
    minutes: float = 1.0
    """About, in full, on two quiet cores."""
    about: str = ""


PARTS = (
    Part("callback", "handler_overhead.py", "", "--rounds 5 --calls 40", minutes=1,
         about="What the callback adds to the thread that calls, beside other handlers, by the size of the prompt."),
    Part("callback taken apart", "callback_account.py", "", "--rounds 20", minutes=0.3,
         about="Its parts, each alone in a loop; in a run, with other work in between, each takes several times that."),
    Part("decision under a budget", "budget_decision.py", "", "--rounds 5 --calls 60", minutes=1,
         about="What a budget adds to it, and to an event loop."),
    Part("memory without a server", "spool_memory.py", "20000", "4000", minutes=0.5,
         about="What an outage of the site costs the agent's process."),
    Part("budgets hold", "budget_holds.py", "--budgets 5 50 500 1000", "--budgets 50", minutes=1.5,
         about="64 agents in 8 processes spend one budget; each call's worst case is a hold."),
    Part("budgets hold, 1 process", "budget_holds.py", "--processes 1 --threads 64 --budgets 1000",
         "--processes 1 --threads 8 --budgets 100", minutes=0.3),
    Part("budgets hold, 64 processes", "budget_holds.py", "--processes 64 --threads 1 --budgets 1000",
         "--processes 16 --threads 1 --budgets 100", minutes=1.5),
    Part("budgets hold, server killed", "budget_holds.py", "--budgets 300 --kill server", "--budgets 100 --kill server",
         minutes=0.7),
    Part("ingest", "ingest.py", "", "--rounds 3 --batches 4 --calls 50000", minutes=2.5,
         about="What an event costs the server, beside the least a database can do with it: executemany of finished"
         " rows."),
    Part("ingest with budgets", "ingest_with_budgets.py", "", "--rounds 5 --batches 4", minutes=0.7),
    Part("writers on PostgreSQL", "postgresql_writers.py", "", "--rounds 2 --batches 5", minutes=2,
         about="Eight processes write at once, with everything; one writes finished rows, beside COPY."),
    Part("leases on a busy site", "lease_latency.py", "--seconds 30 --calls 100000", "--seconds 8 --calls 5000",
         minutes=1.2, about="SQLite; beside them a rebuild, admin saves, the background service and four clients."),
    Part("advice", "advice.py", "", "--calls 50000 --rounds 3", minutes=1.5,
         about="The review of a month, its memory, and what its page costs."),
    Part("advice that is right", "advice_precision.py", "--months 2", "--months 1 --plant 1", minutes=1),
    Part("pages", "pages.py", "--calls 500000 --rounds 5", "--calls 20000 --agents 50 --rounds 2", minutes=1.5,
         about="A year of 500 agents; every page, by who runs the site and by a member of three workspaces."),
    Part("pages beside fewer calls", "pages.py", "--calls 500000 --smaller 5000 --rounds 5",
         "--calls 20000 --smaller 2000 --agents 50 --rounds 2", minutes=2,
         about="The same agents, days and models, a hundred times the calls a day."),
    Part("soak", "soak.py", "--minutes 30", "", large=True, minutes=31,
         about="Agents, their site and its reader for half an hour at 50 calls a second: does memory stay flat?"),
    Part("pages, ten million", "pages.py", "--calls 10000000", "", large=True, minutes=10),
    Part("pages, ten million, PostgreSQL", "pages.py", "--database postgresql --calls 10000000", "", large=True,
         minutes=12),
    Part("pages beside fewer calls, ten million", "pages.py", "--calls 10000000 --smaller 100000", "", large=True,
         minutes=12),
    Part("pages beside fewer calls, ten million, PostgreSQL", "pages.py",
         "--database postgresql --calls 10000000 --smaller 100000", "", large=True, minutes=15),
    Part("advice, ten million", "advice.py", "--calls 1000000 --older 9000000", "", large=True, minutes=8),
)  # fmt: skip


@dataclass
class Ran:
    """A part, as it ran last."""

    part: str
    command: str
    commit: str
    date: str
    seconds: float
    quick: bool = False
    failed: bool = False
    figures: list[Figure] = field(default_factory=list)
    load: float = 0.0
    """Of the system in the minute before it began, per processor."""

    @classmethod
    def of(cls, row: dict[str, Any]) -> Ran:
        return cls(**row | {"figures": [Figure(**figure) for figure in row["figures"]]})


def run(part: Part, *, quick: bool, python: str, keep: str = "") -> Ran:
    """Run a part, showing what it prints."""
    arguments = (part.quick if quick else part.full).split()
    command = " ".join([part.script, *arguments])
    if keep and part.script == "pages.py":
        arguments += ["--keep", keep]
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    print(f"\n── {part.name}: {command}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "figures"
        began = time.monotonic()
        environment = os.environ | {FILE: str(lines), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        code = subprocess.call([python, str(ROOT / "benchmarks" / part.script), *arguments], cwd=ROOT, env=environment)
        seconds = time.monotonic() - began
        figures = read(lines)
    return Ran(
        part.name, command, commit(), f"{datetime.now(UTC):%Y-%m-%d}", round(seconds, 1), quick, code != 0, figures,
        round(load, 2),
    )  # fmt: skip


# ── about the machine ────────────────────────────────────────────────────────────────────────────────────────────────


def commit() -> str:
    """With a plus where files differ from it."""
    try:
        named = subprocess.check_output(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, text=True).strip()
        changed = subprocess.check_output(["git", "status", "--porcelain", "-uno", "--", ":!docs"], cwd=ROOT, text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return named + ("+" if changed.strip() else "")


def machine() -> dict[str, str]:
    cpu, memory = platform.processor() or platform.machine(), ""
    if (info := Path("/proc/cpuinfo")).exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    if (info := Path("/proc/meminfo")).exists():
        memory = f", {int(info.read_text().split()[1]) / 1e6:.0f} GB"
    return {
        "machine": f"{os.cpu_count()} × {cpu}{memory}",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}, Python {platform.python_version()}",
        "speed": f"a loop of ten million turns takes Python {min(loop_seconds() for _ in range(3)):.2f} s of CPU",
    }


def libraries() -> str:
    found = [f"SQLite {sqlite3.sqlite_version}"]
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


# ── the report ───────────────────────────────────────────────────────────────────────────────────────────────────────


def number(value: float) -> str:
    """Three digits that count, without an exponent."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


def row(figure: Figure, before: Figure | None) -> str:
    beside = f"{figure.beside}: {number(figure.baseline)}" if figure.beside and figure.baseline else figure.beside
    ratio = (
        "" if figure.ratio is None else number(figure.ratio) if figure.beside else f"{figure.ratio:.0%} of the limit"
    )
    last = "" if before is None or before.ratio is None else number(before.ratio)
    limit = figure.at_most if figure.at_most is not None else figure.at_least
    target = ""
    if limit is not None:
        of_value = figure.limits_value or not figure.beside
        bound = f"{'at most' if figure.at_most is not None else 'at least'} {number(limit)}"
        target = f"{bound} {figure.unit}" if of_value else f"{bound} times"
    met = {None: "", True: "met", False: "**missed**"}[figure.met]
    cells = (figure.what, f"{number(figure.value)} {figure.unit}", beside, ratio, last, target, met)
    return "| " + " | ".join(cells) + " |"


WIDTH = 120
INTRODUCTION = (
    "Written by `make bench`; [benchmarks.json](benchmarks.json) is the same for programs. A line is a figure, what it",
    "stands beside in the same run, and the ratio of the two, which is what another commit or machine can be compared",
    "by; *last* is the ratio of the report before. Times of a page or a batch are CPU time, which other work on the",
    "machine disturbs little; *load* is how many processes wanted each processor when a part began.",
)


def text(ran: list[Ran], before: dict[str, Figure], head: dict[str, str]) -> str:
    about = {part.name: part.about for part in PARTS}
    targets = [figure for one in ran for figure in one.figures if figure.met is not None]
    missed = [figure for figure in targets if not figure.met]
    lines = [
        "# Benchmarks",
        "",
        *INTRODUCTION,
        "",
        *(line for value in head.values() for line in wrap(f"- {value}", WIDTH, subsequent_indent="  ")),
        "",
        *wrap(
            f"{len(targets) - len(missed)} of {len(targets)} targets met."
            + (f" Missed: {'; '.join(figure.what for figure in missed)}." if missed else ""),
            WIDTH,
        ),
    ]  # fmt: skip
    for one in ran:
        said = f"`{one.command}`, {one.seconds:,.0f} s at load {one.load:.1f}, commit {one.commit}, {one.date}"
        said += ", quick and rough" if one.quick else ""
        lines += ["", f"## {one.part[0].upper()}{one.part[1:]}", ""]
        lines += [*wrap(about[one.part], WIDTH), ""] if about.get(one.part) else []
        lines += wrap(said + ("; **it broke**." if one.failed else "."), WIDTH)
        if one.figures:
            lines += ["", "| figure | measured | beside | ratio | last | target | |", "| --- " * 7 + "|"]
            lines += [row(figure, before.get(f"{one.part}: {figure.what}")) for figure in one.figures]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT")
    parser.add_argument("--list", action="store_true", help="the parts, and how long each takes")
    parser.add_argument("--to", type=Path, default=ROOT / "docs")
    parser.add_argument("--keep", default="", metavar="FOLDER")
    parser.add_argument("--other-handlers", default=sys.executable, metavar="PYTHON")
    options = parser.parse_args()
    parts = [part for part in PARTS if part.large == options.large and any(only in part.name for only in options.only)]
    if options.list:
        for part in PARTS:
            print(f"{part.minutes:5.1f} minutes  {part.name}{'  (--large)' if part.large else ''}")
        return 0
    if not parts:
        parser.error("No part has such a name; --list says those there are.")
    kept = options.to / "benchmarks.json"
    known = json.loads(kept.read_text(encoding="utf-8"))["parts"] if kept.exists() else []
    ran = {one.part: one for one in map(Ran.of, known)}
    before = {f"{one.part}: {figure.what}": figure for one in ran.values() for figure in one.figures}
    head = machine() | {"libraries": libraries()}
    for part in parts:
        python = options.other_handlers if part.script == "handler_overhead.py" else sys.executable
        ran[part.name] = run(part, quick=options.quick, python=python, keep=options.keep)
        in_order = [ran[each.name] for each in PARTS if each.name in ran]
        # After each part: a run that is broken off keeps what it has.
        options.to.mkdir(parents=True, exist_ok=True)
        kept.write_text(
            json.dumps(head | {"parts": [asdict(one) for one in in_order]}, indent=1, ensure_ascii=False) + "\n",
            encoding="utf-8",
        )
        (options.to / "benchmarks.md").write_text(text(in_order, before, head), encoding="utf-8")
    broken = [part.name for part in parts if ran[part.name].failed]
    missed = [figure.what for part in parts for figure in ran[part.name].figures if figure.met is False]
    print(f"\n{sum(ran[part.name].seconds for part in parts) / 60:.1f} minutes; {options.to / 'benchmarks.md'}")
    print(f"missed: {'; '.join(missed) or 'none'}" + (f"\nbroken: {', '.join(broken)}" if broken else ""))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
