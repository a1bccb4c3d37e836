"""The door to the sending side: one for a process, site and key, whatever number of handlers there are."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from langchain_plugin.adoption import Adoption
from langchain_plugin.config import Config
from langchain_plugin.delivery import Delivery
from langchain_plugin.desktop import Desktop
from langchain_plugin.errors import NoKey
from langchain_plugin.fingerprints import Fingerprints
from langchain_plugin.json_lines import to_line
from langchain_plugin.leasing import LeaseKeeper
from langchain_plugin.losses import Losses, LossReason
from langchain_plugin.news import News
from langchain_plugin.refusals import Refusals
from langchain_plugin.sender import Sender
from langchain_plugin.spool import Spool
from langchain_plugin.transport import KeyInfo, Transport

if TYPE_CHECKING:
    import httpx

    from langchain_plugin import wire

__all__ = ["KeyInfo", "Reporter"]

logger = logging.getLogger("costsite")

RELEASE_SECONDS = 1.0
"""At exit, for giving leases back: one that is not given back ends by itself."""
MAX_EVENT_BYTES = 800_000
"""An event this long or longer is dropped: with its hashes and the batch around it, it must fit what the sender may
send (`wire.CLIENT_BATCH_BYTES`), and be read back at once (`segment.WINDOW_BYTES`)."""

_reporters: dict[tuple[str, str | None, Path, bool], Reporter] = {}
_making = threading.Lock()
_all: weakref.WeakSet[Reporter] = weakref.WeakSet()
"""Those that are not shared among them."""


class Reporter:
    """Takes events in the JSON form of `langchain_plugin.wire`, keeps them in the spool, and has them sent.

    Get it by `Reporter.shared`. Nothing here raises or blocks, but for `flush` and `check`, which are asked to.
    """

    def __init__(
        self, config: Config, *, spool_folder: Path | None = None, http: httpx.BaseTransport | None = None
    ) -> None:
        self.config = config
        folder = config.spool_folder if spool_folder is None else spool_folder
        self.sends = config.api_key is not None and not config.disabled
        """False: events go nowhere, and nothing is written."""
        self._losses = Losses()
        self._wake: SimpleQueue[None] = SimpleQueue()
        desktop = Desktop(config.spool_folder) if config.desktop_notifications and self.sends else None
        self.news = News(config.spool_folder if self.sends else None, hasten=self._hasten, desktop=desktop)
        self._fingerprints = Fingerprints(self._losses)
        self._spool = Spool(folder, self._losses, max_bytes=config.spool_max_bytes, wake=self._wake_sender)
        self._adoption = Adoption(folder, self._losses)
        self._delivery = Delivery(
            config,
            self._spool,
            self._adoption,
            self.news,
            self._fingerprints,
            self._losses,
            Transport(config, http),
            self._confirmed,
        )
        self._sender = Sender(config, self._spool, self._adoption, self._losses, self._delivery, self._wake)
        self.refusals = Refusals(self.append)
        self.leases: LeaseKeeper | None = None
        """What agents may spend here without asking; None without a key: then nobody sets a budget."""
        if self.sends:
            self.leases = LeaseKeeper(
                config,
                lambda: self._spool.client_id,
                Transport(config, http),
                look=self.refusals.report_due,
                news=self.news,
            )
        self.before_exit: Callable[[], None] | None = None
        """Called before what waits is sent for the last time: it may still append."""
        self._is_bound_to_exit = self._is_known_to_multiprocessing = False
        _all.add(self)
        if self.sends:
            atexit.register(self._at_exit)
            self._bind_to_multiprocessing()

    @classmethod
    def shared(cls, config: Config) -> Reporter:
        """The process's one reporter for the site, the key and the folder of `config`.

        The first to ask decides the settings of delivery.
        """
        where = (config.url, config.api_key, config.state_dir, config.disabled)
        reporter = _reporters.get(where)
        if reporter is None:
            with _making:
                reporter = _reporters.get(where)
                if reporter is None:
                    reporter = _reporters[where] = cls(config)
                    if config.api_key is None and not config.disabled:
                        # Who names a site means to report to it, and would wait in vain.
                        logger.log(
                            logging.INFO if config.sources.get("url", "default") == "default" else logging.WARNING,
                            "Costsite has no API key: runs are counted in `last_run` and reported nowhere; "
                            "set COSTSITE_API_KEY to report them.",
                        )
            reporter._send_what_is_left()
        return reporter

    def append(self, *events: dict[str, Any]) -> None:
        """Keep events until the site has them: one write, and it outlives the process."""
        if not self.sends:
            return
        try:
            data = to_line(events[0]) if len(events) == 1 else b"".join([to_line(event) for event in events])
            if len(data) < MAX_EVENT_BYTES:
                self._spool.append(data, len(events))
                return
        except Exception:  # noqa: S110 - one of them is to blame; the others are kept below
            pass
        for event in events:
            self._append_alone(event)

    def _append_alone(self, event: dict[str, Any]) -> None:
        try:
            data = to_line(event)
        except Exception:
            self._losses.count("not_json")
            return
        if len(data) >= MAX_EVENT_BYTES:
            self._losses.count("too_large")
            return
        try:
            self._spool.append(data, 1)
        except Exception:
            self._losses.count("bug")

    def budget(self, agent: str) -> wire.BudgetNews | None:
        """The tightest budget of the agent as the site last told it, with what was spent here since; None without."""
        budget = self.news.budget(agent)
        unreported = self.leases.unreported(agent) if self.leases is not None else 0
        if budget is None or not unreported:
            return budget
        return budget.model_copy(update={"spent_microcents": budget.spent_microcents + unreported})

    def fingerprint(self, call_id: str, messages: Any, tool_calls: Sequence[tuple[str, Any]]) -> None:
        """Have the prompt and the arguments of tools hashed on another thread; no text is kept after that."""
        if self.sends:
            self._fingerprints.put(call_id, messages, tool_calls)

    def count_loss(self, reason: LossReason, count: int = 1) -> None:
        """Count something that is lost before it was appended."""
        self._losses.count(reason, count)

    @property
    def losses(self) -> dict[str, int]:
        """Since the process began, by reason."""
        return self._losses.by_reason()

    @property
    def pending(self) -> int:
        """Events of this process that wait for the site."""
        return self._spool.pending

    @property
    def sent(self) -> int:
        """Events that the site has taken from this process, dead processes' among them."""
        return self._delivery.sent

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait up to `timeout` seconds until no event appended so far waits any more; False when one does.

        The site has them then, or has rejected them: `losses` counts those.
        """
        self.refusals.report()
        if not self.sends or not self._spool.pending:
            return True
        return self._sender.flush(timeout, give_up_in_trouble=False)

    def drain(self, timeout: float) -> bool:
        """Send everything in the folder, what dead processes left included; False when `timeout` came first.

        Raises:
            CheckFailed: The site cannot take it.

        """
        return self._sender.drain(timeout)

    def close(self) -> None:
        """End its threads, and let go of its files as if this process had ended: the next one sends what waits there.

        An event that still comes is kept and sent as ever. Budgets are not asked about any more: calls are decided as
        without a site.
        """
        atexit.unregister(self._at_exit)
        if self.leases is not None:
            self.leases.stop()
        self._sender.stop()
        self._save_memory()
        self._spool.close_if_empty()
        self._spool.let_go()
        self._adoption.release()

    def check(self) -> KeyInfo:
        """Ask the site once whether address and key are right.

        Raises:
            CheckFailed: One of its kinds, with one sentence that says the mend.

        """
        if self.config.api_key is None:
            raise NoKey("There is no API key: set COSTSITE_API_KEY to what `manage.py create_api_key` printed.")
        transport = Transport(self.config)
        try:
            return transport.key()
        finally:
            transport.close()

    def _wake_sender(self) -> bool:
        self._bind_to_exit_of_multiprocessing()
        if not self._sender.start():
            return False
        self._wake.put(None)
        return True

    def _send_what_is_left(self) -> None:
        """Have sent what dead processes left, though this one may never make a call. No thread where nothing is."""
        if self.sends and self._adoption.finds_any():
            self._sender.start()

    def _confirmed(self, call_ids: Sequence[str]) -> None:
        if self.leases is not None:
            self.leases.confirmed(call_ids)

    def _hasten(self) -> None:
        if self._spool.pending:
            self._sender.hurry()

    def _bind_to_exit_of_multiprocessing(self) -> None:
        """A child of multiprocessing leaves by `os._exit` and runs no atexit; its own finalizers it does run."""
        if self._is_bound_to_exit:
            return
        self._is_bound_to_exit = True
        process = sys.modules.get("multiprocessing.process")
        util = sys.modules.get("multiprocessing.util")
        if process is not None and util is not None and process.parent_process() is not None:
            util.Finalize(None, self._at_exit, exitpriority=0)

    def _bind_to_multiprocessing(self) -> None:
        """Bind a child's end also where it appends nothing before it: a call may be open then, and be all there was.

        What a child has inherited, or bound while it imported the main module, it forgets as it begins; what is
        registered here it does after that.
        """
        if self._is_known_to_multiprocessing or "multiprocessing.process" not in sys.modules:
            return
        from multiprocessing import util

        self._is_known_to_multiprocessing = True
        util.register_after_fork(self, Reporter._begin_in_child_of_multiprocessing)
        self._bind_to_exit_of_multiprocessing()

    def _begin_in_child_of_multiprocessing(self) -> None:
        self._is_bound_to_exit = False
        self._bind_to_exit_of_multiprocessing()

    def _at_exit(self) -> None:
        """Send what waits, within bounds. What stays is sent by the next process with this site and key."""
        interruption: BaseException | None = None
        for step in (
            self._before_exit,
            self.refusals.report,
            self._delivery.note_losses,
            self._flush_at_exit,
            # What stays is safe on disk before leases are given back: those end by themselves.
            self._save_memory,
            self._delivery.note_losses,
            self._spool.keep_named,
            self._release_leases,
            # Last: the sender may have emptied the file meanwhile.
            self._spool.close_if_empty,
        ):
            try:
                step()
            except Exception as error:
                self._losses.count("bug")
                logger.warning(
                    "Costsite had an error as the process ended (%s: %s); what waits in %s is sent by the next one.",
                    type(error).__name__,
                    error,
                    self._spool.folder,
                )
            except BaseException as error:  # somebody is tired of waiting; what is left takes no time, or a second
                interruption = error
        if interruption is not None:
            raise interruption

    def _flush_at_exit(self) -> None:
        if self._sender.trouble is not None:
            return
        # A child that was forked and left by `os._exit` sent nothing, and there may be no other process to do it.
        is_left = self._adoption.pending > 0 or self._adoption.finds_any()
        if self._spool.pending or is_left:
            self._sender.flush(self.config.exit_flush_seconds, give_up_in_trouble=True, with_left=is_left)

    def _before_exit(self) -> None:
        if self.before_exit is not None:
            self.before_exit()

    def _save_memory(self) -> None:
        if lost := self._spool.save_memory():
            logger.warning(
                "Costsite loses %d events: the process ends before the site took them, and %s cannot be written.",
                lost,
                self._spool.folder,
            )

    def _release_leases(self) -> None:
        if self.leases is not None:
            self.leases.release_all(RELEASE_SECONDS)

    def _after_fork(self) -> None:
        """In a child: nothing is shared with the parent but the settings and the news."""
        self._losses.after_fork()
        self._wake = SimpleQueue()
        self.news.after_fork()
        self.refusals.after_fork()
        self._fingerprints.after_fork()
        self._spool.after_fork()
        self._adoption.release(is_in_child=True)
        self._delivery.after_fork()
        self._sender.after_fork(self._wake)
        if self.leases is not None:
            self.leases.after_fork()
        self._is_bound_to_exit = False
        if self.sends:
            self._bind_to_multiprocessing()


def _after_fork_in_child() -> None:
    global _making
    _making = threading.Lock()
    for reporter in tuple(_all):
        reporter._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
