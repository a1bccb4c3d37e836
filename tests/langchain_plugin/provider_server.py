"""A local model provider: answers over HTTP in the formats of OpenAI and Anthropic, from a script.

    with ProviderServer() as provider:
        provider.will_answer(Answer("Hello", usage={"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}))
        model = ChatOpenAI(model="gpt-4o-mini", base_url=provider.openai_url, api_key="any")
        model.invoke("Hi")
        assert provider.requests[0].body["model"] == "gpt-4o-mini"

`Answer.usage` is what the provider itself would send, word for word, so that a test shows the provider's numbers and
works out ours from them. Without a script every request gets a plain answer with `USAGE`: enough for a benchmark or
a demonstration. Served are `/v1/chat/completions`, `/v1/responses`, `/v1/completions` (OpenAI) and `/v1/messages`
(Anthropic), whole and as streams.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

USAGE: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150},
    "/v1/completions": {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150},
    "/v1/responses": {
        "input_tokens": 120,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 30,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 150,
    },
    "/v1/messages": {"input_tokens": 120, "output_tokens": 30},
}


@dataclass(frozen=True)
class Answer:
    """One reply of the provider."""

    text: str = "The quick brown fox."
    """Streamed word by word."""
    usage: dict[str, Any] | None = None
    """In the provider's own words; None: the endpoint's `USAGE`. Empty: the provider sends no usage at all."""
    model: str = ""
    """The model that answered; empty: the one that was asked for."""
    service_tier: str | None = None
    tool_calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    status: int = 200
    """Any other is an error, sent in the provider's shape, before any stream begins."""
    headers: dict[str, str] = field(default_factory=dict)
    cut_after_words: int | None = None
    """Break the connection of a stream after so many words."""
    delay_seconds: float = 0.0
    """Before the first byte."""
    seconds_between_words: float = 0.0


class Received(NamedTuple):
    path: str
    body: dict[str, Any]


class ProviderServer:
    """Serves from construction until `close()` on a free port of this machine (or `port`)."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[Received] = []
        self._script: deque[Answer] = deque()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.provider = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """For Anthropic's client, which adds /v1 itself."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"

    def will_answer(self, *answers: Answer) -> None:
        """The next replies, in this order; after them, plain ones again."""
        with self._lock:
            self._script.extend(answers)

    def take(self, received: Received) -> Answer:
        with self._lock:
            self.requests.append(received)
            return self._script.popleft() if self._script else Answer()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def __enter__(self) -> ProviderServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    provider: ProviderServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
        path = self.path.split("?")[0]
        if path not in _FORMATS:
            self._send(404, {"error": {"message": f"No such endpoint: {path}", "type": "not_found_error"}})
            return
        answer = self.server.provider.take(Received(path, body))
        time.sleep(answer.delay_seconds)
        try:
            self._give(answer, path, body)
        except OSError:  # the client left before the end: a stream closed early, an await given up
            self.close_connection = True

    def _give(self, answer: Answer, path: str, body: dict[str, Any]) -> None:
        whole, stream = _FORMATS[path]
        if answer.status != 200:
            self._send(answer.status, _error(path, answer.status), answer.headers)
        elif body.get("stream"):
            self._stream(stream(body, answer), answer)
        else:
            self._send(200, whole(body, answer), answer.headers)

    def _send(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, events: Iterator[Any], answer: Answer) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        words = 0
        for event in events:
            if event is not _WORD:
                self._chunk(event.encode())
            elif words == answer.cut_after_words:
                # Without the closing chunk the client knows that the stream broke off.
                self.close_connection = True
                return
            else:
                words += 1
                time.sleep(answer.seconds_between_words)
        self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        pass


_WORD: Any = object()
"""Goes before each word of a stream: the place where it pauses or breaks off."""


def _words(text: str) -> list[str]:
    return [word if i == 0 else f" {word}" for i, word in enumerate(text.split(" "))] if text else []


def _usage(path: str, answer: Answer) -> dict[str, Any] | None:
    return (USAGE[path] if answer.usage is None else answer.usage) or None


def _model(body: dict[str, Any], answer: Answer) -> str:
    return str(answer.model or body["model"])


def _error(path: str, status: int) -> dict[str, Any]:
    kind = {429: "rate_limit_error", 500: "api_error", 529: "overloaded_error"}.get(status, "invalid_request_error")
    error = {"message": f"The provider answers {status}.", "type": kind}
    return (
        {"type": "error", "error": error}
        if path == "/v1/messages"
        else {"error": {**error, "code": None, "param": None}}
    )


def _data(event: dict[str, Any]) -> str:
    return f"data: {json.dumps(event)}\n\n"


def _named(event: dict[str, Any]) -> str:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"


# ── OpenAI: chat completions ─────────────────────────────────────────────────────────────────────────────────────


def _openai_tool_calls(answer: Answer) -> list[dict[str, Any]]:
    return [
        {
            "index": i,
            "id": f"call_{i}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for i, (name, arguments) in enumerate(answer.tool_calls)
    ]


def _chat_completion(body: dict[str, Any], answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text}
    if answer.tool_calls:
        message = {"role": "assistant", "content": None, "tool_calls": _openai_tool_calls(answer)}
    reason = "tool_calls" if answer.tool_calls else "stop"
    completion: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": _model(body, answer),
        "choices": [{"index": i, "message": message, "finish_reason": reason} for i in range(body.get("n") or 1)],
        "system_fingerprint": "fp_1",
    }
    if usage := _usage("/v1/chat/completions", answer):
        completion["usage"] = usage
    if answer.service_tier:
        completion["service_tier"] = answer.service_tier
    return completion


def _chat_completion_stream(body: dict[str, Any], answer: Answer) -> Iterator[Any]:
    common: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": _model(body, answer),
    }
    if answer.service_tier:
        common["service_tier"] = answer.service_tier
    # Asked for usage, OpenAI sends `usage: null` on every chunk but the last, which has no choices.
    asked_for_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    if asked_for_usage:
        common["usage"] = None

    def chunk(choice: int, delta: dict[str, Any], finish_reason: str | None = None) -> str:
        return _data({**common, "choices": [{"index": choice, "delta": delta, "finish_reason": finish_reason}]})

    for choice in range(body.get("n") or 1):
        yield chunk(choice, {"role": "assistant", "content": ""})
        if answer.tool_calls:
            for call in _openai_tool_calls(answer):
                yield chunk(choice, {"tool_calls": [{**call, "function": {**call["function"], "arguments": ""}}]})
                arguments = {"index": call["index"], "function": {"arguments": call["function"]["arguments"]}}
                yield chunk(choice, {"tool_calls": [arguments]})
        else:
            for word in _words(answer.text):
                yield _WORD
                yield chunk(choice, {"content": word})
        yield chunk(choice, {}, "tool_calls" if answer.tool_calls else "stop")
    if asked_for_usage and (usage := _usage("/v1/chat/completions", answer)):
        yield _data({**common, "choices": [], "usage": usage})
    yield "data: [DONE]\n\n"


# ── OpenAI: text completions ─────────────────────────────────────────────────────────────────────────────────────


def _completion(body: dict[str, Any], answer: Answer) -> dict[str, Any]:
    prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
    completion: dict[str, Any] = {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1_700_000_000,
        "model": _model(body, answer),
        "choices": [{"index": i, "text": answer.text, "finish_reason": "stop"} for i in range(len(prompts))],
    }
    if usage := _usage("/v1/completions", answer):
        completion["usage"] = usage
    return completion


def _completion_stream(body: dict[str, Any], answer: Answer) -> Iterator[Any]:
    common = {"id": "cmpl-1", "object": "text_completion", "created": 1_700_000_000, "model": _model(body, answer)}
    for word in _words(answer.text):
        yield _WORD
        yield _data({**common, "choices": [{"index": 0, "text": word, "finish_reason": None}]})
    yield _data({**common, "choices": [{"index": 0, "text": "", "finish_reason": "stop"}]})
    yield "data: [DONE]\n\n"


# ── OpenAI: responses ────────────────────────────────────────────────────────────────────────────────────────────


def _response(body: dict[str, Any], answer: Answer) -> dict[str, Any]:
    part = {"type": "output_text", "text": answer.text, "annotations": []}
    output: list[dict[str, Any]] = [
        {
            "type": "function_call",
            "id": f"fc_{i}",
            "call_id": f"call_{i}",
            "name": name,
            "arguments": json.dumps(arguments),
            "status": "completed",
        }
        for i, (name, arguments) in enumerate(answer.tool_calls)
    ] or [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}]
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": _model(body, answer),
        "output": output,
        "parallel_tool_calls": True,
        "service_tier": answer.service_tier or "default",
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": _usage("/v1/responses", answer),
    }


def _response_stream(body: dict[str, Any], answer: Answer) -> Iterator[Any]:
    whole = _response(body, answer)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    sequence = iter(range(10_000))

    def event(kind: str, **fields: Any) -> str:
        return _named({"type": kind, "sequence_number": next(sequence), **fields})

    yield event("response.created", response=begun)
    yield event("response.in_progress", response=begun)
    for index, item in enumerate(whole["output"]):
        place = {"item_id": item["id"], "output_index": index}
        if item["type"] == "function_call":
            yield event(
                "response.output_item.added",
                output_index=index,
                item={**item, "arguments": "", "status": "in_progress"},
            )
            yield event("response.function_call_arguments.delta", delta=item["arguments"], **place)
            yield event(
                "response.function_call_arguments.done", arguments=item["arguments"], name=item["name"], **place
            )
        else:
            yield event(
                "response.output_item.added", output_index=index, item={**item, "content": [], "status": "in_progress"}
            )
            part = item["content"][0]
            yield event("response.content_part.added", content_index=0, part={**part, "text": ""}, **place)
            for word in _words(answer.text):
                yield _WORD
                yield event("response.output_text.delta", content_index=0, delta=word, logprobs=[], **place)
            yield event("response.output_text.done", content_index=0, text=answer.text, logprobs=[], **place)
            yield event("response.content_part.done", content_index=0, part=part, **place)
        yield event("response.output_item.done", output_index=index, item=item)
    yield event("response.completed", response=whole)


# ── Anthropic: messages ──────────────────────────────────────────────────────────────────────────────────────────


def _content(answer: Answer) -> list[dict[str, Any]]:
    calls = [
        {"type": "tool_use", "id": f"toolu_{i}", "name": name, "input": arguments}
        for i, (name, arguments) in enumerate(answer.tool_calls)
    ]
    return calls or [{"type": "text", "text": answer.text}]


def _message(body: dict[str, Any], answer: Answer) -> dict[str, Any]:
    usage = dict(_usage("/v1/messages", answer) or {"input_tokens": 0, "output_tokens": 0})
    if answer.service_tier:
        usage["service_tier"] = answer.service_tier
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": _model(body, answer),
        "content": _content(answer),
        "stop_reason": "tool_use" if answer.tool_calls else "end_turn",
        "stop_sequence": None,
        "usage": usage,
    }


def _message_stream(body: dict[str, Any], answer: Answer) -> Iterator[Any]:
    whole = _message(body, answer)
    begun = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 1}}
    yield _named({"type": "message_start", "message": begun})
    yield _named({"type": "ping"})
    for index, block in enumerate(whole["content"]):
        if block["type"] == "tool_use":
            yield _named({"type": "content_block_start", "index": index, "content_block": {**block, "input": {}}})
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
            yield _named({"type": "content_block_delta", "index": index, "delta": delta})
        else:
            yield _named({"type": "content_block_start", "index": index, "content_block": {**block, "text": ""}})
            for word in _words(answer.text):
                yield _WORD
                yield _named(
                    {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": word}}
                )
        yield _named({"type": "content_block_stop", "index": index})
    # The closing event repeats the counts, cumulative, but not how long each cache write is kept nor the tier.
    counts = {
        key: value for key, value in whole["usage"].items() if key not in ("cache_creation", "service_tier", "speed")
    }
    ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield _named({"type": "message_delta", "delta": ended, "usage": counts})
    yield _named({"type": "message_stop"})


_FORMATS = {
    "/v1/chat/completions": (_chat_completion, _chat_completion_stream),
    "/v1/completions": (_completion, _completion_stream),
    "/v1/responses": (_response, _response_stream),
    "/v1/messages": (_message, _message_stream),
}
