"""What the address of a list may ask it, and that of a form propose. Whoever opens a page writes its address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin
from django.contrib.admin.views.main import ERROR_FLAG
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models
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
    """Lists that answer only what costs them a bounded time, and nothing that no column can hold."""

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        lookups = lookup.split(LOOKUP_SEP)[1:]
        return ANSWERED.issuperset(lookups) and super().lookup_allowed(lookup, value, request)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        try:
            return super().changelist_view(request, extra_context)
        except OverflowError:
            # An integer that SQLite has no room for, noticed when rows are fetched: Django looks only before that.
            return HttpResponseRedirect(f"{request.path}?{ERROR_FLAG}=1")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """What the address of a form proposes, without what its field cannot show: Django fails on that."""
        proposed = super().get_changeform_initial_data(request)
        return {name: shown for name, value in proposed.items() if (shown := self._showable(name, value)) is not None}

    def _showable(self, name: str, value: Any) -> Any:
        try:
            field: Any = self.opts.get_field(name)
            if isinstance(field, models.DateTimeField):
                return field.to_python(value)
            if field.many_to_one:
                key = field.target_field.to_python(value)
                field.target_field.run_validators(key)
        except FieldDoesNotExist:
            pass  # one of the form alone
        except (ValidationError, ValueError, OverflowError):
            return None
        return value
