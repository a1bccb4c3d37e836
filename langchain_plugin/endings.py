"""What an error that LangChain reports says of how a call or a run ended."""

from __future__ import annotations

import asyncio

from langchain_plugin import wire


def run_status(error: BaseException) -> wire.RunStatus:
    """A cancelled run failed at nothing: somebody ended it."""
    return "cancelled" if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | GeneratorExit) else "error"


def call_status(error: BaseException) -> wire.CallStatus:
    """As of a run; a stream that its reader left is `abandoned`: it was answered, as far as it was read."""
    return "abandoned" if isinstance(error, GeneratorExit) else run_status(error)


def was_refused_by_provider(error: BaseException) -> bool:
    """True for an HTTP answer of 4xx or 5xx, in the attribute that the providers' clients share."""
    status = getattr(error, "status_code", None)
    if status is None:
        status = getattr(getattr(error, "response", None), "status_code", None)
    return isinstance(status, int) and status >= 400
