"""Errors in the words of S3: which code, status and sentence a client gets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from forebay.model import errors

STATUSES: Final[Mapping[str, int]] = {
    "AccessDenied": 403,
    "AuthorizationHeaderMalformed": 400,
    "AuthorizationQueryParametersError": 400,
    "BucketAlreadyExists": 409,
    "IncompleteBody": 400,
    "InternalError": 500,
    "InvalidAccessKeyId": 403,
    "InvalidArgument": 400,
    "InvalidBucketName": 400,
    "InvalidPartNumber": 416,
    "InvalidRange": 416,
    "InvalidRequest": 400,
    "InvalidToken": 400,
    "InvalidURI": 400,
    "MaxMessageLengthExceeded": 400,
    "MethodNotAllowed": 405,
    "NoSuchBucket": 404,
    "NoSuchBucketPolicy": 404,
    "NoSuchCORSConfiguration": 404,
    "NoSuchConfiguration": 404,
    "NoSuchKey": 404,
    "NoSuchLifecycleConfiguration": 404,
    "NoSuchObjectLockConfiguration": 404,
    "NoSuchPublicAccessBlockConfiguration": 404,
    "NoSuchTagSet": 404,
    "NoSuchUpload": 404,
    "NoSuchVersion": 404,
    "NoSuchWebsiteConfiguration": 404,
    "NotImplemented": 501,
    "ObjectLockConfigurationNotFoundError": 404,
    "OperationAborted": 409,
    "OwnershipControlsNotFoundError": 404,
    "PreconditionFailed": 412,
    "ReplicationConfigurationNotFoundError": 404,
    "RequestHeaderSectionTooLarge": 400,
    "RequestTimeTooSkewed": 403,
    "RequestTimeout": 400,
    "ServerSideEncryptionConfigurationNotFoundError": 404,
    "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403,
    "SlowDown": 503,
    "XAmzContentSHA256Mismatch": 400,
}
"""Every code that this door answers with, and its HTTP status."""

RETRY_AFTER_SECONDS: Final = 1

_CODES: Final[Mapping[type[errors.ForebayError], str]] = {
    errors.ForebayError: "InternalError",
    errors.BadInput: "InvalidArgument",
    errors.BadConfiguration: "InternalError",
    errors.BadRange: "InvalidRange",
    errors.MountMissing: "NoSuchBucket",
    errors.MountExists: "BucketAlreadyExists",
    errors.RootReadOnly: "AccessDenied",
    errors.Refused: "AccessDenied",
    errors.KeyUnknown: "InvalidAccessKeyId",
    errors.SignatureWrong: "SignatureDoesNotMatch",
    errors.RequestExpired: "RequestTimeTooSkewed",
    errors.FileTrouble: "InvalidRequest",
    errors.FileMissing: "NoSuchKey",
    errors.FileExists: "OperationAborted",
    errors.NotAFile: "NoSuchKey",
    errors.NotADirectory: "NoSuchKey",
    errors.DirectoryNotEmpty: "OperationAborted",
    errors.ConditionFailed: "PreconditionFailed",
    errors.GenerationGone: "PreconditionFailed",
    errors.UploadMissing: "NoSuchUpload",
    errors.Unsupported: "NotImplemented",
    # Clients back off and ask again for these two, which is what we want of them.
    errors.StoreAway: "SlowDown",
    errors.StoreBusy: "SlowDown",
    errors.StoreLied: "ServiceUnavailable",
    # Not "no such bucket" and not "denied": a client would take the file for lost, or its key.
    errors.StoreTrouble: "InternalError",
    errors.HostTrouble: "InternalError",
    errors.NoRoom: "ServiceUnavailable",
    errors.ShelfDamaged: "ServiceUnavailable",
    errors.NodeAway: "ServiceUnavailable",
    errors.StateAway: "ServiceUnavailable",
}


class Refusal(Exception):
    """A request that the protocol itself refuses, in its own words; it never leaves this door.

    Args:
        code: one of `STATUSES`.
        message: a sentence for people.
        facts: further elements of the answer.
    """

    def __init__(self, code: str, message: str, facts: Mapping[str, str] | None = None) -> None:
        self.code = code
        self.message = message
        self.facts: Mapping[str, str] = {} if facts is None else facts
        super().__init__(code, message)


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """What a client is told."""

    code: str
    status: int
    message: str
    facts: Mapping[str, str]
    retry_after: int | None = None


def code_of(error: type[errors.ForebayError]) -> str:
    """The S3 code for errors of this class."""
    return next(_CODES[parent] for parent in error.__mro__ if parent in _CODES)


def answer_to(error: Exception) -> ErrorAnswer:
    """The answer to a request that ended with `error`."""
    match error:
        case Refusal():
            code, message, facts = error.code, error.message, error.facts
            retryable = code in {"SlowDown", "ServiceUnavailable"}
        case errors.ForebayError():
            code, message, facts = code_of(type(error)), error.sentence(), {}
            retryable = error.retryable
        case _:
            code, facts, retryable = "InternalError", {}, False
            message = "We encountered an internal error."
    status = STATUSES[code]
    wait = RETRY_AFTER_SECONDS if retryable and status == STATUSES["SlowDown"] else None
    return ErrorAnswer(code, status, message, facts, wait)
