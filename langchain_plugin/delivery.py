"""What becomes of a batch: posted, halved where it is refused, and let go of only as a Receipt names its events."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from langchain_plugin.adoption import Adoption
from langchain_plugin.batch import Batch, gather
from langchain_plugin.config import Config
from langchain_plugin.errors import BatchRefused, CheckFailed
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
from langchain_plugin.transport import Transport, not_a_site
from langchain_plugin.versions import versions

if TYPE_CHECKING:
    from langchain_plugin import wire

logger = logging.getLogger("costsite")

FINGERPRINT_WAIT_SECONDS = 1.0


class Delivery:
    """Brings the site what waits in the spool and what was adopted, one batch at a time and for one thread at a time.

    Args:
        on_confirmed: Told the ids of the calls that the site has, or will not have.

    """

    def __init__(
        self,
        config: Config,
        spool: Spool,
        adoption: Adoption,
        news: News,
        fingerprints: Fingerprints,
        losses: Losses,
        transport: Transport,
        on_confirmed: Callable[[Sequence[str]], None],
    ) -> None:
        self._config = config
        self._spool = spool
        self._adoption = adoption
        self._news = news
        self._fingerprints = fingerprints
        self._losses = losses
        self._transport = transport
        self._on_confirmed = on_confirmed
        self._versions: dict[str, str] = {}
        self.after_fork()

    def after_fork(self) -> None:
        self._limit = 0
        """Events in a batch, after one was refused as a whole; 0: as many as may be."""
        self._known_losses: dict[str, int] = {}
        """What was lost as far as the site was told, or a line in the spool tells."""
        self.patience = Patience(self._config.retry_max_seconds)
        """How the failures stand, and so when to try again."""
        self.sent = 0
        """Events that the site has taken, or had already."""
        self._set_aside_of_batch: set[bytes] = set()
        """Rejected events of the batch that is to be let go of next, as they were sent."""
        self._sayings = Sayings()
        self._transport.after_fork()

    @property
    def is_halved(self) -> bool:
        """A batch was refused as a whole not long ago, so that those after it are small."""
        return self._limit > 0

    def send_next(self, *, timeout: float) -> bool:
        """Send one batch; True when there may be more to send at once. In trouble that is False, and `patience` has it.

        Args:
            timeout: Seconds for each request.

        """
        try:
            return self._send_next(timeout)
        except CheckFailed as trouble:
            self.patience.failed(trouble)
            self._sayings.once(
                trouble.kind, f"{str(trouble).rstrip('.')}; until then events wait in {self._spool.folder}."
            )
            return False

    def note_losses(self) -> None:
        """Leave word in the spool of what was lost and the site was not told yet: this process may be killed."""
        dropped = self._losses.by_reason()
        if dropped == self._known_losses:
            return
        # Told when this process has ended: what it leaves is another's by then.
        health = {**self._health(Batch()), "dropped": dropped, "spool_events": 0, "spool_bytes": 0}
        if self._spool.note(to_line(losses_line(self._spool.client_id, health))):
            self._known_losses = dropped

    # ── one batch; each raises CheckFailed where the site takes nothing now ──────────────────────────────────────

    def _send_next(self, timeout: float) -> bool:
        with no_fork():
            from langchain_plugin import wire

        self._fingerprints.settle(FINGERPRINT_WAIT_SECONDS)
        if len(self._fingerprints) and not self._news.hash_key:
            self._learn_hash_key(timeout)
        batch = gather(
            [*self._spool.sources(), *self._adoption.segments],
            self._fingerprints,
            self._news.hash_key,
            max_events=self._limit or wire.CLIENT_EVENTS_PER_BATCH,
            max_bytes=wire.CLIENT_BATCH_BYTES,
        )
        self._tell_losses(batch, timeout)
        if not batch.lines:
            if batch.losses:  # else nothing was posted, and it is not known how the site is
                self._recover()
            self._settle(batch)
            return False
        try:
            receipt = self._post(batch, timeout)
        except BatchRefused as refusal:
            self._split(batch, refusal, timeout)
            return True
        for rejection in receipt.rejected:
            line, code, message = batch.lines[rejection.index], rejection.code, rejection.message
            self._set_aside(RejectedEvent(line, clean_words(code, 60), clean_words(message)))
        self._limit = self._limit * 2 if self._limit * 2 < wire.CLIENT_EVENTS_PER_BATCH else 0
        self.sent += len(receipt.accepted) + len(receipt.duplicates)
        self._let_go(batch)
        return True

    def _learn_hash_key(self, timeout: float) -> None:
        """Ask with an empty batch, once for each folder: the first calls would else go out without their hashes."""
        self._post(Batch(), timeout)
        if not self._news.hash_key:
            self._fingerprints.forget(self._fingerprints.call_ids())

    def _tell_losses(self, batch: Batch, timeout: float) -> None:
        """Tell what was lost, by this process and by those that ended before they could.

        Told twice it is the same, so nothing has to be remembered of it.
        """
        for client_id, health in batch.losses.items():
            if client_id != self._spool.client_id:
                try:
                    self._post(Batch(), timeout, dead=(client_id, health))
                except BatchRefused:
                    # What no site understands must not keep the events behind it. But one that refuses every batch
                    # refuses this one too, and then nothing is given up.
                    self._post(Batch(), timeout)
            elif not batch.lines:  # else they are told beside them
                self._post(Batch(), timeout)

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

    def _split(self, batch: Batch, refusal: BatchRefused, timeout: float) -> None:
        """Halve a batch that was refused as a whole, down to the event that is to blame."""
        if len(batch.lines) > 1:
            self._limit = len(batch.lines) // 2
            return
        # An empty batch that is refused too says that no event is to blame: then none may be given up.
        self._post(Batch(), timeout)
        self._set_aside(RejectedEvent(batch.lines[0], refusal.code, str(refusal)))
        self._let_go(batch)

    def _set_aside(self, event: RejectedEvent) -> None:
        """Keep what the site rejected, once though its batch may be sent again. Lines that are alike are one event.

        Raises:
            NoRoom: It cannot be kept, so the batch stays.

        """
        if event.data not in self._set_aside_of_batch:
            keep_rejected(self._spool.folder, event, self._losses, max_bytes=self._config.spool_max_bytes)
            self._set_aside_of_batch.add(event.data)
            self._sayings.rejection(event.code, event.message)

    def _let_go(self, batch: Batch) -> None:
        """Of a batch whose every event is with the site or set aside.

        No sooner is it a success: a trouble that comes after one would seem new at each attempt, and be said and waited
        for as if it were the first.
        """
        self._set_aside_of_batch.clear()
        self._recover()
        self._settle(batch)

    def _settle(self, batch: Batch) -> None:
        self._losses.count("torn_line", batch.torn)
        batch.settle()
        self._adoption.drop_empty()
        self._fingerprints.forget(batch.call_ids)
        self._on_confirmed(batch.call_ids)

    def _recover(self) -> None:
        if self.patience.succeeded():
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
