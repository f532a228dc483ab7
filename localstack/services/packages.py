"""Missing system packages, installed with the package manager of this machine if the user is allowed to."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

from localstack.errors import StackError, last_lines

BROKER = "rabbitmq"
CACHE = "redis"
VENV = "venv"

#: The policy that Debian runs before it starts a service.
POLICY = "/usr/sbin/policy-rc.d"

#: Lines of the output of the package manager shown when it fails.
_SHOWN_LINES = 15

_ALTERNATIVE = "\nOr start a Docker engine: RabbitMQ and Redis then run in containers."

#: Debian starts a service when it is installed. A temporary policy forbids this; it is always removed afterwards. An
#: existing policy is not changed.
_APT = """
policy={policy}
mark='made by darkroom for one installation'
if [ ! -e "$policy" ] || grep -q "$mark" "$policy"; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' HUP INT TERM
    printf '#!/bin/sh\\n# %s\\nexit 101\\n' "$mark" > "$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update && apt-get -qq install --yes --no-install-recommends {packages}
"""


@dataclass(frozen=True)
class Manager:
    """A package manager. `names` maps our names to its packages; a shell runs `script` to install them."""

    program: str
    names: dict[str, str]
    script: str
    #: The command to show to a user who must run it.
    command: str
    needs_root: bool = True


_PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"

MANAGERS = (
    Manager(
        "apt-get",
        {BROKER: "rabbitmq-server", CACHE: "redis-server", VENV: f"{_PYTHON}-venv"},
        _APT,
        "apt-get update && {sudo}apt-get install --no-install-recommends {packages}",
    ),
    Manager(
        "dnf",
        {BROKER: "rabbitmq-server", CACHE: "/usr/bin/redis-server", VENV: "python3-libs"},
        "dnf install --assumeyes {packages}",
        "dnf install {packages}",
    ),
    Manager(
        "pacman",
        {BROKER: "rabbitmq", CACHE: "valkey", VENV: "python"},
        "pacman --sync --refresh --noconfirm --needed {packages}",
        "pacman -S {packages}",
    ),
    Manager(
        "apk",
        {BROKER: "rabbitmq-server", CACHE: "redis", VENV: "python3"},
        "apk add {packages}",
        "apk add {packages}",
    ),
    Manager(
        "brew",
        {BROKER: "rabbitmq", CACHE: "redis", VENV: "python"},
        "HOMEBREW_NO_AUTO_UPDATE=1 brew install {packages}",
        "brew install {packages}",
        needs_root=False,
    ),
)


def install(needs: list[str]) -> None:
    """Installs packages. Raises StackError with the command to run if this is not allowed or fails."""
    manager = find_manager()
    if manager is None:
        raise StackError(
            f"{' and '.join(needs)} must be installed, and none of {', '.join(known.program for known in MANAGERS)} "
            "was found to install them. Put rabbitmq-server and redis-server on the PATH, or start a "
            "Docker engine: they then run in containers."
        )
    names = " ".join(manager.names[need] for need in needs)
    prefix = _rights(manager)
    advice = _advice(manager, names)
    if prefix is None:
        raise StackError(
            f"{names} must be installed, which needs root, and this user needs a password for sudo. Run this once, "
            f"then try again:\n    {advice}{'' if VENV in needs else _ALTERNATIVE}"
        )
    print(f"Installing {names} …", flush=True)
    script = manager.script.format(packages=names, policy=POLICY)
    completed = subprocess.run(
        [*prefix, "sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if completed.returncode:
        shown = last_lines(completed.stdout, _SHOWN_LINES)
        raise StackError(f"Installing {names} failed:\n{shown}\nTo install them yourself:\n    {advice}")


def find_manager() -> Manager | None:
    """This machine's package manager."""
    return next((manager for manager in MANAGERS if shutil.which(manager.program)), None)


def _rights(manager: Manager) -> list[str] | None:
    """The prefix that gives a command the right to install; None if there is none."""
    if not manager.needs_root or os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return [sudo, "-n"]
    return None


def _advice(manager: Manager, names: str) -> str:
    sudo = "sudo " if manager.needs_root and os.geteuid() != 0 else ""
    return sudo + manager.command.format(packages=names, sudo=sudo)
