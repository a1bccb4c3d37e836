"""The page Cost optimization, and what one decides on it."""

from __future__ import annotations

import re
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from agents.models import Agent as AgentRow
from agents.models import AgentRunLog, Workspace
from budgets.changes import difference
from budgets.models import BudgetChange, BudgetPolicy
from budgets.policies import By, set_budget
from costsite.advice.models import Advice, AdviceChange
from costsite.advice.nightly import review
from tests.advice.conftest import FIRST, YESTERDAY, Book
from tests.advice.planted import ALL_CAUSES, Agent, Month
from tests.advice.test_finding import one_call_runs

pytestmark = [pytest.mark.django_db]

MOST_QUERIES = 12


@pytest.fixture
def month(book: Book) -> Month:
    month = Month(Agent(), FIRST)
    book(month.events(ALL_CAUSES))
    review(YESTERDAY)
    return month


@pytest.fixture
def stranger(elsewhere: Workspace, django_user_model: type[User]) -> User:
    person: User = django_user_model.objects.create_user("stan")
    person.memberships.create(workspace=elsewhere)
    return person


def text(client: Client, address: str = "/optimization/") -> str:
    response = client.get(address)
    assert response.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def decided(client: Client, advice: Advice, state: str, reason: str = "") -> int:
    return client.post(reverse("decide-advice", args=[advice.pk]), {"state": state, "reason": reason}).status_code


def test_advice_is_ranked_by_cents_and_every_section_has_its_sum(month: Month, client: Client, viewer: User) -> None:
    client.force_login(viewer)

    html = client.get("/optimization/").content.decode()

    order = [row.pk for row in Advice.objects.order_by("-month_microcents", "pk")]
    ranked = [int(pk) for pk in re.findall(r'href="#advice-(\d+)"', html)]
    assert ranked == order[:10]
    for title in (
        "Choose the right effort level", "Use the right model", "Review run logs", "Compact conversations", "Caching",
    ):  # fmt: skip
        assert title in html
    planted = {AgentRunLog.objects.get(run_id=run_id).pk for run_id in month.planted}
    linked = {int(pk) for pk in re.findall(r'href="/runs/(\d+)/"', html)}
    assert planted <= linked, "the evidence is linked"
    assert "Keep in mind" in html
    assert "Formula" in html


def test_the_page_asks_at_most_twelve_queries_however_much_there_is(
    month: Month, book: Book, client: Client, owner: User, superuser: User
) -> None:
    def asked(person: User) -> int:
        client.force_login(person)
        with CaptureQueriesContext(connection) as queries:
            client.get("/optimization/")
        return len(queries)

    few = asked(owner)
    for number in range(8):
        book(one_call_runs(40, agent=f"agent-{number}", prompt_hash="ab" * 16))
    review(YESTERDAY)
    client.force_login(owner)
    for advice in Advice.objects.order_by("pk")[:3]:
        assert decided(client, advice, "done", "tried it") == 302

    assert few <= MOST_QUERIES
    assert asked(owner) <= MOST_QUERIES
    assert asked(superuser) <= MOST_QUERIES


def test_another_workspaces_advice_is_not_shown_and_not_to_be_decided(
    month: Month, client: Client, stranger: User
) -> None:
    client.force_login(stranger)
    advice = Advice.objects.earliest("pk")

    assert "No runs to review yet" in text(client)
    assert decided(client, advice, "done", "mine now") == 404
    advice.refresh_from_db()
    assert advice.state == "open"


def test_owners_decide_with_a_reason_and_it_is_written_down(
    month: Month, client: Client, owner: User, viewer: User
) -> None:
    advice = Advice.objects.order_by("-month_microcents")[0]
    client.force_login(viewer)
    assert decided(client, advice, "done", "no owner") == 403
    assert "Snooze 30 days" not in text(client)
    client.force_login(owner)
    assert client.get(reverse("decide-advice", args=[advice.pk])).status_code == 405
    assert decided(client, advice, "done") == 302
    assert "Say why, in a few words" in text(client)
    assert decided(client, advice, "nonsense", "why") == 302
    assert not AdviceChange.objects.exists()

    assert decided(client, advice, "dismissed", "  a tool that\x00 waits ") == 302
    assert decided(client, advice, "open") == 302

    changes = [
        (change.username, change.state_before, change.state_after) for change in AdviceChange.objects.order_by("pk")
    ]
    assert changes == [("olive", "open", "dismissed"), ("olive", "dismissed", "open")]
    assert AdviceChange.objects.order_by("pk")[0].reason == "a tool that waits"


def test_what_is_snoozed_comes_back_when_its_time_is_over(
    month: Month, client: Client, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    advice = Advice.objects.order_by("-month_microcents")[0]
    client.force_login(owner)
    assert f'href="#advice-{advice.pk}"' in client.get("/optimization/").content.decode()

    decided(client, advice, "snoozed", "after the release")

    assert f'href="#advice-{advice.pk}"' not in client.get("/optimization/").content.decode()
    Advice.objects.filter(pk=advice.pk).update(snoozed_until=YESTERDAY)
    assert f'href="#advice-{advice.pk}"' in client.get("/optimization/").content.decode()


def test_what_was_done_is_measured_before_and_after_with_n(book: Book, client: Client, owner: User) -> None:
    # 40 runs of 200,000 microcents before the day of the decision, 20 of 100,000 after it.
    book(one_call_runs(40, day=3, prompt_hash="ab" * 16))
    book(one_call_runs(20, day=20, input_tokens=600, output_tokens=200))
    review(YESTERDAY)
    client.force_login(owner)
    advice = Advice.objects.get(kind="repeated")
    decided(client, advice, "done", "LangChain's cache is on")
    Advice.objects.filter(pk=advice.pk).update(decided_on=(FIRST + timedelta(days=10)).date())

    page = text(client)

    assert "0.2000¢ n 40" in page
    assert "0.1000¢ n 20" in page


def test_before_the_first_review_the_page_says_when_it_comes_and_the_command_that_does_it_now(
    book: Book, client: Client, viewer: User
) -> None:
    client.force_login(viewer)
    # Of today alone: days that are over have nothing to review.
    book(Month(Agent(), timezone.now(), days=1).events())

    (command,) = re.findall(r"manage\.py ([-a-z_ ]+) does it now", text(client))

    call_command(*command.split(), verbosity=0, stdout=StringIO())
    assert "Not reviewed yet" not in text(client)


def test_a_quiet_month_says_that_there_is_nothing_to_advise(book: Book, client: Client, viewer: User) -> None:
    book(Month(Agent(), FIRST).events())
    review(YESTERDAY)
    client.force_login(viewer)

    page = text(client)

    assert "Nothing to advise" in page
    assert "No run of the last 30 days was unusual" in page


def test_a_new_agent_is_said_to_be_new(book: Book, client: Client, viewer: User) -> None:
    book(Month(Agent(runs_a_day=1), FIRST, days=12).events())
    review(YESTERDAY)
    client.force_login(viewer)

    assert re.search(r"New, and not compared yet: support-bot \(12 of 30 runs\)", text(client))


def test_names_are_shown_as_text_whatever_they_are(book: Book, client: Client, viewer: User) -> None:
    name = "<script>alert('x')</script>&" + "W" * 100
    book(one_call_runs(40, agent=name.replace("/", "_"), day=3, request_model="acme-1", prompt_hash="ab" * 16))
    review(YESTERDAY)
    client.force_login(viewer)

    html = client.get("/optimization/").content.decode()

    assert "<script>alert" not in html
    assert "alert(" in html


# ── what if ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_range_of_an_agent_is_shown_on_another_model(month: Month, client: Client, viewer: User) -> None:
    client.force_login(viewer)
    agent = AgentRow.objects.get()
    address = f"/optimization/what-if/?agent={agent.pk}&range=this-month&model="

    priced = text(client, address + "anthropic/claude-haiku-4-5")
    with CaptureQueriesContext(connection) as queries:
        client.get(address + "anthropic/claude-haiku-4-5")

    assert "On anthropic/claude-haiku-4-5" in priced
    assert "1 to 28 Nov, n" in priced
    assert "fewer tokens to 35 % more" in priced
    assert "Make claude-haiku-4-5 the default model" not in priced, "a viewer may not"
    assert len(queries) <= MOST_QUERIES
    assert "No price is known for acme-ai/unheard-of" in text(client, address + "acme-ai/unheard-of")


def test_what_if_of_nothing_is_a_page_like_any_other(month: Month, client: Client, stranger: User) -> None:
    client.force_login(stranger)
    agent = AgentRow.objects.get()

    for query in ("", f"?agent={agent.pk}&model=openai/gpt-5", "?agent=9e9&model=%00", "?agent=1&range=never&model=/"):
        assert "Choose an agent and a model" in text(client, "/optimization/what-if/" + query), query


def test_a_default_model_keeps_no_character_that_nobody_sees(month: Month, client: Client, owner: User) -> None:
    agent = AgentRow.objects.get()
    client.force_login(owner)

    client.post(reverse("what-if-default-model"), {"agent": agent.pk, "model": "gpt\x1b[31m-5\x00\u202e"})

    agent.refresh_from_db()
    assert agent.default_model == "gpt\ufffd[31m-5\ufffd"


def test_one_click_makes_it_the_default_model_for_owners_alone(
    month: Month, client: Client, owner: User, viewer: User, stranger: User
) -> None:
    agent = AgentRow.objects.get()
    act = reverse("what-if-default-model")
    for person, status in ((stranger, 404), (viewer, 403), (owner, 302)):
        client.force_login(person)

        answer = client.post(act, {"agent": agent.pk, "model": "claude-haiku-4-5"}, follow=True)

        assert (answer.redirect_chain[0][1] if answer.redirect_chain else answer.status_code) == status
        assert (answer.status_code == 200) is ("is the default model of" in answer.content.decode()), "told, once done"
    agent.refresh_from_db()
    assert agent.default_model == "claude-haiku-4-5"
    assert LogEntry.objects.get().get_change_message() == (
        "Default model from none to claude-haiku-4-5, after a what-if."
    )


MINI = "openai/gpt-5-mini"


@pytest.fixture
def budgeted(month: Month) -> BudgetPolicy:
    policy = set_budget(AgentRow.objects.get(), by=By(command="test"), limit_cents=100_000)
    assert policy is not None
    return policy


def moved(client: Client, agent_pk: int, **fields: object) -> tuple[int, str]:
    """The status of the answer, and what the page after it says."""
    answer = client.post(
        reverse("what-if-move"), {"agent": agent_pk, "model": MINI, "percent": 80} | fields, follow=True
    )
    status = answer.redirect_chain[0][1] if answer.redirect_chain else answer.status_code
    return status, re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def test_one_click_has_its_budget_move_it_for_owners_alone(
    budgeted: BudgetPolicy, client: Client, owner: User, viewer: User, stranger: User
) -> None:
    agent = AgentRow.objects.get()
    address = f"/optimization/what-if/?agent={agent.pk}&range=this-month&model={MINI}"
    for person, status in ((stranger, 404), (viewer, 403)):
        client.force_login(person)
        assert moved(client, agent.pk)[0] == status
        assert "Move to" not in text(client, address)
    client.force_login(owner)
    with CaptureQueriesContext(connection) as queries:
        offered = text(client, address)
    assert client.get(reverse("what-if-move")).status_code == 405
    assert re.search(rf"From percent of the budget on Move to {MINI} Now:", offered)
    assert "Now: it stays with its own model." in offered
    assert len(queries) <= MOST_QUERIES

    status, said = moved(client, agent.pk)

    assert status == 302
    assert f"support-bot moves to {MINI} from 80 % of its budget on." in said
    budgeted.refresh_from_db()
    assert (budgeted.moves_to, budgeted.moves_at_percent) == (MINI, 80)
    change = BudgetChange.objects.filter(policy=budgeted).latest("pk")
    assert (change.by_name, change.reason) == ("olive", "After a what-if.")
    assert difference(change) == f"moves to: none → {MINI}; at percent: none → 80"
    # The pages that name the budget say so.
    assert f"Now: {MINI} from 80 % on." in text(client, address)
    assert f"from 80 % on {MINI}" in text(client, "/budgets/")
    assert f"From 80 % of the budget {MINI}" in text(client, f"/analytics/{agent.pk}/")
    assert f"{MINI},80," in b"".join(client.get("/budgets/export.csv").streaming_content).decode()  # type: ignore[attr-defined]
    assert "Stay with its own model" in text(client, f"/budgets/{budgeted.pk}/")
    client.force_login(viewer)
    assert "Stay with its own model" not in text(client, f"/budgets/{budgeted.pk}/")


def test_the_budgets_page_says_that_it_is_there_and_an_owner_takes_it_back(
    budgeted: BudgetPolicy, client: Client, owner: User
) -> None:
    agent = AgentRow.objects.get()
    client.force_login(owner)
    for limit, words in ((100_000, f"is moved to {MINI} ."), (1, f"is moved to {MINI} : it is there now.")):
        set_budget(agent, by=By(command="test"), limit_cents=limit)

        assert f"From 80 % on the agent {words}" in moved(client, agent.pk)[1]

    status, said = moved(client, agent.pk, model="")

    assert (status, "support-bot stays with its own model." in said) == (302, True)
    budgeted.refresh_from_db()
    assert (budgeted.moves_to, budgeted.moves_at_percent) == ("", None)


def test_without_a_budget_of_its_own_there_is_no_part_of_it_to_move_at(
    month: Month, workspace: Workspace, client: Client, owner: User
) -> None:
    agent = AgentRow.objects.get()
    set_budget(workspace, by=By(command="test"), limit_cents=100_000)
    client.force_login(owner)
    html = client.get(f"/optimization/what-if/?agent={agent.pk}&range=this-month&model={MINI}").content.decode()
    assert "has no budget of its own" in html
    assert f'href="/admin/agents/agent/{agent.pk}/change/#id_monthly_budget_cents"' in html

    assert "support-bot has no budget of its own; set a monthly budget first." in moved(client, agent.pk)[1]

    User.objects.filter(pk=owner.pk).update(is_staff=False)
    said = text(client, f"/optimization/what-if/?agent={agent.pk}&range=this-month&model={MINI}")
    assert "To set one takes staff status" in said
    assert not BudgetPolicy.objects.exclude(moves_to="").exists()


@pytest.mark.parametrize(
    ("fields", "mend"),
    [
        ({"percent": "0"}, "greater than or equal to 1"),
        ({"percent": "101"}, "Say from how much of the budget on"),
        ({"percent": "many"}, "Say from how much of the budget on"),
        ({"model": "openai/"}, "Name the model as its provider and name"),
        ({"model": "x" * 2_000}, "Name the model as its provider and name"),
    ],
)
def test_what_is_no_move_is_said_with_the_mend(
    fields: dict[str, str], mend: str, budgeted: BudgetPolicy, client: Client, owner: User
) -> None:
    client.force_login(owner)

    assert mend in moved(client, AgentRow.objects.get().pk, **fields)[1]

    budgeted.refresh_from_db()
    assert budgeted.moves_to == ""


def test_a_model_without_a_price_is_not_offered_to_be_moved_to(
    budgeted: BudgetPolicy, client: Client, owner: User
) -> None:
    client.force_login(owner)

    page = text(client, f"/optimization/what-if/?agent={budgeted.agent_id}&range=this-month&model=acme-ai/unheard-of")

    assert "No price is known" in page
    assert "Move to" not in page
