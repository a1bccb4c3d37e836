"""The acts on a budget: making, changing and archiving it, and granting more. Each leaves a `BudgetChange`.

Each is one transaction, alone on PostgreSQL too: a batch that is being recorded counts either before the counter starts
from the ledger or after, never between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ValidationError
from django.utils import timezone

from agents.models import Agent, ApiKey, LedgerState, Workspace
from agents.write_lock import writing
from budgets.counters import start_counter
from budgets.crossings import Tally, note_crossings
from budgets.limits import effective_limits
from budgets.model_moves import clean_model
from budgets.models import BudgetChange, BudgetGrant, BudgetPolicy
from budgets.months import month_at

if TYPE_CHECKING:
    from django.contrib.auth.models import User

OF_EVERY_BUDGET: Final = ("limit_cents", "thresholds", "mode")
CHANGEABLE: Final = (*OF_EVERY_BUDGET, "moves_to", "moves_at_percent")
LONGEST_GRANT: Final = timedelta(days=367)
"""From any time of a day through the same day of the next year. What should hold for longer is the limit itself, where
everybody looks for it.
"""


@dataclass(frozen=True)
class By:
    """Who acts: a person, an API key, or neither, as from the command line."""

    user: User | None = None
    key: ApiKey | None = None
    command: str = ""

    @property
    def name(self) -> str:
        if self.user is not None:
            return self.user.get_username()[:200]
        return f"API key {self.key.prefix}" if self.key is not None else self.command


def policy_of(of: Agent | Workspace | None) -> BudgetPolicy | None:
    """The live budget of an agent, a workspace, or, for None, of the site."""
    return BudgetPolicy.objects.live().filter(**_place(of)).first()


def set_budget(of: Agent | Workspace | None, *, by: By, reason: str = "", **fields: Any) -> BudgetPolicy | None:
    """Give an agent, a workspace, or (None) the site a monthly budget, or change the one it has.

    `fields`: any of `CHANGEABLE`. `limit_cents=None` archives the budget. Returns the budget, None where there is none.

    Raises:
        ValidationError: A value is out of bounds; the message says the mend.

    """
    with writing(alone=True):
        policy = policy_of(of)
        if fields.get("limit_cents", 0) is None:
            if policy is not None:
                archive(policy, by=by, reason=reason)
            return None
        if policy is None:
            return _make(of, fields, by, reason)
        change(policy, fields, by=by, reason=reason)
        return policy


def change(policy: BudgetPolicy, fields: Mapping[str, Any], *, by: By, reason: str = "") -> bool:
    """Set some of `CHANGEABLE`; False when they were so already. Lines that the new limit has behind it are recorded,
    and ring no bell.

    Raises:
        ValidationError: A value is out of bounds.

    """
    _require_known(fields)
    with writing(alone=True):
        now = timezone.now()
        policy.refresh_from_db()
        before = {name: getattr(policy, name) for name in fields if getattr(policy, name) != fields[name]}
        if not before:
            return False
        for name in before:
            setattr(policy, name, fields[name])
        policy.full_clean()
        policy.save(update_fields=list(before))
        _note(policy, BudgetChange.What.CHANGED, by, reason, before, {name: fields[name] for name in before})
        _note_lines_behind(policy, now)
        return True


def set_model_move(policy: BudgetPolicy, model: str, at_percent: int | None, *, by: By, reason: str = "") -> bool:
    """Have an agent's budget move it to `model` (`openai/gpt-5-mini`) from `at_percent` of it on; with an empty `model`
    the agent stays with its own. False when it was so already.

    Raises:
        ValidationError: The budget is of no agent, or the model or the percent is none.

    """
    model = clean_model(model)
    fields = {"moves_to": model, "moves_at_percent": at_percent if model else None}
    return change(policy, fields, by=by, reason=reason)


def archive(policy: BudgetPolicy, *, by: By, reason: str = "") -> None:
    """End a budget. Nothing is refused for it from the next decision on."""
    with writing(alone=True):
        if BudgetPolicy.objects.live().filter(pk=policy.pk).update(archived_at=timezone.now()):
            _note(policy, BudgetChange.What.ARCHIVED, by, reason, {"limit_cents": policy.limit_cents}, {})


def grant(policy: BudgetPolicy, cents: int, *, ends_at: datetime, reason: str, by: By) -> BudgetGrant:
    """Raise a budget's limit by `cents` until `ends_at` (aware). What was refused for it runs again within seconds.

    Raises:
        ValidationError: Too little, too much, no reason, or an end that has passed or lies over a year ahead.

    """
    with writing(alone=True):
        now = timezone.now()
        given = BudgetGrant(
            policy=policy, cents=cents, reason=_storable(reason), granted_by=by.user, granted_at=now, ends_at=ends_at
        )
        if ends_at <= now:
            raise ValidationError({"ends_at": "The grant would end before it begins; choose a later time."})
        if ends_at > now + LONGEST_GRANT:
            raise ValidationError({"ends_at": "The grant would last over a year; raise the budget itself instead."})
        given.full_clean(exclude=["policy", "granted_by"])
        given.save()
        told = {"cents": cents, "ends_at": ends_at.isoformat(), "grant": given.pk}
        _note(policy, BudgetChange.What.GRANTED, by, given.reason, {}, told)
        _note_lines_behind(policy, now)
        return given


def revoke_grant(given: BudgetGrant, *, by: By, reason: str = "") -> bool:
    """Take a grant back; False when it was over or revoked already."""
    with writing(alone=True):
        now = timezone.now()
        if not BudgetGrant.objects.live(now).filter(pk=given.pk).update(revoked_at=now):
            return False
        _note(given.policy, BudgetChange.What.GRANT_REVOKED, by, reason, {"cents": given.cents, "grant": given.pk}, {})
        return True


def _storable(reason: str) -> str:
    """As every database takes it: PostgreSQL has no text with a NUL in it."""
    return reason.replace("\x00", "").strip()[:500]


def _make(of: Agent | Workspace | None, fields: Mapping[str, Any], by: By, reason: str) -> BudgetPolicy:
    _require_known(fields)
    now = timezone.now()
    policy = BudgetPolicy(**_place(of), **fields, first_month=month_at(now, LedgerState.current().days()).name)
    policy.full_clean()
    policy.save()
    told = {name: value for name in CHANGEABLE if (value := getattr(policy, name)) not in ("", None)}
    _note(policy, BudgetChange.What.MADE, by, reason, {}, told)
    start_counter(policy, policy.first_month)
    _note_lines_behind(policy, now)
    return policy


def _place(of: Agent | Workspace | None) -> dict[str, Any]:
    """The fields that say whose budget it is."""
    if isinstance(of, Agent):
        return {"scope": BudgetPolicy.Scope.AGENT.value, "workspace": of.workspace, "agent": of}
    if isinstance(of, Workspace):
        return {"scope": BudgetPolicy.Scope.WORKSPACE.value, "workspace": of, "agent": None}
    return {"scope": BudgetPolicy.Scope.SITE.value, "workspace": None, "agent": None}


def _require_known(fields: Mapping[str, Any]) -> None:
    unknown = fields.keys() - set(CHANGEABLE)
    if unknown:
        raise TypeError(f"A budget has no {sorted(unknown)}; it has {CHANGEABLE}.")


def _note(
    policy: BudgetPolicy, what: BudgetChange.What, by: By, reason: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    BudgetChange.objects.create(
        policy=policy, what=what, before=before, after=after, reason=_storable(reason), by_user=by.user, by_key=by.key,
        by_name=by.name,
    )  # fmt: skip


def _note_lines_behind(policy: BudgetPolicy, now: datetime) -> None:
    """Record the lines of the limit in force that spending has passed already."""
    month = month_at(now, LedgerState.current().days()).name
    spent = policy.periods.filter(month=month).values_list("spent_microcents", flat=True).first() or 0
    limit = effective_limits([policy], now)[policy.pk]
    note_crossings([Tally.of(policy, month, limit, spent)], now=now, this_month=month, at_creation=True)
