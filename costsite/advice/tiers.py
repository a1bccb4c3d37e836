"""How much a model is: small, mid or top; and which effort a task needs. Pure.

People say it in rows; where none covers a model, its list price does: vendors sell their models in these three classes,
and the price of a million output tokens tells them apart better than any list of names that grows old.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from langchain_plugin.wire import MAX_TAG_LENGTH, UnitPrices

SMALL, MID, TOP = "small", "mid", "top"
TIERS: Final = {SMALL: "Small", MID: "Mid", TOP: "Top"}
EFFORTS: Final = {"low": "Low", "medium": "Medium", "high": "High"}

SMALL_UP_TO: Final = 6 * 100_000_000
"""Microcents for a million output tokens: 6 USD. Small models of the three large vendors cost 0.40 to 5."""
MID_UP_TO: Final = 16 * 100_000_000
"""16 USD: their middle ones cost 10 to 15, their largest 25 and more."""

_EFFORT_RANK: Final = {"none": 0, "minimal": 0, "low": 1, "medium": 2, "high": 3, "xhigh": 4, "max": 4}


def tier_of(model: str, prices: UnitPrices | None, entered: Mapping[str, str]) -> str | None:
    """Of a model as calls name it; `entered` by name or by the beginning of one with a *. None: nobody can tell."""
    name = model.lower()
    if name in entered:
        return entered[name]
    covering = [pattern for pattern in entered if pattern.endswith("*") and name.startswith(pattern[:-1])]
    if covering:
        return entered[max(covering, key=len)]
    if prices is None:
        return None
    return SMALL if prices.output <= SMALL_UP_TO else MID if prices.output <= MID_UP_TO else TOP


def above(one: str | None, other: str) -> bool:
    """Whether a tier is above another; one that nobody can tell is not."""
    order = list(TIERS)
    return one is not None and order.index(one) > order.index(other)


def more_effort(one: str, other: str) -> bool:
    """Whether an effort as a call names it is more than another; a number of tokens or an unknown word is not."""
    return _EFFORT_RANK.get(one.lower(), -1) > _EFFORT_RANK.get(other.lower(), 9)


TASK_TAG: Final = "task:"
LONGEST_TASK: Final = MAX_TAG_LENGTH - len(TASK_TAG)
"""As much as a tag holds of it: a longer row is met by what is left of its name."""


def task_name(text: str) -> str:
    """A task as rows and tags both may write it: `Code formatting`, `code-formatting`, `code_formatting`."""
    return " ".join(text.replace("-", " ").replace("_", " ").lower().split())[:LONGEST_TASK].strip()


def task_in(tags: Sequence[object]) -> str:
    """The task that the tags of a run name; empty when none does."""
    for tag in tags:
        if isinstance(tag, str) and tag.lower().startswith(TASK_TAG):
            return task_name(tag[len(TASK_TAG) :])
    return ""


@dataclass(frozen=True)
class TaskNeeds:
    task: str
    name: str
    effort: str
    tier: str
