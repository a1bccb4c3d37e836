"""Everyone with a login changes their own password, staff or not."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.factories import UserFactory

pytestmark = pytest.mark.django_db

OLD, NEW = "summer-rain-on-parcels", "winter-sun-on-letters"


@pytest.fixture
def vera() -> User:
    person: User = UserFactory(username="vera", is_staff=False)
    person.set_password(OLD)
    person.save()
    return person


@pytest.fixture
def browser(vera: User) -> Client:
    browser = Client()
    browser.force_login(vera)
    return browser


def entered(old: str, new: str, again: str) -> dict[str, str]:
    return {"old_password": old, "new_password1": new, "new_password2": again}


def test_the_new_password_opens_the_site_and_other_browsers_are_logged_out(vera: User, browser: Client) -> None:
    elsewhere = Client()
    elsewhere.force_login(vera)

    page = browser.post("/password/", entered(OLD, NEW, NEW), follow=True)

    assert "Your password is changed" in page.content.decode()
    vera.refresh_from_db()
    assert (vera.check_password(NEW), vera.check_password(OLD)) == (True, False)
    assert browser.get("/").status_code == 200
    assert elsewhere.get("/").status_code == 302


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        (entered("not-the-old-one", NEW, NEW), "Your old password was entered incorrectly"),
        (entered(OLD, NEW, "another"), "The two password fields didn"),
        (entered(OLD, "12345678", "12345678"), "This password is entirely numeric"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_changes(
    vera: User, browser: Client, form: dict[str, str], problem: str
) -> None:
    page = browser.post("/password/", form)

    assert problem in page.content.decode()
    vera.refresh_from_db()
    assert vera.check_password(OLD)


def test_it_is_in_the_menu_of_every_page_under_the_content_policy(browser: Client) -> None:
    assert '<a href="/password/">Change password</a>' in browser.get("/").content.decode()
    page = browser.get("/password/")

    assert "style-src 'self'" in page.headers["Content-Security-Policy"]
    assert "Change your password" in page.content.decode()
    assert OLD not in page.content.decode()


@pytest.mark.parametrize("address", ["/password/", "/password/changed/"])
def test_who_is_not_logged_in_logs_in_first(address: str) -> None:
    assert Client().get(address).headers["Location"] == f"/login/?next={address}"


def test_the_admin_keeps_its_own_page() -> None:
    superuser = UserFactory(username="root", is_staff=True, is_superuser=True)
    browser = Client()
    browser.force_login(superuser)

    assert "<title>Password change · Costsite</title>" in browser.get("/admin/password_change/").content.decode()
