"""The judgement of recorded calls by the policies in template.yaml, and the table of statements with their calls."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from localstack.settings import ACCOUNT, REGION
from tests.rehearsal import calls, table
from tests.rehearsal.calls import BUCKET, FUNCTION, STACK, Call, DeployedTemplate
from tests.rehearsal.deployments import COMPLETE, NEW_NETWORK, OPTIONS
from tests.rehearsal.policies import matches_text

SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{STACK}-broker-1a2b3c"


def call(
    role: str, action: str, resource: str, *, prefix: str | None = None, missing: bool = False, refused: bool = False
) -> Call:
    return Call(role, action, resource, prefix, is_missing=missing, is_refused=refused)


ALLOWED = {
    "object": call("ApiRole", "s3:GetObject", f"{BUCKET}/ledger/default/…"),
    "missing object": call("ApiRole", "s3:GetObject", f"{BUCKET}/ledger/default/…", missing=True),
    "listing": call("SweepRole", "s3:ListBucket", BUCKET, prefix="ledger/"),
    "secret": call("TopologyRole", "secretsmanager:GetSecretValue", SECRET),
    "invocation": call("DispatchRole", "lambda:InvokeFunction", f"{FUNCTION}{STACK}-resize"),
    "result": call("ResizeRole", "s3:PutObject", f"{BUCKET}/processed/…"),
}

#: Calls that AWS would refuse, and what the problem must name.
REFUSED = {
    "action that no statement has": (call("ApiRole", "s3:GetObjectTagging", f"{BUCKET}/ledger/default/…"), "ApiRole"),
    "prefix of another function": (call("ResizeRole", "s3:PutObject", f"{BUCKET}/uploads/…"), "ResizeRole"),
    "listing of another prefix": (call("SettleRole", "s3:ListBucket", BUCKET, prefix="uploads/"), "SettleRole"),
    "listing of everything": (call("SweepRole", "s3:ListBucket", BUCKET, prefix=""), "SweepRole"),
    "missing object without the right to list": (
        call("TopologyRole", "s3:GetObject", f"{BUCKET}/uploads/…", missing=True),
        "s3:ListBucket",
    ),
    "another secret": (
        call("ApiRole", "secretsmanager:GetSecretValue", SECRET.replace("broker", "others")),
        "ApiRole",
    ),
    "function that dispatch does not invoke": (
        call("DispatchRole", "lambda:InvokeFunction", f"{FUNCTION}{STACK}-api"),
        "DispatchRole",
    ),
    "network call by the code of a function": (call("ApiRole", "ec2:DescribeSubnets", "*"), "ApiRole"),
    "refused by the emulator": (
        call("ApiRole", "s3:GetObject", f"{BUCKET}/ledger/default/…", refused=True),
        "the emulator refuses it",
    ),
    "role of no function": (call("OtherRole", "s3:GetObject", f"{BUCKET}/ledger/default/…"), "OtherRole"),
    "service without an endpoint": (call("ApiRole", "sns:Publish", "arn:aws:sns:topic"), "it has no endpoint"),
}


@pytest.mark.parametrize("kind", ALLOWED)
def test_call_that_the_policies_allow_is_no_problem(kind: str) -> None:
    assert calls.problems([ALLOWED[kind]]) == []


@pytest.mark.parametrize("kind", REFUSED)
def test_call_that_aws_would_refuse_is_a_problem(kind: str) -> None:
    refused, named = REFUSED[kind]
    found = calls.problems([refused])

    assert any(named in problem for problem in found)
    assert not any(problem.endswith(")") for problem in found if "no statement" in problem), "only for some deployments"


def test_call_that_the_policy_of_the_endpoint_does_not_allow_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    original = DeployedTemplate.endpoints.func  # type: ignore[attr-defined]

    def without_s3(template: DeployedTemplate) -> Any:
        return {name: [] if name == "S3Endpoint" else found for name, found in original(template).items()}

    monkeypatch.setattr(DeployedTemplate, "endpoints", property(without_s3))

    (problem,) = calls.problems([ALLOWED["object"]])
    assert problem.startswith("api calls s3:GetObject")
    assert problem.endswith(f"the policy of S3Endpoint does not allow it ({NEW_NETWORK}, {COMPLETE})")


@pytest.mark.parametrize("kind", ALLOWED)
def test_call_is_a_problem_without_the_statements_that_it_uses(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = ALLOWED[kind]
    original = DeployedTemplate.of_role

    def without_needed(template: DeployedTemplate, role: str) -> Any:
        requests = template.requests(needed)
        return [entry for entry in original(template, role) if not any(map(entry.matches, requests))]

    monkeypatch.setattr(DeployedTemplate, "of_role", without_needed)

    assert any(f"no statement of {needed.role} allows it" in problem for problem in calls.problems([needed]))


def recorded(tmp_path: Path, **changes: Any) -> Counter[Call]:
    """What is read of one recorded line."""
    entry = {
        "role": "mine-ApiRole-1A2B",
        "action": "s3:GetObject",
        "resource": f"arn:aws:s3:::mine-{ACCOUNT}-{REGION}/ledger/default/01a20f64-af4c-74cf/job.json",
        "context": {},
        "decision": "Allow",
        "status": 200,
    }
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps(entry | changes) + "\n" + json.dumps(entry | changes) + "\n")
    return calls.read(path, "mine")


def test_calls_of_the_same_kind_are_counted_together_whatever_the_stack_is_called(tmp_path: Path) -> None:
    assert recorded(tmp_path) == {ALLOWED["object"]: 2}
    assert recorded(tmp_path, status=404) == {ALLOWED["missing object"]: 2}
    assert recorded(tmp_path, decision="Deny") == {ALLOWED["object"]: 2}
    assert recorded(tmp_path, decision="ImplicitDeny") == {REFUSED["refused by the emulator"][0]: 2}


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("ledger/default/01a20f64-af4c-74cf-8d66-32fba8d70381/job.json", "ledger/default/…"),
        ("open/jobs/default/01a20f64-af4c-74cf-8d66-32fba8d70381", "open/jobs/default/…"),
        ("processed/default/01a20f64-af4c-74cf-8d66-32fba8d70381/59e1921d2df86873/a.jpg", "processed/default/…"),
        ("ledger/health", "ledger/health"),
    ],
)
def test_key_is_kept_up_to_its_first_id(key: str, shown: str, tmp_path: Path) -> None:
    (found,) = recorded(tmp_path, resource=f"arn:aws:s3:::mine-{ACCOUNT}-{REGION}/{key}")

    assert found.resource == f"{BUCKET}/{shown}"


@pytest.mark.parametrize(
    ("prefix", "shown"),
    [
        ("ledger/default/01a20f64-", "ledger/default/"),
        ("ledger/default/01a", "ledger/default/"),
        ("open/jobs/", "open/jobs/"),
        ("processed/default/01a20f64-af4c-74cf-8d66-32fba8d70381/59e1921d2df86873/", "processed/default/"),
        ("le", "le"),
        ("", ""),
    ],
)
def test_prefix_of_a_listing_is_kept_up_to_its_first_id(prefix: str, shown: str, tmp_path: Path) -> None:
    (found,) = recorded(tmp_path, action="s3:ListBucket", context={"s3:prefix": prefix})

    assert found.prefix == shown


def test_calls_of_roles_that_tests_make_are_left_out(tmp_path: Path) -> None:
    recorded(tmp_path)
    path = tmp_path / "mine.jsonl"
    path.write_text(path.read_text() + path.read_text().replace("mine-ApiRole-1A2B", "integration-372f437b"))

    assert calls.read(path, "mine") == {ALLOWED["object"]: 2}


def test_recording_without_a_call_of_the_stack_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no call of the stack"):
        recorded(tmp_path, role="other-ApiRole-1")


def test_table_shows_each_statement_with_its_calls_or_why_it_has_none() -> None:
    rows = table.permissions(Counter(dict.fromkeys(ALLOWED.values(), 3)))
    text = "\n".join(table.lines(rows))
    used, by_aws, idle = text.split("\n\n")

    assert "s3:GetObject" in used
    assert "api 6" in used
    assert "dispatch 3" in used
    assert "logs:PutLogEvents" in by_aws
    assert "thumbnail" in idle
    assert "logs:" not in used + idle


def test_missing_object_uses_the_right_to_list() -> None:
    rows = table.permissions(Counter({ALLOWED["missing object"]: 1}))
    used = {(row.statement.policy, row.action) for row in rows if row.calls}

    assert used == {
        (name, f"s3:{action}") for name in ("ApiRole", "S3Endpoint") for action in ("GetObject", "ListBucket")
    }


def test_every_statement_that_allows_something_is_in_the_table() -> None:
    template = DeployedTemplate(**OPTIONS)
    rows = {(row.statement.policy, row.statement.number) for row in table.permissions(Counter())}

    assert rows == {
        (entry.policy, entry.number)
        for entries in template.policies.values()
        for entry in entries
        if entry.effect == "Allow"
    }


@pytest.mark.parametrize("reason", table.REASONS, ids=lambda reason: reason[3])
def test_every_reason_explains_a_permission(reason: tuple[str, str, str, str]) -> None:
    rows = table.permissions(Counter())

    assert any(row.reason == reason[3] and matches_text(reason[1], row.action) for row in rows)
