"""The listing of directories through the door: what is directly in one, or all that is below it."""

from collections.abc import Sequence

from forebay.client.remote import Remote, kind_of
from forebay.client.status import Status
from forebay.client.trouble import Missing
from forebay.model.status import Kind


def listed(remote: Remote, path: str) -> list[Status]:
    """What is directly in the directory, by name; a file is listed as itself.

    Raises:
        Missing: nothing is there.
    """
    entries: dict[str, Status] = {}
    is_there = path == "/"
    for page in remote.pages(path, recursive=False):
        entries |= {entry.path: entry for entry in page.entries}
        is_there = is_there or page.is_there
    if not is_there:
        status = kind_of(remote, path)
        return [status] if status.is_file else []
    return [entries[name] for name in sorted(entries)]


def below(remote: Remote, path: str, *, withdirs: bool) -> Sequence[Status]:
    """All that is below a directory, or the file itself; nothing if nothing is there.

    With `withdirs` directories too, the one at `path` among them.
    """
    found: dict[str, Status] = {}
    for page in remote.pages(path, recursive=True):
        for entry in page.entries:
            found[entry.path] = entry
            _add_parents(found, entry.path, path)
    if withdirs or not found:
        try:
            found[path] = kind_of(remote, path)
        except Missing:
            return []
    return [entry for entry in found.values() if withdirs or entry.is_file]


def _add_parents(found: dict[str, Status], path: str, top: str) -> None:
    """Add the directories between `top` and a path: the door lists only those that are empty."""
    parent = path.rpartition("/")[0]
    while len(parent) > len(top) and parent not in found:
        found[parent] = Status(parent, Kind.DIRECTORY)
        parent = parent.rpartition("/")[0]
