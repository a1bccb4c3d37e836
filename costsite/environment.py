"""Settings from the environment, with an error that names the variable and the mend."""

from __future__ import annotations

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def env_str(name: str, default: str = "") -> str:
    """`NAME`, or the content of the file that `NAME_FILE` points to (how secrets are mounted)."""
    if file := os.environ.get(f"{name}_FILE"):
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
            raise ImproperlyConfigured(
                f"{name}_FILE is {file!r}, which cannot be read: {reason}; set it to a file that this user may read."
            ) from None
    return os.environ.get(name, default)


def env_bool(name: str, default: bool) -> bool:
    value = env_str(name).strip().lower()
    if not value:
        return default
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} is {value!r}; set it to true or false.")


def env_int(name: str, default: int, *, at_least: int | None = None) -> int:
    value = env_str(name).strip()
    if not value:
        return default
    try:
        number = int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name} is {value!r}; set it to a whole number.") from None
    if at_least is not None and number < at_least:
        raise ImproperlyConfigured(f"{name} is {number}; the least it can be is {at_least}.")
    return number


def env_list(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in env_str(name, default).split(",") if part.strip()]


def env_choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    value = env_str(name).strip().lower() or default
    if value not in choices:
        raise ImproperlyConfigured(f"{name} is {value!r}; set it to one of {', '.join(choices)}.")
    return value


def env_int_pair(name: str, default: tuple[int, int]) -> tuple[int, int]:
    """Two whole numbers, as "5/25"."""
    value = env_str(name).strip()
    if not value:
        return default
    parts = value.split("/")
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise ImproperlyConfigured(f"{name} is {value!r}; set it to two whole numbers, as 5/25.")
    return int(parts[0]), int(parts[1])
