"""The run logs as a file, with the same filters and for the same eyes as the page."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, StreamingHttpResponse

from agents.spend import cents
from costsite.analytics.queries import runs
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.views.runs import wanted_runs

EXPORTED_RUNS = 10_000
"""The newest that match. More of them are read through the API, page by page."""

COLUMNS = (
    "Run",
    "Workspace",
    "Agent",
    "Started",
    "Ended",
    "Status",
    "Calls",
    "Unpriced calls",
    "Estimated calls",
    "Input tokens",
    "Output tokens",
    "Estimated cost (cents)",
)


@login_required
def runs_csv(request: HttpRequest) -> StreamingHttpResponse:
    """Times are UTC; the cost is exact, and empty where no call of the run has a price."""
    calendar = calendar_now()
    wanted = wanted_runs(request)[0]
    page = runs.list_runs(request.user, calendar, wanted, limit=EXPORTED_RUNS)
    response = StreamingHttpResponse(_lines(page.rows), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="runs-{calendar.today:%Y-%m-%d}.csv"'
    return response


def _lines(rows: tuple[runs.RunRow, ...]) -> Iterator[str]:
    buffer = StringIO()
    writer = csv.writer(buffer)
    for cells in (COLUMNS, *map(_cells, rows)):
        writer.writerow(cells)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _cells(row: runs.RunRow) -> tuple[object, ...]:
    spend = row.spend
    return (
        row.run_id,
        as_text(row.workspace_name),
        as_text(row.agent_name),
        row.started_at.isoformat(),
        row.ended_at.isoformat() if row.ended_at else "",
        row.status,
        spend.calls,
        spend.unpriced_calls,
        spend.estimated_calls,
        spend.input_tokens,
        spend.output_tokens,
        "" if spend.cost is None else f"{cents(spend.cost).normalize():f}",
    )


def as_text(name: str) -> str:
    """A name that a spreadsheet would run as a formula, with the apostrophe that keeps it a name."""
    return f"'{name}" if name[:1] in {"=", "+", "-", "@", "\t", "\r"} else name
