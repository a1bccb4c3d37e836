"""The cast of the pages' tests, the afternoon they happen on, and what a call costs on it."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from agents.models import LLMCall, Workspace
from costsite.analytics.queries.runs import RunPage
from langchain_plugin import wire

AFTERNOON = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
"""A Tuesday."""
TODAY = AFTERNOON.date()
MONTH = date(2026, 11, 1)
THIS_MONTH = (MONTH, TODAY + timedelta(days=1))

PRICED = {"provider": "acme-ai", "request_model": "acme-1", "input_tokens": 1_200, "output_tokens": 300}
"""At 1 USD per million in and 2 USD out: 1,200 x 100 + 300 x 200 = 180,000 microcents = 0.18 cents."""
PRICED_MICROCENTS = 180_000
UNPRICED = PRICED | {"request_model": "acme-unheard-of-9"}


@dataclass
class Cast:
    owner: User
    viewer: User
    outsider: User
    superuser: User
    acme: Workspace
    elsewhere: Workspace
    """Only the outsider belongs here."""


Spend = Callable[..., wire.LLMCall]


def text_of(client: Client, page: str, *args: Any) -> str:
    """The page as a reader sees it: no tags, single spaces."""
    response = client.get(page if page.startswith("/") else reverse(page, args=args))
    assert response.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode())).replace("&nbsp;", " ")


def exact(microcents: int | None) -> str:
    """Cents as a file has them: worked out here, not by the code under test."""
    return "" if microcents is None else f"{Decimal(microcents) / 1_000_000:f}".rstrip("0").rstrip(".") or "0"


def file_of(client: Client, address: str, name: str) -> list[dict[str, str]]:
    """The rows of a chart or table as the page's file has them."""
    response: Any = client.get(f"{address}{'&' if '?' in address else '?'}csv={name}")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/csv"), (address, name)
    return list(csv.DictReader(StringIO(response.getvalue().decode())))


def known(calls: Iterable[LLMCall]) -> int | None:
    """What calls cost: None where there are some and nobody knows of any; the ledger's rule, once more."""
    calls = list(calls)
    priced = [call.cost_microcents for call in calls if call.cost_microcents is not None]
    return sum(priced) if priced or not calls else None


def within(calls: Iterable[LLMCall], start: date, end: date) -> list[LLMCall]:
    return [call for call in calls if start <= call.started_at.date() < end]


def grouped(calls: Iterable[LLMCall], key: Callable[[LLMCall], Any]) -> dict[Any, list[LLMCall]]:
    groups = defaultdict(list)
    for call in calls:
        groups[key(call)].append(call)
    return groups


def day_of(call: LLMCall) -> str:
    return call.started_at.date().isoformat()


def is_paged_older_and_newer(client: Client, query: str) -> RunPage:
    """Of an agent's 45 runs of one hour, in three pages. `query`: its page up to where more is to be added."""
    first = client.get(query).context["run_page"]
    second = client.get(f"{query}before={first.older}").context["run_page"]
    last = client.get(f"{query}before={second.older}").context["run_page"]
    back = client.get(f"{query}after={last.newer}").context["run_page"]

    minutes = [row.started_at.minute for page in (first, second, last) for row in page.rows]
    assert minutes == list(range(44, -1, -1))
    assert (first.newer, last.older) == (None, None)
    assert back.rows == second.rows
    found: RunPage = first
    return found
