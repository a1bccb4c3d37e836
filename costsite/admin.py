"""What the admin of the whole site leaves out, and what it asks of Django's own pages."""

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django_q.models import Failure, OrmQ, Schedule, Success

from agents.admin.asking import BoundedListAdmin

# A schedule names any function and its arguments, os.system too; a task that failed can be run again from its page.
# Whoever signs in as a superuser may change the ledger, and that is all the machine lets them do.
for background_work in (Schedule, Success, Failure, OrmQ):
    if admin.site.is_registered(background_work):  # the queue itself is not, where it is in Redis
        admin.site.unregister(background_work)

admin.site.unregister((User, Group))


@admin.register(User)
class BoundedUserAdmin(BoundedListAdmin, UserAdmin):  # type: ignore[type-arg]  # generic in the stubs alone
    """Django's own, with a bounded list."""


@admin.register(Group)
class BoundedGroupAdmin(BoundedListAdmin, GroupAdmin):
    """Django's own, with a bounded list."""
