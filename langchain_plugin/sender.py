"""The one thread that sends: it waits while events gather, looks for what dead processes left, and tries again.

Times that are kept are `time.monotonic()`, in seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue

from langchain_plugin.about_folder import describe_folder
from langchain_plugin.adoption import KEEP_SECONDS, Adoption
from langchain_plugin.config import Config
from langchain_plugin.delivery import Delivery
from langchain_plugin.errors import CheckFailed
from langchain_plugin.losses import Losses
from langchain_plugin.sayings import Sayings
from langchain_plugin.spool import Spool
from langchain_plugin.transport import ANSWER_SECONDS

SEND_AT_EVENTS = 250
"""So many do not wait for more."""
START_SECONDS = 1.0
"""Between attempts to start the thread. One that takes longer was cut short, by what a signal handler raised."""


class Sender:
    """Sends what waits in the spool, and what dead processes left. Started by the first event; a daemon."""

    def __init__(
        self,
        config: Config,
        spool: Spool,
        adoption: Adoption,
        losses: Losses,
        delivery: Delivery,
        wake: SimpleQueue[None],
    ) -> None:
        self._config = config
        self._spool = spool
        self._adoption = adoption
        self._losses = losses
        self._delivery = delivery
        self.after_fork(wake)

    def after_fork(self, wake: SimpleQueue[None]) -> None:
        self._wake = wake
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._starting_since = self._start_again_monotonic = 0.0
        self._is_to_stop = False
        self._turn = threading.Lock()
        """Only one thread sends at a time: at the interpreter's end it may be the main one."""
        self._settled = threading.Condition()
        """Told of when something may have left the spool, or a trouble have come."""
        self._hurried_until = 0.0
        """Somebody waits so long, and nothing gathers first."""
        self._gathering_since: float | None = None
        """Since when what waits has gathered; 0.0: for long enough; None: nothing that is known of."""
        self._look_monotonic = 0.0
        """When to look at the folder next."""
        self._looks = 0
        self._sayings = Sayings()

    @property
    def trouble(self) -> CheckFailed | None:
        """Why nothing can be sent now."""
        return self._delivery.patience.trouble

    def start(self) -> bool:
        """Start the thread if it does not run; False where none can be started, as at the interpreter's end."""
        self._is_to_stop = False
        if self._is_running():
            return True
        now = time.monotonic()
        if now < self._start_again_monotonic:
            return False
        since, self._starting_since = self._starting_since, now
        if not self._starting.acquire(blocking=False):
            if now - since < START_SECONDS:
                self._starting_since = since
                return True
            self._starting = threading.Lock()
            return self.start()
        try:
            if not self._is_running():  # another may have started it between the look and the lock
                thread = threading.Thread(target=self._run, name="costsite-sender", daemon=True)
                thread.start()
                self._thread = thread
        except RuntimeError:
            self._start_again_monotonic = now + START_SECONDS  # the process has as many threads as it may have
            return False
        finally:
            self._starting.release()
        return True

    def stop(self) -> None:
        """Have the thread end when it has done what it does now. Another is started with the next event."""
        self._is_to_stop = True
        self._wake.put(None)

    def flush(self, timeout: float, *, give_up_in_trouble: bool, with_left: bool = False) -> bool:
        """Send all that this process has appended so far; False when that took longer, or cannot be done now.

        Args:
            timeout: Seconds.
            give_up_in_trouble: Do not wait for a site that fails.
            with_left: Also what dead processes left.

        """
        mark = self._spool.mark()
        looks = self._looks
        if with_left:
            self._look_monotonic = 0.0

        def is_done() -> bool:
            if with_left and (self._looks == looks or self._adoption.pending):
                return False
            return self._spool.has_settled(mark)

        deadline = time.monotonic() + timeout
        self._delivery.patience.somebody_waits()
        if self.start():
            self.hurry(timeout)
            with self._settled:
                while not is_done():
                    left = deadline - time.monotonic()
                    if left <= 0 or (give_up_in_trouble and self.trouble is not None):
                        return False
                    self._settled.wait(left)
            return True
        # This thread sends, then; it waits for nothing to gather.
        while not is_done() and (left := deadline - time.monotonic()) > 0:
            with self._my_turn(left) as mine:
                if not mine:
                    break
                if with_left and self._looks == looks:
                    self._look()
                elif not self._send_next(timeout=left):
                    break
        return is_done()

    def drain(self, timeout: float) -> bool:
        """Adopt and send all there is in the folder, on this thread; False when `timeout` came first. For the command
        line.

        Raises:
            CheckFailed: The site cannot take it.

        """
        deadline = time.monotonic() + timeout
        with self._my_turn(timeout) as mine:
            if not mine:
                return False
            while True:
                self._look()
                # Of its own it has nothing but word of what was lost, which may wait for the next one.
                if not self._adoption.pending and (not self._spool.pending or self.trouble is not None):
                    return True
                while self._send_next(timeout=min(ANSWER_SECONDS, max(1.0, deadline - time.monotonic()))):
                    if time.monotonic() > deadline:
                        break
                trouble, retry_monotonic = self.trouble, self._delivery.patience.retry_monotonic
                if trouble is not None and (trouble.needs_a_person or retry_monotonic > deadline):
                    raise trouble
                if time.monotonic() > deadline:
                    return False
                time.sleep(max(0.0, retry_monotonic - time.monotonic()))

    def hurry(self, seconds: float = 1.0) -> None:
        """Somebody waits: do not gather first."""
        self._hurried_until = max(self._hurried_until, time.monotonic() + seconds)
        self._wake.put(None)

    # ── the thread ───────────────────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _my_turn(self, timeout: float) -> Iterator[bool]:
        """True where it is this thread's turn to send, within so many seconds."""
        mine = self._turn.acquire(timeout=max(0.0, timeout))
        try:
            yield mine
        finally:
            if mine:
                self._turn.release()

    def _run(self) -> None:
        while True:
            try:
                self._wait()
                if self._is_to_stop:
                    self._is_to_stop, self._thread = False, None
                    return
                with self._turn:
                    self._round()
            except Exception as error:  # ours: this thread outlives it, and the events stay where they are
                self._losses.count("bug")
                self._sayings.once(
                    "bug", f"Costsite's sender had an error ({type(error).__name__}); it goes on trying."
                )
                self._delivery.patience.broke()
                time.sleep(1)  # whatever it is, it must not become a busy loop in somebody's process

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _wait(self) -> None:
        """Until there is something to send and a reason to send it now, or files to look for."""
        while not self._is_to_stop and (pause := self._pause()) > 0:
            with suppress(Empty):
                self._wake.get(timeout=pause)

    def _pause(self) -> float:
        """Seconds to wait; the spool is armed to end the wait early."""
        now = time.monotonic()
        until_look = self._look_monotonic - now
        until_retry = self._delivery.patience.pause(hurried=self._is_hurried())
        if until_retry is not None:
            return min(until_retry, until_look)
        if self._adoption.pending:
            return 0.0
        if self._spool.arm(1):
            self._gathering_since = None
            return until_look
        if self._gathering_since is None:
            self._gathering_since = now
        until_send = self._gathering_since + self._config.send_after_seconds - now
        if self._is_hurried() or until_send <= 0 or not self._spool.arm(SEND_AT_EVENTS):
            return 0.0
        return min(until_send, until_look)

    def _is_hurried(self) -> bool:
        return time.monotonic() < self._hurried_until

    def _round(self) -> None:
        if time.monotonic() >= self._look_monotonic:
            self._look()
        if self._spool.complaint is not None:
            self._sayings.unwritable(self._spool.folder, self._spool.complaint)
        if self._spool.was_deleted:
            self._sayings.once(
                "deleted",
                f"Something deleted files in {self._spool.folder} in which events waited: Costsite wrote them again; "
                "keep cleaners away from that folder, or set COSTSITE_STATE_DIR to another.",
            )
        self._spool.seal()
        if self._pause() > 0:
            return  # it was only time to look
        went_on = self._send_next(timeout=ANSWER_SECONDS)
        # What failed or was halved has gathered long enough; what came in meanwhile gathers first.
        self._gathering_since = 0.0 if self.trouble is not None or (went_on and self._delivery.is_halved) else None

    def _look(self) -> None:
        """For files of dead processes, for what is too old, and for how much room is left."""
        self._look_monotonic = time.monotonic() + self._config.adopt_every_seconds
        describe_folder(self._config)
        self._spool.save_memory()
        self._spool.keep_named()
        self._adoption.look(except_for=self._spool.own_files())
        long_ago = time.monotonic() - KEEP_SECONDS
        failing_since = self._delivery.patience.failing_since
        if failing_since is not None and failing_since < long_ago:
            self._spool.expire(long_ago)
            self._adoption.expire(long_ago)
        self._spool.make_room(self._adoption.taken_bytes)
        self._delivery.note_losses()
        self._looks += 1
        self._tell_who_waits()

    def _send_next(self, *, timeout: float) -> bool:
        """Send one batch; True when there may be more to send at once."""
        may_be_more = self._delivery.send_next(timeout=timeout)
        self._tell_who_waits()
        return may_be_more

    def _tell_who_waits(self) -> None:
        with self._settled:
            self._settled.notify_all()
