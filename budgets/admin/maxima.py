"""How long answers of models can get: entered by whoever runs the site, read by its staff."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from agents.admin.access import is_staff, is_superuser
from agents.admin.asking import BoundedListAdmin
from budgets.models import ModelMaximum


@admin.register(ModelMaximum)
class ModelMaximumAdmin(BoundedListAdmin):
    list_display = ("model", "provider", "max_output_tokens")
    search_fields = ("model", "provider")
    fields = ("provider", "model", "max_output_tokens")
    show_full_result_count = False

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_staff(request.user)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_staff(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_superuser(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_superuser(request.user)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_superuser(request.user)
