"""SQLite: one writer at a time, so what was read stays true, and one prepared statement runs through all rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, models

from agents.models import AgentRunLog
from agents.models.sums import SUM_COLUMNS
from agents.storage.base import Additions, Row, Storage, names

_day = lru_cache(maxsize=1_000)(date.isoformat)
"""A batch has few days, and writes each a few hundred times."""


class SQLiteStorage(Storage):
    @staticmethod
    def time(value: datetime) -> str:
        # As value.isoformat(" ") without its zone, in half the time.
        return f"{_day(value.date())} {value.time().isoformat()}"

    @staticmethod
    def day(value: date) -> str:
        return _day(value)

    @staticmethod
    def strings(value: Sequence[str]) -> str:
        # As json.dumps writes them, at a tenth of its time: it makes an encoder anew for every value.
        return f"[{', '.join(map(_quoted, value))}]" if value else "[]"

    @staticmethod
    def pairs(value: Sequence[Sequence[str]]) -> str:
        return f"[{', '.join([f'[{_quoted(one)}, {_quoted(other)}]' for one, other in value])}]" if value else "[]"

    @staticmethod
    def read_time(value: datetime) -> datetime:
        return value.replace(tzinfo=UTC)  # Django's connection parses the column, and leaves it without a zone

    @staticmethod
    def read_day(value: date) -> date:
        return value

    @staticmethod
    def read_uuid(value: str) -> str:
        return value

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        # Past Django's cursor: it costs two to three times what such a statement itself does.
        wrapper = connections[DEFAULT_DB_ALIAS]
        if wrapper.force_debug_cursor:  # somebody counts the statements
            return super().rows(statement, parameters)
        wrapper.ensure_connection()
        with wrapper.wrap_database_errors:
            return list(wrapper.connection.execute(_own_placeholders(statement), parameters))

    def find(
        self, model: type[models.Model], columns: Sequence[str], key: str, workspace_id: int, ids: Iterable[str]
    ) -> list[Row]:
        # json_each instead of a list of placeholders: the statement is the same for every size of batch.
        return self.rows(
            f"SELECT {names(columns)} FROM {model._meta.db_table}"
            f" WHERE workspace_id = %s AND {key} IN (SELECT value FROM json_each(%s))",
            [workspace_id, json.dumps(list(ids))],
        )

    def claim_runs(self, columns: Sequence[str], workspace_id: int, seeds: Sequence[Row]) -> list[Row]:
        return self.find(AgentRunLog, columns, "run_id", workspace_id, [seed[0] for seed in seeds])

    def save_runs(self, columns: Sequence[str], rows: Sequence[Row]) -> None:
        # Most runs of a batch are new. An upsert takes up to twice as long for a new row as an insert that does nothing
        # where one is there.
        there = self._insert_new(AgentRunLog, (*columns, *SUM_COLUMNS), "run_id", rows)
        if there:
            self._update_runs(columns, [row for row in rows if row[1] in there])

    def insert(self, model: type[models.Model], columns: Sequence[str], key: str, rows: Sequence[Row]) -> set[str]:
        return self._insert_new(model, tuple(columns), key, rows)

    def _insert_new(
        self, model: type[models.Model], columns: tuple[str, ...], key: str, rows: Sequence[Row]
    ) -> set[str]:
        inserted = self._for_each(f"{_insert(model, columns)} ON CONFLICT (workspace_id, {key}) DO NOTHING", rows)
        if inserted == len(rows):
            return set()
        with self.cursor() as cursor:  # nobody else writes now, and ids only grow: the newest rows are those just made
            cursor.execute(f"SELECT {key} FROM {model._meta.db_table} ORDER BY id DESC LIMIT %s", [inserted])
            new = {row[0] for row in cursor.fetchall()}
        at = columns.index(key)
        return {row[at] for row in rows if row[at] not in new}

    def replace(self, model: type[models.Model], columns: Sequence[str], keys: int, rows: Sequence[Row]) -> None:
        assignments = ", ".join(f"{column} = ?" for column in columns[keys:])
        where = " AND ".join(f"{column} = ?" for column in columns[:keys])
        self._for_each(
            f"UPDATE {model._meta.db_table} SET {assignments} WHERE {where}",
            [(*row[keys:], *row[:keys]) for row in rows],
        )

    def add_up(self, additions: Sequence[Additions], last: Additions | None = None) -> list[Row]:
        for model, key, sums, rows in additions:
            self._for_each(_add(model, key, sums), rows)
        if last is None:
            return []
        statement = _add(last.model, last.key, last.sums, rows=len(last.rows)).replace("?", "%s")
        return self.rows(
            f"{statement} RETURNING {names((*last.key, *last.sums))}", [value for row in last.rows for value in row]
        )

    def add_to_runs(self, rows: Sequence[Row]) -> None:
        self._update_runs(["workspace_id", "run_id"], rows)

    def _update_runs(self, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Set `columns` behind the first two, which name the run, and add the sums behind them."""
        changes = [
            *(f"{column} = ?" for column in columns[2:]),
            *(f"{column} = {column} + ?" for column in SUM_COLUMNS),
        ]
        self._for_each(
            f"UPDATE {AgentRunLog._meta.db_table} SET {', '.join(changes)} WHERE workspace_id = ? AND run_id = ?",
            [(*row[2:], *row[:2]) for row in rows],
        )

    def _for_each(self, statement: str, rows: Sequence[Row]) -> int:
        """How many rows it changed."""
        # Past Django's cursor, which rewrites its own placeholders by a regular expression over the whole statement.
        if not rows:
            return 0
        wrapper = connections[DEFAULT_DB_ALIAS]
        with wrapper.wrap_database_errors:
            return int(wrapper.connection.executemany(statement, rows).rowcount)


@lru_cache(maxsize=200)
def _own_placeholders(statement: str) -> str:
    return statement.replace("%s", "?")


@lru_cache(maxsize=200)
def _add(model: type[models.Model], key: tuple[str, ...], sums: tuple[str, ...], rows: int = 1) -> str:
    additions = ", ".join(f"{column} = {column} + excluded.{column}" for column in sums)
    return f"{_insert(model, (*key, *sums), rows)} ON CONFLICT ({names(key)}) DO UPDATE SET {additions}"


@lru_cache(maxsize=200)
def _insert(model: type[models.Model], columns: tuple[str, ...], rows: int = 1) -> str:
    places = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {model._meta.db_table} ({names(columns)}) VALUES {', '.join([places] * rows)}"
