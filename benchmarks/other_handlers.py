"""Handlers of other tools, where they are installed: each made as its documentation says, sending to a local receiver.

    pip install langfuse openinference-instrumentation-langchain opentelemetry-exporter-otlp-proto-http

LangSmith's comes with langchain-core. All of them keep prompts and answers and send them on a thread of their own;
that is another task than counting what was used, and why they stand beside the callback without a target.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from langchain_core.callbacks import BaseCallbackHandler

SILENT = ("langsmith", "langfuse", "opentelemetry", "urllib3")


class Other(NamedTuple):
    name: str
    version: str
    handler: BaseCallbackHandler
    flush: Callable[[], Any]


def langfuse(url: str) -> Other:
    import langfuse
    from langfuse.langchain import CallbackHandler

    client = langfuse.Langfuse(public_key="pk-lf-benchmark", secret_key="sk-lf-benchmark", base_url=url)
    return Other("Langfuse", _version("langfuse"), CallbackHandler(), client.flush)


def langsmith(url: str) -> Other:
    from langchain_core.tracers import LangChainTracer
    from langsmith import Client

    client = Client(api_url=url, api_key="lsv2_benchmark", info={})
    return Other("LangSmith", _version("langsmith"), LangChainTracer(client=client), client.flush)


def openinference(url: str) -> Other:
    """What `LangChainInstrumentor().instrument()` adds to every manager of callbacks; here it takes turns."""
    from openinference.instrumentation import OITracer, TraceConfig
    from openinference.instrumentation.langchain._tracer import OpenInferenceTracer
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces")))
    tracer: Any = OITracer(provider.get_tracer("benchmark"), config=TraceConfig())
    version = _version("openinference-instrumentation-langchain")
    return Other("OpenInference", version, OpenInferenceTracer(tracer, False), provider.force_flush)


def _version(name: str) -> str:
    from importlib.metadata import version

    return version(name)


@contextmanager
def installed(url: str) -> Iterator[list[Other]]:
    """Those that are installed; of the others a line says which library is missing. They only ever see `url`."""
    for name in SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ |= {"LANGSMITH_ENDPOINT": url, "LANGFUSE_BASE_URL": url, "LANGSMITH_TRACING": "false"}
    others = []
    for make in (langfuse, langsmith, openinference):
        try:
            others.append(make(url))
        except ImportError as missing:
            print(f"not compared: {make.__name__} ({missing})")
    try:
        yield others
    finally:
        for other in others:
            with contextlib.suppress(Exception):
                other.flush()
