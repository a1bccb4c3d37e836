"""The admin of budgets, a file per topic. Importing a file registers its tables.

Who sees and changes what is decided as in the ledger's admin: a superuser everything, an owner the budgets of their
workspaces, a viewer nothing but what they see. The site's budget has no workspace, so it is the superusers' alone.
"""

from budgets.admin import channels, history, leases, maxima, monthly_budget, policies, statements

__all__ = ["channels", "history", "leases", "maxima", "monthly_budget", "policies", "statements"]
