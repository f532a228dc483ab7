"""API keys of the local stack, for people, the demo and the tests.

    python3 -m localstack.keys --tenant default --scopes "read write admin" --name mine

prints a new key. tools/keys.py does the work. It runs on the Python of the stack's tools with the layer that the stack
has deployed, so that nothing needs to be installed for it.
"""

import argparse
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from localstack.errors import NoResponseError, StackError
from localstack.services import native
from localstack.settings import ROOT, Settings, load

#: The variable with the key for an API that is not the local stack's.
VARIABLE = "DARKROOM_KEY"

SCOPES = ("read", "write", "admin")

#: The tenant of the operator.
TENANT = "default"

#: A path that needs credentials when the API is closed.
_GUARDED = "/operations"
_TIMEOUT_S = 30


def create(settings: Settings, name: str, *, tenant: str = TENANT, scopes: Sequence[str] = SCOPES) -> str:
    """Makes an API key of the running stack and returns it. Raises StackError."""
    chosen = [part for scope in scopes for part in ("--scope", scope)]
    return _run(settings, "create", "--tenant", tenant, "--name", name, *chosen)


def revoke(settings: Settings, key: str) -> None:
    """Revokes a key of the running stack. Raises StackError."""
    _run(settings, "revoke", key)


@contextmanager
def temporary(settings: Settings, address: str, name: str) -> Iterator[str]:
    """The key for an API: that of `DARKROOM_KEY`, or one that is revoked at the end; empty when the API is open.

    Raises StackError when the API is closed and not that of this stack, since only its operator can make a key.
    """
    given = os.environ.get(VARIABLE, "")
    if given or not is_closed(address):
        yield given
        return
    if address != settings.api_url:
        raise StackError(f"The API at {address} needs an API key: set {VARIABLE}.")
    key = create(settings, name)
    try:
        yield key
    finally:
        revoke(settings, key)


def is_closed(address: str) -> bool:
    """Whether an API refuses requests without credentials. Raises NoResponseError, or StackError for another answer."""
    try:
        with urllib.request.urlopen(address + _GUARDED, timeout=_TIMEOUT_S):  # noqa: S310 - the user's own address
            return False
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 401:
            return True
        raise StackError(f"GET {address}{_GUARDED} failed: {error.code}") from error
    except OSError as error:
        raise NoResponseError(f"GET {address}{_GUARDED}: no response: {getattr(error, 'reason', error)}") from error


def headers(key: str) -> dict[str, str]:
    """The header with a key; none for an empty key."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def _run(settings: Settings, *arguments: str) -> str:
    layer = settings.build / "CoreLayer" / "python"
    environment = native.own_environment(settings) | {"PYTHONPATH": os.pathsep.join([str(layer), str(ROOT)])}
    argv = [str(settings.tools), "-m", "tools.keys", "--stack", settings.stack, *arguments]
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(done.stderr.strip() or f"tools.keys ended with status {done.returncode}.")
    return done.stdout.strip()


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m localstack.keys", description="Makes a key of the local stack.")
    parser.add_argument("--tenant", default=TENANT, help="whose key it is (default: %(default)s, the operator)")
    parser.add_argument("--scopes", default=" ".join(SCOPES), help="separated by spaces (default: %(default)s)")
    parser.add_argument("--name", default="mine", help="what lists of keys show (default: %(default)s)")
    options = parser.parse_args()
    settings = load()
    try:
        print(create(settings, options.name, tenant=options.tenant, scopes=options.scopes.replace(",", " ").split()))
    except StackError as error:
        print(f"{error}\nIs the stack running? `make up` starts it.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
