"""The clock of the pages: now, in the zone whose days and months the ledger keeps."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from django.utils import timezone

from agents.models import LedgerState
from costsite.analytics.periods import Calendar


def calendar_now() -> Calendar:
    return Calendar(timezone.now(), ZoneInfo(LedgerState.current().time_zone))
