"""The run logs as a file, with the same filters and for the same eyes as the page."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, StreamingHttpResponse
from django.utils.http import urlencode

from agents.spend import cents_text
from costsite.analytics.queries import runs
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.views.runs import runs_file_name, wanted_runs
from costsite.csv_answer import Column, csv_answer

EXPORTED_RUNS = 10_000
"""The newest that match; the answer's `Link` leads to those after them."""

COLUMNS = (
    Column("Run", lambda run: run.run_id),
    Column("Workspace", lambda run: run.workspace_name),
    Column("Agent", lambda run: run.agent_name),
    Column("Started", lambda run: run.started_at),
    Column("Ended", lambda run: run.ended_at),
    Column("Status", lambda run: run.status),
    Column("Calls", lambda run: run.spend.calls),
    Column("Unpriced calls", lambda run: run.spend.unpriced_calls),
    Column("Estimated calls", lambda run: run.spend.estimated_calls),
    Column("Input tokens", lambda run: run.spend.input_tokens),
    Column("Output tokens", lambda run: run.spend.output_tokens),
    Column("Estimated cost (cents)", lambda run: cents_text(run.spend.cost)),
)


@login_required
def runs_csv(request: HttpRequest) -> StreamingHttpResponse:
    """Times are UTC; the cost is exact, and empty where no call of the run has a price. `Link`: what follows."""
    calendar = calendar_now()
    wanted, shown = wanted_runs(request, calendar)
    before = runs.Cursor.parse(request.GET.get("before", ""))
    page = runs.list_runs(request.user, calendar, wanted, before=before, limit=EXPORTED_RUNS)
    next_link = ""
    if page.older:
        next_link = f"{request.path}?{urlencode(shown['kept'] | {'before': page.older})}"
    return csv_answer(runs_file_name(wanted, shown, calendar), COLUMNS, page.rows, next_link=next_link)
