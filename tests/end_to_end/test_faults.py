"""A site under load to which something happens: what was acknowledged is there, once, and every sum says the same."""

from __future__ import annotations

import random
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from langchain_plugin import CostCallbackHandler
from tests.end_to_end.books import require_right_books
from tests.end_to_end.live_site import WEB, LiveSite
from tests.end_to_end.load import load_on, until
from tests.langchain_plugin.models import ScriptedModel
from tests.postgresql import Server, running_server

KILLS = 6
THREADS = int(WEB[WEB.index("--threads") + 1])


class Mini(ScriptedModel):
    """The model of the load's calls, at their usage."""

    usage: dict[str, Any] | None = {"input_tokens": 1_200, "output_tokens": 300, "total_tokens": 1_500}
    seconds: float = 0.02

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return {"ls_provider": "openai", "ls_model_name": "gpt-4o-mini", "ls_model_type": "chat"}


def sessions_of(server: Server) -> int:
    """How many connections others have to it."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    with psycopg.connect(server.url) as connection:
        (count,) = connection.execute(others).fetchone() or (0,)
    return int(count)


def token_in(page: str) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert found is not None
    return found[1]


@pytest.fixture
def site(budgeted_site: LiveSite, tmp_path: Path) -> Iterator[LiveSite]:
    site = LiveSite(tmp_path / "site").copy(budgeted_site)
    yield site
    site.stop()


def test_a_site_that_is_killed_again_and_again_keeps_what_it_acknowledged_and_counts_it_once(site: LiveSite) -> None:
    dice = random.Random(6)
    site.start()
    with load_on(site.url, key=site.key) as load:
        for _ in range(KILLS):
            load.goes_on(20)
            time.sleep(dice.uniform(0, 0.2))  # anywhere in a batch
            site.kill()
            site.start()
        load.goes_on(20)
    assert load.unreachable >= KILLS, "it was killed with batches on their way"
    assert load.leases > 0
    assert load.statuses() <= {503}
    require_right_books(site, load.acknowledged)


@pytest.fixture
def server() -> Iterator[Server]:
    """Of the test's own, for it to break."""
    with running_server() as server:
        yield server


@pytest.fixture
def site_on_server(server: Server, tmp_path: Path) -> Iterator[LiveSite]:
    site = LiveSite(tmp_path / "site", database_url=server.url).prepare()
    site.manage("set_budget", "acme", "--limit-cents", "100000000")
    yield site
    site.stop()


@pytest.mark.postgresql("SQLite has no server that could crash")
def test_a_database_server_that_crashes_under_load_costs_no_call_and_leases_are_had_again(
    server: Server, site_on_server: LiveSite, tmp_path: Path
) -> None:
    site = site_on_server
    site.start()
    costs = CostCallbackHandler(
        agent="caller", api_key=site.key, url=site.url, state_dir=tmp_path / "spool", send_after_seconds=0.05,
        retry_max_seconds=0.5,
    )  # fmt: skip
    model, over = Mini(), threading.Event()

    def call_until_over() -> None:
        while not over.is_set():
            model.invoke("Hello", {"callbacks": [costs]})

    caller = threading.Thread(target=call_until_over)
    caller.start()
    try:
        with load_on(site.url, key=site.key) as load:
            for _ in range(3):
                load.goes_on(20)
                server.restart()
            leases = load.leases
            load.goes_on(20)
            until(lambda: load.leases > leases + 10, "leases again")
            sessions = sessions_of(server)
    finally:
        over.set()
        caller.join()
    assert 1 <= sessions <= THREADS, "one a thread at most, whatever broke"
    assert costs.flush(60)
    assert costs.losses == {}
    assert load.statuses() == {503}, load.said
    assert {said.retry_after for said in load.said} == {"2"}
    require_right_books(site, load.acknowledged, extra_calls=model.calls)


STRANGER = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(30)
sys.stdin.readline()  # and until the test has seen what it came for, however slow the machine
database.execute("ROLLBACK")
"""


@pytest.mark.sqlite("whoever opens its file may lock all of it")
def test_a_stranger_who_locks_the_database_for_half_a_minute_makes_clients_wait_and_loses_nothing(
    site: LiveSite,
) -> None:
    site.start()
    with load_on(site.url, key=site.key) as load, httpx.Client(base_url=site.url, timeout=60) as browser:
        page = browser.get("/login/")
        load.goes_on(20)
        stranger = subprocess.Popen(
            [sys.executable, "-c", STRANGER, str(site.state_dir / "costsite.sqlite3")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert stranger.stdout is not None
        assert stranger.stdout.readline() == "locked\n"
        assert browser.get("/login/").status_code == 200, "who reads does not wait"
        form = {"username": "nobody", "password": "guess", "csrfmiddlewaretoken": token_in(page.text)}
        busy = browser.post("/login/", data=form)
        stranger.communicate(timeout=60)
        assert stranger.returncode == 0
        load.goes_on(20)
    assert (busy.status_code, busy.headers["Retry-After"]) == (503, "2")
    assert {(said.status, said.code, said.retry_after) for said in load.said} == {(503, "database_busy", "2")}
    require_right_books(site, load.acknowledged)


UseUp = Callable[[LiveSite], Callable[[], None]]
"""Leaves the site's files no room; what it gives makes room again."""


def fill(site: LiveSite) -> Callable[[], None]:
    """Leave the disk no room."""
    filler = site.state_dir / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    return filler.unlink


def bound_files(site: LiveSite) -> Callable[[], None]:
    """Let the site's processes write no file beyond 100 kB, which its database is over."""
    unbound = resource.RLIM_INFINITY

    def bound(size: int) -> None:
        for pid in site.processes():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, unbound))

    bound(100_000)
    return lambda: bound(unbound)


@contextmanager
def any_disk(_: LiveSite) -> Iterator[UseUp]:
    yield bound_files


@contextmanager
def small_disk(site: LiveSite) -> Iterator[UseUp]:
    """The site's folder on a disk of 24 MB. Where nobody may mount one, as in most containers, files are bound."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(site.state_dir)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as refused:
        print(f"No disk of its own for this test, so that files are bound instead: {refused}")
        yield bound_files
        return
    try:
        yield fill
    finally:
        subprocess.run(["umount", "--lazy", str(site.state_dir)], check=True)


@pytest.mark.sqlite("the disk that fills up is the one its file is on")
@pytest.mark.parametrize("disk", [any_disk, small_disk])
def test_a_full_disk_under_the_database_takes_nothing_and_loses_nothing_and_goes_on_when_there_is_room(
    disk: Callable[[LiveSite], AbstractContextManager[UseUp]],
    budgeted_site: LiveSite,
    tmp_path: Path,
) -> None:
    site = LiveSite(tmp_path / "site")
    site.state_dir.mkdir()
    with disk(site) as use_up:
        site.copy(budgeted_site).start()
        try:
            with load_on(site.url, key=site.key) as load:
                load.goes_on(20)
                make_room = use_up(site)
                until(lambda: sum(load.said.values()) >= 20, "20 answers on a full disk")
                said = httpx.get(f"{site.url}/login/", timeout=60).status_code
                make_room()
                load.goes_on(20)
            assert said == 200, "who reads is served"
            assert {(said.status, said.code) for said in load.said} == {(503, "database_busy")}
            require_right_books(site, load.acknowledged)
        finally:
            site.stop()
