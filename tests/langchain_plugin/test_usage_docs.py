"""The tables of docs/how-usage-is-read.md, row by row, against what is really read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from langchain_plugin.usage import read_usage
from langchain_plugin.wire import TokenCounts

PAGE = Path(__file__).parents[2] / "docs" / "how-usage-is-read.md"

BUCKETS = {
    "input": (107, 100, {}, "input_tokens"),
    "output": (100, 107, {}, "output_tokens"),
    "cache read": (100, 100, {"cache_read_tokens": 7}, "input"),
    "cache write, unknown lifetime": (100, 100, {"cache_write_unknown_tokens": 7}, "input"),
    "cache write, 5 minutes": (100, 100, {"cache_write_5m_tokens": 7}, "input"),
    "cache write, 1 hour": (100, 100, {"cache_write_1h_tokens": 7}, "input"),
    "reasoning": (100, 100, {"reasoning_tokens": 7}, "output"),
    "audio, input and output apart": (100, 100, {"input_audio_tokens": 7, "output_audio_tokens": 7}, "both"),
    "nothing": (100, 100, {}, "both"),
}
"""The counts that 7 tokens under a key make of 100 in and 100 out, and which side the key is on."""


def rows() -> Iterator[tuple[str, str]]:
    """Each key of the tables headed "in `usage_metadata`", and the bucket the page says it becomes."""
    tables = re.findall(r"\| in `usage_metadata` \| becomes \|\n\| --- \| --- \|\n((?:\|.*\n)+)", PAGE.read_text())
    for table in tables:
        for row in table.splitlines():
            keys, becomes = row.strip("| ").split(" | ")
            bucket = next(name for name in sorted(BUCKETS, key=len, reverse=True) if becomes.startswith(name))
            yield from ((key, bucket) for key in re.findall("`([a-z0-9_]+)`", keys))


@pytest.mark.parametrize(("key", "bucket"), sorted(set(rows())))
def test_a_key_becomes_what_the_page_says(key: str, bucket: str) -> None:
    input_tokens, output_tokens, parts, side = BUCKETS[bucket]
    usage = {"input_tokens": 100, "output_tokens": 100, "input_token_details": {}, "output_token_details": {}}
    if side == key:
        usage[key] = 107
    if side in ("input", "both"):
        usage["input_token_details"] = {key: 7}
    if side in ("output", "both"):
        usage["output_token_details"] = {key: 7}
    message = AIMessage("Hello.")
    message.usage_metadata = usage  # type: ignore[assignment]

    read = read_usage(LLMResult(generations=[[ChatGeneration(message=message)]]))

    assert read.counts == TokenCounts(input_tokens, output_tokens, **parts)


def test_the_page_has_a_table_for_each_large_provider() -> None:
    headings = re.findall(r"^\*\*([A-Z][A-Za-z ]+).*\n\n\| in `usage_metadata`", PAGE.read_text(), re.MULTILINE)

    assert headings == ["OpenAI", "Anthropic", "Google", "Amazon Bedrock"]
