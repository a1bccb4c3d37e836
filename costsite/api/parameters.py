"""Query parameters: what all lists share, and the refusal of what none of them knows."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Literal

from django.db.models.functions import Coalesce
from django.http import HttpRequest
from pydantic import BaseModel, ConfigDict

from agents.clock import Days
from agents.models import Agent, ApiKey, LedgerState
from costsite.api.errors import ApiError
from costsite.api.problems import shortened

Format = Literal["json", "csv"]


class Parameters(BaseModel):
    """A list's parameters. A misspelt filter is an error: left out in silence, it would answer another question."""

    model_config = ConfigDict(populate_by_name=True)

    def check(self, request: HttpRequest) -> None:
        known = {field.alias or name for name, field in type(self).model_fields.items()}
        for name, value in request.GET.items():
            if name not in known:
                raise bad_parameter(
                    shortened(name), f"is no parameter of this address; it knows {', '.join(sorted(known))}"
                )
            if "\x00" in value:
                raise bad_parameter(name, "has a NUL character, which no name here has")


def bad_parameter(name: str, message: str) -> ApiError:
    return ApiError(422, "bad_parameter", f"`{name}` {message}.", details=[{"where": name, "message": message}])


def ledger_days() -> Days:
    """The ledger's local days, in the zone that is in force."""
    return LedgerState.current().days()


def agent_of(key: ApiKey, slug: str) -> Agent:
    """The agent the key may read, by any of its names. One of another workspace is as unknown as one that never was."""
    named = Agent.objects.filter(workspace=key.workspace_id, slug=slug)
    stands_for = named.values(agent=Coalesce("merged_into", "pk"))
    found = Agent.objects.all().readable_with(key).filter(pk__in=stands_for).first()
    if found is None:
        raise ApiError(
            404, "unknown_agent", "This key reads no agent of that name; GET /api/v1/agents lists those it does."
        )
    return found


def instant(name: str, text: str, days: Days) -> datetime:
    """A time with an offset, or a date: the first instant of that day in the ledger's zone."""
    try:
        if len(text) == len("2026-11-01"):
            return days.start(date.fromisoformat(text))
        at = datetime.fromisoformat(text).astimezone(UTC) if _has_offset(text) else None
    except (ValueError, OverflowError):
        at = None
    if at is None:
        raise bad_parameter(
            name, "must be a date (2026-11-01) or a time with its offset (2026-11-01T08:00:00Z; write + as %2B)"
        )
    return at


def _has_offset(text: str) -> bool:
    return datetime.fromisoformat(text).tzinfo is not None
