"""The resources of template.yaml, for every way to deploy it."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from darkroom import config
from darkroom.contracts.operations import Operation
from darkroom.jobs import ledger, uploads
from darkroom.services import rabbitmq
from tests.support.template import EXISTING, Template, existing_services, new_network

VARIANTS: dict[str, Callable[[], Template]] = {
    "with a new network": new_network,
    "on existing services": existing_services,
    "on existing services in a private network": lambda: Template(
        **EXISTING, SubnetIds="subnet-1,subnet-2", SecurityGroupIds="sg-1"
    ),
    "on a cache without a password": lambda: Template(**EXISTING | {"CacheSecretArn": ""}),
}
NETWORK_TYPES = ("AWS::EC2::", "AWS::ElastiCache::", "AWS::AmazonMQ::", "AWS::SecretsManager::")

#: The functions that are not operations, by the last part of their names.
OTHER_FUNCTIONS = {"api", "authorize", "ingest", "dispatch", "settle", "sweep", "topology"}


@pytest.fixture(params=VARIANTS)
def template(request: pytest.FixtureRequest) -> Template:
    return VARIANTS[request.param]()


def logical_id(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def operation_functions(template: Template) -> dict[Operation, dict[str, Any]]:
    return {operation: template.functions[f"{logical_id(operation)}Function"] for operation in Operation}


def test_nothing_refers_to_a_resource_that_is_not_created(template: Template) -> None:
    # Resolving raises LookupError for a reference to what does not exist.
    assert template.resources
    assert template.outputs
    assert template.function_defaults


def test_network_broker_cache_and_secrets_are_created_only_without_existing_services() -> None:
    created = {name for name, spec in new_network().resources.items() if spec["Type"].startswith(NETWORK_TYPES)}
    on_existing = {
        name for name, spec in existing_services().resources.items() if spec["Type"].startswith(NETWORK_TYPES)
    }

    assert {"Vpc", "Broker", "Cache", "BrokerSecret", "CacheSecret"} <= created
    assert not on_existing


def test_functions_are_in_a_network_when_there_is_one() -> None:
    inside = VARIANTS["on existing services in a private network"]().function_defaults["VpcConfig"]

    assert new_network().function_defaults["VpcConfig"]["SubnetIds"] == ["<SubnetA>", "<SubnetB>"]
    assert inside == {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}
    assert "VpcConfig" not in existing_services().function_defaults


def test_parameters_that_need_others_are_refused_without_them() -> None:
    needed = {
        not_empty(rule["RuleCondition"]): {not_empty(entry["Assert"]) for entry in rule["Assertions"]}
        for rule in new_network().raw["Rules"].values()
    }

    assert needed == {
        "JwtIssuer": {"JwtAudience"},
        "BrokerUrl": {"BrokerArn", "BrokerSecretArn", "CacheUrl"},
        "CacheUrl": {"BrokerUrl"},
        "SubnetIds": {"SecurityGroupIds", "BrokerUrl"},
        "AvailabilityZoneA": {"AvailabilityZoneB"},
        "AvailabilityZoneB": {"AvailabilityZoneA"},
    }


def test_refusals_name_both_parameters() -> None:
    for rule in new_network().raw["Rules"].values():
        for entry in rule["Assertions"]:
            start = f"{not_empty(rule['RuleCondition'])} needs {not_empty(entry['Assert'])}"
            assert entry["AssertDescription"].startswith(start)


def not_empty(condition: dict[str, Any]) -> str:
    """The parameter that a condition compares with the empty text."""
    parameter, text = condition["Fn::Not"][0]["Fn::Equals"]
    assert text == ""
    return str(parameter["Ref"])


def test_environment_has_every_required_variable_and_no_unknown_one(template: Template) -> None:
    variables = template.function_defaults["Environment"]["Variables"]
    settings = {name: str(value) for name, value in variables.items() if name.startswith(config.ENVIRONMENT_PREFIX)}
    known = {config.ENVIRONMENT_PREFIX + name.upper() for name in config.Settings.__dataclass_fields__}

    assert config.load(settings, config.Settings).bucket
    assert settings.keys() <= known


def test_every_function_has_the_name_of_its_operation_or_role(template: Template) -> None:
    names = {spec["FunctionName"].removeprefix("darkroom-") for spec in template.functions.values()}

    assert names == OTHER_FUNCTIONS | set(Operation)
    assert all(
        name == f"{logical_id(spec['FunctionName'].removeprefix('darkroom-'))}Function"
        for name, spec in template.functions.items()
    )


def test_every_function_has_a_log_group_that_deletes_old_lines(template: Template) -> None:
    groups = template.of_type("AWS::Logs::LogGroup").values()

    assert {group["LogGroupName"] for group in groups} == {
        f"/aws/lambda/{spec['FunctionName']}" for spec in template.functions.values()
    } | {"/aws/vendedlogs/darkroom-access"}
    assert all(group["RetentionInDays"] for group in groups)


def test_sizes_stay_within_what_lambda_allows(template: Template) -> None:
    for name, spec in template.functions.items():
        assert 128 <= int(spec["MemorySize"]) <= 3008, f"a new account refuses {name}"
        assert spec["Timeout"] <= 900, name
        assert 512 <= spec.get("EphemeralStorage", {"Size": 512})["Size"] <= 10_240, name


def test_table_of_operations_has_one_row_for_each() -> None:
    rows = new_network().raw["Mappings"]["Operations"]

    assert {name: row["Name"] for name, row in rows.items()} == {
        logical_id(operation): operation for operation in Operation
    }


def test_memory_of_video_compress_alone_is_a_parameter() -> None:
    default, changed = new_network().functions, Template(VideoCompressMemoryMb="5000").functions

    assert [name for name in default if default[name] != changed[name]] == ["VideoCompressFunction"]
    assert changed["VideoCompressFunction"]["MemorySize"] == "5000"


def test_every_function_runs_the_code_of_its_own_folder() -> None:
    functions = new_network().functions
    names = {logical: spec["FunctionName"].removeprefix("darkroom-") for logical, spec in functions.items()}
    folders = {logical: "api" if name == "api" else f"functions/{name}" for logical, name in names.items()}

    assert {logical: spec["CodeUri"].rstrip("/") for logical, spec in functions.items()} == folders
    assert {logical: spec["Handler"] for logical, spec in functions.items()} == {
        logical: "api.main.handler" if name == "api" else f"functions.{name}.app.handler"
        for logical, name in names.items()
    }


def test_callers_wait_longer_than_what_they_call_may_run() -> None:
    template = new_network()
    gateway = template.resources["HttpApiIntegration"]["Properties"]

    # The API has to respond before the timeout of API Gateway, even if only with its own timeout error.
    assert template.functions["ApiFunction"]["Timeout"] * 1000 < gateway["TimeoutInMillis"] <= 30_000
    # Lambda's maximum for a function behind an event source mapping on RabbitMQ.
    assert template.functions["DispatchFunction"]["Timeout"] <= 14 * 60
    assert template.functions["SweepFunction"]["Timeout"] < 60
    assert (
        int(template.resources["Topology"]["Properties"]["ServiceTimeout"])
        > template.functions["TopologyFunction"]["Timeout"]
    )


def test_lambda_does_not_retry_operations_but_reports_failed_runs_to_settle(template: Template) -> None:
    for operation, spec in operation_functions(template).items():
        invocation = spec["EventInvokeConfig"]
        assert invocation["MaximumRetryAttempts"] == 0, operation
        assert invocation["DestinationConfig"] == {
            "OnFailure": {"Type": "Lambda", "Destination": "<SettleFunction.Arn>"}
        }, operation


def test_sweep_runs_every_minute() -> None:
    events = new_network().functions["SweepFunction"]["Events"]

    assert [event["Properties"]["Schedule"] for event in events.values()] == ["rate(1 minute)"]


def test_every_queue_that_a_function_consumes_has_one_mapping(template: Template) -> None:
    mappings = template.of_type("AWS::Lambda::EventSourceMapping").values()
    targets = {spec["Queues"][0]: spec["FunctionName"] for spec in mappings}

    assert targets == {rabbitmq.queue_of(operation): "<DispatchFunction>" for operation in Operation} | {
        rabbitmq.DEAD_QUEUE: "<SettleFunction>"
    }
    assert len(mappings) == len(targets)
    assert all(len(spec["Queues"]) == 1 for spec in mappings)


def test_mappings_are_created_after_their_queues(template: Template) -> None:
    for name, spec in template.resources.items():
        if spec["Type"] == "AWS::Lambda::EventSourceMapping":
            assert spec["DependsOn"] == "Topology", name


def test_mappings_consume_from_the_broker_that_the_functions_publish_to(template: Template) -> None:
    variables = template.function_defaults["Environment"]["Variables"]
    for spec in template.of_type("AWS::Lambda::EventSourceMapping").values():
        access = {entry["Type"]: entry["URI"] for entry in spec["SourceAccessConfigurations"]}
        assert access == {"BASIC_AUTH": variables["DARKROOM_BROKER_SECRET_ARN"], "VIRTUAL_HOST": "/"}
        assert spec["MaximumBatchingWindowInSeconds"] == 0


def test_every_parameter_has_a_description_a_label_and_one_group() -> None:
    parameters = new_network().raw["Parameters"]
    interface = new_network().raw["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]

    assert sorted(grouped) == sorted(parameters)
    assert interface["ParameterLabels"].keys() == parameters.keys()
    assert all(parameter["Description"] for parameter in parameters.values())
    labels = [entry["default"] for entry in interface["ParameterLabels"].values()]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize(
    ("address", "accepted"),
    [
        ("", True),
        ("amqps://b-1.mq.example:5671", True),
        (EXISTING["BrokerUrl"], True),
        ("amqps://b-1.mq.example:5671/media", False),
        ("amqps://user:secret@b-1.mq.example:5671", False),
    ],
)
def test_broker_url_is_accepted_only_with_the_virtual_host_that_the_mappings_read(address: str, accepted: bool) -> None:
    pattern = new_network().raw["Parameters"]["BrokerUrl"]["AllowedPattern"]

    assert (re.fullmatch(pattern, address) is not None) is accepted


def test_only_uploads_invoke_ingest(template: Template) -> None:
    (notification,) = template.resources["MediaBucket"]["Properties"]["NotificationConfiguration"][
        "LambdaConfigurations"
    ]

    assert notification["Function"] == "<IngestFunction.Arn>"
    assert notification["Filter"]["S3Key"]["Rules"] == [{"Name": "prefix", "Value": uploads.UPLOADS_PREFIX}]


def test_functions_get_the_name_of_the_bucket(template: Template) -> None:
    name = template.resources["MediaBucket"]["Properties"]["BucketName"]

    assert template.function_defaults["Environment"]["Variables"]["DARKROOM_BUCKET"] == name
    assert template.resources["IngestPermission"]["Properties"]["SourceArn"] == f"arn:aws:s3:::{name}"


def test_bucket_is_private_and_encrypted(template: Template) -> None:
    bucket = template.resources["MediaBucket"]["Properties"]

    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def test_objects_of_every_prefix_expire() -> None:
    days = {days: lifecycle(Template(RetentionDays=days)) for days in new_network().raw["Mappings"]["Retention"]}

    assert set(days) == {str(value) for value in new_network().raw["Parameters"]["RetentionDays"]["AllowedValues"]}
    for retention, rules in days.items():
        assert rules == {
            uploads.UPLOADS_PREFIX: int(retention),
            "processed/": int(retention),
            ledger.LEDGER_PREFIX: int(retention) + 1,
            "open/": int(retention) + 1,
            "usage/": 400,
            "links/": int(retention) + 8,
            "work/": 1,
        }


def test_hours_for_which_the_cache_holds_ended_jobs_are_passed_on_in_seconds() -> None:
    raw = new_network().raw
    hours = [str(value) for value in raw["Parameters"]["CacheEndedHours"]["AllowedValues"]]

    seconds = [
        Template(CacheEndedHours=each).function_defaults["Environment"]["Variables"]["DARKROOM_CACHE_ENDED_S"]
        for each in hours
    ]
    assert seconds == [str(int(each) * 3600) for each in hours]


def lifecycle(template: Template) -> dict[str, int]:
    rules = template.resources["MediaBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    return {rule["Prefix"]: int(rule["ExpirationInDays"]) for rule in rules if "Prefix" in rule}


def test_unfinished_multipart_uploads_are_deleted() -> None:
    rules = new_network().resources["MediaBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]

    assert {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}.items() <= rules[-1].items()
    assert "Prefix" not in rules[-1]


def test_runtime_and_processor_architecture_are_parameters() -> None:
    template = Template(RuntimeVersion="python3.14", Architecture="arm64")

    assert template.function_defaults["Runtime"] == "python3.14"
    assert template.function_defaults["Architectures"] == ["arm64"]
    for layer in template.of_type("AWS::Serverless::LayerVersion").values():
        assert (layer["CompatibleRuntimes"], layer["CompatibleArchitectures"]) == (["python3.14"], ["arm64"])
