"""The one thread that talks to the site: it waits, gathers, sends, and lets go only of what a Receipt names."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from uuid import UUID

from langchain_plugin.about_folder import describe_folder
from langchain_plugin.adoption import KEEP_SECONDS, Adoption
from langchain_plugin.batch import Batch, gather
from langchain_plugin.config import Config
from langchain_plugin.errors import BatchRefused, CheckFailed, NoRoom
from langchain_plugin.fingerprints import Fingerprints
from langchain_plugin.fork_guard import no_fork
from langchain_plugin.json_lines import to_line
from langchain_plugin.losses import Losses, losses_line
from langchain_plugin.news import News
from langchain_plugin.patience import Patience
from langchain_plugin.rejected import RejectedEvent, keep_rejected
from langchain_plugin.sayings import Sayings
from langchain_plugin.server_words import clean_words
from langchain_plugin.spool import Spool
from langchain_plugin.transport import ANSWER_SECONDS, Transport, not_a_site
from langchain_plugin.versions import versions

if TYPE_CHECKING:
    from langchain_plugin import wire

logger = logging.getLogger("costsite")

SEND_AT_EVENTS = 250
"""So many do not wait for more."""
FINGERPRINT_WAIT_SECONDS = 1.0
START_SECONDS = 1.0
"""Between attempts to start the thread. One that takes longer was cut short, by what a signal handler raised."""


class Sender:
    """Sends what waits in the spool, and what dead processes left. Started by the first event; a daemon."""

    def __init__(
        self,
        config: Config,
        spool: Spool,
        adoption: Adoption,
        news: News,
        fingerprints: Fingerprints,
        losses: Losses,
        transport: Transport,
        wake: SimpleQueue[None],
        on_confirmed: Callable[[Sequence[str]], None] = lambda call_ids: None,
    ) -> None:
        self._on_confirmed = on_confirmed
        """Told the ids of the calls that the site has."""
        self._config = config
        self._spool = spool
        self._adoption = adoption
        self._news = news
        self._fingerprints = fingerprints
        self._losses = losses
        self._transport = transport
        self._versions: dict[str, str] = {}
        self.after_fork(wake)

    def after_fork(self, wake: SimpleQueue[None]) -> None:
        self._wake = wake
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._starting_since = self._start_again_monotonic = 0.0
        self._is_to_stop = False
        self._turn = threading.Lock()
        self._settled = threading.Condition()
        self._hurried_until = 0.0
        self._limit = 0
        """Events in a batch, after one was refused as a whole; 0: as many as may be."""
        self._gathering_since: float | None = None
        self._look_monotonic = 0.0
        self._looks = 0
        self._known_losses: dict[str, int] = {}
        """What was lost as far as the site was told, or a line in the spool tells."""
        self._patience = Patience(self._config.retry_max_seconds)
        self.sent = 0
        """Events that the site has taken, or had already."""
        self._sayings = Sayings()
        self._transport.after_fork()

    @property
    def trouble(self) -> CheckFailed | None:
        """Why nothing can be sent now."""
        return self._patience.trouble

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
        self._hurried_until = deadline
        self._patience.somebody_waits()
        if self.start():
            self._wake.put(None)
            with self._settled:
                while not is_done():
                    left = deadline - time.monotonic()
                    if left <= 0 or (give_up_in_trouble and self.trouble is not None):
                        return False
                    self._settled.wait(left)
            return True
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
        """Adopt and send all there is in the folder, on this thread; for the command line.

        Raises:
            CheckFailed: The site cannot take it.

        """
        deadline = time.monotonic() + timeout
        with self._my_turn(timeout):
            while True:
                self._look()
                # Of its own it has nothing but word of what was lost, which may wait for the next one.
                if not self._adoption.pending and (not self._spool.pending or self.trouble is not None):
                    return True
                while self._send_next(timeout=min(ANSWER_SECONDS, max(1.0, deadline - time.monotonic()))):
                    if time.monotonic() > deadline:
                        break
                trouble, retry_monotonic = self._patience.trouble, self._patience.retry_monotonic
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
        """Only one thread sends at a time: at the interpreter's end it may be the main one."""
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
                self._patience.broke()
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
        until_retry = self._patience.pause(hurried=self._is_hurried())
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
        self._gathering_since = 0.0 if self.trouble is not None or (went_on and self._limit) else None

    def _look(self) -> None:
        """For files of dead processes, for what is too old, and for how much room is left."""
        self._look_monotonic = time.monotonic() + self._config.adopt_every_seconds
        describe_folder(self._config)
        self._spool.save_memory()
        self._spool.keep_named()
        self._adoption.look(except_for=self._spool.own_files())
        long_ago = time.monotonic() - KEEP_SECONDS
        if self._patience.failing_since is not None and self._patience.failing_since < long_ago:
            self._spool.expire(long_ago)
            self._adoption.expire(long_ago)
        self._spool.make_room(self._adoption.taken_bytes)
        self.note_losses()
        self._looks += 1
        with self._settled:
            self._settled.notify_all()

    def note_losses(self) -> None:
        """Leave word in the spool of what was lost and the site was not told yet: this process may be killed."""
        dropped = self._losses.by_reason()
        if dropped == self._known_losses:
            return
        health = {**self._health(Batch()), "dropped": dropped, "spool_events": 0, "spool_bytes": 0}
        if self._spool.note(to_line(losses_line(self._spool.client_id, health))):
            self._known_losses = dropped

    # ── one batch ────────────────────────────────────────────────────────────────────────────────────────────────

    def _send_next(self, *, timeout: float) -> bool:
        """Send one batch; True when there may be more to send at once."""
        with no_fork():
            from langchain_plugin import wire

        self._fingerprints.settle(FINGERPRINT_WAIT_SECONDS)
        if len(self._fingerprints) and not self._news.hash_key and not self._learn_hash_key(timeout):
            return False
        batch = gather(
            [*self._spool.sources(), *self._adoption.segments],
            self._fingerprints,
            self._news.hash_key,
            max_events=self._limit or wire.CLIENT_EVENTS_PER_BATCH,
            max_bytes=wire.CLIENT_BATCH_BYTES,
        )
        if batch.losses and not self._tell_losses(batch, timeout):
            return False
        if not batch.lines:
            self._settle(batch)
            return False
        try:
            receipt = self._post(batch, timeout)
        except BatchRefused as refusal:
            return self._split(batch, refusal, timeout)
        except CheckFailed as trouble:
            self._back_off(trouble)
            return False
        self._limit = self._limit * 2 if self._limit * 2 < wire.CLIENT_EVENTS_PER_BATCH else 0
        rejected = [
            RejectedEvent(batch.lines[rejection.index], clean_words(rejection.code, 60), clean_words(rejection.message))
            for rejection in receipt.rejected
        ]
        self.sent += len(receipt.accepted) + len(receipt.duplicates)
        self._recover()
        return self._let_go(batch, rejected)

    def _tell_losses(self, batch: Batch, timeout: float) -> bool:
        """Tell what processes lost that ended before they could; False when the site takes nothing now.

        Told twice it is the same, so nothing has to be remembered of it.
        """
        for client_id, health in batch.losses.items():
            if client_id == self._spool.client_id and batch.lines:
                continue  # told beside them
            try:
                self._post(Batch(), timeout, dead=None if client_id == self._spool.client_id else (client_id, health))
            except BatchRefused:
                pass  # a count that no site understands must not keep the events behind it
            except CheckFailed as trouble:
                self._back_off(trouble)
                return False
            self._recover()
        return True

    def _post(self, batch: Batch, timeout: float, *, dead: tuple[UUID, dict[str, Any]] | None = None) -> wire.Receipt:
        """The Receipt of a batch. `dead`: in whose stead it is sent, and how that one fared.

        Raises:
            CheckFailed: There is none, whatever the status said.

        """
        from langchain_plugin import wire

        client_id, health = (self._spool.client_id, self._health(batch)) if dead is None else dead
        content = self._transport.post_events(batch.body(client_id, health), timeout=timeout)
        try:
            receipt = wire.Receipt.model_validate_json(content)
        except ValueError:
            raise not_a_site(self._config, "it answers 200, but not with a receipt") from None
        if receipt.batch_id != batch.batch_id or not receipt.names_every_event(len(batch.lines)):
            raise not_a_site(self._config, "its receipt is not for what was sent")
        if dead is None:
            self._known_losses = health["dropped"]
        # Before its news are told: what they say is spent counts these calls, and who waits for them looks at once.
        self._on_confirmed(batch.call_ids)
        self._news.tell(receipt)
        for notice in receipt.notices:
            self._sayings.notice(notice.code, notice.message)
        return receipt

    def _learn_hash_key(self, timeout: float) -> bool:
        """Ask with an empty batch, once for each folder: the first calls would else go out without their hashes."""
        try:
            self._post(Batch(), timeout)
        except CheckFailed as trouble:
            self._back_off(trouble)
            return False
        if not self._news.hash_key:
            self._fingerprints.forget(self._fingerprints.call_ids())
        return True

    def _split(self, batch: Batch, refusal: BatchRefused, timeout: float) -> bool:
        """Halve a batch that was refused as a whole, down to the event that is to blame."""
        if len(batch.lines) > 1:
            self._limit = len(batch.lines) // 2
            return True
        try:
            # An empty batch that is refused too says that no event is to blame: then none may be given up.
            self._post(Batch(), timeout)
        except CheckFailed as trouble:
            self._back_off(trouble)
            return False
        self._recover()
        return self._let_go(batch, [RejectedEvent(batch.lines[0], refusal.code, str(refusal))])

    def _let_go(self, batch: Batch, rejected: list[RejectedEvent]) -> bool:
        """Of a batch that the site has judged, once what it rejected is set aside."""
        if rejected:
            try:
                keep_rejected(self._spool.folder, rejected, self._losses, max_bytes=self._config.spool_max_bytes)
            except NoRoom as trouble:
                self._back_off(trouble)
                return False
            self._sayings.rejection(rejected[0].code, rejected[0].message)
        self._settle(batch)
        return True

    def _settle(self, batch: Batch) -> None:
        self._losses.count("torn_line", batch.torn)
        batch.settle()
        self._adoption.drop_empty()
        self._fingerprints.forget(batch.call_ids)
        self._on_confirmed(batch.call_ids)
        with self._settled:
            self._settled.notify_all()

    # ── trouble ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _back_off(self, trouble: CheckFailed) -> None:
        self._patience.failed(trouble)
        self._sayings.once(trouble.kind, f"{str(trouble).rstrip('.')}; until then events wait in {self._spool.folder}.")
        with self._settled:
            self._settled.notify_all()

    def _recover(self) -> None:
        if self._patience.succeeded():
            self._sayings.is_over({"unreachable", "failing", "wrong_key", "wrong_url", "refused", "no_room"})
            logger.info("Costsite at %s takes reports again; what waited is being sent.", self._config.url)

    def _health(self, batch: Batch) -> dict[str, Any]:
        """As it will be when the site has taken `batch`: it is kept until long after the batch has left the spool."""
        if not self._versions:
            with no_fork():
                self._versions = versions()
        return {
            "spool_events": max(0, self._spool.pending + self._adoption.pending - batch.spool_events),
            "spool_bytes": max(0, self._spool.pending_bytes + self._adoption.pending_bytes - batch.spool_bytes),
            "dropped": self._losses.by_reason(),
            "versions": self._versions,
            "host": socket.gethostname()[:200],
            "pid": os.getpid(),
        }
