"""AWS's side of an event source mapping on RabbitMQ, which no emulator brings: `python -m localstack.aws.mapping`.

Reads the mappings of the deployed stack and behaves as AWS does with each: one invocation at a time, batches of the
size and window that were deployed, acknowledged when the function succeeds and given back when it does not. It waits
for a stack that is not there yet and follows one that is deployed again.
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

from localstack.aws import deployed
from localstack.aws.deployed import DeployedMapping, UnsupportedMappingError
from localstack.aws.poller import STOP_GRACE_S, InvocationFailedError, Poller
from localstack.settings import REGION, Settings, load

log = logging.getLogger("mapping")

#: Seconds between two looks at the stack: while it is there, and while it is not.
_LOOK_S = 5.0
_LOOK_WHILE_ABSENT_S = 0.5

#: Seconds. A function behind a mapping may run for 14 minutes.
_INVOKE_TIMEOUT_S = 15 * 60
_HEARTBEAT_S = 60
_SOCKET_TIMEOUT_S = 5


class Invoker:
    """Invokes one function synchronously, over one connection that is kept. Not for several threads at a time.

    The request is signed and sent here, because an SDK's client costs four times the processor time per call.
    """

    def __init__(self, endpoint_url: str, function_arn: str, credentials: Any) -> None:
        self._address = urlsplit(endpoint_url).netloc
        self._url = f"{endpoint_url}/2015-03-31/functions/{quote(function_arn, safe='')}/invocations"
        self._path = urlsplit(self._url).path
        self._signer = SigV4Auth(credentials, "lambda", REGION)
        self._connection: http.client.HTTPConnection | None = None

    def __call__(self, payload: bytes) -> None:
        """Raises InvocationFailedError unless the function returned."""
        request = AWSRequest("POST", self._url, {"Content-Type": "application/json"}, payload)
        self._signer.add_auth(request)
        status, error_kind, answer = self._send(dict(request.headers.items()), payload)
        if status == http.HTTPStatus.TOO_MANY_REQUESTS:
            raise InvocationFailedError("throttled")
        if status != http.HTTPStatus.OK or error_kind:
            raise InvocationFailedError(f"status {status} {error_kind}: {answer[:500].decode(errors='replace')}")

    def _send(self, headers: dict[str, str], payload: bytes) -> tuple[int, str, bytes]:
        reused = self._connection is not None
        try:
            return self._exchange(headers, payload)
        except (ConnectionResetError, BrokenPipeError):  # the first is also what a missing answer raises
            self._hang_up()
            if not reused:
                raise InvocationFailedError("the connection was closed without an answer") from None
        except (OSError, http.client.HTTPException) as error:
            self._hang_up()
            raise InvocationFailedError(f"no answer: {error!r}") from error
        return self._send(headers, payload)  # the connection had been closed while it was idle

    def _exchange(self, headers: dict[str, str], payload: bytes) -> tuple[int, str, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._address, timeout=_INVOKE_TIMEOUT_S)
        self._connection.request("POST", self._path, payload, headers)
        response = self._connection.getresponse()
        return response.status, response.headers.get("X-Amz-Function-Error", ""), response.read()

    def _hang_up(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None


class Mappings:
    """All pollers of one stack."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session = botocore.session.Session()
        self._cloudformation = self._client("cloudformation")
        self._functions = self._client("lambda")
        self._secrets = self._client("secretsmanager")
        self._pollers: dict[DeployedMapping, Poller] = {}
        self._version = ""
        self._stopping = threading.Event()

    def run(self) -> None:
        """Follows the stack until `stop` is called."""
        while not self._stopping.is_set():
            try:
                self._follow()
            except (BotoCoreError, ClientError, UnsupportedMappingError) as error:
                log.warning("the stack cannot be read: %s", error)
                self._version = ""
            self._stopping.wait(_LOOK_S if self._version else _LOOK_WHILE_ABSENT_S)
        self._replace({})

    def stop(self, *_: object) -> None:
        """Ends `run`. May be called from a signal handler."""
        self._stopping.set()

    def _follow(self) -> None:
        version = deployed.version(self._settings.stack, self._cloudformation)
        if version and version == self._version:
            return
        mappings = deployed.read(self._settings.stack, self._cloudformation, self._functions) if version else []
        if mappings is None:
            return  # being deployed: what runs goes on until it is clear what comes
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
        invoker = Invoker(self._settings.endpoint_url, mapping.function_arn, self._session.get_credentials())
        return Poller(mapping, lambda: self._connect(mapping), invoker)

    def _connect(self, mapping: DeployedMapping) -> pika.BlockingConnection:
        """Opens a connection with the account that the secret holds now. Raises OSError when that cannot be had."""
        try:
            account = json.loads(self._secrets.get_secret_value(SecretId=mapping.secret_arn)["SecretString"])
            credentials = pika.PlainCredentials(account["username"], account["password"])
        except (BotoCoreError, ClientError, KeyError, ValueError) as error:
            raise ConnectionError(f"the broker's secret cannot be read: {error!r}") from error
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
        return self._session.create_client(service, region_name=REGION, config=config)


def main() -> int:
    """Works until SIGTERM or SIGINT."""
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stdout, force=True
    )
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # it tells each lost connection in a dozen lines
    logging.getLogger("botocore").setLevel(logging.WARNING)
    mappings = Mappings(load())

    def end(_signal: int, _frame: FrameType | None) -> None:
        mappings.stop()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    mappings.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
