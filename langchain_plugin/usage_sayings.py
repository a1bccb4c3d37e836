"""What the callback says to the agent's log of the usage it was given: once for each model."""

from __future__ import annotations

import logging

from langchain_plugin.run_tree import OpenCall
from langchain_plugin.sayings import Sayings


def say_no_usage(sayings: Sayings, call: OpenCall, suspect: str) -> None:
    """Say that a call's cost is an estimate, and what would have it measured.

    Args:
        sayings: What was said so far.
        call: The call, ended.
        suspect: Why the usage that came cannot be taken; empty where none came.

    """
    model = call.request.request_model
    kind, called = f"no usage of {model}", model or "a model"
    if suspect:
        sayings.once(
            kind,
            "The token usage of %s cannot be taken as it came (%s): its cost is estimated from lengths; check what the "
            "provider or proxy returns to have it measured.",
            called,
            suspect,
        )
        return
    mend = (
        "pass stream_usage=True to the model"
        if call.first_token_monotonic is not None
        else "check that the provider or proxy returns usage"
    )
    sayings.once(
        kind,
        "The provider reported no token usage for %s: its cost is estimated from lengths; %s to have it measured.",
        called,
        mend,
    )


def say_mended(sayings: Sayings, call: OpenCall, suspect: str) -> None:
    """At INFO, as there is nothing to do; for whoever compares what is shown with the provider's bill."""
    model = call.request.request_model
    sayings.once(
        f"usage mended of {model}",
        "The token usage that %s reports does not add up (%s).",
        model or "a model",
        suspect,
        level=logging.INFO,
    )
