"""The pages' Django app."""

from django.apps import AppConfig


class AnalyticsConfig(AppConfig):
    name = "costsite.analytics"
    label = "analytics"
