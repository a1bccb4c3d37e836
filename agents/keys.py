"""API keys: made, shown once, kept as a keyed hash, looked up by their prefix."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from copy import copy
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import OperationalError
from django.db.models import Q

from agents.models import Agent, ApiKey, Workspace
from agents.storage import storage
from agents.write_lock import writing

if TYPE_CHECKING:
    from django.contrib.auth.models import User

KEY_START = "cs_"
DEFAULT_SCOPES = [ApiKey.Scope.EVENTS_WRITE.value, ApiKey.Scope.READ.value]
LAST_USED_EVERY = timedelta(minutes=1)
"""How exact `last_used_at` is. Each update is a write of its own, and every batch would make one."""

KEYS_REMEMBERED = 1_000

_SHAPE = re.compile(rf"({KEY_START}[0-9a-f]{{10}})_[A-Za-z0-9_-]{{20,80}}", re.ASCII)


def keyed_hash(key: str, secret: str | None = None) -> str:
    """Of the whole key, keyed with the site's secret: a copy of the table alone opens nothing."""
    secret_bytes = (settings.SECRET_KEY if secret is None else secret).encode()
    return hmac.new(secret_bytes, b"api key:" + key.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def create_key(
    workspace: Workspace,
    *,
    agent: Agent | None = None,
    name: str = "",
    scopes: Sequence[str] | None = None,
    created_by: User | None = None,
) -> tuple[ApiKey, str]:
    """A new key: its row, and the key itself, which is not kept and cannot be shown again.

    ValueError when the agent is another workspace's or a scope does not exist.
    """
    wanted = list(dict.fromkeys(DEFAULT_SCOPES if scopes is None else scopes))
    if not wanted or (unknown := set(wanted) - set(ApiKey.Scope.values)):
        given = ", ".join(sorted(unknown)) if wanted else "none"
        raise ValueError(f"A key needs scopes out of {', '.join(ApiKey.Scope.values)}; given: {given}.")
    prefix = KEY_START + secrets.token_hex(5)
    key = f"{prefix}_{secrets.token_urlsafe(32)}"
    row = ApiKey(
        workspace=workspace,
        agent=agent,
        name=name[:200],
        prefix=prefix,
        key_hash=keyed_hash(key),
        scopes=wanted,
        created_by=created_by,
    )
    try:
        row.clean()
    except ValidationError as error:
        raise ValueError(error.messages[0]) from None
    row.save()
    return row, key


def find_key(key: str) -> ApiKey | None:
    """The live key that `key` is, with its workspace and agent; None when it is unknown, revoked, or its workspace
    archived.

    Asked of the database each time: a revoked key stops at once, in every process. A hash is compared whether or not
    the prefix exists, so the time taken does not tell which prefixes do.
    """
    shape = _SHAPE.fullmatch(key)
    if shape is None:
        return None
    row = _live_key(shape[1])
    kept = "" if row is None else row.key_hash
    # A secret that was rotated still opens what it closed, as Django does with sessions.
    secrets_in_force = [settings.SECRET_KEY, *map(str, settings.SECRET_KEY_FALLBACKS)]
    matches = [hmac.compare_digest(kept, keyed_hash(key, secret)) for secret in secrets_in_force]
    return row if any(matches) else None


_KEY_COLUMNS = tuple(field.attname for field in ApiKey._meta.concrete_fields if field.name != "last_used_at")
_WORKSPACE_COLUMNS = tuple(field.attname for field in Workspace._meta.concrete_fields)
_AGENT_COLUMNS = tuple(field.attname for field in Agent._meta.concrete_fields)
_FIND = (
    "SELECT k.last_used_at, "  # noqa: S608 - our own table and column names
    + ", ".join(
        f"{table}.{column}"
        for table, columns in (("k", _KEY_COLUMNS), ("w", _WORKSPACE_COLUMNS), ("a", _AGENT_COLUMNS))
        for column in columns
    )
    + f" FROM {ApiKey._meta.db_table} AS k JOIN {Workspace._meta.db_table} AS w ON w.id = k.workspace_id"
    f" LEFT JOIN {Agent._meta.db_table} AS a ON a.id = k.agent_id"
    " WHERE k.prefix = %s AND k.archived_at IS NULL AND w.archived_at IS NULL"
)
_seen: dict[str, tuple[list[Any], ApiKey]] = {}
"""The last row of each prefix, and the objects made of it."""


def _live_key(prefix: str) -> ApiKey | None:
    """The key with its workspace and agent, read now. While its row is as it was, the objects are those made before:
    the ORM's query and its three objects took as long as inserting a batch of a hundred calls.
    """
    store = storage()
    found = store.rows(_FIND, [prefix])
    if not found:
        return None
    ((last_used_at, *row),) = found
    seen = _seen.get(prefix)
    if seen is None or seen[0] != row:
        made = ApiKey.objects.select_related("workspace", "agent").filter(prefix=prefix).first()
        if made is None:
            return None
        if len(_seen) >= KEYS_REMEMBERED:
            _seen.clear()
        seen = _seen[prefix] = (row, made)
    key = copy(seen[1])  # what a request does to it stays with the request
    key.last_used_at = last_used_at and store.read_time(last_used_at)
    return key


_noted: dict[str, datetime] = {}
"""When this process last wrote that a key was used, by its prefix."""


def note_use(key: ApiKey, now: datetime) -> None:
    """Keep `last_used_at` true to a minute. The condition in the update lets one of many processes write."""
    stale = now - LAST_USED_EVERY
    if key.last_used_at is not None and key.last_used_at > stale:
        return
    if (tried := _noted.get(key.prefix)) is not None and stale < tried <= now:
        return  # another thread is at it: all of a process's at once would stand in the way of their own batches
    if len(_noted) >= KEYS_REMEMBERED:
        _noted.clear()
    _noted[key.prefix] = now
    try:
        with writing():
            ApiKey.objects.filter(Q(last_used_at=None) | Q(last_used_at__lte=stale), pk=key.pk).update(last_used_at=now)
    except OperationalError:
        _noted.pop(key.prefix, None)
        return  # a busy database is no reason to turn a reader away; the next use writes it
