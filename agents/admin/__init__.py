"""The admin of the ledger, a file per topic. Importing a file registers its tables."""

from django.contrib import admin

from agents.admin import keys, ledger, people, prices

admin.site.site_header = "Costsite admin"
admin.site.site_title = "Costsite"
admin.site.index_title = "Agents and their ledger"

__all__ = ["keys", "ledger", "people", "prices"]
