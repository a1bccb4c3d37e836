"""`manage.py serve` as a real process: web and background work live and die together."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from costsite.serve import readiness
from tests.end_to_end.live_site import free_port
from tests.factories import llm_call
from tests.own_site import database_url, databases_of, make_tables, surroundings

PROJECT = Path(__file__).resolve().parents[2]
MANAGE = [sys.executable, str(PROJECT / "manage.py")]


@dataclass
class Site:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def get(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=40) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def members(self) -> dict[int, str]:
        """Every process that descends from serve: id and command line. Found by their environment, so orphans count."""
        found = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    environment, command = (folder / "environ").read_bytes(), (folder / "cmdline").read_bytes()
                    zombie = (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
                except (FileNotFoundError, ProcessLookupError, PermissionError):
                    continue
                if f"COSTSITE_STATE_DIR={self.log.parent}\0".encode() in environment + b"\0" and not zombie:
                    found[int(folder.name)] = command.replace(b"\0", b" ").decode()
        return found

    def leader(self, module: str) -> int:
        """The first process of a service: the one whose parent is serve."""
        for pid, command in self.members().items():
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            if module in command and parent == self.process.pid:
                return pid
        raise AssertionError(f"{module} does not run: {self.members()}")

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def has_started(self) -> bool:
        assert self.process.poll() is None, f"serve ended: {self.said()}"
        # django-q2 says "running" when its workers, monitor and pusher are up.
        return "Listening" in self.said() and " running." in self.said() and answers(self)


def answers(site: Site) -> bool:
    try:
        return site.get("/login/") == 200
    except OSError:
        return False


def until(holds: Callable[[], bool], seconds: float = 120.0, what: str = "it") -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds} s"
        time.sleep(0.1)


def start(folder: Path, **settings: str) -> Site:
    port = free_port()
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*MANAGE, "serve", "--port", str(port)],
            env=surroundings(folder, **settings), cwd=folder, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    return Site(process, port, log)


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[Site]:
    make_tables(folder)
    site = start(folder, **settings)
    try:
        until(site.has_started, what="start")
        yield site
    finally:
        for pid in site.members():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        site.process.wait()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for the tests that leave it running: what they kill comes back."""
    with running(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    with running(tmp_path) as site:
        yield site


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_it_stops_with_everything_it_started(own_site: Site, how: signal.Signals) -> None:
    assert len(own_site.members()) >= 8, (
        "serve, web and its worker, the cluster with sentinel, monitor, pusher, workers"
    )

    own_site.process.send_signal(how)

    assert own_site.process.wait(timeout=120) == 0
    assert own_site.members() == {}
    assert "Stopping." in own_site.said()


def test_everything_it_started_goes_when_it_is_killed(own_site: Site) -> None:
    own_site.process.kill()
    own_site.process.wait()

    until(lambda: own_site.members() == {}, seconds=120, what="the end of every process")


@pytest.mark.parametrize(
    ("module", "name"),
    [("costsite.serve.web", "The web service"), ("costsite.serve.background", "The background service")],
)
def test_a_service_that_dies_is_started_again_without_leaving_orphans(site: Site, module: str, name: str) -> None:
    before = site.members()
    first = site.leader(module)
    family = {pid for pid in before if os.getpgid(pid) == first}

    os.kill(first, signal.SIGKILL)

    until(lambda: f"{name} was killed by SIGKILL; starting it again in 1 s." in site.said(), what="the news of it")
    until(lambda: not family & set(site.members()), what="the end of its children")
    until(lambda: any(module in command for command in site.members().values()), what="its return")
    until(lambda: answers(site), what="an answer")
    assert site.process.poll() is None
    assert site.leader(module) != first


def test_a_web_process_that_dies_is_made_again(site: Site) -> None:
    leader = site.leader("costsite.serve.web")
    worker = next(pid for pid in site.members() if os.getpgid(pid) == leader and pid != leader)

    os.kill(worker, signal.SIGKILL)

    until(lambda: worker not in site.members() and answers(site), what="an answer from a new process")
    assert site.leader("costsite.serve.web") == leader


def test_threads_share_what_memory_the_process_keeps(site: Site) -> None:
    leader = site.leader("costsite.serve.web")
    worker = next(pid for pid in site.members() if os.getpgid(pid) == leader and pid != leader)

    assert b"MALLOC_ARENA_MAX=2" in Path(f"/proc/{worker}/environ").read_bytes().split(b"\0")


def test_the_access_log_has_paths_but_neither_queries_nor_keys(site: Site) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{site.port}/login/?next=/secret-place", headers={"Authorization": "Bearer cs_secret-key"}
    )
    urllib.request.urlopen(request, timeout=60).close()

    until(lambda: '"GET /login/" 200' in site.said(), what="the line of the request")
    assert "secret" not in site.said()


def test_a_path_cannot_write_lines_of_its_own_into_the_log(site: Site) -> None:
    assert site.get("/no%0Asuch%1B%5B31mpage") == 404

    until(lambda: '"GET /no%0Asuch%1B%5B31mpage" 404' in site.said(), what="the line of the request")
    assert "\x1b" not in site.said()


@pytest.mark.parametrize("path", ["/%D9%A3", "/runs/%D9%A3/", "/%C3%A9%F0%9F%A6%9C", "/%ff%fe"])
def test_a_path_in_any_script_is_a_path(site: Site, path: str) -> None:
    assert site.get(path) in (302, 404)

    until(lambda: f'"GET {path.upper()}" 404' in site.said().upper(), what="the line of the request")


@contextmanager
def connections(site: Site, count: int, sent: bytes) -> Iterator[list[socket.socket]]:
    """So many clients that have sent this much, and wait."""
    waiting: list[socket.socket] = []
    try:
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", site.port), timeout=60)
            client.sendall(sent)
            waiting.append(client)
        yield waiting
    finally:
        for client in waiting:
            client.close()


@pytest.mark.parametrize(
    ("count", "sent"),
    [
        (40, b"POST /login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx"),
        (40, b"POST /login/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nx"),
        (40, b"POST /login/ HTTP/1.1\r\nHost: local"),
        (300, b""),
        (300, b"GET /login/ HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ],
    ids=["bodies that do not come", "chunks that do not come", "half a head", "nothing", "kept-alive connections"],
)
def test_clients_that_wait_do_not_keep_others_out(site: Site, count: int, sent: bytes) -> None:
    with connections(site, count, sent):
        assert [site.get("/login/") for _ in range(5)] == [200] * 5, "before those that wait are closed"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n", b"413"),
        (b"GET /login/ HTTP/1.1\r\nHost: localhost\r\nCookie: " + b"c" * 70_000, b"431"),
        (b"POST /login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: many\r\n\r\n", b"400"),
    ],
    ids=["a body too large", "a head too large", "a length that is none"],
)
def test_what_is_too_large_is_refused_before_it_is_read(site: Site, sent: bytes, status: bytes) -> None:
    with connections(site, 1, sent) as (client,):
        assert client.recv(65_536).split(maxsplit=2)[1] == status
        assert site.get("/login/") == 200


@pytest.mark.parametrize("path", ["/login/", "/no-such-page", "/static/admin/css/base.css"])
def test_an_answer_to_head_has_no_body_and_the_connection_is_kept(site: Site, path: str) -> None:
    head = f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = "GET /login/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with connections(site, 1, (head + last).encode()) as (client,):
        answer = whole_answer(client)
    first, page = answer.split(b"\r\n\r\n", 1)
    length = re.search(rb"Content-Length: (\d+)", first)
    assert length is not None
    assert int(length[1]) > 0
    assert page.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/api/v1/no-such-endpoint"])
def test_an_answer_to_head_has_no_body_where_its_length_is_not_known(site: Site, path: str) -> None:
    with connections(site, 1, f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()) as (
        client,
    ):
        answer = whole_answer(client)
    assert answer.startswith(b"HTTP/1.1 ")
    assert answer.endswith(b"\r\n\r\n")
    assert answer.count(b"\r\n\r\n") == 1


def test_passwords_are_checked_two_at_a_time_and_the_others_are_answered_at_once(site: Site) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{site.port}/login/", timeout=60) as answer:
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', answer.read().decode())
    assert token is not None

    def attempt(number: int) -> tuple[int, str | None]:
        form = f"csrfmiddlewaretoken={token[1]}&username=nobody-{number}&password=guess".encode()
        request = urllib.request.Request(f"http://127.0.0.1:{site.port}/login/", form, {"Cookie": cookie})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return int(answer.status), None
        except urllib.error.HTTPError as error:
            return error.code, error.headers["Retry-After"]

    with ThreadPoolExecutor(40) as people:
        said = [people.submit(attempt, number) for number in range(40)]
        assert site.get("/healthz") == 200
        answers = Counter(one.result() for one in said)
    assert set(answers) == {(200, None), (429, "2")}, "asked again, as the name is nobody's; or to come again"


def test_a_request_that_came_in_whole_is_answered_before_the_site_stops(own_site: Site) -> None:
    ask = b"GET /login/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connections(own_site, 20, ask) as waiting:
        until(lambda: '"GET /login/" 200' in own_site.said(), what="the first answer")
        own_site.process.send_signal(signal.SIGTERM)

        answers = [client.recv(65_536) for client in waiting]

    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 200"] * 20
    assert own_site.process.wait(timeout=120) == 0


def manage(site: Site, *arguments: str) -> str:
    return subprocess.run(
        [*MANAGE, *arguments], env=surroundings(site.log.parent), check=True, capture_output=True, text=True
    ).stdout.strip()


def new_key(site: Site) -> str:
    manage(site, "create_workspace", "acme")
    return manage(site, "create_api_key", "acme")


def post_of_a_call(key: str) -> bytes:
    """A request with a batch of one call."""
    now = datetime.now(UTC).isoformat()
    call = llm_call().model_dump(mode="json") | {"started_at": now, "ended_at": now}
    body = json.dumps({"batch_id": str(uuid4()), "client_id": str(uuid4()), "sent_at": now, "events": [call]}).encode()
    head = (
        f"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def whole_answer(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65_536), b""))


@pytest.mark.sqlite("its database is a file")
def test_a_database_file_that_is_replaced_while_it_is_served_takes_nothing_in(own_site: Site) -> None:
    key = new_key(own_site)
    database = own_site.log.parent / "costsite.sqlite3"
    copy = shutil.copy(database, database.with_name("copy.sqlite3"))
    with connections(own_site, 1, post_of_a_call(key)) as (client,):
        assert whole_answer(client).startswith(b"HTTP/1.1 200")

    Path(copy).replace(database)

    with connections(own_site, 1, post_of_a_call(key)) as (client,):
        answer = whole_answer(client)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b'"code":"database_replaced"' in answer
    assert own_site.get("/login/") == 503
    assert "was replaced, moved or deleted while the site runs; nothing is written. Stop the site" in own_site.said()


def test_a_request_that_hangs_does_not_keep_the_port_from_the_next_site(own_site: Site) -> None:
    """Killed with a batch in hand that waits for the database, which may take it 20 s; somebody starts it again."""
    post = post_of_a_call(new_key(own_site))
    with held_up(own_site.log.parent), connections(own_site, 1, post) as (hanging,):
        assert own_site.get("/login/") == 200, "and so the batch is at the database"
        own_site.process.kill()
        own_site.process.wait()

        until(lambda: can_listen(own_site.port), seconds=120, what="a free port")
        hanging.setblocking(False)
        with pytest.raises(BlockingIOError):
            hanging.recv(1)  # free while the batch still hangs, not because it was given up


@contextmanager
def held_up(folder: Path) -> Iterator[None]:
    """Whoever writes to the ledger waits."""
    if url := database_url(folder):
        with psycopg.connect(url) as connection:
            connection.execute("LOCK TABLE agents_llmcall")
            yield
    else:
        with (folder / "costsite.sqlite3.write-lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def can_listen(port: int) -> bool:
    try:
        readiness.require_free("127.0.0.1", port)
    except readiness.NotReadyError:
        return False
    return True


def test_static_files_are_served_without_collecting_them(site: Site) -> None:
    assert site.get("/static/admin/css/base.css") == 200
    assert site.get("/static/no-such-file.css") == 404


def ticked(site: Site) -> bool:
    count = "from django_q.models import Task; print('ticks', Task.objects.filter(func='costsite.tasks.tick').count())"
    ran = subprocess.run(
        [*MANAGE, "shell", "-v0", "-c", count], env=surroundings(site.log.parent), capture_output=True, text=True
    )
    return bool(re.search(r"ticks [1-9]", ran.stdout))


def test_the_background_service_ticks(site: Site) -> None:
    until(lambda: ticked(site), seconds=180, what="a tick")


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no Redis is installed: install Debian's redis-server")
def test_with_redis_it_starts_and_ticks_too(tmp_path: Path) -> None:
    port = free_port()
    redis = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    try:
        with running(tmp_path, REDIS_URL=f"redis://127.0.0.1:{port}/0") as site:
            until(lambda: ticked(site), seconds=180, what="a tick through Redis")
    finally:
        redis.kill()
        redis.wait()


def test_it_refuses_without_migrations_and_says_which_commands_mend_that(tmp_path: Path) -> None:
    refused = start(tmp_path)

    assert refused.process.wait(timeout=120) == 1
    command = shlex.join([sys.executable, str(PROJECT / "manage.py"), "migrate", "--database"])
    assert " && ".join(f"{command} {name}" for name in databases_of(tmp_path)) in refused.said()
    assert "Traceback" not in refused.said()


def test_it_refuses_a_port_in_use_and_names_the_next(tmp_path: Path) -> None:
    make_tables(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = subprocess.run(
            [*MANAGE, "serve", "--port", str(port)],
            env=surroundings(tmp_path),
            capture_output=True,
            text=True,
            timeout=120,
        )

    assert refused.returncode == 1
    assert f"Port {port} on 127.0.0.1 is taken" in refused.stderr
    assert f"--port {port + 1} (with make: PORT={port + 1})" in refused.stderr


def test_it_refuses_settings_that_fail_the_checks(tmp_path: Path) -> None:
    refused = subprocess.run(
        [*MANAGE, "serve"],
        env=surroundings(tmp_path, COSTSITE_TIME_ZONE="Mars/Olympus"),
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert refused.returncode == 1
    assert "COSTSITE_TIME_ZONE is 'Mars/Olympus'; set it to a zone such as \"Europe/Berlin\"." in refused.stderr
