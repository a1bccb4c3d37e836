"""The pages' addresses."""

from django.urls import path

from costsite.analytics.views import agents, dashboard, exports, optimization, runs, what_if, workspaces

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("analytics/", agents.analytics, name="analytics"),
    path("analytics/<int:pk>/", agents.agent, name="agent"),
    path("workspaces/", workspaces.workspace_list, name="workspaces"),
    path("workspaces/<slug:slug>/", workspaces.workspace, name="workspace"),
    path("runs/", runs.run_logs, name="runs"),
    path("runs/export.csv", exports.runs_csv, name="runs-csv"),
    path("runs/<int:pk>/", runs.run, name="run"),
    path("optimization/", optimization.optimization, name="optimization"),
    path("optimization/what-if/", what_if.what_if, name="what-if"),
    path("optimization/what-if/default-model/", what_if.default_model, name="what-if-default-model"),
    path("optimization/<int:pk>/decide/", optimization.decide, name="decide-advice"),
]
