"""The pages' addresses."""

from django.urls import path

from costsite.analytics.views import (
    agent,
    agents,
    budgets,
    dashboard,
    exports,
    grants,
    inbox,
    keys,
    price_entry,
    prices,
    run,
    runs,
    workspaces,
)

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("analytics/", agents.analytics, name="analytics"),
    path("analytics/<int:pk>/", agent.agent, name="agent"),
    path("workspaces/", workspaces.workspace_list, name="workspaces"),
    path("workspaces/<slug:slug>/", workspaces.workspace, name="workspace"),
    path("runs/", runs.run_logs, name="runs"),
    path("runs/export.csv", exports.runs_csv, name="runs-csv"),
    path("runs/<int:pk>/", run.run, name="run"),
    path("budgets/", budgets.budget_list, name="budgets"),
    path("budgets/export.csv", budgets.budgets_csv, name="budgets-csv"),
    path("budgets/<int:pk>/", budgets.budget, name="budget"),
    path("budgets/<int:pk>/grant/", grants.grant_more, name="grant-more"),
    path("budgets/grants/<int:pk>/revoke/", grants.revoke, name="revoke-grant"),
    path("inbox/", inbox.inbox, name="inbox"),
    path("inbox/read/", inbox.mark_read, name="inbox-read"),
    path("prices/", prices.price_list, name="prices"),
    path("prices/export.csv", prices.prices_csv, name="prices-csv"),
    path("prices/enter/", price_entry.enter_price, name="enter-price"),
    path("prices/<int:pk>/", price_entry.entered_price, name="price"),
    path("prices/<int:pk>/progress/", price_entry.progress, name="price-progress"),
    path("keys/", keys.key_list, name="keys"),
    path("keys/make/", keys.make_key, name="make-key"),
    path("keys/<int:pk>/first-event/", keys.first_event, name="first-event"),
    path("keys/<int:pk>/revoke/", keys.revoke_key, name="revoke-key"),
]
