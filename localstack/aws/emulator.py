"""Runs MiniStack, ends idle environments soon, and records the calls of AWS that roles make if it is told to.

MiniStack keeps the CORS settings of a template under the names of CloudFormation and looks for those of the API, so it
would refuse every preflight request. The names are changed here.

MiniStack looks for idle environments every 30 s, in which a burst leaves many of 60 MB each. They are looked for more
often here.

With a file in `DARKROOM_RECORD_CALLS`, one line of JSON is appended to it per permission that MiniStack checks: the
role, the action, the resource, the condition keys, the decision, and the status of the response. Calls of the root
user are not recorded. Tests compare the file with the policies in template.yaml.
"""

import json
import os
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from ministack import app as server
from ministack.core import iam_evaluator, lambda_runtime
from ministack.services import apigateway

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]

#: Seconds between two searches for idle environments.
_REAP_INTERVAL_S = 5.0

#: What MiniStack has checked for the current request.
_checked: ContextVar[list[dict[str, Any]] | None] = ContextVar("checked", default=None)


def main() -> None:
    """Starts MiniStack."""
    file = os.environ.get("DARKROOM_RECORD_CALLS", "")
    if file:
        path = Path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        iam_evaluator.enforce = _recorded(iam_evaluator.enforce)
        server.app = _written(server.app, path)
    apigateway._cors_response_headers = _with_names_of_the_api(apigateway._cors_response_headers)
    apigateway._cors_preflight_response = _with_names_of_the_api(apigateway._cors_preflight_response)
    threading.Thread(target=_keep_reaping, daemon=True).start()
    server.main()


def _keep_reaping() -> None:
    while True:
        time.sleep(_REAP_INTERVAL_S)
        lambda_runtime.reap_idle_workers()


def _with_names_of_the_api(respond: Callable[[dict[str, Any], str], Any]) -> Callable[[dict[str, Any], str], Any]:
    """Wraps a function of the settings of CORS and an origin: `AllowOrigins` becomes `allowOrigins`."""

    def respond_to(settings: dict[str, Any], origin: str) -> Any:
        return respond({name[:1].lower() + name[1:]: value for name, value in settings.items()}, origin)

    return respond_to


def _recorded(enforce: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps the function by which MiniStack checks a permission: None means allowed."""

    def check(access_key_id: str, iam_action: str, service: str, region: str, **options: Any) -> Any:
        refused = enforce(access_key_id, iam_action, service, region, **options)
        checked = _checked.get()
        role = _role(access_key_id)
        is_authentic = not isinstance(refused, iam_evaluator.AuthError)  # an expired link says nothing about policies
        if checked is not None and role and is_authentic:
            context = {key: value for key, value in (options.get("service_context") or {}).items() if value is not None}
            checked.append(
                {
                    "role": role,
                    "action": iam_action,
                    "resource": options.get("resource_arn", "*"),
                    "context": context,
                    "decision": "Allow" if refused is None else refused.decision,
                }
            )
        return refused

    return check


def _role(access_key_id: str) -> str:
    """The name of the role to which temporary credentials belong; empty for other credentials."""
    credential = iam_evaluator.resolve_credential(access_key_id, "")
    if getattr(credential, "principal_type", "") != "AssumedRole":
        return ""
    return str(credential.principal_arn).split("/")[-2]


def _written(app: Asgi, path: Path) -> Asgi:
    """Wraps MiniStack's application: writes what it has checked, with the status, when a response begins."""

    async def record(scope: Message, receive: Receive, send: Send) -> None:
        checked: list[dict[str, Any]] = []

        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.start" and checked:
                lines = [json.dumps(entry | {"status": message["status"]}) + "\n" for entry in checked]
                with path.open("a") as file:
                    file.write("".join(lines))
                checked.clear()
            await send(message)

        token = _checked.set(checked)
        try:
            await app(scope, receive, send_recorded)
        finally:
            _checked.reset(token)

    return record


if __name__ == "__main__":
    main()
