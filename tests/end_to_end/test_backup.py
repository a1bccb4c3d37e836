"""A copy made while agents report, and the site that comes of it."""

from __future__ import annotations

import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from subprocess import run

import pytest

from langchain_plugin import CostCallbackHandler
from tests.end_to_end.books import books, require_right_books
from tests.end_to_end.live_site import LiveSite, exactly
from tests.end_to_end.load import load_on
from tests.langchain_plugin.models import ScriptedModel
from tests.own_site import database_url
from tests.postgresql import binaries

OF_A_FILE = pytest.mark.sqlite("backup and restore are for its file; a server has pg_dump")


@pytest.fixture
def busy_site(tmp_path: Path) -> LiveSite:
    return LiveSite(tmp_path / "site").prepare()


@OF_A_FILE
def test_a_copy_made_under_load_is_a_whole_site_with_what_was_accepted_before(
    busy_site: LiveSite, tmp_path: Path
) -> None:
    busy_site.start()
    costs = CostCallbackHandler(
        agent="worker", api_key=busy_site.key, url=busy_site.url, state_dir=tmp_path / "state", send_after_seconds=0.02
    )
    model, stopped = ScriptedModel(), threading.Event()

    def call_until_stopped() -> None:
        while not stopped.is_set():
            model.invoke("Hello", {"callbacks": [costs]})

    for _ in range(100):
        model.invoke("Hello", {"callbacks": [costs]})
    assert costs.flush(60)
    caller = threading.Thread(target=call_until_stopped)
    caller.start()
    try:
        for number in range(3):
            said = busy_site.manage("backup", str(tmp_path / f"copy-{number}"))
            assert "keep it where only you can read" in said
    finally:
        stopped.set()
        caller.join()
    assert costs.flush(60)
    busy_site.stop()

    restored = LiveSite(tmp_path / "restored", key=busy_site.key)
    restored.state_dir.mkdir()
    restored.manage("restore", str(tmp_path / "copy-2"))
    recorded = restored.recorded("worker")
    assert 100 <= recorded.calls <= model.calls
    assert recorded == exactly(recorded.calls)
    assert restored.manage("rebuild_rollups", "--check").strip() == "Every sum agrees with the calls."
    # Its key still opens it, and what came after the copy is counted once when it is sent again.
    restored.start()
    try:
        again = CostCallbackHandler(
            agent="worker", api_key=restored.key, url=restored.url, state_dir=tmp_path / "state-2"
        )
        model.invoke("Hello", {"callbacks": [again]})
        assert again.flush(60)
        assert restored.recorded("worker") == exactly(recorded.calls + 1)
    finally:
        restored.stop()


@OF_A_FILE
def test_a_site_that_runs_is_not_replaced_and_one_that_stopped_is_set_aside(
    busy_site: LiveSite, tmp_path: Path
) -> None:
    busy_site.manage("backup", str(tmp_path / "copy"))
    busy_site.manage("create_workspace", "later")
    busy_site.start()
    ran = busy_site.try_to_manage("restore", str(tmp_path / "copy"))
    assert (ran.returncode, "stop the site first" in ran.stderr) == (1, True), ran.stderr
    busy_site.stop()

    said = busy_site.manage("restore", str(tmp_path / "copy"))
    before = busy_site.state_dir / "costsite.sqlite3.before-1"
    assert f"What was there before: {before}" in said
    assert before.exists()
    assert "already" not in busy_site.manage("create_workspace", "later")


@OF_A_FILE
@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda copy: shutil.rmtree(copy), "holds no copy of a site"),
        (lambda copy: (copy / "costsite.sqlite3").write_bytes(b"nonsense" * 1_000), "is damaged"),
        (lambda copy: os.truncate(copy / "costsite.sqlite3", 50_000), "is damaged"),
    ],
    ids=["no copy", "nonsense", "half of it"],
)  # fmt: skip
def test_what_is_no_whole_copy_replaces_nothing(
    spoil: object, sentence: str, busy_site: LiveSite, tmp_path: Path
) -> None:
    busy_site.manage("backup", str(tmp_path / "copy"))
    spoil(tmp_path / "copy")  # type: ignore[operator]

    ran = busy_site.try_to_manage("restore", str(tmp_path / "copy"))
    assert (ran.returncode, sentence in ran.stderr) == (1, True), ran.stderr
    busy_site.manage("create_api_key", "acme")  # the workspace is still there


@OF_A_FILE
def test_a_folder_that_exists_is_not_written_over(busy_site: LiveSite, tmp_path: Path) -> None:
    ran = busy_site.try_to_manage("backup", str(tmp_path))
    assert (ran.returncode, f"{tmp_path} exists; name a folder that does not." in ran.stderr) == (1, True), ran.stderr


def program(name: str) -> str:
    """Of the server that the tests start; Debian has a link to it on PATH too."""
    beside = binaries()
    found = shutil.which(name, path=str(beside)) or shutil.which(name)
    assert found is not None, f"install {name}, which comes with PostgreSQL"
    return found


@pytest.mark.postgresql("pg_dump is its own")
def test_with_postgresql_pg_dump_and_the_secret_are_the_whole_site(budgeted_site: LiveSite, tmp_path: Path) -> None:
    """By the commands of docs/deploy.md, with agents at work."""
    site = LiveSite(tmp_path / "site").copy(budgeted_site)
    site.start()
    dump = str(tmp_path / "copy.dump")
    with load_on(site.url, key=site.key, clients=2) as load:
        load.goes_on(20)
        before = set(load.acknowledged)
        run([program("pg_dump"), "--format=custom", f"--file={dump}", database_url(site.state_dir)], check=True)
        load.goes_on(5)
    site.stop()

    again = replace(site, state_dir=tmp_path / "restored")
    again.state_dir.mkdir()
    shutil.copy(site.state_dir / "secret_key", again.state_dir)
    restore = ["--clean", "--if-exists", "--no-owner", "--exit-on-error"]
    run([program("pg_restore"), *restore, f"--dbname={database_url(again.state_dir)}", dump], check=True)
    again.start()  # its key opens it
    again.stop()
    held = books(again)
    assert before <= set(held.ids) <= load.acknowledged
    require_right_books(again, held.ids)
