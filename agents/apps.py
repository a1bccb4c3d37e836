"""The ledger's Django app."""

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "agents"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from agents import checks, database_file  # noqa: F401 - register the system checks, and a receiver
