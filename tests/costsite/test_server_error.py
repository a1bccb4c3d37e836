"""A page that failed says whether it is the database that is busy: then the same works a moment later."""

from __future__ import annotations

import pytest
from django.db import InterfaceError, OperationalError
from django.http import HttpResponse
from django.test import RequestFactory

from agents.database_file import DatabaseReplacedError
from costsite.server_error import server_error


def page_after(error: Exception) -> HttpResponse:
    try:
        raise error
    except type(error):
        return server_error(RequestFactory().get("/"))


def assert_whole_page(page: HttpResponse, heading: str) -> None:
    html = page.content.decode()
    assert html.startswith("<!doctype html>")
    assert f"<title>{heading} · Costsite</title>" in html
    assert f"<h1>{heading}</h1>" in html
    assert html.count("<p>") == 1
    assert '<a href="/">Go to the dashboard</a>' in html


@pytest.mark.parametrize("kind", [OperationalError, InterfaceError, DatabaseReplacedError])
def test_a_database_that_cannot_take_part_is_503_and_when_to_come_again(kind: type[Exception]) -> None:
    page = page_after(kind("could not connect to secret-host"))

    assert (page.status_code, page.headers["Retry-After"]) == (503, "2")
    assert_whole_page(page, "The database is busy")
    assert "secret-host" not in page.content.decode()


def test_a_mistake_of_ours_is_500_and_tells_strangers_nothing() -> None:
    page = page_after(ValueError("hidden"))

    assert page.status_code == 500
    assert_whole_page(page, "The page failed")
    assert "hidden" not in page.content.decode()
