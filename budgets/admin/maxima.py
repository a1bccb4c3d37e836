"""How long answers of models can get: entered by whoever runs the site, read by its staff."""

from __future__ import annotations

from django.contrib import admin

from agents.admin.access import SiteWideAdmin
from budgets.models import ModelMaximum


@admin.register(ModelMaximum)
class ModelMaximumAdmin(SiteWideAdmin):
    list_display = ("model", "provider", "max_output_tokens")
    search_fields = ("model", "provider")
    fields = ("provider", "model", "max_output_tokens")
    show_full_result_count = False
