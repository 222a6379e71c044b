"""The options of an object store: which bucket, where, with which keys, how patient."""

from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class S3Options:
    """Which bucket, and how it is reached. `None` means: as the AWS settings of the host say.

    Attributes:
        bucket: its name.
        endpoint: `http://host:port` or `https://host:port` of the service; None: AWS itself.
        region: the region that requests are signed for.
        access_key_id: given together with `secret_access_key`, or not at all.
        secret_access_key: never shown.
        session_token: of temporary keys; never shown.
        path_style: whether the bucket stands in the path and not in the host name; None: in the
            path when an endpoint is given.
        lists_by_tree: whether the store lists by a tree of names (`a/` before `a-b`) and not by
            whole keys; None: as its answers show. Give it where a proxy hides which store it is.
        connect_timeout: how long a connection may take to come about.
        read_timeout: how long a connection may be silent.
    """

    bucket: str
    endpoint: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    path_style: bool | None = None
    lists_by_tree: bool | None = None
    connect_timeout: timedelta = timedelta(seconds=3)
    read_timeout: timedelta = timedelta(seconds=20)
