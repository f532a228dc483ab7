"""RabbitMQ, Redis and LocalStack as containers. Compose files get the settings as environment variables."""

import json
import os
import subprocess
from functools import partial

from localstack.errors import StackError, last_lines
from localstack.services import native, readiness
from localstack.settings import Settings

#: Seconds until the engine must respond, and until containers must run, whose images may have to be downloaded.
_ENGINE_TIMEOUT_S = 10
_START_TIMEOUT_S = 600

#: Lines of the output of Docker shown when it fails.
_SHOWN_LINES = 25


def is_selected(settings: Settings) -> bool:
    """Whether services run as containers. Raises StackError when settings require it and no engine responds."""
    if settings.runner == "native" and settings.emulator != "localstack":
        return False
    responds = _engine_responds()
    if not responds and settings.emulator == "localstack":
        raise StackError("LocalStack runs in a container, and no Docker engine with compose responds. Start one.")
    if not responds and settings.runner == "compose":
        raise StackError("DARKROOM_RUNNER=compose needs a Docker engine with compose, and none responds. Start one.")
    return responds


def _engine_responds() -> bool:
    # The docker command is often installed where no engine runs.
    for argv in (["docker", "info", "--format", "{{.ServerVersion}}"], ["docker", "compose", "version"]):
        try:
            completed = subprocess.run(argv, capture_output=True, timeout=_ENGINE_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return False
        if completed.returncode or (argv[1] == "info" and not completed.stdout.strip()):
            return False
    return True


def up(settings: Settings) -> None:
    """Starts the containers and waits for them. Containers that run with these settings are not restarted."""
    files = settings.directory / native.BROKER
    native.write_broker_files(files, f"0.0.0.0:{settings.ports.amqp}", "/etc/rabbitmq/definitions.json")
    for path in files.iterdir():
        path.chmod(0o644)  # the user in the container is another one
    wait = ["--wait", "--wait-timeout", str(_START_TIMEOUT_S)]
    _compose(settings, ["up", "--detach", "--remove-orphans", *wait], "start the containers")


def down(settings: Settings) -> None:
    """Removes the containers and their data."""
    _compose(settings, ["down", "--volumes", "--remove-orphans", "--timeout", "5"], "remove the containers")


def has_containers(settings: Settings) -> bool:
    """Whether this stack has containers."""
    files = settings.directory / native.BROKER / "rabbitmq.conf"
    return files.exists() and is_selected(settings) and bool(states(settings))


def states(settings: Settings) -> dict[str, str]:
    """The state of every container of this stack, by service."""
    output = _compose(settings, ["ps", "--all", "--format", "json"], "list the containers")
    rows = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return {row["Service"]: row["State"] for row in rows}


def follow(settings: Settings) -> subprocess.Popen[bytes]:
    """Starts a process that prints the logs of the containers."""
    return subprocess.Popen([*_command(settings), "logs", "--follow", "--tail", "20"], env=_environment(settings))


def probes(settings: Settings) -> dict[str, readiness.Probe]:
    """The readiness probe of each container, by service."""
    found: dict[str, readiness.Probe] = {
        native.BROKER: partial(readiness.amqp, "127.0.0.1", settings.ports.amqp),
        native.CACHE: partial(readiness.redis, "127.0.0.1", settings.ports.redis),
    }
    if settings.emulator == "localstack":
        found[native.EMULATOR] = partial(readiness.http, f"{settings.endpoint_url}/_localstack/health")
    return found


def _compose(settings: Settings, arguments: list[str], purpose: str) -> str:
    completed = subprocess.run(
        [*_command(settings), *arguments], env=_environment(settings), capture_output=True, text=True, check=False
    )
    if completed.returncode:
        raise StackError(f"Docker could not {purpose}:\n{last_lines(completed.stderr, _SHOWN_LINES)}")
    return completed.stdout


def _command(settings: Settings) -> list[str]:
    files = ["compose.yaml"] + (["compose.localstack.yaml"] if settings.emulator == "localstack" else [])
    options = [part for name in files for part in ("--file", str(settings.root / "localstack" / "services" / name))]
    return ["docker", "compose", "--project-name", settings.stack, *options]


def _environment(settings: Settings) -> dict[str, str]:
    own = {
        "DARKROOM_BROKER_FILES": str(settings.directory / native.BROKER),
        "LOCALSTACK_AUTH_TOKEN": settings.auth_token,
    }
    return {**os.environ, **settings.environment(), **own}
