"""The tables of the advice, a file per topic."""

from costsite.advice.models.advices import Advice, AdviceChange
from costsite.advice.models.choices import ModelTier, TaskRow
from costsite.advice.models.reviews import AgentUsualRun, RunReview
from costsite.advice.models.sums import AgentMonth, ReviewedDay, ReviewState, ScannedDay, TaskDay, UsageSlice

__all__ = [
    "Advice",
    "AdviceChange",
    "AgentMonth",
    "AgentUsualRun",
    "ModelTier",
    "ReviewState",
    "ReviewedDay",
    "RunReview",
    "ScannedDay",
    "TaskDay",
    "TaskRow",
    "UsageSlice",
]
