"""The demo's sign-in link: works once, and says so afterwards."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from sesame.views import LoginView


class SignInLink(LoginView):  # type: ignore[misc]
    """Signs in who brings a fresh link; sends everyone else on, to the pages or to the login."""

    request: HttpRequest

    def get(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:  # a reload, or the tab opened again
            return redirect(settings.LOGIN_REDIRECT_URL)
        response: HttpResponse = super().get(request)
        return response

    def login_failed(self) -> HttpResponseRedirect:
        messages.error(self.request, "This link was used or is old. Log in, or start make run again for a new one.")
        return redirect(settings.LOGIN_URL)
