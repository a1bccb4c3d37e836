"""What the address of a list may ask it. Whoever may open a list may write into its address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.contrib.admin.views.main import ERROR_FLAG
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

# The stubs know this class as generic; Django's own is not.
if TYPE_CHECKING:
    AnyAdmin = admin.ModelAdmin[Any]
else:
    AnyAdmin = admin.ModelAdmin

ANSWERED: Final = frozenset(
    {
        "exact", "iexact", "in", "isnull", "gt", "gte", "lt", "lte", "year", "month", "day",
        "contains", "icontains", "startswith", "istartswith", "id", "pk",
    }
)  # fmt: skip
"""Lookups, and the key of a related row as Django's filters name it. Each costs a row a bounded time.

A regular expression does not: SQLite asks Python, one thread holds the interpreter, and `^(a+)+$` stops the process.
"""


class BoundedListAdmin(AnyAdmin):
    """A list that answers only what costs it a bounded time, and says so of what no column can hold."""

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        lookups = lookup.split(LOOKUP_SEP)[1:]
        return ANSWERED.issuperset(lookups) and super().lookup_allowed(lookup, value, request)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        try:
            return super().changelist_view(request, extra_context)
        except OverflowError:
            # An integer that SQLite has no room for, noticed when rows are fetched: Django looks only before that.
            return HttpResponseRedirect(f"{request.path}?{ERROR_FLAG}=1")
