"""The services as native processes: how each is started, and when it is ready."""

import base64
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from localstack.errors import StackError
from localstack.services import readiness
from localstack.settings import ACCOUNT, BROKER_PASSWORD, BROKER_USER, REGION, VIRTUAL_HOSTS, Settings

#: Seconds until a service must be ready. The broker needs 5 on a fast machine.
START_TIMEOUT_S = 90.0

BROKER = "rabbitmq"
CACHE = "redis"
EMULATOR = "emulator"
PORT_MAPPER = "epmd"
MAPPING = "mapping"
GATEWAY = "gateway"

#: Variables that processes inherit from the caller. Others, such as AWS settings, could change their behavior.
_PASSED_ON = {
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "XDG_CONFIG_HOME"),
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"),
}
_PASSED_ON_PREFIX = "PIP_"  # builds use the package index of this user
_LOCAL_HOSTS = "127.0.0.1,localhost,localhost.localstack.cloud"

#: Paths of the broker's start script in packages. The one on PATH may be a wrapper that requires root or a certain
#: user; these work for every user.
_BROKER_SCRIPTS = (
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server",
    "/opt/rabbitmq/sbin/rabbitmq-server",
    "/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server",
    "/usr/local/opt/rabbitmq/sbin/rabbitmq-server",
    "/home/linuxbrew/.linuxbrew/opt/rabbitmq/sbin/rabbitmq-server",
)
_PORT_MAPPERS = (
    "/usr/lib/erlang/erts-*/bin/epmd",
    "/usr/lib64/erlang/erts-*/bin/epmd",
    "/opt/homebrew/lib/erlang/bin/epmd",
)
_CACHE_NAMES = ("redis-server", "valkey-server")


@dataclass(frozen=True)
class Service:
    """One process. `ports` are the names of its ports in `Ports`."""

    name: str
    argv: list[str]
    ports: list[str]
    probe: readiness.Probe
    environment: dict[str, str] = field(default_factory=dict)
    directory: Path = Path()
    #: Called before the process starts; writes its configuration.
    prepare: Callable[[], None] = lambda: None

    @property
    def fingerprint(self) -> str:
        """A hash of how the process is started, independent of the shell that starts it."""
        own = sorted((name, value) for name, value in self.environment.items() if not _is_passed_on(name))
        return hashlib.sha256(json.dumps([self.argv, own]).encode()).hexdigest()[:16]


def base_environment() -> dict[str, str]:
    """The environment of every process of the stack."""
    passed_on = {name: value for name, value in os.environ.items() if _is_passed_on(name)}
    return {"LANG": "C.UTF-8"} | passed_on | {"NO_PROXY": _LOCAL_HOSTS, "PYTHONUNBUFFERED": "1"}


def _is_passed_on(name: str) -> bool:
    return name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIX)


def own_environment(settings: Settings) -> dict[str, str]:
    """The environment of the programs in this repository: the settings and the emulated AWS."""
    return base_environment() | settings.environment() | settings.aws_environment()


def find_broker() -> str:
    """The path of the broker's start script; empty if RabbitMQ is not installed."""
    return _first_match(_BROKER_SCRIPTS) or shutil.which("rabbitmq-server", path=_search_path()) or ""


def find_cache() -> str:
    """The path of Redis, or of Valkey, which is compatible; empty if neither is installed."""
    return next((found for name in _CACHE_NAMES if (found := shutil.which(name, path=_search_path()))), "")


def _find_port_mapper() -> str:
    return shutil.which("epmd", path=_search_path()) or _first_match(_PORT_MAPPERS)


def _first_match(patterns: tuple[str, ...]) -> str:
    for pattern in patterns:
        matches = sorted(Path("/").glob(pattern.lstrip("/")))
        if matches:
            return str(matches[-1])
    return ""


def _search_path() -> str:
    # System services may be in directories that are not on the PATH of an ordinary user.
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/sbin"])


def backing_services(settings: Settings) -> list[Service]:
    """RabbitMQ and Redis, which no emulator provides. Raises StackError when one is not installed."""
    missing = [name for name, found in (("RabbitMQ", find_broker()), ("Redis", find_cache())) if not found]
    if missing:
        raise StackError(f"{' and '.join(missing)} cannot be found on this machine.")
    return [*_port_mapper(settings), _broker(settings), _cache(settings)]


def _port_mapper(settings: Settings) -> list[Service]:
    """Erlang's port mapper, started here because one started by the broker would outlive it."""
    program = _find_port_mapper()
    if not program:
        return []
    port = settings.ports.epmd
    return [
        Service(
            PORT_MAPPER,
            [program, "-address", "127.0.0.1", "-port", str(port)],
            ["epmd"],
            partial(readiness.tcp, "127.0.0.1", port),
            base_environment(),
            settings.directory / BROKER,
        )
    ]


def _broker(settings: Settings) -> Service:
    home = settings.directory / BROKER
    environment = base_environment() | {
        "HOME": str(home),  # Erlang keeps its cookie there
        "RABBITMQ_NODENAME": f"{settings.stack}@localhost",
        "RABBITMQ_CONF_ENV_FILE": os.devnull,  # ignores the configuration of the system's broker
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RUNNING_UNDER_SYSTEMD": "true",  # the start script replaces itself with the broker instead of waiting for it
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(home / "generated"),
        "RABBITMQ_DIST_PORT": str(settings.ports.dist),
        "ERL_EPMD_PORT": str(settings.ports.epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        # Idle schedulers sleep instead of spinning, and the node listens on loopback only.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            "+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
        ),
    }
    return Service(
        BROKER,
        [find_broker()],
        ["amqp", "dist"],
        partial(readiness.amqp, "127.0.0.1", settings.ports.amqp),
        environment,
        home,
        partial(write_broker_files, home, f"127.0.0.1:{settings.ports.amqp}", str(home / "definitions.json")),
    )


def write_broker_files(home: Path, listener: str, definitions: str) -> None:
    """Writes the broker's configuration: its listener, its user and its virtual hosts."""
    home.mkdir(parents=True, exist_ok=True)
    lines = [
        f"listeners.tcp.1 = {listener}",
        f"load_definitions = {definitions}",
        "log.console = true",
        "log.console.level = warning",
        "log.file = false",
        "disk_free_limit.absolute = 50MB",
    ]
    (home / "rabbitmq.conf").write_text("\n".join([*lines, ""]))
    (home / "enabled_plugins").write_text("[].\n")
    (home / "definitions.json").write_text(json.dumps(_definitions(), indent=1))


def _definitions() -> dict[str, object]:
    full = {"configure": ".*", "write": ".*", "read": ".*"}
    return {
        "users": [
            {
                "name": BROKER_USER,
                "password_hash": _password_hash(BROKER_PASSWORD),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": "administrator",
            }
        ],
        "vhosts": [{"name": name} for name in VIRTUAL_HOSTS],
        "permissions": [{"user": BROKER_USER, "vhost": name, **full} for name in VIRTUAL_HOSTS],
    }


def _password_hash(password: str) -> str:
    # RabbitMQ's format: a salt of four bytes, then SHA-256 of salt and password. A fixed salt keeps the file the same.
    salt = b"dark"
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _cache(settings: Settings) -> Service:
    port = settings.ports.redis
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": ".",
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    argv = [find_cache(), *(part for name, value in options.items() for part in (f"--{name}", value))]
    probe = partial(readiness.redis, "127.0.0.1", port)
    return Service(CACHE, argv, ["redis"], probe, base_environment(), settings.directory / CACHE)


def emulator(settings: Settings) -> Service:
    """MiniStack, which enforces the IAM policies of the functions' roles."""
    home = settings.directory / EMULATOR
    environment = base_environment() | {
        "AWS_ACCESS_KEY_ID": settings.aws_environment()["AWS_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": settings.aws_environment()["AWS_SECRET_ACCESS_KEY"],
        "GATEWAY_PORT": str(settings.ports.emulator),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION,
        "AUTH": "true",
        "LAMBDA_EXECUTOR": "local",
        "LAMBDA_WARM_TTL_SECONDS": "5",  # idle environments end within 10 s; one of each function stays
        # Functions inherit these: memory that is free goes back to the system, 2 MB of each environment.
        "MALLOC_MMAP_THRESHOLD_": "131072",
        "MALLOC_TRIM_THRESHOLD_": "131072",
        "LOG_LEVEL": "WARNING",  # the output of functions is in CloudWatch Logs
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "TMPDIR": str(settings.environments),
        "STATE_DIR": str(home / "state"),
        "S3_PERSIST": "1",  # objects are on disk instead of in memory; `down` deletes them
        "S3_DATA_DIR": str(home / "s3"),
    }
    if settings.record_calls:
        environment["DARKROOM_RECORD_CALLS"] = settings.record_calls
    # -P, because functions inherit PYTHONPATH and would find modules here that they lack on AWS.
    argv = [str(settings.tools), "-P", str(settings.root / "localstack" / "aws" / "emulator.py")]
    return Service(
        EMULATOR,
        argv,
        ["emulator"],
        partial(readiness.http, f"{settings.endpoint_url}/_ministack/health"),
        environment,
        home,
        partial(settings.environments.mkdir, parents=True, exist_ok=True),
    )


def own_services(settings: Settings) -> list[Service]:
    """The services of this repository: the mapping from queues to functions, and the API's address."""
    environment = own_environment(settings)
    return [
        Service(
            MAPPING,
            [str(settings.tools), "-m", "localstack.aws.mapping"],
            [],
            lambda: None,
            environment,
            settings.root,
        ),
        Service(
            GATEWAY,
            [str(settings.tools), "-m", "localstack.aws.gateway"],
            ["api"],
            partial(readiness.tcp, "127.0.0.1", settings.ports.api),
            environment,
            settings.root,
        ),
    ]
