"""Who guesses passwords is stopped, and nobody else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.test import Client
from django.utils import timezone

from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
RIGHT = "correct horse battery"


def log_in(password: str, *, username: str = "olive", address: str = "192.0.2.1", at: str = "/login/") -> int:
    """The status: 302 who is let in, 200 who is asked again, 429 who has to wait."""
    return Client(REMOTE_ADDR=address).post(at, {"username": username, "password": password}).status_code


@pytest.fixture(autouse=True)
def people() -> None:
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
