"""Every setting of the site, with the reason for its default. docs/settings.md explains them to people."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from costsite.environment import env_bool, env_choice, env_int, env_int_pair, env_list, env_str

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = env_bool("COSTSITE_DEBUG", False)
DEMO = env_bool("COSTSITE_DEMO", False)
"""What `make run` sets: allows the one-time login link. Never on a site with real data."""

STATE_DIR = Path(env_str("COSTSITE_STATE_DIR") or BASE_DIR / ("var/demo" if DEMO else "var"))
"""Databases, the write lock and the secret key of a site that was given none. The demo's are not among a site's own."""
try:
    STATE_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
except OSError as error:
    raise ImproperlyConfigured(
        f"The state folder {str(STATE_DIR)!r} cannot be made: {error.strerror}."
        " Set COSTSITE_STATE_DIR to a folder that this user may write to."
    ) from None


def _secret_key() -> str:
    """From the environment, else made once and kept in the state folder, readable by its owner only."""
    if key := env_str("COSTSITE_SECRET_KEY"):
        return key
    path = STATE_DIR / "secret_key"
    if not path.exists():
        from django.core.management.utils import get_random_secret_key

        fresh = STATE_DIR / f"secret_key.{os.getpid()}"
        try:
            fresh.touch(mode=0o600)
        except OSError as error:
            raise ImproperlyConfigured(
                f"The state folder {str(STATE_DIR)!r} cannot be written to: {error.strerror}."
                " Set COSTSITE_STATE_DIR to a folder that this user may write to."
            ) from None
        fresh.write_text(get_random_secret_key(), encoding="ascii")
        try:
            os.link(fresh, path)  # the first process wins; a link is all or nothing
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text(encoding="ascii")


SECRET_KEY = _secret_key()
SECRET_KEY_FALLBACKS = env_list("COSTSITE_OLD_SECRET_KEYS")
"""Secrets that still open the API keys and sessions made under them, so that a new one can be set at any time."""
ALLOWED_HOSTS = env_list("COSTSITE_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env_list("COSTSITE_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "agents.apps.AgentsConfig",
    "budgets.apps.BudgetsConfig",
    "costsite.analytics.apps.AnalyticsConfig",
    "costsite.advice.apps.AdviceConfig",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "django_q",
    "ninja",
    "costsite.apps.CostsiteConfig",
]
MIDDLEWARE = [
    "costsite.health.probes.ProbeMiddleware",
    "costsite.api.errors.ApiErrorMiddleware",
    "costsite.replaced_database.ReplacedDatabaseMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "costsite.content_policy.ContentPolicyMiddleware",
    "django.middleware.common.CommonMiddleware",
    "costsite.api.short_way.ApiMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
    "costsite.passwords.PasswordsBusyMiddleware",
]
ROOT_URLCONF = "costsite.urls"
WSGI_APPLICATION = "costsite.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────

USE_TZ = True
TIME_ZONE = env_str("COSTSITE_TIME_ZONE", "UTC")
"""Whose days and months the ledger keeps. Changing it takes `manage.py change_time_zone`, which rebuilds them."""
try:
    ZoneInfo(TIME_ZONE)
except (ZoneInfoNotFoundError, ValueError):
    raise ImproperlyConfigured(
        f'COSTSITE_TIME_ZONE is {TIME_ZONE!r}; set it to a zone such as "Europe/Berlin".'
    ) from None
LANGUAGE_CODE = "en"
USE_I18N = False

# ── databases ────────────────────────────────────────────────────────────────────────────────────────────────────

_SQLITE_OPTIONS: dict[str, Any] = {
    # A transaction that reads, then writes, fails at once under DEFERRED when another wrote in between;
    # IMMEDIATE waits its turn, up to `timeout`.
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    # FULL: an event that was answered "accepted" survives a power cut; batching hides what the sync costs.
    # 64 MB of pages a connection at most: what a batch touches of the indexes stays at hand while a page is drawn.
    # 256 MB mapped: these are read where the system keeps them, one copy for all connections.
    "init_command": (
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536; PRAGMA mmap_size=268435456;"
    ),
}


def _sqlite(path: Path) -> dict[str, Any]:
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": path, "OPTIONS": _SQLITE_OPTIONS, "CONN_MAX_AGE": None}


DATABASE_URL = env_str("DATABASE_URL")
DATABASES: dict[str, Any] = {"default": _sqlite(STATE_DIR / "costsite.sqlite3")}
if DATABASE_URL:
    # What it says of itself is not repeated in an error: it holds a password.
    scheme, found, _ = DATABASE_URL.partition("://")
    if scheme not in {"postgresql", "postgres", "pgsql", "sqlite"}:
        raise ImproperlyConfigured(
            f"DATABASE_URL {f'begins with {scheme[:20]}://' if found else 'is no address'}, which this site cannot use;"
            " set it to postgresql://user:password@host/name, or leave it empty for SQLite."
        )
    try:
        DATABASES["default"] = dj_database_url.parse(DATABASE_URL, conn_max_age=600, conn_health_checks=True)
    except ValueError:
        raise ImproperlyConfigured(
            "DATABASE_URL cannot be read; set it to postgresql://user:password@host:port/name, with %40 for an @ in the"
            " password, %2F for a / and so on."
        ) from None
    if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        DATABASES["default"] = _sqlite(Path(DATABASES["default"]["NAME"]))
DATABASE_ROUTERS = ["costsite.queue_database.QueueRouter"]
QUEUE_DATABASE = "default"
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # SQLite has one writer a file: the queue's five writes a second must not wait on the ledger, nor it on them.
    QUEUE_DATABASE = "queue"
    DATABASES["queue"] = _sqlite(Path(DATABASES["default"]["NAME"]).with_name("queue.sqlite3"))

# ── background work ──────────────────────────────────────────────────────────────────────────────────────────────

REDIS_URL = env_str("REDIS_URL")
Q_CLUSTER: dict[str, Any] = {
    "name": "costsite",
    "workers": env_int("COSTSITE_WORKERS", 2, at_least=1),
    # A task's lock runs from when it is fetched, so: retry > timeout x (queue_limit / workers + 1).
    "timeout": 300,
    "retry": 900,
    "queue_limit": env_int("COSTSITE_WORKERS", 2, at_least=1),
    "max_attempts": 5,
    "ack_failures": False,
    "catch_up": False,  # the tick computes what is due; missed ticks need no replay
    "recycle": 200,  # tasks; then another process takes over, so that what a library leaks stays small
    "save_limit": 1000,  # successful tasks that the admin shows: most of a day of ticks
    "poll": 0.5,  # seconds an idle cluster sleeps: people are told within one, and it is few questions to a database
    "label": "Background work",
} | ({"redis": REDIS_URL} if REDIS_URL else {"orm": QUEUE_DATABASE})

# ── people, pages, files ─────────────────────────────────────────────────────────────────────────────────────────

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "costsite.authentication.PeopleBackend"]
if DEMO:
    AUTHENTICATION_BACKENDS.append("sesame.backends.ModelBackend")
    SESAME_ONE_TIME = True
    SESAME_MAX_AGE = 24 * 3600
PASSWORD_HASHERS = ["costsite.passwords.BoundedHasher"]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "dashboard"
LOGOUT_REDIRECT_URL = "login"

# Guessing a password takes an address ten tries, then a quarter of an hour. By name and address together, so that
# nobody can lock another out from elsewhere.
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "costsite.client_address.client_address"
AXES_LOCKOUT_TEMPLATE = "registration/locked.html"
AXES_ENABLE_ADMIN = False
AXES_DISABLE_ACCESS_LOG = True
AXES_VERBOSE = False

STATIC_URL = "static/"
STATIC_ROOT = STATE_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True

# ── security ─────────────────────────────────────────────────────────────────────────────────────────────────────

HTTPS = env_bool("COSTSITE_HTTPS", False)
"""Set when a proxy in front speaks HTTPS: cookies travel on it alone, and browsers are told to stay on it."""
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_SSL_REDIRECT = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024
"""As `costsite.serve.web` bounds every body: twice the largest batch, so that the API itself says of one that it is too
large."""

# ── the ledger ───────────────────────────────────────────────────────────────────────────────────────────────────

COSTSITE_REGISTER_AGENTS = env_bool("COSTSITE_REGISTER_AGENTS", True)
"""Agents register themselves by their first event; when False, unknown ones are booked to `unregistered`."""
COSTSITE_MAX_AGENTS_PER_WORKSPACE = env_int("COSTSITE_MAX_AGENTS_PER_WORKSPACE", 1000, at_least=1)
"""So that a name with a timestamp in it cannot fill the workspace; what is over is booked to `unregistered`."""
COSTSITE_REQUESTS_PER_MINUTE = env_int("COSTSITE_REQUESTS_PER_MINUTE", 30_000, at_least=0)
"""Of one key, to one web process: far above what agents need, for a lease that has to wait is one that is not had."""
COSTSITE_UNPRICED_MODELS = env_choice("COSTSITE_UNPRICED_MODELS", "allow", ("allow", "refuse", "assume"))
"""What a budget does with calls of a model without a price: an unknown cost must not stop anyone unasked."""
COSTSITE_FALLBACK_PRICE = env_int_pair("COSTSITE_FALLBACK_PRICE", (5, 25))
"""USD for a million input and output tokens, as "5/25": what a call holds while no model of its agent has a price."""
COSTSITE_RETENTION_DAYS = env_int("COSTSITE_RETENTION_DAYS", 0, at_least=0)
"""Days of calls that `manage.py retention` keeps; 0 keeps all. At least 400, so that a year can be compared."""
COSTSITE_NOTIFY_PRIVATE_ADDRESSES = env_bool("COSTSITE_NOTIFY_PRIVATE_ADDRESSES", False)
"""Owners of workspaces name addresses that this machine opens; its own network is not theirs to reach through it."""

COSTSITE_METRICS_TOKEN = env_str("COSTSITE_METRICS_TOKEN")
"""What Prometheus sends as its bearer token; empty: there is no /metrics, for its figures are the whole site's."""

LOG_LEVEL = env_choice("COSTSITE_LOG_LEVEL", "info", ("debug", "info", "warning", "error", "critical")).upper()
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "filters": {"brief": {"()": "costsite.brief_log.BriefAboutRefusals"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["brief"]}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {"axes": {"level": "WARNING"}},  # each login is four lines to it; who is locked out is a warning
}
# W005, W021: what holds for other hosts of the domain, and for browsers' lists, is for whoever owns the domain to say.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
if not HTTPS:
    # Plain HTTP on loopback is how it starts; COSTSITE_HTTPS turns these on.
    SILENCED_SYSTEM_CHECKS += ["security.W004", "security.W008", "security.W012", "security.W016"]
