"""What providers and models are called: by LangChain, by routers, by clouds, by the price library. Pure.

LangChain says who answers as `ls_provider`, routers put the vendor before the model, Bedrock sends ARNs and regions,
Vertex dates with an @. Each name is tried as it came first, for some catalogues list exactly that; a plainer form of
it only after.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

_LIBRARY_NAMES: Final = {
    "amazon": "aws",
    "amazon_bedrock": "aws",
    "anthropic_bedrock": "aws",
    "anthropic_vertex": "google",
    "aws": "aws",
    "aws_bedrock": "aws",
    "azure": "azure",
    "azure_ai": "azure",
    "azure_openai": "azure",  # the library would take it for OpenAI itself
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "google": "google",
    "google_anthropic_vertex": "google",
    "google_genai": "google",
    "google_vertexai": "google",
    "mistral": "mistral",
    "mistralai": "mistral",
    "moonshot": "moonshotai",
    "together_ai": "together",
    "togetherai": "together",
    "vertex_ai": "google",
    "vertexai": "google",
    "voyage": "voyageai",
    "x_ai": "x-ai",
    "xai": "x-ai",
}
_SAME_IN_THE_LIBRARY: Final = frozenset(
    {
        "anthropic",
        "arcee",
        "avian",
        "baseten",
        "cerebras",
        "cloudflare",
        "cohere",
        "cursor",
        "databricks",
        "deepseek",
        "doubleword",
        "elevenlabs",
        "fireworks",
        "github-copilot",
        "groq",
        "meta",
        "minimax",
        "modal",
        "moonshotai",
        "novita",
        "openai",
        "openai-decisions",
        "openrouter",
        "ovhcloud",
        "perplexity",
        "quicksilverpro",
        "together",
        "typesafe",
        "voyageai",
        "x-ai",
        "zai",
        "zhipuai",
    }
)
_LOCAL: Final = frozenset(
    {
        "exllamav2",
        "gpt4all",
        "huggingface",
        "huggingface_pipeline",
        "llama.cpp",
        "llama_cpp",
        "llamacpp",
        "llamafile",
        "lm_studio",
        "lmstudio",
        "local",
        "localai",
        "mlx",
        "ollama",
        "outlines",
        "sglang",
        "vllm",
        "xinference",
    }
)
_ROUTERS: Final = frozenset({"", "litellm", "litellm_proxy", "litellmrouter", "portkey"})
"""Their model names say whose the model is; whoever is empty may be anybody."""
_FIRST_PARTY: Final = re.compile(r"(?:claude|gpt-(?!oss)|chatgpt|o\d|gemini|text-embedding)[-.\w@]*$")
"""Names of models that one vendor alone makes and sells: a guess of the provider cannot be wrong by much."""
_OPEN_WEIGHTS: Final = re.compile(r"gpt-oss")
"""Sold by hosts, not by OpenAI: behind an OpenAI client they run on somebody's own server."""

_ARN: Final = re.compile(r"^arn:aws[-\w]*:bedrock:.*?/")
_BEDROCK_REGION: Final = re.compile(r"^(?:us-gov|us|eu|apac|ap|jp|au|ca|in|sa|me|af|global)\.(?=[a-z0-9-]+\.)")
_PATH_TO_MODEL: Final = re.compile(r"^(?:projects/.+/)?(?:publishers/[^/]+/)?models/")
_SNAPSHOT: Final = re.compile(
    r"^[-@.:](?:"
    r"(?:20\d{2}-?\d{2}-?\d{2})|(?:\d{2}-20\d{2})|(?:\d{3,4})|(?:\d{6})"  # 2024-08-06, 20250929, 08-2024, 001, 0613
    r")?(?:[-:]?v\d+(?::\d+)?)?$"
)


def provider_and_model(text: str) -> tuple[str, str]:
    """Of `openai/gpt-5-mini`, as people write it; a bare name has no provider."""
    provider, slash, model = text.partition("/")
    return (provider.strip(), model.strip()) if slash else ("", text.strip())


def library_provider(provider: str) -> str | None:
    """The price library's name of a provider; None for local runners, routers and whoever it does not list.

    `huggingface_groq` and its kind, where Hugging Face bills for the named host, are in the library as such.
    """
    name = provider.strip().lower()
    if name.startswith("huggingface_"):
        return None if name in _LOCAL else name
    known = _LIBRARY_NAMES.get(name.replace("-", "_"))
    return known or (name if name in _SAME_IN_THE_LIBRARY else None)


def same_provider(one: str, other: str) -> bool:
    """True when both names mean one provider, such as `bedrock_converse` and `amazon_bedrock`."""
    return one.strip().lower() == other.strip().lower() or (
        (known := library_provider(one)) is not None and known == library_provider(other)
    )


def home_of(provider: str, model: str) -> str:
    """Whose model it is: the provider, or of a bare name the one that the price library is asked for.

    Empty where a name alone does not tell.
    """
    return provider.strip() or next((home for home, _ in spellings("", model)), "")


def is_local(provider: str) -> bool:
    """True for what runs on one's own machine, where no price list can know the cost."""
    return provider.strip().lower().replace("-", "_") in _LOCAL


def bare(model: str) -> str:
    """A model's name without what says where it is: vendor, path, ARN, region.

    `openai/gpt-4o`, `openai:gpt-4o`, `models/gemini-2.5-pro`, `us.anthropic.claude-…`. An `ft:` stays: a fine-tuned
    model has a price of its own.
    """
    name = _PATH_TO_MODEL.sub("", _ARN.sub("", model.strip()))
    _, name = _split_vendor(name)
    return _BEDROCK_REGION.sub("", _PATH_TO_MODEL.sub("", name))


def spellings(provider: str, model: str) -> Iterator[tuple[str, str]]:
    """Where to look a model up: (the library's provider, name of the model), the likeliest first."""
    model = model.strip()
    home = library_provider(provider)
    vendor, rest = _split_vendor(_PATH_TO_MODEL.sub("", model))
    if home is None:
        if is_local(provider) or provider.strip().lower() not in _ROUTERS:
            return
        home = vendor or _maker(model)
        if home is None:
            return
    elif home == "openai" and vendor not in (None, "openai"):
        # An OpenAI client in front of a router: the name says whose model answered.
        home = vendor or home
    if home == "openai" and _OPEN_WEIGHTS.search(model):
        return
    seen = set()
    for name in (model, _ARN.sub("", model), rest, bare(model), bare(model).replace("@default", "").replace("@", "-")):
        if name and name not in seen:
            seen.add(name)
            yield home, name


@lru_cache(maxsize=8192)
def canonical_model(request_model: str, response_model: str) -> str:
    """What rollups and pages call a model: the one that answered.

    Unless that is only a dated or numbered snapshot of the one asked for: `gpt-4o` that answered as
    `gpt-4o-2024-08-06` stays `gpt-4o`. Either may be empty; both empty give "".
    """
    asked, answered = _PATH_TO_MODEL.sub("", request_model.strip()), _PATH_TO_MODEL.sub("", response_model.strip())
    if not asked or not answered:
        return answered or asked
    if _is_snapshot(answered, asked):
        return asked
    if _is_snapshot(bare(answered), bare(asked)):
        return bare(asked)
    return answered


def _is_snapshot(answered: str, asked: str) -> bool:
    answered, asked = answered.lower(), asked.lower()
    if answered == asked:
        return False
    asked = asked.removesuffix("-latest")
    return answered.startswith(asked) and (answered == asked or _SNAPSHOT.match(answered[len(asked) :]) is not None)


def _split_vendor(name: str) -> tuple[str | None, str]:
    """`openai/gpt-4o` and `openai:gpt-4o` as ("openai", "gpt-4o"); (None, name) where nobody known comes first.

    `mistral:7b` and `mistral:latest` are no model of Mistral's: what follows is a tag of a local runner.
    """
    found = re.search("[/:]", name)
    if found is None or name[: found.start()].lower() == "ft":
        return None, name
    rest = name[found.end() :]
    if found[0] == ":" and (rest[:1].isdigit() or rest == "latest"):
        return None, name
    vendor = library_provider(name[: found.start()])
    return (vendor, rest) if vendor else (None, name)


def _maker(model: str) -> str | None:
    name = bare(model).lower()
    if not _FIRST_PARTY.match(name):
        return None
    return "anthropic" if name.startswith("claude") else "google" if name.startswith("gemini") else "openai"
