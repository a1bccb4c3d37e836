"""`callbacks=[CostCallbackHandler]`: the class, where one that is made was meant. LangChain takes it without a word."""

from __future__ import annotations

import sys

from langchain_plugin.sayings import Sayings

_sayings = Sayings()


class NotOfTheClass:
    """Of an `ignore_…` that LangChain asks before it passes an event on: False of a handler; asked of its class, it
    says once that nothing is recorded. There a property is no answer, counts as true, and all goes on in silence.
    """

    def __get__(self, handler: object, owner: type) -> bool:
        # Others look at a class too: help(), tools that write documentation.
        if handler is None and sys._getframe(1).f_globals.get("__name__", "").startswith("langchain_core."):
            _sayings.once(
                "class",
                "Costsite: the callbacks hold the class %s, which records nothing; make one: callbacks=[%s()].",
                owner.__name__,
                owner.__name__,
            )
        return handler is None
