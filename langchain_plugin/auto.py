"""Tracing without a line of code at the agent: `COSTSITE_TRACING=true` and `import langchain_plugin.auto`.

The handler hangs on a context variable *by default value*, which every thread and task sees, a user's own threads
too, where LangChain's callbacks from `config` get lost. LangChain adds it after the handlers of a config, so a
handler that was given there owns the run.
"""

from __future__ import annotations

from contextvars import ContextVar

from langchain_core.tracers.context import register_configure_hook

from langchain_plugin.config import Config
from langchain_plugin.handler import CostCallbackHandler

__all__ = ["install"]

_installed: CostCallbackHandler | None = None


def install(handler: CostCallbackHandler | None = None) -> CostCallbackHandler:
    """Watch every LangChain run of this process with `handler` (one made from the environment when None).

    Safe to call twice: the first handler stays.
    """
    global _installed
    if _installed is None:
        _installed = handler if handler is not None else CostCallbackHandler()
        register_configure_hook(ContextVar("costsite_handler", default=_installed), inheritable=True)
    return _installed


if Config.resolve().tracing:
    install()
