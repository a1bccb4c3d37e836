"""The pages' addresses."""

from django.urls import path

from costsite.analytics import views

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
]
