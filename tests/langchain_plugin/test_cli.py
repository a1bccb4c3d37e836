from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from langchain_plugin.adoption import Adoption
from langchain_plugin.cli import main
from langchain_plugin.config import Config
from langchain_plugin.errors import ServerUnreachable
from langchain_plugin.losses import Losses
from langchain_plugin.rejected import RejectedEvent, keep_rejected, send_again
from langchain_plugin.reporter import Reporter
from tests.langchain_plugin.conftest import KEY
from tests.langchain_plugin.stub_site import Answer, Answering, StubSite, error, key_facts, page, receipt

DEAD_CLIENT = "0192b5a0-0000-7000-8000-000000000001"


@pytest.fixture
def site(site: StubSite) -> StubSite:
    site.key_answer = key_facts()
    return site


@pytest.fixture(autouse=True)
def environment(site: StubSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("COSTSITE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COSTSITE_URL", site.url)
    monkeypatch.setenv("COSTSITE_API_KEY", KEY)
    monkeypatch.setenv("COSTSITE_STATE_DIR", str(tmp_path))


def leave_behind(*events: dict[str, Any], **settings: Any) -> Path:
    """A file as a process leaves it that died."""
    folder = Config.resolve(**settings).spool_folder
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{DEAD_CLIENT}.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    config = Config.resolve(**settings)
    (folder / "about.json").write_text(json.dumps({"url": config.url, "key_prefix": config.key_prefix}))
    return path


def call(number: int, hours_ago: float = 0) -> dict[str, Any]:
    return {"type": "llm_call", "call_id": str(number), "started_at": time.time() - hours_ago * 3600}


# ── doctor ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_doctor_finds_all_well_and_says_where_each_setting_came_from(
    site: StubSite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor"]) == 0
    told = capsys.readouterr().out
    assert told.splitlines()[-1] == f"Ready: runs are reported to the workspace Acme at {site.url}."
    assert [line.split() for line in told.splitlines() if line.strip().startswith("url")] == [
        ["url", site.url, "COSTSITE_URL"]
    ]
    assert "cs_0123456789…" in told
    assert "secret-part" not in told
    assert "langchain-core" in told


@pytest.mark.parametrize(
    ("setting", "answer", "mend"),
    [
        pytest.param({"API_KEY": ""}, None, "set COSTSITE_API_KEY", id="no key"),
        pytest.param({"DISABLED": "true"}, None, "unset COSTSITE_DISABLED", id="switched off"),
        pytest.param({"STATE_DIR": "/proc/nowhere"}, None, "set COSTSITE_STATE_DIR", id="folder"),
        pytest.param({}, Answer(401), "to a live key", id="wrong key"),
        pytest.param({}, Answer(200), "set COSTSITE_URL", id="another site"),
        pytest.param({"URL": "http://127.0.0.1:1"}, None, "start the site", id="no site"),
        pytest.param({}, {"scopes": ["read"]}, "make one with the scope events:write", id="scope"),
        pytest.param({"AGENT": "b"}, {"agent": "a"}, "reports for a only, and COSTSITE_AGENT is b", id="agent"),
        pytest.param(
            {}, {"server_time": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}, "ahead of the site's", id="clock"
        ),
    ],
)
def test_the_doctor_names_what_is_wrong_and_the_mend(
    setting: dict[str, str],
    answer: Any,
    mend: str,
    site: StubSite,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in setting.items():
        monkeypatch.setenv(f"COSTSITE_{name}", value)
    if answer is not None:
        site.key_answer = answer if isinstance(answer, Answer) else key_facts(**answer)
    assert main(["doctor"]) == 1
    verdict = capsys.readouterr().out.splitlines()[-1]
    assert verdict.startswith("Not ready. ")
    assert mend in verdict


@pytest.mark.parametrize("answers", [True, False])
def test_the_doctor_names_http_where_a_site_speaks_no_tls(
    answers: bool, site: StubSite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and waits for a line that never ends
        monkeypatch.setattr("langchain_plugin.transport.CONNECT_SECONDS", 0.5)
        port = site.url.rpartition(":")[2] if answers else silent.getsockname()[1]
        monkeypatch.setenv("COSTSITE_URL", f"https://127.0.0.1:{port}")

        assert main(["doctor"]) == 1

    verdict = capsys.readouterr().out.splitlines()[-1]
    mend = (
        f"does not answer a TLS handshake: if the site is served without, set COSTSITE_URL to http://127.0.0.1:{port};"
    )
    assert mend in verdict


@pytest.mark.parametrize(
    ("reason", "names_http"),
    [("WRONG_VERSION_NUMBER", True), ("TLSV1_ALERT_PROTOCOL_VERSION", False), ("SSLV3_ALERT_HANDSHAKE_FAILURE", False)],
)
def test_a_site_that_refuses_how_tls_is_spoken_does_speak_it(
    reason: str, names_http: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object, **__: object) -> None:
        error = ssl.SSLError(1, f"[SSL: {reason}]")
        error.reason = reason
        raise ServerUnreachable("no") from error

    monkeypatch.setenv("COSTSITE_URL", "https://127.0.0.1:1")
    monkeypatch.setattr("langchain_plugin.cli.Reporter.check", fails)

    assert main(["doctor"]) == 1
    assert ("http://" in capsys.readouterr().out.splitlines()[-1]) is names_http


def test_a_wrong_setting_is_told_before_anything_is_tried(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COSTSITE_URL", "localhost:8000")
    assert main(["doctor"]) == 2
    assert "write the site's address with its scheme" in capsys.readouterr().err


# ── status ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_status_of_nothing_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 0
    assert capsys.readouterr().out == f"Nothing waits in {tmp_path}.\n"


def test_the_status_tells_the_dead_from_the_living_and_changes_neither(
    site: StubSite, capsys: pytest.CaptureFixture[str]
) -> None:
    path = leave_behind(call(1, hours_ago=5), call(2))
    living = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys\nfrom pathlib import Path\nfrom langchain_plugin.losses import Losses\n"
            "from langchain_plugin.spool import Spool\n"
            "spool = Spool(Path(sys.argv[1]), Losses(), max_bytes=10**6, wake=lambda: None)\n"
            "spool.append(b'{}\\n', 1)\nprint('ready', flush=True)\nsys.stdin.read()",
            str(path.parent),
        ],
        cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert living.stdout is not None
        living.stdout.readline()
        before = path.read_bytes()
        assert main(["status"]) == 0
        told = capsys.readouterr().out
        assert "0192b5a0  process dead   2 events" in told
        assert "the oldest 5 hours old" in told
        assert "process alive  1 event" in told
        assert f"{site.url}, key cs_0123456789…" in told
        assert path.read_bytes() == before
        assert site.batches == []
    finally:
        living.kill()
        living.wait()


def test_the_status_shows_rejected_events_by_reason(site: StubSite, capsys: pytest.CaptureFixture[str]) -> None:
    rejection = {"index": 0, "code": "bad_tokens", "message": "input_tokens must not be negative."}
    site.answers.append(lambda batch: receipt(batch, accepted=[], rejected=[rejection]))
    leave_behind(call(1))
    assert main(["flush"]) == 1, "the site does not have it"
    assert "1 event rejected; `costsite status` says why." in capsys.readouterr().out
    assert main(["status"]) == 1
    told = capsys.readouterr().out
    assert "rejected: 1 event, bad_tokens: input_tokens must not be negative." in told
    assert "once that is mended, `costsite flush --rejected` sends these again." in told


def test_the_status_tells_what_no_site_can_make_sense_of(site: StubSite, capsys: pytest.CaptureFixture[str]) -> None:
    rejection = {"index": 0, "code": "subsets_exceed_total", "message": "More cached than read."}
    site.answers.append(lambda batch: receipt(batch, accepted=[], rejected=[rejection]))
    leave_behind(call(1))
    main(["flush"])
    assert main(["status"]) == 1
    assert "no site can make sense of these: report them as a bug" in capsys.readouterr().out


@pytest.fixture
def unreadable(tmp_path: Path) -> Iterator[Path]:
    """A folder in which something waits, and this process may not look into."""
    path = leave_behind(call(1)).parent
    if os.geteuid() == 0:
        os.seteuid(65_534)
    else:
        path.chmod(0)
    yield path
    if os.getuid() == 0:
        os.seteuid(0)
    path.chmod(0o700)


@pytest.mark.parametrize("command", ["flush", "status"])
def test_a_folder_that_may_not_be_looked_into_is_not_said_to_be_empty(
    command: str, unreadable: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command]) == 1
    assert "cannot be looked into (Permission denied): run this as the user" in capsys.readouterr().out


def test_a_file_that_cannot_be_read_is_not_said_to_be_sent(site: StubSite, capsys: pytest.CaptureFixture[str]) -> None:
    folder = leave_behind(call(1)).parent
    (folder / "0192b5a0-0000-7000-8000-000000000002.jsonl").mkdir()
    for command in (["flush"], ["status"]):
        assert main(command) == 1
        assert "000000000002.jsonl cannot be looked into (Is a directory)" in capsys.readouterr().out
    assert len(site.events) == 1


# ── flush ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_flush_sends_what_the_dead_left_and_is_0_when_nothing_is_left(
    site: StubSite, capsys: pytest.CaptureFixture[str]
) -> None:
    path = leave_behind(*[call(number) for number in range(1200)])
    assert main(["flush"]) == 0
    assert [event["call_id"] for event in site.events] == [str(number) for number in range(1200)]
    assert not path.exists()
    assert "1,200 events sent, 0 left." in capsys.readouterr().out
    assert main(["flush"]) == 0


def test_a_flush_tells_what_was_sent_from_what_was_given_up(
    site: StubSite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = leave_behind(call(1), call(2))
    os.utime(path, (time.time() - 32 * 86_400,) * 2)
    assert main(["flush"]) == 0
    assert "2 events sent, 0 left." in capsys.readouterr().out
    assert len(site.events) == 2

    monkeypatch.setattr("langchain_plugin.sender.KEEP_SECONDS", 0.3)
    monkeypatch.setenv("COSTSITE_RETRY_MAX_SECONDS", "0.1")
    site.answer = page(503)
    leave_behind(call(3), call(4), call(5))
    assert main(["flush", "--timeout", "60"]) == 1
    told = capsys.readouterr().out
    assert "0 events sent, 0 left." in told
    assert "3 events expired" in told


def test_a_flush_is_patient_with_a_site_that_fails_for_a_while(site: StubSite) -> None:
    site.answers.extend([error(503, Retry_After="1"), page(500)])
    leave_behind(call(1))
    assert main(["flush", "--timeout", "60"]) == 0
    assert len(site.batches) == 3


@pytest.mark.parametrize(("answer", "mend"), [(page(401), "to a live key"), (page(200), "set COSTSITE_URL")])
def test_a_flush_that_cannot_send_says_why_and_keeps_everything(
    answer: Any, mend: str, site: StubSite, capsys: pytest.CaptureFixture[str]
) -> None:
    site.answer = answer
    path = leave_behind(call(1), call(2))
    assert main(["flush"]) == 1
    told = capsys.readouterr()
    assert mend in told.err
    assert "0 events sent, 2 left." in told.out
    assert len(path.read_text().splitlines()) == 2


def test_a_flush_leaves_a_living_processs_events_to_it(
    site: StubSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    living = Reporter(Config.resolve(send_after_seconds=60))
    living.append(call(1))
    assert main(["flush"]) == 1
    assert "1 event of processes that are alive, which send them themselves." in capsys.readouterr().out
    assert site.events == []
    assert living.flush(60)
    assert main(["flush"]) == 0


def test_what_waits_under_a_replaced_key_is_sent_only_when_asked(
    site: StubSite, capsys: pytest.CaptureFixture[str]
) -> None:
    leave_behind(call(1), api_key="cs_9999999999_revoked")
    leave_behind(call(2), api_key="cs_8888888888_of-another-site", url="http://127.0.0.1:1")
    assert main(["flush"]) == 0
    assert site.events == []
    assert main(["status"]) == 1
    assert "`costsite flush --from-key cs_9999999999` sends these with it" in capsys.readouterr().out
    assert main(["flush", "--from-key", "cs_9999999999"]) == 0
    assert [event["call_id"] for event in site.events] == ["1"]
    assert site.headers[-1]["Authorization"] == f"Bearer {KEY}"
    assert main(["flush", "--from-key", "cs_8888888888"]) == 2


def test_what_waits_under_a_mistyped_address_is_sent_only_when_asked(
    site: StubSite, capsys: pytest.CaptureFixture[str]
) -> None:
    leave_behind(call(1), url="http://127.0.0.1:1/foo")
    assert main(["flush"]) == 0
    assert site.events == []
    assert main(["status"]) == 1
    assert "`costsite flush --from-url http://127.0.0.1:1/foo` sends these" in capsys.readouterr().out
    assert main(["flush", "--from-url", "http://127.0.0.1:1/foo"]) == 0
    assert [event["call_id"] for event in site.events] == ["1"]
    assert main(["status"]) == 0
    assert main(["flush", "--from-url", "http://elsewhere"]) == 2


def test_what_could_not_be_sent_is_not_said_to_be_a_living_processs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COSTSITE_URL", "http://127.0.0.1:9")
    leave_behind(call(1), url="http://127.0.0.1:9")
    assert main(["flush", "--timeout", "1"]) == 1
    assert "alive" not in capsys.readouterr().out


# ── what was rejected ────────────────────────────────────────────────────────────────────────────────────────────


def rejecting(code: str, message: str) -> Answering:
    """Rejects all."""
    return lambda batch: receipt(
        batch,
        accepted=[],
        rejected=[{"index": i, "code": code, "message": message} for i in range(len(batch["events"]))],
    )


def kept_rejected() -> list[dict[str, Any]]:
    path = Config.resolve().spool_folder / "rejected.jsonl"
    return [json.loads(text)["event"] for text in path.read_text().splitlines() if text] if path.exists() else []


def test_what_was_rejected_is_sent_again_as_it_was_once_that_is_mended(
    site: StubSite, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = [call(number) for number in range(700)]
    calls[3] |= {"odd": 2**70, "text": "half a pair \ud800"}
    leave_behind(*calls)
    site.answer = rejecting("too_old", "Set the clock.")
    assert main(["flush"]) == 1
    assert kept_rejected() == calls
    site.batches.clear()

    site.answer = receipt
    assert main(["flush"]) == 0, "nothing waits"
    assert site.events == []
    assert main(["flush", "--rejected"]) == 0
    assert "700 events sent, 0 left." in capsys.readouterr().out
    assert site.events == calls
    assert (kept_rejected(), main(["status"])) == ([], 0)
    assert main(["flush", "--rejected"]) == 0
    assert len(site.events) == 700, "once"


def test_what_is_rejected_again_comes_back_with_its_new_reason(
    site: StubSite, capsys: pytest.CaptureFixture[str]
) -> None:
    leave_behind(call(1), call(2))
    for code in ("unknown_field", "agent_not_allowed"):
        site.answer = rejecting(code, f"{code} it is.")
        assert main(["flush", "--rejected"]) == 1
    assert [event["call_id"] for event in kept_rejected()] == ["1", "2"]
    capsys.readouterr()
    assert main(["status"]) == 1
    told = capsys.readouterr().out
    assert "2 events, agent_not_allowed: agent_not_allowed it is." in told
    assert "unknown_field" not in told


def test_what_a_key_may_not_report_is_sent_with_another(site: StubSite, capsys: pytest.CaptureFixture[str]) -> None:
    leave_behind(call(1), api_key="cs_9999999999_of-one-agent")
    with pytest.MonkeyPatch.context() as former:
        former.setenv("COSTSITE_API_KEY", "cs_9999999999_of-one-agent")
        site.answers.append(rejecting("agent_not_allowed", "Use a key of the whole workspace."))
        assert main(["flush"]) == 1
    site.batches.clear()
    assert main(["status"]) == 1
    assert "`costsite flush --rejected --from-key cs_9999999999` sends these again" in capsys.readouterr().out
    assert main(["flush", "--rejected", "--from-key", "cs_9999999999"]) == 0
    assert [event["call_id"] for event in site.events] == ["1"]
    assert site.headers[-1]["Authorization"] == f"Bearer {KEY}"


def test_of_many_that_send_what_was_rejected_again_one_does(site: StubSite) -> None:
    leave_behind(*[call(number) for number in range(50)])
    site.answers.append(rejecting("too_old", "Set the clock."))
    assert main(["flush"]) == 1
    site.batches.clear()
    commands = [
        subprocess.Popen(
            [sys.executable, "-m", "langchain_plugin.cli", "flush", "--rejected"],
            cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL,
        )
        for _ in range(4)
    ]  # fmt: skip
    for command in commands:
        command.wait(120)
    assert sorted(int(event["call_id"]) for event in site.events) == list(range(50))


def test_what_is_rejected_while_that_is_sent_again_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    begun, kept = threading.Event(), 500

    def keep() -> None:
        for number in range(kept):
            event = RejectedEvent(b'{"n": %d}' % number, "too_old", "")
            keep_rejected(folder, event, Losses(), max_bytes=10_000_000)
            begun.set()

    thread = threading.Thread(target=keep)
    thread.start()
    begun.wait(30)
    while thread.is_alive():
        send_again(folder)
        time.sleep(0.001)
    thread.join()
    lines = [line for path in folder.iterdir() for line in path.read_text().splitlines() if line]
    found = {json.loads(line)["event"]["n"] for line in lines}
    assert found == set(range(kept))


def test_what_is_rejected_between_the_opening_and_the_writing_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rejected.jsonl").write_bytes(b"")
    write = os.write

    def write_late(fd: int, data: bytes) -> int:
        monkeypatch.undo()
        assert send_again(tmp_path)
        return write(fd, data)

    monkeypatch.setattr(os, "write", write_late)
    losses = Losses()
    keep_rejected(tmp_path, RejectedEvent(b"{}", "too_old", ""), losses, max_bytes=1_000)
    assert (tmp_path / "rejected.jsonl").read_text().count("rejected_at") == 1
    assert losses.by_reason() == {"rejected": 1}


def test_what_is_sent_again_takes_no_room_from_the_living(tmp_path: Path) -> None:
    adoption = Adoption(tmp_path, Losses())
    (tmp_path / "rejected.jsonl").write_bytes(b"{}\n" * 1000)
    assert send_again(tmp_path)
    adoption.look(except_for=set())
    assert (adoption.pending, adoption.pending_bytes, adoption.taken_bytes) == (1000, 3000, 0)


def test_without_a_key_nothing_can_be_sent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("COSTSITE_API_KEY")
    assert main(["flush"]) == 2
    assert "set COSTSITE_API_KEY" in capsys.readouterr().err


def test_what_waits_for_others_is_not_overlooked(
    site: StubSite, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"API_KEY": KEY, "URL": site.url, "STATE_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(f"COSTSITE_{name}", value)
    for number, waits in enumerate([3, 0, 0]):
        other = tmp_path / f"{number:016x}"
        other.mkdir(mode=0o700)
        (other / "about.json").write_text('{"url": "http://elsewhere.example", "key_prefix": "cs_9999999999"}')
        if waits:
            (other / "0192b5a0-0000-7000-8000-000000000001.jsonl").write_text('{"type": "llm_call"}\n' * waits)

    assert main(["flush"]) == 0
    assert f"3 events in {tmp_path} for other sites or keys; `costsite status` lists them." in capsys.readouterr().out
    main(["status"])
    said = capsys.readouterr().out
    assert "3 events" in said
    assert "Nothing waits in 2 other folders." in said
