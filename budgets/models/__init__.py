"""The tables of budgets, a file per topic."""

from budgets.models.crossings import ThresholdCrossing
from budgets.models.grants import BudgetGrant
from budgets.models.leases import Refusal, SpendLease
from budgets.models.periods import BudgetPeriod
from budgets.models.policies import BudgetChange, BudgetPolicy

__all__ = [
    "BudgetChange",
    "BudgetGrant",
    "BudgetPeriod",
    "BudgetPolicy",
    "Refusal",
    "SpendLease",
    "ThresholdCrossing",
]
