"""What `tools.keys` does: reads and writes the records of API keys in the bucket of a deployed stack."""

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import botocore.session
from botocore.exceptions import BotoCoreError, ClientError

from darkroom import config
from darkroom.contracts.tenants import OPERATOR_TENANT, TENANT_PATTERN, ApiKey, Scope, TenantStatus
from darkroom.errors import DarkroomError
from darkroom.tenants import api_keys, credentials, records
from localstack.errors import StackError


def create(stack: str, tenant: str, scopes: Sequence[str], name: str) -> str:
    """Stores a new key and returns its text. Raises StackError, unless the stack, its bucket and the tenant exist."""
    with _bucket_of(stack) as environment:
        _require_active(tenant)
        issued = api_keys.create_key(
            tenant, environment, name=name, scopes=[Scope(scope) for scope in scopes], now_s=time.time()
        )
        if not records.create_api_key(issued.key):
            raise StackError(f"The random id {issued.key.key_id} is taken. Run the command again.")
        return issued.text


def revoke(stack: str, key: str) -> None:
    """Revokes a key, given its id or its text. Raises StackError if there is no such key."""
    with _bucket_of(stack) as environment:
        key_id = credentials.parse(key, environment).id if credentials.is_credential(key) else key
        tenant = key_id.rpartition("-")[0]
        if records.change_api_key(tenant, key_id, _revoked) is None:
            raise StackError(f"The stack {stack} has no key {key_id}.")


def _revoked(key: ApiKey) -> ApiKey:
    return api_keys.revoke(key, now_s=time.time())


def _require_active(tenant: str) -> None:
    """Raises StackError unless the tenant exists and is active. The operator's needs no record."""
    if not re.fullmatch(TENANT_PATTERN, tenant):
        raise StackError(f"'{tenant}' is no name of a tenant: use up to 32 lower-case letters, digits and hyphens.")
    found = records.read_tenant(tenant)
    if found is None and tenant != OPERATOR_TENANT:
        raise StackError(f"There is no tenant '{tenant}'. A key of the operator can create it: POST /tenants.")
    if found is not None and found.status is not TenantStatus.ACTIVE:
        raise StackError(f"The tenant '{tenant}' is {found.status}, so its keys would be refused.")


@contextmanager
def _bucket_of(stack: str) -> Iterator[str]:
    """Lets `darkroom` use the bucket of a deployed stack. Yields the name of the deployment in its API keys.

    Raises StackError with every error of AWS and of `darkroom`.
    """
    session = botocore.session.get_session()
    try:
        settings = _deployed_settings(session, stack)
        os.environ |= {"DARKROOM_BUCKET": settings.bucket} | _access_to_aws(session)
        _require_bucket(session, settings.bucket)
        yield settings.key_environment
    except BotoCoreError as error:
        raise StackError(f"AWS cannot be used: {error}") from error
    except ClientError as error:
        raise StackError(f"AWS refuses a request: {error}") from error
    except DarkroomError as error:
        raise StackError(error.message) from error


def _deployed_settings(session: botocore.session.Session, stack: str) -> config.AuthorizerSettings:
    """The settings of the stack's API, as far as they concern keys."""
    functions = session.create_client("lambda")
    try:
        found = functions.get_function_configuration(FunctionName=f"{stack}-api")
    except functions.exceptions.ResourceNotFoundException as error:
        region = functions.meta.region_name
        raise StackError(f"There is no stack {stack} in {region}: it has no function {stack}-api.") from error
    return config.load(found["Environment"]["Variables"], config.AuthorizerSettings)


def _access_to_aws(session: botocore.session.Session) -> dict[str, str]:
    """The region and credentials as variables: the functions' own client knows no profiles and no single sign-on."""
    found = session.get_credentials()
    if found is None:
        raise StackError("There are no AWS credentials. Configure the AWS command line, or set AWS_PROFILE.")
    frozen = found.get_frozen_credentials()
    token = {"AWS_SESSION_TOKEN": frozen.token} if frozen.token else {}
    return token | {
        "AWS_ACCESS_KEY_ID": frozen.access_key,
        "AWS_SECRET_ACCESS_KEY": frozen.secret_key,
        "AWS_DEFAULT_REGION": str(session.get_config_variable("region")),
    }


def _require_bucket(session: botocore.session.Session, bucket: str) -> None:
    storage = session.create_client("s3")
    try:
        storage.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchBucket"):
            raise StackError(f"The bucket {bucket} does not exist.") from error
        raise
