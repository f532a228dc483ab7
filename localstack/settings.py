"""The settings of the local stack, the same for native processes and containers.

Each setting has a default and an environment variable; docs/configuration.md lists them. The stack `darkroom-test` uses
other ports, so that tests can run beside the default stack.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import quote

from localstack.errors import StackError

ROOT = Path(__file__).absolute().parent.parent

REGION = "us-east-1"
ACCOUNT = "000000000000"

#: Credentials of the emulator's root user and of the broker. They are not secret: all ports listen on loopback only.
ACCESS_KEY = "test"
BROKER_USER = "darkroom"
#: Longer than a word, so that a test can search logs for it.
BROKER_PASSWORD = "darkroom-local-broker"  # noqa: S105

#: The name of every local stack in its API keys.
KEY_ENVIRONMENT = "local"

#: Functions use the first virtual host and Redis database. Each process of the integration tests uses another one.
VIRTUAL_HOSTS = ("/", "tests", "tests-2")
CACHE_DATABASES = (0, 1, 2)

TEST_STACK = "darkroom-test"
DEFAULT_STACK = "darkroom"

EMULATORS = ("ministack", "localstack")
RUNNERS = ("auto", "native", "compose")
MEMORY_CHECKS = ("on", "off")

#: Whether the API needs credentials. Tests run on a stack that does, as it does on AWS.
AUTH_MODES = ("off", "required")
_TEST_AUTH_MODES = ("required", "off")

#: The directory of the recorded calls of test stacks, in `Settings.home`: one file per stack.
CALLS = "calls"


@dataclass(frozen=True)
class Ports:
    """One attribute per port. `api` is set by `DARKROOM_API_PORT`, and so on."""

    api: int
    emulator: int
    amqp: int
    redis: int
    #: Ports of Erlang: for connections between broker nodes, and of its port mapper.
    dist: int
    epmd: int


PURPOSES = {
    "api": "the API",
    "emulator": "the AWS emulator",
    "amqp": "RabbitMQ",
    "redis": "Redis",
    "dist": "RabbitMQ's distribution",
    "epmd": "Erlang's port mapper",
}

_DEFAULT_PORTS = Ports(api=8000, emulator=4566, amqp=5672, redis=6379, dist=5673, epmd=5674)
_TEST_PORTS = Ports(api=18000, emulator=14566, amqp=15772, redis=16379, dist=15773, epmd=15774)


@dataclass(frozen=True)
class Settings:
    """The name of a stack, its ports, its files and how it runs."""

    stack: str
    ports: Ports
    #: One of EMULATORS, RUNNERS, MEMORY_CHECKS and AUTH_MODES each.
    emulator: str
    runner: str
    memory_check: str
    auth: str
    #: Jobs in flight for each image operation; for video and audio at most one per processor.
    in_flight: int
    #: The token of LocalStack; empty for MiniStack.
    auth_token: str
    #: The template's parameters of the same names: whose tokens the closed API accepts; empty for nobody's.
    jwt_issuer: str
    jwt_audience: str
    #: The file to which MiniStack appends each AWS call of a function; empty to record none.
    record_calls: str
    root: Path = ROOT

    @property
    def home(self) -> Path:
        """The directory of everything generated: Python environments, builds, the state of stacks."""
        return self.root / ".darkroom"

    @property
    def directory(self) -> Path:
        """The state of this stack. `down` deletes it, except for the logs."""
        return self.home / self.stack

    @property
    def environments(self) -> Path:
        """The directory of MiniStack's execution environments: their code and temporary files."""
        return self.directory / "emulator" / "tmp"

    @property
    def tools(self) -> Path:
        """The Python that runs the emulator, the SAM command line, the mapping and the gateway."""
        return self.home / "tools" / "bin" / "python"

    @property
    def build(self) -> Path:
        """The output directory of `sam build`."""
        return self.home / "build"

    @property
    def access(self) -> str:
        """The template's parameter `Access`."""
        return "closed" if self.auth == "required" else "open"

    @property
    def service_host(self) -> str:
        """The host under which functions reach the services. LocalStack runs functions in containers."""
        return "localhost.localstack.cloud" if self.emulator == "localstack" else "127.0.0.1"

    @property
    def endpoint_url(self) -> str:
        """The address of the emulated AWS."""
        return f"http://{self.service_host}:{self.ports.emulator}"

    @property
    def api_url(self) -> str:
        """The address of the API for users."""
        return f"http://localhost:{self.ports.api}"

    @property
    def broker_arn(self) -> str:
        """An ARN for the broker. It names nothing: no emulator provides Amazon MQ."""
        return f"arn:aws:mq:{REGION}:{ACCOUNT}:broker:{self.stack}:b-00000000-0000-4000-8000-000000000000"

    @property
    def secret_name(self) -> str:
        """The name of the secret with the broker's credentials."""
        return f"{self.stack}-broker"

    @property
    def artifact_bucket(self) -> str:
        """The bucket into which `sam deploy` uploads artifacts."""
        return f"{self.stack}-artifacts"

    def broker_url(self, virtual_host: str = VIRTUAL_HOSTS[0]) -> str:
        """The address of RabbitMQ, without credentials."""
        return f"amqp://{self.service_host}:{self.ports.amqp}/{quote(virtual_host, safe='')}"

    def cache_url(self, database: int = CACHE_DATABASES[0]) -> str:
        """The address of Redis."""
        return f"redis://{self.service_host}:{self.ports.redis}/{database}"

    def aws_environment(self) -> dict[str, str]:
        """The variables with which an AWS client calls the emulator as its root user."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": ACCESS_KEY,
        }

    def environment(self) -> dict[str, str]:
        """The variables from which `load` restores these settings."""
        ports = {port_variable(field.name): str(getattr(self.ports, field.name)) for field in fields(Ports)}
        return ports | {
            "DARKROOM_STACK": self.stack,
            "DARKROOM_EMULATOR": self.emulator,
            "DARKROOM_RUNNER": self.runner,
            "DARKROOM_MEMORY_CHECK": self.memory_check,
            "DARKROOM_AUTH": self.auth,
            "DARKROOM_JWT_ISSUER": self.jwt_issuer,
            "DARKROOM_JWT_AUDIENCE": self.jwt_audience,
            "DARKROOM_IN_FLIGHT": str(self.in_flight),
            "DARKROOM_RECORD_CALLS": self.record_calls,
        }


def load(environ: Mapping[str, str] = os.environ, *, stack: str = "") -> Settings:
    """Reads the settings from the environment. Raises StackError, which names all invalid variables."""
    problems: list[str] = []
    name = stack or environ.get("DARKROOM_STACK") or DEFAULT_STACK
    if not (name.replace("-", "").isalnum() and name.isascii() and name == name.lower() and len(name) <= 32):
        problems.append(f"DARKROOM_STACK is '{name}': use up to 32 lower-case letters, digits and hyphens")
    settings = Settings(
        stack=name,
        ports=_ports(environ, _TEST_PORTS if name == TEST_STACK else _DEFAULT_PORTS, problems),
        emulator=_choice(environ, "DARKROOM_EMULATOR", EMULATORS, problems),
        runner=_choice(environ, "DARKROOM_RUNNER", RUNNERS, problems),
        memory_check=_choice(environ, "DARKROOM_MEMORY_CHECK", MEMORY_CHECKS, problems),
        auth=_choice(environ, "DARKROOM_AUTH", _TEST_AUTH_MODES if name == TEST_STACK else AUTH_MODES, problems),
        in_flight=_number(environ, "DARKROOM_IN_FLIGHT", os.cpu_count() or 2, 1000, problems),
        auth_token=environ.get("LOCALSTACK_AUTH_TOKEN", ""),
        jwt_issuer=environ.get("DARKROOM_JWT_ISSUER", ""),
        jwt_audience=environ.get("DARKROOM_JWT_AUDIENCE", ""),
        record_calls=environ.get("DARKROOM_RECORD_CALLS", ""),
    )
    if settings.emulator == "localstack" and not settings.auth_token:
        problems.append("DARKROOM_EMULATOR=localstack needs your token in LOCALSTACK_AUTH_TOKEN")
    if problems:
        raise StackError("; ".join(problems) + ".")
    return settings


def port_variable(name: str) -> str:
    """The environment variable that sets a port."""
    return f"DARKROOM_{name.upper()}_PORT"


def _ports(environ: Mapping[str, str], defaults: Ports, problems: list[str]) -> Ports:
    amqp = _number(environ, port_variable("amqp"), defaults.amqp, 65_533, problems)
    own = {"amqp": amqp, "dist": amqp + 1, "epmd": amqp + 2}
    values = {
        field.name: _number(
            environ, port_variable(field.name), own.get(field.name, getattr(defaults, field.name)), 65_535, problems
        )
        for field in fields(Ports)
    }
    if len(set(values.values())) < len(values):
        problems.append(f"two services share a port: {values}")
    return Ports(**values)


def _number(environ: Mapping[str, str], name: str, default: int, highest: int, problems: list[str]) -> int:
    text = environ.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or not 1 <= int(text) <= highest:
        problems.append(f"{name} is '{text}': use a whole number from 1 to {highest}")
        return default
    return int(text)


def _choice(environ: Mapping[str, str], name: str, choices: tuple[str, ...], problems: list[str]) -> str:
    text = environ.get(name, "").strip().lower() or choices[0]
    if text not in choices:
        problems.append(f"{name} is '{text}': use {' or '.join(choices)}")
        return choices[0]
    return text
