"""Creates and revokes API keys of a deployed stack, with the credentials of the AWS command line.

    python3 -m tools.keys create --tenant default --scope admin --name first
    python3 -m tools.keys revoke default-7q2xk4mzt5ba

The key is written to standard output, and nowhere else: only its hash is stored. This is how the first key is made;
later ones can also be made with it, through the API. `make key` does the same for the local stack.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence

from localstack.errors import StackError
from localstack.settings import DEFAULT_STACK, ROOT, load
from tools import environments

#: The packages that the work needs. They are in the development environment, which runs it.
_NEEDED = ("botocore", "darkroom", "pydantic")

#: The scopes of `darkroom.contracts.tenants`, except for that of upload links.
_SCOPES = ("read", "write", "admin")


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    made = argparse.ArgumentParser(
        prog="python3 -m tools.keys", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--stack", default=DEFAULT_STACK, help="name of the stack (default: %(default)s)")
    commands = made.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="create a key and print it")
    create.add_argument("--tenant", default="default", help="whose key it is (default: %(default)s, the operator)")
    create.add_argument("--scope", action="append", choices=_SCOPES, required=True, help="may be given several times")
    create.add_argument("--name", required=True, help="what lists of keys show, such as the name of its user")
    revoke = commands.add_parser("revoke", help="revoke a key; it is refused 45 seconds later at the latest")
    revoke.add_argument("key", help="the id of the key, or the key itself")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = parser().parse_args(arguments)
    try:
        if not all(map(importlib.util.find_spec, _NEEDED)):
            return _run_in_development_environment(sys.argv[1:] if arguments is None else arguments)
        from tools import key_records

        if options.command == "create":
            print(key_records.create(options.stack, options.tenant, options.scope, options.name))
        else:
            key_records.revoke(options.stack, options.key)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _run_in_development_environment(arguments: Sequence[str]) -> int:
    settings = load()
    environments.install_development(settings)
    path = os.pathsep.join([str(ROOT / "layers" / "core"), str(ROOT)])
    argv = [str(environments.development(settings)), "-m", "tools.keys", *arguments]
    return subprocess.run(argv, cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
