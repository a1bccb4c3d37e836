"""What needs a person, the gravest first, each with the way to mend it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.urls import reverse

from agents.figures import many, money, percent
from budgets.models import BudgetPolicy
from budgets.state import Kind
from costsite.analytics.near_names import MOST_LETTERS, letters_apart, plain
from costsite.analytics.periods import Calendar
from costsite.analytics.queries.attention import Clients, UnpricedModel
from costsite.analytics.queries.fortnight import AgentFortnight
from costsite.analytics.queries.standings import Budgets, Watched
from costsite.analytics.queries.workspaces import WorkspaceFacts
from costsite.analytics.views import ways
from costsite.analytics.views.budget_rows import blocked_words

EACH = 5
"""Of each kind at most; of others of the kind the count is said."""
MOST_READ = 25
"""Of those kinds of which a page reads the gravest: from here on their count is not known."""
COMPARED_NAMES = 1_000
COMPARISONS = 20_000
"""Of two names, for a page: a fifth of a second, of names made to be slow."""


@dataclass(frozen=True)
class Notice:
    grave: bool
    before: str = ""
    subject: str = ""
    href: str = ""
    after: str = ""
    act: str = ""
    act_href: str = ""
    stands_for: int = 1
    """So many of its kind."""

    @property
    def rest(self) -> str:
        """`after`, with the space before it that words have and punctuation has not."""
        return self.after if self.after.startswith((":", ".")) else f" {self.after}"


def notices(
    user: ways.User,
    calendar: Calendar,
    workspaces: Sequence[WorkspaceFacts],
    budgets: Budgets,
    unpriced: Sequence[UnpricedModel],
    agents: Sequence[AgentFortnight],
    clients: Clients,
) -> list[Notice]:
    owned = {workspace.id for workspace in workspaces if workspace.owned}
    slugs = {workspace.id: workspace.slug for workspace in workspaces}
    live = [agent for agent in agents if not agent.archived]
    found = [
        *_budgets(user, budgets, owned, slugs),
        *(_unpriced(user, model, bool(owned)) for model in unpriced[:EACH]),
        *_more(unpriced, True, "unpriced model", reverse("prices"), most_read=MOST_READ),
        *_failing(live),
        *_silent(live),
        *_lost(clients),
        *_new(user, calendar, live, owned),
    ]
    return sorted(found, key=lambda notice: not notice.grave)


def _more(found: Sequence[object], grave: bool, what: str, href: str, *, most_read: int = 0) -> Iterable[Notice]:
    """How many were found beside those that are named. `most_read`: there may be others from so many on."""
    if (rest := len(found) - EACH) > 0:
        at_least = "at least " if most_read and len(found) >= most_read else ""
        subject = f"{at_least}{many(rest, f'more {what}')}"
        yield Notice(grave, "And", subject, href, ".", stands_for=rest)


def _budgets(user: ways.User, budgets: Budgets, owned: set[int], slugs: dict[int, str]) -> Iterable[Notice]:
    order = (Kind.BLOCKED, Kind.NEW_RUNS_REFUSED, Kind.OVER, Kind.NEAR)
    loud = [one for one in budgets.watched if one.shown and (one.kind in order or one.refused)]
    loud.sort(key=lambda one: (order.index(one.kind) if one.kind in order else len(order), -one.refused))
    for one in loud[:EACH]:
        standing = one.standing
        said = blocked_words(one, budgets.zone)
        figures = f"{money(standing.spent)} of {money(standing.limit)}"
        after = f"{said}: {figures}" if said else f"has room: {figures} spent"
        if one.refused:
            after += f". {many(one.refused, 'refusal')} in 7 days"
        href = _page_of(one, slugs)
        owns = one.policy.workspace_id in owned
        # Refusals of a week may be older than the grant that mended them: with room left there is nothing to grant.
        needs_more = one.kind in order
        act_href = ways.grant_more(user, one.policy, owned=owns) if needs_more else ""
        yield Notice(
            one.kind not in (Kind.NEAR, Kind.ON_TRACK), "", one.policy.subject, href, f"{after}.",
            "Grant more" if act_href else "", act_href,
        )  # fmt: skip
    is_grave = any(one.kind not in (Kind.NEAR, Kind.ON_TRACK) for one in loud[EACH:])
    yield from _more(loud, is_grave, "budget", reverse("budgets"), most_read=MOST_READ)


def _page_of(one: Watched, slugs: dict[int, str]) -> str:
    if one.policy.scope == BudgetPolicy.Scope.AGENT:
        return reverse("agent", args=[one.policy.agent_id])
    slug = slugs.get(one.policy.workspace_id or 0)
    return reverse("workspace", args=[slug]) if slug else ""


def _unpriced(user: ways.User, model: UnpricedModel, owns_any: bool) -> Notice:
    calls = f"{many(model.calls, 'call')} unpriced this month:"
    by = f"({model.provider}). " if model.provider else ". "
    way = ways.add_price(user, model.provider, model.model, owns_any=owns_any)
    after = f"{by}{'Its' if model.calls == 1 else 'Their'} cost is in no sum."
    return Notice(True, calls, model.model or "unnamed model", "", after, "Add a price" if way else "", way)


def _failing(agents: Sequence[AgentFortnight]) -> Iterable[Notice]:
    failing = sorted((agent for agent in agents if agent.fails), key=lambda agent: -agent.failed_calls)
    for agent in failing[:EACH]:
        share = percent(agent.failed_calls, agent.calls)
        after = f": {agent.failed_calls:,} of {agent.calls:,} calls failed in 7 days ({share})."
        runs = f"{reverse('runs')}?agent={agent.agent_id}&status=error"
        yield Notice(True, "", agent.name, reverse("agent", args=[agent.agent_id]), after, "Open runs", runs)
    yield from _more(failing, True, "failing agent", f"{reverse('runs')}?status=error")


def _silent(agents: Sequence[AgentFortnight]) -> Iterable[Notice]:
    silent = sorted((agent for agent in agents if agent.reports_nothing), key=lambda agent: -agent.calls)
    for agent in silent[:EACH]:
        calls = many(agent.calls, "call")
        after = f"ran, and its provider reported no usage: {calls} in 7 days, all estimated."
        runs = f"{reverse('runs')}?agent={agent.agent_id}"
        yield Notice(False, "", agent.name, reverse("agent", args=[agent.agent_id]), after, "Open runs", runs)
    yield from _more(silent, False, "such agent", reverse("analytics"))


def _lost(clients: Clients) -> Iterable[Notice]:
    if lost := clients.dropped_events:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in clients.dropped.items())
        yield Notice(
            True,
            f"{many(lost, 'event')} lost by reporting processes in 7 days: {reasons}. Totals are too low by them.",
        )
    if rejected := clients.rejected_events:
        yield Notice(
            False,
            f"{many(rejected, 'rejection')} of events in 7 days. What is rejected is kept where the agent runs until"
            " it is sent again; costsite status, run there, says why, and the mend.",
        )


def _new(user: ways.User, calendar: Calendar, agents: Sequence[AgentFortnight], owned: set[int]) -> Iterable[Notice]:
    """Agents that appeared in the last 7 days; said first of those that may be another one, misspelled."""
    since = calendar.now - timedelta(days=7)
    by_name = sorted(agents, key=lambda agent: agent.slug)[:COMPARED_NAMES]
    new = sorted(
        (agent for agent in agents if agent.created_at >= since and not agent.earlier_calls),
        key=lambda agent: agent.slug,
    )
    twins = _twins(new[: 4 * EACH], by_name)
    new.sort(key=lambda agent: twins.get(agent.agent_id) is None)
    for agent in new[:EACH]:
        twin = twins.get(agent.agent_id)
        after = "is new: it was first seen in the last 7 days."
        merge_href = ""
        if twin is not None:
            owns = agent.workspace_id in owned
            merge_href = ways.merge_agent(user, agent.agent_id, agent.slug, owned=owns, into=twin.slug)
            name = "named" if agent.name == agent.slug else f"called {agent.slug} in the code,"
            after = f"is new, and {name} almost like {twin.slug}. If it is the same agent, mend its name in the code."
        yield Notice(
            False, "", agent.name, reverse("agent", args=[agent.agent_id]), after, "Merge into…" if merge_href else "",
            merge_href,
        )  # fmt: skip
    yield from _more(new, False, "new agent", reverse("analytics"))


def _twins(new: Sequence[AgentFortnight], others: Sequence[AgentFortnight]) -> dict[int, AgentFortnight]:
    """Of each new agent, by its id, an older one of its workspace whose name is two letters away at most: the nearest,
    and of equally near ones the oldest. The other may be a misspelling too, and a merge has no way back.
    """
    twins: dict[int, AgentFortnight] = {}
    names = [plain(other.slug) for other in others] if new else []
    comparisons = 0
    for agent in new:
        name = plain(agent.slug)
        found: list[tuple[int, datetime, int, AgentFortnight]] = []
        for other, other_name in zip(others, names, strict=True):
            if (
                other.workspace_id != agent.workspace_id
                or abs(len(other_name) - len(name)) > MOST_LETTERS
                or (other.created_at, other.agent_id) >= (agent.created_at, agent.agent_id)
            ):
                continue
            if comparisons == COMPARISONS:
                return twins
            comparisons += 1
            if (letters := letters_apart(name, other_name)) is not None:
                found.append((letters, other.created_at, other.agent_id, other))
        if found:
            twins[agent.agent_id] = min(found, key=lambda one: one[:3])[-1]
    return twins
