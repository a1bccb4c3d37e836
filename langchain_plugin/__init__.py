"""Costsite's callback for LangChain agents: what every run uses and costs.

    from langchain_plugin import CostCallbackHandler
    costs = CostCallbackHandler(agent="support-bot")
    agent.invoke({"messages": [...]}, config={"callbacks": [costs]})
    print(costs.last_run)

Names are loaded when first used, so that `langchain_plugin.wire` can be imported without LangChain.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain_plugin._version import __version__

if TYPE_CHECKING:
    from langchain_plugin.budget_exceeded import BudgetExceeded
    from langchain_plugin.effort import with_effort
    from langchain_plugin.errors import CheckFailed, ConfigError, CostsiteError
    from langchain_plugin.handler import CostCallbackHandler
    from langchain_plugin.last_run import LastRun
    from langchain_plugin.tuning import compaction_middleware, effort_middleware

__all__ = [
    "BudgetExceeded",
    "CheckFailed",
    "ConfigError",
    "CostCallbackHandler",
    "CostsiteError",
    "LastRun",
    "__version__",
    "compaction_middleware",
    "effort_middleware",
    "with_effort",
]

_HOMES = {
    "BudgetExceeded": "budget_exceeded",
    "CheckFailed": "errors",
    "ConfigError": "errors",
    "CostCallbackHandler": "handler",
    "CostsiteError": "errors",
    "LastRun": "last_run",
    "compaction_middleware": "tuning",
    "effort_middleware": "tuning",
    "with_effort": "effort",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
