"""Every setting of the plugin: arguments, then `COSTSITE_*`, then defaults. docs/settings.md explains them."""

from __future__ import annotations

import hashlib
import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from langchain_plugin.errors import ConfigError

DEFAULT_URL = "http://127.0.0.1:8000"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
KEY_PREFIX_LENGTH = 13
"""So many first characters of an API key tell keys apart, and may be shown."""


@dataclass(frozen=True)
class Config:
    """The settings in force. Make one with `Config.resolve`; the key is never in its `repr`."""

    agent: str | None
    """Whose runs these are; None: the name of the root that runs."""
    api_key: str | None = field(repr=False)
    """None: nothing is written or sent."""
    url: str
    """The site's address, without a slash at the end."""
    state_dir: Path
    """Where events wait for the server, in a folder for each site and key."""
    disabled: bool
    """Nothing is watched, written or sent."""
    tracing: bool
    """`import langchain_plugin.auto` watches every run of the process."""
    spool_max_mb: float
    """How much may wait for the server, in a folder; what does not fit is counted as dropped."""
    send_after_seconds: float
    """How long events gather before they are sent together; 250 of them go at once."""
    retry_max_seconds: float
    """The longest pause between attempts while the server is down or failing."""
    adopt_every_seconds: float
    """How often to look for events that dead processes left behind."""
    exit_flush_seconds: float
    """How long the process may stay, when it ends, to send what waits. What remains is sent by the next one."""
    on_unreachable: str
    """What becomes of calls when no lease can be had, because the site does not answer: `allow` or `block`."""
    held_wait_seconds: float
    """How long a call waits, on a thread, while calls of others hold what is left of the budget."""
    run_limit_cents: float | None
    """The most one run may cost; None: no limit of its own."""
    desktop_notifications: bool
    """Lines of budgets that are passed are shown on this machine's desktop."""
    sources: Mapping[str, str] = field(repr=False, compare=False)
    """Where each value came from, for `costsite doctor`: "argument", the variable's name, or "default"."""

    @classmethod
    def resolve(cls, *, environ: Mapping[str, str] | None = None, **arguments: Any) -> Config:
        """The settings from `arguments` (None: not given), else the environment, else the defaults.

        Raises:
            ConfigError: A value is unusable, or a name is no setting.

        """
        environ = os.environ if environ is None else environ
        if unknown := arguments.keys() - _SETTINGS.keys():
            raise ConfigError(
                f"{sorted(unknown)[0]!r} is no setting of costsite; the settings are: {', '.join(_SETTINGS)}."
            )
        values: dict[str, Any] = {}
        sources: dict[str, str] = {}
        for name, setting in _SETTINGS.items():
            variable = f"COSTSITE_{name.upper()}"
            given, source, label = arguments.get(name), "argument", name
            # A key that is blank is none; an agent that is blank is a name somebody forgot.
            if name != "agent" and isinstance(given, str) and not given.strip():
                given = None
            if given is None and environ.get(variable, "").strip():
                given, source, label = environ[variable], variable, variable
            if given is None:
                given, source = setting.default(environ), "default"
            values[name] = None if given is None else setting.read(label, given)
            sources[name] = source
        return cls(**values, sources=sources)

    @property
    def key_prefix(self) -> str:
        """The part of the key that may be shown; empty without a key."""
        return (self.api_key or "")[:KEY_PREFIX_LENGTH]

    @property
    def spool_folder(self) -> Path:
        """One for each site and key: another workspace's events must never be sent with this key."""
        name = hashlib.sha256(f"{self.url}\n{self.key_prefix}".encode()).hexdigest()[:16]
        return self.state_dir / name

    @property
    def spool_max_bytes(self) -> int:
        return int(self.spool_max_mb * 1_000_000)


class _Setting(NamedTuple):
    default: Callable[[Mapping[str, str]], Any]
    read: Callable[[str, Any], Any]
    """Called with the name to blame and the value as it was given; returns what holds, or raises ConfigError."""


def default_state_dir(environ: Mapping[str, str], platform: str = sys.platform) -> Path:
    """The platform's folder for state that outlives the process."""
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or Path("~").expanduser())
    if platform == "darwin":
        return home / "Library" / "Application Support" / "costsite"
    if platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "costsite"
    return Path(environ.get("XDG_STATE_HOME") or home / ".local" / "state") / "costsite"


def _text(label: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{label} must be a text that is not empty, not {value!r}.")
    return value.strip()


def _key(label: str, value: Any) -> str:
    # The value itself stays out of the sentence: a tracker of errors is no place for a key.
    if (
        not isinstance(value, str)
        or not value.strip().isascii()
        or not value.strip().isprintable()
        or " " in value.strip()
    ):
        raise ConfigError(f"{label} is not an API key; copy it again, as `manage.py create_api_key` printed it.")
    return value.strip()


def _url(label: str, value: Any) -> str:
    text = _text(label, value).rstrip("/").removesuffix("/api/v1").rstrip("/")
    try:
        parts = urlsplit(text)
        port = parts.port
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (port is None or port > 0)
    except ValueError:
        raise ConfigError(f"{label} is not an address; write it like {DEFAULT_URL}.") from None
    if parts.username or parts.password or "@" in parts.netloc:
        raise ConfigError(f"{label} must not contain a user or password; the key goes into COSTSITE_API_KEY.")
    if not valid or parts.query or parts.fragment:
        raise ConfigError(f"{label} is {text!r}; write the site's address with its scheme, like {DEFAULT_URL}.")
    # One spelling for a site: each would have a spool folder of its own, and each folder its own sender.
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    where = host if port in (None, _DEFAULT_PORTS[parts.scheme]) else f"{host}:{port}"
    return f"{parts.scheme}://{where}{parts.path}"


def as_kept(url: str) -> str:
    """An address as folders have it; as it came where it is none, since folders of older versions may."""
    try:
        return _url("url", url)
    except ConfigError:
        return url.rstrip("/")


def site_of(url: str) -> str:
    """What two addresses share that lead to the same site, as far as can be told without asking.

    `localhost` and the addresses it stands for are told apart where events wait, since they need not be one; where one
    call might be counted twice they are taken for one.
    """
    parts = urlsplit(url)
    host = "localhost" if parts.hostname in _LOOPBACK else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or ''}{parts.path}"


def _folder(label: str, value: Any) -> Path:
    if not isinstance(value, str | os.PathLike) or not str(value).strip() or "\x00" in str(value):
        raise ConfigError(f"{label} must be the path of a folder, not {value!r}.")
    return Path(value).expanduser().absolute()


def _flag(label: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off"):
        return False
    raise ConfigError(f"{label} is {value!r}; set it to true or false.")


def _number(at_least: float, at_most: float, unit: str) -> Callable[[str, Any], float]:
    def read(label: str, value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if isinstance(value, bool) or not at_least <= number <= at_most:
            raise ConfigError(f"{label} is {value!r}; set it to {unit} between {at_least:g} and {at_most:g}.")
        return number

    return read


def _one_of(*choices: str) -> Callable[[str, Any], str]:
    def read(label: str, value: Any) -> str:
        if not isinstance(value, str) or value.strip().lower() not in choices:
            raise ConfigError(f"{label} is {value!r}; set it to {' or '.join(choices)}.")
        return value.strip().lower()

    return read


def _always(value: Any) -> Callable[[Mapping[str, str]], Any]:
    return lambda environ: value


_SETTINGS: dict[str, _Setting] = {
    "agent": _Setting(_always(None), _text),
    "api_key": _Setting(_always(None), _key),
    "url": _Setting(_always(DEFAULT_URL), _url),
    "state_dir": _Setting(default_state_dir, _folder),
    "disabled": _Setting(_always(False), _flag),
    "tracing": _Setting(_always(False), _flag),
    # A hundred megabytes hold about a quarter of a million calls: a week of an outage for a busy agent.
    "spool_max_mb": _Setting(_always(100.0), _number(0.1, 100_000, "megabytes")),
    "send_after_seconds": _Setting(_always(0.5), _number(0.01, 60, "seconds")),
    "retry_max_seconds": _Setting(_always(30.0), _number(0.05, 300, "seconds")),
    "adopt_every_seconds": _Setting(_always(30.0), _number(0.05, 3600, "seconds")),
    "exit_flush_seconds": _Setting(_always(2.0), _number(0, 60, "seconds")),
    # An agent must not stand still because a site that watches it does.
    "on_unreachable": _Setting(_always("allow"), _one_of("allow", "block")),
    "held_wait_seconds": _Setting(_always(30.0), _number(0, 3600, "seconds")),
    "run_limit_cents": _Setting(_always(None), _number(0, 1e9, "cents")),
    "desktop_notifications": _Setting(_always(False), _flag),
}
