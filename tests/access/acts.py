"""What is sent to an address that acts, so that whoever may do it does it: a refusal is then of who asks.

Values may name rows, as addresses do. An admin form is sent as the superuser's browser would, but for what is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.test import Client

from tests.access.asking import form_on
from tests.access.table import Row

PASSWORD: Final = "correct horse battery"
NEW_PASSWORD: Final = "another horse battery"
NEW_PASSWORDS: Final = {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
LOGIN: Final = {"username": "anybody", "password": PASSWORD}
GRANT: Final = {"cents": "100", "last_day": "{last_day}", "reason": "launch"}

ACTS: Final[dict[str, dict[str, Any]]] = {
    "/login/": LOGIN,
    "/password/": {"old_password": PASSWORD, **NEW_PASSWORDS},
    "/budgets/{budgetpolicy}/grant/": {**GRANT, "limit_before": "{limit}"},
    "/budgets/{site_budget}/grant/": {**GRANT, "limit_before": "{site_limit}"},
    "/budgets/grants/{grant}/revoke/": {"confirmed": "yes"},
    "/inbox/read/": {"through": "1000000"},
    "/prices/enter/?kind=free": {
        "provider": "acme", "model": "*", "workspace": "{workspace}", "first_day": "{today}", "confirmed": "yes",
    },
    "/keys/make/": {"workspace": "{workspace}", "name": "laptop", "scopes": ["read"]},
    "/analytics/{other_agent}/merge/": {"into": "{agent_slug}", "confirmed": "yes"},
    "/optimization/what-if/default-model/": {"agent": "{agent}", "model": "acme-2"},
    "/optimization/what-if/move/": {"agent": "{agent}", "model": "acme-2", "percent": "80"},
    "/optimization/{advice}/decide/": {"state": "done", "reason": "agreed"},
    "/admin/login/": LOGIN | {"username": "root"},
    "/admin/password_change/": {"old_password": PASSWORD, **NEW_PASSWORDS},
    "/admin/agents/agent/add/": {"workspace": "{workspace}", "slug": "new-bot"},
    "/admin/agents/agent/{}/change/": {"name": "New name"},
    "/admin/agents/agent/{}/change/#budget": {"monthly_budget_cents": "777"},
    "/admin/agents/apikey/add/": {"workspace": "{workspace}", "name": "laptop", "scopes": ["read"]},
    "/admin/agents/apikey/{}/change/": {"name": "laptop"},
    "/admin/agents/modelprice/add/": {
        "workspace": "{workspace}", "model": "acme-1", "kind": "free", "effective_from_0": "{today}",
        "effective_from_1": "00:00:00",
    },
    "/admin/agents/modelprice/{}/change/": {"input_per_million": "7"},
    "/admin/agents/modelprice/{site_price}/change/": {"input_per_million": "7"},
    "/admin/agents/workspace/add/": {"name": "New", "slug": "new"},
    "/admin/agents/workspace/{}/change/": {"name": "New name"},
    "/admin/agents/workspace/{}/change/#members": {
        "memberships-TOTAL_FORMS": "3", "memberships-2-user": "anybody", "memberships-2-role": "viewer",
    },
    "/admin/agents/workspace/{}/change/#default-budget": {"default_budget-0-limit_cents": "99"},
    "/admin/budgets/budgetpolicy/add/": {"scope": "agent", "agent": "{other_agent}", "limit_cents": "50"},
    "/admin/budgets/budgetpolicy/{}/change/": {"limit_cents": "999"},
    "/admin/budgets/budgetpolicy/{site_budget}/change/": {"limit_cents": "999"},
    "/admin/budgets/budgetpolicy/{}/grant/": {**GRANT, "limit_before": "{limit}"},
    "/admin/budgets/budgetpolicy/{site_budget}/grant/": {**GRANT, "limit_before": "{site_limit}"},
    "/admin/budgets/budgetpolicy/grants/{grant}/revoke/": {"confirmed": "yes"},
    "/admin/budgets/notificationchannel/add/": {
        "workspace": "{workspace}", "kind": "webhook", "name": "hook", "url": "jsons://hooks.example.com/x",
    },
    "/admin/budgets/notificationchannel/{}/change/": {"name": "hook"},
    "/admin/budgets/modelmaximum/add/": {"provider": "acme", "model": "acme-1", "max_output_tokens": "9"},
    "/admin/budgets/modelmaximum/{}/change/": {"max_output_tokens": "9"},
    "/admin/advice/modeltier/add/": {"model": "acme-1", "tier": "small"},
    "/admin/advice/modeltier/{}/change/": {"model": "acme-2"},
    "/admin/advice/taskrow/add/": {"task": "acme", "name": "Acme", "effort": "low", "tier": "small"},
    "/admin/advice/taskrow/{}/change/": {"name": "New name"},
    "/admin/auth/group/add/": {"name": "friends"},
    "/admin/auth/group/{}/change/": {"name": "friends"},
    "/admin/auth/user/add/": {"username": "new", "usable_password": "true", "password1": NEW_PASSWORD,
                              "password2": NEW_PASSWORD},
    "/admin/auth/user/{}/change/": {"first_name": "Ann"},
    "/admin/auth/user/{user}/password/": {"usable_password": "true", "password1": NEW_PASSWORD,
                                          "password2": NEW_PASSWORD},
}  # fmt: skip
CONFIRMED: Final = {"release": {"confirmed": "yes"}, "delete_selected": {"post": "yes"}}


def body_of(row: Row, rows: Mapping[str, object], superuser: Client) -> dict[str, Any]:
    """What a browser sends to a row's address."""
    address, _, act = row.name.partition("#")
    if address.startswith("/admin/") and address.endswith(("/change/", "/add/")) and row.name in ACTS:
        shown = form_on(superuser, row.address(rows))
        return shown | {name: _named(value, rows) for name, value in ACTS[row.name].items()}
    if address.endswith("/delete/"):
        return {"post": "yes"}
    if act:
        table = address.split("/")[3]
        ticked = rows[f"archived_{table}" if act == "restore" else table]
        return {"action": act, "_selected_action": str(ticked), "index": "0"} | CONFIRMED.get(act, {})
    return {name: _named(value, rows) for name, value in ACTS.get(address, {}).items()}


def _named(value: Any, rows: Mapping[str, object]) -> Any:
    return value.format_map(rows) if isinstance(value, str) else value
