"""A world with a row of everything, and somebody to look at it."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.access.world import World, make_world


@pytest.fixture
def world(db: None) -> World:
    return make_world()


@pytest.fixture
def root(world: World) -> Client:
    """The superuser's browser."""
    return browser_of(world, "superuser")


def browser_of(world: World, caller: str) -> Client:
    client = Client(raise_request_exception=False)
    person = world.people[caller]
    if person is not None:
        client.force_login(person)
    return client
