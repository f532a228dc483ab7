"""Builds template.yaml with `sam build`, and deploys it to the emulator with `sam deploy`.

Runs as a process on the Python of the stack's tools: `python -m localstack.aws.sam build|deploy`. It skips the build
when the sources have not changed, and the deployment when the emulator already has it.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from botocore.exceptions import ClientError

from localstack.aws import artifacts, layer_store
from localstack.aws.clients import create_client
from localstack.errors import StackError
from localstack.services.native import own_environment
from localstack.services.processes import tail
from localstack.settings import BROKER_PASSWORD, BROKER_USER, KEY_ENVIRONMENT, Settings, load

#: The files that a build and its archives depend on.
_SOURCES = (
    *("template.yaml", "samconfig.toml", "api", "functions", "layers"),
    *(f"localstack/aws/{name}.py" for name in ("artifacts", "layer_store", "emulated_environment")),
)
_IGNORED = ("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache")
#: Files that every artifact depends on, which SAM's cache does not take into account.
_SHARED = ("layers/artifact.mk", "layers/unpack.py", "functions/Makefile")

#: Lines of the log of SAM shown when it fails.
_SHOWN_LINES = 40

_BUILD_STAMP = "build.sources"
_BUILD_LOCK = "build.lock"


def main() -> None:
    """Builds or deploys, by the first argument. Exits with a message and status 1 when it fails."""
    actions = {"build": build, "deploy": deploy}
    try:
        actions[sys.argv[1]](load())
    except StackError as error:
        sys.exit(str(error))


def build(settings: Settings) -> None:
    """Builds for the Python that runs this, unless the sources are those of the last build. Raises StackError."""
    settings.home.mkdir(exist_ok=True)
    stamp = settings.home / _BUILD_STAMP
    with _locked(settings.home / _BUILD_LOCK):
        store = layer_store.directory(settings) if settings.emulator == "ministack" else None
        digest = f"{_digest(settings.root, _SOURCES)} {store}"
        if stamp.exists() and stamp.read_text() == digest and _is_complete(settings):
            return
        started = time.monotonic()
        print("  building functions and layers …", flush=True)
        stamp.unlink(missing_ok=True)
        _sam(settings, "build", _build_arguments(settings))
        artifacts.pack(settings.build, store)
        stamp.write_text(digest)
        print(f"  built     {time.monotonic() - started:5.1f} s", flush=True)


def _is_complete(settings: Settings) -> bool:
    return (settings.build / artifacts.PACKED).exists() and layer_store.has_build(settings)


def _build_arguments(settings: Settings) -> list[str]:
    cache = settings.home / "build-cache" / _digest(settings.root, _SHARED)[:12]
    return [
        *("--template-file", str(settings.root / "template.yaml")),
        *("--build-dir", str(settings.build)),
        *("--cached", "--cache-dir", str(cache)),
        "--parallel",
    ]


def deploy(settings: Settings) -> None:
    """Deploys the last build, unless this emulator already has it. Raises StackError."""
    with _locked(settings.home / _BUILD_LOCK):  # no other process may build during the deployment
        source = settings.home / _BUILD_STAMP
        if not source.exists():
            raise StackError("There is no complete build to deploy: the last one was interrupted. Run make up again.")
        _deploy(settings, source.read_text())


def _deploy(settings: Settings, digest: str) -> None:
    stamp = settings.directory / "deployed"
    parameters = _parameters(settings, _broker_secret(settings))
    wanted = json.dumps([digest, parameters, _emulator_identity(settings)])
    if stamp.exists() and stamp.read_text() == wanted:
        return
    layer_store.record_deployment(settings)
    started = time.monotonic()
    print("  deploying the template …", flush=True)
    stamp.unlink(missing_ok=True)
    _artifact_bucket(settings)
    _sam(settings, "deploy", _deploy_arguments(settings, parameters))
    stamp.write_text(wanted)
    print(f"  deployed  {time.monotonic() - started:5.1f} s", flush=True)


def _deploy_arguments(settings: Settings, parameters: dict[str, str]) -> list[str]:
    # Without quotes SAM refuses an empty value.
    return [
        *("--template-file", str(settings.build / artifacts.PACKED)),
        *("--config-file", str(settings.root / "samconfig.toml")),
        *("--stack-name", settings.stack),
        *("--s3-bucket", settings.artifact_bucket),
        *("--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"),
        "--no-confirm-changeset",
        "--no-fail-on-empty-changeset",
        "--no-progressbar",
        *("--parameter-overrides", *(f'{name}="{value}"' for name, value in parameters.items())),
    ]


def _parameters(settings: Settings, secret_arn: str) -> dict[str, str]:
    # Without RuntimeVersion: MiniStack runs functions on its own Python, whatever their runtime is.
    cores = os.cpu_count() or 2
    return {
        "Access": settings.access,
        "AllowedOrigins": "*",
        "Architecture": "arm64" if os.uname().machine in ("arm64", "aarch64") else "x86_64",
        "BrokerArn": settings.broker_arn,
        "BrokerUrl": settings.broker_url(),
        "BrokerSecretArn": secret_arn,
        "CacheUrl": settings.cache_url(),
        "ImageInFlight": str(settings.in_flight),
        "JwtAudience": settings.jwt_audience,
        "JwtIssuer": settings.jwt_issuer,
        "KeyEnvironment": KEY_ENVIRONMENT,
        "VideoInFlight": str(min(settings.in_flight, cores)),
    }


def _broker_secret(settings: Settings) -> str:
    """Creates the secret with the broker's credentials if it does not exist. Returns its ARN."""
    secrets = create_client(settings, "secretsmanager")
    try:
        return str(secrets.describe_secret(SecretId=settings.secret_name)["ARN"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
    text = json.dumps({"username": BROKER_USER, "password": BROKER_PASSWORD})
    return str(secrets.create_secret(Name=settings.secret_name, SecretString=text)["ARN"])


def _artifact_bucket(settings: Settings) -> None:
    # In us-east-1, creating a bucket that this account already owns is not an error.
    create_client(settings, "s3").create_bucket(Bucket=settings.artifact_bucket)


def _emulator_identity(settings: Settings) -> str:
    """Differs after a restart of the emulator, which loses its state."""
    record = settings.directory / "processes" / "emulator.json"
    return record.read_text() if record.exists() else ""


def _sam(settings: Settings, command: str, arguments: list[str]) -> None:
    """Runs the SAM command line with its output in a log. Raises StackError with the end of that log."""
    log = settings.home / f"sam-{command}-{settings.stack}.log"
    environment = own_environment(settings) | _sam_environment(settings)
    argv = [str(settings.tools.parent / "sam"), command, "--config-env", "local", *arguments]
    with log.open("wb") as output:
        completed = subprocess.run(
            argv,
            cwd=settings.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        )
    if completed.returncode:
        raise StackError(
            f"sam {command} failed. The end of {log.relative_to(settings.root)}:\n{tail(log, _SHOWN_LINES)}"
        )


def _sam_environment(settings: Settings) -> dict[str, str]:
    return {
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": "0.2",  # seconds between two requests for the state of a deployment
        "DARKROOM_BUILD_TARGET": "host" if settings.emulator == "ministack" else "lambda",
        "DARKROOM_BUILD_PYTHON": str(settings.tools),
    }


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(root: Path, names: Iterable[str]) -> str:
    digest = hashlib.sha256(f"{sys.version} {shutil.which('make')}".encode())
    for name in names:
        top = root / name
        paths = sorted(path for path in top.rglob("*") if path.is_file()) if top.is_dir() else [top]
        for path in paths:
            if path.is_file() and not set(path.parts) & set(_IGNORED):
                digest.update(f"{path.relative_to(root)}\0{path.stat().st_mode & 0o111}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
