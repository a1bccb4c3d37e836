"""Who guesses passwords is stopped, and nobody else."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.test import Client, RequestFactory
from django.utils import timezone

from costsite import passwords
from costsite.client_address import client_address
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
RIGHT = "correct horse battery"


def log_in(password: str, *, username: str = "olive", address: str = "192.0.2.1", at: str = "/login/") -> int:
    """The status: 302 who is let in, 200 who is asked again, 429 who has to wait."""
    return Client(REMOTE_ADDR=address).post(at, {"username": username, "password": password}).status_code


@pytest.fixture(autouse=True)
def people(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.PASSWORD_HASHERS = [f"{passwords.__name__}.{passwords.BoundedHasher.__name__}"]
    monkeypatch.setattr(passwords.BoundedHasher, "iterations", 1)  # the site's own, and quick
    UserFactory(username="olive", is_staff=True)
    UserFactory(username="vera")


@pytest.mark.parametrize("at", ["/login/", "/admin/login/"])
def test_after_ten_wrong_passwords_the_right_one_waits_too(at: str) -> None:
    assert [log_in(f"guess {number}", at=at) for number in range(10)] == [200] * 9 + [429]
    assert log_in(RIGHT, at=at) == 429
    answer = Client(REMOTE_ADDR="192.0.2.1").post(at, {"username": "olive", "password": RIGHT})
    assert "Try again in 15 minutes" in answer.content.decode()


def test_others_and_the_same_person_from_elsewhere_are_let_in_meanwhile() -> None:
    for number in range(12):
        log_in(f"guess {number}")
    assert log_in(RIGHT, username="vera") == 302
    assert log_in(RIGHT, address="192.0.2.2") == 302


def test_a_quarter_of_an_hour_later_all_is_as_before() -> None:
    for number in range(12):
        log_in(f"guess {number}")
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert log_in(RIGHT) == 302


def test_a_right_password_forgives_the_wrong_ones_before() -> None:
    for _ in range(3):
        for number in range(9):
            log_in(f"guess {number}")
        assert log_in(RIGHT) == 302


@pytest.mark.parametrize(("https", "other"), [(True, 302), (False, 429)])
def test_behind_a_proxy_the_address_is_the_one_that_the_proxy_saw(https: bool, other: int, settings: Any) -> None:
    settings.HTTPS = https

    def through_proxy(password: str, seen: str) -> int:
        browser = Client(REMOTE_ADDR="127.0.0.1", headers={"x-forwarded-for": f"203.0.113.9, {seen}"})
        return browser.post("/login/", {"username": "olive", "password": password}).status_code

    for number in range(12):
        through_proxy(f"guess {number}", "192.0.2.1")
    assert through_proxy(RIGHT, "192.0.2.1") == 429
    assert through_proxy(RIGHT, "192.0.2.2") == other


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("7.7.7.7", "7.7.7.7"),
        ("7.7.7.7:5012", "7.7.7.7"),
        ("1.1.1.1, 7.7.7.7:5012", "7.7.7.7"),
        ("[2001:db8::7]:5012", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("2001:0DB8:0::7", "2001:db8::7"),
        ("::ffff:7.7.7.7", "7.7.7.7"),
        ("fe80::7%eth0", "fe80::7"),
        ("7.7.7.7:5012:1", "127.0.0.1"),
        ("unknown", "127.0.0.1"),
        ("_hidden:5012", "127.0.0.1"),
        ("7.7.7.7,", "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
def test_an_address_is_the_same_whatever_the_port_and_the_spelling(
    forwarded: str, address: str, settings: Any, rf: RequestFactory
) -> None:
    settings.HTTPS = True
    assert client_address(rf.get("/", headers={"x-forwarded-for": forwarded})) == address


@pytest.mark.parametrize("at", ["/login/", "/admin/login/"])
@pytest.mark.parametrize("username", ["olive", "nobody"])
def test_while_two_passwords_are_checked_a_third_comes_again_and_is_no_guess(at: str, username: str) -> None:
    with ExitStack() as checked:
        for number in range(passwords.AT_A_TIME):
            checked.enter_context(passwords.place_for(f"198.51.100.{number}"))
        for _ in range(12):
            answer = Client(REMOTE_ADDR="192.0.2.1").post(at, {"username": username, "password": RIGHT})
            assert (answer.status_code, answer["Retry-After"]) == (429, "2")
            assert "yours was not looked at" in answer.content.decode()
        assert Client().get("/healthz").status_code == 200
    assert log_in(RIGHT, username=username, at=at) == (302 if username == "olive" else 200)


@pytest.mark.parametrize("at", ["/login/", "/admin/login/"])
@pytest.mark.parametrize(
    ("stranger", "same", "person"),
    [
        ("198.51.100.7", "198.51.100.7", "192.0.2.1"),
        ("2001:db8:0:1::7", "2001:db8:0:1:ffff::8", "2001:db8:0:2::7"),
    ],
)
def test_a_stranger_takes_one_place_and_others_find_the_other(at: str, stranger: str, same: str, person: str) -> None:
    with passwords.place_for(passwords._one_holder(stranger)):
        for number in range(12):
            assert log_in("guess", username=f"nobody {number}", address=same, at=at) == 429
        assert log_in(RIGHT, address=person, at=at) == 302
    assert log_in(RIGHT, address=same, at=at) == 302


def test_behind_a_proxy_the_place_is_that_of_the_address_the_proxy_saw(settings: Any) -> None:
    settings.HTTPS = True

    def through_proxy(seen: str) -> int:
        browser = Client(REMOTE_ADDR="127.0.0.1", headers={"x-forwarded-for": f"192.0.2.1, {seen}"})
        return browser.post("/login/", {"username": "olive", "password": RIGHT}).status_code

    with passwords.place_for("198.51.100.7"):
        assert (through_proxy("198.51.100.7"), through_proxy("192.0.2.1")) == (429, 302)


def test_a_command_that_sets_a_password_is_nobodys_address() -> None:
    with passwords.place_for(""):
        UserFactory(username="eve").set_password(RIGHT)


def test_a_password_that_could_not_be_hashed_leaves_its_place() -> None:
    for _ in range(2 * passwords.AT_A_TIME):
        with pytest.raises(ZeroDivisionError), passwords.place_for("192.0.2.1"):
            raise ZeroDivisionError


def test_a_password_that_was_checked_makes_room_for_the_next() -> None:
    for _ in range(2 * passwords.AT_A_TIME):
        assert log_in("wrong") == 200
    assert log_in(RIGHT) == 302


@pytest.mark.parametrize(
    ("wanted", "leads_to"),
    [("/login/", "/"), ("/runs/", "/runs/"), ("/login/?next=/login/", "/login/?next=/login/"), ("//evil.example", "/")],
)
def test_who_is_logged_in_is_led_on(wanted: str, leads_to: str) -> None:
    client = Client()
    client.force_login(UserFactory())

    answer = client.get("/login/", {"next": wanted})

    assert (answer.status_code, answer.headers["Location"]) == (302, leads_to)
