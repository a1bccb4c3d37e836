"""What the write path asks of a database."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from django.db import connection, models
from django.db.backends.utils import CursorWrapper

from agents.models import LedgerState

Row = tuple[Any, ...]


class Additions(NamedTuple):
    """What a transaction adds to sums that others add to as well."""

    model: type[models.Model]
    key: tuple[str, ...]
    sums: tuple[str, ...]
    rows: Sequence[Row]
    """The key, and a number for each of `sums`: in the order in which all writers lock them."""


class Storage(ABC):
    """One vendor's statements. All run in the caller's transaction, on the default database."""

    # ── values ───────────────────────────────────────────────────────────────────────────────────────────────────

    @staticmethod
    @abstractmethod
    def time(value: datetime) -> Any:
        """A time in UTC as a parameter, stored as the ORM stores it."""

    @staticmethod
    def day(value: date) -> str:
        return value.isoformat()

    @staticmethod
    @abstractmethod
    def strings(value: Sequence[str]) -> Any:
        """A JSON list of strings as a parameter."""

    @staticmethod
    @abstractmethod
    def pairs(value: Sequence[Sequence[str]]) -> Any:
        """A JSON list of pairs of strings as a parameter."""

    @staticmethod
    @abstractmethod
    def read_time(value: Any) -> datetime:
        """A column's time, in UTC."""

    @staticmethod
    @abstractmethod
    def read_day(value: Any) -> date: ...

    @staticmethod
    @abstractmethod
    def read_uuid(value: Any) -> str:
        """A column's id as 32 hex digits."""

    @staticmethod
    def read_json(value: str) -> Any:
        return json.loads(value)

    # ── statements ───────────────────────────────────────────────────────────────────────────────────────────────

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """What a statement with %s for each parameter answers. For those that every batch makes."""
        with self.cursor() as cursor:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall())

    def ledger_state(self) -> tuple[str, date | None]:
        """The time zone in force, and the first day that is kept (None: all are). Read anew by every batch:
        `change_time_zone` and `retention` run in other processes.
        """
        rows = self.rows(f"SELECT time_zone, retained_from FROM {LedgerState._meta.db_table} WHERE id = 1")
        if not rows:
            state = LedgerState.current()
            return state.time_zone, state.retained_from
        ((time_zone, retained_from),) = rows
        return time_zone, retained_from and self.read_day(retained_from)

    @abstractmethod
    def find(
        self, model: type[models.Model], columns: Sequence[str], key: str, workspace_id: int, ids: Iterable[str]
    ) -> list[Row]:
        """`columns` of the workspace's rows whose UUID column `key` is among `ids`."""

    @abstractmethod
    def claim_runs(self, columns: Sequence[str], workspace_id: int, seeds: Sequence[Row]) -> list[Row]:
        """`columns` of those runs that existed before, held until the transaction ends.

        A seed is (run id, agent id, start, day): what a run begins with where it did not exist.
        """

    @abstractmethod
    def save_runs(self, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Write claimed runs: set `columns` (the first two are workspace and run id) and add the sums behind them."""

    @abstractmethod
    def insert(self, model: type[models.Model], columns: Sequence[str], key: str, rows: Sequence[Row]) -> set[str]:
        """Insert rows; the ids of those that were there already, under the UUID column `key` of their workspace."""

    @abstractmethod
    def replace(self, model: type[models.Model], columns: Sequence[str], keys: int, rows: Sequence[Row]) -> None:
        """Set all `columns` of the rows that the first `keys` of them name."""

    @abstractmethod
    def add_up(self, additions: Sequence[Additions], last: Additions | None = None) -> list[Row]:
        """Make all of these additions, and the rows that are not there. What those of `last` come to: keys and sums.

        From the first of them on others may wait until the transaction ends: a batch writes everything else before.
        """

    @abstractmethod
    def add_to_runs(self, rows: Sequence[Row]) -> None:
        """Add to the sums of existing runs: (workspace id, run id, one number for each sum)."""

    def drop_empty(self, added: Additions) -> None:
        """Delete the rows that were added to whose counts, of calls and of runs where it has them, are back at 0."""
        model, key, sums, rows = added
        if rows:
            counts = [column for column in ("calls", "runs") if column in sums]
            where = " AND ".join([f"{column} = %s" for column in key] + [f"{column} = 0" for column in counts])
            with self.cursor() as cursor:
                statement = f"DELETE FROM {model._meta.db_table} WHERE {where}"
                cursor.executemany(statement, [row[: len(key)] for row in rows])

    def cursor(self) -> CursorWrapper:
        return connection.cursor()


def names(columns: Iterable[str]) -> str:
    """Column names for a statement. They are ours, never a caller's: nothing here needs quoting."""
    return ", ".join(columns)
