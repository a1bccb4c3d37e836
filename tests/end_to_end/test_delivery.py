"""A hundred calls, whatever happens on the way: a hundred recorded, none twice. Real processes, a real site."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.end_to_end.agents import AgentProcess, agent_environment, flush_from_the_command_line, from_the_command_line
from tests.end_to_end.faulty_proxy import Answer, Fault, FaultyProxy, Late, TakenThenBroken
from tests.end_to_end.live_site import LiveSite, Recorded, exactly

Start = Callable[..., AgentProcess]


@pytest.fixture
def agent() -> str:
    """A name of its own, since tests share the ledger."""
    return f"agent-{uuid4().hex[:8]}"


@pytest.fixture
def start(agent: str, proxy: FaultyProxy, live_site: LiveSite, tmp_path: Path) -> Iterator[Start]:
    """Starts processes that report through the proxy and share one folder."""
    processes: list[AgentProcess] = []

    def start_one(**settings: str) -> AgentProcess:
        process = AgentProcess(agent, url=proxy.url, key=live_site.key, state_dir=tmp_path, **settings)
        processes.append(process)
        return process

    yield start_one
    for process in processes:
        process.end_by(signal.SIGKILL)


@pytest.fixture
def environment(agent: str, proxy: FaultyProxy, live_site: LiveSite, tmp_path: Path) -> dict[str, str]:
    return agent_environment(agent, url=proxy.url, key=live_site.key, state_dir=tmp_path)


def eventually(site: LiveSite, agent: str, expected: Recorded, seconds: float = 90) -> None:
    """Wait for the ledger to hold what is expected, and a moment longer, in which nothing may be counted twice."""
    deadline = time.monotonic() + seconds
    while site.recorded(agent) != expected and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    assert site.recorded(agent) == expected


def nothing_waits(state_dir: Path) -> bool:
    return not [path for path in state_dir.rglob("*.jsonl") if path.stat().st_size]


def test_a_normal_exit_sends_everything_before_the_process_is_gone(
    start: Start, live_site: LiveSite, agent: str, tmp_path: Path
) -> None:
    process = start(exit_flush_seconds="60")
    process.call(100)
    process.exit()
    assert live_site.recorded(agent) == exactly(100)
    assert nothing_waits(tmp_path)
    assert process.log == ""


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_what_a_killed_process_left_is_sent_from_the_command_line(
    end: signal.Signals, start: Start, live_site: LiveSite, agent: str, environment: dict[str, str], tmp_path: Path
) -> None:
    process = start(send_after_seconds="60")
    process.call(99)
    process.call(1)
    process.end_by(end)
    assert not nothing_waits(tmp_path)

    flushed = flush_from_the_command_line(environment)

    assert (flushed.returncode, flushed.stderr) == (0, "")
    assert live_site.recorded(agent) == exactly(100)
    assert nothing_waits(tmp_path)


def test_what_a_killed_process_left_is_sent_by_the_next_one(start: Start, live_site: LiveSite, agent: str) -> None:
    dead = start(send_after_seconds="60")
    dead.call(99)
    dead.end_by(signal.SIGKILL)
    start().call(1)
    eventually(live_site, agent, exactly(100))


def test_a_site_that_starts_after_the_agent_gets_everything(
    start: Start, live_site: LiveSite, proxy: FaultyProxy, agent: str
) -> None:
    live_site.stop()
    proxy.close()
    process = start()
    process.call(100)
    proxy.open()
    live_site.start()
    assert process.flush(90)
    assert live_site.recorded(agent) == exactly(100)


def test_a_site_that_is_killed_midway_gets_everything_when_it_is_back(
    start: Start, live_site: LiveSite, agent: str
) -> None:
    process = start()
    process.call(50)
    live_site.kill()
    process.call(50)
    live_site.start()
    assert process.flush(90)
    assert live_site.recorded(agent) == exactly(100)


def test_an_outage_longer_than_the_agents_life_delays_its_end_little_and_loses_nothing(
    start: Start, live_site: LiveSite, proxy: FaultyProxy, agent: str, environment: dict[str, str]
) -> None:
    proxy.close()
    process = start(exit_flush_seconds="60")
    process.call(100)
    assert not process.flush(1)
    process.waits_for_log("does not answer")
    assert process.exit() < 20, "it does not try again for as long as it may stay"
    assert process.log.count("does not answer") == 1, process.log
    assert flush_from_the_command_line(environment, seconds=1).returncode == 1

    proxy.open()

    assert flush_from_the_command_line(environment).returncode == 0
    assert live_site.recorded(agent) == exactly(100)


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([Answer(500)] * 3, id="500 three times"),
        pytest.param([Answer(503)] * 3, id="503 three times"),
        pytest.param([Answer(200)] * 2, id="a page of HTML with 200, twice"),
        pytest.param([Answer(302, {"Location": "/login"})], id="a redirect"),
        pytest.param([Answer(413)], id="a batch that is too large"),
        pytest.param([TakenThenBroken()] * 2, id="taken, but the connection broke, twice"),
        pytest.param([Answer(401), TakenThenBroken(), Answer(500), Answer(200)], id="one after the other"),
    ],
)
def test_what_fails_is_sent_again(
    faults: list[Fault], start: Start, live_site: LiveSite, proxy: FaultyProxy, agent: str
) -> None:
    proxy.faults.extend(faults)
    process = start()
    process.call(100)
    assert process.flush(90), process.log
    assert not proxy.faults
    assert live_site.recorded(agent) == exactly(100)


def test_a_429_is_obeyed_to_the_second(start: Start, live_site: LiveSite, proxy: FaultyProxy, agent: str) -> None:
    proxy.faults.extend([Answer(429, {"Retry-After": "2"})])
    process = start()
    process.call(100)
    assert process.flush(90)
    assert proxy.posted_at[1] - proxy.posted_at[0] >= 2
    assert live_site.recorded(agent) == exactly(100)


def test_an_answer_after_15_seconds_is_waited_for(
    start: Start, live_site: LiveSite, proxy: FaultyProxy, agent: str
) -> None:
    proxy.faults.append(Late(15))
    process = start()
    process.call(100)
    assert process.flush(90)
    assert live_site.recorded(agent) == exactly(100)
    assert process.log == ""


@pytest.mark.parametrize("then", ["exit", "_exit"])
def test_a_forked_child_and_its_parent_each_send_their_own(
    then: str, start: Start, live_site: LiveSite, agent: str
) -> None:
    process = start(exit_flush_seconds="60")
    process.call(30)
    process.fork(40, then)
    process.call(30)
    eventually(live_site, agent, exactly(100))


def test_a_process_that_only_its_forked_children_call_in_sends_nothing_twice(
    start: Start, live_site: LiveSite, agent: str
) -> None:
    process = start(exit_flush_seconds="60")
    process.fork(50, "exit")
    process.fork(50, "exit")
    assert live_site.recorded(agent) == exactly(100)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_of_multiprocessing_sends_before_it_ends(
    method: str, start: Start, live_site: LiveSite, agent: str
) -> None:
    process = start(exit_flush_seconds="60")
    process.call(1)
    process.spawn(99, method)
    assert live_site.recorded(agent).calls >= 99
    eventually(live_site, agent, exactly(100))


def test_two_living_processes_in_one_folder_leave_each_other_alone(
    start: Start, live_site: LiveSite, proxy: FaultyProxy, agent: str
) -> None:
    proxy.close()
    first, second = start(), start()
    first.call(50)
    second.call(50)
    time.sleep(1.2)  # each has looked for files of dead processes twice
    proxy.open()
    assert first.flush(90)
    assert live_site.recorded(agent).calls >= 50
    assert second.flush(90)
    assert live_site.recorded(agent) == exactly(100)
    assert first.losses() == second.losses() == "{}"


def test_a_child_that_lives_sends_what_its_killed_parent_left(
    start: Start, live_site: LiveSite, proxy: FaultyProxy, agent: str
) -> None:
    proxy.close()
    parent = start()
    parent.call(50)
    parent.fork(50, "live")
    parent.end_by(signal.SIGKILL)
    proxy.open()
    eventually(live_site, agent, exactly(100))


def test_what_a_key_of_another_agent_got_rejected_is_recorded_once_with_a_key_that_may(
    live_site: LiveSite, proxy: FaultyProxy, agent: str, environment: dict[str, str], tmp_path: Path
) -> None:
    other = AgentProcess(
        f"{agent}-other", url=proxy.url, key=live_site.key, state_dir=tmp_path, exit_flush_seconds="60"
    )
    other.call(1)
    other.exit()
    narrow = live_site.manage("create_api_key", "acme", "--agent", f"{agent}-other").strip()
    process = AgentProcess(agent, url=proxy.url, key=narrow, state_dir=tmp_path, exit_flush_seconds="60")
    process.call(100)
    process.exit()
    assert live_site.recorded(agent).calls == 0
    status = from_the_command_line(environment, "status")
    assert status.returncode == 1
    assert f"costsite flush --rejected --from-key {narrow[:13]}" in status.stdout

    again = ("flush", "--rejected", "--from-key", narrow[:13], "--timeout", "90")
    assert from_the_command_line(environment, *again).returncode == 0
    assert live_site.recorded(agent) == exactly(100)
    assert from_the_command_line(environment, *again).returncode == 0
    assert live_site.recorded(agent) == exactly(100)


def test_what_children_left_whose_parent_makes_no_call_is_sent_as_it_ends(
    start: Start, live_site: LiveSite, agent: str
) -> None:
    process = start(send_after_seconds="60", exit_flush_seconds="60")
    process.fork(50, "_exit")
    process.fork(50, "_exit")
    process.exit()
    assert live_site.recorded(agent) == exactly(100)


def test_calls_from_many_threads_all_arrive(start: Start, live_site: LiveSite, agent: str) -> None:
    process = start(exit_flush_seconds="60")
    process.call(96, threads=8)
    process.call(4)
    process.exit()
    assert live_site.recorded(agent) == exactly(100)


def test_the_doctor_finds_a_real_site_well_and_a_revoked_key_wrong(environment: dict[str, str]) -> None:
    well = from_the_command_line(environment, "doctor")
    assert (well.returncode, well.stderr) == (0, ""), well.stdout
    assert "Ready: runs are reported to the workspace" in well.stdout

    wrong = from_the_command_line({**environment, "COSTSITE_API_KEY": "cs_0123456789_no-such-key"}, "doctor")
    assert wrong.returncode == 1
    assert "does not accept the API key cs_0123456789…" in wrong.stdout.splitlines()[-1]
