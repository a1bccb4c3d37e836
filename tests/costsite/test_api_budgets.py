"""Budgets over HTTP: what a key reads, and which key changes what."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import Agent, LedgerState, Workspace
from budgets.models import BudgetChange, BudgetGrant, BudgetPolicy
from budgets.policies import archive, grant, policy_of, set_budget
from tests.budgets.conftest import CENT, TESTER, spend
from tests.costsite.api_client import KeyHolder, error_of
from tests.factories import AgentFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db

TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()


@pytest.fixture
def support_bot(workspace: Workspace) -> Agent:
    return AgentFactory(workspace=workspace, slug="support-bot")


@pytest.fixture
def zone(db: None) -> LedgerState:
    return LedgerState.objects.update_or_create(pk=1, defaults={"time_zone": "UTC"})[0]


@pytest.fixture
def elsewhere(db: None) -> Workspace:
    return WorkspaceFactory(slug="elsewhere")


@pytest.fixture
def budgeteer(workspace: Workspace) -> KeyHolder:
    """Holds a key of all of Acme that reads and changes budgets."""
    return KeyHolder(workspace, scopes=["read", "budgets:write"])


@pytest.fixture
def policies(support_bot: Agent, workspace: Workspace, elsewhere: Workspace) -> dict[str, BudgetPolicy]:
    other = AgentFactory(workspace=workspace, slug="other-bot")
    of = {
        "agent": support_bot, "other": other, "workspace": workspace, "site": None,
        "elsewhere": elsewhere, "stranger": AgentFactory(workspace=elsewhere),
    }  # fmt: skip
    made = {name: set_budget(subject, by=TESTER, limit_cents=100) for name, subject in of.items()}
    return {name: policy for name, policy in made.items() if policy is not None}


def send(holder: KeyHolder, method: str, address: str, body: Any = None) -> Any:
    sent = body if isinstance(body, bytes | str) else json.dumps(body)
    return holder.client.generic(method, f"/api/v1/{address}", sent, content_type="application/json")


def names_of(page: Any, policies: dict[str, BudgetPolicy]) -> set[str]:
    by_id = {policy.pk: name for name, policy in policies.items()}
    return {by_id[budget["id"]] for budget in page["budgets"]}


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_key_reads_its_workspaces_budgets_and_that_of_the_site(
    acme: KeyHolder, policies: dict[str, BudgetPolicy]
) -> None:
    assert names_of(acme.read("budgets"), policies) == {"agent", "other", "workspace", "site"}


def test_a_key_of_one_agent_reads_the_budgets_that_cover_it(
    workspace: Workspace, support_bot: Agent, policies: dict[str, BudgetPolicy]
) -> None:
    holder = KeyHolder(workspace, agent=support_bot)
    assert names_of(holder.read("budgets"), policies) == {"agent", "workspace", "site"}
    assert error_of(holder.get("budgets", agent="other-bot")).code == "unknown_agent"
    assert error_of(holder.get(f"budgets/{policies['other'].pk}")).code == "unknown_budget"


def test_the_budgets_that_cover_an_agent_can_be_asked_for(acme: KeyHolder, policies: dict[str, BudgetPolicy]) -> None:
    assert names_of(acme.read("budgets", agent="other-bot"), policies) == {"other", "workspace", "site"}


def test_a_budget_says_how_it_stands_in_whole_microcents_and_in_exact_cents(
    acme: KeyHolder, support_bot: Agent, zone: LedgerState
) -> None:
    policy = set_budget(support_bot, by=TESTER, limit_cents=50, thresholds=[50, 90])
    assert policy is not None
    given = grant(policy, 25, ends_at=datetime.now(UTC) + timedelta(days=1), reason="launch", by=TESTER)
    spend(support_bot, 67.5)
    days, today = zone.days(), zone.today()
    start = days.start(today.replace(day=1))

    told = acme.read(f"budgets/{policy.pk}")

    end = datetime.fromisoformat(told.pop("period_end"))
    assert days.of(end).day == 1
    assert start < end <= start + timedelta(days=31)
    assert datetime.fromisoformat(told.pop("period_start")) == start
    (said,) = told.pop("grants")
    assert (said["id"], said["cents"], said["reason"]) == (given.pk, 25, "launch")
    assert told == {
        "id": policy.pk, "scope": "agent", "workspace": "acme", "agent": "support-bot",
        "mode": "hard", "thresholds": [50, 90], "moves_to": None, "moves_at_percent": None,
        "state": "near", "state_text": "near budget",
        "limit_cents": 50, "granted_cents": 25,
        "effective_limit_microcents": 75 * CENT, "effective_limit_cents": "75",
        "spent_microcents": 67_500_000, "spent_cents": "67.5",
        "held_microcents": 0, "held_cents": "0",
        "left_microcents": 7_500_000, "left_cents": "7.5",
    }  # fmt: skip


FIGURES = {
    "limit_cents", "granted_cents", "effective_limit_microcents", "effective_limit_cents", "spent_microcents",
    "spent_cents", "held_microcents", "held_cents", "left_microcents", "left_cents",
}  # fmt: skip


@pytest.mark.parametrize(
    ("bound", "shown"), [(False, {"agent", "other", "workspace"}), (True, {"agent"})], ids=["workspace", "one agent"]
)
def test_of_a_budget_that_reaches_further_a_key_learns_the_state_and_no_figures(
    workspace: Workspace, support_bot: Agent, policies: dict[str, BudgetPolicy], bound: bool, shown: set[str]
) -> None:
    for policy in policies.values():
        grant(policy, 7, ends_at=datetime.now(UTC) + timedelta(days=1), reason="secret plans", by=TESTER)
    holder = KeyHolder(workspace, agent=support_bot if bound else None)
    for budget in holder.read("budgets")["budgets"]:
        (name,) = (name for name, policy in policies.items() if policy.pk == budget["id"])
        assert {key for key in FIGURES if budget[key] is not None} == (FIGURES if name in shown else set())
        assert budget["state_text"] == "on track"
        detail = holder.read(f"budgets/{budget['id']}")
        assert bool(detail["grants"]) is (name in shown)


def test_where_there_is_one_workspace_the_sites_figures_are_its_own(acme: KeyHolder, support_bot: Agent) -> None:
    set_budget(None, by=TESTER, limit_cents=100)
    spend(support_bot, 3)
    (told,) = acme.read("budgets")["budgets"]
    assert (told["scope"], told["workspace"], told["spent_cents"]) == ("site", None, "3")


@pytest.mark.parametrize(
    ("mode", "state", "words"),
    [
        ("hard", "blocked", "blocked until 1 "),
        ("dispatch", "new_runs_refused", "new runs are refused until 1 "),
        ("monitor", "over", "over budget"),
    ],
)
def test_each_mode_says_what_happens_at_the_limit(
    acme: KeyHolder, support_bot: Agent, mode: str, state: str, words: str
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=0, mode=mode)
    (told,) = acme.read("budgets")["budgets"]
    assert told["state"] == state
    assert told["state_text"].startswith(words)


def test_an_archived_budget_and_anothers_are_as_unknown_as_one_that_never_was(
    acme: KeyHolder, policies: dict[str, BudgetPolicy]
) -> None:
    archive(policies["agent"], by=TESTER)
    for budget_id in (policies["agent"].pk, policies["elsewhere"].pk, policies["stranger"].pk, 999_999, 2**70):
        assert error_of(acme.get(f"budgets/{budget_id}")).code == "unknown_budget"
    assert "agent" not in names_of(acme.read("budgets"), policies)


def test_pages_go_on_where_the_last_ended(acme: KeyHolder, policies: dict[str, BudgetPolicy]) -> None:
    seen: list[int] = []
    page = acme.read("budgets", limit=3)
    seen += [budget["id"] for budget in page["budgets"]]
    assert len(seen) == 3
    page = acme.read("budgets", limit=3, after=page["next"])
    seen += [budget["id"] for budget in page["budgets"]]
    assert page["next"] is None
    assert seen == sorted({policies[name].pk for name in ("agent", "other", "workspace", "site")})


@pytest.mark.parametrize("after", ["!", "%FF", "YWJj", "LTU"])
def test_what_is_no_cursor_is_refused_or_finds_the_start(acme: KeyHolder, after: str) -> None:
    response = acme.get("budgets", after=after)
    assert response.status_code == 200 if after == "LTU" else error_of(response).code == "bad_parameter"


def test_a_longer_list_takes_no_more_queries(acme: KeyHolder, workspace: Workspace) -> None:
    set_budget(workspace, by=TESTER, limit_cents=50)
    acme.read("budgets")

    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            acme.read("budgets")
        return len(asked)

    with_one = queries()
    for _ in range(12):
        set_budget(AgentFactory(workspace=workspace), by=TESTER, limit_cents=50)
    assert queries() == with_one


# ── who changes ──────────────────────────────────────────────────────────────────────────────────────────────────────


def every_change(policy: BudgetPolicy, given: BudgetGrant) -> list[tuple[str, str, Any]]:
    return [
        ("PUT", "budgets/agents/support-bot", {"limit_cents": 1_000_000}),
        ("PUT", "budgets/workspace", {"limit_cents": 1_000_000}),
        ("DELETE", f"budgets/{policy.pk}", None),
        ("POST", f"budgets/{policy.pk}/grants", {"cents": 1_000, "ends_at": TOMORROW, "reason": "mine"}),
        ("DELETE", f"budgets/{policy.pk}/grants/{given.pk}", None),
    ]


@pytest.mark.parametrize(
    ("bound", "scopes", "code"),
    [
        (False, ["events:write", "read"], "missing_scope"),
        (True, ["events:write", "read"], "missing_scope"),
        (True, ["events:write", "read", "budgets:write"], "key_of_one_agent"),
    ],
)
def test_no_agents_key_changes_a_budget(
    workspace: Workspace,
    support_bot: Agent,
    policies: dict[str, BudgetPolicy],
    bound: bool,
    scopes: list[str],
    code: str,
) -> None:
    given = grant(policies["agent"], 7, ends_at=datetime.now(UTC) + timedelta(days=1), reason="launch", by=TESTER)
    holder = KeyHolder(workspace, agent=support_bot if bound else None, scopes=scopes)
    before = BudgetChange.objects.count()
    for method, address, body in every_change(policies["agent"], given):
        response = send(holder, method, address, body)
        assert response.status_code == 403, address
        assert error_of(response).code == code
    assert BudgetChange.objects.count() == before


@pytest.mark.parametrize(
    ("of", "status", "code"),
    [("site", 403, "site_budget"), ("elsewhere", 404, "unknown_budget"), ("stranger", 404, "unknown_budget")],
)
def test_no_key_changes_the_sites_budget_or_anothers(
    budgeteer: KeyHolder, policies: dict[str, BudgetPolicy], of: str, status: int, code: str
) -> None:
    given = grant(policies[of], 7, ends_at=datetime.now(UTC) + timedelta(days=1), reason="launch", by=TESTER)
    before = BudgetChange.objects.count()
    for method, address, body in every_change(policies[of], given)[2:]:
        response = send(budgeteer, method, address, body)
        assert (response.status_code, error_of(response).code) == (status, code), address
    assert BudgetChange.objects.count() == before


def test_a_grant_is_reached_through_its_own_budget_only(
    budgeteer: KeyHolder, policies: dict[str, BudgetPolicy]
) -> None:
    given = grant(policies["stranger"], 7, ends_at=datetime.now(UTC) + timedelta(days=1), reason="launch", by=TESTER)
    for grant_id in (given.pk, 999_999, 2**70):
        response = send(budgeteer, "DELETE", f"budgets/{policies['agent'].pk}/grants/{grant_id}")
        assert error_of(response).code == "unknown_grant"
    given.refresh_from_db()
    assert given.revoked_at is None


# ── changing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_budget_is_made_and_changed_by_put_and_ended_by_delete(budgeteer: KeyHolder, support_bot: Agent) -> None:
    made = send(budgeteer, "PUT", "budgets/agents/support-bot", {"limit_cents": 50, "reason": "trial"})
    assert made.status_code == 201
    assert (made.json()["limit_cents"], made.json()["mode"], made.json()["thresholds"]) == (50, "hard", [50, 80, 100])

    changed = send(
        budgeteer, "PUT", "budgets/agents/support-bot", {"limit_cents": 60, "mode": "dispatch", "thresholds": [90]}
    )
    again = send(budgeteer, "PUT", "budgets/agents/support-bot", {"limit_cents": 60})
    assert (changed.status_code, again.status_code) == (200, 200)
    assert again.json() == changed.json() | {"limit_cents": 60, "mode": "dispatch", "thresholds": [90]}

    ended = send(budgeteer, "DELETE", f"budgets/{made.json()['id']}?reason=over")
    assert (ended.status_code, ended.content) == (204, b"")
    assert policy_of(support_bot) is None
    assert error_of(send(budgeteer, "DELETE", f"budgets/{made.json()['id']}")).code == "unknown_budget"

    noted = BudgetChange.objects.order_by("pk").values_list("what", "by_key", "by_name", "reason")
    by = (budgeteer.row.pk, f"API key {budgeteer.row.prefix}")
    assert list(noted) == [("made", *by, "trial"), ("changed", *by, ""), ("archived", *by, "over")]


def test_the_workspaces_budget_is_the_keys_own(
    budgeteer: KeyHolder, workspace: Workspace, elsewhere: Workspace
) -> None:
    assert send(budgeteer, "PUT", "budgets/workspace", {"limit_cents": 0}).status_code == 201
    policy = policy_of(workspace)
    assert policy is not None
    assert policy.limit_cents == 0
    assert policy_of(elsewhere) is None


@pytest.mark.parametrize("slug", ["stranger", "nobody", "%00", "a%2Fb", "x" * 300])
def test_an_agent_the_key_does_not_read_gets_no_budget(budgeteer: KeyHolder, elsewhere: Workspace, slug: str) -> None:
    AgentFactory(workspace=elsewhere, slug="stranger")
    response = send(budgeteer, "PUT", f"budgets/agents/{slug}", {"limit_cents": 5})
    assert response.status_code == 404
    assert error_of(response).code in ("unknown_agent", "not_found")
    assert not BudgetPolicy.objects.exists()


def test_an_archived_agent_gets_no_budget(budgeteer: KeyHolder, support_bot: Agent) -> None:
    Agent.objects.filter(pk=support_bot.pk).update(archived_at=datetime.now(UTC))
    assert error_of(send(budgeteer, "PUT", "budgets/agents/support-bot", {"limit_cents": 5})).code == "unknown_agent"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "limit_cents"),
        ({"limit_cents": -1}, "limit_cents"),
        ({"limit_cents": 10**11 + 1}, "limit_cents"),
        ({"limit_cents": 10**400}, "limit_cents"),
        ({"limit_cents": 1.5}, "limit_cents"),
        ({"limit_cents": True}, "limit_cents"),
        ({"limit_cents": "50"}, "limit_cents"),
        ({"limit_cents": None}, "limit_cents"),
        ({"limit_cents": 5, "thresholds": [80, 50]}, "thresholds"),
        ({"limit_cents": 5, "thresholds": []}, "thresholds"),
        ({"limit_cents": 5, "thresholds": [50, 120]}, "thresholds"),
        ({"limit_cents": 5, "thresholds": [50, True]}, "thresholds.1"),
        ({"limit_cents": 5, "thresholds": list(range(200))}, "thresholds"),
        ({"limit_cents": 5, "mode": "soft"}, "mode"),
        ({"limit_cents": 5, "reason": "x" * 501}, "reason"),
        ({"limit_cents": 5, "reason": "\x00"}, "reason"),
        ({"limit_cents": 5, "reason": "\ud800"}, "reason"),
        ({"limit_cents": 5, "limits": 6}, "limits"),
        ([], ""),
        ("50", ""),
    ],
)
def test_what_is_no_budget_is_refused_with_the_field(
    budgeteer: KeyHolder, support_bot: Agent, body: Any, where: str
) -> None:
    sent = json.dumps(body) if not isinstance(body, str) else f'"{body}"'
    response = send(budgeteer, "PUT", "budgets/agents/support-bot", sent)
    error = error_of(response)
    assert (response.status_code, error.code) == (422, "bad_parameter")
    assert error.details[0]["where"] == where
    assert not BudgetPolicy.objects.exists()


@pytest.mark.parametrize("sent", [b"{", b"<html>", b"\xff", b"[" * 100_000, b'{"limit_cents": ' + b"9" * 5_000 + b"}"])
def test_what_is_no_json_is_refused(budgeteer: KeyHolder, support_bot: Agent, sent: bytes) -> None:
    response = send(budgeteer, "PUT", "budgets/agents/support-bot", sent)
    assert (response.status_code, error_of(response).code) == (400, "bad_request")
    assert not BudgetPolicy.objects.exists()


def test_a_grant_is_given_and_taken_back(budgeteer: KeyHolder, policies: dict[str, BudgetPolicy]) -> None:
    policy = policies["agent"]
    address = f"budgets/{policy.pk}/grants"

    given = send(budgeteer, "POST", address, {"cents": 25, "ends_at": TOMORROW, "reason": "launch week"})

    assert given.status_code == 201
    assert given.json()["cents"] == 25
    assert datetime.fromisoformat(given.json()["ends_at"]) == datetime.fromisoformat(TOMORROW)
    assert budgeteer.read(f"budgets/{policy.pk}")["effective_limit_cents"] == "125"
    assert BudgetChange.objects.filter(what="granted", by_key=budgeteer.row, reason="launch week").count() == 1

    back = f"{address}/{given.json()['id']}?reason=over"
    assert send(budgeteer, "DELETE", back).status_code == 204
    assert error_of(send(budgeteer, "DELETE", back)).code == "unknown_grant"
    assert budgeteer.read(f"budgets/{policy.pk}")["effective_limit_cents"] == "100"
    assert BudgetChange.objects.filter(what="grant_revoked", reason="over").count() == 1


def test_a_grant_until_a_date_ends_at_its_first_instant_in_the_ledgers_zone(
    budgeteer: KeyHolder, policies: dict[str, BudgetPolicy], zone: LedgerState
) -> None:
    zone.time_zone = "Asia/Tokyo"
    zone.save()
    day = zone.today() + timedelta(days=2)
    send(budgeteer, "POST", f"budgets/{policies['agent'].pk}/grants", {"cents": 1, "ends_at": str(day), "reason": "x"})
    assert BudgetGrant.objects.get().ends_at == zone.days().start(day)


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"cents": 0}, "cents"),
        ({"cents": 10**11 + 1}, "cents"),
        ({"cents": "5"}, "cents"),
        ({"ends_at": "2020-01-01"}, "ends_at"),
        ({"ends_at": "9999-12-31T23:59:59Z"}, "ends_at"),
        ({"ends_at": "9999-12-31"}, "ends_at"),
        ({"ends_at": "2027-01-01T00:00:00"}, "ends_at"),
        ({"ends_at": "soon"}, "ends_at"),
        ({"ends_at": 1_900_000_000}, "ends_at"),
        ({"reason": ""}, "reason"),
        ({"reason": "   "}, "reason"),
        ({"because": "x"}, "because"),
    ],
)
def test_a_grant_that_makes_no_sense_is_refused_with_the_field(
    budgeteer: KeyHolder, policies: dict[str, BudgetPolicy], fields: dict[str, Any], where: str
) -> None:
    body = {"cents": 5, "ends_at": TOMORROW, "reason": "launch"} | fields
    response = send(budgeteer, "POST", f"budgets/{policies['agent'].pk}/grants", body)
    error = error_of(response)
    assert (response.status_code, error.code, error.details[0]["where"]) == (422, "bad_parameter", where)
    assert not BudgetGrant.objects.exists()


def test_a_misspelt_parameter_ends_nothing(budgeteer: KeyHolder, policies: dict[str, BudgetPolicy]) -> None:
    response = send(budgeteer, "DELETE", f"budgets/{policies['agent'].pk}?raeson=x")
    assert error_of(response).code == "bad_parameter"
    assert BudgetPolicy.objects.exclude(archived_at=None).count() == 0
