"""Runs the event source mappings on RabbitMQ, which no emulator supports: `python -m localstack.aws.mapping`.

Reads the mappings of the deployed stack and runs each as AWS does: one invocation at a time, batches of the deployed
size and window, acknowledged if the function succeeds and requeued if not. It waits for a stack that is not deployed
yet, and applies changes after a new deployment. It also removes the files of ended execution environments.
"""

import http.client
import json
import logging
import signal
import sys
import threading
from types import FrameType
from typing import Any
from urllib.parse import quote, urlsplit

import botocore.session
import pika
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from localstack.aws import deployed, ended_environments
from localstack.aws.clients import create_client
from localstack.aws.deployed import DeployedMapping, UnsupportedMappingError
from localstack.aws.poller import STOP_GRACE_S, InvocationFailedError, Poller
from localstack.settings import REGION, Settings, load

log = logging.getLogger("mapping")

#: Seconds between two checks of the stack: when it is deployed, and when it is not.
_CHECK_S = 5.0
_CHECK_ABSENT_S = 0.5

#: Seconds. A function behind a mapping may run for 14 minutes.
_INVOKE_TIMEOUT_S = 15 * 60
_HEARTBEAT_S = 60
_SOCKET_TIMEOUT_S = 5


class Invoker:
    """Invokes one function synchronously over one persistent connection. Not thread-safe.

    Requests are signed and sent here because an SDK client takes four times the CPU time per call.
    """

    def __init__(self, endpoint_url: str, function_arn: str, credentials: Any) -> None:
        self._address = urlsplit(endpoint_url).netloc
        self._url = f"{endpoint_url}/2015-03-31/functions/{quote(function_arn, safe='')}/invocations"
        self._path = urlsplit(self._url).path
        self._signer = SigV4Auth(credentials, "lambda", REGION)
        self._connection: http.client.HTTPConnection | None = None

    def __call__(self, payload: bytes) -> None:
        """Invokes the function. Raises InvocationFailedError unless it returned without an error."""
        request = AWSRequest("POST", self._url, {"Content-Type": "application/json"}, payload)
        self._signer.add_auth(request)
        status, error_kind, body = self._send(dict(request.headers.items()), payload)
        if status == http.HTTPStatus.TOO_MANY_REQUESTS:
            raise InvocationFailedError("throttled")
        if status != http.HTTPStatus.OK or error_kind:
            raise InvocationFailedError(f"status {status} {error_kind}: {body[:500].decode(errors='replace')}")

    def _send(self, headers: dict[str, str], payload: bytes) -> tuple[int, str, bytes]:
        reused = self._connection is not None
        try:
            return self._exchange(headers, payload)
        except (ConnectionResetError, BrokenPipeError):  # ConnectionResetError is also raised when there is no response
            self._disconnect()
            if not reused:
                raise InvocationFailedError("the connection was closed without a response") from None
        except (OSError, http.client.HTTPException) as error:
            self._disconnect()
            raise InvocationFailedError(f"no response: {error!r}") from error
        return self._send(headers, payload)  # the connection had been closed while it was idle

    def _exchange(self, headers: dict[str, str], payload: bytes) -> tuple[int, str, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._address, timeout=_INVOKE_TIMEOUT_S)
        self._connection.request("POST", self._path, payload, headers)
        response = self._connection.getresponse()
        return response.status, response.headers.get("X-Amz-Function-Error", ""), response.read()

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None


class Mappings:
    """The pollers of one stack."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._credentials = botocore.session.Session().get_credentials()
        self._cloudformation = self._client("cloudformation")
        self._functions = self._client("lambda")
        self._secrets = self._client("secretsmanager")
        self._pollers: dict[DeployedMapping, Poller] = {}
        self._version = ""
        self._stopping = threading.Event()

    def run(self) -> None:
        """Runs the mappings of the stack until `stop` is called."""
        while not self._stopping.is_set():
            try:
                self._update()
            except (BotoCoreError, ClientError, UnsupportedMappingError) as error:
                log.warning("cannot read the stack: %s", error)
                self._version = ""
            self._stopping.wait(_CHECK_S if self._version else _CHECK_ABSENT_S)
        self._replace({})

    def stop(self, *_: object) -> None:
        """Ends `run`. Can be called from a signal handler."""
        self._stopping.set()

    def _update(self) -> None:
        version = deployed.version(self._settings.stack, self._cloudformation)
        if version and version == self._version:
            return
        mappings = deployed.read(self._settings.stack, self._cloudformation, self._functions) if version else []
        if mappings is None:
            return  # a deployment is in progress: the current pollers continue until it has finished
        self._replace(dict.fromkeys(mappings))
        self._version = version

    def _replace(self, wanted: dict[DeployedMapping, None]) -> None:
        ended = [poller for mapping, poller in self._pollers.items() if mapping not in wanted]
        for poller in ended:
            poller.stop()
        for poller in ended:
            poller.join(STOP_GRACE_S + 1)
            del self._pollers[poller.mapping]
        for mapping in wanted:
            if mapping not in self._pollers:
                self._pollers[mapping] = self._poller(mapping)
                self._pollers[mapping].start()
        log.info("%d mappings: %s", len(self._pollers), ", ".join(mapping.queue for mapping in self._pollers))

    def _poller(self, mapping: DeployedMapping) -> Poller:
        invoker = Invoker(self._settings.endpoint_url, mapping.function_arn, self._credentials)
        return Poller(mapping, lambda: self._connect(mapping), invoker)

    def _connect(self, mapping: DeployedMapping) -> pika.BlockingConnection:
        """Opens a connection with the credentials in the secret. Raises OSError when they cannot be read."""
        try:
            account = json.loads(self._secrets.get_secret_value(SecretId=mapping.secret_arn)["SecretString"])
            credentials = pika.PlainCredentials(account["username"], account["password"])
        except (BotoCoreError, ClientError, KeyError, ValueError) as error:
            raise ConnectionError(f"cannot read the broker's secret: {error!r}") from error
        return pika.BlockingConnection(
            pika.ConnectionParameters(
                host="127.0.0.1",
                port=self._settings.ports.amqp,
                virtual_host=mapping.virtual_host,
                credentials=credentials,
                heartbeat=_HEARTBEAT_S,
                socket_timeout=_SOCKET_TIMEOUT_S,
                client_properties={"connection_name": f"mapping {mapping.queue}"},
            )
        )

    def _client(self, service: str) -> Any:
        config = Config(connect_timeout=2, read_timeout=10, retries={"mode": "standard", "max_attempts": 2})
        return create_client(self._settings, service, config)


def main() -> int:
    """Runs until SIGTERM or SIGINT."""
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stdout, force=True
    )
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # it logs a dozen lines for each lost connection
    logging.getLogger("botocore").setLevel(logging.WARNING)
    settings = load()
    remover = threading.Thread(
        target=ended_environments.remove_continually, args=[settings.environments], daemon=True, name="environments"
    )
    remover.start()
    mappings = Mappings(settings)

    def end(_signal: int, _frame: FrameType | None) -> None:
        mappings.stop()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    mappings.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
