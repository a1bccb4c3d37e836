"""What every page has: the clock, the filters, the place in the navigation, and its charts and tables as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, overload

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse

from costsite.analytics.file_names import file_name
from costsite.analytics.filters import CALL_STATUSES, SPLITS_OF_NO_TAG, Filters
from costsite.analytics.periods import RANGES, Calendar, Days
from costsite.csv_answer import Column, csv_answer

Found = TypeVar("Found")


@dataclass(frozen=True)
class Export:
    """A chart or a table as a file: exact, and under the filters of the page it is on."""

    head: Sequence[str]
    rows: Sequence[Sequence[object]]
    days: Days | None = None
    """None: as it is today."""
    narrowed_to: Sequence[str] = ()

    def over(self, days: Days, *narrowed_to: str) -> Export:
        """The same with the days it is of, and what it is narrowed to: its name says so."""
        return replace(self, days=days, narrowed_to=narrowed_to)


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
    subject: Sequence[str] = (),
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
    subject: Sequence[str] = (),
) -> HttpResponseBase:
    """`section` is the entry of the navigation that this page is under. `?csv=` asks for one of `exports`.

    `subject`: whose page it is, for the names of files; else the section's.
    `kept` in a context: what of its address every link within a page carries on, as it was understood.
    """
    wanted = exports().get(request.GET.get("csv", "")) if exports and "csv" in request.GET else None
    if wanted is not None:
        return as_csv((*(subject or (section,)), request.GET["csv"]), wanted, calendar)
    around = {
        "calendar": calendar,
        "section": section,
        "ranges": RANGES,
        "filters": filters,
        "call_statuses": CALL_STATUSES,
        "splits_of_no_tag": SPLITS_OF_NO_TAG,
        "kept": filters.kept if filters else {},
    }
    return render(request, template, around | context)


def as_csv(name: Sequence[str], wanted: Export, calendar: Calendar) -> HttpResponseBase:
    """`name`: of whom and what."""

    def cell(index: int) -> Any:
        return lambda row: row[index]

    columns = [Column(title, cell(index)) for index, title in enumerate(wanted.head)]
    days = calendar.today if wanted.days is None else wanted.days
    return csv_answer(file_name((*name, *wanted.narrowed_to), days), columns, wanted.rows)


def pages_of(name: str) -> Callable[[int], str]:
    """The addresses of hundreds of pages that differ in their number alone: Django works out the first."""
    before, _, after = reverse(name, args=[0]).rpartition("0")
    return lambda pk: f"{before}{pk}{after}"


def found_or_404(found: Found | None, what: str) -> Found:
    """A row one may not see and a row that is not there look the same."""
    if found is None:
        raise Http404(f"There is no such {what}, or it belongs to a workspace you are not a member of.")
    return found


LONGEST_SEARCH = 200


def search_text(request: HttpRequest, name: str = "q") -> str:
    """What somebody typed into a search, as a database takes it."""
    return request.GET.get(name, "").replace("\x00", "").strip()[:LONGEST_SEARCH]
