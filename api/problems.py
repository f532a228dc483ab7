"""Errors as problem documents (RFC 9457). Routers raise errors; only this module turns them into responses."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from api import rate_limits
from api.response_models import ResponseModel
from darkroom.contracts.operations import Operation
from darkroom.errors import (
    DarkroomError,
    FileTooLargeError,
    InternalError,
    InvalidRequestError,
    QuotaExceededError,
    RequestError,
    ServiceError,
    UnknownOperationError,
)
from darkroom.log import logger
from darkroom.tracing import trace_id

MEDIA_TYPE = "application/problem+json"

#: Seconds after which a client can repeat a request that failed for a limit or an outage.
RETRY_AFTER_S = 5


_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")


class RouteNotFoundError(RequestError):
    """The path does not exist."""

    code = "not_found"
    http_status = 404


class MethodNotAllowedError(RequestError):
    """The method is not allowed for this path."""

    code = "method_not_allowed"
    http_status = 405


class FieldProblem(ResponseModel):
    """A field that is invalid."""

    field: str = Field(description="Path of the field in the request.", examples=["params.width"])
    message: str = Field(description="What is wrong with it.", examples=["Input should be greater than or equal to 1"])


class Problem(ResponseModel):
    """An error as a problem document (RFC 9457)."""

    type: str = Field(description="Type of the problem, as a URI.", examples=["urn:darkroom:problem:job_not_found"])
    title: str = Field(description="Type of the problem, in words.")
    status: int = Field(description="HTTP status.", examples=[404])
    detail: str = Field(description="What went wrong, for people.")
    code: str = Field(description="Stable code of the type, for programs.", examples=["job_not_found"])
    instance: str | None = Field(None, description="Path of the request.")
    trace_id: str | None = Field(None, description="Trace id of the request, to find it in the logs.")
    errors: list[FieldProblem] | None = Field(None, description="The fields that are invalid, if any.")


def problem_response(request: Request, error: DarkroomError, fields: Sequence[FieldProblem] = ()) -> Response:
    """The response to a request that failed with `error`."""
    state = request.scope.setdefault("state", {})
    state["code"] = error.code
    problem = Problem(
        type=type_of(type(error)),
        title=title_of(type(error)),
        status=error.http_status,
        detail=_detail(error),
        code=error.code,
        instance=request.scope["path"],
        trace_id=trace_id(state.get("traceparent", "")) or None,
        errors=list(fields) or None,
    )
    retry_after_s = error.retry_after_s or RETRY_AFTER_S
    headers = {"Retry-After": str(retry_after_s)} if error.http_status in (429, 503) else None
    if isinstance(error, QuotaExceededError):
        rate_limits.report_exceeded(state, error)
    return Response(problem.model_dump_json(exclude_none=True), error.http_status, headers, MEDIA_TYPE)


def type_of(error: type[DarkroomError]) -> str:
    """The type of the problem, as a URI."""
    return f"urn:darkroom:problem:{error.code}"


def title_of(error: type[DarkroomError]) -> str:
    """The type of the problem, in words: the first line of the error's docstring."""
    return (error.__doc__ or error.code).strip().partition("\n")[0].rstrip(".")


def _detail(error: DarkroomError) -> str:
    """The error's message, or a general one where the message holds internal details, which only the log gets."""
    if error.http_status < 500:
        return error.message
    logger().error("request failed", extra={"code": error.code, "reason": error.message})
    if isinstance(error, ServiceError):
        return f"{title_of(type(error))}. Try again in {RETRY_AFTER_S} seconds."
    return "An internal error occurred. The logs have its details under the trace id."


async def on_darkroom_error(request: Request, error: Exception) -> Response:
    """Handles every error that Darkroom raises itself."""
    return problem_response(request, error if isinstance(error, DarkroomError) else InternalError(str(error)))


async def on_validation_error(request: Request, error: Exception) -> Response:
    """Handles requests that do not match their model, including malformed JSON."""
    details: Sequence[Mapping[str, Any]] = error.errors() if isinstance(error, RequestValidationError) else []
    unknown = next((detail for detail in details if _is_unknown_operation(detail)), None)
    if unknown is not None:
        return problem_response(request, UnknownOperationError(_unknown_operation(unknown)))
    fields = [_field(detail) for detail in details]
    sentences = (f"{field.field}: {field.message}" if field.field else field.message for field in fields)
    named = [field for field in fields if field.field]
    return problem_response(request, InvalidRequestError("; ".join(sentences) + "."), named)


def _is_unknown_operation(detail: Mapping[str, Any]) -> bool:
    return detail["loc"][-1] == "operation" and detail["type"] in ("enum", "string_unicode")


def _unknown_operation(detail: Mapping[str, Any]) -> str:
    # JSON can hold half of a surrogate pair, which cannot be encoded.
    name = str(detail["input"])[:64].encode(errors="replace").decode()
    return f"Operation '{name}' does not exist. Use one of: {', '.join(Operation)}."


def _field(detail: Mapping[str, Any]) -> FieldProblem:
    """The field that is invalid. Its name is empty if it is the body as a whole."""
    steps = [str(step) for step in detail["loc"][1:]]
    if detail["type"] == "json_invalid":
        return FieldProblem(field="", message=f"The body is not valid JSON: {detail['ctx']['error']} at {steps[0]}")
    if not steps:
        return FieldProblem(field="", message=_whole_body(detail))
    return FieldProblem(field=".".join(steps), message=str(detail["msg"]).removeprefix("Value error, "))


def _whole_body(detail: Mapping[str, Any]) -> str:
    if isinstance(detail["input"], bytes):
        return "Send the body as JSON, with the header Content-Type: application/json"
    return "The body must be a JSON object"


async def on_http_error(request: Request, error: Exception) -> Response:
    """Handles what the framework refuses: an unknown path, a wrong method, an unreadable body."""
    if not isinstance(error, HTTPException):
        return problem_response(request, InternalError(str(error)))
    response = problem_response(request, _error_of(request, error))
    if error.status_code == 405:
        response.headers["Allow"] = ", ".join(_allowed_methods(request))
    return response


def _allowed_methods(request: Request) -> list[str]:
    """The methods of the path. Each has a route of its own, so the framework's error names only one."""

    def is_allowed(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return [method for method in _METHODS if is_allowed(method)]


def _error_of(request: Request, error: HTTPException) -> DarkroomError:
    path = request.scope["path"][:200]
    match error.status_code:
        case 404:
            return RouteNotFoundError(f"The path {path} does not exist. The API is documented at /docs.")
        case 405:
            return MethodNotAllowedError(f"{request.method} is not allowed for {path}.")
        case 413:
            return FileTooLargeError(f"The request is too large: {error.detail.rstrip('.')}.")
        case status if status < 500:
            return InvalidRequestError(f"The request cannot be read: {error.detail.rstrip('.')}.")
        case _:
            return InternalError(error.detail)
