"""The Lua scripts as text: each is used, names its arguments at its start, and includes parts that exist."""

import re

import pytest

from darkroom.services.redis.script_runner import SCRIPTS, read_script
from tests.support.code import in_package

NAMES = sorted(path.stem for path in SCRIPTS.glob("*.lua"))
SHARED = sorted((SCRIPTS / "shared").glob("*.lua"))

PARAMETER = re.compile(r"^local \w+ = (?:tonumber\()?(KEYS|ARGV)\[(\d+)\]")
PARAMETERS = re.compile(r"(?:KEYS|ARGV)\b")


def test_every_script_is_run_at_one_place() -> None:
    sources = [module.path.read_text() for module in in_package("darkroom").values()]

    used = [name for source in sources for name in re.findall(r'run_script\(\s*"(\w+)"', source)]

    assert sorted(used) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_script_names_every_key_and_argument_once_and_in_order(name: str) -> None:
    lines = (SCRIPTS / f"{name}.lua").read_text().splitlines()
    named = [match.groups() for line in lines if (match := PARAMETER.match(line))]
    mentioned = [line for line in lines if not line.startswith(("--", "#!")) and PARAMETERS.search(line)]

    keys = [int(number) for kind, number in named if kind == "KEYS"]
    arguments = [int(number) for kind, number in named if kind == "ARGV"]

    assert keys == list(range(1, len(keys) + 1))
    assert arguments == list(range(1, len(arguments) + 1))
    assert len(mentioned) == len(named), "use the names at the head of the script"


@pytest.mark.parametrize("name", NAMES)
def test_script_begins_with_its_included_parts_in_order(name: str) -> None:
    own = (SCRIPTS / f"{name}.lua").read_text()
    flags, _, rest = own.partition("\n") if own.startswith("#!") else ("", "", own)
    first_line = rest.splitlines()[0]
    parts = first_line.removeprefix("-- include: ").split(", ") if first_line.startswith("-- include: ") else []

    shared = [(SCRIPTS / "shared" / f"{part}.lua").read_text() for part in parts]
    assert read_script(name) == "\n".join([*filter(None, [flags]), *shared, rest])


def test_scripts_that_let_running_jobs_proceed_run_when_the_memory_is_full_and_those_that_add_jobs_do_not() -> None:
    flags = {name: read_script(name).partition("\n")[0].partition("#!lua")[2].strip() for name in NAMES}

    allowed = {name for name, text in flags.items() if text == "flags=allow-oom"}
    of_runs = {"acquire_slots", "claim_job", "finish_job", "release_slot", "report_progress", "requeue_job"}
    of_sweep = {
        "forget_job",
        "forget_tenant_jobs",
        "make_queued_due_now",
        "move_cursor",
        "postpone_jobs",
        "record_pass",
    }
    of_tenants = {"begin_recount", "mark_usage_saved", "recount_page", "take_request"}
    assert allowed == of_runs | of_sweep | of_tenants
    for name in ("create_view", "await_upload", "count_failure"):
        # With no flags in its first line, Redis refuses the script before its first command.
        assert read_script(name).startswith("#!lua\n"), name


def test_every_shared_part_is_included_and_takes_no_keys_or_arguments() -> None:
    scripts = [read_script(name) for name in NAMES]

    for path in SHARED:
        part = path.read_text()
        assert any(part in script for script in scripts), f"no script includes {path.name}"
        assert not PARAMETERS.search(part), f"{path.name} depends on the script that includes it"
