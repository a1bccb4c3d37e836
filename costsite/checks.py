"""System checks: settings that would open the site to strangers are said before it starts, with the mend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

LEAST_SECRET_LENGTH = 32
"""Characters. Whoever guesses the secret signs their own sessions, so it must be out of reach of guessing."""


@register(Tags.security)
def the_secret_cannot_be_guessed(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Django's own check is for `--deploy` alone, and warns."""
    length = len(settings.SECRET_KEY)
    if length >= LEAST_SECRET_LENGTH:
        return []
    return [
        Error(
            f"COSTSITE_SECRET_KEY has {length} characters; it could be guessed, and sessions signed with it.",
            hint=(
                f"Set {LEAST_SECRET_LENGTH} random characters or more, such as the output of"
                ' `python -c "import secrets; print(secrets.token_urlsafe(48))"`, or leave it empty: one is then made'
                " and kept in the state folder. API keys made under the short one must be made again."
            ),
            id="costsite.E001",
        )
    ]


@register(Tags.security)
def no_old_secret_can_be_guessed(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """What an old secret signed is believed as well."""
    shortest = min(map(len, settings.SECRET_KEY_FALLBACKS), default=LEAST_SECRET_LENGTH)
    if shortest >= LEAST_SECRET_LENGTH:
        return []
    return [
        Error(
            f"COSTSITE_OLD_SECRET_KEYS has a secret of only {shortest} characters; it could be guessed, and sessions"
            " signed with it.",
            hint=(
                f"Take it out: a secret has {LEAST_SECRET_LENGTH} characters or more, without a comma, and a comma"
                " stands between two. API keys made under it must be made again."
            ),
            id="costsite.E002",
        )
    ]


@register(Tags.security)
def debug_pages_stay_on_this_machine(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    if not (settings.DEBUG and "*" in settings.ALLOWED_HOSTS):
        return []
    return [
        Warning(
            "COSTSITE_DEBUG is on and COSTSITE_ALLOWED_HOSTS is *: whoever meets an error reads code and settings.",
            hint="Set COSTSITE_DEBUG to false, or name the hosts of your own machine in COSTSITE_ALLOWED_HOSTS.",
            id="costsite.W001",
        )
    ]
