"""What the plugin says to the agent's log: each thing once, and a server's own sentences not without end."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from langchain_plugin.own_file import UnsafeFolder
from langchain_plugin.server_words import clean_words

logger = logging.getLogger("costsite")

MAX_FROM_SERVER = 10
"""Different notices, and different reasons of rejection, in a process's life: a server that had a new one in every
answer would fill the log and this memory."""


class Sayings:
    """What was said so far."""

    def __init__(self) -> None:
        self._said: set[str] = set()
        self._noticed: set[str] = set()
        self._rejected: set[str] = set()

    def once(
        self,
        kind: str,
        sentence: str,
        *values: object,
        level: int = logging.WARNING,
        error: BaseException | None = None,
    ) -> None:
        """Say it, unless something of this kind was said since it was last true.

        With `values` the sentence is a template that `logging` fills in: a value that cannot be written raises nothing
        here. `error` brings its traceback.
        """
        if kind not in self._said:
            self._said.add(kind)
            logger.log(level, sentence, *values, exc_info=error)

    def is_over(self, kinds: Iterable[str]) -> None:
        """Should it come again, it is said again."""
        self._said.difference_update(kinds)

    def unwritable(self, folder: Path, error: OSError) -> None:
        """Say that events are kept in memory, since the folder for them cannot be used."""
        act, mend = (
            ("does not use", error.mend) if isinstance(error, UnsafeFolder) else ("cannot write to", "free space there")
        )
        self.once(
            "unwritable",
            "Costsite %s %s (%s): events are kept in memory, and lost if the process is killed; %s, or set "
            "COSTSITE_STATE_DIR to a local folder that can be written.",
            act,
            folder,
            error.strerror or type(error).__name__,
            mend,
        )

    def notice(self, code: str, message: str) -> None:
        """Pass on what the site has to say to this process."""
        if _is_new(code, self._noticed):
            logger.warning("Costsite: %s", clean_words(message))

    def rejection(self, code: str, message: str) -> None:
        """Say that the site rejects events; both words are clean already."""
        if _is_new(code, self._rejected):
            logger.warning(
                "Costsite rejected an event (%s: %s); `costsite status` shows all that were, and what can be done.",
                code,
                message,
            )


def _is_new(code: str, known: set[str]) -> bool:
    code = clean_words(code, 60)
    if code in known or len(known) >= MAX_FROM_SERVER:
        return False
    known.add(code)
    return True
