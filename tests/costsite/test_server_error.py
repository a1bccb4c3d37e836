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


@pytest.mark.parametrize("kind", [OperationalError, InterfaceError, DatabaseReplacedError])
def test_a_database_that_cannot_take_part_is_503_and_when_to_come_again(kind: type[Exception]) -> None:
    page = page_after(kind("could not connect to secret-host"))

    assert (page.status_code, page.headers["Retry-After"]) == (503, "2")
    assert "The database is busy" in page.content.decode()
    assert "secret-host" not in page.content.decode()


def test_a_mistake_of_ours_is_500_and_tells_strangers_nothing() -> None:
    page = page_after(ValueError("hidden"))

    assert page.status_code == 500
    assert "The page failed" in page.content.decode()
    assert "hidden" not in page.content.decode()
