"""Processes of the local stack: recorded, found with their children, and not confused with other processes."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from localstack.errors import StackError
from localstack.services import processes
from localstack.services.processes import MARK, Registry
from tests.support.waiting import wait_until

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]

#: A parent whose child leaves the session and ignores SIGTERM.
FAMILY = """
import subprocess, sys, time
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
time.sleep(600)
"""

#: A process that ignores SIGTERM.
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("here", flush=True)
time.sleep(600)
"""


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setattr(processes, "GRACE_S", 0.5)
    registry = Registry(tmp_path / "stack")
    yield registry
    registry.stop()


def start(registry: Registry, tmp_path: Path, name: str = "one", argv: list[str] = SLEEP) -> processes.Record:
    return registry.start(name, argv, dict(os.environ), tmp_path, "print")


def descendants(tmp_path: Path) -> set[int]:
    rows = processes.table()
    return {pid for pid in processes.find_marked([f"{tmp_path / 'stack'}#"]) if not rows[pid].zombie}


def test_process_is_alive_until_it_is_stopped(registry: Registry, tmp_path: Path) -> None:
    record = start(registry, tmp_path)

    assert registry.alive("one") == record
    assert registry.stop() == ["one"]
    assert registry.alive("one") is None
    assert registry.records() == {}


def test_output_of_a_process_is_in_its_log(registry: Registry, tmp_path: Path) -> None:
    start(registry, tmp_path, argv=[sys.executable, "-c", "print('hello')"])

    wait_until(lambda: "hello" in processes.tail(registry.log("one")))


def test_child_that_left_the_session_and_ignores_sigterm_is_stopped(registry: Registry, tmp_path: Path) -> None:
    start(registry, tmp_path, argv=[sys.executable, "-c", FAMILY])
    wait_until(lambda: "here" in processes.tail(registry.log("one")))
    assert len(descendants(tmp_path)) == 2

    registry.stop()

    assert descendants(tmp_path) == set()


def test_child_is_stopped_after_its_parent_died(registry: Registry, tmp_path: Path) -> None:
    record = start(registry, tmp_path, argv=[sys.executable, "-c", FAMILY])
    wait_until(lambda: "here" in processes.tail(registry.log("one")))
    os.kill(record.pid, 9)
    wait_until(lambda: registry.alive("one") is None)

    registry.stop(["one"])

    assert descendants(tmp_path) == set()


def test_only_the_named_process_is_stopped(registry: Registry, tmp_path: Path) -> None:
    start(registry, tmp_path, "one")
    start(registry, tmp_path, "one-more")

    assert registry.stop(["one"]) == ["one"]

    assert registry.alive("one-more")


def test_searches_that_outlast_the_grace_skip_no_step(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = start(registry, tmp_path, argv=[sys.executable, "-c", STUBBORN])
    wait_until(lambda: "here" in processes.tail(registry.log("one")))
    sent = []
    send = processes._signal

    def recording(process: processes.Process, number: signal.Signals) -> None:
        sent.append(number)
        send(process, number)

    def search() -> dict[int, processes.Process]:
        time.sleep(1.1)  # as on a machine with other load
        return {pid: row for pid, row in processes.table().items() if pid == record.pid and not row.zombie}

    monkeypatch.setattr(processes, "_signal", recording)
    processes.stop(search)

    assert (sent[0], sent[-1]) == (signal.SIGTERM, signal.SIGKILL)
    assert not registry.alive("one")


def test_process_that_got_the_id_of_an_ended_one_is_not_found(registry: Registry, tmp_path: Path) -> None:
    record = start(registry, tmp_path)

    assert record.pid in registry._found({record.pid: record.started}, [])
    assert registry._found({record.pid: "another time"}, []) == {}


def test_other_process_with_a_recorded_id_is_not_stopped(registry: Registry, tmp_path: Path) -> None:
    other = subprocess.Popen(SLEEP)
    time.sleep(0.05)  # start times are counted in hundredths of a second
    try:
        record = start(registry, tmp_path)
        registry.stop()
        fake = dataclasses.replace(record, pid=other.pid)
        (tmp_path / "stack" / "processes" / "one.json").write_text(json.dumps(dataclasses.asdict(fake)))

        assert registry.alive("one") is None
        assert registry.stop() == []
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_process_of_another_stack_is_not_stopped(registry: Registry, tmp_path: Path) -> None:
    other = Registry(tmp_path / "stack-two")
    start(other, tmp_path)

    registry.stop()

    assert other.alive("one")
    other.stop()


def test_truncated_record_is_ignored(registry: Registry, tmp_path: Path) -> None:
    start(registry, tmp_path, "whole")
    (tmp_path / "stack" / "processes" / "torn.json").write_text('{"name": "to')

    assert list(registry.records()) == ["whole"]


def test_error_names_a_program_that_does_not_exist(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(StackError, match="no-such-program"):
        start(registry, tmp_path, argv=["/no-such-program"])


def test_mark_is_inherited_under_the_name_of_the_process(registry: Registry, tmp_path: Path) -> None:
    code = f"import os; print(os.environ[{MARK!r}])"
    start(registry, tmp_path, argv=[sys.executable, "-c", code])

    wait_until(lambda: f"{tmp_path / 'stack'}#one" in processes.tail(registry.log("one")))


def test_linux_and_portable_process_tables_agree() -> None:
    ours, portable = processes.table()[os.getpid()], processes._portable_table()[os.getpid()]

    assert (portable.parent, portable.group, portable.zombie) == (ours.parent, ours.group, ours.zombie)
