"""Where everything is."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.views import LogoutView, PasswordChangeDoneView, PasswordChangeView
from django.urls import URLPattern, URLResolver, include, path, reverse_lazy

from costsite.api import api
from costsite.login import Login

# Templates of their own: the admin's password page has Django's names for its own.
change_password = PasswordChangeView.as_view(
    template_name="registration/password.html", success_url=reverse_lazy("password-changed")
)
password_changed = PasswordChangeDoneView.as_view(template_name="registration/password_changed.html")

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", api.urls),
    path("admin/", admin.site.urls),
    path("login/", Login.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("password/", change_password, name="password"),
    path("password/changed/", password_changed, name="password-changed"),
    path("", include("costsite.analytics.urls")),
]
handler400 = "costsite.bad_request.bad_request"
handler500 = "costsite.server_error.server_error"

if settings.DEMO:
    from costsite.demo.sign_in import SignInLink

    urlpatterns.insert(0, path("login/link/", SignInLink.as_view(), name="login-link"))
