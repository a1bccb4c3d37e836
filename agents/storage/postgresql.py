"""PostgreSQL: many writers side by side. New calls go down by COPY. Whatever else a batch writes travels as one JSON
document that the server unfolds into rows, so a statement has one parameter whatever the size of the batch, and the
column types do the converting.

Batches take locks in one order: runs by id, calls, agents, leases by id, then sums: rollups by key with the workspace's
day last, and budgets' counters. Most batches meet at sums, so as little as can be is done while they are locked. A job
that writes in another order is alone (`agents.write_lock.writing`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

from django.db import IntegrityError, connection, models, transaction

from agents.models import AgentRunLog
from agents.models.sums import SUM_COLUMNS
from agents.storage.base import Additions, Row, Storage, names

COPIED_FROM: Final = 10
"""Rows. For fewer, what COPY asks the server beside (a savepoint, and its end) costs more than it saves."""

UNIQUE_VIOLATION: Final = "23505"


class PostgreSQLStorage(Storage):
    @staticmethod
    def time(value: datetime) -> str:
        return value.isoformat()

    @staticmethod
    def strings(value: Sequence[str]) -> Sequence[str]:
        return value  # the document they travel in is JSON itself

    @staticmethod
    def pairs(value: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
        return value

    @staticmethod
    def read_time(value: datetime) -> datetime:
        return value.astimezone(UTC)

    @staticmethod
    def read_day(value: date) -> date:
        return value

    @staticmethod
    def read_uuid(value: Any) -> str:
        return str(value.hex)

    def find(
        self, model: type[models.Model], columns: Sequence[str], key: str, workspace_id: int, ids: Iterable[str]
    ) -> list[Row]:
        with self.cursor() as cursor:
            cursor.execute(
                f"SELECT {names(columns)} FROM {model._meta.db_table}"
                f" WHERE workspace_id = %s AND {key} = ANY(%s::uuid[])",
                [workspace_id, list(ids)],
            )
            return list(cursor.fetchall())

    def claim_runs(self, columns: Sequence[str], workspace_id: int, seeds: Sequence[Row]) -> list[Row]:
        """Runs that are not there are made first: a row nobody sees yet cannot be locked.

        Two batches of one run, or one batch sent again while the first is at work, wait here for each other; what is
        read after this is therefore settled for all calls of these runs.
        """
        seeds = sorted(seeds)
        run_ids = [seed[0] for seed in seeds]
        seed_columns = ["workspace_id", "run_id", "agent_id", "started_at", "day"]
        sums = (*SUM_COLUMNS, "refused_calls")
        zeros = ", ".join(["0"] * len(sums))
        table = AgentRunLog._meta.db_table
        with self.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {table} ({names(seed_columns)}, {names(sums)}, status, error_type, thread_id, tags)"
                f" SELECT {names(seed_columns)}, {zeros}, 'running', '', '', '[]'"
                f" FROM json_populate_recordset(NULL::{table}, %s::json)"
                f" ON CONFLICT (workspace_id, run_id) DO NOTHING RETURNING run_id",
                [_document(seed_columns, [(workspace_id, *seed) for seed in seeds])],
            )
            made = {row[0].hex for row in cursor.fetchall()}
            if len(made) == len(seeds):
                return []
            cursor.execute(
                f"SELECT {names(columns)} FROM {table} WHERE workspace_id = %s AND run_id = ANY(%s::uuid[])"
                f" ORDER BY run_id FOR NO KEY UPDATE",
                [workspace_id, [run_id for run_id in run_ids if run_id not in made]],
            )
            return list(cursor.fetchall())

    def save_runs(self, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """All of them are there. By their key all the same: for a join, a server that has not counted a young table yet
        reads all of it.
        """
        if rows:
            statement = _add(AgentRunLog, tuple(columns[:2]), tuple(columns[2:]), SUM_COLUMNS)
            with self.cursor() as cursor:
                cursor.execute(statement, [_document((*columns, *SUM_COLUMNS), sorted(rows))])

    def add_to_runs(self, rows: Sequence[Row]) -> None:
        rows = sorted(rows)
        if rows:
            with self.cursor() as cursor:  # in the order of ids, as batches lock them
                cursor.execute(
                    f"SELECT FROM {AgentRunLog._meta.db_table} WHERE workspace_id = %s AND run_id = ANY(%s::uuid[])"
                    f" ORDER BY run_id FOR NO KEY UPDATE",
                    [rows[0][0], [row[1] for row in rows]],
                )
        self._update_runs(["workspace_id", "run_id"], rows)

    def _update_runs(self, columns: Sequence[str], rows: Sequence[Row]) -> None:
        additions = [f"{column} = kept.{column} + new.{column}" for column in SUM_COLUMNS]
        self._update(AgentRunLog, [*columns, *SUM_COLUMNS], 2, columns[2:], additions, rows)

    def insert(self, model: type[models.Model], columns: Sequence[str], key: str, rows: Sequence[Row]) -> set[str]:
        """By COPY, at half of what it costs otherwise. Where the table has any of the rows it takes none of them, and
        those that are new go the other way: a batch comes twice where its answer was lost, and seldom else.

        In the order of their ids: writers of the same rows in another order would wait for each other in a circle.
        """
        at = list(columns).index(key)
        rows = sorted(rows, key=itemgetter(at))
        if not rows or (len(rows) >= COPIED_FROM and self._copied(model, columns, rows)):
            return set()
        table = model._meta.db_table
        with self.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {table} ({names(columns)}) SELECT {names(columns)}"
                f" FROM json_populate_recordset(NULL::{table}, %s::json)"
                f" ON CONFLICT (workspace_id, {key}) DO NOTHING RETURNING {key}",
                [_document(columns, rows)],
            )
            new = {row[0].hex for row in cursor.fetchall()}
        return {row[at] for row in rows if row[at] not in new}

    def _copied(self, model: type[models.Model], columns: Sequence[str], rows: Sequence[Row]) -> bool:
        """False, and nothing is written, where a row is there already."""
        in_json = _json_places(model, tuple(columns))
        try:
            with transaction.atomic(), connection.wrap_database_errors, self.cursor() as cursor:
                copying = f"COPY {model._meta.db_table} ({names(columns)}) FROM STDIN"
                with cursor.cursor.copy(copying) as copy:
                    for row in rows:
                        values = list(row)
                        for place in in_json:
                            values[place] = json.dumps(values[place]) if values[place] else "[]"
                        copy.write_row(values)
        except IntegrityError as error:
            if getattr(error.__cause__, "sqlstate", "") == UNIQUE_VIOLATION:
                return False
            raise
        return True

    def replace(self, model: type[models.Model], columns: Sequence[str], keys: int, rows: Sequence[Row]) -> None:
        self._update(model, columns, keys, columns[keys:], [], rows)

    def add_up(self, additions: Sequence[Additions], last: Additions | None = None) -> list[Row]:
        """All in one trip, so that nobody waits for this process to hear the answer of each and send the next.

        Before the first lock, what earlier statements refer to: foreign keys would be looked up at the commit, while
        everybody waits.
        """
        statements = [(_add(one.model, one.key, (), one.sums), one) for one in additions if one.rows]
        if last is not None:
            answered = f" RETURNING {names((*last.key, *last.sums))}"
            statements.append((_add(last.model, last.key, (), last.sums) + answered, last))
        if not statements:
            return []
        ready = [(statement, _document((*one.key, *one.sums), one.rows)) for statement, one in statements]
        with connection.wrap_database_errors, connection.connection.pipeline():
            connection.check_constraints()
            cursor = self.cursor()
            for statement, document in ready:
                cursor.execute(statement, [document])
        return [] if last is None else list(cursor.fetchall())

    def _update(
        self,
        model: type[models.Model],
        columns: Sequence[str],
        keys: int,
        assigned: Sequence[str],
        additions: Sequence[str],
        rows: Sequence[Row],
    ) -> None:
        if not rows:
            return
        table = model._meta.db_table
        changes = ", ".join([*(f"{column} = new.{column}" for column in assigned), *additions])
        where = " AND ".join(f"kept.{column} = new.{column}" for column in columns[:keys])
        with self.cursor() as cursor:
            cursor.execute(
                f"UPDATE {table} AS kept SET {changes}"
                f" FROM json_populate_recordset(NULL::{table}, %s::json) AS new WHERE {where}",
                [_document(columns, rows)],
            )


@lru_cache(maxsize=50)
def _add(model: type[models.Model], key: tuple[str, ...], assigned: tuple[str, ...], sums: tuple[str, ...]) -> str:
    """Insert a document's rows. Where one is there already, set what is `assigned`, and add the `sums`."""
    table = model._meta.db_table
    columns = names((*key, *assigned, *sums))
    changes = [
        *(f"{column} = excluded.{column}" for column in assigned),
        *(f"{column} = kept.{column} + excluded.{column}" for column in sums),
    ]
    return (
        f"INSERT INTO {table} AS kept ({columns}) SELECT {columns}"
        f" FROM json_populate_recordset(NULL::{table}, %s::json)"
        f" ON CONFLICT ({names(key)}) DO UPDATE SET {', '.join(changes)}"
    )


@lru_cache(maxsize=16)
def _json_places(model: type[models.Model], columns: tuple[str, ...]) -> list[int]:
    """Which of the columns hold JSON lists."""
    of_json = {field.column for field in model._meta.concrete_fields if isinstance(field, models.JSONField)}
    return [place for place, column in enumerate(columns) if column in of_json]


def _document(columns: Sequence[str], rows: Sequence[Row]) -> str:
    return json.dumps([dict(zip(columns, row, strict=True)) for row in rows])
