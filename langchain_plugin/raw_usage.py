"""The provider's own usage, for integrations that leave `usage_metadata` empty: mostly text-completion models."""

from __future__ import annotations

from typing import Any

from langchain_plugin.usage_metadata import count


def raw_usage(generation: Any, message: Any, metadata: dict[str, Any], llm_output: dict[str, Any]) -> dict[str, Any]:
    """The provider's own usage, wherever an integration left it: empty when nowhere."""
    info = getattr(generation, "generation_info", None)
    extra = getattr(message, "additional_kwargs", None)
    for holder in (metadata, llm_output, info, extra):
        if not isinstance(holder, dict):
            continue
        for key in ("token_usage", "usage", "usage_metadata", "amazon-bedrock-invocationMetrics"):
            found = holder.get(key)
            if found and isinstance(found, dict):
                return found
        if "prompt_eval_count" in holder or "eval_count" in holder:  # Ollama; the first is absent for a cached prompt
            return holder
    return {}


_INPUT_KEYS = (
    "prompt_tokens",
    "input_tokens",
    "prompt_token_count",
    "inputTokens",
    "inputTokenCount",
    "prompt_eval_count",
    "input_token_count",
)
_OUTPUT_KEYS = (
    "completion_tokens",
    "output_tokens",
    "candidates_token_count",
    "outputTokens",
    "outputTokenCount",
    "eval_count",
    "generated_token_count",
)
# Anthropic and Bedrock count these beside the input, not within it.
_BESIDE_INPUT_READ = ("cache_read_input_tokens", "cacheReadInputTokens", "cacheReadInputTokenCount")
_BESIDE_INPUT_WRITTEN = ("cache_creation_input_tokens", "cacheWriteInputTokens", "cacheWriteInputTokenCount")


def standardized(raw: dict[str, Any]) -> dict[str, Any]:
    """A provider's own usage in the shape of `usage_metadata`; empty when it has neither total."""
    if "input_token_details" in raw or "output_token_details" in raw:  # text-completion models keep it in that shape
        return raw
    if not any(key in raw for key in (*_INPUT_KEYS, *_OUTPUT_KEYS)):
        return {}
    inputs = _first_dict(raw, "prompt_tokens_details", "input_tokens_details")
    outputs = _first_dict(raw, "completion_tokens_details", "output_tokens_details")
    split = _first_dict(raw, "cache_creation")
    input_tokens = _first_count(raw, _INPUT_KEYS) + count(raw.get("tool_use_prompt_token_count"))
    thoughts = count(raw.get("thoughts_token_count"))
    read_beside = _first_count(raw, _BESIDE_INPUT_READ)
    written_5m = count(split.get("ephemeral_5m_input_tokens"))
    written_1h = count(split.get("ephemeral_1h_input_tokens"))
    written_beside = max(_first_count(raw, _BESIDE_INPUT_WRITTEN), written_5m + written_1h)
    # Proxies that speak OpenAI's format repeat Anthropic's keys beside `prompt_tokens`, which then includes them.
    if "prompt_tokens" not in raw:
        input_tokens += read_beside + written_beside
    return {
        "input_tokens": input_tokens,
        "output_tokens": _first_count(raw, _OUTPUT_KEYS) + thoughts,
        "total_tokens": _first_count(raw, ("total_tokens", "total_token_count", "totalTokens")),
        "input_token_details": {
            "cache_read": read_beside
            or count(inputs.get("cached_tokens"))
            or _first_count(raw, ("cached_content_token_count", "prompt_cache_hit_tokens")),
            "cache_creation": written_beside or count(inputs.get("cache_write_tokens")),
            "ephemeral_5m_input_tokens": written_5m,
            "ephemeral_1h_input_tokens": written_1h,
            "audio": count(inputs.get("audio_tokens")),
        },
        "output_token_details": {
            "reasoning": thoughts or _first_count(outputs, ("reasoning_tokens", "thinking_tokens")),
            "audio": count(outputs.get("audio_tokens")),
        },
    }


def _first_count(holder: dict[str, Any], keys: tuple[str, ...]) -> int:
    for key in keys:
        if key in holder:
            return count(holder[key])
    return 0


def _first_dict(holder: dict[str, Any], *keys: str) -> dict[str, Any]:
    return next((holder[key] for key in keys if isinstance(holder.get(key), dict)), {})
