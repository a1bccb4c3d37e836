"""The login page."""

from __future__ import annotations

from django.contrib.auth.views import LoginView


class Login(LoginView):
    """Whoever is logged in is led on at once: to where they were going, or to the dashboard."""

    redirect_authenticated_user = True

    def get_success_url(self) -> str:
        # Django's takes this page itself for a mistake of the site's, and fails; the address is anybody's to write.
        wanted = super().get_success_url()
        return self.get_default_redirect_url() if wanted == self.request.path else wanted
