"""The Django app of the advice."""

from django.apps import AppConfig


class AdviceConfig(AppConfig):
    name = "costsite.advice"
    label = "advice"
    verbose_name = "Cost optimization"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from costsite.advice import merged  # noqa: F401 - connects what it does when agents are merged
