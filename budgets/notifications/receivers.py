"""What notifications listen to. After the commit: a failure here is logged, and undoes nothing."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from budgets.notifications.telling import tell_of_crossing
from budgets.signals import BudgetThresholdCrossed, budget_threshold_crossed


@receiver(budget_threshold_crossed)
def tell_owners(event: BudgetThresholdCrossed, **_kwargs: Any) -> None:
    tell_of_crossing(event)
