"""What the admin of the whole site leaves out."""

from django.contrib import admin
from django_q.models import Failure, OrmQ, Schedule, Success

# A schedule names any function and its arguments, os.system too; a task that failed can be run again from its page.
# Whoever signs in as a superuser may change the ledger, and that is all the machine lets them do.
for background_work in (Schedule, Success, Failure, OrmQ):
    if admin.site.is_registered(background_work):  # the queue itself is not, where it is in Redis
        admin.site.unregister(background_work)
