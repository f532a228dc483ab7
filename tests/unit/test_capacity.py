"""The limits of runs that `make deploy` chooses, and what it says about an account's quota."""

import pytest

from darkroom.contracts.operations import Operation
from localstack.errors import StackError
from tools import capacity, deploy, keys
from tools.capacity import InFlight


@pytest.mark.parametrize("quota", [25, 40, 100, 250, 500, 1000, 5000])
def test_chosen_limits_leave_room_for_the_api_and_the_functions_around(quota: int) -> None:
    chosen = capacity.largest(quota)

    assert chosen.fits(quota)
    # One dispatch per queue, two settles, sweep, topology, and a fifth for requests and uploads.
    assert chosen.runs + len(Operation) + 4 + quota // 5 <= quota


def test_quota_of_a_new_account_gets_one_run_per_operation_and_the_usual_one_gets_the_most() -> None:
    assert capacity.largest(capacity.NEW_ACCOUNT) == InFlight(1, 1)
    assert capacity.largest(capacity.USUAL) == InFlight(capacity.MOST_IMAGE, capacity.MOST_VIDEO)


@pytest.mark.parametrize("in_flight", [InFlight(1, 1), InFlight(15, 6), InFlight(50, 20)])
def test_needed_quota_is_the_smallest_that_fits(in_flight: InFlight) -> None:
    needed = capacity.needed(in_flight)

    assert in_flight.fits(needed)
    assert not in_flight.fits(needed - 1)


DEFAULTS = deploy.template_defaults()


def test_new_stack_gets_limits_by_the_quota_unless_they_are_given() -> None:
    assert deploy.chosen_parameters({}, None, 1000) == {"ImageInFlight": "50", "VideoInFlight": "20"}
    assert deploy.chosen_parameters({"VideoInFlight": "3"}, None, 1000) == {"ImageInFlight": "50", "VideoInFlight": "3"}


def test_deployed_stack_keeps_its_parameters() -> None:
    assert deploy.chosen_parameters({"RetentionDays": "30"}, {"ImageInFlight": "4"}, 1000) == {"RetentionDays": "30"}


def test_report_names_the_command_that_raises_the_quota_only_if_it_is_too_small() -> None:
    fitting = deploy.capacity_report(DEFAULTS | {"ImageInFlight": "50", "VideoInFlight": "20"}, 1000)
    starving = deploy.capacity_report(DEFAULTS, capacity.NEW_ACCOUNT)

    assert "use up to 230." in fitting
    assert "aws service-quotas" not in fitting
    assert "request-service-quota-increase --service-code lambda --quota-code L-B99A9384" in starving
    assert "--desired-value 1000" in starving


@pytest.mark.parametrize(("quota", "reserved"), [(10, 1), (1000, 901)])
def test_reservations_that_lambda_would_refuse_are_refused_before_anything_is_created(
    quota: int, reserved: int
) -> None:
    with pytest.raises(StackError, match="unreserved"):
        deploy.capacity_report(DEFAULTS | {"ApiConcurrency": str(reserved)}, quota)

    assert deploy.capacity_report(DEFAULTS | {"ApiConcurrency": "50", "SettleConcurrency": "20"}, 1000)


@pytest.mark.parametrize("name", ["Darkroom", "dark_room", "1darkroom", "darkroom-", "", "d" * 38])
def test_names_that_no_bucket_can_have_are_refused(name: str) -> None:
    with pytest.raises(StackError, match="lower-case"):
        deploy.require_name(name, "eu-central-1")


@pytest.mark.parametrize("region", ["eu-central-1", "ap-southeast-1"])
def test_longest_accepted_name_makes_the_longest_possible_bucket(region: str) -> None:
    longest = "d" * (63 - len(f"-123456789012-{region}"))

    deploy.require_name(longest, region)
    with pytest.raises(StackError, match="use up to"):
        deploy.require_name(longest + "d", region)


def test_unknown_parameters_are_refused() -> None:
    assert deploy.parse_parameters(["RetentionDays=30", "AllowedOrigins=https://a.example,https://b.example?x=y"]) == {
        "RetentionDays": "30",
        "AllowedOrigins": "https://a.example,https://b.example?x=y",
    }
    with pytest.raises(StackError, match="no parameter Retention"):
        deploy.parse_parameters(["Retention=30"])


def test_open_deployment_is_warned_of_and_a_closed_one_gets_the_command_for_its_first_key() -> None:
    opened = DEFAULTS | {"Access": "open"}

    assert deploy.access_warning(DEFAULTS) == ""
    assert deploy.access_warning(opened).startswith("\nWARNING: Access=open.")
    assert deploy.next_step(opened, "darkroom") == deploy.access_warning(opened)
    assert deploy.next_step(DEFAULTS, "darkroom").splitlines()[2].split() == [
        *("python3", "-m", "tools.keys", "create", "--tenant", "default", "--scope", "admin", "--name", "first")
    ]
    assert "tools.keys --stack media create " in deploy.next_step(DEFAULTS, "media")


def test_printed_command_for_the_first_key_is_one_that_the_tool_accepts() -> None:
    words = deploy.next_step(DEFAULTS, "media").splitlines()[2].split()

    options = keys.parser().parse_args(words[3:])

    assert (options.stack, options.command, options.tenant) == ("media", "create", "default")
    assert (options.scope, options.name) == (["admin"], "first")
