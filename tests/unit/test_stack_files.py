"""What the local stack writes: archives of artifacts, the broker's configuration, the containers' settings."""

import json
import os
import zipfile
from pathlib import Path

import pytest
import yaml

from localstack.aws import artifacts
from localstack.failure import StackError
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


def test_artifacts_are_archived_and_the_template_names_the_archives(tmp_path):
    build = build_with(tmp_path, TEMPLATE, AFunction__app="print()", BLayer__bin__tool="#!")

    artifacts.pack(build)

    template = yaml.safe_load((build / artifacts.PACKED).read_text())
    assert template["Resources"]["A"]["Properties"]["CodeUri"] == "AFunction.zip"
    assert template["Resources"]["L"]["Properties"]["ContentUri"] == "BLayer.zip"
    with zipfile.ZipFile(build / "BLayer.zip") as archive:
        (entry,) = archive.infolist()
        assert (entry.filename, entry.external_attr >> 16 & 0o777) == ("bin/tool", 0o755)


def test_same_contents_make_the_same_archive(tmp_path):
    build = build_with(tmp_path, TEMPLATE, AFunction__app="print()", BLayer__bin__tool="#!")
    artifacts.pack(build)
    first = (build / "AFunction.zip").read_bytes()
    os.utime(build / "AFunction" / "app", (1_000_000_000, 1_000_000_000))

    artifacts.pack(build)

    assert (build / "AFunction.zip").read_bytes() == first


def test_broker_listens_where_it_is_told_with_one_account_and_every_virtual_host(tmp_path):
    native.write_broker_files(tmp_path, "127.0.0.1:1234", str(tmp_path / "definitions.json"))

    assert "listeners.tcp.1 = 127.0.0.1:1234" in (tmp_path / "rabbitmq.conf").read_text()
    definitions = json.loads((tmp_path / "definitions.json").read_text())
    assert [user["name"] for user in definitions["users"]] == ["darkroom"]
    assert {entry["vhost"] for entry in definitions["permissions"]} == set(VIRTUAL_HOSTS)


def test_service_is_recognised_from_any_shell_but_not_with_other_settings(monkeypatch):
    fingerprint = native.emulator(load({})).fingerprint
    monkeypatch.setenv("PATH", "/somewhere:/else")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")

    assert native.emulator(load({})).fingerprint == fingerprint
    assert native.emulator(load({"DARKROOM_EMULATOR_PORT": "4567"})).fingerprint != fingerprint


def test_settings_of_aws_and_python_do_not_leak_into_the_stack(monkeypatch):
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "PYTHONPATH", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "mine")

    environment = native.own_environment(load({}))

    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "PYTHONPATH", "VIRTUAL_ENV"} & set(environment)
    assert environment["AWS_ACCESS_KEY_ID"] == "test"


@pytest.mark.parametrize("name", ["compose.yaml", "compose.localstack.yaml"])
def test_containers_get_every_variable_they_ask_for(name):
    text = (HERE / name).read_text()
    given = compose._environment(load({})) | {"LOCALSTACK_AUTH_TOKEN": "t"}

    asked = {part.partition(":")[0].partition("}")[0] for part in text.split("${")[1:]}

    assert asked
    assert asked <= set(given)


def test_containers_publish_to_this_machine_only():
    for name in ("compose.yaml", "compose.localstack.yaml"):
        text = (HERE / name).read_text().replace("!reset", "")
        for service in yaml.safe_load(text)["services"].values():
            assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_every_port_has_a_purpose_and_a_variable():
    from localstack.settings import PURPOSES

    assert set(PURPOSES) == set(Ports.__dataclass_fields__)
    assert port_variable("api") == "DARKROOM_API_PORT"


def test_engine_that_must_be_there_and_is_not_is_named(monkeypatch):
    monkeypatch.setattr(compose, "_engine_answers", lambda: False)

    assert compose.chosen(load({})) is False
    with pytest.raises(StackError, match="DARKROOM_RUNNER=compose"):
        compose.chosen(load({"DARKROOM_RUNNER": "compose"}))
    with pytest.raises(StackError, match="LocalStack"):
        compose.chosen(load({"DARKROOM_EMULATOR": "localstack", "LOCALSTACK_AUTH_TOKEN": "t"}))


def test_engine_is_used_where_it_answers_unless_told_otherwise(monkeypatch):
    monkeypatch.setattr(compose, "_engine_answers", lambda: True)

    assert compose.chosen(load({})) is True
    assert compose.chosen(load({"DARKROOM_RUNNER": "native"})) is False


def test_environment_is_made_once_and_again_when_its_lock_file_changes(tmp_path, monkeypatch):
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


def test_environment_that_was_not_finished_is_made_again(tmp_path, monkeypatch):
    lock = tmp_path / "requirements.txt"
    lock.write_text("# nothing\n")

    def fail(_argv: list[str], purpose: str) -> None:
        raise StackError(purpose)

    monkeypatch.setattr(environments, "_run", fail)
    for _ in range(2):
        with pytest.raises(StackError):
            environments.ensure(tmp_path / "home" / "tools", lock, "it")


def test_failed_installation_shows_what_the_installer_said():
    with pytest.raises(StackError, match="no such option") as error:
        environments._run(["sh", "-c", "echo no such option; exit 1"], "install it")

    assert "install it" in str(error.value)


def test_old_python_is_refused_with_a_way_out(monkeypatch):
    monkeypatch.setattr(environments.sys, "version_info", (3, 9, 2))

    with pytest.raises(StackError, match=r"make PYTHON=python3\.11"):
        environments.require_python()
