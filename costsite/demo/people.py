"""Who signs in to the demo, and the key its agent reports with."""

from __future__ import annotations

import secrets
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User

from agents.keys import create_key, find_key
from agents.models import Workspace

ADMIN = "admin"
KEY_NAME = "demo"


def admin_login() -> tuple[User, str | None]:
    """The administrator, and the password if it was made just now: it is kept nowhere but as a hash."""
    user = User.objects.filter(username=ADMIN).first()
    if user is not None:
        return user, None
    password = secrets.token_urlsafe(12)
    return User.objects.create_superuser(ADMIN, "", password), password


def demo_key(workspace: Workspace) -> str:
    """The key in the state folder when it is still good, else a new one.

    Kept in a file of its owner's, unlike any other key, so that a second terminal's key still works after a restart.
    """
    path: Path = settings.STATE_DIR / "demo_key"
    if path.exists():
        key = path.read_text(encoding="ascii").strip()
        row = find_key(key)
        if row is not None and row.workspace_id == workspace.pk:
            return key
        path.unlink()
    _, key = create_key(workspace, name=KEY_NAME)
    path.touch(mode=0o600)
    path.write_text(key, encoding="ascii")
    return key
