"""Where one acts on what a page shows; empty for who may not, so that no page offers a door that is shut."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.urls import reverse

from agents.merging import may_merge
from agents.models.people import UNREGISTERED
from agents.models.visibility import is_superuser
from budgets.granting import may_grant
from budgets.models import BudgetPolicy

User = AbstractBaseUser | AnonymousUser


def _staff(user: User) -> bool:
    return bool(getattr(user, "is_staff", False))


def edit_agent(user: User, agent_id: int, *, owned: bool) -> str:
    return reverse("admin:agents_agent_change", args=[agent_id]) if _staff(user) and owned else ""


def edit_workspace(user: User, workspace_id: int, *, owned: bool) -> str:
    return reverse("admin:agents_workspace_change", args=[workspace_id]) if _staff(user) and owned else ""


def set_budget(way_to_edit: str) -> str:
    """The field of the form that `way_to_edit` opens."""
    return f"{way_to_edit}#id_monthly_budget_cents" if way_to_edit else ""


def add_budget(user: User, *, owns_any: bool) -> str:
    """`owns_any`: some workspace is theirs, where the admin lets them set one."""
    may = _staff(user) and (owns_any or is_superuser(user))
    return reverse("admin:budgets_budgetpolicy_add") if may else ""


def edit_budget(user: User, policy: BudgetPolicy, *, changeable: bool) -> str:
    """`changeable`: it is of `BudgetPolicy.objects.changeable_by(user)`."""
    return reverse("admin:budgets_budgetpolicy_change", args=[policy.pk]) if _staff(user) and changeable else ""


def grant_more(user: User, policy: BudgetPolicy, *, owned: bool) -> str:
    return reverse("grant-more", args=[policy.pk]) if may_grant(user, policy, owned=owned) else ""


def merge_agent(user: User, agent_id: int, slug: str, *, owned: bool, into: str = "") -> str:
    """`into`: the slug of the one that is proposed."""
    if slug == UNREGISTERED or not may_merge(user, owned=owned):
        return ""
    return reverse("merge-agent", args=[agent_id]) + (f"?{urlencode({'into': into})}" if into else "")


def add_price(user: User, provider: str, model: str, *, owns_any: bool) -> str:
    """`owns_any`: some workspace is theirs, whose prices are theirs to say (`agents.price_entry.may_enter_prices`)."""
    if not (owns_any or is_superuser(user)):
        return ""
    return f"{reverse('enter-price')}?{urlencode({'kind': 'priced', 'provider': provider, 'model': model})}"
