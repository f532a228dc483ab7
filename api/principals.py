"""Who sends a request, and whether they may. A route names the scopes it needs; nothing else decides about access.

Behind API Gateway the authorizer has checked the credentials; its answer is part of the event. A request without that
answer is refused, unless the deployment is open.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any

from fastapi import Request, Response, Security
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer, SecurityScopes

from api import key_uses, quotas
from darkroom.config import settings
from darkroom.contracts.tenants import OPERATOR_TENANT, UNLIMITED, Principal, Scope
from darkroom.errors import CredentialsMissingError, ScopeMissingError
from darkroom.tenants.context import from_context

#: Only declares the scheme in the OpenAPI document.
_BEARER = HTTPBearer(
    scheme_name="bearer",
    bearerFormat="API key or JWT",
    description="An API key, a token of the deployment's identity provider, or the token of an upload link. A "
    "deployment that is open ignores it.",
    auto_error=False,
)

_EVERYBODY = Principal(tenant=OPERATOR_TENANT, scopes=list(Scope), credential=OPERATOR_TENANT, quotas=UNLIMITED)


async def _principal(
    request: Request, needed: SecurityScopes, _declared: Annotated[object, Security(_BEARER)]
) -> Principal:
    return _require(request, needed.scopes)


#: The principal of a request, which has the scope. A route has exactly one of these as a parameter.
Reader = Annotated[Principal, Security(_principal, scopes=[Scope.READ])]
Writer = Annotated[Principal, Security(_principal, scopes=[Scope.WRITE])]
Admin = Annotated[Principal, Security(_principal, scopes=[Scope.ADMIN])]

#: The same, which may also be an upload link. What it sees and may do is then limited further: see its `link_id`.
ReaderOrLink = Annotated[Principal, Security(_principal, scopes=[Scope.READ, Scope.UPLOAD])]
WriterOrLink = Annotated[Principal, Security(_principal, scopes=[Scope.WRITE, Scope.UPLOAD])]


class GuardedRoute(APIRoute):
    """A route that refuses a request before its body is read. The class of every route that needs a scope."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What handles a request."""
        handle = super().get_route_handler()
        needed = scopes_of(self)
        if needed is None:
            return handle

        async def handle_guarded(request: Request) -> Response:
            _require(request, needed)
            return await handle(request)

        return handle_guarded


async def refuse_denied(request: Request) -> None:
    """Refuses a request that the authorizer has denied: the dependency of routes that a deployment makes public or not.

    They are public where API Gateway does not ask the authorizer about them. Raises what `from_context` raises.
    """
    if _from_gateway(request, "authorizer", "lambda") is not None and not settings().is_open:
        _identify(request)


def scopes_of(route: APIRoute) -> Sequence[str] | None:
    """The scopes of which a route needs one. None if it needs none: it is public."""
    return _declared_scopes(route.dependant)


def _declared_scopes(dependant: Dependant) -> Sequence[str] | None:
    for part in dependant.dependencies:
        found = part.own_oauth_scopes if part.call is _principal else _declared_scopes(part)
        if found is not None:
            return found
    return None


def _require(request: Request, scopes: Sequence[str]) -> Principal:
    """The principal, if it has one of the scopes. Counts the request.

    Raises AccessError, RequestQuotaError or StorageUnavailableError.
    """
    principal = _identify(request)
    if not set(scopes) & set(principal.scopes):
        names = " or ".join(f"'{scope}'" for scope in scopes)
        raise ScopeMissingError(f"This request needs the scope {names}.", scopes=tuple(scopes))
    return principal


def _identify(request: Request) -> Principal:
    state = request.scope.setdefault("state", {})
    known: Principal | None = state.get("principal")
    if known is not None:
        return known
    if settings().is_open:
        principal = _EVERYBODY
    else:
        principal = from_context(_authorizer_context(request))
        key_uses.note_use(principal)
    state |= {"principal": principal, "tenant": principal.tenant, "credential": principal.credential}
    quotas.take_request(state, principal)
    return principal


def _authorizer_context(request: Request) -> dict[str, Any]:
    found = _from_gateway(request, "authorizer", "lambda")
    if not isinstance(found, dict) or not found:
        raise CredentialsMissingError("Send an API key or a token in the header Authorization: Bearer.")
    return found


def source_address(request: Request) -> str | None:
    """The IP address that API Gateway got the request from, whatever its headers say; None without API Gateway."""
    found = _from_gateway(request, "http", "sourceIp")
    return found if isinstance(found, str) and found else None


def _from_gateway(request: Request, *path: str) -> Any:
    """A part of what API Gateway says about a request, or None."""
    found: Any = request.scope.get("aws.event", {}).get("requestContext")
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found
