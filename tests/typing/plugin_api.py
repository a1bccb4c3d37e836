"""Only type-checked, never run: the plugin as its users write it. `make check` reads it with mypy's strict rules."""

from __future__ import annotations

from typing import assert_type

from langchain_core.runnables import Runnable, RunnableConfig

import langchain_plugin
from langchain_plugin import CheckFailed, ConfigError, CostCallbackHandler, CostsiteError, LastRun


def watch(agent: Runnable[str, str]) -> LastRun | None:
    costs = CostCallbackHandler(agent="support-bot")
    config: RunnableConfig = {"callbacks": [costs], "tags": ["production"]}
    assert_type(agent.invoke("hello", config=config), str)
    agent.invoke("hello", config={"callbacks": [costs]})
    return costs.last_run


async def watch_async(agent: Runnable[str, str]) -> None:
    async for chunk in agent.astream("hello", config={"callbacks": [CostCallbackHandler()]}):
        assert_type(chunk, str)


def read(run: LastRun) -> None:
    assert_type(run.input_tokens, int)
    assert_type(run.output_tokens, int)
    assert_type(run.calls, int)
    assert_type(str(run), str)


def set_up() -> None:
    try:
        costs = CostCallbackHandler(
            agent="support-bot", url="https://costs.example.com", api_key="cs_x", send_after_seconds=1
        )
        costs.check()
        costs.flush(5)
    except ConfigError:
        raise
    except CheckFailed as failed:
        print(failed)
    except CostsiteError:
        raise


assert_type(langchain_plugin.__version__, str)
