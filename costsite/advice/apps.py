"""The Django app of the advice."""

from django.apps import AppConfig


class AdviceConfig(AppConfig):
    name = "costsite.advice"
    label = "advice"
    verbose_name = "Cost optimization"
    default_auto_field = "django.db.models.BigAutoField"
