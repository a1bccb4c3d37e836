"""What a channel may be, as a form that makes one finds out."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from pytest_django import Settings

from agents.models import Workspace
from budgets.channel_urls import PRIVATE_MEND
from budgets.models import NotificationChannel

pytestmark = pytest.mark.django_db


def problems_with(**fields: object) -> dict[str, list[str]]:
    channel = NotificationChannel(**{"name": "#costs"} | fields)
    try:
        channel.full_clean()
    except ValidationError as error:
        return error.message_dict
    return {}


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("webhook", "https://hooks.example.com/costs"),
        ("chat", "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"),
        ("mail", "mailtos://costs:secret@example.com?to=owner@example.com"),
        ("desktop", ""),
    ],
)
def test_a_channel_with_a_complete_address_is_fine(kind: str, url: str) -> None:
    assert problems_with(kind=kind, url=url) == {}


@pytest.mark.parametrize(
    ("kind", "url", "mend"),
    [
        ("webhook", "ftp://example.com", "The address must begin with one of:"),
        ("chat", "slack://half-a-token", "The address is not complete; docs/notifications.md shows one of each"),
        ("chat", "https://hooks.example.com/costs", "a receiver of JSON is a webhook"),
        ("desktop", "json://example.com", "The desktop needs no address"),
    ],
)
def test_one_without_says_what_is_wrong_at_its_field_and_not_the_address(kind: str, url: str, mend: str) -> None:
    ((field, (problem,)),) = problems_with(kind=kind, url=url).items()
    assert field == "url"
    assert mend in problem
    assert "half" not in problem


def test_a_workspace_has_no_desktop(workspace: Workspace) -> None:
    assert "leave the workspace empty" in problems_with(kind="desktop", workspace=workspace)["workspace"][0]


def test_the_own_network_is_named_only_when_the_setting_allows_it(settings: Settings) -> None:
    assert problems_with(kind="webhook", url="http://10.0.0.5/hook") == {"url": [PRIVATE_MEND]}
    settings.COSTSITE_NOTIFY_PRIVATE_ADDRESSES = True
    assert problems_with(kind="webhook", url="http://10.0.0.5/hook") == {}
