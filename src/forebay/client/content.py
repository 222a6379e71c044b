"""The content of a file that was looked at: one generation, from wherever it is nearest.

The first look decides which content it is. From then on every byte is of it: from the shelf where
the shelf holds it, else through the door, which is told the ETag. If it can be had nowhere any
more, that is an error, never other bytes.
"""

from typing import TYPE_CHECKING

from forebay.client.remote import Remote
from forebay.client.short import ShortCircuit
from forebay.client.status import Status, whole_seconds
from forebay.client.trouble import Changed, Missing
from forebay.model.errors import StoreLied
from forebay.model.status import Kind

if TYPE_CHECKING:
    from forebay.client.opened import OpenShelf
    from forebay.shelf.handles import Handle
    from forebay.shelf.reader import Entry


class Content:
    """The bytes of one generation. Safe in threads and across forks.

    Attributes:
        status: what was seen of the file when it was looked at.
    """

    __slots__ = ("_known", "_remote", "_short", "status")

    def __init__(
        self,
        short: ShortCircuit,
        remote: Remote,
        status: Status,
        held: "tuple[OpenShelf, Entry] | None" = None,
    ) -> None:
        self._short = short
        self._remote = remote
        self.status = status
        self._known = held

    def read(self, at: int, count: int) -> bytes:
        """Exactly the bytes from `at` on, `count` of them or up to the end.

        Raises:
            Changed: this content can be had no more.
        """
        count = min(count, self.status.size - at)
        if count <= 0:
            return b""
        found = self.held(at, count)
        if len(found) == count:
            return found
        return found + self.fetch(at + len(found), count - len(found))

    def held(self, at: int, count: int) -> bytes:
        """What the shelf has of them from `at` on, without a gap."""
        held = self._held()
        return b"" if held is None else self._short.read(*held, at, count)

    def held_into(self, at: int, target: memoryview) -> int:
        """The same, into `target`; how many bytes."""
        held = self._held()
        return 0 if held is None else self._short.read_into(*held, at, target)

    def whole(self) -> "Handle | None":
        """An open file with exactly these bytes, if all lie in one segment file of the shelf."""
        held = self._held()
        return None if held is None else self._short.whole(*held)

    def fetch(self, at: int, count: int) -> bytes:
        """Exactly these bytes (there must be so many), through the door.

        Raises:
            Changed: this content can be had no more.
        """
        parts: list[bytes] = []
        path, end = self.status.path, at + count
        while at < end:
            try:
                part = self._remote.part(path, at, end, self.status.etag)
            except Missing as error:
                raise Changed(path, "was deleted since it was opened") from error
            if not part.body or at + len(part.body) > end:
                raise StoreLied(path, "the door sent other bytes than were asked for")
            parts.append(part.body)
            at += len(part.body)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _held(self) -> "tuple[OpenShelf, Entry] | None":
        """The shelf as it is open now, and the file's entry in it, of this generation."""
        known = self._known
        if known is not None and known[0] is self._short.shelf():
            return known
        found = self._short.find(self.status.path)
        if found is None or found[1].etag.decode() != self.status.etag:
            return None
        self._known = found
        return found


def status_of_entry(entry: "Entry") -> Status:
    """What the shelf remembers of a file."""
    seconds = None if entry.modified_ms is None else entry.modified_ms / 1000
    return Status(
        entry.path,
        Kind.FILE,
        entry.size,
        entry.etag.decode(),
        whole_seconds(seconds),
        entry.content_type.decode() or None,
    )
