"""The site's own Django app: what it checks before it starts."""

from django.apps import AppConfig


class CostsiteConfig(AppConfig):
    name = "costsite"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from costsite import checks  # noqa: F401 - registers the system checks
