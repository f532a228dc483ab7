"""Least privilege: the role of a function allows what its code calls, and nothing else.

The calls of a function are read from its source: from its app.py through everything that it reaches, down to the calls
of AWS clients. A name that is mentioned counts as called. PREFIXES declares which prefix of the bucket a caller uses.

Longer than 350 lines: the tables of callers and the tests that keep them complete belong together.
"""

import ast
from collections.abc import Iterator
from typing import Any

import pytest

from darkroom.contracts.operations import Operation
from tests.support.code import IMPORTING, Node, in_package, modules, reachable
from tests.support.template import Template, existing_services, new_network

#: The permissions of S3's methods. Reading needs s3:ListBucket as well: without it S3 returns 403 for a missing object.
S3_ACTIONS = {
    "put_object": {"s3:PutObject"},
    "get_object": {"s3:GetObject", "s3:ListBucket"},
    "head_object": {"s3:GetObject", "s3:ListBucket"},
    "delete_objects": {"s3:DeleteObject"},
    "list_objects_v2": {"s3:ListBucket"},
    "generate_presigned_post": {"s3:PutObject"},
    "generate_presigned_url": {"s3:GetObject"},
}

#: The prefixes of the bucket that each caller of `darkroom.services.s3` uses.
PREFIXES: dict[Node, str | tuple[str, ...]] = {
    ("darkroom.jobs.ledger", "write_job"): "ledger",
    ("darkroom.jobs.ledger", "write_result"): "ledger",
    ("darkroom.jobs.ledger", "_read"): "ledger",
    ("darkroom.jobs.ledger", "record_pages"): "ledger",
    ("darkroom.jobs.open_index", "add_job"): "open/jobs",
    ("darkroom.jobs.open_index", "add_upload"): "open/uploads",
    ("darkroom.jobs.open_index", "pages"): "open",
    ("darkroom.jobs.open_index", "remove"): "open",
    ("darkroom.jobs.uploads", "inspect"): "uploads",
    ("darkroom.jobs.uploads", "file_pages"): "uploads",
    ("darkroom.jobs.usage", "saved_tenants"): "usage",
    ("darkroom.jobs.usage", "read_usage"): "usage",
    ("darkroom.jobs.usage", "save_usage"): "usage",
    ("darkroom.jobs.lifecycle", "clean_up"): "processed",
    ("darkroom.jobs.ingestion", "ingest"): "uploads",
    ("darkroom.tenants.records", "replace_tenant"): "tenants",
    ("darkroom.tenants.deletions", "fetch_tenant"): "tenants/*/tenant.json",
    ("darkroom.tenants.deletions", "_change"): "tenants/*/tenant.json",
    ("darkroom.tenants.deletions", "_write_entry"): "open/deletions",
    ("darkroom.tenants.deletions", "pending"): "open",
    ("darkroom.tenants.deletions", "drop"): "open",
    ("darkroom.tenants.key_uses", "_saved"): "tenants/*/key-uses.json",
    ("darkroom.tenants.key_uses", "save"): "tenants/*/key-uses.json",
    ("functions.sweep.deletion", "_Removal"): (
        "open",
        "ledger",
        "uploads",
        "processed",
        "work",
        "tenants",
        "links",
        "usage",
    ),
    ("darkroom.tenants.records", "_create"): ("tenants", "links"),
    ("darkroom.tenants.records", "_read"): ("tenants", "links"),
    ("darkroom.tenants.records", "_change"): ("tenants", "links"),
    ("darkroom.tenants.records", "_ids"): "tenants",
    ("darkroom.tenants.records", "link_ids"): "links",
    ("darkroom.tenants.records", "tenant_names"): "tenants",
    ("darkroom.tenants.records", "write_quotas"): "tenants",
    ("darkroom.jobs.source", "StoredSource"): "uploads",
    ("functions.sweep.missed_uploads", "_has_arrived"): "uploads",
    ("darkroom.jobs.worker", "_upload"): "processed",
    ("darkroom.jobs.worker", "_discard"): "processed",
    ("api.routers.uploads", "upload_file"): "uploads",
    ("api.routers.uploads", "create_upload"): "uploads",
    ("api.routers.health", "_check_storage"): "ledger",
    ("api.routers.jobs", "download_result"): "processed",
    ("api.job_responses", "download_link"): "processed",
    ("api.idempotency", "reserve_ids"): "work",
    ("api.ledger_list", "LedgerScan"): "ledger",
}

#: The settings that name secrets, and their environment variables.
SECRETS = {"broker_secret_arn": "DARKROOM_BROKER_SECRET_ARN", "cache_secret_arn": "DARKROOM_CACHE_SECRET_ARN"}

#: The callers of clients other than S3's.
CLIENTS = {
    ("functions.dispatch.invoker", "invoker"): "lambda",
    ("darkroom.jobs.settlement", "report"): "lambda",
    ("darkroom.services.aws", "secret"): "secretsmanager",
    ("functions.authorize.stored", "_threads"): "s3",
}

#: The definitions that sign requests to AWS themselves, and the service that each signs for.
SIGNERS = {("functions.dispatch.invoker", "Invoker"): "lambda"}

#: The functions that each caller of Lambda invokes.
INVOKED: dict[str, set[str]] = {"functions.dispatch.invoker": set(Operation), "darkroom.jobs.settlement": {"settle"}}

VARIANTS = {"with a new network": new_network, "on existing services": existing_services}

Permission = tuple[str, str]


@pytest.fixture(params=VARIANTS)
def template(request: pytest.FixtureRequest) -> Template:
    return VARIANTS[request.param]()


def users_of(module: str, *names: str) -> dict[Node, set[str]]:
    """The definitions outside a module that mention names of it, with these names."""
    found = {
        (user.name, definition): {name for where, name in mentioned if where == module and (not names or name in names)}
        for user in modules().values()
        if user.name != module and not user.name.startswith(("localstack", "tools"))
        for definition, mentioned in user.references.items()
    }
    return {node: mentioned for node, mentioned in found.items() if mentioned}


def s3_methods(function: str) -> set[str]:
    """The methods of S3's client that a function of `darkroom.services.s3` calls."""
    definitions = modules()["darkroom.services.s3"].definitions
    statements = [
        statement
        for where, name in reachable({("darkroom.services.s3", function)})
        if where == "darkroom.services.s3"
        for statement in definitions[name]
    ]
    return {method for statement in statements for method in _called_on_client(statement)}


def _called_on_client(statement: ast.stmt) -> Iterator[str]:
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            method = node.func.attr
            if ast.unparse(node.func.value) == "aws.client('s3')":
                yield ast.literal_eval(node.args[0]) if method == "get_paginator" else method


S3_METHODS = {
    name: methods
    for name in modules()["darkroom.services.s3"].definitions
    if not name.startswith("_") and name != IMPORTING and (methods := s3_methods(name))
}


def entry_points(function: str) -> set[Node]:
    """The definitions at which the code of a Lambda function starts; of the API all, because routes are decorated."""
    name = function.removesuffix("Function")
    folder = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
    names = in_package("api") if folder == "api" else [f"functions.{folder}.app"]
    return {(name, definition) for name in names for definition in modules()[name].definitions}


def called(function: str, template: Template) -> set[Permission]:
    """The permissions that the code of a function needs."""
    variables = template.function_defaults["Environment"]["Variables"]
    found = set[Permission]()
    for node in reachable(entry_points(function)):
        for name in users_of_s3.get(node, set()):
            for method in S3_METHODS.get(name, set()):
                found |= {(action, prefix) for action in S3_ACTIONS[method] for prefix in prefixes_of(node)}
        for setting in users_of_secrets.get(node, set()):
            found.add(("secretsmanager:GetSecretValue", variables[SECRETS[setting]]))
        if "lambda" in (CLIENTS.get(node), SIGNERS.get(node)):
            found |= {("lambda:InvokeFunction", arn_of(name)) for name in INVOKED[node[0]]}
    return {(action, target) for action, target in found if not is_within(action, target, found)}


def prefixes_of(node: Node) -> tuple[str, ...]:
    found = PREFIXES[node]
    return (found,) if isinstance(found, str) else found


def is_within(action: str, target: str, permissions: set[Permission]) -> bool:
    """Whether another permission for the same action covers all of `target`."""
    return action.startswith("s3:") and any(
        other == action and target.startswith(f"{prefix}/") for other, prefix in permissions
    )


def arn_of(name: str) -> str:
    """The ARN of a function as the roles give it: by name, since only settle exists before the operations."""
    prefix = "arn:aws:lambda:eu-central-1:123456789012:function:darkroom-"
    return "<SettleFunction.Arn>" if name == "settle" else f"{prefix}{name}"


def secrets_in(node: Node) -> set[str]:
    """The settings whose secrets a definition reads."""
    module, name = node
    walked = (found for statement in modules()[module].definitions[name] for found in ast.walk(statement))
    return {found.attr for found in walked if isinstance(found, ast.Attribute)} & SECRETS.keys()


users_of_s3 = users_of("darkroom.services.s3", *S3_METHODS)
users_of_secrets = {
    (module, name): found
    for module in in_package("darkroom")
    if module.startswith("darkroom.services.")
    for name in modules()[module].definitions
    if (found := secrets_in((module, name)))
}


def needed_by_lambda(function: str, template: Template) -> set[Permission]:
    """The permissions that Lambda itself uses through the role of a function."""
    logs = f"<{function.removesuffix('Function')}Logs.Arn>"
    found = {("logs:CreateLogStream", logs), ("logs:PutLogEvents", logs)}
    invocation = template.functions[function].get("EventInvokeConfig", {})
    if "DestinationConfig" in invocation:
        found.add(("lambda:InvokeFunction", invocation["DestinationConfig"]["OnFailure"]["Destination"]))
    return found


def statements(role: dict[str, Any], template: Template) -> Iterator[dict[str, Any]]:
    """The statements of a role, except those of the two policies for the network interfaces that Lambda creates."""
    for policy in role["Policies"]:
        yield from policy["PolicyDocument"]["Statement"]
    for name in managed(role) - {"NetworkInterfacesPolicy", "MappingPolicy"}:
        yield from template.resources[name]["Properties"]["PolicyDocument"]["Statement"]


def managed(role: dict[str, Any]) -> set[str]:
    return {name.strip("<>") for name in role["ManagedPolicyArns"]}


def role_of(function: str, template: Template) -> dict[str, Any]:
    name = template.functions[function]["Role"].strip("<>").removesuffix(".Arn")
    assert name == f"{function.removesuffix('Function')}Role", "two functions share a role"
    return dict(template.resources[name]["Properties"])


def allowed(function: str, template: Template) -> set[Permission]:
    found = set[Permission]()
    bucket = template.resources["MediaBucket"]["Properties"]["BucketName"]
    for statement in statements(role_of(function, template), template):
        assert statement["Effect"] == "Allow"
        for action in listed(statement["Action"]):
            for resource in listed(statement["Resource"]):
                found |= {(action, target) for target in targets(action, resource, statement, bucket)}
    return found


def targets(action: str, resource: str, statement: dict[str, Any], bucket: str) -> set[str]:
    """What a statement gives access to: the prefixes of the bucket by name, everything else by ARN."""
    if action == "s3:ListBucket":
        assert resource == f"arn:aws:s3:::{bucket}"
        return {prefix.removesuffix("/*") for prefix in statement["Condition"]["StringLikeIfExists"]["s3:prefix"]}
    assert "Condition" not in statement
    return {
        resource.removeprefix(f"arn:aws:s3:::{bucket}/").removesuffix("/*") if action.startswith("s3:") else resource
    }


def listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


FUNCTIONS = sorted(new_network().functions)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_role_allows_exactly_what_the_code_calls(function: str, template: Template) -> None:
    needed = called(function, template) | needed_by_lambda(function, template)
    has = allowed(function, template)

    assert has >= needed, f"missing: {sorted(needed - has)}"
    assert has <= needed, f"not needed: {sorted(has - needed)}"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_role_has_the_policies_that_lambda_needs_for_a_network_or_a_queue(function: str, template: Template) -> None:
    held = managed(role_of(function, template))
    mapped = {spec["FunctionName"] for spec in template.of_type("AWS::Lambda::EventSourceMapping").values()}

    assert ("NetworkInterfacesPolicy" in held) == ("VpcConfig" in template.complete_function(function))
    assert ("MappingPolicy" in held) == (f"<{function}>" in mapped)


def test_only_lambda_may_assume_a_role(template: Template) -> None:
    for name, role in template.of_type("AWS::IAM::Role").items():
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust == {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }, name


def test_all_resources_are_allowed_only_where_aws_supports_no_narrower_permission(template: Template) -> None:
    for name, document in policies(template):
        for statement in document["Statement"]:
            if statement["Effect"] == "Allow":
                wide = "*" in listed(statement["Resource"])
                actions = listed(statement["Action"])
                assert not any("*" in action for action in actions), name
                assert not wide or all(action.startswith("ec2:Describe") for action in actions), name


def policies(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, policy in template.of_type("AWS::IAM::ManagedPolicy").items():
        yield name, policy["PolicyDocument"]
    for name, role in template.of_type("AWS::IAM::Role").items():
        for policy in role["Policies"]:
            yield name, policy["PolicyDocument"]


def test_code_of_a_function_cannot_use_the_network_permissions_of_lambda() -> None:
    *_, last = new_network().resources["NetworkInterfacesPolicy"]["Properties"]["PolicyDocument"]["Statement"]

    assert (last["Effect"], last["Action"], last["Resource"]) == ("Deny", "ec2:*", "*")
    assert last["Condition"]["ArnLike"]["lambda:SourceFunctionArn"].endswith(":function:darkroom-*")


def test_endpoints_allow_exactly_what_functions_call() -> None:
    template = new_network()
    inside = [function for function in FUNCTIONS if "VpcConfig" in template.complete_function(function)]
    everything = set().union(*(called(function, template) for function in inside))
    bucket = template.resources["MediaBucket"]["Properties"]["BucketName"]
    s3_endpoint = template.resources["S3Endpoint"]["Properties"]["PolicyDocument"]["Statement"][0]
    secrets_endpoint = template.resources["SecretsManagerEndpoint"]["Properties"]["PolicyDocument"]["Statement"][0]

    assert set(s3_endpoint["Action"]) == {action for action, _ in everything if action.startswith("s3:")}
    assert s3_endpoint["Resource"] == [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    assert {(secrets_endpoint["Action"], secret) for secret in secrets_endpoint["Resource"]} == {
        permission for permission in everything if permission[0].startswith("secretsmanager:")
    }


def test_every_caller_of_aws_is_listed_here() -> None:
    assert users_of_s3.keys() == PREFIXES.keys()
    assert {module for module, _ in users_of("darkroom.services.aws", "secret")} == {
        module for module, _ in users_of_secrets
    }
    assert set().union(*users_of_secrets.values()) == SECRETS.keys()
    known = CLIENTS.keys() | {("darkroom.services.s3", name) for name in modules()["darkroom.services.s3"].definitions}
    assert users_of("darkroom.services.aws", "client").keys() <= known
    assert set().union(*S3_METHODS.values()) == S3_ACTIONS.keys()


def test_every_definition_that_signs_requests_is_listed_here() -> None:
    signed = {node: services_signed_for(node) for node in users_of("darkroom.services.aws", "credentials")}

    assert signed == {node: {service} for node, service in SIGNERS.items()}


def services_signed_for(node: Node) -> set[str]:
    """The services in the second argument of each SigV4Auth that a definition makes."""
    module, name = node
    calls = (found for statement in modules()[module].definitions[name] for found in ast.walk(statement))
    return {
        ast.literal_eval(call.args[1])
        for call in calls
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "SigV4Auth"
    }


def test_requests_are_signed_only_with_the_credentials_of_one_module() -> None:
    shipped = {name: module for name, module in modules().items() if not name.startswith(("localstack", "tools"))}
    signers = {name for name, module in shipped.items() if "botocore.auth" in module.imports}
    readers = {name for name, module in shipped.items() if ".get_credentials(" in ast.unparse(module.tree)}

    assert signers == {module for module, _ in SIGNERS}
    assert readers == {"darkroom.services.aws"}


def test_only_one_module_creates_clients() -> None:
    creators = {
        name
        for name, module in modules().items()
        if not name.startswith(("localstack", "tools")) and "create_client" in ast.unparse(module.tree)
    }

    assert creators == {"darkroom.services.aws"}
