"""The server's own clock, and how far it is believed.

A clock that is wrong for a minute must neither delete a year of calls nor turn money away for good. So the ledger keeps
a day of its own, which follows the clock by `CATCH_UP_DAYS` for each day the clock shows: where the two differ, nothing
old is deleted, and where a client's clock agrees with that day but not with the server's, the server does not judge.
"""

from __future__ import annotations

import logging
from datetime import date, datetime
from typing import Final

from agents.clock import RELEASED, TOLERATED_SKEW, Days, server_is_wrong, trusted_next
from agents.models import LedgerState, LLMCall
from agents.write_lock import writing

log = logging.getLogger(__name__)

ASK_AGAIN_SECONDS: Final = 60
"""What clients wait that are told to come back when the clock is right."""


class ServerClockError(Exception):
    """The server's clock is wrong, so nothing may be judged by it; the message says the mend. Nothing was written."""


def follow() -> str:
    """Let the trusted day follow the clock; what the two say. For each tick: it writes once a day."""
    state = LedgerState.current()
    today = state.today()
    if state.trusted_day != today and state.trusted_day_moved_on != today:
        with writing():
            state = LedgerState.objects.select_for_update().get(pk=1)
            trusted = state.trusted_day or min(today, _newest_receipt(state.days()) or today)
            state.trusted_day = trusted_next(trusted, state.trusted_day_moved_on or trusted, today)
            state.trusted_day_moved_on = today
            state.save(update_fields=["trusted_day", "trusted_day_moved_on"])
        if problem := doubt(state):
            log.warning(problem)
    return doubt(state) or f"it is {today}"


def doubt(state: LedgerState) -> str:
    """Why the clock is not believed, with the mend; empty when it is, or before the first tick."""
    today = state.today()
    if state.trusted_day in {None, today}:
        return ""
    return (
        f"The server's clock says {today}, where the ledger expects {state.trusted_day}. Until they agree no old calls"
        " are deleted. Set the clock; if it is right (the site was off for a while), the ledger catches up by itself,"
        " a few days a day."
    )


def judge(sent_at: datetime, received_at: datetime) -> None:
    """Raise ServerClockError when what a client reports would be moved or refused by a server whose clock is wrong.

    Nothing is asked of the database while the two clocks agree.
    """
    if received_at < RELEASED:
        raise wrong(received_at)
    if abs(received_at - sent_at) <= TOLERATED_SKEW:
        return
    trusted = LedgerState.objects.filter(pk=1).values_list("trusted_day", flat=True).first()
    if server_is_wrong(received_at, sent_at, trusted):
        raise wrong(received_at)


def require_plausible(now: datetime, state: LedgerState | None) -> None:
    """Raise ServerClockError when the clock says a time that cannot be, without a client's clock to compare it with."""
    retained_from = state and state.retained_from
    if now < RELEASED or (state and retained_from and now < state.days().start(retained_from)):
        raise wrong(now)


def wrong(now: datetime) -> ServerClockError:
    return ServerClockError(
        f"This server's clock says {now:%Y-%m-%d %H:%M} UTC, which cannot be; nothing was written. Set the clock of the"
        " server; send the same again then."
    )


def _newest_receipt(days: Days) -> date | None:
    newest = LLMCall.objects.order_by("-pk").values_list("received_at", flat=True).first()
    return newest and days.of(newest)
