"""How long an answer of a model may get at most, as its provider lists it. Pure.

In tokens, from the providers' own pages of models: platform.openai.com/docs/models, docs.claude.com ("Models overview",
"Max output"), ai.google.dev/gemini-api/docs/models; compared name by name with LiteLLM's table of models (1.110.2,
`max_output_tokens`): where the two differ the larger one stands here. Only names listed here count, with or without a
date behind them: the next version of a model may well say more, and a bound below the truth would let a budget be
overspent. What is missing or has changed is entered in the admin (*Model maxima*), which goes before this list.
"""

from __future__ import annotations

import re
from typing import Final

_LISTED: Final = {
    4_096: "gpt-3.5-turbo gpt-3.5-turbo-16k gpt-4-turbo claude-3-haiku claude-3-opus claude-3-sonnet",
    8_192: "gpt-4 claude-3-5-haiku claude-3-5-sonnet gemini-1.5-flash gemini-1.5-flash-8b gemini-1.5-pro"
    " gemini-2.0-flash gemini-2.0-flash-lite",
    16_384: "gpt-4o gpt-4o-mini gpt-4o-search-preview gpt-4o-mini-search-preview gpt-4.5-preview gpt-5-chat"
    " gpt-5.1-chat gpt-5.2-chat gpt-5.3-chat",
    32_000: "claude-opus-4 claude-opus-4-0 claude-opus-4-1",
    32_768: "gpt-4.1 gpt-4.1-mini gpt-4.1-nano o1-preview",
    64_000: "claude-haiku-4-5 claude-opus-4-5 claude-sonnet-4 claude-sonnet-4-0 claude-sonnet-4-5",
    65_536: "o1-mini gemini-2.5-flash gemini-2.5-flash-lite gemini-2.5-pro",
    100_000: "o1 o1-pro o3 o3-deep-research o3-mini o3-pro o4-mini o4-mini-deep-research",
    128_000: "claude-3-7-sonnet claude-haiku-5-5 claude-opus-4-6 claude-opus-4-7 claude-opus-4-8 claude-opus-5"
    " claude-opus-5-5 claude-sonnet-4-6 claude-sonnet-5 claude-sonnet-5-5 gpt-5 gpt-5-codex gpt-5-mini gpt-5-nano"
    " gpt-5.1 gpt-5.1-codex gpt-5.1-codex-max gpt-5.1-codex-mini gpt-5.2 gpt-5.2-codex gpt-5.2-pro gpt-5.3-codex"
    " gpt-5.4 gpt-5.4-mini gpt-5.4-nano gpt-5.4-pro gpt-5.5 gpt-5.5-pro",
    272_000: "gpt-5-pro",
}
_BY_NAME: Final = {name: tokens for tokens, names in _LISTED.items() for name in names.split()}
_DATE: Final = re.compile(r"[-@](\d{8}|\d{4}-\d{2}-\d{2}|latest|00\d)$")


def listed_maximum(model: str) -> int | None:
    """Tokens, of a model's plain name; None where nothing is listed."""
    name = model.strip().lower()
    return _BY_NAME.get(name) or _BY_NAME.get(_DATE.sub("", name))
