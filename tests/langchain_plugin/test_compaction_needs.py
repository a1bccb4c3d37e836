"""Under the oldest LangChain that the plugin supports, too: whether conversations can be compacted is said at once."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from langchain_plugin import CostCallbackHandler, compaction_middleware
from tests.langchain_plugin.models import ScriptedModel


def test_where_langchain_cannot_compact_by_tokens_that_is_said_when_the_agent_is_made(
    costs: CostCallbackHandler,
) -> None:
    major, minor = map(int, version("langchain").split(".")[:2])
    if (major, minor) >= (1, 1):
        assert compaction_middleware(ScriptedModel(), costs=costs)
    else:
        with pytest.raises(ImportError, match=r"needs LangChain 1\.1 or newer"):
            compaction_middleware(ScriptedModel(), costs=costs)
