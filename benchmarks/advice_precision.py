"""How well the review finds what was planted in a made month: precision and recall, by cause.

    python benchmarks/advice_precision.py [--months 5] [--plant 3]

Each month has four agents with runs of skewed cost: of few and of many calls, with and without a prompt cache, steady
and wide. Into each agent's month `--plant` runs of every cause are put. Found is a run that the review marked; named,
one whose likeliest cause is the planted one. The same months without a planted run say what a quiet month raises.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from figures import note

DAYS = 28


def agents() -> list[Any]:
    from tests.advice.planted import Agent

    return [
        Agent("support-bot"),
        Agent("one-shot", more_calls=0.0, spread=0.5, context=900, runs_a_day=25),
        Agent("researcher", more_calls=0.75, grows=400, context=2_500, runs_a_day=6),
        Agent("wide", spread=0.6, runs_a_day=10),
    ]


def booked(workspace: Any, seed: int, first: datetime, plant: tuple[str, ...]) -> dict[Any, str]:
    """Book a month of every agent; the planted runs with their causes."""
    from agents import ledger
    from tests.advice.planted import Month

    planted: dict[Any, str] = {}
    for agent in agents():
        month = Month(agent, first, DAYS, seed)
        events = month.events(plant)
        while batch := list(islice(events, 500)):
            ledger.record(workspace, list(enumerate(batch)), client=None, received_at=first + timedelta(days=DAYS + 1))
        planted |= month.planted
    return planted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--months", type=int, default=5)
    parser.add_argument("--plant", type=int, default=3, help="runs of each cause in each agent's month")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="costsite-precision-") as folder:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "costsite.settings", "DATABASE_URL": "", "COSTSITE_LOG_LEVEL": "WARNING",
            "COSTSITE_STATE_DIR": folder, "COSTSITE_TIME_ZONE": "UTC",
        }  # fmt: skip
        import django

        django.setup()
        from django.core.management import call_command

        from agents.models import AgentRunLog, ModelPrice, Workspace
        from costsite.advice.models import Advice, RunReview
        from costsite.advice.nightly import review
        from tests.advice.planted import ALL_CAUSES, DEARER, MODEL

        call_command("migrate", verbosity=0)
        for model, times in ((MODEL, 1), (DEARER, 10)):
            ModelPrice.objects.create(
                provider="acme-ai", model=model, input_per_million=Decimal(times),
                output_per_million=Decimal(2 * times), cache_read_per_million=Decimal(times) / 10,
                effective_from=datetime(2025, 1, 1, tzinfo=UTC),
            )  # fmt: skip
        first = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS + 1)
        through = (first + timedelta(days=DAYS)).date()
        right: Counter[str] = Counter()
        found: Counter[str] = Counter()
        put: Counter[str] = Counter()
        marked = ordinary = quiet_marked = quiet_runs = quiet_advice = 0
        for seed in range(1, arguments.months + 1):
            workspace = Workspace.objects.create(slug=f"month-{seed}", name=f"Month {seed}")
            planted = booked(workspace, seed, first, ALL_CAUSES * arguments.plant)
            review(through, workspace=workspace)
            put.update(planted.values())
            reviews = RunReview.objects.filter(workspace=workspace)
            for run_id, cause in reviews.values_list("run__run_id", "cause"):
                marked += 1
                found[planted.get(run_id, "")] += 1
                right[cause] += planted.get(run_id) == cause
            ordinary += AgentRunLog.objects.filter(workspace=workspace).count() - len(planted)
            quiet = Workspace.objects.create(slug=f"quiet-{seed}", name=f"Quiet {seed}")
            booked(quiet, 1_000 + seed, first, ())
            review(through, workspace=quiet)
            quiet_runs += AgentRunLog.objects.filter(workspace=quiet).count()
            quiet_marked += RunReview.objects.filter(workspace=quiet).count()
            quiet_advice += Advice.objects.filter(workspace=quiet).count()
        good = sum(found[cause] for cause in ALL_CAUSES)
        print(f"{sum(put.values())} planted among {ordinary:,} ordinary runs: {marked} marked, {good} of them planted")
        print(f"precision {good / marked:.3f}, recall {good / sum(put.values()):.3f}")
        note("planted runs found: precision", good / marked, "of marked runs")
        note("planted runs found: recall", good / sum(put.values()), "of planted runs")
        note("found runs whose cause is right", sum(right.values()) / max(1, good), "of found runs")
        note("quiet months: advice raised", quiet_advice, "pieces", at_most=0)
        for cause in ALL_CAUSES:
            print(f"  {cause:16} found {found[cause]:3} of {put[cause]:3}, named rightly {right[cause]:3}")
        print(f"quiet months: {quiet_runs:,} runs, {quiet_marked} marked, {quiet_advice} pieces of advice")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
