"""The tenant on whose behalf tests act unless they are about tenants."""

from darkroom.contracts.jobs import JobRef
from darkroom.contracts.tenants import OPERATOR_TENANT
from darkroom.jobs import uploads

TENANT = OPERATOR_TENANT


def ref_of(job_id: str) -> JobRef:
    """A job of this tenant."""
    return JobRef(TENANT, job_id)


def upload_key(file_id: str) -> str:
    """The key of an upload of this tenant."""
    return uploads.key_of(TENANT, file_id)
