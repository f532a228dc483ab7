"""Every error Darkroom raises on purpose, in one tree.

DarkroomError
├── RequestError                what a client asked for cannot be done; says so with an HTTP status
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
│   └── FileTooLargeError           413  file_too_large
├── MediaError                  the media cannot be processed; the job fails at once, another try would end the same
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
├── ServiceError                a part we depend on does not answer; another try may succeed
│   ├── StorageUnavailableError     503  storage_unavailable
│   ├── CacheUnavailableError       503  cache_unavailable
│   ├── BrokerUnavailableError      503  broker_unavailable
│   ├── LambdaUnavailableError      503  lambda_unavailable
│   ├── SecretsUnavailableError     503  secrets_unavailable
│   └── WorkerDiedError             500  worker_died
├── ConfigurationError          500  configuration   a deployment is wrong; names every bad variable at once
├── InternalError               500  internal_error  a defect of ours; tried again, then reported
└── Superseded                  control signal: this run no longer owns its job; never shown to anybody

`code` is stable and meant for programs; the message is a sentence meant for people.
"""

from typing import ClassVar


class DarkroomError(Exception):
    """The root. Raise a subclass, never this."""

    code: ClassVar[str] = "internal_error"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    #: Whether it says nothing about the job, only about the time: such failures do not use up its attempts.
    outage: ClassVar[bool] = False

    @property
    def message(self) -> str:
        """The sentence for people."""
        return str(self.args[0]) if self.args else (self.__doc__ or self.code)


class RequestError(DarkroomError):
    """The request cannot be carried out."""

    http_status = 422


class InvalidRequestError(RequestError):
    """The request is not valid."""

    code = "invalid_request"


class InvalidIdError(RequestError):
    """The identifier is not one that Darkroom gives out."""

    code = "invalid_id"

    def __init__(self, text: str) -> None:
        super().__init__(f"'{text[:64]}' is not an identifier: expected a UUID of version 7, as Darkroom returned it.")


class UnknownOperationError(RequestError):
    """There is no such operation."""

    code = "unknown_operation"


class FileNotFoundInStoreError(RequestError):
    """No file has this identifier."""

    code = "file_not_found"
    http_status = 404

    def __init__(self, file_id: str) -> None:
        super().__init__(f"There is no file {file_id}. It was never uploaded, or its retention has ended.")


class FileNotUploadedError(RequestError):
    """The upload form was handed out, but nothing was uploaded with it yet."""

    code = "file_not_uploaded"
    http_status = 409

    def __init__(self, file_id: str) -> None:
        super().__init__(
            f"File {file_id} has not been uploaded yet. Send it with the form you were given, then try again."
        )


class JobNotFoundError(RequestError):
    """No job has this identifier."""

    code = "job_not_found"
    http_status = 404

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id}. It was never accepted, or its retention has ended.")


class JobNotCompletedError(RequestError):
    """The job has no result to download."""

    code = "job_not_completed"
    http_status = 409


class JobAlreadyEndedError(RequestError):
    """The job has ended and cannot be canceled."""

    code = "job_already_ended"
    http_status = 409


class JobNotRetryableError(RequestError):
    """Only a failed or canceled job can be tried again."""

    code = "job_not_retryable"
    http_status = 409


class ResultGoneError(RequestError):
    """The result was removed when its retention ended."""

    code = "result_gone"
    http_status = 410


class IdempotencyKeyReusedError(RequestError):
    """The idempotency key was sent before with another request."""

    code = "idempotency_key_reused"


class TooManyJobsError(RequestError):
    """As many jobs of this operation wait as may."""

    code = "too_many_jobs"
    http_status = 429


class FileTooLargeError(RequestError):
    """The file is larger than allowed."""

    code = "file_too_large"
    http_status = 413


class MediaError(DarkroomError):
    """The media cannot be processed."""

    http_status = 422


class EmptyFileError(MediaError):
    """The file is empty."""

    code = "empty_file"


class UnsupportedMediaTypeError(MediaError):
    """The bytes are of no type that Darkroom reads."""

    code = "unsupported_media_type"
    http_status = 415


class MediaTypeMismatchError(MediaError):
    """The bytes contradict the type that the upload declared."""

    code = "media_type_mismatch"


class WrongMediaKindError(MediaError):
    """The operation does not work on this kind of media."""

    code = "wrong_media_kind"


class CorruptMediaError(MediaError):
    """The file is damaged or cut short."""

    code = "corrupt_media"


class TooManyPixelsError(MediaError):
    """The picture has more pixels than allowed."""

    code = "too_many_pixels"


class TooLongError(MediaError):
    """The recording is longer than allowed."""

    code = "media_too_long"


class ResultTooLargeError(MediaError):
    """No result is as small as asked for."""

    code = "result_too_large"


class NoAudioStreamError(MediaError):
    """The file has no audio stream."""

    code = "no_audio_stream"


class NoVideoStreamError(MediaError):
    """The file has no video stream."""

    code = "no_video_stream"


class ProcessingTimedOutError(MediaError):
    """The work did not end within the time that one run may take."""

    code = "processing_timed_out"


class ServiceError(DarkroomError):
    """A part that Darkroom depends on does not answer."""

    http_status = 503
    retryable = True
    outage = True


class StorageUnavailableError(ServiceError):
    """The object store does not answer."""

    code = "storage_unavailable"


class CacheUnavailableError(ServiceError):
    """The status cache does not answer."""

    code = "cache_unavailable"


class BrokerUnavailableError(ServiceError):
    """The message broker does not answer."""

    code = "broker_unavailable"


class LambdaUnavailableError(ServiceError):
    """A function could not be started."""

    code = "lambda_unavailable"


class SecretsUnavailableError(ServiceError):
    """The secret store does not answer."""

    code = "secrets_unavailable"


class WorkerDiedError(ServiceError):
    """The process that ran the job died, ran out of memory or out of time."""

    code = "worker_died"
    http_status = 500
    outage = False


#: Errors that say nothing about a job, only about the time.
OUTAGES = tuple(kind for kind in ServiceError.__subclasses__() if kind.outage)


class ConfigurationError(DarkroomError):
    """The deployment's settings are wrong."""

    code = "configuration"


class InternalError(DarkroomError):
    """Something went wrong on our side."""

    code = "internal_error"
    retryable = True


class Superseded(DarkroomError):  # noqa: N818 - a signal, not an error
    """This run no longer owns its job: it was canceled, or another run has taken it over."""
