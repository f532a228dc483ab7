"""The services as containers, where a Docker engine runs. The settings go in through the environment."""

import json
import os
import subprocess
from functools import partial

from localstack.failure import StackError
from localstack.services import native, readiness
from localstack.settings import Settings

#: Seconds to wait for the engine's answer, and for the containers, whose images may have to be fetched.
_ENGINE_TIMEOUT_S = 10
_START_TIMEOUT_S = 600

_SHOWN = 25


def chosen(settings: Settings) -> bool:
    """Whether the services run as containers. Raises StackError when they must and no engine answers."""
    if settings.runner == "native" and settings.emulator != "localstack":
        return False
    answers = _engine_answers()
    if not answers and settings.emulator == "localstack":
        raise StackError("LocalStack runs in a container, and no Docker engine with compose answers. Start one.")
    if not answers and settings.runner == "compose":
        raise StackError("DARKROOM_RUNNER=compose needs a Docker engine with compose, and none answers. Start one.")
    return answers


def _engine_answers() -> bool:
    # The command alone proves nothing: it is often installed where no engine runs.
    for argv in (["docker", "info", "--format", "{{.ServerVersion}}"], ["docker", "compose", "version"]):
        try:
            answer = subprocess.run(argv, capture_output=True, timeout=_ENGINE_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return False
        if answer.returncode or (argv[1] == "info" and not answer.stdout.strip()):
            return False
    return True


def up(settings: Settings) -> None:
    """Starts the containers and waits for them. Containers that run already with these settings are left alone."""
    files = settings.directory / native.BROKER
    native.write_broker_files(files, f"0.0.0.0:{settings.ports.amqp}", "/etc/rabbitmq/definitions.json")
    for path in files.iterdir():
        path.chmod(0o644)  # the container's user is another one
    wait = ["--wait", "--wait-timeout", str(_START_TIMEOUT_S)]
    _compose(settings, ["up", "--detach", "--remove-orphans", *wait], "start the containers")


def down(settings: Settings) -> None:
    """Removes the containers and what they kept."""
    _compose(settings, ["down", "--volumes", "--remove-orphans", "--timeout", "5"], "remove the containers")


def runs(settings: Settings) -> bool:
    """Whether this stack has containers."""
    files = settings.directory / native.BROKER / "rabbitmq.conf"
    return files.exists() and chosen(settings) and bool(states(settings))


def states(settings: Settings) -> dict[str, str]:
    """Every container of this stack and what it does."""
    output = _compose(settings, ["ps", "--all", "--format", "json"], "list the containers")
    rows = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return {row["Service"]: row["State"] for row in rows}


def follow(settings: Settings) -> subprocess.Popen[bytes]:
    """Prints the containers' logs until it is ended."""
    return subprocess.Popen([*_command(settings), "logs", "--follow", "--tail", "20"], env=_environment(settings))


def probes(settings: Settings) -> dict[str, readiness.Probe]:
    """How each container tells that it is ready."""
    found: dict[str, readiness.Probe] = {
        native.BROKER: partial(readiness.amqp, "127.0.0.1", settings.ports.amqp),
        native.CACHE: partial(readiness.redis, "127.0.0.1", settings.ports.redis),
    }
    if settings.emulator == "localstack":
        found[native.EMULATOR] = partial(readiness.http, f"{settings.endpoint_url}/_localstack/health")
    return found


def _compose(settings: Settings, arguments: list[str], purpose: str) -> str:
    answer = subprocess.run(
        [*_command(settings), *arguments], env=_environment(settings), capture_output=True, text=True, check=False
    )
    if answer.returncode:
        shown = "\n".join(f"    {line}" for line in answer.stderr.splitlines()[-_SHOWN:])
        raise StackError(f"Docker could not {purpose}:\n{shown}")
    return answer.stdout


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
