"""Where everything is."""

from django.contrib import admin
from django.urls import include, path

from costsite.api import api

urlpatterns = [
    path("api/v1/", api.urls),
    path("admin/", admin.site.urls),
    path("", include("costsite.analytics.urls")),
]
