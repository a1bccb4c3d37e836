"""The tables of budgets, a file per topic."""

from budgets.models.crossings import ThresholdCrossing
from budgets.models.defaults import DefaultBudget
from budgets.models.grants import BudgetGrant
from budgets.models.leases import Refusal, SpendLease
from budgets.models.maxima import ModelMaximum
from budgets.models.notifications import Notification, NotificationChannel
from budgets.models.periods import BudgetPeriod
from budgets.models.policies import BudgetChange, BudgetPolicy
from budgets.models.statements import MonthlyStatement, MonthsClosed

__all__ = [
    "BudgetChange",
    "BudgetGrant",
    "BudgetPeriod",
    "BudgetPolicy",
    "DefaultBudget",
    "ModelMaximum",
    "MonthlyStatement",
    "MonthsClosed",
    "Notification",
    "NotificationChannel",
    "Refusal",
    "SpendLease",
    "ThresholdCrossing",
]
