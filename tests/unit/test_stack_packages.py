"""Installing system packages: the command, the advice when it cannot run, and no service started by it."""

import dataclasses
import os
from pathlib import Path

import pytest

from localstack.errors import StackError
from localstack.services import packages

#: Replaces apt-get: logs whether a policy forbids services to start, and exits with `status`.
APT = """#!/bin/sh
[ -x "{policy}" ] && "{policy}"; echo "policy $? for $*" >> "{log}"
exit {status}
"""


class Machine:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.policy = folder / "policy-rc.d"
        self.log = folder / "log"
        self._bin = folder / "bin"
        self._bin.mkdir()
        monkeypatch.setattr(packages, "POLICY", str(self.policy))
        monkeypatch.setenv("PATH", f"{self._bin}:/usr/bin:/bin")
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        self.apt(status=0)

    def apt(self, status: int) -> None:
        path = self._bin / "apt-get"
        path.write_text(APT.format(policy=self.policy, log=self.log, status=status))
        path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_packages_are_installed_while_a_policy_forbids_services_to_start(machine: Machine) -> None:
    packages.install([packages.BROKER, packages.CACHE])

    update, install = machine.log.read_text().splitlines()
    assert update.startswith("policy 101 for -qq update")
    assert install.endswith("install --yes --no-install-recommends rabbitmq-server redis-server")
    assert not machine.policy.exists()


def test_policy_is_removed_after_a_failed_installation(machine: Machine) -> None:
    machine.apt(status=100)

    with pytest.raises(StackError, match="Installing redis-server failed"):
        packages.install([packages.CACHE])

    assert not machine.policy.exists()


def test_existing_policy_is_not_changed(machine: Machine) -> None:
    machine.policy.write_text("#!/bin/sh\nexit 42\n")
    machine.policy.chmod(0o755)

    packages.install([packages.CACHE])

    assert machine.log.read_text().startswith("policy 42")
    assert machine.policy.read_text() == "#!/bin/sh\nexit 42\n"


def test_policy_of_an_interrupted_installation_is_removed(machine: Machine) -> None:
    machine.policy.write_text("#!/bin/sh\n# made by darkroom for one installation\nexit 101\n")

    packages.install([packages.CACHE])

    assert not machine.policy.exists()


def test_error_without_root_contains_the_command_to_run(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(StackError) as error:
        packages.install([packages.CACHE])

    assert "sudo apt-get update && sudo apt-get install --no-install-recommends redis-server" in str(error.value)
    assert not machine.log.exists()


def test_error_without_a_package_manager_names_the_programs_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(StackError, match="rabbitmq-server and redis-server on the PATH"):
        packages.install([packages.BROKER, packages.CACHE])


@pytest.mark.parametrize("manager", packages.MANAGERS, ids=lambda manager: manager.program)
def test_every_manager_has_a_name_for_each_package_and_complete_commands(manager: packages.Manager) -> None:
    assert set(manager.names) == {packages.BROKER, packages.CACHE, packages.VENV}
    script = manager.script.format(packages="a b", policy="/p")
    assert manager.program in script
    assert "a b" in script
    assert "a b" in packages._advice(manager, "a b")


def test_homebrew_does_not_run_as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    brew = next(manager for manager in packages.MANAGERS if manager.program == "brew")
    monkeypatch.setattr(os, "geteuid", lambda: 501)

    assert packages._rights(brew) == []
    assert packages._rights(dataclasses.replace(brew, needs_root=True)) in (None, [f"{os.environ.get('SUDO', '')}sudo"])
