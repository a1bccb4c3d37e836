"""What every page has: the clock, the range, the place in the navigation."""

from __future__ import annotations

from typing import Any, TypeVar

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from costsite.analytics.periods import DEFAULT_RANGE, RANGES, Calendar

Found = TypeVar("Found")


def page(
    request: HttpRequest, template: str, calendar: Calendar, section: str, context: dict[str, Any]
) -> HttpResponse:
    """`section` is the entry of the navigation that this page is under."""
    return render(request, template, {"calendar": calendar, "section": section, "ranges": RANGES} | context)


def range_name(request: HttpRequest) -> str:
    name = request.GET.get("range", DEFAULT_RANGE)
    return name if name in RANGES else DEFAULT_RANGE


def found_or_404(found: Found | None, what: str) -> Found:
    """A row one may not see and a row that is not there look the same."""
    if found is None:
        raise Http404(f"There is no such {what}, or it belongs to a workspace you are not a member of.")
    return found


def whole_number(text: str, *, most: int) -> int | None:
    """From a query string: a number from 0 to `most`, else None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 and int(text) <= most else None


LONGEST_SEARCH = 200


def search_text(request: HttpRequest, name: str = "q") -> str:
    """What somebody typed into a search, as a database takes it."""
    return request.GET.get(name, "").replace("\x00", "").strip()[:LONGEST_SEARCH]
