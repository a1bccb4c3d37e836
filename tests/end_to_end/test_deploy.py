"""What docs/deploy.md hands out works: the units, and nginx with the example's file in front of the real site."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.end_to_end.agents import AgentProcess
from tests.end_to_end.deployed import DEPLOY, WHY_NOT, DeployedSite, Proxy, unit_command
from tests.end_to_end.live_site import ROOT, LiveSite, exactly
from tests.end_to_end.load import batch_of

NEEDS_NGINX = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
PASSWORD = "correct horse battery"
PERSON = f"""
from django.contrib.auth import get_user_model
get_user_model().objects.create_superuser("ada", password={PASSWORD!r})
"""
ATTEMPTS = """
from axes.models import AccessAttempt
print(*AccessAttempt.objects.values_list("ip_address", flat=True))
"""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    site = DeployedSite(tmp_path_factory.mktemp("deployed"))
    site.prepare()
    site.manage("shell", "-v0", "-c", PERSON)
    site.start()
    proxy = Proxy(tmp_path_factory.mktemp("nginx"), site)
    with proxy.running():
        yield proxy
    site.stop()


@pytest.fixture
def browser(proxy: Proxy) -> Iterator[httpx.Client]:
    trusted = ssl.create_default_context(cafile=proxy.certificate)
    with httpx.Client(base_url=proxy.url, verify=trusted, timeout=60) as client:
        yield client


def login(browser: httpx.Client, password: str, **headers: str) -> httpx.Response:
    page = browser.get("/login/")
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token is not None
    form = {"username": "ada", "password": password, "csrfmiddlewaretoken": token[1]}
    # As every browser says where a form came from; over HTTPS it is held against the host.
    return browser.post("/login/", data=form, headers={"Origin": str(browser.base_url).rstrip("/"), **headers})


@NEEDS_NGINX
def test_plain_http_is_sent_to_https(proxy: Proxy) -> None:
    answer = httpx.get(f"http://localhost:{proxy.plain_port}/runs/?page=2")
    assert (answer.status_code, answer.headers["Location"]) == (301, "https://localhost/runs/?page=2")


@NEEDS_NGINX
def test_a_person_logs_in_over_https_and_the_cookies_travel_on_it_alone(browser: httpx.Client) -> None:
    answer = login(browser, PASSWORD)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")
    cookies = answer.headers.get_list("Set-Cookie")
    assert {cookie.partition("=")[0] for cookie in cookies} >= {"sessionid", "csrftoken"}
    assert all("; Secure" in cookie for cookie in cookies)
    page = browser.get("/")
    assert page.status_code == 200
    assert "max-age=31536000" in page.headers["Strict-Transport-Security"]


@NEEDS_NGINX
def test_the_address_that_counts_is_the_one_nginx_saw(proxy: Proxy, browser: httpx.Client) -> None:
    assert login(browser, "wrong", **{"X-Forwarded-For": "198.51.100.7"}).status_code == 200
    assert proxy.site.manage("shell", "-v0", "-c", ATTEMPTS).split() == ["127.0.0.1"]


@NEEDS_NGINX
@pytest.mark.parametrize(
    ("address", "at"), [("127.0.0.2", "/login/"), ("127.0.0.3", "/admin/login/"), ("127.0.0.4", "/password/")]
)
def test_who_sends_passwords_in_a_burst_is_told_429_by_nginx_and_nobody_else_is(
    proxy: Proxy, browser: httpx.Client, address: str, at: str
) -> None:
    trusted = ssl.create_default_context(cafile=proxy.certificate)
    elsewhere = httpx.HTTPTransport(verify=trusted, local_address=address)
    # Without a form's token the site refuses each at once (403): sixty take less time than earns leave for all of them.
    with httpx.Client(base_url=proxy.url, transport=elsewhere, timeout=60) as stranger:
        began = time.monotonic()
        answers = [stranger.post(at, data={"username": "ada", "password": "guess"}) for _ in range(60)]
        earned = (time.monotonic() - began) / 2
        assert [answer.status_code for answer in answers[:10]] == [403] * 10
        refused = [answer for answer in answers if answer.status_code == 429]
        assert 50 - earned - 1 <= len(refused) <= 50
        assert all("nginx" in answer.text for answer in refused), "or the site would have had to answer"
        assert stranger.get("/login/").status_code == 200
        assert stranger.post("/api/v1/leases").status_code == 401
    assert login(browser, PASSWORD).status_code == 302


@NEEDS_NGINX
def test_a_batch_in_gzip_passes_and_a_body_over_the_limit_does_not(proxy: Proxy, browser: httpx.Client) -> None:
    batch = {"batch_id": str(uuid4()), "client_id": str(uuid4()), "sent_at": datetime.now(UTC).isoformat()}
    body = gzip.compress(json.dumps(batch | {"events": batch_of("packed")}).encode())
    key = {"Authorization": f"Bearer {proxy.site.key}", "Content-Type": "application/json"}
    packed = browser.post("/api/v1/events", content=body, headers=key | {"Content-Encoding": "gzip"})
    assert (packed.status_code, len(packed.json()["accepted"])) == (200, 10)
    assert browser.post("/api/v1/events", content=b" " * 4_194_305, headers=key).status_code == 413


@NEEDS_NGINX
def test_the_plugin_reports_through_it(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(proxy.certificate))  # as with any private certificate
    process = AgentProcess("proxied", url=proxy.url, key=proxy.site.key, state_dir=tmp_path, exit_flush_seconds="60")
    process.call(100)
    process.exit()
    assert process.log == ""
    assert proxy.site.recorded("proxied") == exactly(100)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="install Debian's systemd")
@pytest.mark.parametrize("unit", sorted(path.name for path in DEPLOY.glob("*.service")))
def test_systemd_takes_every_line_of_the_unit(unit: str, tmp_path: Path) -> None:
    text = (DEPLOY / unit).read_text().replace("/opt/costsite/.venv/bin/python", unit_command(unit)[0])
    (tmp_path / unit).write_text(text.replace("/opt/costsite", str(ROOT)))
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(tmp_path / unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (said.returncode, said.stdout, said.stderr) == (0, "", ""), "it only warns of a line that it does not know"


def test_the_units_share_the_work_between_them(budgeted_site: LiveSite, tmp_path: Path) -> None:
    site = LiveSite(tmp_path / "site").copy(budgeted_site)
    command = unit_command("costsite-background.service")
    with subprocess.Popen(command, cwd=ROOT, env=site.environment(), stdout=subprocess.PIPE, text=True) as background:
        assert background.stdout is not None
        assert background.stdout.readline() == "Costsite works in the background (Ctrl-C stops it)\n"
        background.terminate()
        said, _ = background.communicate(timeout=120)
    assert (background.returncode, said) == (0, "Stopping.\n")
