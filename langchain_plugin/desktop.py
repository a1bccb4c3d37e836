"""Shows on this desktop that a line of a budget was passed, where `desktop_notifications` asks for it.

A process of its own shows it (`desktop_courier`): what plyer imports, warns of and waits for is none of the agent's
business. Each line is shown once on a machine, whichever of its processes hears of it first. What cannot be shown is
said in the log instead, and why.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_plugin.own_file import make_folder, open_own
from langchain_plugin.server_words import clean_words

if TYPE_CHECKING:
    from langchain_plugin.wire import LinePassed

logger = logging.getLogger("costsite")

FOLDER_NAME = "lines_shown"
SHOWING_SECONDS = 20.0
MAX_REMEMBERED = 1_000
"""Lines; the site tells of those of the last quarter of an hour."""
NO_PLYER = "plyer is not installed; run `pip install 'costsite[desktop]'`"
NO_PYTHON = "this program is packed without a Python to start"


class Desktop:
    """Of one process and site."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER_NAME
        self._shown: set[int] = set()
        self._said: set[str] = set()

    def tell(self, lines: Iterable[LinePassed]) -> None:
        """Show lines that nobody on this machine has shown. Waits for nothing but the start of a process."""
        for line in lines:
            if self._is_first(line.crossing_id):
                self._show(clean_words(line.title), clean_words(line.body))

    def _is_first(self, crossing_id: int) -> bool:
        if crossing_id in self._shown:
            return False
        if len(self._shown) >= MAX_REMEMBERED:
            self._shown.clear()
        self._shown.add(crossing_id)
        try:
            make_folder(self._folder)
            os.close(open_own(self._folder / str(crossing_id), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        except OSError:
            return True  # rather twice than never
        self._forget_old()
        return True

    def _forget_old(self) -> None:
        with suppress(OSError):
            marks = sorted(self._folder.iterdir(), key=lambda mark: mark.stat().st_mtime)
            for mark in marks[:-MAX_REMEMBERED]:
                mark.unlink()

    def _show(self, title: str, body: str) -> None:
        problem = NO_PLYER if find_spec("plyer") is None else NO_PYTHON if _is_packed() else ""
        if problem:
            self._log(body, problem)
            return
        order = json.dumps({"title": title, "body": body, "seconds": SHOWING_SECONDS})
        try:
            process = _courier(order.encode())
        except OSError as error:
            self._log(body, f"no process can be started ({type(error).__name__})")
            return
        thread = threading.Thread(target=self._wait_for, args=(process, body), name="costsite-desktop", daemon=True)
        with suppress(RuntimeError):  # the interpreter ends: it is shown all the same, and nobody asks whether it was
            thread.start()

    def _wait_for(self, process: subprocess.Popen[bytes], body: str) -> None:
        try:
            said, _ = process.communicate(timeout=SHOWING_SECONDS)
            problem = clean_words(said.decode(errors="replace"))
            if process.returncode and not problem:
                problem = f"what shows it ended with status {process.returncode}"
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            problem = "the desktop did not take it in time"
        if problem:
            self._log(body, problem)

    def _log(self, body: str, problem: str) -> None:
        logger.warning("%s", body)
        if problem not in self._said:
            self._said.add(problem)
            logger.warning(
                "Costsite cannot say that on this desktop: %s. Or set COSTSITE_DESKTOP_NOTIFICATIONS=false.", problem
            )


def _is_packed() -> bool:
    return bool(getattr(sys, "frozen", False)) or not sys.executable


def _courier(order: bytes) -> subprocess.Popen[bytes]:
    here = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        # -P: nothing in the folder that the agent runs in is taken for a library.
        [sys.executable, "-P", "-m", "langchain_plugin.desktop_courier"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
        start_new_session=True,  # a Ctrl-C is meant for the agent
    )
    stdin, process.stdin = process.stdin, None
    if stdin is not None:
        with suppress(BrokenPipeError), stdin:
            stdin.write(order)  # a few hundred bytes: a pipe takes them without waiting
    return process
