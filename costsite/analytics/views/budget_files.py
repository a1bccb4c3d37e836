"""The tables of budgets as files: amounts exact, times in UTC."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agents.spend import cents_text
from costsite.analytics.queries.budgets import BudgetFacts
from costsite.csv_answer import Column

TABLES: dict[str, tuple[tuple[Column, ...], Callable[[BudgetFacts], Sequence[object]]]] = {
    "crossings": (
        (
            Column("Threshold (%)", lambda line: line.threshold),
            Column("Month", lambda line: line.month),
            Column("When", lambda line: line.crossed_at),
            Column("Spent (cents)", lambda line: cents_text(line.spent_microcents)),
            Column("Limit (cents)", lambda line: cents_text(line.limit_microcents)),
            Column("Late", lambda line: line.late),
            Column("Lay behind when the budget was set", lambda line: line.at_creation),
        ),
        lambda facts: facts.crossings,
    ),
    "refusals": (
        (
            Column("Day", lambda day: f"{day.day:%Y-%m-%d}"),
            Column("Why", lambda day: day.kind),
            Column("Requests", lambda day: day.count),
        ),
        lambda facts: facts.refusals,
    ),
    "grants": (
        (
            Column("Cents", lambda given: given.cents),
            Column("Reason", lambda given: given.reason),
            Column("By", lambda given: given.by),
            Column("Granted", lambda given: given.granted_at),
            Column("Ends", lambda given: given.ends_at),
            Column("Revoked", lambda given: given.revoked_at),
        ),
        lambda facts: facts.grants,
    ),
    "months": (
        (
            Column("Month", lambda line: line.month),
            Column("Calls", lambda line: line.calls),
            Column("Unpriced calls", lambda line: line.unpriced_calls),
            Column("Spent (cents)", lambda line: cents_text(line.cost)),
            Column("Budget (cents)", lambda line: cents_text(line.limit)),
            Column("Revision", lambda line: line.revision),
        ),
        lambda facts: facts.months,
    ),
    "changes": (
        (
            Column("When", lambda change: change.at),
            Column("What", lambda change: change.what),
            Column("Before → after", lambda change: change.told),
            Column("By", lambda change: change.by),
            Column("Reason", lambda change: change.reason),
        ),
        lambda facts: facts.changes,
    ),
}
"""The tables of one budget as files: columns and rows."""

COLUMNS = (
    Column("Scope", lambda row: row.policy.get_scope_display()),
    Column("Workspace", lambda row: row.policy.workspace and row.policy.workspace.name),
    Column("Agent", lambda row: row.policy.agent and str(row.policy.agent)),
    Column("Month", lambda row: row.standing.month.name),
    Column("State", lambda row: row.state.words),
    Column("Mode", lambda row: row.policy.mode),
    Column("Thresholds (%)", lambda row: " ".join(map(str, row.policy.thresholds))),
    Column("Moves to", lambda row: row.policy.moves_to),
    Column("At percent", lambda row: row.policy.moves_at_percent),
    Column("Limit (cents)", lambda row: cents_text(row.standing.limit)),
    Column("Of it granted (cents)", lambda row: cents_text(row.granted)),
    Column("Spent (cents)", lambda row: cents_text(row.standing.spent)),
    Column("Held (cents)", lambda row: cents_text(row.standing.held)),
    Column("Left (cents)", lambda row: cents_text(row.standing.left)),
    Column("Refused requests this month", lambda row: row.refused),
)
