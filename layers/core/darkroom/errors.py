"""The errors of requests, jobs and services, in one tree.

DarkroomError
├── RequestError                the request cannot be carried out
│   ├── InvalidRequestError         422  invalid_request
│   ├── InvalidIdError              422  invalid_id
│   ├── UnknownOperationError       422  unknown_operation
│   ├── FileNotFoundInStoreError    404  file_not_found
│   ├── FileNotUploadedError        409  file_not_uploaded
│   ├── JobNotFoundError            404  job_not_found
│   ├── JobNotCompletedError        409  job_not_completed
│   ├── JobAlreadyEndedError        409  job_already_ended
│   ├── JobNotRetryableError        409  job_not_retryable
│   ├── ResultGoneError             410  result_gone
│   ├── IdempotencyKeyReusedError   422  idempotency_key_reused
│   ├── TooManyJobsError            429  too_many_jobs
│   ├── FileTooLargeError           413  file_too_large
│   ├── TenantNotFoundError         404  tenant_not_found
│   ├── TenantExistsError           409  tenant_exists
│   ├── TenantProtectedError        409  tenant_protected
│   ├── TenantDeletedError          409  tenant_deleted
│   ├── KeyNotFoundError            404  key_not_found
│   ├── KeyNotActiveError           409  key_not_active
│   ├── TooManyKeysError            409  too_many_keys
│   ├── ConcurrentChangeError       409  concurrent_change
│   ├── UploadLinkNotFoundError     404  upload_link_not_found
│   ├── UploadLinkExhaustedError    403  upload_link_exhausted
│   ├── DeploymentOpenError         409  deployment_open
│   ├── QuotaExceededError          a quota of the tenant is used up
│   │   ├── RequestQuotaError           429  quota_requests
│   │   ├── QueuedJobsQuotaError        429  quota_queued_jobs
│   │   ├── UploadQuotaError            413  quota_upload_bytes
│   │   ├── StorageQuotaError           429  quota_stored_bytes
│   │   ├── MonthlyJobsQuotaError       429  quota_monthly_jobs
│   │   └── MonthlyVideoQuotaError      429  quota_monthly_video_minutes
│   └── AccessError                 who sends the request, or what they may do
│       ├── CredentialsMissingError     401  credentials_missing
│       ├── CredentialsInvalidError     401  credentials_invalid
│       ├── CredentialsExpiredError     401  credentials_expired
│       ├── CredentialsRevokedError     401  credentials_revoked
│       ├── ScopeMissingError           403  scope_missing
│       ├── OperatorRequiredError       403  operator_required
│       ├── TenantSuspendedError        403  tenant_suspended
│       └── TooManyFailuresError        429  too_many_failures
├── MediaError                  the media cannot be processed; the job fails at once and is not retried
│   ├── EmptyFileError              422  empty_file
│   ├── UnsupportedMediaTypeError   415  unsupported_media_type
│   ├── MediaTypeMismatchError      422  media_type_mismatch
│   ├── WrongMediaKindError         422  wrong_media_kind
│   ├── CorruptMediaError           422  corrupt_media
│   ├── TooManyPixelsError          422  too_many_pixels
│   ├── TooLongError                422  media_too_long
│   ├── ResultTooLargeError         422  result_too_large
│   ├── NoAudioStreamError          422  no_audio_stream
│   ├── NoVideoStreamError          422  no_video_stream
│   └── ProcessingTimedOutError     422  processing_timed_out
├── ServiceError                a dependency is unavailable; a retry may succeed
│   ├── StorageUnavailableError     503  storage_unavailable
│   ├── CacheUnavailableError       503  cache_unavailable
│   │   └── CacheFullError              503  cache_full
│   ├── BrokerUnavailableError      503  broker_unavailable
│   ├── LambdaUnavailableError      503  lambda_unavailable
│   ├── SecretsUnavailableError     503  secrets_unavailable
│   ├── IssuerUnavailableError      503  issuer_unavailable
│   └── WorkerDiedError             500  worker_died
├── SourceReplacedError         409  source_replaced  the file changed during the run; retried with the new file
├── ConfigurationError          500  configuration   the deployment's settings are invalid
├── InternalError               500  internal_error  a defect of Darkroom; retried, then the job fails
└── Superseded                  a signal: this run no longer owns its job; never shown to clients

Longer than 350 lines: it is one flat list of declarations, which is read as the tree above.

`code` is stable, for programs. The message is a sentence, for people. The docstring is the general message.
"""

from typing import ClassVar


class DarkroomError(Exception):
    """The root. Only subclasses are raised."""

    code: ClassVar[str] = "internal_error"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    #: Whether a dependency is unavailable; the run then uses no attempt.
    outage: ClassVar[bool] = False
    #: Seconds after which the same request may succeed, where the error knows them.
    retry_after_s: int | None = None

    @property
    def message(self) -> str:
        """A sentence for people."""
        return str(self.args[0]) if self.args else (self.__doc__ or self.code)


class RequestError(DarkroomError):
    """The request cannot be carried out."""

    http_status = 422


class InvalidRequestError(RequestError):
    """The request is not valid."""

    code = "invalid_request"


class InvalidIdError(RequestError):
    """The identifier is invalid."""

    code = "invalid_id"

    def __init__(self, text: str) -> None:
        super().__init__(f"'{text[:64]}' is not a valid identifier: Darkroom's are UUIDs of version 7.")


class UnknownOperationError(RequestError):
    """The operation does not exist."""

    code = "unknown_operation"


class FileNotFoundInStoreError(RequestError):
    """The file does not exist."""

    code = "file_not_found"
    http_status = 404

    def __init__(self, file_id: str) -> None:
        super().__init__(f"File {file_id} does not exist: it was never uploaded, or its retention period is over.")


class FileNotUploadedError(RequestError):
    """The file has not been uploaded yet."""

    code = "file_not_uploaded"
    http_status = 409

    def __init__(self, file_id: str) -> None:
        super().__init__(f"File {file_id} has not been uploaded yet. Upload it with its form, then repeat the request.")


class JobNotFoundError(RequestError):
    """The job does not exist."""

    code = "job_not_found"
    http_status = 404

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job {job_id} does not exist: it was never accepted, or its retention period is over.")


class JobNotCompletedError(RequestError):
    """The job has no output to download."""

    code = "job_not_completed"
    http_status = 409


class JobAlreadyEndedError(RequestError):
    """The job has ended and cannot be canceled."""

    code = "job_already_ended"
    http_status = 409


class JobNotRetryableError(RequestError):
    """Only a failed or canceled job can be retried."""

    code = "job_not_retryable"
    http_status = 409


class ResultGoneError(RequestError):
    """The output was removed after its retention period."""

    code = "result_gone"
    http_status = 410


class IdempotencyKeyReusedError(RequestError):
    """The idempotency key was used before with another request."""

    code = "idempotency_key_reused"


class TooManyJobsError(RequestError):
    """The queue for this operation is full."""

    code = "too_many_jobs"
    http_status = 429


class FileTooLargeError(RequestError):
    """The file is larger than allowed."""

    code = "file_too_large"
    http_status = 413


class TenantNotFoundError(RequestError):
    """The tenant does not exist."""

    code = "tenant_not_found"
    http_status = 404

    def __init__(self, tenant: str) -> None:
        super().__init__(f"Tenant '{tenant[:64]}' does not exist.")


class TenantExistsError(RequestError):
    """There is a tenant of this name already."""

    code = "tenant_exists"
    http_status = 409


class TenantProtectedError(RequestError):
    """The operator's tenant can be neither suspended nor deleted."""

    code = "tenant_protected"
    http_status = 409


class TenantDeletedError(RequestError):
    """The tenant is being deleted, or was."""

    code = "tenant_deleted"
    http_status = 409

    def __init__(self, tenant: str) -> None:
        super().__init__(f"Tenant {tenant} is being deleted, or was: it cannot be changed any more.")


class KeyNotFoundError(RequestError):
    """The API key does not exist."""

    code = "key_not_found"
    http_status = 404

    def __init__(self, key_id: str) -> None:
        super().__init__(f"API key '{key_id[:64]}' does not exist.")


class KeyNotActiveError(RequestError):
    """The API key has expired or was revoked."""

    code = "key_not_active"
    http_status = 409


class TooManyKeysError(RequestError):
    """The tenant has as many API keys as it may have."""

    code = "too_many_keys"
    http_status = 409


class ConcurrentChangeError(RequestError):
    """Somebody else changed the same at the same time. Look at it again, then repeat the request."""

    code = "concurrent_change"
    http_status = 409


class QuotaExceededError(RequestError):
    """A quota of the tenant is used up."""

    http_status = 429
    #: The unit in which the quota counts, if it is none of requests.
    unit: ClassVar[str | None] = None
    limit: int = 0
    window_s: int | None = None

    def __init__(
        self, *message: str, limit: int = 0, window_s: int | None = None, retry_after_s: int | None = None
    ) -> None:
        """`limit` is what the tenant may use, in `window_s` seconds if the quota is renewed after them."""
        super().__init__(*message)
        self.limit = limit
        self.window_s = window_s
        self.retry_after_s = retry_after_s


class RequestQuotaError(QuotaExceededError):
    """The tenant sends too many requests."""

    code = "quota_requests"


class QueuedJobsQuotaError(QuotaExceededError):
    """The tenant has too many queued jobs."""

    code = "quota_queued_jobs"
    unit = "jobs"


class UploadQuotaError(QuotaExceededError):
    """The file is larger than the tenant may upload."""

    code = "quota_upload_bytes"
    http_status = 413
    unit = "content-bytes"


class StorageQuotaError(QuotaExceededError):
    """The tenant has no storage left."""

    code = "quota_stored_bytes"
    unit = "content-bytes"


class MonthlyJobsQuotaError(QuotaExceededError):
    """The tenant has no jobs left in this month."""

    code = "quota_monthly_jobs"
    unit = "jobs"


class MonthlyVideoQuotaError(QuotaExceededError):
    """The tenant has no minutes of video left in this month."""

    code = "quota_monthly_video_minutes"
    unit = "minutes"


class UploadLinkNotFoundError(RequestError):
    """The upload link does not exist."""

    code = "upload_link_not_found"
    http_status = 404

    def __init__(self, link_id: str) -> None:
        super().__init__(f"Upload link {link_id[:64]} does not exist, or it was removed after its expiry.")


class UploadLinkExhaustedError(RequestError):
    """The upload link accepts no more files."""

    code = "upload_link_exhausted"
    http_status = 403


class DeploymentOpenError(RequestError):
    """The deployment is open to everybody."""

    code = "deployment_open"
    http_status = 409


class AccessError(RequestError):
    """The request is refused for who sends it."""

    http_status = 401


class CredentialsMissingError(AccessError):
    """The request needs an API key or a token."""

    code = "credentials_missing"


class CredentialsInvalidError(AccessError):
    """The API key or token is not valid."""

    code = "credentials_invalid"


class CredentialsExpiredError(AccessError):
    """The API key or token has expired."""

    code = "credentials_expired"


class CredentialsRevokedError(AccessError):
    """The API key or upload link was revoked."""

    code = "credentials_revoked"


class ScopeMissingError(AccessError):
    """The API key or token may not do this."""

    code = "scope_missing"
    http_status = 403
    #: The scopes of which one would be enough.
    scopes: tuple[str, ...] = ()

    def __init__(self, *message: str, scopes: tuple[str, ...] = ()) -> None:
        super().__init__(*message)
        self.scopes = scopes


class OperatorRequiredError(AccessError):
    """Only the operator may do this: an admin of the tenant default."""

    code = "operator_required"
    http_status = 403


class TenantSuspendedError(AccessError):
    """The tenant is suspended."""

    code = "tenant_suspended"
    http_status = 403


class TooManyFailuresError(AccessError):
    """Too many requests from this address had invalid credentials."""

    code = "too_many_failures"
    http_status = 429

    def __init__(self, *message: str, retry_after_s: int | None = None) -> None:
        super().__init__(*message)
        self.retry_after_s = retry_after_s


class MediaError(DarkroomError):
    """The media cannot be processed."""

    http_status = 422


class EmptyFileError(MediaError):
    """The file is empty."""

    code = "empty_file"


class UnsupportedMediaTypeError(MediaError):
    """The media type is not supported."""

    code = "unsupported_media_type"
    http_status = 415


class MediaTypeMismatchError(MediaError):
    """The file is not of the media type that the upload declared."""

    code = "media_type_mismatch"


class WrongMediaKindError(MediaError):
    """The operation does not accept this kind of media."""

    code = "wrong_media_kind"


class CorruptMediaError(MediaError):
    """The file is damaged or incomplete."""

    code = "corrupt_media"


class TooManyPixelsError(MediaError):
    """The image has more pixels than allowed."""

    code = "too_many_pixels"


class TooLongError(MediaError):
    """The video or audio is longer than allowed."""

    code = "media_too_long"


class ResultTooLargeError(MediaError):
    """The result cannot be made as small as requested."""

    code = "result_too_large"


class NoAudioStreamError(MediaError):
    """The file has no audio stream."""

    code = "no_audio_stream"


class NoVideoStreamError(MediaError):
    """The file has no video stream."""

    code = "no_video_stream"


class ProcessingTimedOutError(MediaError):
    """Processing did not finish within the time limit of one run."""

    code = "processing_timed_out"


class ServiceError(DarkroomError):
    """A dependency is unavailable."""

    http_status = 503
    retryable = True
    outage = True


class StorageUnavailableError(ServiceError):
    """The object store is unavailable."""

    code = "storage_unavailable"


class CacheUnavailableError(ServiceError):
    """The status cache is unavailable."""

    code = "cache_unavailable"


class CacheFullError(CacheUnavailableError):
    """The memory of the status cache is full."""

    code = "cache_full"


class BrokerUnavailableError(ServiceError):
    """The message broker is unavailable."""

    code = "broker_unavailable"


class LambdaUnavailableError(ServiceError):
    """A function could not be started."""

    code = "lambda_unavailable"


class SecretsUnavailableError(ServiceError):
    """The secret store is unavailable."""

    code = "secrets_unavailable"


class IssuerUnavailableError(ServiceError):
    """The issuer of the token is unavailable, so the token cannot be checked."""

    code = "issuer_unavailable"


class WorkerDiedError(ServiceError):
    """The process that ran the job crashed, ran out of memory or was stopped."""

    code = "worker_died"
    http_status = 500
    outage = False


#: The errors that are outages: they use no attempt of a job.
OUTAGES: tuple[type[ServiceError], ...] = (
    *(kind for kind in ServiceError.__subclasses__() if kind.outage),
    CacheFullError,
)


class SourceReplacedError(DarkroomError):
    """The file was replaced while it was processed."""

    code = "source_replaced"
    http_status = 409
    retryable = True


class ConfigurationError(DarkroomError):
    """The deployment's settings are invalid."""

    code = "configuration"


class InternalError(DarkroomError):
    """An internal error occurred."""

    code = "internal_error"
    retryable = True


class Superseded(DarkroomError):  # noqa: N818 - a signal, not an error
    """This run no longer owns its job, which was canceled or is owned by another run."""
