"""The pages' addresses."""

from django.urls import path

from costsite.analytics.views import agent, agents, dashboard, exports, run, runs, workspaces

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("analytics/", agents.analytics, name="analytics"),
    path("analytics/<int:pk>/", agent.agent, name="agent"),
    path("workspaces/", workspaces.workspace_list, name="workspaces"),
    path("workspaces/<slug:slug>/", workspaces.workspace, name="workspace"),
    path("runs/", runs.run_logs, name="runs"),
    path("runs/export.csv", exports.runs_csv, name="runs-csv"),
    path("runs/<int:pk>/", run.run, name="run"),
]
