"""Addresses that notifications go to: which services there are, and what of an address may be shown. Pure.

An owner of a workspace names them and the site's machine opens them. So the services are a list; an option that reads a
file of this machine is refused; and so is an address of the site's own network, unless a setting allows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import parse_qsl, urlsplit

MAX_LENGTH: Final = 2_000

SERVICES: Final[Mapping[str, tuple[str, ...]]] = {
    "mail": ("mailto", "mailtos"),
    "chat": (
        "discord", "gchat", "gotify", "gotifys", "matrix", "matrixs", "mmost", "mmosts", "nctalk", "nctalks", "ntfy",
        "ntfys", "opsgenie", "pagerduty", "pover", "rocket", "rockets", "slack", "tgram", "webex", "workflow",
        "workflows", "wxteams", "zulip",
    ),
    "webhook": ("form", "forms", "json", "jsons", "xml", "xmls"),
}  # fmt: skip
"""The start of an address, by kind of channel, as apprise names them."""
PLAIN: Final = ("http", "https")
"""What a browser shows: a chat service's own webhook address, or an address that takes JSON."""
FILE_OPTIONS: Final = frozenset({"attach", "pgp", "pgpprv", "pgppub", "template", "wkd"})
"""Options of apprise that name a file to read."""

PRIVATE_MEND: Final = (
    "The address leads into the site's own network; use a public one, or set COSTSITE_NOTIFY_PRIVATE_ADDRESSES=true."
)
UNREACHABLE: Final = (
    "The service could not be reached: it does not answer, or its name leads into the site's own network, which takes"
    " COSTSITE_NOTIFY_PRIVATE_ADDRESSES=true."
)
"""One sentence for both, or owners could ask which names the own network has."""
_NAT64: Final = IPv6Network("64:ff9b::/96")
_HOLD_AN_IPV4_ADDRESS: Final = tuple(IPv6Network(one) for one in ("64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96"))
"""At their end: a network's own translation, and two notations that nobody public has."""
_NOT_PUBLIC: Final = (*_HOLD_AN_IPV4_ADDRESS, *(IPv6Network(one) for one in ("fec0::/10", "5f00::/16", "3fff::/20")))
"""Which not every Python knows: besides, sites' own, segments of routes, and examples."""


def problem_with(url: str, kind: str, *, private: bool) -> str:
    """What is wrong with an address, as a sentence with its mend and without the address; empty when nothing is.

    `private`: addresses of the site's own network are allowed. What only a name's answer tells is looked at when
    something is sent.
    """
    if not url:
        return "The address is missing."
    if len(url) > MAX_LENGTH or not url.isprintable() or " " in url:
        return f"An address has no spaces and at most {MAX_LENGTH:,} characters."
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return "The address cannot be read; copy it again from the service."
    allowed = (*SERVICES.get(kind, ()), *(PLAIN if kind != "mail" else ()))
    if parts.scheme not in allowed:
        return f"The address must begin with one of: {', '.join(f'{scheme}://' for scheme in allowed)}."
    options = {name.strip().lower() for name, _ in parse_qsl(parts.query.replace(";", "&"), keep_blank_values=True)}
    if reads := sorted(options & FILE_OPTIONS):
        return f"The option {reads[0]} names a file of the site's machine; leave it out."
    if host == "localhost" or host.endswith(".localhost"):
        return "" if private else PRIVATE_MEND
    return "" if may_reach(host, private=private, names=True) else PRIVATE_MEND


def may_reach(host: str, *, private: bool, names: bool = False) -> bool:
    """Whether something may be sent to an IP address. `names`: what is no IP address passes.

    Link-local addresses never do: they are where clouds hand out a machine's credentials.
    """
    try:
        address = _innermost(ip_address(host.partition("%")[0]))
    except ValueError:
        return names
    if any(one.is_link_local or one.is_multicast or one.is_unspecified for one in (address, _held(address))):
        return False
    return private or (address.is_global and not any(address in network for network in _NOT_PUBLIC))


def _innermost(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address stands for, where it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return _at_the_end(address)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)


def _held(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that a machine may take out of an IPv6 address that no public one is, else the same."""
    if isinstance(address, IPv6Address) and any(address in network for network in _HOLD_AN_IPV4_ADDRESS):
        return _at_the_end(address)
    return address


def _at_the_end(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)


def masked(url: str) -> str:
    """What may be shown of an address: its service and, of a webhook, its host. The rest of it is, or may be, a
    secret: some services put theirs where others have the host.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in {*PLAIN, *(name for names in SERVICES.values() for name in names)}:
        return "…" if url else ""
    if scheme not in (*PLAIN, *SERVICES["webhook"]):
        return f"{scheme}://…"
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    return f"{scheme}://{host}/…" if host else f"{scheme}://…"
