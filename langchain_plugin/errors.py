"""What the plugin raises, and only where it was asked to: when made with a wrong setting, and by `check()`.

    CostsiteError
    ├── ConfigError             a setting is wrong
    └── CheckFailed             the site could not take reports, by the way it failed:
        ├── NoKey
        ├── ServerUnreachable   nobody answered
        ├── ServerFailed        it answered with an error of its own, or asked for patience
        ├── WrongKey
        ├── WrongUrl            somebody answered, but not a Costsite site
        ├── BatchRefused        it would not take this batch as a whole
        ├── NoRoom              it rejected events, and the disk has no room to set them aside
        └── LeaseRefused        a budget grants nothing
    BudgetExceeded (in budget_exceeded.py) is the other kind: the one that stops an agent.

Each sentence says the mend. While an agent runs, the same sentences go to the log, once each, and nothing is raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from langchain_plugin.wire_leases import RefusalFacts


class CostsiteError(Exception):
    """Any error of the plugin's own."""


class ConfigError(CostsiteError, ValueError):
    """A setting is wrong."""


class CheckFailed(CostsiteError):  # noqa: N818 - reads as what happened; its kinds name the part that failed
    """The site could not be asked, or would not answer as a site does."""

    kind: ClassVar[str]
    """Names the trouble, so that each is said once."""
    needs_a_person: ClassVar[bool] = False
    """True where waiting mends nothing: the setting itself is wrong."""
    is_local: ClassVar[bool] = False
    """True where the site did its part, and this machine is in the way."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        """How long the server asked to be left alone; None when it did not say."""


class NoKey(CheckFailed):
    """There is no key to ask with."""

    kind = "no_key"
    needs_a_person = True


class ServerUnreachable(CheckFailed):
    """Refused, timed out, broken off, or not found by name."""

    kind = "unreachable"


class ServerFailed(CheckFailed):
    """An error of the server's, or 429: it will pass."""

    kind = "failing"


class WrongKey(CheckFailed):
    """The site does not know the key, or the key may not do this."""

    kind = "wrong_key"
    needs_a_person = True


class WrongUrl(CheckFailed):
    """What answered does not speak as a Costsite site."""

    kind = "wrong_url"
    needs_a_person = True


class BatchRefused(CheckFailed):
    """A batch was refused as a whole: too large, or unreadable. A smaller one may pass."""

    kind = "refused"
    needs_a_person = True

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class NoRoom(CheckFailed):
    """Events that the site rejected stay where they are, and what lies behind them waits too: the disk is full."""

    kind = "no_room"
    is_local = True


class LeaseRefused(CheckFailed):
    """402: a budget does not pay. An answer, not a trouble."""

    kind = "lease_refused"

    def __init__(self, facts: RefusalFacts) -> None:
        super().__init__(f"A budget of {facts.subject} is in the way: {facts.kind}.")
        self.facts = facts
