"""Errors as problem documents (RFC 9457). The only place that turns an error into a response; routers raise."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from darkroom.contracts.operations import Operation
from darkroom.errors import (
    DarkroomError,
    FileTooLargeError,
    InternalError,
    InvalidRequestError,
    RequestError,
    ServiceError,
    UnknownOperationError,
)
from darkroom.log import logger
from darkroom.tracing import trace_id

MEDIA_TYPE = "application/problem+json"

#: Seconds after which a client may ask a part again that did not answer.
RETRY_AFTER_S = 5


_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")


class NoSuchRouteError(RequestError):
    """There is nothing at this path."""

    code = "not_found"
    http_status = 404


class MethodNotAllowedError(RequestError):
    """The path does not take this method."""

    code = "method_not_allowed"
    http_status = 405


class FieldProblem(BaseModel):
    """One field that is wrong."""

    field: str = Field(description="The field's place in the request.", examples=["params.width"])
    message: str = Field(examples=["Input should be greater than or equal to 1"])


class Problem(BaseModel):
    """What went wrong, for programs (`code`) and for people (`detail`): RFC 9457."""

    type: str = Field(description="The kind of problem as a URI.", examples=["urn:darkroom:problem:job_not_found"])
    title: str = Field(description="The kind of problem in words.")
    status: int = Field(description="The HTTP status.", examples=[404])
    detail: str = Field(description="What went wrong this time, in a sentence.")
    code: str = Field(description="Stable, for programs.", examples=["job_not_found"])
    instance: str | None = Field(None, description="The path that was asked for.")
    trace_id: str | None = Field(None, description="Finds the request in the logs.")
    errors: list[FieldProblem] | None = Field(None, description="The fields that are wrong, where it is their fault.")


def respond(request: Request, error: DarkroomError, fields: Sequence[FieldProblem] = ()) -> Response:
    """The response that tells a client of an error."""
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
    headers = {"Retry-After": str(RETRY_AFTER_S)} if error.http_status in (429, 503) else None
    return Response(problem.model_dump_json(exclude_none=True), error.http_status, headers, MEDIA_TYPE)


def type_of(error: type[DarkroomError]) -> str:
    """The kind of problem as a URI."""
    return f"urn:darkroom:problem:{error.code}"


def title_of(error: type[DarkroomError]) -> str:
    """The kind of problem in words."""
    return (error.__doc__ or error.code).strip().partition("\n")[0].rstrip(".")


def _detail(error: DarkroomError) -> str:
    """The error's own sentence, unless that speaks of our insides: then it is for the log alone."""
    if error.http_status < 500:
        return error.message
    logger().error("request failed", extra={"code": error.code, "reason": error.message})
    if isinstance(error, ServiceError):
        return f"{title_of(type(error))}. Try again in {RETRY_AFTER_S} seconds."
    return "Something went wrong on our side. The trace id finds it in the logs."


async def on_darkroom_error(request: Request, error: Exception) -> Response:
    """Handles every error that Darkroom raises on purpose."""
    return respond(request, error if isinstance(error, DarkroomError) else InternalError(str(error)))


async def on_validation_error(request: Request, error: Exception) -> Response:
    """Handles requests that do not fit their model, malformed JSON included."""
    details: Sequence[Mapping[str, Any]] = error.errors() if isinstance(error, RequestValidationError) else []
    unknown = next((detail for detail in details if _names_no_operation(detail)), None)
    if unknown is not None:
        return respond(request, UnknownOperationError(_unknown_operation(unknown)))
    fields = [_field(detail) for detail in details]
    sentences = (f"{field.field}: {field.message}" if field.field else field.message for field in fields)
    named = [field for field in fields if field.field]
    return respond(request, InvalidRequestError("; ".join(sentences) + "."), named)


def _names_no_operation(detail: Mapping[str, Any]) -> bool:
    is_filter = detail["loc"] == ("query", "operation") and detail["type"] == "enum"
    return bool(is_filter or detail["type"] == "union_tag_invalid")


def _unknown_operation(detail: Mapping[str, Any]) -> str:
    # JSON can hold half a character, which no response could repeat.
    name = str(detail["ctx"].get("tag", detail["input"]))[:64].encode(errors="replace").decode()
    return f"There is no operation '{name}'. Choose one of: {', '.join(Operation)}."


def _field(detail: Mapping[str, Any]) -> FieldProblem:
    """The field that is wrong; without a name when it is the body as a whole."""
    steps = [str(step) for step in detail["loc"][1:] if step not in set(Operation)]
    if detail["type"] == "union_tag_not_found":
        return FieldProblem(field=".".join([*steps, "operation"]), message="Field required")
    if detail["type"] == "json_invalid":
        return FieldProblem(field="", message=f"The body is not JSON: {detail['ctx']['error']} at {steps[0]}")
    if not steps:
        return FieldProblem(field="", message=_whole_body(detail))
    return FieldProblem(field=".".join(steps), message=str(detail["msg"]).removeprefix("Value error, "))


def _whole_body(detail: Mapping[str, Any]) -> str:
    if isinstance(detail["input"], bytes):
        return "Send the body as JSON, with the header Content-Type: application/json"
    return "The body must be a JSON object"


async def on_http_error(request: Request, error: Exception) -> Response:
    """Handles what the framework itself refuses: an unknown path, another method, a body that it cannot read."""
    if not isinstance(error, HTTPException):
        return respond(request, InternalError(str(error)))
    response = respond(request, _refusal(request, error))
    if error.status_code == 405:
        response.headers["Allow"] = ", ".join(_methods_at(request))
    return response


def _methods_at(request: Request) -> list[str]:
    """The methods that the path takes. Each is a route of its own, so the framework's refusal names only one."""

    def is_taken(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return [method for method in _METHODS if is_taken(method)]


def _refusal(request: Request, error: HTTPException) -> DarkroomError:
    path = request.scope["path"][:200]
    match error.status_code:
        case 404:
            return NoSuchRouteError(f"There is nothing at {path}. The API is described at /docs.")
        case 405:
            return MethodNotAllowedError(f"{path} does not take {request.method}.")
        case 413:
            return FileTooLargeError(f"The request is too large: {error.detail.rstrip('.')}.")
        case status if status < 500:
            return InvalidRequestError(f"The request cannot be read: {error.detail.rstrip('.')}.")
        case _:
            return InternalError(error.detail)
