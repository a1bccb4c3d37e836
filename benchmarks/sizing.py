"""How large a site must be: processor time, disk and memory, on SQLite and on PostgreSQL.

    python benchmarks/sizing.py [--calls 100000]

For each database a site of its own, web and background service, takes so many calls over HTTP, in batches of a hundred
as the plugin packs them (five calls to a run), under a budget; four clients at once. Printed: the calls that one core
takes in a second, by the CPU time of the site and, with PostgreSQL, of its server; what a call adds to the database,
once SQLite's journal is folded in; and the memory of each service at the end (PSS: what processes share is counted
once). About three minutes.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from processes import cpu_nanoseconds, tree

if TYPE_CHECKING:
    from tests.end_to_end.live_site import LiveSite

SIZE = 100
CLIENTS = 4


def take_in(site: LiveSite, calls: int) -> None:
    import httpx
    from ingest import POSTED, body_of

    each = calls // CLIENTS // SIZE
    problems: list[BaseException] = []

    def report() -> None:
        try:
            with httpx.Client(headers={"Authorization": f"Bearer {site.key}"} | POSTED, timeout=60) as http:
                for _ in range(each):
                    body = body_of(SIZE, run_events=False)
                    while (answer := http.post(f"{site.url}/api/v1/events", content=body)).status_code == 503:
                        pass
                    assert answer.status_code == 200, answer.text
                    assert len(answer.json()["accepted"]) == SIZE
        except BaseException as error:
            problems.append(error)

    clients = [threading.Thread(target=report) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    if problems:
        raise problems[0]


def proportional_kb(leader: int) -> int:
    """Of a process and all it made."""
    found = 0
    for pid in tree(leader):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                found += int(line.split()[1])
    return found


@contextmanager
def a_site(folder: Path, database_url: str) -> Iterator[LiveSite]:
    from tests.end_to_end.live_site import LiveSite

    site = LiveSite(folder, database_url=database_url)
    folder.mkdir()
    site.prepare()
    if not database_url:
        site.manage("migrate", "-v0", "--database", "queue")
    site.manage("set_budget", "acme", "--limit-cents", "1000000000")
    site.start()
    try:
        yield site
    finally:
        site.stop()


def stored_bytes(site: LiveSite) -> int:
    if site.database_url:
        import psycopg

        with psycopg.connect(site.database_url, autocommit=True) as server:
            server.execute("VACUUM")
            (size,) = server.execute("SELECT pg_database_size(current_database())").fetchone() or (0,)
        return int(size)
    file = site.state_dir / "costsite.sqlite3"
    connection = sqlite3.connect(file, timeout=60)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return int(file.stat().st_size)


def measure(name: str, site: LiveSite, calls: int, server: Path | None) -> None:
    from postgresql_writers import server_nanoseconds

    from tests.end_to_end.background import background_of

    with background_of(site) as (background,):
        take_in(site, calls // 10)  # caches, prices, prepared pages
        size = stored_bytes(site)

        def spent() -> int:
            return cpu_nanoseconds(site.pid) + (server_nanoseconds(server) if server else 0)

        begun = spent()
        take_in(site, calls)
        per_call = (spent() - begun) / 1_000 / calls
        print(
            f"{name}: {per_call:.0f} µs of CPU a call, {1e6 / per_call:,.0f} calls a second and core;"
            f" {(stored_bytes(site) - size) / calls:,.0f} bytes a call in the database;"
            f" web {proportional_kb(site.pid) / 1024:.0f} MB,"
            f" background {proportional_kb(background.pid) / 1024:.0f} MB",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=100_000)
    arguments = parser.parse_args()
    from tests.postgresql import running_server

    with tempfile.TemporaryDirectory(prefix="costsite-sizing-") as folder:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "costsite.settings", "COSTSITE_STATE_DIR": folder, "DATABASE_URL": ""}
        os.environ["COSTSITE_LOG_LEVEL"] = "WARNING"  # an HTTP client says every request at INFO
        import django

        django.setup()
        with a_site(Path(folder) / "sqlite", "") as site:
            measure("SQLite", site, arguments.calls, None)
        with running_server() as server, a_site(Path(folder) / "postgresql", server.url) as site:
            measure("PostgreSQL", site, arguments.calls, server.data)


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    sys.path[:0] = [str(here.parent), str(here)]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(here.parent), os.environ.get("PYTHONPATH", "")])
    main()
