"""Mail, chat and webhooks, through apprise. Run as `python -m budgets.couriers.services`.

Nothing of the site's imports apprise, which has a hundred services and its own idea of what an address may do: it lives
and ends in this process, behind `Guard`.
"""

from __future__ import annotations

import logging
import re
import sys
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from budgets.channel_urls import PLAIN, SERVICES, UNREACHABLE
from budgets.couriers.answer import Answer, Fate
from budgets.couriers.child import answer_with
from budgets.couriers.guard import Guard

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 10.0
ID_HEADER: Final = "Idempotency-Key"
"""Carries the notification's id: a webhook that got it before knows that this is a repetition."""

_UNKNOWN: Final = Answer(Fate.REFUSED, "The address is not complete; docs/notifications.md shows one of each service.")


def carry(order: dict[str, Any]) -> Answer:
    """`url`, `private`, and either `check`, or `id`, `title`, `body`, `urgent` and `facts`: to send, once."""
    import apprise

    heard = _Heard()
    logging.getLogger("apprise").addHandler(heard)
    guard = Guard(private=order["private"])
    sys.addaudithook(guard)
    asset = apprise.AppriseAsset(
        app_id="Costsite", app_desc="Costsite", app_url="", storage_mode="memory", async_mode=False,
        http_redirects=False, pgp_autogen=False, pem_autogen=False,
    )  # fmt: skip
    service = service_for(order["url"], asset)
    if service is None:
        return _UNKNOWN
    name = str(service.service_name)
    if order.get("check"):
        return Answer(Fate.SENT, "", name)
    # Whatever the address says of these: nobody waits longer, and nothing leads elsewhere.
    service.socket_connect_timeout, service.socket_read_timeout = CONNECT_SECONDS, READ_SECONDS
    service.redirects = False
    _put_id(service, order["id"], order["facts"])
    taken = service.notify(
        title=order["title"],
        body=order["body"],
        notify_type=apprise.NotifyType.WARNING if order["urgent"] else apprise.NotifyType.INFO,
        body_format=apprise.NotifyFormat.TEXT,
    )
    if taken:
        return Answer(Fate.SENT, "", name)
    if guard.stopped_connection:
        # As one that does not answer, and tried again like it: nobody must be able to tell them apart.
        return Answer(Fate.FAILED, UNREACHABLE, name)
    return Answer(Fate.FAILED, heard.reason(), name)


def service_for(url: str, asset: Any) -> Any:
    """What apprise makes of an address; None when it is of no service on our list, or incomplete."""
    import apprise

    service = apprise.Apprise.instantiate(url, asset=asset)
    if service is None and urlsplit(url).scheme in PLAIN:
        service = apprise.Apprise.instantiate(as_json_address(url), asset=asset)
    if service is None:
        return None
    # An https:// address can be one of any service apprise knows.
    schemes: set[str] = set()
    for scheme in (type(service).protocol, type(service).secure_protocol):
        schemes.update((scheme,) if isinstance(scheme, str) else scheme or ())
    return service if schemes & {name for names in SERVICES.values() for name in names} else None


def as_json_address(url: str) -> str:
    """A plain https:// address as apprise's address of JSON sent there; what its query says stays its query."""
    parts = urlsplit(url)
    query = urlencode(
        [(f"-{name}", value) for name, value in parse_qsl(parts.query, keep_blank_values=True)], quote_via=quote
    )
    scheme = "jsons" if parts.scheme == "https" else "json"
    return f"{scheme}://{parts.netloc}{parts.path or '/'}" + (f"?{query}" if query else "")


def _put_id(service: Any, notification_id: str, facts: dict[str, Any]) -> None:
    if hasattr(service, "payload_extras"):
        service.headers[ID_HEADER] = notification_id
        fields = {"id": notification_id, **facts}
        # A form and XML know text alone.
        is_json = type(service).protocol == "json"
        service.payload_extras.update(fields if is_json else {name: _text(value) for name, value in fields.items()})
    elif type(service).protocol == "mailto":
        service.headers["X-Costsite-Notification"] = notification_id


def _text(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


class _Heard(logging.Handler):
    """What apprise says while it sends: of that, only a status leaves this process, for the rest may hold secrets."""

    def __init__(self) -> None:
        super().__init__()
        self._said = ""

    def emit(self, record: logging.LogRecord) -> None:
        self._said += f"{record.getMessage()}\n"

    def reason(self) -> str:
        if status := re.search(r"error=(\d{3})\b", self._said):
            try:
                phrase = f" ({HTTPStatus(int(status[1])).phrase})"
            except ValueError:
                phrase = ""
            return f"The service answered {status[1]}{phrase}."
        if "onnection error" in self._said:
            return UNREACHABLE
        return "The service did not take it."


if __name__ == "__main__":
    answer_with(carry)
