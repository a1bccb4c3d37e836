"""What budgets do when the ledger announces something. Inside its transaction: a failure here undoes the record, and it
comes again.
"""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from agents.models import AgentMerge
from agents.moving import MovedCalls
from agents.recorded import Recorded
from agents.repricing import Corrected
from agents.signals import (
    agents_merged,
    agents_registered,
    costs_corrected,
    days_moved,
    merge_settling,
    merged_calls_moved,
    usage_recorded,
    usage_summed,
)
from agents.storage import Row
from agents.time_zone import Moved
from budgets import merged
from budgets.counters import Counting, add_spend, start_counting
from budgets.defaults import give_default_budgets


@receiver(usage_recorded)
def count_usage(recorded: Recorded, **_kwargs: Any) -> None:
    counting = start_counting(recorded.workspace.pk, recorded.spent, recorded.spent_by_lease, days=recorded.days)
    if counting is not None:
        recorded.counted, recorded.last = counting, counting.additions()


@receiver(usage_summed)
def note_lines(recorded: Recorded, last: list[Row], **_kwargs: Any) -> None:
    if isinstance(recorded.counted, Counting):
        recorded.counted = recorded.counted.finish(counters=last)


@receiver(agents_registered)
def give_budgets(workspace_id: int, agent_ids: list[int], **_kwargs: Any) -> None:
    give_default_budgets(workspace_id, agent_ids)


@receiver(costs_corrected)
def count_corrections(corrected: Corrected, **_kwargs: Any) -> None:
    add_spend(corrected.workspace_id, corrected.spent, corrected.spent_by_lease)


@receiver(days_moved)
def count_moved_days(moved: Moved, **_kwargs: Any) -> None:
    """Under another time zone a call of the last night of a month may be one of the next month."""
    add_spend(moved.workspace_id, moved.spent, {})


@receiver(agents_merged)
def end_budget(merge: AgentMerge, **_kwargs: Any) -> None:
    merged.end_of_its_own(merge)


@receiver(merged_calls_moved)
def count_moved_calls(moved: MovedCalls, **_kwargs: Any) -> None:
    merged.count_moved(moved.target_id, moved.spent)


@receiver(merge_settling)
def settle_merge(merge: AgentMerge, **_kwargs: Any) -> None:
    """Outside of a transaction: all else has moved, and this is done again where it is broken off."""
    merged.settle(merge)
