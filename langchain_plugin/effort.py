"""How hard a model is to think, as an agent's owner set it at the site, in each provider's own words.

The three levels are the site's (`low`, `medium`, `high`). What a model takes is read from its profile, which its
integration keeps; a short table has the models that profiles leave out. docs/effort-and-compaction.md shows both.
"""

from __future__ import annotations

import logging
import re
from typing import Any, NamedTuple

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig
from langchain_core.runnables.configurable import DynamicRunnable
from langchain_core.runnables.utils import Input, Output

from langchain_plugin.handler import CostCallbackHandler

__all__ = ["effort_settings", "with_effort"]

logger = logging.getLogger("costsite")

_ORDER = ("minimal", "low", "medium", "high", "xhigh", "max")
"""Of the levels that profiles name, but for `none`: that a model does not think at all is nobody's `low`."""
_FIELDS = ("reasoning_effort", "effort")
"""What integrations call the setting: LangChain's own word for it, and ChatAnthropic's older one."""


class _Family(NamedTuple):
    """Models that no profile describes, and how each level is said to them."""

    providers: frozenset[str]
    models: re.Pattern[str]
    setting: str
    values: dict[str, Any]


_SAME = {"low": "low", "medium": "medium", "high": "high"}
_FAMILIES = (
    _Family(
        frozenset({"openai", "azure"}),
        re.compile(r"o1(?!-mini|-preview)|o[34]|gpt-5(?!.*chat)"),
        "reasoning_effort",
        _SAME,
    ),
    _Family(frozenset({"groq"}), re.compile(r"openai/gpt-oss"), "reasoning_effort", _SAME),
    _Family(frozenset({"ollama"}), re.compile(r"gpt-oss"), "reasoning", _SAME),
    _Family(
        frozenset({"xai"}),
        re.compile(r"grok-3-mini"),
        "reasoning_effort",
        {"low": "low", "medium": "low", "high": "high"},
    ),
    _Family(frozenset({"perplexity"}), re.compile(r"sonar-deep-research"), "reasoning_effort", _SAME),
    # Google's own equivalents, from its OpenAI-compatible interface: https://ai.google.dev/gemini-api/docs/openai
    _Family(
        frozenset({"google_genai", "google_vertexai"}),
        re.compile(r"(models/)?gemini-2\.5"),
        "thinking_budget",
        {"low": 1_024, "medium": 8_192, "high": 24_576},
    ),
)
_told: set[str] = set()
"""Models it was said of that they are left alone."""


def effort_settings(model: Runnable[Any, Any], effort: str) -> dict[str, Any]:
    """The arguments of a call that have `model` think so hard; none where it has no such setting, or `effort` is empty.

    `model` is a chat model, or one with arguments bound to it. Those that are bound already stand: whoever wrote them
    into the code meant them for this one use.
    """
    if not effort:
        return {}
    bound: dict[str, Any] = {}
    while isinstance(model, RunnableBinding):
        bound = {**model.kwargs, **bound}
        model = model.bound
    settings = _settings(model, effort) if isinstance(model, BaseChatModel) else {}
    return {} if settings.keys() & bound.keys() else settings


def _settings(model: BaseChatModel, effort: str) -> dict[str, Any]:
    profile = getattr(model, "profile", None)
    levels = profile.get("reasoning_effort_levels") if isinstance(profile, dict) else None
    if levels:
        fields = type(model).model_fields
        names = [name for name in _FIELDS if name in fields]
        level = _nearest(effort, levels)
        if names and level:
            return {names[0]: level}
    told = model._get_ls_params()
    provider, name = str(told.get("ls_provider") or ""), str(told.get("ls_model_name") or "")
    for family in _FAMILIES:
        if provider in family.providers and family.models.match(name) and effort in family.values:
            return {family.setting: family.values[effort]}
    if name not in _told:
        _told.add(name)
        logger.info(
            "The effort %s is set for this agent at the site, and %s has no such setting that is known here: it is "
            "called as it is.",
            effort,
            name or "its model",
        )
    return {}


def _nearest(effort: str, levels: Any) -> str:
    """The one of `levels` that is closest to `effort`, the cheaper of two; empty when none can be compared with it."""
    known = [level for level in _ORDER if level in levels]
    if effort not in _ORDER or not known:
        return ""
    return min(known, key=lambda level: abs(_ORDER.index(level) - _ORDER.index(effort)))


class _WithEffort(DynamicRunnable[Input, Output]):
    """A model that is told its effort anew with each call."""

    costs: Any
    agent: str | None

    def _prepare(self, config: RunnableConfig | None = None) -> tuple[Runnable[Input, Output], RunnableConfig]:
        settings = effort_settings(self.default, self.costs.effort_of(self.agent))
        return (self.default.bind(**settings) if settings else self.default), config or {}

    def bind_tools(self, *args: Any, **kwargs: Any) -> _WithEffort[Input, Output]:
        return self.model_copy(update={"default": self.default.bind_tools(*args, **kwargs)})  # type: ignore[attr-defined]

    def with_structured_output(self, *args: Any, **kwargs: Any) -> Runnable[Any, Any]:
        raise TypeError(
            "A model with effort gives no structured output, since LangChain would then call the model it was made of; "
            "use create_agent with response_format and effort_middleware."
        )


def with_effort(
    model: Runnable[Any, Any], *, agent: str | None = None, costs: CostCallbackHandler | None = None
) -> Runnable[Any, Any]:
    """`model`, told with each call how hard to think, as the agent's owner has it at the site now.

    Args:
        model: A chat model, or one with tools or arguments bound to it.
        agent: Whose effort; None: that of the run in which the model is called.
        costs: The callback that hears from the site; None: one that is set by the environment.

    Raises:
        TypeError: `model` is no chat model.

    """
    core: Any = model
    while isinstance(core, RunnableBinding):
        core = core.bound
    if not isinstance(core, BaseChatModel):
        raise TypeError(f"with_effort takes a chat model, not {type(model).__name__}; wrap the model inside the chain.")
    return _WithEffort(default=model, costs=costs or CostCallbackHandler(agent=agent), agent=agent)  # type: ignore[arg-type]
