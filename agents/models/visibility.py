"""The only door to rows for pages, API and admin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import connections, models
from django.db.models import ExpressionWrapper, F, Value

if TYPE_CHECKING:
    from agents.models.people import ApiKey

User = AbstractBaseUser | AnonymousUser
"""Whoever asks: whichever model of users the site has, or nobody who is known."""
Row = TypeVar("Row", bound=models.Model)

NAMED_WORKSPACES: Final = 400
"""Of a member of more, the newest rows are not read workspace by workspace: SQLite joins at most 500 selects."""


def workspace_ids_of(user: User) -> list[int]:
    """The workspaces that `user` is a member of, read once for each user object.

    As Django's own permissions are: a request loads its user anew. Who holds one longer loads it again to see changes.
    """
    person: Any = user  # whichever model of users the site has, memberships name it as theirs
    known: list[int] | None = getattr(person, "_workspace_ids", None)
    if known is None:
        mine = person.memberships.order_by("workspace_id")
        known = list(mine.values_list("workspace_id", flat=True))
        person._workspace_ids = known
    return known


def remember_workspaces(user: User, ids: Iterable[int]) -> None:
    """For who has just read all memberships of `user` with more beside them: `workspace_ids_of` need not ask again."""
    person: Any = user
    person._workspace_ids = sorted(ids)


def sees_nothing(user: User) -> bool:
    return not user.is_authenticated or not user.is_active


def is_superuser(user: User) -> bool:
    """Whether `user` runs the site, and so sees and changes everything. Who was made inactive no longer does."""
    return not sees_nothing(user) and bool(getattr(user, "is_superuser", False))


class VisibleQuerySet(models.QuerySet[Row]):
    """Rows that hang on a workspace."""

    workspace_column = "workspace_id"
    agent_path: str | None = "agent_id"
    """Where the row's agent is; None for rows that belong to a workspace as a whole."""

    def visible_to(self, user: User) -> Self:
        """What `user` may see: everything for a superuser, else the rows of the workspaces they are a member of.

        Those are written out by their ids. Of "the workspaces of this user" SQLite cannot know how few rows they have,
        and where its statistics say that a workspace has many, it walks everybody's.
        """
        if sees_nothing(user):
            return self.none()
        if is_superuser(user):
            return self
        return self.in_workspaces(workspace_ids_of(user))

    def visible_among(self, user: User, ids: Iterable[int]) -> Self:
        """Of the rows with these ids, few of a large table, those that `user` may see: looked up by their ids alone.

        Of "with these ids, in these workspaces" SQLite, which has no statistics on a site, walks the workspaces' rows.
        So the workspace is compared as a number that no index holds.
        """
        rows = self.filter(pk__in=list(ids))
        if sees_nothing(user):
            return rows.none()
        if is_superuser(user):
            return rows
        number = ExpressionWrapper(F(self.workspace_column) + Value(0), output_field=models.BigIntegerField())
        return rows.alias(workspace_number=number).filter(workspace_number__in=workspace_ids_of(user))

    def in_workspaces(self, ids: Iterable[int]) -> Self:
        return self.filter(**{f"{self.workspace_column}__in": ids})

    def parts_visible_to(self, user: User) -> list[Self]:
        """What `user` may see, in parts that each have an index where all rows and every workspace's have one."""
        if sees_nothing(user):
            return []
        if is_superuser(user):
            return [self]
        mine = workspace_ids_of(user)
        if len(mine) > NAMED_WORKSPACES:
            return [self.visible_to(user)]
        return [self.filter(**{self.workspace_column: pk}) for pk in mine]

    def firsts_visible_to(self, user: User, *order: str, most: int) -> Self:
        """The first `most`, in `order`, of those that `user` may see; in no order."""
        return self.firsts_of(self.parts_visible_to(user), *order, most=most)

    def firsts_of(self, parts: Sequence[Self], *order: str, most: int) -> Self:
        """The first `most`, in `order`, of parts of these rows that have an index in that order each; in no order.

        "The first of these workspaces" has no good plan: a database sorts all their rows, or walks everybody's. So the
        first `most` of each part are picked by its index, by their ids alone, and only these are sorted.
        """
        of_each: list[models.QuerySet[Any, Any]] = [part.order_by(*order).values("pk")[:most] for part in parts]
        if len(of_each) < 2:
            return self._with_ids(of_each[0]) if of_each else self.none()
        if not connections[self.db].features.supports_slicing_ordering_in_compound:
            of_each = [self._with_ids(ids).values("pk") for ids in of_each]
        # A union: for "in this or in that" PostgreSQL reads the whole table.
        among = self._with_ids(of_each[0].union(*of_each[1:], all=True))
        return self._with_ids(among.order_by(*order).values("pk")[:most])

    def _with_ids(self, ids: models.QuerySet[Any, Any]) -> Self:
        rows: Any = self.model._default_manager.using(self.db).order_by()
        picked: Self = rows.filter(pk__in=ids)
        return picked

    def readable_with(self, key: ApiKey) -> Self:
        """What an API key opens: its workspace's rows, and of these its own agent's alone when it is bound to one."""
        rows = self.filter(**{self.workspace_column: key.workspace_id})
        if key.agent_id is None:
            return rows
        return rows.none() if self.agent_path is None else rows.filter(**{self.agent_path: key.agent_id})
