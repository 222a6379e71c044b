"""The faults of an object store: its codes and broken connections, in the words of our errors."""

import re
from collections.abc import Mapping
from typing import Final

import httpx
from obstore.exceptions import BaseError

from forebay.model.errors import (
    BadPath,
    BadRange,
    ConditionFailed,
    FileMissing,
    ForebayError,
    GenerationGone,
    NoRoom,
    NotADirectory,
    NotAFile,
    StoreAway,
    StoreBusy,
    StoreLied,
    StoreMissing,
    StoreRefused,
    Unsupported,
    UploadMissing,
)

_BY_CODE: Final[Mapping[str, type[ForebayError]]] = {
    "AccessDenied": StoreRefused,
    "AccountProblem": StoreRefused,
    "AllAccessDisabled": StoreRefused,
    "AuthorizationHeaderMalformed": StoreRefused,
    "BadDigest": StoreLied,
    "ConditionalRequestConflict": StoreBusy,
    "EntityTooLarge": Unsupported,
    "EntityTooSmall": Unsupported,
    "ExistingObjectIsDirectory": NotAFile,
    "ExistingObjectIsFile": NotADirectory,
    "ExpiredToken": StoreRefused,
    "IncompleteBody": StoreLied,
    "InternalError": StoreAway,
    "InvalidAccessKeyId": StoreRefused,
    "InvalidBucketName": StoreMissing,
    "InvalidPart": UploadMissing,
    "InvalidPartOrder": UploadMissing,
    "InvalidRange": BadRange,
    "InvalidToken": StoreRefused,
    "KeyTooLongError": BadPath,
    "NoSuchBucket": StoreMissing,
    "NoSuchKey": FileMissing,
    "NoSuchUpload": UploadMissing,
    "OperationAborted": StoreBusy,
    "PreconditionFailed": ConditionFailed,
    "QuotaExceeded": NoRoom,
    "RequestTimeTooSkewed": StoreRefused,
    "RequestTimeout": StoreAway,
    "ServiceUnavailable": StoreBusy,
    "SignatureDoesNotMatch": StoreRefused,
    "SlowDown": StoreBusy,
    "XAmzContentChecksumMismatch": StoreLied,
    "XAmzContentSHA256Mismatch": StoreLied,
    "XMinioStorageFull": NoRoom,
}
_BY_STATUS: Final[Mapping[int, type[ForebayError]]] = {
    401: StoreRefused,
    403: StoreRefused,
    404: FileMissing,
    405: Unsupported,
    408: StoreAway,
    409: StoreBusy,
    411: Unsupported,
    412: ConditionFailed,
    416: BadRange,
    429: StoreBusy,
    501: Unsupported,
    503: StoreBusy,
    507: NoRoom,
}
_LONGEST_MESSAGE: Final = 200
_SERVER_ERROR: Final = 500
_REDIRECT: Final = range(300, 400)

_CODE: Final = re.compile(r"<Code>\s*([A-Za-z0-9]{1,64})\s*</Code>")
_MESSAGE: Final = re.compile(r"<Message>([^<]*)</Message>")
_STATUS: Final = re.compile(r"non-2xx status code: (\d{3})")


def fault_of_answer(status: int, body: str, subject: object) -> ForebayError:
    """The error that an answer of the store stands for."""
    code, message = _found(_CODE, body), _found(_MESSAGE, body)
    kind = _BY_CODE.get(code)
    if kind is None:
        kind = _by_status(status)
    return kind(subject, _reason(status, code, message))


def fault_of_connection(error: httpx.HTTPError | httpx.InvalidURL, subject: object) -> ForebayError:
    """The error that a failed exchange stands for."""
    if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError):
        return StoreAway(subject, "no connection to the store could be made")
    if isinstance(error, httpx.TimeoutException):
        return StoreAway(subject, "the store did not answer in time")
    if isinstance(error, httpx.DecodingError):
        return StoreLied(subject, "the store's answer cannot be decoded")
    return StoreAway(subject, "the connection to the store broke")


def fault_of_read(error: BaseError | OSError | ValueError, subject: object) -> ForebayError:
    """The error that a failed ranged read stands for."""
    text = str(error)
    status = _found(_STATUS, text)
    if status:
        fault = fault_of_answer(int(status), text, subject)
        # The bytes asked for lay within the pinned content: what lacks them is another one.
        gone = isinstance(fault, ConditionFailed | BadRange)
        return GenerationGone(subject, "the file was changed") if gone else fault
    if "NotPartial" in text or "UnexpectedRange" in text:
        return StoreLied(subject, "the store sent another range than was asked for")
    if "IncompleteBody" in text or "UnexpectedEof" in text:
        return StoreLied(subject, "the store sent less than it announced")
    if "following redirect" in text:
        return StoreRefused(subject, "the store sends us elsewhere; correct the endpoint or region")
    if "TimedOut" in text:
        return StoreAway(subject, "the store did not answer in time")
    return StoreAway(subject, "the connection to the store broke")


def _by_status(status: int) -> type[ForebayError]:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= _SERVER_ERROR:
        return StoreAway
    return StoreRefused


def _reason(status: int, code: str, message: str) -> str:
    if status in _REDIRECT:
        return f"the store sends us elsewhere ({status} {code}); correct the endpoint or region"
    said = " ".join(message.split())[:_LONGEST_MESSAGE].rstrip(".")
    shown = said if said.isprintable() else ascii(said)
    return ", ".join(part for part in (f"the store answers {status}", code, shown) if part)


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return "" if match is None else match.group(1)
