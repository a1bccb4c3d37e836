"""A page under an unknown host name says what the API says."""

from __future__ import annotations

from django.core.exceptions import BadRequest
from django.test import Client, RequestFactory, override_settings

from costsite.bad_request import bad_request


def test_an_unknown_host_is_told_which_setting_to_change_and_not_its_value() -> None:
    with override_settings(ALLOWED_HOSTS=["costs.example.com"]):
        page = Client().get("/login/", headers={"host": "evil.example.org"})
        said_by_the_api = Client().get("/api/v1/runs", headers={"host": "evil.example.org"}).json()["message"]

    html = page.content.decode()
    assert page.status_code == 400
    assert said_by_the_api in html
    assert "COSTSITE_ALLOWED_HOSTS" in html
    assert "example" not in html
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


def test_another_bad_request_does_not_speak_of_hosts() -> None:
    page = bad_request(RequestFactory().get("/"), BadRequest("hidden"))

    html = page.content.decode()
    assert page.status_code == 400
    assert "The request could not be read." in html
    assert "COSTSITE_ALLOWED_HOSTS" not in html
    assert "hidden" not in html
