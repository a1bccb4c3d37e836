"""What the project runs with is listed with its licence, locked by hash, and looked up among known vulnerabilities."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-oldest.lock")


def locked(name: str) -> list[Requirement]:
    text = (PROJECT / name).read_text(encoding="utf-8")
    return [Requirement(line.rstrip("\\ ")) for line in text.splitlines() if re.match(r"[a-z0-9]", line)]


def versions(requirements: list[Requirement]) -> set[tuple[str, str]]:
    return {(canonicalize_name(one.name), str(one.specifier).removeprefix("==")) for one in requirements}


def test_every_library_that_is_run_with_is_listed_with_its_licence() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (PROJECT / "docs/licences.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ][1:]
    listed = {(canonicalize_name(name), version) for name, version, *_ in rows}
    needed = versions([one for one in locked("requirements.lock") if one.marker is None])

    assert len(needed) > 60
    assert needed - listed == set(), "run `make licences`"
    assert listed - versions(locked("requirements.lock")) == set(), "run `make licences`"
    assert [name for name, _, licence, *_ in rows if licence in ("", "UNKNOWN")] == []


@pytest.mark.parametrize("name", LOCKS)
def test_locks_name_no_index_and_have_a_hash_of_every_library(name: str) -> None:
    text = (PROJECT / name).read_text(encoding="utf-8")
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]

    assert "://" not in text
    assert "-index" not in text
    assert len(entries) > 30
    assert [entry.partition("=")[0] for entry in entries if "--hash=sha256:" not in entry] == []


@contextmanager
def advisories(of: dict[str, Any]) -> Iterator[str]:
    """A server that knows what is wrong with libraries, by name, as osv.dev answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(of.get(asked["package"]["name"], {})).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
    server.shutdown()
    server.server_close()


def audit(address: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--silent", "--old-file=.venv/.tests", "audit", f"ARGS=--osv-url {address} --timeout 60"],
        cwd=PROJECT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_an_audit_says_what_it_found_and_whether_it_could_look() -> None:
    every_version = {"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}
    django = {"package": {"name": "django", "ecosystem": "PyPI"}, "ranges": [every_version]}
    known_bad = {"id": "GHSA-0000-0000-0000", "summary": "made up", "affected": [django]}
    with advisories({}) as nothing:
        good = audit(nothing)
    with advisories({"django": {"vulns": [known_bad]}}) as something:
        bad = audit(something)
    unreachable = audit("http://127.0.0.1:9/v1/query")

    assert (good.returncode, good.stdout) == (0, "Nothing is known against the locked libraries.\n"), good.stderr
    assert bad.returncode != 0
    assert "GHSA-0000-0000-0000" in bad.stdout, bad.stderr
    assert unreachable.returncode != 0
    assert "Not audited: the data could not be read." in unreachable.stderr
