"""The admin of the ledger, a file per topic. Importing a file registers its tables."""

from importlib.util import find_spec

from django.contrib import admin

from agents.admin import keys, ledger, people

if find_spec("agents.admin.prices"):
    from agents.admin import prices  # noqa: F401 - registers the price table

admin.site.site_header = "Costsite admin"
admin.site.site_title = "Costsite"
admin.site.index_title = "Agents and their ledger"

__all__ = ["keys", "ledger", "people"]
