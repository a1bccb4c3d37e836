"""A command that runs for long, and is heard while it does."""

from __future__ import annotations

from django.core.management.base import BaseCommand


class CommandHeardAtOnce(BaseCommand):
    def say(self, text: str) -> None:
        """Now: to what is no terminal, such as a journal, it would else be written when the process ends, if then."""
        self.stdout.write(text)
        self.stdout.flush()
