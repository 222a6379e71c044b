"""Callers and their grants: who may do what below which lake path."""

from dataclasses import dataclass
from enum import IntEnum

from forebay.model.errors import AccessDenied, BadOption
from forebay.model.paths import ROOT, LakePath, lake_path


class Right(IntEnum):
    """What a grant allows; each right includes the ones before it."""

    READ = 1
    WRITE = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Grant:
    """A right at a lake path and everything below it."""

    path: LakePath
    right: Right

    def __str__(self) -> str:
        return f"{self.path}:{self.right.name.lower()}"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: an access key (or the node's own user), with its grants. Deny by default."""

    key_id: str
    grants: tuple[Grant, ...]

    def may(self, right: Right, path: LakePath) -> bool:
        """Whether a grant allows `right` at `path`."""
        return any(grant.right >= right and path.is_under(grant.path) for grant in self.grants)

    def may_pass(self, path: LakePath) -> bool:
        """Whether `path` is granted or leads to something granted.

        Directories that only lead on are listed, but show only what leads on.
        """
        return any(path.is_under(grant.path) or grant.path.is_under(path) for grant in self.grants)

    def must(self, right: Right, path: LakePath) -> None:
        """Let the caller pass.

        Raises:
            AccessDenied: no grant allows it.
        """
        if not self.may(right, path):
            raise AccessDenied(path, f"{self.key_id} has no {right.name.lower()} grant")


def grant_of(text: str) -> Grant:
    """The grant written as `<lake path>:<read|write|admin>`.

    Raises:
        BadOption: it is none.
        BadPath: its path is none.
    """
    path, colon, right = text.rpartition(":")
    if not colon or right.upper() not in Right.__members__:
        raise BadOption(text, "is no grant; write it as /path:read, /path:write or /path:admin")
    return Grant(lake_path(path), Right[right.upper()])


NODE_USER = Caller("node", (Grant(ROOT, Right.ADMIN),))
"""The user who runs the node: may do everything."""
