"""The services: what the admin door is handed by whoever assembles the node."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from forebay.doors.admin.access import AdminAccess
from forebay.files.files import Files
from forebay.metrics.access_log import AccessLog
from forebay.metrics.audit_log import AuditLog
from forebay.metrics.counters import Counters
from forebay.metrics.exposition import Exposition
from forebay.namespace.mounts import Mount
from forebay.namespace.registry import Namespace
from forebay.reports.doctor import Finding
from forebay.reports.jobs import Jobs
from forebay.reports.report import Report
from forebay.state.contract import Keys


class Reports(Protocol):
    """What the node can tell of itself."""

    def section(self, name: str) -> Report:
        """One section of the report. Raises BadInput for an unknown one."""
        ...

    def fetched_bytes(self) -> int:
        """Bytes fetched from stores since the node started."""
        ...

    async def why(self, subject: str) -> Report:
        """What is known of a lake path or of a request."""
        ...

    async def doctor(self) -> Sequence[Finding]:
        """What is well and what is not."""
        ...


@dataclass(frozen=True, slots=True)
class AdminServices:
    """What the door calls.

    Attributes:
        access: decides who may ask.
        files: the lake.
        namespace: the mounts.
        state_of: whether a mount's store is reachable, in a word.
        keys: the access keys.
        keys_changed: makes doors take up a change of keys at once.
        reports: what the node tells of itself.
        jobs: the long work that runs.
        node: facts of the node, for `forebay status`.
        settings: the settings in force, as they may be shown.
        audit: the audit log.
        access_log: the access log.
        counters: what the doors did.
        exposition: the numbers for Prometheus.
        is_ready: whether reads can be served.
        endpoint: the URL of the S3 door, for credentials files.
        request_id: a new id for a request.
    """

    access: AdminAccess
    files: Files
    namespace: Namespace
    state_of: Callable[[Mount], str]
    keys: Keys
    keys_changed: Callable[[], Awaitable[None]]
    reports: Reports
    jobs: Jobs
    node: Callable[[], Mapping[str, Any]]
    settings: Callable[[], Sequence[Mapping[str, str]]]
    audit: AuditLog
    access_log: AccessLog
    counters: Counters
    exposition: Exposition
    is_ready: Callable[[], bool]
    endpoint: str
    request_id: Callable[[], str]
