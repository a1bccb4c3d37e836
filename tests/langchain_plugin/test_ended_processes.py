"""What dead processes left is sent, and what they lost is told, by whoever lives."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from textwrap import dedent

import pytest

from langchain_plugin.reporter import Reporter
from tests.langchain_plugin.processes import config_for, eventually, left_in, run, run_file, spooled
from tests.langchain_plugin.stub_site import StubSite


def test_what_a_dead_process_left_is_sent_by_one_that_never_makes_a_call(site: StubSite, tmp_path: Path) -> None:
    config = config_for(tmp_path, url=site.url)
    path = left_in(config, "1", "2")
    Reporter.shared(config)
    assert eventually(lambda: not path.exists())
    assert [event["call_id"] for event in site.events] == ["1", "2"]


@pytest.mark.parametrize("left", ["nothing", "an empty file", "a living process's file"])
def test_a_process_that_finds_nothing_to_send_starts_no_thread(left: str, tmp_path: Path) -> None:
    config = config_for(tmp_path)
    if left == "an empty file":
        left_in(config)
    owner = Reporter(config)
    if left == "a living process's file":
        owner._spool.append(b"{}\n", 1)
        owner._sender.stop()
        assert eventually(lambda: owner._sender._thread is None)
    reporter = Reporter.shared(config)
    assert reporter._sender._thread is None
    owner._spool.sources()[0].settle(10**9, 1)


def test_what_children_left_that_ended_by_os_exit_is_sent_as_their_parent_ends(site: StubSite, tmp_path: Path) -> None:
    done = run(
        """
        import os
        for number in range(3):
            child = os.fork()
            if child == 0:
                reporter.append({"call_id": str(number)})
                os._exit(0)
            os.waitpid(child, 0)
        """,
        tmp_path,
        site.url,
        exit_flush_seconds="60",
        send_after_seconds="30",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(event["call_id"] for event in site.events) == ["0", "1", "2"]
    assert spooled(tmp_path) == []


def test_a_thread_that_could_not_be_started_once_is_started_later(
    site: StubSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = Reporter(config_for(tmp_path, url=site.url, send_after_seconds=0.01))
    monkeypatch.setattr("langchain_plugin.sender.START_SECONDS", 0.05)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        reporter.append({"call_id": "1"})
        reporter.append({"call_id": "2"})
    assert reporter.pending == 2
    time.sleep(0.1)
    reporter.append({"call_id": "3"})
    assert eventually(lambda: len(site.events) == 3)


def test_a_start_that_a_signal_cut_short_keeps_no_later_one_from_its_turn(tmp_path: Path) -> None:
    # It had taken the lock, and what its handler raised came before anything could be undone.
    sender = Reporter(config_for(tmp_path))._sender
    sender._starting.acquire()
    sender._starting_since = time.monotonic()
    assert sender.start()
    assert sender._thread is None, "somebody is about to start it"
    sender._starting_since -= 2
    assert sender.start()
    assert sender._thread is not None


LOSE_AND = """
    import os, signal
    for number in range(400):
        reporter.append({"call_id": str(number), "padding": "x" * 400})
    lost = reporter.losses["spool_full"]
    print(lost, reporter._spool.client_id, flush=True)
    """


@pytest.mark.parametrize(
    ("then", "status"),
    [
        pytest.param("pass", 0, id="a normal end"),
        pytest.param(
            """
            deadline = time.monotonic() + 60
            while b"client_losses" not in b"".join(path.read_bytes() for path in reporter._spool.own_files()):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
            """,
            -9,
            id="a kill",
        ),
    ],
)
def test_what_a_process_lost_is_told_by_another_once_it_has_ended(
    then: str, status: int, site: StubSite, tmp_path: Path
) -> None:
    done = run(
        dedent(LOSE_AND) + dedent(then), tmp_path, site.url,
        spool_max_mb="0.1", adopt_every_seconds="0.05", send_after_seconds="60",
        exit_flush_seconds="0",
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    lost, client_id = done.stdout.split()
    assert int(lost) > 100
    site.batches.clear()

    reporter = Reporter.shared(config_for(tmp_path, url=site.url, send_after_seconds=0.01))
    assert eventually(lambda: not list(reporter.config.spool_folder.glob("*-*.jsonl")))

    assert len(site.events) == 400 - int(lost)
    told = [batch["health"] for batch in site.batches if batch["client_id"] == client_id]
    assert [health["dropped"] for health in told] == [{"spool_full": int(lost)}]
    assert told[0]["pid"] != os.getpid()
    assert all(batch["health"]["dropped"] == {} for batch in site.batches if batch["client_id"] != client_id)


def test_what_a_living_process_lost_is_told_though_it_has_nothing_else_to_send(site: StubSite, tmp_path: Path) -> None:
    reporter = Reporter(config_for(tmp_path, url=site.url, send_after_seconds=0.01, adopt_every_seconds=0.05))
    reporter.append({"call_id": "1"})
    assert reporter.flush(60)
    reporter.count_loss("bug", 2)
    assert eventually(lambda: site.batches[-1]["health"]["dropped"] == {"bug": 2})
    count = len(site.batches)
    time.sleep(0.3)
    assert len(site.batches) == count, "and once"
    assert reporter.flush(60)


# ── children of multiprocessing ──────────────────────────────────────────────────────────────────────────────────────

OPEN_CALL = """
    import multiprocessing, sys, threading, time
    from langchain_plugin import CostCallbackHandler
    from tests.langchain_plugin.models import ScriptedModel

    costs = CostCallbackHandler()

    def call():
        ScriptedModel(seconds=600).invoke("How much is the fish?", {"callbacks": [costs]})

    def leave_it_open():
        threading.Thread(target=call, daemon=True).start()
        while not costs._tree.calls:
            time.sleep(0.01)

    if __name__ == "__main__":
        child = multiprocessing.get_context(sys.argv[1]).Process(target=leave_it_open)
        child.start()
        child.join()
        sys.exit(child.exitcode)
    """


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_of_multiprocessing_reports_a_call_that_is_open_as_it_ends(
    method: str, site: StubSite, tmp_path: Path
) -> None:
    script = tmp_path / "agent.py"
    script.write_text(dedent(OPEN_CALL))
    done = run_file(script, method, folder=tmp_path / "state", url=site.url, exit_flush_seconds="60")
    assert (done.returncode, done.stderr) == (0, "")
    (event,) = site.events
    assert (event["type"], event["status"]) == ("llm_call", "cancelled")
