"""The Django app of budgets: it listens to the ledger, and tells people."""

from django.apps import AppConfig


class BudgetsConfig(AppConfig):
    name = "budgets"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from budgets import receivers  # noqa: F401 - connects them
        from budgets.notifications import receivers as of_notifications  # noqa: F401
