"""What an agent is told and does stays in its process; keys stay out of every log. Real agents, a real site."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import own_site
from tests.costsite.api_client import batch
from tests.end_to_end.agents import agent_environment, from_the_command_line
from tests.end_to_end.faulty_proxy import EVENTS, Answer, FaultyProxy, TakenThenBroken
from tests.end_to_end.live_site import ROOT, LiveSite
from tests.end_to_end.secret_agent import MARK
from tests.factories import llm_call
from tests.langchain_plugin.provider_server import Answer as Said
from tests.langchain_plugin.provider_server import ProviderServer

BREAK = """
from django.db import connection
connection.cursor().execute("ALTER TABLE agents_llmcall RENAME TO agents_gone")
"""


@dataclass
class TalkativeSite(LiveSite):
    """Says all it can: with its access log, at the level debug."""

    def web_command(self) -> list[str]:
        return [word for word in super().web_command() if word != "--no-access-log"]

    def environment(self) -> dict[str, str]:
        return super().environment() | {"COSTSITE_LOG_LEVEL": "DEBUG", "PYTHONWARNINGS": "default"}

    @property
    def log(self) -> str:
        return (self.state_dir / "site.log").read_text()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[TalkativeSite]:
    site = TalkativeSite(tmp_path / "site").prepare()
    site.start()
    yield site
    site.kill()


@pytest.fixture
def provider() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


@pytest.fixture
def recorder(site: TalkativeSite) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(site.port)
    proxy.open()
    yield proxy
    proxy.close()


def run_secret_agent(provider: ProviderServer, environment: dict[str, str], flush_seconds: float) -> str:
    """Runs it to its end; what it wrote to standard error."""

    def lookup(customer: str) -> Said:
        return Said(f"I ask for {MARK}-thoughts", tool_calls=(("look_up", {"customer": customer}),))

    for customer in (f"{MARK}-in-an-argument", f"{MARK}-streamed", f"{MARK}-broken"):
        provider.will_answer(lookup(customer))
        if "broken" not in customer:
            provider.will_answer(Said(f"The answer is {MARK}-in-an-answer"))
    provider.will_answer(Said(f"{MARK}-refused", status=400))
    provider.will_answer(Said(f"{MARK}-last"))
    ran = subprocess.run(
        [sys.executable, "-m", "tests.end_to_end.secret_agent"],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        env=environment | {"PROVIDER_URL": provider.openai_url, "FLUSH_SECONDS": str(flush_seconds)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert len(provider.requests) >= 7, "the provider was told, and so there was something to keep"
    assert MARK in json.dumps([request.body for request in provider.requests])
    return ran.stderr


def test_nothing_an_agent_is_told_or_does_is_sent_or_kept(
    site: TalkativeSite, recorder: FaultyProxy, provider: ProviderServer, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    environment = agent_environment("support-bot", url=recorder.url, key=site.key, state_dir=spool)
    recorder.close()  # so that all of it is written down, and kept

    logged = run_secret_agent(provider, environment, flush_seconds=0)

    kept = {path: path.read_bytes() for path in spool.rglob("*") if path.is_file()}
    assert b'"look_up"' in b"".join(kept.values()), "the calls are there, with the name of the tool"
    assert [path for path, content in kept.items() if MARK.encode() in content] == []
    assert [path for path in spool.rglob("*") if MARK in path.name] == []
    assert MARK not in logged

    recorder.open()
    flushed = from_the_command_line(environment, "flush", "--timeout", "120")
    run_secret_agent(provider, environment, flush_seconds=120)  # with a site that gives it the key to hash with

    assert flushed.returncode == 0, flushed.stderr
    sent = [f"{asked.path}\n{asked.headers}\n".encode() + asked.body for asked in recorder.asked]
    batches = [asked.body for asked in recorder.asked if asked.path == EVENTS]
    assert b'"look_up"' in b"".join(batches)
    assert b'"prompt_hash"' in b"".join(batches)
    assert [one for one in sent if MARK.encode() in one] == []
    assert all(MARK.encode() not in path.read_bytes() for path in spool.rglob("*") if path.is_file())
    assert all(MARK.encode() not in path.read_bytes() for path in site.state_dir.rglob("*") if path.is_file())


def test_no_key_is_in_a_log_whatever_fails(
    site: TalkativeSite, recorder: FaultyProxy, provider: ProviderServer, tmp_path: Path
) -> None:
    prefix, secret = site.key[:13], site.key[14:]
    spool = tmp_path / "spool"
    environment = agent_environment("support-bot", url=recorder.url, key=site.key, state_dir=spool)
    recorder.faults.extend([Answer(500), Answer(302), Answer(200, body=b"<html>"), TakenThenBroken(), Answer(401)])
    said = run_secret_agent(provider, environment, flush_seconds=20)
    wrong = environment | {"COSTSITE_API_KEY": site.key[:-1] + ("A" if site.key[-1] != "A" else "B")}
    for command in ("doctor", "status", "flush"):
        for settings in (environment, wrong):
            ran = from_the_command_line(settings, command)
            said += ran.stdout + ran.stderr
    site.manage("shell", "-v0", "-c", BREAK)
    failed = ask(site, site.key, "/api/v1/events")
    statuses = [ask(site, site.key, f"/api/v1/{path}") for path in ("runs?key=" + site.key, "nothing")]
    statuses += [ask(site, wrong["COSTSITE_API_KEY"], "/api/v1/key"), ask(site, site.key, "/runs/")]

    assert failed == (500 if own_site.SERVER else 503), "to SQLite, a table that is gone is a database one cannot use"
    assert statuses == [422, 404, 401, 200], site.log
    assert "agents_llmcall" in site.log
    assert prefix in said, "it does say which key is meant"
    for log in (site.log, said):
        assert secret[:-1] not in log
    with own_site.reading(site.state_dir) as ledger:
        assert all(key_hash not in site.log for (key_hash,) in ledger.execute("SELECT key_hash FROM agents_apikey"))
    secret_key = (site.state_dir / "secret_key").read_text()
    assert secret_key not in site.log


def ask(site: LiveSite, key: str, path: str) -> int:
    """The status of a batch for `/events`, of a GET else."""
    body = json.dumps(batch(llm_call())).encode() if path.endswith("/events") else None
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(site.url + path, body, headers), timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
