"""A machine with systemd as its first process, in namespaces of this one: what docs/deploy.md says is done in it.

Its disk is this machine's, and what it writes there goes to a folder of the test; network, processes and devices are
its own. Nothing of it is seen outside, and it ends with the test.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from tests.end_to_end.live_site import ROOT

SYSTEMD = Path("/lib/systemd/systemd")
BOOT = Path(__file__).with_name("boot_machine.sh")
OWN = ("--mount", "--pid", "--net", "--ipc", "--uts")
NEEDED = ("unshare", "nsenter", "setpriv", "runuser", "adduser", "mount", "nginx", "openssl")
BOOT_SECONDS = 120.0
PYTHON = "/opt/python"
"""Where the machine has this Python: the units hide /root and /home, where some have theirs."""
HOME = "/opt/costsite"


def cgroups() -> Path | None:
    """Where the cgroup2 hierarchy is mounted."""
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    return next((Path(place) for _, place, kind, *_ in mounts if kind == "cgroup2"), None)


def why_not() -> str:
    """Why there can be no such machine here; empty when there can."""
    if not SYSTEMD.exists():
        return "install Debian's systemd"
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        return f"install what has {', '.join(missing)}"
    if os.geteuid() != 0:
        return "only root can start a machine with systemd"
    if cgroups() is None:
        return "no cgroup2 hierarchy is mounted"
    with tempfile.TemporaryDirectory() as folder:
        overlay = "mkdir disk work root && mount -t overlay overlay -o lowerdir=/,upperdir=disk,workdir=work root"
        tried = subprocess.run(
            ["unshare", *OWN, "--cgroup", "--fork", "sh", "-c", overlay],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
    return f"no machine with systemd can be started here: {tried.stderr.strip()}" if tried.returncode else ""


class Machine:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._first = 0
        """Its first process, as this machine counts."""

    def install(self) -> None:
        """The code, as a clone has it, and a .venv of this Python with what is installed here. Before it boots."""
        home = self.folder / "disk" / HOME.lstrip("/")
        shutil.copytree(ROOT, home, ignore=shutil.ignore_patterns(".*", "__pycache__", "var", "*.egg-info"))
        venv = home / ".venv"
        libraries = venv / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
        (venv / "bin").mkdir(parents=True)
        (venv / "bin" / "python").symlink_to(f"{PYTHON}/bin/python{sys.version_info[0]}.{sys.version_info[1]}")
        (venv / "pyvenv.cfg").write_text(f"home = {PYTHON}/bin\ninclude-system-site-packages = false\n")
        # One that has its own library below a hidden place finds it here.
        manager = self.folder / "disk" / "etc" / "systemd" / "system.conf.d"
        manager.mkdir(parents=True)
        (manager / "python.conf").write_text(f"[Manager]\nDefaultEnvironment=LD_LIBRARY_PATH={PYTHON}/lib\n")
        self._shown = {sys.base_prefix: PYTHON, sysconfig.get_path("purelib"): f"{HOME}/{libraries.relative_to(home)}"}

    def boot(self) -> None:
        """Returns when it has started what is enabled. What it wrote before is there."""
        hierarchy = cgroups()
        assert hierarchy is not None
        self._group = Path(tempfile.mkdtemp(prefix="costsite-tests-", dir=hierarchy))
        shown = [f"{source}={place}" for source, place in self._shown.items()]
        with (self.folder / "boot.log").open("ab") as log:
            self._started = subprocess.Popen(
                # It ends when this process does, however that ends.
                ["setpriv", "--pdeathsig", "KILL", "unshare", *OWN, "--fork", "--kill-child",
                 "bash", str(BOOT), str(self.folder), str(self._group), *shown],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + BOOT_SECONDS
        while not self._is_up():
            assert self._started.poll() is None, (self.folder / "boot.log").read_text()
            assert time.monotonic() < deadline, "the machine did not boot"
            time.sleep(0.1)

    def cut_its_power(self) -> None:
        """Every process of it is gone at once."""
        # Its first process is waited for, and ends as the last one: `unshare`, killed itself, would wait for nothing.
        os.kill(self._first or self._started.pid, signal.SIGKILL)
        self._started.wait(timeout=60)
        self._first = 0
        for below in (*sorted((path for path in self._group.rglob("*") if path.is_dir()), reverse=True), self._group):
            below.rmdir()

    def command(self, *command: str) -> list[str]:
        """What runs a command in it, as root, in /opt/costsite."""
        return [
            "nsenter", "--target", str(self._first), "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup",
            "env", "-C", HOME, f"LD_LIBRARY_PATH={PYTHON}/lib", *command,
        ]  # fmt: skip

    def run(self, *command: str, **environment: str) -> str:
        """What it printed; it must succeed."""
        ran = self.try_to_run(*command, **environment)
        assert ran.returncode == 0, (command, ran.stdout[-2_000:], ran.stderr[-2_000:])
        return ran.stdout

    def told(self, unit: str, *properties: str) -> dict[str, str]:
        """What systemd says of a unit."""
        said = self.run("systemctl", "show", unit, *(f"--property={name}" for name in properties))
        return dict(line.split("=", 1) for line in said.splitlines())

    def journal(self, unit: str) -> str:
        return self.run("journalctl", "--unit", unit, "--output", "cat", "--no-pager")

    def processes(self, unit: str) -> list[int]:
        """Of a unit, as the machine counts them."""
        group = self.told(unit, "ControlGroup")["ControlGroup"]
        return [int(line) for line in self.run("cat", f"/sys/fs/cgroup{group}/cgroup.procs").split()]

    def try_to_run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        plain = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            self.command(*command),
            env=plain | environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1_200,
            check=False,
        )  # fmt: skip

    def _is_up(self) -> bool:
        children = Path(f"/proc/{self._started.pid}/task/{self._started.pid}/children").read_text().split()
        if not children:
            return False
        self._first = int(children[0])
        return self.try_to_run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")
