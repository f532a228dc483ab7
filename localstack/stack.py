"""Starts and stops the local stack, on any Python from 3.11.

    up      starts RabbitMQ, Redis and the AWS emulator, builds and deploys template.yaml, and starts the event source
            mapping and the gateway; services that already run with the same settings are not restarted
    down    stops all services and deletes their data
    status  shows which services run, the health of the API, and whether it needs credentials
    logs    follows the logs of all services and functions

RabbitMQ and Redis run as containers if a Docker engine runs, otherwise as processes. Settings are environment
variables; docs/configuration.md lists them.
"""

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from localstack import keys
from localstack.errors import StackError
from localstack.services import compose, environments, logs, memory, native, packages, ports, readiness
from localstack.services.native import Service
from localstack.services.processes import Registry, tail
from localstack.settings import BROKER_PASSWORD, BROKER_USER, DEFAULT_STACK, Settings, load

#: The file with `Settings.auth` of the running stack, in its directory.
_ACCESS = "access"

#: Seconds until the API must be healthy. The first request is a cold start.
_API_TIMEOUT_S = 60.0


def up(settings: Settings) -> None:
    """Starts the services that do not run, deploys, and prints the addresses. Raises StackError."""
    started = time.monotonic()
    environments.require_python()
    with _lock(settings):
        if not Registry(settings.directory).alive(native.EMULATOR):
            memory.require(settings, memory.STACK_BYTES, f"The stack {settings.stack}")
        in_containers = _in_containers(settings)
        install(settings, in_containers=in_containers)
        print(f"Starting {settings.stack}", flush=True)
        _Start(settings, in_containers=in_containers).run()
        (settings.directory / _ACCESS).write_text(settings.auth)
    _print_addresses(settings, time.monotonic() - started)


def _in_containers(settings: Settings) -> bool:
    # A broker that runs natively decides, so that a Docker engine started later changes nothing.
    return not Registry(settings.directory).alive(native.BROKER) and compose.is_selected(settings)


def install(settings: Settings, *more: Callable[[Settings], None], in_containers: bool | None = None) -> None:
    """Installs missing system packages and the stack's Python environment, and calls `more`, all in parallel."""
    if in_containers is None:
        in_containers = _in_containers(settings)
    needs = [] if in_containers else _missing_packages()
    needs += environments.missing_packages(settings)
    if packages.VENV in needs:
        packages.install(needs)  # first, because making the environments needs venv
        needs = []
    with ThreadPoolExecutor() as executor:
        jobs = [executor.submit(job, settings) for job in (environments.install_tools, *more)]
        if needs:
            jobs.append(executor.submit(packages.install, needs))
    for job in jobs:
        job.result()


def _missing_packages() -> list[str]:
    found = {packages.BROKER: native.find_broker(), packages.CACHE: native.find_cache()}
    return [name for name, path in found.items() if not path]


class _Start:
    """One run of `up`."""

    def __init__(self, settings: Settings, *, in_containers: bool) -> None:
        self._settings = settings
        self._registry = Registry(settings.directory)
        self._in_containers = in_containers

    def run(self) -> None:
        settings = self._settings
        emulated = [] if settings.emulator == "localstack" else [native.emulator(settings)]
        if not all(self._runs(service) for service in emulated):
            self._stop_all()  # the emulator's state was in memory, so data of the other services is obsolete
        backing = [] if self._in_containers else native.backing_services(settings)
        self._start([*emulated, *backing])
        with self._deployment("build"):  # while the services start
            if self._in_containers:
                compose.up(settings)
                for name, probe in compose.probes(settings).items():
                    self._wait(name, probe)
            for service in [*emulated, *backing]:
                self._wait(service.name, service.probe)
        with self._deployment("deploy"):
            pass
        own = native.own_services(settings)
        self._start(own)
        for service in own:
            self._wait(service.name, service.probe)
        self._wait_for_api()

    def _runs(self, service: Service) -> bool:
        record = self._registry.alive(service.name)
        return record is not None and record.fingerprint == service.fingerprint

    def _stop_all(self) -> None:
        left = self._registry.stop()
        if left:
            print(f"  stopped services of an earlier run: {', '.join(left)}", flush=True)
        _delete_state(self._settings)

    def _start(self, wanted: list[Service]) -> None:
        missing = [service for service in wanted if not self._runs(service)]
        self._registry.stop([service.name for service in missing])
        ports.require_free(self._settings, [port for service in missing for port in service.ports])
        for service in missing:
            service.prepare()
            self._registry.start(
                service.name, service.argv, service.environment, service.directory, service.fingerprint
            )

    def _wait(self, name: str, probe: readiness.Probe, timeout_s: float = native.START_TIMEOUT_S) -> None:
        try:
            readiness.wait(probe, timeout_s, partial(self._require_alive, name))
        except readiness.NotReadyError as error:
            raise StackError(
                f"{name} was not ready within {timeout_s:.0f} s: {error}. The end of its log:\n"
                f"{tail(self._registry.log(name))}"
            ) from error

    def _wait_for_api(self) -> None:
        probe = partial(readiness.http, f"{self._settings.api_url}/health")
        try:
            readiness.wait(probe, _API_TIMEOUT_S, partial(self._require_alive, native.GATEWAY))
        except readiness.NotReadyError as error:
            raise StackError(
                f"All services run, but the API is not healthy after {_API_TIMEOUT_S:.0f} s: {error}.\n"
                "`make logs` shows the logs of its function; `make up` tries again."
            ) from error

    def _require_alive(self, name: str) -> None:
        if name in self._registry.records() and not self._registry.alive(name):
            raise StackError(f"{name} ended while starting. The end of its log:\n{tail(self._registry.log(name))}")

    @contextmanager
    def _deployment(self, action: str) -> Iterator[None]:
        """Builds or deploys in a process, in parallel to the block, and waits for it at the end of the block."""
        process = subprocess.Popen(
            [str(self._settings.tools), "-m", "localstack.aws.sam", action],
            cwd=self._settings.root,
            env=native.own_environment(self._settings),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield
        except BaseException:
            process.terminate()
            process.communicate()
            raise
        _, problems = process.communicate()
        if process.returncode:
            raise StackError(problems.strip() or f"{action} ended with status {process.returncode}.")


def with_kept_access(settings: Settings) -> Settings:
    """The settings, with the access that the running stack has unless the caller chooses.

    So no command that forgets the setting opens a stack that was closed.
    """
    stamp = settings.directory / _ACCESS
    if os.environ.get("DARKROOM_AUTH") or not stamp.exists():
        return settings
    return replace(settings, auth=stamp.read_text())


def down(settings: Settings) -> None:
    """Stops all services of this stack and deletes their data. Does nothing when nothing runs."""
    with _lock(settings):
        stopped = Registry(settings.directory).stop()
        if compose.has_containers(settings):
            compose.down(settings)
            stopped.append("containers")
        _delete_state(settings)
    print(f"{settings.stack} is down" + (f" ({', '.join(stopped)})." if stopped else ": nothing was running."))


def _delete_state(settings: Settings) -> None:
    """Deletes the state of all services, which is useless without that of the emulator. Keeps the logs."""
    for path in settings.directory.glob("*"):
        if path.is_dir() and path.name != "logs":
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()


def status(settings: Settings) -> bool:
    """Prints the state of each service and the API's health. Returns whether all services run."""
    registry = Registry(settings.directory)
    states = compose.states(settings) if compose.has_containers(settings) else {}
    port_mapper = [] if states else [native.PORT_MAPPER]
    wanted = [*port_mapper, native.BROKER, native.CACHE, native.EMULATOR, native.MAPPING, native.GATEWAY]
    healthy = True
    for name in wanted:
        record = registry.alive(name)
        state = f"running  pid {record.pid}" if record else states.get(name, "stopped")
        healthy = healthy and state.startswith("running")
        print(f"{name:10} {state}")
    if healthy:
        print(f"{'API':10} {_health(settings)}")
        print(f"{'access':10} {_access(settings)}")
    return healthy


def _health(settings: Settings) -> str:
    try:
        readiness.http(f"{settings.api_url}/health")
    except readiness.NotReadyError as error:
        return f"unhealthy: {error}"
    return f"healthy, at {settings.api_url}"


def _access(settings: Settings) -> str:
    """Who may use the API, as it answers itself."""
    try:
        return _access_text(settings, is_closed=keys.is_closed(settings.api_url))
    except StackError as error:
        return f"unknown: {error}"


def _access_text(settings: Settings, *, is_closed: bool) -> str:
    if is_closed:
        return f"closed: requests need an API key; make key{_suffix(settings)} makes one"
    return f"open to everybody on this machine; make up{_suffix(settings)} DARKROOM_AUTH=required closes it"


def _suffix(settings: Settings) -> str:
    """What commands on this stack need."""
    return "" if settings.stack == DEFAULT_STACK else f" DARKROOM_STACK={settings.stack}"


def _print_addresses(settings: Settings, seconds: float) -> None:
    suffix = _suffix(settings)
    print(
        f"{settings.stack} is up after {seconds:.1f} s.\n"
        f"  API       {settings.api_url}   documentation: {settings.api_url}/docs\n"
        f"  access    {_access_text(settings, is_closed=settings.access == 'closed')}\n"
        f"  AWS       {settings.endpoint_url}   (access key and secret: test)\n"
        f"  RabbitMQ  {settings.broker_url()}   (user {BROKER_USER}, password {BROKER_PASSWORD})\n"
        f"  Redis     {settings.cache_url()}\n"
        f"  logs: make logs{suffix}   stop: make down{suffix}",
        flush=True,
    )


@contextmanager
def _lock(settings: Settings) -> Iterator[None]:
    """Lets one command at a time use the stack."""
    settings.home.mkdir(exist_ok=True)
    with (settings.home / f"{settings.stack}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waiting for another command on {settings.stack} …", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python3 -m localstack.stack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands: dict[str, Callable[[Settings], object]] = {"up": up, "down": down, "status": status, "logs": logs.follow}
    parser.add_argument("command", choices=commands)
    arguments = parser.parse_args()
    try:
        succeeded = commands[arguments.command](with_kept_access(load()))
    except StackError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return int(succeeded is False)


if __name__ == "__main__":
    sys.exit(main())
