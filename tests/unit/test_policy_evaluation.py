"""The evaluation of IAM policies with which the rehearsal judges recorded calls."""

from typing import Any

import pytest

from tests.rehearsal.policies import Request, Statement, is_allowed, statements_of

BUCKET = "arn:aws:s3:::media"


def statements(*entries: dict[str, Any]) -> list[Statement]:
    return statements_of("Policy", {"Version": "2012-10-17", "Statement": list(entries)})


def allow(action: Any, resource: Any, **condition: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource} | ({"Condition": condition} if condition else {})


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("s3:GetObject", f"{BUCKET}/uploads/a/b", True),
        ("s3:getobject", f"{BUCKET}/uploads/a", True),
        ("s3:PutObject", f"{BUCKET}/uploads/a", False),
        ("s3:GetObject", f"{BUCKET}/ledger/a", False),
        ("s3:GetObject", f"{BUCKET}/UPLOADS/a", False),
        ("s3:GetObject", f"{BUCKET}-other/uploads/a", False),
        ("s3:GetObject", f"x{BUCKET}/uploads/a", False),
        ("lambda:InvokeFunction", "arn:f-1", True),
        ("lambda:InvokeFunction", "arn:f-12", False),
        ("lambda:Invoke", "arn:f-1", False),
    ],
)
def test_action_and_resource_must_match(action: str, resource: str, allowed: bool) -> None:
    policy = statements(
        allow(["s3:GetObject", "s3:HeadObject"], [f"{BUCKET}/uploads/*"]), allow("lambda:InvokeFunction", "arn:f-?")
    )

    assert is_allowed(policy, Request(action, resource)) is allowed


def test_nothing_is_allowed_without_a_statement() -> None:
    assert not is_allowed([], Request("s3:GetObject", BUCKET))


def test_denial_outweighs_every_permission() -> None:
    denial = {"Effect": "Deny", "Action": "ec2:*", "Resource": "*"}
    policy = statements(allow("*", "*"), denial)

    assert is_allowed(policy, Request("s3:GetObject", BUCKET))
    assert not is_allowed(policy, Request("ec2:DescribeSubnets", "*"))


@pytest.mark.parametrize(
    ("condition", "context", "allowed"),
    [
        ({"StringLikeIfExists": {"s3:prefix": ["uploads/*", "ledger/*"]}}, {"s3:prefix": "ledger/a"}, True),
        ({"StringLikeIfExists": {"s3:prefix": ["uploads/*", "ledger/*"]}}, {"s3:prefix": "work/a"}, False),
        ({"StringLikeIfExists": {"s3:prefix": ["uploads/*", "ledger/*"]}}, {"s3:prefix": ""}, False),
        ({"StringLikeIfExists": {"s3:prefix": ["uploads/*", "ledger/*"]}}, {}, True),
        ({"StringLike": {"s3:prefix": "uploads/*"}}, {}, False),
        ({"StringEquals": {"aws:PrincipalAccount": "1"}}, {"aws:principalaccount": "1"}, True),
        ({"StringEquals": {"aws:PrincipalAccount": "1*"}}, {"aws:PrincipalAccount": "12"}, False),
        ({"Bool": {"aws:SecureTransport": "false"}}, {"aws:SecureTransport": "true"}, False),
        ({"Bool": {"aws:SecureTransport": False}}, {"aws:SecureTransport": "false"}, True),
        ({"ArnLike": {"aws:SourceArn": "arn:a:b:c:d:f-*"}}, {"aws:SourceArn": "arn:a:b:c:d:f-x"}, True),
        ({"ArnLike": {"aws:SourceArn": "arn:*"}}, {"aws:SourceArn": "arn:a:b:c:d:f-x"}, False),
        ({"Bool": {"a": "true"}, "StringLike": {"b": "*"}}, {"a": "true"}, False),
    ],
)
def test_every_condition_must_hold(condition: dict[str, Any], context: dict[str, str], allowed: bool) -> None:
    policy = statements(allow("s3:ListBucket", BUCKET, **condition))

    assert is_allowed(policy, Request("s3:ListBucket", BUCKET, context)) is allowed


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"},
        {"Effect": "Allow", "Action": "s3:*", "NotResource": "*"},
        allow("s3:*", "arn:aws:s3:::${aws:username}/*"),
        allow("s3:*", "*", StringNotLike={"s3:prefix": "a"}),
        allow("s3:*", "*", **{"ForAllValues:StringLike": {"s3:prefix": "a"}}),
    ],
)
def test_what_is_not_supported_is_an_error(statement: dict[str, Any]) -> None:
    with pytest.raises(LookupError):
        is_allowed(statements(statement), Request("s3:GetObject", BUCKET))
