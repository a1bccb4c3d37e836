"""`make run`'s command as a real process: from nothing to a filled site with an agent that reports to it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path

import pytest
from django.conf import settings

from costsite.as_typed import python_as_typed
from costsite.management.commands.demo import EXAMPLE, Command, what_ended_it
from tests.costsite.test_serve import MANAGE, PROJECT, Site
from tests.own_site import make_tables, surroundings

pytestmark = pytest.mark.sqlite("the demo is tried without a server")

SUMMARY_LINES = 8


@contextmanager
def demo(folder: Path, port: int) -> Iterator[tuple[Site, str]]:
    """The demo when it has said how to stop, and what it said; stopped with Ctrl-C at the end."""
    log = folder / "said"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*MANAGE, "demo", "--port", str(port)],
            env=demo_environment(folder) | {"COSTSITE_DEMO": "true"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    site = Site(process, port, log)
    try:
        deadline = time.monotonic() + 400
        while "Ctrl-C" not in site.said():
            assert process.poll() is None, site.said()
            assert time.monotonic() < deadline, site.said()
            time.sleep(0.2)
        yield site, site.said()
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=1200) == 0
        assert site.members() == {}


def demo_environment(folder: Path) -> dict[str, str]:
    """With no provider's key: tests buy nothing."""
    keys = {"OPENAI_API_KEY", "ANTHROPIC_API_KEY"}
    return {name: value for name, value in surroundings(folder).items() if name not in keys}


def browse(url: str, cookies: CookieJar) -> tuple[str, str]:
    """Where a browser ends up, and what it reads there."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
    with browser.open(url, timeout=120) as page:
        return page.url, page.read().decode()


def recorded(folder: Path) -> list[str]:
    """Calls and cost in microcents of each run of support-bot that is not of the demo's traffic, newest first."""
    question = (
        "from agents.models import AgentRunLog, LLMCall\n"
        "ids = LLMCall.objects.exclude(client__host='demo').values('run_id')\n"
        "of = {'run_id__in': ids, 'agent__slug': 'support-bot'}\n"
        "for run in AgentRunLog.objects.filter(**of).order_by('-started_at'):\n"
        "    print('run', run.agent.slug, run.calls, run.status, run.cost_microcents)"
    )
    ran = subprocess.run(
        [*MANAGE, "shell", "-v0", "-c", question], env=surroundings(folder), capture_output=True, text=True
    )
    return re.findall(r"^run (.*)$", ran.stdout, re.MULTILINE)


def lines_of_thrifty_bot(folder: Path) -> list[str]:
    """The percents of its budget that were passed, in their order."""
    question = (
        "from budgets.models import ThresholdCrossing\n"
        "of = ThresholdCrossing.objects.filter(policy__agent__slug='thrifty-bot', announced_at__isnull=False)\n"
        "print('lines', *of.order_by('pk').values_list('threshold', flat=True))"
    )
    ran = subprocess.run(
        [*MANAGE, "shell", "-v0", "-c", question], env=surroundings(folder), capture_output=True, text=True
    )
    return re.findall(r"^lines (.*)$", ran.stdout, re.MULTILINE)[0].split()


def test_one_command_gives_a_filled_site_and_a_second_start_keeps_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with demo(tmp_path, port) as (_, said):
            summary = said[said.index("Costsite runs on") :].strip().splitlines()
            assert len(summary) <= SUMMARY_LINES
            url = re.search(r"Costsite runs on (http://127\.0\.0\.1:\d+)/ \(port \d+ is taken\)", summary[0]).group(1)  # type: ignore[union-attr]
            assert url != f"http://127.0.0.1:{port}"
            assert said.index("Asking a scripted model: nothing is bought.") < said.index("support-bot: 2 calls")
            # The scripted model is priced as gpt-5-mini: 180 tokens at 25 microcents, 65 at 200, which is 17,500.
            assert recorded(tmp_path) == ["support-bot 2 ok 17500"]
            assert re.search(r"thrifty-bot answered \d+ letters\. Blocked: \S+¢ of 5\.00¢ is left", said)
            assert lines_of_thrifty_bot(tmp_path) == ["50", "80", "100"]

            cookies = CookieJar()
            link = re.search(r"Dashboard +(\S+)", said).group(1)  # type: ignore[union-attr]
            where, page = browse(link, cookies)
            assert where == f"{url}/"
            assert "Acme Support" in page
            assert "login" in browse(f"{url}/", CookieJar())[0]
            again, page_again = browse(link, CookieJar())
            assert again.endswith("/login/"), "the link works once"
            assert "This link was used" in page_again

            command = re.search(r"second terminal: (.*)$", said, re.MULTILINE).group(1)  # type: ignore[union-attr]
            again = subprocess.run(
                command,
                shell=True,
                cwd=PROJECT,
                env=surroundings(tmp_path),
                capture_output=True,
                text=True,
                timeout=1200,
            )
            assert "support-bot: 2 calls, 180 in, 65 out, 0.0175¢" in again.stdout
            assert len(recorded(tmp_path)) == 2
    password = re.search(r"admin / (\S+)", said).group(1)  # type: ignore[union-attr]
    key = re.search(r"API key +(\S+)", said).group(1)  # type: ignore[union-attr]

    with demo(tmp_path, port) as (_, said_then):
        assert f"http://127.0.0.1:{port}/" in said_then
        assert password not in said_then, "it is shown once"
        assert key in said_then, "a second terminal's key still works"
        renew = re.search(r"a new password: (.*)$", said_then, re.MULTILINE).group(1)  # type: ignore[union-attr]
        asked = subprocess.run(f"{renew} --help", shell=True, cwd=PROJECT, capture_output=True, text=True)
        assert "Change a user's password" in asked.stdout
        assert len(recorded(tmp_path)) == 3


def test_what_ended_an_agent_is_its_exception_and_not_the_notes_below_it() -> None:
    chained = """Traceback (most recent call last):
  File "a.py", line 1, in <module>
KeyError: 'first'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "a.py", line 3, in <module>
    agent.invoke(
    ~~~~~~~~~~~~^
openai.AuthenticationError: Error code: 401 - Incorrect API key provided
During task with name 'model' and id '0198'
"""

    assert what_ended_it(chained) == "openai.AuthenticationError: Error code: 401 - Incorrect API key provided"
    assert what_ended_it("thrifty-bot has no budget at this site.\n") == "thrifty-bot has no budget at this site."
    assert what_ended_it("") == "it said nothing"


def test_an_agent_that_fails_says_why_and_how_to_run_it_again(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(settings, "STATE_DIR", tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "no-key")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1")  # where nobody listens

    Command()._run_agent(EXAMPLE, "http://127.0.0.1:1", "cs_demo")

    said = capsys.readouterr()
    assert "Asking gpt-5-mini with the OPENAI_API_KEY of your environment" in said.out
    assert "ConnectionError: Connection error.\n" in said.err
    to_paste = f"COSTSITE_URL=http://127.0.0.1:1 COSTSITE_API_KEY=cs_demo {python_as_typed(EXAMPLE)}"
    assert f"Try it yourself: {to_paste}" in said.err


def test_it_starts_only_where_sign_in_links_are_allowed(tmp_path: Path) -> None:
    refused = subprocess.run([*MANAGE, "demo"], env=surroundings(tmp_path), capture_output=True, text=True, timeout=120)

    assert refused.returncode == 1
    assert "COSTSITE_DEMO=true" in refused.stderr


def test_its_traffic_does_not_mix_with_a_site_that_has_workspaces_of_its_own(tmp_path: Path) -> None:
    make_tables(tmp_path)
    run = {"env": surroundings(tmp_path), "capture_output": True, "text": True, "timeout": 60}
    subprocess.run([*MANAGE, "create_workspace", "real-work"], check=True, **run)  # type: ignore[call-overload]

    refused = subprocess.run([*MANAGE, "load_demo"], **run)  # type: ignore[call-overload]

    assert refused.returncode == 1
    assert "has workspaces of its own" in refused.stderr
