"""API keys: made, shown once, kept as a keyed hash, looked up by their prefix."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from django.conf import settings

from agents.models import Agent, ApiKey, Workspace

KEY_START = "cs_"
DEFAULT_SCOPES = [ApiKey.Scope.EVENTS_WRITE.value, ApiKey.Scope.READ.value]


def keyed_hash(key: str) -> str:
    """Of the whole key, keyed with the site's secret: a copy of the table alone opens nothing."""
    return hmac.new(settings.SECRET_KEY.encode(), b"api key:" + key.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def create_key(workspace: Workspace, *, agent: Agent | None = None, name: str = "", scopes: list[str] | None = None) -> tuple[ApiKey, str]:
    """A new key: its row, and the key itself, which is not kept and cannot be shown again."""
    prefix = KEY_START + secrets.token_hex(5)
    key = f"{prefix}_{secrets.token_urlsafe(32)}"
    row = ApiKey.objects.create(
        workspace=workspace, agent=agent, name=name, prefix=prefix, key_hash=keyed_hash(key), scopes=scopes or DEFAULT_SCOPES
    )
    return row, key


def find_key(key: str) -> ApiKey | None:
    """The live key that `key` is, or None."""
    if not key.startswith(KEY_START) or len(key) > 100:
        return None
    prefix = key[: len(KEY_START) + 10]
    row = ApiKey.objects.live().select_related("workspace", "agent").filter(prefix=prefix, workspace__archived_at=None).first()
    if row is None or not hmac.compare_digest(row.key_hash, keyed_hash(key)):
        return None
    return row
