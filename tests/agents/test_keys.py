"""API keys: made once, shown once, found by what was shown."""

from __future__ import annotations

import hmac
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.utils import timezone

from agents.keys import create_key, find_key, keyed_hash, note_use
from agents.models import ApiKey, Workspace
from tests.factories import AgentFactory, WorkspaceFactory


def test_what_a_request_does_to_its_key_is_no_other_requests(workspace: Workspace) -> None:
    _, key = create_key(workspace)
    for _ in range(2):  # the first makes the objects, the second finds them
        found = find_key(key)
        assert found is not None
        assert (found.workspace, found.name) == (workspace, "")
        found.workspace, found.name = WorkspaceFactory(), "mine"


def test_a_key_is_found_by_itself_and_by_nothing_near_it(workspace: Workspace) -> None:
    row, key = create_key(workspace)

    assert find_key(key) == row
    for near in (
        key[:-1],
        key + "x",
        key.swapcase(),
        row.prefix,
        f"{row.prefix}_",
        "",
        "cs_",
        "\x00" + key,
        key + "\n",
    ):
        assert find_key(near) is None, near


def test_the_table_holds_nothing_that_opens(workspace: Workspace) -> None:
    row, key = create_key(workspace)
    kept = ApiKey.objects.values_list("prefix", "key_hash", "name").get(pk=row.pk)

    assert key.removeprefix(row.prefix) not in "".join(kept)
    assert all(find_key(value) is None for value in kept)


def test_hashes_are_compared_in_constant_time_whether_or_not_the_prefix_exists(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the time an answer takes tells neither how much of a key is right, nor which prefixes there are."""
    row, key = create_key(workspace)
    in_constant_time, compared = hmac.compare_digest, []

    def compare(kept: str, given: str) -> bool:
        compared.append((kept, given))
        return in_constant_time(kept, given)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for tried, kept in ((key, row.key_hash), (f"{key}x", row.key_hash), (f"cs_0123456789_{'x' * 43}", "")):
        compared.clear()
        assert (find_key(tried) is not None) is (tried == key)
        assert compared == [(kept, keyed_hash(tried))]


def test_a_revoked_key_and_a_key_of_an_archived_workspace_open_nothing(workspace: Workspace) -> None:
    row, key = create_key(workspace)
    row.archived_at = timezone.now()
    row.save()
    assert find_key(key) is None

    _, other = create_key(workspace)
    assert find_key(other) is not None
    workspace.archived_at = timezone.now()
    workspace.save()
    assert find_key(other) is None


def test_a_rotated_secret_opens_old_keys_only_while_it_is_a_fallback(workspace: Workspace) -> None:
    with override_settings(SECRET_KEY="the old one"):
        row, key = create_key(workspace)

    with override_settings(SECRET_KEY="the new one", SECRET_KEY_FALLBACKS=["the old one"]):
        assert find_key(key) == row
    with override_settings(SECRET_KEY="the new one", SECRET_KEY_FALLBACKS=[]):
        assert find_key(key) is None


def test_a_use_is_noted_at_most_once_a_minute(workspace: Workspace) -> None:
    row, _ = create_key(workspace)
    noon = timezone.now()

    noted = []
    for seconds in (0, 59, 60, 61, 200):
        note_use(ApiKey.objects.get(pk=row.pk), noon + timedelta(seconds=seconds))
        noted.append((ApiKey.objects.get(pk=row.pk).last_used_at - noon).seconds)

    assert noted == [0, 0, 60, 60, 200]


def test_of_two_processes_that_read_the_key_at_once_one_notes_its_use(workspace: Workspace) -> None:
    row, _ = create_key(workspace)
    mine, theirs = ApiKey.objects.get(pk=row.pk), ApiKey.objects.get(pk=row.pk)
    noon = timezone.now()

    note_use(mine, noon)
    note_use(theirs, noon + timedelta(seconds=1))

    assert ApiKey.objects.get(pk=row.pk).last_used_at == noon


def test_a_key_cannot_be_made_for_another_workspaces_agent_or_an_unknown_scope(workspace: Workspace) -> None:
    stranger = AgentFactory(workspace=WorkspaceFactory(slug="other"), slug="spy")

    with pytest.raises(ValueError, match="spy runs in another workspace; choose an agent of Acme, or none"):
        create_key(workspace, agent=stranger)
    with pytest.raises(ValueError, match=r"events:write, read, budgets:write; given: admin"):
        create_key(workspace, scopes=["read", "admin"])
    with pytest.raises(ValueError, match="given: none"):
        create_key(workspace, scopes=[])
    assert not ApiKey.objects.exists()


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_create_workspace_can_be_said_twice(db: None) -> None:
    assert run("create_workspace", "big-co", "--name", "Big & Co") == "big-co\n"
    assert run("create_workspace", "big-co") == "big-co\n"
    assert Workspace.objects.get().name == "Big & Co"

    assert run("create_workspace", "night_shift") == "night_shift\n"
    assert Workspace.objects.get(slug="night_shift").name == "Night Shift"


@pytest.mark.parametrize(
    ("slug", "mend"),
    [
        ("two words", "letters, numbers, underscores or hyphens"),
        ("a" * 65, "at most 64 characters"),
        ("", "cannot be blank"),
    ],
)
def test_create_workspace_says_what_a_slug_must_be(db: None, slug: str, mend: str) -> None:
    with pytest.raises(CommandError, match=mend):
        run("create_workspace", slug)


def test_create_workspace_does_not_bring_back_an_archived_one_or_rename_one(db: None) -> None:
    WorkspaceFactory(slug="closed", archived_at=timezone.now())
    WorkspaceFactory(slug="acme", name="Acme")

    with pytest.raises(CommandError, match="restore it in the admin"):
        run("create_workspace", "closed")
    with pytest.raises(CommandError, match="rename it in the admin"):
        run("create_workspace", "acme", "--name", "Acme Ltd")


def test_create_api_key_prints_the_key_and_nothing_else(workspace: Workspace) -> None:
    printed = run("create_api_key", "acme", "--name", "ci")

    key = find_key(printed.removesuffix("\n"))
    assert printed.count("\n") == 1
    assert key is not None
    assert (key.workspace, key.agent, key.name, key.scopes) == (workspace, None, "ci", ["events:write", "read"])


def test_create_api_key_binds_to_an_agent_and_to_scopes(workspace: Workspace) -> None:
    bot = AgentFactory(workspace=workspace, slug="support-bot")

    key = find_key(run("create_api_key", "acme", "--agent", "support-bot", "--scope", "read").strip())

    assert key is not None
    assert (key.agent, key.scopes) == (bot, ["read"])


def test_create_api_key_says_what_is_missing(workspace: Workspace) -> None:
    AgentFactory(workspace=WorkspaceFactory(slug="other"), slug="spy")

    with pytest.raises(CommandError, match=r"make it with `manage.py create_workspace nowhere`"):
        run("create_api_key", "nowhere")
    with pytest.raises(CommandError, match="No agent 'spy' in acme; add it in the admin"):
        run("create_api_key", "acme", "--agent", "spy")
    AgentFactory(workspace=workspace, slug="kept", archived_at=timezone.now())
    with pytest.raises(CommandError, match="kept is archived; take it out of the archive in the admin first"):
        run("create_api_key", "acme", "--agent", "kept")
    with pytest.raises(CommandError, match="invalid choice: 'all'"):
        run("create_api_key", "acme", "--scope", "all")
    assert not ApiKey.objects.exists()
