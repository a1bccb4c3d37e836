"""What every page has: the clock, the filters, the place in the navigation, and its charts and tables as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render

from costsite.analytics.filters import CALL_STATUSES, Filters
from costsite.analytics.periods import RANGES, Calendar
from costsite.csv_answer import Column, csv_answer

Found = TypeVar("Found")


@dataclass(frozen=True)
class Export:
    """A chart or a table as a file: exact, and under the filters of the page it is on."""

    head: Sequence[str]
    rows: Sequence[Sequence[object]]


Exports = Callable[[], Mapping[str, Export]]
"""By name; made when one is asked for: to write thousands of amounts takes as long as a page."""


@overload
def page(
    request: HttpRequest, template: str, calendar: Calendar, section: str, context: dict[str, Any]
) -> HttpResponse: ...


@overload
def page(
    request: HttpRequest,
    template: str,
    calendar: Calendar,
    section: str,
    context: dict[str, Any],
    *,
    filters: Filters | None = None,
    exports: Exports,
) -> HttpResponseBase: ...


def page(
    request: HttpRequest,
    template: str,
    calendar: Calendar,
    section: str,
    context: dict[str, Any],
    *,
    filters: Filters | None = None,
    exports: Exports | None = None,
) -> HttpResponseBase:
    """`section` is the entry of the navigation that this page is under. `?csv=` asks for one of `exports`.

    `kept` in a context: what of its address every link within a page carries on, as it was understood.
    """
    wanted = exports().get(request.GET.get("csv", "")) if exports and "csv" in request.GET else None
    if wanted is not None:
        return as_csv(f"{section}-{request.GET['csv']}-{calendar.today:%Y-%m-%d}", wanted)
    around = {
        "calendar": calendar,
        "section": section,
        "ranges": RANGES,
        "filters": filters,
        "call_statuses": CALL_STATUSES,
        "kept": filters.kept if filters else {},
    }
    return render(request, template, around | context)


def as_csv(name: str, wanted: Export) -> HttpResponseBase:
    def cell(index: int) -> Any:
        return lambda row: row[index]

    columns = [Column(title, cell(index)) for index, title in enumerate(wanted.head)]
    return csv_answer(name, columns, wanted.rows)


def found_or_404(found: Found | None, what: str) -> Found:
    """A row one may not see and a row that is not there look the same."""
    if found is None:
        raise Http404(f"There is no such {what}, or it belongs to a workspace you are not a member of.")
    return found


LONGEST_SEARCH = 200


def search_text(request: HttpRequest, name: str = "q") -> str:
    """What somebody typed into a search, as a database takes it."""
    return request.GET.get(name, "").replace("\x00", "").strip()[:LONGEST_SEARCH]
