"""The operation that a method, an address and a query ask for, in the names of the S3 API. Pure."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final

from forebay.doors.s3.address import Address
from forebay.doors.s3.errors import Refusal


class Operation(StrEnum):
    """What can be asked of this door; OTHER is all that is refused."""

    LIST_BUCKETS = "ListBuckets"
    HEAD_BUCKET = "HeadBucket"
    GET_BUCKET_LOCATION = "GetBucketLocation"
    GET_BUCKET_SETTING = "GetBucketSetting"
    LIST_OBJECTS = "ListObjects"
    LIST_OBJECTS_V2 = "ListObjectsV2"
    GET_OBJECT = "GetObject"
    HEAD_OBJECT = "HeadObject"
    GET_OBJECT_TAGGING = "GetObjectTagging"
    OTHER = "Other"


EMPTY_SETTINGS: Final[Mapping[str, str]] = {
    "accelerate": "AccelerateConfiguration",
    "logging": "BucketLoggingStatus",
    "notification": "NotificationConfiguration",
    "requestPayment": "RequestPaymentConfiguration",
    "versioning": "VersioningConfiguration",
}
"""Settings that a bucket has without being given any, and the document that says so."""

SETTINGS_NOT_SET: Final[Mapping[str, str]] = {
    "cors": "NoSuchCORSConfiguration",
    "encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "lifecycle": "NoSuchLifecycleConfiguration",
    "object-lock": "ObjectLockConfigurationNotFoundError",
    "ownershipControls": "OwnershipControlsNotFoundError",
    "policy": "NoSuchBucketPolicy",
    "publicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
    "replication": "ReplicationConfigurationNotFoundError",
    "tagging": "NoSuchTagSet",
    "website": "NoSuchWebsiteConfiguration",
}
"""Settings that a bucket has only when they are given, and the code that says that they are not."""

_REFUSED: Final = frozenset(
    {
        "acl",
        "analytics",
        "attributes",
        "delete",
        "intelligent-tiering",
        "inventory",
        "legal-hold",
        "metrics",
        "policyStatus",
        "publicAccessBlock",
        "renameObject",
        "restore",
        "retention",
        "select",
        "session",
        "torrent",
        "uploadId",
        "uploads",
        "versions",
    }
)

SUB_RESOURCES: Final = _REFUSED | EMPTY_SETTINGS.keys() | SETTINGS_NOT_SET.keys() | {"location"}
"""Query names that turn a request into another operation."""

_READING: Final = frozenset({"GET", "HEAD"})
_CHANGING: Final = frozenset({"PUT", "POST", "DELETE"})


def operation_of(method: str, address: Address, names: Collection[str]) -> Operation:
    """The operation; `names` are those of the query.

    Raises:
        Refusal: it is one that this door does not do.
    """
    if method not in _READING:
        _refuse_method(method)
    asked = SUB_RESOURCES.intersection(names)
    if len(asked) > 1:
        shown = ", ".join(sorted(asked))
        raise Refusal("InvalidArgument", f"Conflicting query string parameters: {shown}")
    sub_resource = next(iter(asked), None)
    if method == "HEAD":
        return _head(address, sub_resource)
    if not address.bucket:
        return Operation.LIST_BUCKETS if sub_resource is None else _not_implemented(sub_resource)
    if address.key:
        return _get_object(sub_resource)
    return _get_bucket(sub_resource, names)


def _head(address: Address, sub_resource: str | None) -> Operation:
    if sub_resource is not None or not address.bucket:
        raise Refusal("MethodNotAllowed", "HEAD is not allowed against this resource.")
    return Operation.HEAD_OBJECT if address.key else Operation.HEAD_BUCKET


def _get_object(sub_resource: str | None) -> Operation:
    match sub_resource:
        case None:
            return Operation.GET_OBJECT
        case "tagging":
            return Operation.GET_OBJECT_TAGGING
        case _:
            return _not_implemented(sub_resource)


def _get_bucket(sub_resource: str | None, names: Collection[str]) -> Operation:
    if sub_resource is None:
        return Operation.LIST_OBJECTS_V2 if "list-type" in names else Operation.LIST_OBJECTS
    if sub_resource == "location":
        return Operation.GET_BUCKET_LOCATION
    if sub_resource in EMPTY_SETTINGS or sub_resource in SETTINGS_NOT_SET:
        return Operation.GET_BUCKET_SETTING
    return _not_implemented(sub_resource)


def _refuse_method(method: str) -> None:
    if method in _CHANGING:
        raise Refusal("NotImplemented", "This door serves reads only.")
    raise Refusal("MethodNotAllowed", "The specified method is not allowed.")


def _not_implemented(sub_resource: str) -> Operation:
    raise Refusal(
        "NotImplemented",
        "A parameter you provided implies functionality that is not implemented",
        {"Parameter": sub_resource},
    )
