"""The run logs as a file, with the same filters and for the same eyes as the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import get_template
from django.utils.http import urlencode

from agents.spend import cents_text, known_cost
from costsite.analytics.queries import plain, runs
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.views.runs import runs_file_name, wanted_runs
from costsite.csv_answer import csv_of_chunks, text_cell
from costsite.large_files import BUSY, RETRY_AFTER_SECONDS, FilesBusyError, few_at_a_time

EXPORTED_RUNS = 10_000
"""The newest that match; the answer's `Link` leads to those after them."""
LINES_AT_ONCE = 1_000

TITLES = (
    "Run", "Workspace", "Agent", "Started", "Ended", "Status", "Calls", "Unpriced calls", "Estimated calls",
    "Input tokens", "Output tokens", "Estimated cost (cents)",
)  # fmt: skip
READ = (
    "run_id", "workspace__name", "agent__name", "agent__slug", "started_at", "ended_at", "status", "calls",
    "unpriced_calls", "estimated_calls", "input_tokens", "output_tokens", "cost_microcents",
)  # fmt: skip


@login_required
def runs_csv(request: HttpRequest) -> HttpResponseBase:
    """Times are UTC; the cost is exact, and empty where no call of the run has a price. `Link`: what follows."""
    try:
        return _file(request)
    except FilesBusyError:
        page = HttpResponse(get_template("429.html").render({"words": BUSY}), status=429)
        page.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return page


@few_at_a_time
def _file(request: HttpRequest) -> StreamingHttpResponse:
    calendar = calendar_now()
    wanted, shown = wanted_runs(request, calendar)
    before = runs.Cursor.parse(request.GET.get("before", ""))
    rows, older = runs.columns_of_runs(request.user, calendar, wanted, READ, before=before, limit=EXPORTED_RUNS)
    next_link = ""
    if older:
        next_link = f"{request.path}?{urlencode(shown['kept'] | {'before': older})}"
    return csv_of_chunks(runs_file_name(wanted, shown, calendar), TITLES, _in_chunks(rows), next_link=next_link)


def _in_chunks(rows: Sequence[tuple[Any, ...]]) -> Iterator[Iterator[Sequence[object]]]:
    for start in range(0, len(rows), LINES_AT_ONCE):
        yield map(_cells, rows[start : start + LINES_AT_ONCE])


def _cells(row: tuple[Any, ...]) -> Sequence[object]:
    (
        run_id, workspace, name, slug, started_at, ended_at, status, calls, unpriced, estimated, input_tokens,
        output_tokens, cost,
    ) = row  # fmt: skip
    return (
        plain.uuid_text(run_id), text_cell(workspace), text_cell(name or slug), plain.time_text(started_at),
        plain.time_text(ended_at), status, calls, unpriced, estimated, input_tokens, output_tokens,
        cents_text(known_cost(calls, unpriced, cost)),
    )  # fmt: skip
