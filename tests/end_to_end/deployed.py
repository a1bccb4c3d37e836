"""The site as docs/deploy.md puts it in place: started by its unit's command, behind nginx with the example's file."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.end_to_end.live_site import ROOT, LiveSite, free_port

DEPLOY = ROOT / "examples" / "deploy"
WHY_NOT = "" if shutil.which("nginx") and shutil.which("openssl") else "install Debian's nginx and openssl"
MAIN = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


def unit_command(unit: str) -> list[str]:
    """ExecStart of a unit, with this Python."""
    (line,) = [line for line in (DEPLOY / unit).read_text().splitlines() if line.startswith("ExecStart=")]
    program, *arguments = shlex.split(line.removeprefix("ExecStart="))
    assert program == "/opt/costsite/.venv/bin/python"
    return [sys.executable, *arguments]


class DeployedSite(LiveSite):
    """Under the name localhost, for the name in the example does not resolve."""

    def web_command(self) -> list[str]:
        command = unit_command("costsite-web.service")
        command[command.index("--port") + 1] = str(self.port)
        return command

    def environment(self) -> dict[str, str]:
        given = dict(
            line.split("=", 1)
            for line in (DEPLOY / "environment").read_text().splitlines()
            if line and not line.startswith("#")
        )
        return super().environment() | given | {"COSTSITE_ALLOWED_HOSTS": "localhost"}

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


class Proxy:
    def __init__(self, folder: Path, site: LiveSite) -> None:
        self.folder, self.site = folder, site
        self.port, self.plain_port = free_port(), free_port()
        self.certificate = folder / "fullchain.pem"

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def configure(self) -> None:
        """The example's file, with its name, ports and certificate put in."""
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
             "-keyout", str(self.folder / "privkey.pem"), "-out", str(self.certificate)],
            check=True, capture_output=True,
        )  # fmt: skip
        text = (DEPLOY / "nginx.conf").read_text()
        for example, ours in {
            "listen 80;": f"listen 127.0.0.1:{self.plain_port};",
            "    listen [::]:80;\n": "",
            "listen 443 ssl http2;": f"listen 127.0.0.1:{self.port} ssl http2;",
            "    listen [::]:443 ssl http2;\n": "",
            "server 127.0.0.1:8000;": f"server 127.0.0.1:{self.site.port};",
            "/etc/ssl/costs.example.com": str(self.folder),
            "server_name costs.example.com;": "server_name localhost;",
        }.items():
            assert example in text, f"the example says {example!r} no more"
            text = text.replace(example, ours)
        (self.folder / "site.conf").write_text(text)
        user = "user root;\n" if os.geteuid() == 0 else ""
        (self.folder / "nginx.conf").write_text(user + MAIN.format(folder=self.folder))

    @contextmanager
    def running(self) -> Iterator[None]:
        self.configure()
        nginx = subprocess.Popen(
            ["nginx", "-e", "stderr", "-c", str(self.folder / "nginx.conf"), "-p", str(self.folder)]
        )
        try:
            deadline = time.monotonic() + 60
            while not self._answers():
                assert nginx.poll() is None, (self.folder / "error.log").read_text()
                assert time.monotonic() < deadline, "nginx did not answer"
                time.sleep(0.05)
            yield
        finally:
            nginx.terminate()
            nginx.wait(timeout=60)

    def _answers(self) -> bool:
        try:
            httpx.get(f"http://localhost:{self.plain_port}/", timeout=5)
        except httpx.TransportError:
            return False
        return True
