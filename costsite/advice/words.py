"""The sentences of the advice: the figure first, the mend last. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.figures import many, money, percent
from costsite.advice import causes, kinds

Figures = Mapping[str, Any]


def tokens(count: int) -> str:
    """`12.5k`: no more digits than one can compare."""
    for suffix, unit in (("M", 1_000_000), ("k", 1_000)):
        if count >= unit:
            return f"{count / unit:.3g}{suffix}" if count < 999 * unit else f"{round(count / unit):,}{suffix}"
    return f"{count:,}"


def of_cause(kind: str, figures: Figures) -> str:
    """Why one run was dear."""
    f = figures
    match kind:
        case causes.LOOPS:
            return f"{many(f['calls'], 'call')} asked again what had been asked: a tool and its arguments, or a prompt."
        case causes.FAILED:
            return f"{many(f['calls'], 'call')} failed, {'was' if f['calls'] == 1 else 'were'} abandoned or cancelled."
        case causes.DEARER_MODEL:
            usual = f["usual_model"] or "another model"
            return f"{many(f['calls'], 'call')} on {f['model'] or 'an unnamed model'}; the agent's usual is {usual}."
        case causes.VERBOSE_PROMPT:
            return f"It began with {tokens(f['tokens'])} input tokens; usual are {tokens(f['usual_tokens'])}."
        case causes.COMPACT:
            grown = f"Context grew from {tokens(f['from_tokens'])} to {tokens(f['to_tokens'])} tokens"
            return f"{grown}; {tokens(f['history_tokens'])} were history sent again."
        case causes.SMALLER_PIECES:
            return f"{many(f['calls'], 'call')} in one run; usual are {f['usual_calls']:,}."
        case causes.LONG_ANSWERS:
            return (
                f"Answers were {tokens(f['tokens'])} tokens longer than the usual {tokens(f['usual_tokens'])} a call."
            )
        case causes.LESS_CACHE:
            return f"{f['percent']} % of input was read from a cache; usual are {f['usual_percent']} %."
    return ""


MENDS = {
    causes.DEARER_MODEL: "Send such work to the usual model, or name its task.",
    causes.VERBOSE_PROMPT: "Shorten what the first prompt carries: documents, examples, tool descriptions.",
    causes.COMPACT: "Compact the conversation before it grows so far.",
    causes.SMALLER_PIECES: "Break the task into smaller pieces, each its own run.",
    causes.LONG_ANSWERS: "Set a maximum of output tokens, or ask for less.",
    causes.LESS_CACHE: "Keep the beginning of the prompt the same from call to call, so that caches are met.",
}


def of_advice(kind: str, key: str, figures: Figures) -> str:
    """What was seen, and what to do about it."""
    f = figures
    match kind:
        case kinds.EFFORT:
            dearer, cheaper = f["dearer"], f["cheaper"]
            instead = cheaper["effort"]
            return (
                f"On {f['model']}, effort {dearer['effort']} cost {money(dearer['each'])} a call and"
                f" {dearer['failed_percent']} % failed (n {dearer['calls']:,}); effort {instead} cost"
                f" {money(cheaper['each'])} and {cheaper['failed_percent']} % failed (n {cheaper['calls']:,})."
                f" Use {instead}."
            )
        case kinds.CHEAPER_MODEL:
            dearer, cheaper = f["dearer"], f["cheaper"]
            return (
                f"{dearer['model']} cost {money(dearer['each'])} a call and {dearer['failed_percent']} % failed"
                f" (n {dearer['calls']:,}); on {cheaper['model']} {cheaper['failed_percent']} % failed"
                f" (n {cheaper['calls']:,}). Use {cheaper['model']}."
            )
        case kinds.TASK_MODEL:
            return (
                f"{many(f['calls'], 'call')} for “{f['task']}” on {f['model']} ({f['tier']} tier), which needs the"
                f" {f['needs']} tier. Use {f['instead']}."
            )
        case kinds.TASK_EFFORT:
            return (
                f"{many(f['calls'], 'call')} for “{f['task']}” at effort {f['effort']}, which needs {f['needs']}:"
                f" {tokens(f['reasoning_tokens'])} tokens of reasoning."
            )
        case kinds.LOOPS:
            again = f"{many(f['calls'], 'call')} asked again what had been asked"
            return f"{again} ({percent(f['calls'], f['of_calls'])} of calls). Stop after the second same answer."
        case kinds.FAILED:
            failed = f"{many(f['calls'], 'call')} failed, abandoned or cancelled"
            return f"{failed} ({percent(f['calls'], f['of_calls'])} of calls). Find out why before trying again."
        case kinds.COMPACT_AT:
            return (
                f"Summing up at {tokens(f['trigger'])} tokens would have saved {money(f['saved'])} of"
                f" {money(f['spent'])} on {many(f['runs'], 'run')}. Set the trigger to {f['trigger']:,}."
            )
        case kinds.UNCACHED:
            again = f"{many(f['calls'], 'call')} sent history again that no cache had"
            return f"{again}. Turn prompt caching on for the agent."
        case kinds.CACHE_LOSS:
            return (
                f"{tokens(f['written'])} tokens were written to caches and {tokens(f['read'])} read: writing cost more"
                " than reading spared. Write only what is read again."
            )
        case kinds.REPEATED:
            same = f"{many(f['calls'], 'call')} had the prompt of an earlier one on the same day"
            return f"{same}. Put a local cache before it."
    if kind in causes.LABELS:
        # Other causes of the same runs are not in it: a run may be further over the median than this says.
        added = f"This cause alone added {money(f['over'])} to {many(f['runs'], 'run')}"
        usual = f"the median run costs {money(f['usual'])} (n {f['usual_runs']:,})"
        return f"{added}; {usual}. {MENDS.get(kind, '')}".strip()
    return ""
