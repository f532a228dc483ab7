"""Files that the local stack writes: archives of artifacts, the broker's configuration, Python environments."""

import json
import os
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from localstack.aws import artifacts
from localstack.errors import StackError
from localstack.services import compose, environments, native
from localstack.settings import VIRTUAL_HOSTS, Ports, load, port_variable

HERE = Path(__file__).parents[2] / "localstack" / "services"


def build_with(folder: Path, template: str, **files: str) -> Path:
    (folder / "template.yaml").write_text(template)
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if "bin" in name else 0o644)
    return folder


TEMPLATE = """
Resources:
  A:
    Properties:
      CodeUri: AFunction
  L:
    Properties:
      ContentUri: BLayer
      Description: "CodeUri: text"
"""


def test_artifacts_are_archived_and_the_template_refers_to_the_archives(tmp_path: Path) -> None:
    build = build_with(tmp_path, TEMPLATE, AFunction__app="print()", BLayer__bin__tool="#!")

    artifacts.pack(build, None)

    template = yaml.safe_load((build / artifacts.PACKED).read_text())
    assert template["Resources"]["A"]["Properties"]["CodeUri"] == "AFunction.zip"
    assert template["Resources"]["L"]["Properties"]["ContentUri"] == "BLayer.zip"
    with zipfile.ZipFile(build / "BLayer.zip") as archive:
        (entry,) = archive.infolist()
        assert (entry.filename, entry.external_attr >> 16 & 0o777) == ("bin/tool", 0o755)


def test_archives_of_the_same_contents_are_identical(tmp_path: Path) -> None:
    build = build_with(tmp_path, TEMPLATE, AFunction__app="print()", BLayer__bin__tool="#!")
    artifacts.pack(build, None)
    first = (build / "AFunction.zip").read_bytes()
    os.utime(build / "AFunction" / "app", (1_000_000_000, 1_000_000_000))

    artifacts.pack(build, None)

    assert (build / "AFunction.zip").read_bytes() == first


def test_broker_files_hold_the_listener_one_account_and_every_virtual_host(tmp_path: Path) -> None:
    native.write_broker_files(tmp_path, "127.0.0.1:1234", str(tmp_path / "definitions.json"))

    assert "listeners.tcp.1 = 127.0.0.1:1234" in (tmp_path / "rabbitmq.conf").read_text()
    definitions = json.loads((tmp_path / "definitions.json").read_text())
    assert [user["name"] for user in definitions["users"]] == ["darkroom"]
    assert {entry["vhost"] for entry in definitions["permissions"]} == set(VIRTUAL_HOSTS)


def test_fingerprint_depends_on_settings_but_not_on_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    fingerprint = native.emulator(load({})).fingerprint
    monkeypatch.setenv("PATH", "/somewhere:/else")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")

    assert native.emulator(load({})).fingerprint == fingerprint
    assert native.emulator(load({"DARKROOM_EMULATOR_PORT": "4567"})).fingerprint != fingerprint


def test_settings_of_aws_and_python_do_not_leak_into_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "PYTHONPATH", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "mine")

    environment = native.own_environment(load({}))

    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "PYTHONPATH", "VIRTUAL_ENV"} & set(environment)
    assert environment["AWS_ACCESS_KEY_ID"] == "test"


@pytest.mark.parametrize("name", ["compose.yaml", "compose.localstack.yaml"])
def test_every_variable_of_the_compose_files_is_set(name: str) -> None:
    text = (HERE / name).read_text()
    given = compose._environment(load({})) | {"LOCALSTACK_AUTH_TOKEN": "t"}

    used = {part.partition(":")[0].partition("}")[0] for part in text.split("${")[1:]}

    assert used
    assert used <= set(given)


def test_containers_publish_ports_on_the_loopback_address_only() -> None:
    for name in ("compose.yaml", "compose.localstack.yaml"):
        text = (HERE / name).read_text().replace("!reset", "")
        for service in yaml.safe_load(text)["services"].values():
            assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_every_port_has_a_purpose_and_a_variable() -> None:
    from localstack.settings import PURPOSES

    assert set(PURPOSES) == set(Ports.__dataclass_fields__)
    assert port_variable("api") == "DARKROOM_API_PORT"


def test_required_docker_engine_that_does_not_respond_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "_engine_responds", lambda: False)

    assert compose.is_selected(load({})) is False
    with pytest.raises(StackError, match="DARKROOM_RUNNER=compose"):
        compose.is_selected(load({"DARKROOM_RUNNER": "compose"}))
    with pytest.raises(StackError, match="LocalStack"):
        compose.is_selected(load({"DARKROOM_EMULATOR": "localstack", "LOCALSTACK_AUTH_TOKEN": "t"}))


def test_docker_engine_that_responds_is_used_unless_the_runner_is_native(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compose, "_engine_responds", lambda: True)

    assert compose.is_selected(load({})) is True
    assert compose.is_selected(load({"DARKROOM_RUNNER": "native"})) is False


def test_environment_is_made_once_and_again_after_its_lock_file_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text("# nothing\n")
    target = tmp_path / "home" / "tools"
    runs: list[list[str]] = []

    def run(argv: list[str], _purpose: str) -> None:
        runs.append(argv)
        (target / "bin").mkdir(parents=True, exist_ok=True)
        (target / "bin" / "python").touch()

    monkeypatch.setattr(environments, "_run", run)
    environments.ensure(target, lock, "it")
    assert len(runs) == 2, "an environment, then its packages"
    environments.ensure(target, lock, "it")
    assert len(runs) == 2

    lock.write_text("# something\n")
    environments.ensure(target, lock, "it")

    assert len(runs) == 4


def test_unfinished_environment_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text("# nothing\n")

    def fail(_argv: list[str], purpose: str) -> None:
        raise StackError(purpose)

    monkeypatch.setattr(environments, "_run", fail)
    for _ in range(2):
        with pytest.raises(StackError):
            environments.ensure(tmp_path / "home" / "tools", lock, "it")


def test_environment_of_another_checkout_is_not_replaced(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text("# nothing\n")
    theirs = tmp_path / "theirs"
    (theirs / "bin").mkdir(parents=True)
    (theirs / "bin" / "python").touch()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "tools").symlink_to(theirs)

    with pytest.raises(StackError, match="link"):
        environments.ensure(tmp_path / "home" / "tools", lock, "it")

    assert (theirs / "bin" / "python").exists()


def test_failed_installation_shows_the_output_of_the_installer() -> None:
    with pytest.raises(StackError, match="no such option") as error:
        environments._run(["sh", "-c", "echo no such option; exit 1"], "install it")

    assert "install it" in str(error.value)


def test_old_python_is_rejected_with_a_command_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))

    with pytest.raises(StackError, match=r"make PYTHON=python3\.11"):
        environments.require_python()
