"""A site as it stands behind a proxy that speaks HTTPS: a real server with the production settings."""

from __future__ import annotations

import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.live_site import LiveSite

HOST = "costs.example.com"
PASSWORD = "correct horse battery"


@dataclass
class BehindHttps(LiveSite):
    def environment(self) -> dict[str, str]:
        names = f"{HOST},127.0.0.1"
        return super().environment() | {"COSTSITE_HTTPS": "true", "COSTSITE_ALLOWED_HOSTS": names}

    def _answers(self) -> bool:
        return self.ask("/login/")[0] == 200

    def ask(self, path: str, form: dict[str, str] | None = None, **headers: str) -> tuple[int, Message, str]:
        """As the proxy passes it on; 0 while nothing answers."""
        sent = {"Host": HOST, "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        body = urllib.parse.urlencode(form).encode() if form is not None else None
        opener = urllib.request.build_opener(_Stay)
        try:
            with opener.open(urllib.request.Request(self.url + path, body, sent), timeout=60) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode()
        except OSError:
            return 0, Message(), ""


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Tell where one is sent, and do not go there."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BehindHttps]:
    site = BehindHttps(tmp_path_factory.mktemp("site"))
    site.prepare()
    make = f"from django.contrib.auth.models import User; User.objects.create_user('olive', password='{PASSWORD}')"
    site.manage("shell", "-v0", "-c", make)
    site.start()
    yield site
    site.kill()


def log_in(site: BehindHttps, password: str) -> tuple[int, list[str]]:
    """The status, and the cookies that were set on the way."""
    _, headers, page = site.ask("/login/")
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token is not None
    form = {"csrfmiddlewaretoken": token[1], "username": "olive", "password": password}
    cookie = str(headers["Set-Cookie"]).partition(";")[0]
    status, answer, _ = site.ask("/login/", form, Cookie=cookie, Referer=f"https://{HOST}/login/")
    return status, [str(headers["Set-Cookie"]), *map(str, answer.get_all("Set-Cookie") or [])]


def test_cookies_travel_on_https_alone_and_to_the_site_alone(site: BehindHttps) -> None:
    status, cookies = log_in(site, PASSWORD)

    assert status == 302
    assert {cookie.partition("=")[0] for cookie in cookies} >= {"sessionid", "csrftoken"}
    for cookie in cookies:
        assert "; Secure" in cookie, cookie
        assert "; SameSite=Lax" in cookie, cookie
        assert "; HttpOnly" in cookie or cookie.startswith("csrftoken="), cookie


def test_a_browser_is_told_to_stay_on_https_and_led_there(site: BehindHttps) -> None:
    _, headers, _ = site.ask("/login/")
    status, plain, _ = site.ask("/login/", X_Forwarded_Proto="http")

    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    assert (headers["X-Frame-Options"], headers["X-Content-Type-Options"]) == ("DENY", "nosniff")
    assert headers["Referrer-Policy"] == "same-origin"
    assert (status, plain["Location"]) == (301, f"https://{HOST}/login/")


def test_another_host_is_refused(site: BehindHttps) -> None:
    assert site.ask("/login/", Host="evil.example.com")[0] == 400


def test_guessing_a_password_is_slowed_down(site: BehindHttps) -> None:
    assert [log_in(site, f"guess {number}")[0] for number in range(10)] == [200] * 9 + [429]
    assert log_in(site, PASSWORD)[0] == 429


def test_the_secret_is_made_for_each_site_and_is_in_no_source(site: BehindHttps, tmp_path: Path) -> None:
    other = BehindHttps(tmp_path)
    other.manage("check")

    ours, theirs = ((one.state_dir / "secret_key").read_text() for one in (site, other))

    assert ours != theirs
    assert min(len(ours), len(theirs)) >= 50
    assert (site.state_dir / "secret_key").stat().st_mode & 0o077 == 0
    source = (Path(__file__).resolve().parents[2] / "costsite" / "settings.py").read_text()
    assert "insecure" not in source
    assert re.findall(r"^SECRET_KEY = .*$", source, re.MULTILINE) == ["SECRET_KEY = _secret_key()"]
