"""The pages' addresses."""

from django.urls import path

from costsite.analytics.views import agents, budgets, dashboard, exports, grants, runs, workspaces

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("analytics/", agents.analytics, name="analytics"),
    path("analytics/<int:pk>/", agents.agent, name="agent"),
    path("workspaces/", workspaces.workspace_list, name="workspaces"),
    path("workspaces/<slug:slug>/", workspaces.workspace, name="workspace"),
    path("runs/", runs.run_logs, name="runs"),
    path("runs/export.csv", exports.runs_csv, name="runs-csv"),
    path("runs/<int:pk>/", runs.run, name="run"),
    path("budgets/", budgets.budget_list, name="budgets"),
    path("budgets/export.csv", budgets.budgets_csv, name="budgets-csv"),
    path("budgets/<int:pk>/", budgets.budget, name="budget"),
    path("budgets/<int:pk>/grant/", grants.grant_more, name="grant-more"),
    path("budgets/grants/<int:pk>/revoke/", grants.revoke, name="revoke-grant"),
]
