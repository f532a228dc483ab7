"""The ways to deploy template.yaml, and what SAM and the schemas of AWS make of each."""

import json
import subprocess
from collections.abc import Mapping
from copy import deepcopy
from functools import lru_cache
from typing import Any

from localstack.settings import ROOT, load
from tests.support.template import EXISTING, EXISTING_IN_NETWORK, Template, deployable

#: Every option that is off by default.
OPTIONS = {
    "AvailabilityZoneA": "eu-central-1b",
    "AvailabilityZoneB": "eu-central-1c",
    "ApiConcurrency": "20",
    "AuthorizeConcurrency": "5",
    "IngestConcurrency": "5",
    "SettleConcurrency": "5",
    "AlarmEmail": "operator@example.com",
    "AllowedOrigins": "https://app.example.com,https://www.example.com",
    "JwtIssuer": "https://issuer.example.com/",
    "JwtAudience": "darkroom",
    "Tracing": "Active",
}

#: The ways to deploy the template, by name: their parameters. COMPLETE creates everything.
NEW_NETWORK = "with a new network"
COMPLETE = "with a new network and every option"
VARIANTS: Mapping[str, Mapping[str, str]] = {
    NEW_NETWORK: {},
    COMPLETE: OPTIONS,
    "on existing services": EXISTING,
    "on existing services in a private network": EXISTING_IN_NETWORK,
    "on a cache without a password": EXISTING | {"CacheSecretArn": ""},
    "open, without public documentation": EXISTING | {"Access": "open", "PublicDocs": "false"},
}


def run(action: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Calls tests/rehearsal/schemas.py. Raises ValueError with its errors when it fails."""
    argv = [str(load({}).tools), "-P", str(ROOT / "tests" / "rehearsal" / "schemas.py"), action]
    done = subprocess.run(argv, input=json.dumps(inputs), capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr)
    return dict(json.loads(done.stdout))


@lru_cache(maxsize=1)
def transformed() -> dict[str, Any]:
    """What SAM makes of the template, for each way to deploy it. Do not change it."""
    return run("transform", {name: deployable(Template(**parameters)) for name, parameters in VARIANTS.items()})


def created() -> dict[str, Any]:
    """A copy of what is deployed when everything is created."""
    return deepcopy(dict(transformed()[COMPLETE]))
