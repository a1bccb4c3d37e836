"""Ids that are unique whatever the user or a fork does, and a tree that stays bounded."""

from __future__ import annotations

import os
import random
from uuid import UUID, uuid4

import pytest

from langchain_plugin import run_tree
from langchain_plugin.run_tree import RunTree, new_id


def test_ids_are_uuids_of_version_7_in_order_of_time() -> None:
    ids = [UUID(new_id()) for _ in range(200)]

    assert {(one.version, one.variant) for one in ids} == {(7, "specified in RFC 4122")}
    assert len(set(ids)) == 200
    assert [one.int >> 80 for one in ids] == sorted(one.int >> 80 for one in ids)


def test_a_users_seed_does_not_repeat_ids() -> None:
    random.seed(42)
    first = new_id()
    random.seed(42)

    assert new_id()[14:] != first[14:]


def test_a_forked_child_makes_ids_of_its_own() -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, new_id().encode())
        os._exit(0)
    mine = new_id()
    os.waitpid(child, 0)

    assert os.read(read, 36).decode()[14:] != mine[14:]


def test_chains_that_never_end_are_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_tree, "MAX_OPEN_IDS", 100)
    tree = RunTree()

    for _ in range(1_000):
        tree.enter(uuid4(), None, lambda: "agent", object())

    assert len(tree.runs) <= 100
