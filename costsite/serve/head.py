"""HEAD: what a page says of itself, without the page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class NoBodyForHead:
    """An application whose answers to HEAD have no body; the Content-Length stays that of the page.

    Django leaves this to the server, and waitress to the application. On a connection that is kept, a body that nobody
    expects is read as the next answer, which may be another person's behind a proxy.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = self._application(environ, start_response)
        if environ["REQUEST_METHOD"] != "HEAD":
            return answer
        if close := getattr(answer, "close", None):
            close()
        return ()
