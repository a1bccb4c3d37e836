"""The one shape of every error under /api/: `langchain_plugin.wire.ErrorBody`, whoever answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from django.core.exceptions import DisallowedHost
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from agents import server_clock
from agents.database_file import DatabaseReplacedError
from costsite.api.problems import shortened
from costsite.large_files import BUSY, FilesBusyError
from costsite.large_files import RETRY_AFTER_SECONDS as FILES_RETRY_AFTER_SECONDS
from langchain_plugin import wire

log = logging.getLogger(__name__)

API_PREFIX = "/api/"
RETRY_AFTER_SECONDS = 2
"""The longest write transaction here is far shorter; a client that comes back then finds the database free."""
DATABASE_AWAY: Final = (OperationalError, InterfaceError)
"""Locked, serialisation failed, full, gone: never the fault of what was sent, and the transaction was undone."""

_WITHOUT_OWN_WORDS: dict[int, tuple[str, str]] = {
    400: ("bad_request", "The request could not be read; compare it with docs/http-api.md."),
    401: ("no_key", 'Send an API key: "Authorization: Bearer cs_…".'),
    403: ("forbidden", "This is not allowed with what was sent."),
    404: ("not_found", "Nothing is at this address; docs/http-api.md lists what is."),
    500: (
        "server_error",
        "The server failed, and its log says why. Send the same again later: what was kept is not kept twice.",
    ),
}


class ApiError(Exception):
    """An answer that is an error. `message` is one sentence that says the mend and never repeats large input."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Iterable[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = [dict(detail) for detail in details]
        self.headers = dict(headers or {})


class ErrorAnswer(HttpResponse):
    """A response whose body is a `wire.ErrorBody`."""

    def __init__(self, error: ApiError) -> None:
        body = wire.ErrorBody(code=error.code, message=error.message, details=error.details)
        super().__init__(
            body.model_dump_json(), status=error.status, content_type="application/json", headers=error.headers
        )


def _api_error(_request: HttpRequest, error: ApiError) -> HttpResponse:
    return ErrorAnswer(error)


def _bad_parameters(_request: HttpRequest, error: ValidationError) -> HttpResponse:
    details = [
        {
            "where": shortened(".".join(str(part) for part in problem["loc"][1:] if part != "parameters")),
            "message": shortened(problem["msg"], 200),
        }
        for problem in error.errors[:20]
    ]
    message = "; ".join(f"`{detail['where']}`: {detail['message']}" for detail in details[:3])
    return ErrorAnswer(ApiError(422, "bad_parameter", f"{message}.", details=details))


def _http_error(_request: HttpRequest, error: HttpError) -> HttpResponse:
    code, message = _WITHOUT_OWN_WORDS.get(error.status_code, ("error", str(error)))
    return ErrorAnswer(ApiError(error.status_code, code, message))


def _database_busy(request: HttpRequest, error: Exception) -> HttpResponse:
    if isinstance(error, DatabaseReplacedError):
        return ErrorAnswer(replaced(error))
    log.warning("%s %s: the database did not take part: %s", request.method, request.path, error)
    return ErrorAnswer(
        ApiError(
            503,
            "database_busy",
            f"The database could not answer now; nothing was written. Send the same again in {RETRY_AFTER_SECONDS} s.",
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        )
    )


def _files_busy(_request: HttpRequest, _error: FilesBusyError) -> HttpResponse:
    headers = {"Retry-After": str(FILES_RETRY_AFTER_SECONDS)}
    return ErrorAnswer(ApiError(429, "files_busy", BUSY, headers=headers))


def replaced(_error: DatabaseReplacedError) -> ApiError:
    """Where the file is, is for the log: whoever asks may be anybody."""
    return ApiError(
        503,
        "database_replaced",
        "The site's database file was replaced while the site runs; nothing was written. Its log says how to mend that;"
        " send the same again then.",
        headers={"Retry-After": "60"},
    )


def wrong_clock(error: server_clock.ServerClockError) -> ApiError:
    return ApiError(503, "server_clock", str(error), headers={"Retry-After": str(server_clock.ASK_AGAIN_SECONDS)})


def install(api: NinjaAPI) -> None:
    """Give `api` the one shape of error for all it raises itself."""
    handlers: dict[type[Exception], Callable[[HttpRequest, Any], HttpResponse]] = {
        ApiError: _api_error,
        ValidationError: _bad_parameters,
        HttpError: _http_error,
        FilesBusyError: _files_busy,
        **dict.fromkeys(DATABASE_AWAY, _database_busy),
    }
    for kind, handler in handlers.items():
        api.add_exception_handler(kind, handler)


class ApiErrorMiddleware:
    """Gives the shape to errors that no router sees: unknown addresses, wrong methods, refused hosts, crashes.

    First in the list, so that what another middleware answers passes through it too.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if response.status_code < 400 or isinstance(response, ErrorAnswer) or not request.path.startswith(API_PREFIX):
            return response
        return ErrorAnswer(_error_for(request, response))


def _error_for(request: HttpRequest, response: HttpResponseBase) -> ApiError:
    status = response.status_code
    if status == 405:
        allowed = response.headers.get("Allow", "")
        return ApiError(
            405,
            "method_not_allowed",
            f"This address answers {allowed or 'other methods'} only.",
            headers={"Allow": allowed},
        )
    if status == 400 and _host_is_refused(request):
        return ApiError(
            400,
            "unknown_host",
            "This site does not answer under the host name you used; add the name to COSTSITE_ALLOWED_HOSTS.",
        )
    code, message = _WITHOUT_OWN_WORDS.get(status, ("error", f"The server answered {HTTPStatus(status).phrase}."))
    return ApiError(status, code, message)


def _host_is_refused(request: HttpRequest) -> bool:
    try:
        request.get_host()
    except DisallowedHost:
        return True
    return False
