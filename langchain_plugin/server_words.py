"""What a server says, made fit for a log line or a terminal: one line of bounded length, and only what prints.

Whoever answers at the address may be anybody. A newline of theirs would forge a line of the agent's own log, an
escape would colour or retitle the terminal, and a mark of direction would turn a sentence around.
"""

from __future__ import annotations

MAX_LENGTH = 300


def clean_words(text: object, max_length: int = MAX_LENGTH) -> str:
    """Any value as one line of at most `max_length` characters that print."""
    given = text if isinstance(text, str) else str(text)
    words = "".join(
        character if character.isprintable() else " " if character.isspace() else "\ufffd"
        for character in given[: max_length + 1].strip()
    )
    return words if len(words) <= max_length else words[: max_length - 1] + "…"
