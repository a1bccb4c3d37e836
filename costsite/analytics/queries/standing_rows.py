"""How many budgets stand, read by one plain statement.

Django would work out each sum as often as another is made of it, and take longer to say so than the database to answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.core.exceptions import EmptyResultSet
from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Model, QuerySet

from agents.models import Agent, Workspace
from agents.spend import MICROCENTS_PER_CENT
from budgets.enforcement import Standing
from budgets.models import BudgetGrant, BudgetPeriod, BudgetPolicy, Refusal, SpendLease
from budgets.months import Month
from budgets.state import NEAR_FROM
from costsite.analytics.queries.plain import instant, plain_answer

FULL_FROM_THE_START = 1e30
"""How full a budget of nothing is. Not infinite: databases do not agree on how to sort that."""

LOUDEST_FIRST = (
    "b.of_agent, CASE WHEN b.fullness = b.most THEN 0 ELSE 1 END, b.gravity DESC, b.refused DESC, b.fullness DESC, b.id"
)
"""The wide before the narrow; of the narrow the fullest, then the gravest, and of these the ones that refused most. It
is of what is known before budgets have names: of many that are read, no more are looked up than are asked for.
"""
FULLEST_FIRST = "b.fullness DESC, w.name, a.slug, b.id"
IN_STEADY_ORDER = "p.scope, b.id"


class StandingRow(NamedTuple):
    """A budget and how it stands."""

    standing: Standing
    refused: int
    """How many requests for money it turned down since the time that was asked for."""


def fullness_of(standing: Standing) -> float:
    """What is spent as a share of the limit, by which pages put the fullest first."""
    return standing.spent / standing.limit if standing.limit > 0 else FULL_FROM_THE_START


def read_standings(
    wanted: QuerySet[BudgetPolicy],
    month: Month,
    now: datetime,
    *,
    refused_from: datetime,
    order: str,
    most: int,
    offset: int = 0,
) -> list[StandingRow]:
    """Those of `wanted` in one of the orders above, with what they are of: its name, slug and ids, and no more.

    What a lease holds and which grants are in force is said here again, as `SpendLease.objects.holding` and
    `BudgetGrant.objects.live` say it; a test holds the two together.
    """
    try:
        which, parameters = wanted.order_by().values("pk").query.sql_with_params()
    except EmptyResultSet:
        return []
    at, since = (connection.ops.adapt_datetimefield_value(one) for one in (now, refused_from))
    held = [at, month.name]
    chosen, page = ("b", []) if order != LOUDEST_FIRST else (_FIRST_OF_ALL.format(order=order), [most, offset])
    rows = plain_answer(
        _STATEMENT.format(which=which, order=order, chosen=chosen),
        [since, month.name, at, at, *parameters, *held, *held, *held, *page, most, 0 if page else offset],
    )
    places: dict[int, Workspace] = {}
    return [_row(row, month, places) for row in rows]


_POLICY = tuple(field.attname for field in BudgetPolicy._meta.concrete_fields if field.attname != "created_at")
_WORKSPACE = ("id", "slug", "name")
_AGENT = ("id", "workspace_id", "slug", "name")


def _columns(table: str, names: Sequence[str]) -> str:
    return ", ".join(f"{table}.{name}" for name in names)


def _table(model: type[Model]) -> str:
    return model._meta.db_table


_HELD = (
    f"SELECT SUM(l.granted_microcents - l.used_microcents) FROM {_table(SpendLease)} AS l"
    " WHERE l.frees_at > %s AND l.granted_microcents > l.used_microcents AND l.month = %s"
)
_GRAVITY = f"""
CASE
    WHEN fullness < {NEAR_FROM / 100} THEN 0 WHEN fullness < 1 THEN 1
    WHEN mode = '{BudgetPolicy.Mode.MONITOR.value}' THEN 2 WHEN mode = '{BudgetPolicy.Mode.DISPATCH.value}' THEN 3
    ELSE 4
END
"""
"""As `kind_of` has it, but for a budget whose lines say that it is near from another percent on."""
_FIRST_OF_ALL = "(SELECT * FROM b ORDER BY {order} LIMIT %s OFFSET %s) AS b"
_STATEMENT = f"""
WITH
of_month AS (
    SELECT
        p.id, p.mode,
        COALESCE(spent.spent_microcents, 0) AS spent,
        (p.limit_cents + COALESCE(granted.cents, 0)) * {MICROCENTS_PER_CENT} AS in_force,
        COALESCE((
            SELECT SUM(r.count) FROM {_table(Refusal)} AS r WHERE r.policy_id = p.id AND r.minute >= %s
        ), 0) AS refused,
        CASE WHEN p.agent_id IS NULL THEN 0 ELSE 1 END AS of_agent
    FROM {_table(BudgetPolicy)} AS p
    LEFT JOIN {_table(BudgetPeriod)} AS spent ON spent.policy_id = p.id AND spent.month = %s
    LEFT JOIN (
        SELECT policy_id, CAST(SUM(cents) AS bigint) AS cents FROM {_table(BudgetGrant)}
        WHERE granted_at <= %s AND ends_at > %s AND revoked_at IS NULL GROUP BY policy_id
    ) AS granted ON granted.policy_id = p.id
    WHERE p.id IN ({{which}})
),
filled AS (
    SELECT
        *,
        CASE WHEN in_force <= 0 THEN {FULL_FROM_THE_START} ELSE CAST(spent AS double precision) / in_force END
            AS fullness
    FROM of_month
),
b AS (SELECT *, {_GRAVITY} AS gravity, MAX(fullness) OVER (PARTITION BY of_agent) AS most FROM filled)
SELECT
    b.spent, b.in_force, b.refused,
    CASE p.scope
        WHEN '{BudgetPolicy.Scope.AGENT.value}' THEN ({_HELD} AND l.agent_id = p.agent_id)
        WHEN '{BudgetPolicy.Scope.WORKSPACE.value}' THEN ({_HELD} AND l.workspace_id = p.workspace_id)
        ELSE ({_HELD})
    END,
    {_columns("p", _POLICY)}, {_columns("w", _WORKSPACE)}, {_columns("a", _AGENT)}
FROM {{chosen}}
JOIN {_table(BudgetPolicy)} AS p ON p.id = b.id
LEFT JOIN {_table(Workspace)} AS w ON w.id = p.workspace_id
LEFT JOIN {_table(Agent)} AS a ON a.id = p.agent_id
ORDER BY {{order}} LIMIT %s OFFSET %s
"""


def _row(row: Sequence[Any], month: Month, places: dict[int, Workspace]) -> StandingRow:
    """`places`: the workspaces so far; of many budgets there are few."""
    spent, in_force, refused, held, *rest = row
    of_policy, rest = rest[: len(_POLICY)], rest[len(_POLICY) :]
    of_place, of_agent = rest[: len(_WORKSPACE)], rest[len(_WORKSPACE) :]
    values = dict(zip(_POLICY, of_policy, strict=True))
    values["archived_at"] = values["archived_at"] and instant(values["archived_at"])
    if isinstance(values["thresholds"], str):
        values["thresholds"] = json.loads(values["thresholds"])
    policy = BudgetPolicy.from_db(DEFAULT_DB_ALIAS, _POLICY, values.values())
    place: Any = None
    agent: Any = None
    if of_place[0] is not None:
        place = places.get(of_place[0])
        if place is None:
            place = places[of_place[0]] = Workspace.from_db(DEFAULT_DB_ALIAS, _WORKSPACE, of_place)
    if of_agent[0] is not None:
        agent = Agent.from_db(DEFAULT_DB_ALIAS, _AGENT, of_agent)
        agent.workspace = place
    policy.workspace, policy.agent = place, agent
    return StandingRow(Standing(policy, month, in_force, spent, held or 0), refused)
