"""Keeps django-q2's tables in a database of their own where the ledger's is SQLite."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Model

QUEUE_APP = "django_q"


class QueueRouter:
    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        return settings.QUEUE_DATABASE if model._meta.app_label == QUEUE_APP else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        if app_label == QUEUE_APP:
            return db == settings.QUEUE_DATABASE
        return db == "default"
