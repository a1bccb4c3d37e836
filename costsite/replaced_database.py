"""No answer from a database whose file is no longer at its place: it would be of what nobody keeps."""

from __future__ import annotations

from collections.abc import Callable

from django.db import connection
from django.http import HttpRequest, HttpResponse

from agents.database_file import DatabaseReplacedError, require_same_file
from costsite.api.errors import API_PREFIX, ErrorAnswer, replaced


class ReplacedDatabaseMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            require_same_file(connection)
        except DatabaseReplacedError as error:
            if request.path.startswith(API_PREFIX):
                return ErrorAnswer(replaced(error))
            said = f"{replaced(error)}\n"
            return HttpResponse(said, status=503, content_type="text/plain; charset=utf-8")
        return self.get_response(request)
