"""Lists over tables of ten million rows: the newest few thousand by an index, older ones by id."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

from agents.admin.access import ReadOnlyAdmin, is_superuser, minute
from agents.models import Workspace

NEWEST = 2_000
"""Rows a list pages through. A count of all rows, and a page far down, both take as long as the table is large."""
MICROCENT_COLUMNS = {"cost_microcents", "saved_microcents"}
"""Stored; people read cents."""
HASH_COLUMNS = {"prompt_hash", "tool_calls"}
"""For the site to compare. Whoever holds a key of the workspace could find out short texts by hashing guesses."""
LEAST_PREFIX = 8
"""Hexadecimal digits: ids begin with the time, so fewer would match days of rows."""


class NewestPaginator(Paginator):  # type: ignore[type-arg]  # generic in the stubs alone
    """Knows of at most `NEWEST` rows, and counts no further."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        counted: int = rows.order_by()[:NEWEST].count()
        return counted


def ids_beginning(prefix: str) -> tuple[UUID, UUID] | None:
    """The first and the last UUID that begin with these hexadecimal digits; None when they are too few or none."""
    digits = prefix.strip().lower().replace("-", "")
    if not re.fullmatch(rf"[0-9a-f]{{{LEAST_PREFIX},32}}", digits):
        return None
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


def counted(field: str) -> Any:
    """A column of a list: a number of `field` with separators between its thousands."""

    @admin.display(description=field.replace("_", " "))
    def column(row: Any) -> str:
        return f"{getattr(row, field):,}"

    column.__name__ = field  # the list's CSS class
    return column


class LargeTableAdmin(ReadOnlyAdmin):
    """Runs or calls. `newest_first` has an index that begins with the workspace."""

    id_field: str
    newest_first: tuple[str, ...]
    paginator = NewestPaginator
    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 0
    search_fields = ("pk",)  # shows the box; get_search_results reads it
    sortable_by = ()

    @admin.display(description="started")
    def started(self, row: Any) -> str:
        return minute(row.started_at)

    @admin.display(description="Estimated cost (cents)")
    def estimated_cost_in_cents(self, row: Any) -> str:
        """Exact; the word where the cost is not known."""
        cost = row.estimated_cost_cents
        return "unpriced" if cost is None else f"{cost.normalize():,f}"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        names = [
            field.name for field in self.opts.fields if field.name not in MICROCENT_COLUMNS | HASH_COLUMNS | {"id"}
        ]
        return [*names, "estimated_cost_in_cents"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.get_fields(request, obj)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return ("-pk",) if is_superuser(request.user) else self.newest_first

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        match = request.resolver_match
        listing = match is not None and (match.url_name or "").endswith("_changelist")
        if not listing or request.GET.get("q"):
            return super().get_queryset(request)
        order = self.get_ordering(request)
        rows: Any = self.model._default_manager
        newest: QuerySet[Any] = rows.firsts_visible_to(request.user, *order, most=NEWEST)
        return newest.order_by(*order)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term.strip():
            return queryset, False
        span = ids_beginning(search_term)
        if span is None:
            messages.warning(request, f"Search takes the first {LEAST_PREFIX} or more hexadecimal digits of an id.")
            return queryset.none(), False
        workspaces = list(Workspace.objects.visible_to(request.user).order_by().values_list("pk", flat=True))
        found = queryset.filter(
            **{"workspace_id__in": workspaces, f"{self.id_field}__gte": span[0], f"{self.id_field}__lte": span[1]}
        )
        return found, False
