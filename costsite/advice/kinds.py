"""The kinds of advice: what to do, in which section, by which formula, and what to keep in mind. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from costsite.advice import causes

SECTIONS: Final = {
    "effort": "Choose the right effort level",
    "model": "Use the right model",
    "review": "Review run logs",
    "compact": "Compact conversations",
    "cache": "Caching",
}

SHORT: Final = {"effort": "Effort", "model": "Model", "review": "Run logs", "compact": "Compaction", "cache": "Caching"}
"""Where there is little room."""


@dataclass(frozen=True)
class Kind:
    section: str
    label: str
    formula: str
    caveat: str


EFFORT: Final = "effort"
TASK_EFFORT: Final = "task_effort"
TASK_MODEL: Final = "task_model"
CHEAPER_MODEL: Final = "cheaper_model"
COMPACT_AT: Final = "compact_at"
LOOPS: Final = "loops_month"
FAILED: Final = "failed_month"
UNCACHED: Final = "uncached"
CACHE_LOSS: Final = "cache_loss"
REPEATED: Final = "repeated"

_OVER = "Sum over these runs of what the cause alone came to, at most what the run cost over the agent's median run."
_BY_HAND = "Causes are likely, not certain: open a run before changing the agent."
_EVALS = "Run your own evaluations first: failures are all the ledger sees of quality."

KINDS: Final = {
    EFFORT: Kind(
        "effort",
        "Lower the effort",
        "Calls at the higher effort × (their cost a call − cost a call at the lower one on the same model).",
        f"The harder work may have had the higher effort. {_EVALS}",
    ),
    TASK_EFFORT: Kind(
        "effort",
        "Effort above what the task needs",
        "Reasoning tokens at more effort than the task's row × their price × the part that a lower effort spares.",
        _EVALS,
    ),
    TASK_MODEL: Kind(
        "model",
        "Model above what the task needs",
        "What these calls cost − the same tokens on a model of the row's tier.",
        f"Another vendor's tokenizer counts the same text differently. {_EVALS}",
    ),
    CHEAPER_MODEL: Kind(
        "model",
        "Use the cheaper model that does as well",
        "What the calls on the dearer model cost − the same tokens on the cheaper one.",
        f"The harder work may have gone to the dearer model. {_EVALS}",
    ),
    **{
        kind: Kind("review", label, _OVER, _BY_HAND)
        for kind, label in causes.LABELS.items()
        if kind not in (causes.LOOPS, causes.FAILED)
    },
    LOOPS: Kind(
        "review",
        causes.LABELS[causes.LOOPS],
        "Cost of calls that asked a tool the same thing a third time or more, or sent the same prompt again.",
        "A tool that answers anew each time, such as a clock or a queue, is rightly asked again.",
    ),
    FAILED: Kind(
        "review",
        causes.LABELS[causes.FAILED],
        "Cost of calls that failed, were abandoned or cancelled.",
        "Providers report the usage of few failed calls; the rest is estimated.",
    ),
    COMPACT_AT: Kind(
        "compact",
        "Compact the conversation",
        "Each conversation played again: tokens that went × what they really cost (caches included) − the summaries.",
        "A summary forgets. Try the trigger on tasks whose results you can judge.",
    ),
    UNCACHED: Kind(
        "cache",
        "Read history from a prompt cache",
        "Input that was sent before and read from no cache × (its price − that of a cache read) − what writing costs.",
        "A cache holds for minutes: calls further apart meet none.",
    ),
    CACHE_LOSS: Kind(
        "cache",
        "Stop writing caches that nobody reads",
        "Surcharge of the cache writes − what the reads spared.",
        "A longer lifetime of the cache may turn it round.",
    ),
    REPEATED: Kind(
        "cache",
        "Answer identical prompts from a local cache",
        "Cost of calls whose prompt was the same as that of an earlier call on the same day.",
        "The same prompt gets the same answer then: not wanted where answers should vary.",
    ),
}  # fmt: skip
