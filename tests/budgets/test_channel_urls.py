"""Which addresses may be named, and how much of one is shown."""

from __future__ import annotations

import pytest

from budgets.channel_urls import SERVICES, masked, may_reach, problem_with


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("webhook", "https://hooks.example.com/costs?token=abc"),
        ("webhook", "jsons://user:secret@hooks.example.com:8443/costs"),
        ("chat", "https://hooks.slack.com/services/T1/B2/secret"),
        ("chat", "tgram://123456789:secret/12345"),
        ("mail", "mailtos://user:secret@example.com?to=owner@example.com"),
    ],
)
def test_an_address_of_a_listed_service_is_fine(kind: str, url: str) -> None:
    assert problem_with(url, kind, private=False) == ""


@pytest.mark.parametrize(
    ("kind", "url", "mend"),
    [
        ("webhook", "", "missing"),
        ("webhook", "file:///etc/passwd", "must begin with one of"),
        ("webhook", "exec://rm", "must begin with one of"),
        ("webhook", "syslog://", "must begin with one of"),
        ("webhook", "slack://T/B/secret", "must begin with one of"),
        ("chat", "dbus://", "must begin with one of"),
        ("mail", "https://example.com/", "must begin with one of"),
        ("desktop", "json://example.com", "must begin with one of: http"),
        ("chat", "https://hooks.slack.com/services/T/B/s?template=/etc/passwd", "option template names a file"),
        ("chat", "slack://T/B/s?a=1;TEMPLATE=file:///etc/passwd", "option template names a file"),
        ("mail", "mailto://u:p@example.com?%70gpprv=/root/key", "option pgpprv names a file"),
        ("webhook", "https://example.com/a b", "no spaces"),
        ("webhook", "https://example.com/\x00", "no spaces"),
        ("webhook", "https://[half", "cannot be read"),
        ("webhook", "https://" + "a" * 2_000, "at most 2,000 characters"),
    ],
)
def test_what_is_wrong_with_an_address_is_said_with_its_mend(kind: str, url: str, mend: str) -> None:
    problem = problem_with(url, kind, private=True)
    assert mend in problem
    assert "secret" not in problem


PRIVATE = [
    "127.0.0.1", "10.1.2.3", "192.168.0.9", "100.64.0.1", "::1", "fd00:ec2::254", "::ffff:127.0.0.1",
    "64:ff9b::10.0.0.1", "2002:0a00:0001::", "64:ff9b:1::7f00:1", "64:ff9b:1::93.184.215.14", "::127.0.0.1",
    "::93.184.215.14", "::ffff:0:127.0.0.1", "::ffff:0:93.184.215.14", "fec0::1", "feff::1", "5f00::1", "3fff:fff::1",
]  # fmt: skip
NEVER = [
    "169.254.169.254",
    "fe80::1%eth0",
    "::ffff:169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::169.254.169.254",
    "::169.254.169.254",
    "::ffff:0:169.254.169.254",
    "::",
    "0.0.0.0",
    "224.0.0.1",
]


@pytest.mark.parametrize("host", PRIVATE)
def test_the_sites_own_network_is_reached_only_when_a_setting_says_so(host: str) -> None:
    assert not may_reach(host, private=False)
    assert may_reach(host, private=True)


@pytest.mark.parametrize("host", NEVER)
def test_where_clouds_keep_credentials_is_never_reached(host: str) -> None:
    assert not may_reach(host, private=True)


@pytest.mark.parametrize("host", ["93.184.215.14", "2606:4700::1111", "64:ff9b::93.184.215.14"])
def test_the_internet_is(host: str) -> None:
    assert may_reach(host, private=False)


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.0.0.1", "[::1]", "[::ffff:10.0.0.1]"])
def test_an_address_that_names_the_own_network_outright_is_refused_at_once(host: str) -> None:
    assert "COSTSITE_NOTIFY_PRIVATE_ADDRESSES" in problem_with(f"http://{host}:8000/x", "webhook", private=False)
    assert problem_with(f"http://{host}:8000/x", "webhook", private=True) == ""


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("jsons://user:secret@hooks.example.com:8443/secret?x=secret", "jsons://hooks.example.com/…"),
        ("https://hooks.slack.com/services/secret", "https://hooks.slack.com/…"),
        ("slack://secret/secret/secret", "slack://…"),
        ("mailtos://user:secret@example.com", "mailtos://…"),
        ("secret", "…"),
        ("secret://secret", "…"),
        ("https://[secret", "https://…"),
        ("", ""),
    ],
)
def test_of_an_address_only_what_is_no_secret_is_shown(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_nothing_that_touches_this_machine_is_on_the_list() -> None:
    listed = {name for names in SERVICES.values() for name in names}
    assert listed & {"dbus", "file", "exec", "gnome", "glib", "macosx", "windows", "syslog", "apprise", "smpp"} == set()
