"""What others may have laid into the plugin's folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from langchain_plugin.about_folder import describe_folder
from langchain_plugin.adoption import Adoption
from langchain_plugin.config import Config
from langchain_plugin.losses import Losses
from langchain_plugin.own_file import UnsafeFolder, check_folder, make_folder, open_own, read_own, replace_own
from langchain_plugin.rejected import RejectedEvent, keep_rejected, rejected_by_reason
from langchain_plugin.waiting import look_into

OWNER = 4242


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "spool"
    make_folder(path)
    return path


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755, 0o775])
def test_a_folder_that_only_its_owner_and_his_group_write_to_is_used(mode: int, folder: Path) -> None:
    folder.chmod(mode)
    check_folder(folder)


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_a_folder_that_anybody_writes_to_is_not_used_and_the_mend_is_said(mode: int, folder: Path) -> None:
    folder.chmod(mode)
    with pytest.raises(UnsafeFolder, match="anybody may write to it") as raised:
        make_folder(folder)
    assert raised.value.mend == f"run `chmod o-w '{folder}'`"


def test_a_folder_of_another_user_is_used_by_the_superuser_alone(folder: Path) -> None:
    owner = os.geteuid()
    if owner == 0:
        os.chown(folder, OWNER, -1)
        owner = OWNER
    check_folder(folder, user=owner)
    check_folder(folder, user=0)
    with pytest.raises(UnsafeFolder, match="it belongs to another user"):
        check_folder(folder, user=owner + 1)


def test_a_link_to_a_folder_is_not_used(tmp_path: Path, folder: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    with pytest.raises(UnsafeFolder, match="it is a link"):
        make_folder(link)


def test_neither_links_nor_pipes_nor_long_files_are_read(folder: Path, tmp_path: Path) -> None:
    path = folder / "file"
    replace_own(path, b"12345")
    assert (read_own(path, 5), path.stat().st_mode & 0o777) == (b"12345", 0o600)
    with pytest.raises(OSError, match="too large"):
        read_own(path, 4)
    (folder / "link").symlink_to(path)
    os.mkfifo(folder / "pipe")
    for name in ("link", "pipe", "."):
        with pytest.raises(OSError, match=r"symbolic|no plain file|directory"):
            read_own(folder / name, 100)
    with pytest.raises(OSError, match="exists"):
        open_own(folder / "link", os.O_CREAT | os.O_EXCL | os.O_WRONLY)


def test_rejected_events_are_not_written_through_a_link_and_a_pipe_is_not_waited_for(
    folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"")
    path = folder / "rejected.jsonl"
    for lay in (lambda: path.symlink_to(target), lambda: os.mkfifo(path)):
        lay()
        losses = Losses()
        keep_rejected(folder, RejectedEvent(b"{}", "bad_value", "No."), losses, max_bytes=5_000_000)
        assert losses.by_reason() == {"rejected": 1, "rejected_not_kept": 1}
        assert rejected_by_reason(folder) == {}
        path.unlink()
    assert target.read_bytes() == b""


def test_rejected_events_are_kept_up_to_a_bound_and_beyond_it_counted(folder: Path) -> None:
    path = folder / "rejected.jsonl"
    losses = Losses()
    event = RejectedEvent(b'{"thread_id": "' + b"x" * 500_000 + b'"}', "too_large", "The thread_id is too long.")
    for _ in range(20):
        keep_rejected(folder, event, losses, max_bytes=5_000_000)
    kept = [line for line in path.read_text().splitlines() if line]
    assert len(kept) == 9, "ten of half a million bytes and a reason are more than five million"
    assert [json.loads(line)["code"] for line in kept] == ["too_large"] * 9
    assert losses.by_reason() == {"rejected": 20, "rejected_not_kept": 11}
    with path.open("a") as file:
        file.write("x" * 600_000 + "\n{}\n")  # of processes that saw the same room, and wrote at once
    assert rejected_by_reason(folder) == {
        ("too_large", "The thread_id is too long."): 9,
        ("unreadable", "This line was cut off."): 2,
    }


def test_of_a_server_that_has_a_new_reason_for_each_event_so_many_are_shown_and_each_is_one_short_line(
    folder: Path,
) -> None:
    hostile = "\x1b]0;owned\x07\nERROR root: forged\u202e" + "x" * 10_000
    events = [RejectedEvent(b"{}", f"{number}{hostile}", f"{number}{hostile}") for number in range(60)]
    for event in [*events, events[0]]:
        keep_rejected(folder, event, Losses(), max_bytes=5_000_000)
    shown = rejected_by_reason(folder)
    assert len(shown) == 51
    assert shown.pop(("other", "The file has the other reasons.")) == 10
    assert next(iter(shown.values())) == 2
    assert all(code.isprintable() and len(code) <= 60 for code, _ in shown)
    assert all(message.isprintable() and len(message) <= 300 for _, message in shown)


def test_a_description_replaces_a_link_and_is_not_read_through_one(tmp_path: Path) -> None:
    config = Config.resolve(url="http://site", api_key="cs_0123456789_x", state_dir=tmp_path / "state", environ={})
    make_folder(config.spool_folder)
    path = config.spool_folder / "about.json"
    target = tmp_path / "target"
    path.symlink_to(target)
    describe_folder(config)
    assert not target.exists()
    assert look_into(config.spool_folder).url == "http://site"
    path.unlink()
    target.write_text(json.dumps({"url": "http://evil", "key_prefix": "x"}))
    path.symlink_to(target)
    assert look_into(config.spool_folder).url == ""


def test_nothing_is_adopted_from_a_folder_that_anybody_writes_to(folder: Path) -> None:
    (folder / "0192b5a0-0000-7000-8000-000000000001.jsonl").write_bytes(b'{"call_id": "planted"}\n')
    adoption = Adoption(folder, Losses())
    folder.chmod(0o777)
    adoption.look(except_for=set())
    assert adoption.pending == 0
    folder.chmod(0o700)
    adoption.look(except_for=set())
    assert adoption.pending == 1


def test_a_line_that_was_cut_off_swallows_no_other(tmp_path: Path) -> None:
    folder, losses = tmp_path / "folder", Losses()
    folder.mkdir(mode=0o700)
    keep_rejected(folder, RejectedEvent(b'{"n": 1}', "too_old", ""), losses, max_bytes=10**6)
    path = folder / "rejected.jsonl"
    path.write_bytes(path.read_bytes()[:-20])  # by a full disk, or a kill
    keep_rejected(folder, RejectedEvent(b'{"n": 2}', "too_old", ""), losses, max_bytes=10**6)

    assert rejected_by_reason(folder) == {("unreadable", "This line was cut off."): 1, ("too_old", ""): 1}
