"""What docs/deploy.md says, done on a machine with systemd: its commands, units and nginx's file as they are."""

from __future__ import annotations

import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.agents import AgentProcess
from tests.end_to_end.live_site import ROOT, Recorded, exactly
from tests.end_to_end.machine import Machine, why_not

WHY_NOT = why_not()
pytestmark = [
    pytest.mark.sqlite("it moves to PostgreSQL itself"),
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
]

UNITS = ("costsite-web", "costsite-background")
SECONDS = 300.0
"""For what takes a few where nothing else runs."""
NAME = "costs.example.com"
CERTIFICATE = f"""
install -d /etc/ssl/{NAME}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={NAME} \
    -addext subjectAltName=DNS:{NAME} -keyout /etc/ssl/{NAME}/privkey.pem -out /etc/ssl/{NAME}/fullchain.pem
install -m 644 /opt/costsite/examples/deploy/nginx.conf /etc/nginx/sites-enabled/costsite
echo 127.0.0.1 {NAME} >> /etc/hosts
systemctl enable --now nginx
"""
SHARED = f"""
echo 127.0.0.1 db.internal redis.internal >> /etc/hosts
systemctl enable --now postgresql redis-server
runuser -u postgres -- psql -qc "CREATE ROLE costsite LOGIN PASSWORD 'password'"
runuser -u postgres -- createdb -O costsite costsite
sed -i -e 's/^#DATABASE_URL/DATABASE_URL/' -e 's/^#REDIS_URL/REDIS_URL/' -e 's/^#COSTSITE_SECRET_KEY=.*//' \\
    /etc/costsite/environment
echo COSTSITE_SECRET_KEY={"s" * 50} >> /etc/costsite/environment
"""


NEEDS_SERVERS = pytest.mark.skipif(
    not (list(Path("/etc/postgresql").glob("*/main")) and shutil.which("redis-server")),
    reason="install Debian's postgresql, with the cluster that it makes, and redis-server",
)


def commands(heading: str) -> list[str]:
    """What a section of docs/deploy.md says to do, one for each of its blocks."""
    _, _, section = (ROOT / "docs" / "deploy.md").read_text().partition(f"\n## {heading}\n")
    found = re.findall(r"^```bash\n(.*?)^```", section.partition("\n## ")[0], re.MULTILINE | re.DOTALL)
    assert found, heading
    return found


def steps() -> tuple[str, str, str]:
    """Of putting it on one machine: what makes the user and the files, the function for root's shell, what uses it."""
    first, second = commands("One machine")
    shell, end, rest = second.partition("\n)\n")
    return first, shell + end, rest


def do(machine: Machine, *blocks: str) -> str:
    """A root's shell is given these, and stops at what fails."""
    person = {"DJANGO_SUPERUSER_USERNAME": "ada", "DJANGO_SUPERUSER_PASSWORD": "correct horse battery"}
    return machine.run("bash", "-euc", "\n".join(blocks), DJANGO_SUPERUSER_EMAIL="ada@example.com", **person)


RECORDED = """
from django.db.models import Count, Sum
from agents.models import AgentRunLog, LLMCall, UsageDay
def of(rows, **sums):
    return [value or 0 for value in rows.objects.filter(agent__slug={agent!r}).aggregate(**sums).values()]
calls = of(LLMCall, calls=Count("pk"), distinct=Count("call_id", distinct=True))
print(*calls, *of(AgentRunLog, a=Sum("calls")), *of(UsageDay, a=Sum("calls")), *of(LLMCall, a=Sum("input_tokens")))
"""


class Site:
    """What docs/deploy.md put in place."""

    def __init__(self, machine: Machine, key: str) -> None:
        self.machine, self.key = machine, key

    def manage(self, *arguments: str) -> str:
        """By the docs' own function for root's shell."""
        _, shell, _ = steps()
        return do(self.machine, shell, f"site {shlex.join(arguments)}")

    def agent(self, name: str, folder: Path) -> AgentProcess:
        """Of a process on that machine, which reaches the site by its name, over HTTPS."""
        return AgentProcess(
            name, url=f"https://{NAME}", key=self.key, state_dir=folder, exit_flush_seconds="60",
            python=self.machine.command(".venv/bin/python"),
        )  # fmt: skip

    def recorded(self, agent: str) -> Recorded:
        return Recorded(*map(int, self.manage("shell", "-v0", "-c", RECORDED.format(agent=agent)).split()))

    def ready(self) -> bool:
        """As a probe sees it past the proxy."""
        probe = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000/readyz', timeout=5).status)"
        return self.machine.try_to_run(".venv/bin/python", "-c", probe).stdout == "200\n"

    def both_are_up(self) -> bool:
        begun = (self.machine.journal(unit).count("Ctrl-C stops it") for unit in UNITS)
        return self.ready() and all(begun)


def finish(agent: AgentProcess) -> None:
    """All it has is sent. At its exit alone it would not wait for a site that has just failed."""
    assert agent.flush(SECONDS)
    agent.exit()


def until(holds: Callable[[], Any], machine: Machine) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, "\n".join(machine.journal(unit)[-3_000:] for unit in UNITS)
        time.sleep(0.2)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    machine = Machine(tmp_path_factory.mktemp("machine"))
    machine.install()
    first, shell, rest = steps()
    first, cloned = re.subn(r"^git clone .*\n", "", first, flags=re.MULTILINE)
    assert cloned == 1, "instead of it, `install` put the code there"
    machine.boot()
    try:
        said = do(machine, first, shell, rest.replace("createsuperuser", "createsuperuser --noinput"), CERTIFICATE)
        (key,) = re.findall(r"^\w+_\w{10}_\S+$", said, re.MULTILINE)
        site = Site(machine, key)
        until(site.both_are_up, machine)
        site.manage("set_budget", "acme", "--limit-cents", "100000000")
        yield site
    finally:
        machine.cut_its_power()


@pytest.fixture(autouse=True)
def _certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", f"/etc/ssl/{NAME}/fullchain.pem")  # as with any private certificate


@pytest.mark.parametrize("unit", UNITS)
def test_a_service_may_do_no_more_than_its_unit_says(site: Site, unit: str) -> None:
    machine = site.machine
    (user,) = machine.run("id", "-u", "costsite").split()
    processes = machine.processes(unit)
    assert len(processes) >= 2
    for pid in processes:
        status = dict(line.split(":\t", 1) for line in machine.run("cat", f"/proc/{pid}/status").splitlines())
        assert set(status["Uid"].split()) == {user}
        assert {int(status[name], 16) for name in status if name.startswith("Cap")} == {0}
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert "COSTSITE_TIME_ZONE=Europe/Berlin" in machine.run("cat", f"/proc/{processes[0]}/environ").split("\0")

    def seen_by_it(command: str) -> str:
        """What root itself is told where the service sees it."""
        return machine.run("sh", "-c", f"nsenter --target {processes[0]} --mount sh -c '{command}' 2>&1 || true")

    for place in ("/opt/costsite/stranger", "/etc/stranger", "/var/backups/costsite/stranger", "/usr/stranger"):
        assert "Read-only file system" in seen_by_it(f"touch {place}")
    assert seen_by_it("ls -A /root /home /run/user") == "/home:\n\n/root:\n\n/run/user:\n"
    assert seen_by_it("touch /var/lib/costsite/own && rm /var/lib/costsite/own") == ""


def test_nobody_else_reads_what_it_keeps(site: Site) -> None:
    kept = site.machine.run("find", "/var/lib/costsite", "/etc/costsite/environment", "-printf", "%U %m %y %p\\n")
    (user,) = site.machine.run("id", "-u", "costsite").split()
    rows = {name: (owner, mode) for owner, mode, _, name in (line.split(" ", 3) for line in kept.splitlines())}
    assert rows.pop("/etc/costsite/environment") == ("0", "640")
    assert rows["/var/lib/costsite/costsite.sqlite3"] == (user, "600")
    assert {owner for owner, _ in rows.values()} == {user}
    assert {mode for _, mode in rows.values()} <= {"700", "600"}, rows


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_starts_again_what_was_killed_and_nothing_of_it_is_left(site: Site, unit: str) -> None:
    machine = site.machine
    before, restarts = machine.processes(unit), int(machine.told(unit, "NRestarts")["NRestarts"])
    begun = machine.journal(unit).count("Ctrl-C stops it")
    machine.run("kill", "-KILL", machine.told(unit, "MainPID")["MainPID"])
    until(lambda: machine.journal(unit).count("Ctrl-C stops it") == begun + 1, machine)
    assert machine.told(unit, "NRestarts", "ActiveState") == {"NRestarts": str(restarts + 1), "ActiveState": "active"}
    assert not set(before) & set(machine.processes(unit))
    until(site.ready, machine)


def test_an_agents_events_arrive_once_though_the_web_service_is_killed_on_the_way(site: Site, tmp_path: Path) -> None:
    agent = site.agent("through-kills", tmp_path)
    for _ in range(3):
        agent.call(100)
        site.machine.run("systemctl", "kill", "--signal=KILL", "--kill-who=all", "costsite-web")
        agent.call(50)
        until(site.ready, site.machine)
    finish(agent)
    assert site.recorded("through-kills") == exactly(450)


def test_a_stop_is_in_time_and_loses_nothing(site: Site, tmp_path: Path) -> None:
    machine = site.machine
    agent = site.agent("through-a-stop", tmp_path)
    agent.call(200)
    machine.run("systemctl", "stop", *UNITS)
    for unit in UNITS:
        ended = machine.told(unit, "ActiveState", "Result", "ExecMainCode", "ExecMainStatus")
        assert ended == {"ActiveState": "inactive", "Result": "success", "ExecMainCode": "1", "ExecMainStatus": "0"}
        assert "Stopping." in machine.journal(unit)
        assert "killing it" not in machine.journal(unit)
    agent.call(50)
    machine.run("systemctl", "start", *UNITS)
    until(site.ready, machine)
    finish(agent)
    assert site.recorded("through-a-stop") == exactly(250)


def test_an_update_as_the_docs_have_it_keeps_a_copy_and_starts_again(site: Site, tmp_path: Path) -> None:
    agent = site.agent("through-an-update", tmp_path)
    agent.call(50)
    _, shell, _ = steps()
    update, taken = re.subn(r"^git .*\n", "", commands("Updating and going back")[0], flags=re.MULTILINE)
    assert taken == 1
    do(site.machine, shell, update)
    until(site.ready, site.machine)
    agent.call(50)
    finish(agent)
    assert site.recorded("through-an-update") == exactly(100)
    assert "costsite.sqlite3" in site.machine.run("sh", "-c", "ls /var/backups/costsite/*")


def test_both_are_there_after_the_machine_boots_again_with_all_that_was_acknowledged(
    site: Site, tmp_path: Path
) -> None:
    agent = site.agent("before-the-cut", tmp_path)
    agent.call(100)
    finish(agent)
    site.machine.cut_its_power()
    site.machine.boot()
    until(site.ready, site.machine)
    assert site.recorded("before-the-cut") == exactly(100)
    for command in ("rebuild_rollups", "rebuild_budget_periods"):
        site.manage(command, "--check")


@NEEDS_SERVERS
def test_they_go_over_to_postgresql_and_redis_by_the_lines_of_the_example_and_wait_for_them(
    site: Site, tmp_path: Path
) -> None:
    machine = site.machine
    do(machine, SHARED)
    site.manage("migrate")
    site.manage("create_workspace", "acme")
    shared = Site(machine, site.manage("create_api_key", "acme").strip())
    machine.run("systemctl", "restart", *UNITS)
    until(shared.ready, machine)
    agent = shared.agent("shared", tmp_path)
    agent.call(100)

    # No database: neither starts, and systemd goes on trying for as long as that takes.
    machine.run("systemctl", "stop", "postgresql@*", "redis-server")
    machine.run("systemctl", "restart", *UNITS)
    agent.call(50)
    until(lambda: all(int(machine.told(unit, "NRestarts")["NRestarts"]) >= 3 for unit in UNITS), machine)
    assert "cannot be used" in machine.journal("costsite-web")
    machine.run("systemctl", "start", "postgresql", "redis-server")
    until(shared.ready, machine)
    finish(agent)
    assert shared.recorded("shared") == exactly(150)
    for command in ("rebuild_rollups", "rebuild_budget_periods"):
        shared.manage(command, "--check")
