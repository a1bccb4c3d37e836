"""What the site told: the key for hashes, prices, settings of agents, budgets. Kept beside the spool.

A process that starts knows what the last one learned, so its first run can already be priced.
"""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_plugin.own_file import check_folder, make_folder, read_own, replace_own

if TYPE_CHECKING:
    from langchain_plugin import wire
    from langchain_plugin.desktop import Desktop

    Told = TypeVar("Told", bound=wire.AnswerModel)

FILE_NAME = "news.json"
MAX_MODELS_KEPT = 500
MAX_AGENTS_KEPT = 1_000
MAX_SIZES_KEPT = 8
"""Prices of one model and tier, by the size of the context; the ones in use have two."""
MAX_FILE_BYTES = 8_000_000
_HASH_KEY = re.compile("[0-9a-f]{16,128}")

_Model = tuple[str, str, str]
"""Provider, model, service tier."""


class News:
    """Read from any thread without a lock; told by the sender's thread and by that of the leases.

    Args:
        folder: Where it is kept; None keeps it in memory only.
        desktop: Where lines are shown that budgets pass; None: nowhere.

    """

    def __init__(
        self, folder: Path | None, *, hasten: Callable[[], None] = lambda: None, desktop: Desktop | None = None
    ) -> None:
        self._folder = folder
        self._desktop = desktop
        self._hasten = hasten
        """Called when somebody waits for news: what waits is sent at once."""
        self.after_fork()
        self._hash_key = ""
        self._prices: dict[_Model, tuple[wire.PriceCardEntry, ...]] = {}
        self._agent_settings: dict[str, wire.AgentSettings] = {}
        self._budgets: dict[str, wire.BudgetNews] = {}
        self._is_loaded = folder is None
        self._kept = self._to_keep
        """What the file says, as far as is known here."""

    def after_fork(self) -> None:
        self._condition = threading.Condition()
        self._telling = threading.Lock()
        self._keeping = threading.Lock()
        """Apart from `_telling`: an answer that is taken in does not wait for the disk."""

    # ── for the handler ──────────────────────────────────────────────────────────────────────────────────────────

    @property
    def hash_key(self) -> str:
        """Empty until the site has told it."""
        self._load()
        return self._hash_key

    def unit_prices(
        self, provider: str, model: str, service_tier: str = "", input_tokens: int = 0
    ) -> wire.UnitPrices | None:
        """Prices of a call with so much input; None when the model is unpriced, or not known yet (`knows_model`)."""
        entry = self._entry(provider, model, service_tier, input_tokens)
        return None if entry is None else entry.prices

    def knows_model(self, provider: str, model: str, service_tier: str = "", input_tokens: int = 0) -> bool:
        """True when the site has told the model's prices, or that it has none."""
        return self._entry(provider, model, service_tier, input_tokens) is not None

    def agent_settings(self, agent: str) -> wire.AgentSettings | None:
        self._load()
        return self._agent_settings.get(agent)

    def budget(self, agent: str) -> wire.BudgetNews | None:
        """The tightest budget that covers the agent, as of the last Receipt or lease; None without one."""
        return self._budgets.get(agent)

    def wait_for(self, predicate: Callable[[], bool], timeout: float) -> bool:
        """Wait until something is true, looking at each Receipt; its last value after `timeout` seconds."""
        if predicate():
            return True
        self._hasten()
        deadline = time.monotonic() + timeout
        with self._condition:
            while not predicate():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._condition.wait(left)
        return True

    def _entry(self, provider: str, model: str, service_tier: str, input_tokens: int) -> wire.PriceCardEntry | None:
        self._load()
        for entry in self._prices.get((provider, model, service_tier), ()):
            if entry.valid_up_to_input_tokens is None or input_tokens <= entry.valid_up_to_input_tokens:
                return entry
        return None

    # ── for the sender ───────────────────────────────────────────────────────────────────────────────────────────

    def tell(self, receipt: wire.Receipt) -> None:
        """Take in a Receipt, keep what outlives the process, and wake who waits."""
        self._load()
        with self._telling:
            if _HASH_KEY.fullmatch(receipt.hash_key):
                self._hash_key = receipt.hash_key
            if receipt.price_card:
                self._prices = _newest({**self._prices, **_by_model(receipt.price_card)}, MAX_MODELS_KEPT)
            if receipt.agent_settings:
                told = {settings.agent: settings for settings in receipt.agent_settings}
                self._agent_settings = _newest({**self._agent_settings, **told}, MAX_AGENTS_KEPT)
            if receipt.budgets:
                self._budgets = _newest({**self._budgets, **{b.agent: b for b in receipt.budgets}}, MAX_AGENTS_KEPT)
        self.keep()
        with self._condition:
            self._condition.notify_all()
        self.tell_lines(receipt.lines_passed)

    def tell_lines(self, lines: Sequence[wire.LinePassed]) -> None:
        """Lines of budgets were passed, here or elsewhere."""
        if lines and self._desktop is not None:
            self._desktop.tell(lines)

    def tell_settings(self, settings: wire.AgentSettings) -> None:
        """Take in what a lease came with; `keep` writes it down, when nobody waits for the answer any more."""
        self._load()
        with self._telling:
            self._agent_settings = _newest({**self._agent_settings, settings.agent: settings}, MAX_AGENTS_KEPT)

    def tell_budget(self, agent: str, budget: wire.BudgetNews | None) -> None:
        """Take in what a lease came with; None: nothing covers the agent whose figures the key may read."""
        with self._telling:
            if budget is not None:
                self._budgets = _newest({**self._budgets, agent: budget}, MAX_AGENTS_KEPT)
            elif agent in self._budgets:
                self._budgets = {name: known for name, known in self._budgets.items() if name != agent}

    def keep(self) -> None:
        """Write down what outlives the process, when it is not what the file says: the next process believes that."""
        if self._folder is None:
            return
        self._load()
        with self._keeping:
            hash_key, prices, settings = to_keep = self._to_keep
            if to_keep == self._kept:
                return
            kept = {
                "hash_key": hash_key,
                "price_card": [entry.model_dump() for entries in prices.values() for entry in entries],
                "agent_settings": [entry.model_dump(mode="json") for entry in settings.values()],
            }
            with suppress(OSError):
                make_folder(self._folder)
                replace_own(self._folder / FILE_NAME, json.dumps(kept).encode("ascii"))
                self._kept = to_keep

    @property
    def _to_keep(self) -> tuple[str, dict[_Model, tuple[wire.PriceCardEntry, ...]], dict[str, wire.AgentSettings]]:
        return self._hash_key, self._prices, self._agent_settings

    def _load(self) -> None:
        """Read what was kept, once. A file that cannot be read is as good as none: the next Receipt writes another."""
        if self._is_loaded:
            return
        with self._condition:
            if self._is_loaded or self._folder is None:
                return
            try:
                from langchain_plugin import wire

                # On the agent's own thread, at `last_run`: whatever lies there, this must not wait for it.
                check_folder(self._folder)
                kept: dict[str, Any] = json.loads(read_own(self._folder / FILE_NAME, MAX_FILE_BYTES))
                prices = _by_model(_readable(wire.PriceCardEntry, kept["price_card"]))
                settings = _readable(wire.AgentSettings, kept["agent_settings"])
                hash_key = str(kept["hash_key"])
                self._hash_key = hash_key if _HASH_KEY.fullmatch(hash_key) else ""
                self._prices = _newest(prices, MAX_MODELS_KEPT)
                self._agent_settings = _newest({entry.agent: entry for entry in settings}, MAX_AGENTS_KEPT)
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                pass
            self._kept = self._to_keep
            self._is_loaded = True


def _readable(model: type[Told], entries: Iterable[Any]) -> list[Told]:
    """Those that are what they should be: the file may be another version's, or somebody's work."""
    readable: list[Told] = []
    for entry in entries:
        with suppress(ValueError):
            readable.append(model.model_validate(entry))
    return readable


def _by_model(card: list[wire.PriceCardEntry]) -> dict[_Model, tuple[wire.PriceCardEntry, ...]]:
    """Each model's entries, the one for the smallest context first."""
    models: dict[_Model, list[wire.PriceCardEntry]] = {}
    for entry in card:
        models.setdefault((entry.provider, entry.model, entry.service_tier), []).append(entry)
    return {
        model: tuple(sorted(entries, key=lambda entry: entry.valid_up_to_input_tokens or math.inf)[-MAX_SIZES_KEPT:])
        for model, entries in models.items()
    }


def _newest(entries: dict[Any, Any], count: int) -> dict[Any, Any]:
    return dict(list(entries.items())[-count:])
