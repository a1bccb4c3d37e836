"""Where everything is."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import URLPattern, URLResolver, include, path

from costsite.api import api

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", api.urls),
    path("admin/", admin.site.urls),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("", include("costsite.analytics.urls")),
]

if settings.DEMO:
    from costsite.demo.sign_in import SignInLink

    urlpatterns.insert(0, path("login/link/", SignInLink.as_view(), name="login-link"))
