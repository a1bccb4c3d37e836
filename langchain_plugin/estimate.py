"""How many tokens a text comes to, for calls whose provider did not say, and how many it can at most come to.

Two different questions. An *estimate* is the likeliest number: it stands in the ledger, marked as estimated, where a
provider reported nothing. A *bound* is a number the true one will not exceed: money is held against it before the
call is made. Neither needs a tokenizer: those differ per model, weigh megabytes and take milliseconds on the
caller's thread.

Messages are `list[list[BaseMessage]]`, as `on_chat_model_start` has them, or `list[str]`, as `on_llm_start` has
them. Only the first prompt counts: LangChain starts every prompt of a batch by itself.

The cost is by message and content block, not by length: Python knows the length of a string, and whether it is pure
ASCII, without looking at it. Only text that is not ASCII is encoded once to learn its bytes (0.3 ms for 400 kB).
"""

from __future__ import annotations

from typing import Any

BYTES_PER_TOKEN = 4
"""Bytes of UTF-8. OpenAI and Google both document about four characters of English per token. Bytes serve other scripts
better than characters: a Chinese character is 3 bytes and 0.7 to 1 token, a Cyrillic letter 2 bytes and 0.3 to 0.5."""

TOKENS_PER_MESSAGE = 4
"""Role and delimiters of one message: 3 by OpenAI's published counting rule, 4 with the role itself."""

TOKENS_PER_IMAGE = 1_000
"""OpenAI: 85 plus 170 for each tile of 512 px, so 765 for 1024 x 1024. Anthropic: width x height / 750, at most about
1,600 in its classic size. Google: 258 for each tile of 768 px, so 258 to 1,032 for common sizes."""

TOKENS_PER_DOCUMENT_KILOBYTE = 20
"""For a PDF or other file: Anthropic counts 1,500 to 3,000 tokens for a page, and pages weigh 50 to 150 kB."""

TOKENS_PER_AUDIO_KILOBYTE = 2
"""Google counts 32 tokens for a second of sound, OpenAI 10; a second is 16 kB (128 kbit/s) to 48 kB (plain PCM)."""

TOOL_PREAMBLE_TOKENS = 350
"""What providers put before tool definitions; Anthropic documents 150 to 750, by model."""

MAX_TOKENS_PER_IMAGE = 6_500
"""Above what one image in high detail comes to: Anthropic's large size is 4,784 tokens, OpenAI's patch models bill
1,536 patches times 2.46, Google's highest media resolution is 2,240. Providers raise these; only a model that takes
images unscaled (OpenAI's `detail: original`) is known to go beyond."""
MAX_TOOL_PREAMBLE_TOKENS = 1_000
MAX_TOKENS_PER_MESSAGE = 16
MAX_TOKENS_PER_MEDIA_KILOBYTE = 1_024
"""One token for each byte of a file: compressed text comes to about as many tokens as it has bytes."""


def estimated_input_tokens(messages: Any, tools: Any = None) -> int:
    """The likeliest number of input tokens, at least 1. `tools` are the definitions in `invocation_params`."""
    size = _measured(messages)
    tokens = (
        -(-(size.text_bytes + size.json_bytes) // BYTES_PER_TOKEN)
        + size.messages * TOKENS_PER_MESSAGE
        + size.images * TOKENS_PER_IMAGE
        + size.document_kilobytes * TOKENS_PER_DOCUMENT_KILOBYTE
        + size.audio_kilobytes * TOKENS_PER_AUDIO_KILOBYTE
    )
    if tools:
        tokens += TOOL_PREAMBLE_TOKENS + _utf8_length(str(tools)) // BYTES_PER_TOKEN
    return max(1, tokens)


def input_bound(messages: Any, tools: Any = None) -> int:
    """A number of input tokens that a call with this prompt will not exceed.

    Every tokenizer in use spends at least one byte of UTF-8 on a token, so the bytes bound the text. It is about
    four times the likely number. Not bounded, because the prompt does not show it: media given by URL or file id
    (counted as one image, or as one document of a megabyte), images sent unscaled, a document of many nearly empty
    pages, what a server-side tool reads, and a conversation the provider keeps (`previous_response_id`).
    """
    size = _measured(messages)
    bound = (
        size.text_bytes
        + size.sealed_bytes
        + size.json_bytes * 2  # quotes and line breaks within JSON are escaped
        + (size.messages + 1) * MAX_TOKENS_PER_MESSAGE
        + (size.images + size.documents) * MAX_TOKENS_PER_IMAGE
        + (size.document_kilobytes + size.audio_kilobytes) * MAX_TOKENS_PER_MEDIA_KILOBYTE
    )
    if tools:
        bound += MAX_TOOL_PREAMBLE_TOKENS + _utf8_length(str(tools))
    return bound


def estimated_output_tokens(streamed_characters: int) -> int:
    """The likeliest number of output tokens of an answer of so many characters."""
    return -(-streamed_characters // BYTES_PER_TOKEN)


def streamed_length(block: Any) -> int:
    """Characters of the text in a streamed block, whatever its shape."""
    if isinstance(block, str):
        return len(block)
    if isinstance(block, dict):
        return sum(
            streamed_length(block.get(key)) for key in ("text", "reasoning", "thinking", "args", "delta", "content")
        )
    if isinstance(block, list):
        return sum(streamed_length(part) for part in block)
    return 0


# ── measuring a prompt ───────────────────────────────────────────────────────────────────────────────────────────

_IMAGE_TYPES = frozenset({"image", "image_url", "input_image"})
_AUDIO_TYPES = frozenset({"audio", "input_audio"})
_DOCUMENT_TYPES = frozenset({"document", "file", "input_file", "media", "video"})
_MEDIA_TYPES = _IMAGE_TYPES | _AUDIO_TYPES | _DOCUMENT_TYPES
_CALL_TYPES = frozenset({"tool_use", "tool_call", "function_call"})
_NOT_PROMPT = frozenset({"type", "id", "index", "cache_control", "extras"})
"""Keys of content blocks that the model never reads."""
_SEALED = frozenset({"signature", "encrypted_content"})
"""Keys that hold thoughts the provider encrypted. It drops most of them from the next prompt, so they are no part of
the estimate; those of an unfinished turn it reads in full, so they are part of the bound."""
_ARGUMENTS = frozenset({"args", "input", "arguments"})
"""Keys whose values the model reads as JSON, keys and punctuation with them."""
_JSON_PUNCTUATION = 4
"""Bytes about each member: two quotes, a colon, a comma."""
_UNSEEN_DOCUMENT_KILOBYTES = 1_024
_DEEPEST = 12
"""Deeper than any message nests; a structure that contains itself ends here."""


class _Size:
    __slots__ = (
        "audio_kilobytes",
        "document_kilobytes",
        "documents",
        "images",
        "json_bytes",
        "messages",
        "sealed_bytes",
        "text_bytes",
    )

    def __init__(self) -> None:
        self.messages = 0
        self.text_bytes = 0
        self.json_bytes = 0
        self.sealed_bytes = 0
        self.images = 0
        self.documents = 0
        self.document_kilobytes = 0
        self.audio_kilobytes = 0

    def add_text(self, text: str, *, as_json: bool = False) -> None:
        if as_json:
            self.json_bytes += _utf8_length(text) + _JSON_PUNCTUATION
        else:
            self.text_bytes += _utf8_length(text)

    def add(self, value: Any, depth: int = 0, *, as_json: bool = False) -> None:
        """Content, a block of it, or arguments of a tool call: any nesting of dicts and lists."""
        if isinstance(value, str):
            self.add_text(value, as_json=as_json)
        elif depth > _DEEPEST:
            return
        elif isinstance(value, dict):
            if as_json:
                for key, item in value.items():
                    self.add_text(str(key), as_json=True)
                    self.add(item, depth + 1, as_json=True)
                return
            if value.get("type") in _MEDIA_TYPES:
                self.add_media(value)
                return
            for key, item in value.items():
                if key in _SEALED:
                    self.sealed_bytes += len(item) if isinstance(item, str) else 0
                elif key not in _NOT_PROMPT:
                    self.add(item, depth + 1, as_json=key in _ARGUMENTS)
        elif isinstance(value, list | tuple):
            for item in value:
                self.add(item, depth + 1, as_json=as_json)
        elif as_json:
            self.add_text(repr(value), as_json=True)

    def add_media(self, block: dict[str, Any]) -> None:
        kind = block.get("type")
        nested = [value for value in block.values() if isinstance(value, dict)]
        mime_type = next((h[k] for h in (block, *nested) for k in ("mime_type", "media_type") if k in h), "")
        if kind in _IMAGE_TYPES or str(mime_type).startswith("image/"):
            self.images += 1
            return
        data = max((v for h in (block, *nested) for v in h.values() if isinstance(v, str)), key=len, default="")
        if mime_type == "text/plain":
            self.add_text(data)
            return
        kilobytes = len(data) * 3 // 4 // 1024  # of base64; a URL or an id is shorter than one
        if kind in _AUDIO_TYPES or str(mime_type).startswith("audio/"):
            self.audio_kilobytes += kilobytes or _UNSEEN_DOCUMENT_KILOBYTES
        else:
            self.documents += 1
            self.document_kilobytes += kilobytes or _UNSEEN_DOCUMENT_KILOBYTES


def _measured(messages: Any) -> _Size:
    size = _Size()
    for message in _first_prompt(messages):
        size.messages += 1
        if isinstance(message, str):
            size.add_text(message)
            continue
        # Not getattr: a pydantic model takes a microsecond to say that it lacks an attribute, and most messages lack
        # tool_calls.
        fields = vars(message) if hasattr(message, "__dict__") else {}
        content = fields.get("content")
        if isinstance(content, str):
            size.add_text(content)
        elif content:
            size.add(content)
        calls = fields.get("tool_calls")
        # An answer of Anthropic's holds the same calls among its blocks: once is enough.
        if calls and not (isinstance(content, list) and any(map(_is_call, content))):
            size.add(calls)
    return size


def _first_prompt(messages: Any) -> Any:
    if not isinstance(messages, list | tuple) or not messages:
        return ()
    first = messages[0]
    if isinstance(first, list | tuple):
        return first
    return messages[:1] if isinstance(first, str) else messages


def _is_call(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") in _CALL_TYPES


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
