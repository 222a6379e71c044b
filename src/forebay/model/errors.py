"""The error tree: everything that can go wrong, each with a stable code.

    ForebayError
    ├── BadInput            the caller must change something
    │   ├── BadPath  BadUri  BadOption  BadConfiguration  BadRange  BadKey
    │   └── MountMissing  MountExists  RootReadOnly
    ├── Refused             the caller may not
    │   ├── AccessDenied  KeyUnknown  SignatureWrong  RequestExpired  ReadOnly
    │   └── PlaceForbidden
    ├── FileTrouble         the store answered, and the answer is no
    │   ├── FileMissing  FileExists  NotAFile  NotADirectory  DirectoryNotEmpty
    │   ├── ConditionFailed  GenerationGone  UploadMissing  Unsupported
    ├── StoreTrouble        the store did not do its part
    │   ├── StoreAway  StoreBusy  StoreLied     (asking again may help)
    │   └── StoreRefused  StoreMissing
    └── HostTrouble         this host did not do its part
        ├── NoRoom  ShelfDamaged  PortBusy  NodeAway  NodeRunning  StateAway

Every error answers three questions: `code` (stable, documented), `retryable` (will asking again
help?) and `advice` (what to do). Errors carry facts; doors word them in their own protocol.
"""

from collections.abc import Mapping
from typing import ClassVar


class ForebayError(Exception):
    """Something that Forebay can name. Subclasses say what.

    Args:
        subject: what it is about: a path, an option, a store.
        reason: what was seen, in one clause without a full stop.
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False
    advice: ClassVar[str] = (
        "Look into the log of the node, and report it with `forebay doctor --bundle`."
    )

    def __init__(self, subject: object = "", reason: str = "") -> None:
        text = str(subject)
        # A name with control characters must not speak to the reader's terminal.
        self.subject = text if text.isprintable() else ascii(text)
        self.reason = reason
        super().__init__(self.subject, reason)

    def __str__(self) -> str:
        return self.sentence()

    def sentence(self) -> str:
        """What happened to what, in one line, without the advice."""
        return ": ".join(part for part in (self.subject, self.reason) if part) or self.code

    def facts(self) -> Mapping[str, object]:
        """What a program needs to know of it: code, subject, reason, retryable, advice."""
        return {
            "code": self.code,
            "subject": self.subject,
            "reason": self.reason,
            "retryable": self.retryable,
            "advice": self.advice,
        }


class BadInput(ForebayError):
    """The caller must change something before asking again."""

    code = "bad-input"
    advice = "Correct the request; nothing was changed."


class BadPath(BadInput):
    """The text is no lake path and no store key."""

    code = "bad-path"
    advice = (
        "Use an absolute path with '/' between names, without '.', '..', control characters "
        "or '.forebay'; nothing was changed."
    )


class BadUri(BadInput):
    """The text names no store."""

    code = "bad-uri"
    advice = "Use hdfs://host:port/path, s3://bucket/prefix or file:///path; nothing was changed."


class BadOption(BadInput):
    """An option is unknown, or its value is."""

    code = "bad-option"
    advice = "See `forebay fs mount --help` for the options of each kind of store."


class BadConfiguration(BadInput):
    """A setting is unknown, or its value is."""

    code = "bad-configuration"
    advice = "See `forebay config show --effective --origin` and the settings page of the docs."


class BadRange(BadInput):
    """The bytes asked for do not exist in the file."""

    code = "bad-range"
    advice = "Ask for bytes inside the file; its size is in `forebay fs stat`."


class BadKey(BadInput):
    """No such access key."""

    code = "key-missing"
    advice = "See `forebay keys list`."


class MountMissing(BadInput):
    """Nothing is mounted there."""

    code = "mount-missing"
    advice = "See `forebay fs mount` for what is mounted."


class MountExists(BadInput):
    """Something is mounted there already."""

    code = "mount-exists"
    advice = "Unmount it first (`forebay fs unmount`), or choose another lake path."


class RootReadOnly(BadInput):
    """The root of the lake holds mounts only."""

    code = "root-read-only"
    advice = "Write below a mount, or set `root.uri` to a store for the root."


class Refused(ForebayError):
    """The caller may not do this."""

    code = "refused"


class AccessDenied(Refused):
    """The key has no grant for this verb at this path."""

    code = "access-denied"
    advice = "Ask for a key with a grant: `forebay keys create --grant <path>:read`."


class KeyUnknown(Refused):
    """The access key is unknown or revoked, or none was given."""

    code = "key-unknown"
    advice = "Use a key from `forebay keys create`; see `forebay keys list`."


class SignatureWrong(Refused):
    """The signature does not match the request."""

    code = "signature-wrong"
    advice = "Check the secret key, and that nothing between client and door changes the request."


class RequestExpired(Refused):
    """The request was signed too long ago, or for a time that is yet to come."""

    code = "request-expired"
    advice = "Set the client's clock right (15 minutes are allowed), or sign the request again."


class ReadOnly(Refused):
    """The mount or the store takes no writes."""

    code = "read-only"
    advice = "Mount it again without --readonly, or write elsewhere."


class PlaceForbidden(Refused):
    """A directory of this host that may not be mounted."""

    code = "place-forbidden"
    advice = "Add a directory above it to the setting `stores.file.allow`, and start the node anew."


class FileTrouble(ForebayError):
    """The store answered, and the answer is no."""

    code = "file-trouble"


class FileMissing(FileTrouble):
    """The store says that there is no such file or directory."""

    code = "file-missing"
    advice = "See `forebay fs ls` of its directory."


class FileExists(FileTrouble):
    """There is a file or directory of that name already."""

    code = "file-exists"
    advice = "Remove it first, or choose another name."


class NotAFile(FileTrouble):
    """It is a directory."""

    code = "not-a-file"
    advice = "Name a file inside it: `forebay fs ls`."


class NotADirectory(FileTrouble):
    """It, or a parent of it, is a file."""

    code = "not-a-directory"
    advice = "Name a directory; a file has nothing below it."


class DirectoryNotEmpty(FileTrouble):
    """The directory has something in it."""

    code = "directory-not-empty"
    advice = "Remove what is in it first, or remove it recursively."


class ConditionFailed(FileTrouble):
    """What is there is not what the condition asked for."""

    code = "condition-failed"
    advice = "Look again (`forebay fs stat`) and decide anew."


class GenerationGone(FileTrouble):
    """The file has been changed since it was opened, and its old content can be had nowhere."""

    code = "generation-gone"
    retryable = True
    advice = "Open the file again: a newer content is there, or it was deleted."


class UploadMissing(FileTrouble):
    """No such multipart upload, or one of its parts is missing."""

    code = "upload-missing"
    advice = "Start a new upload."


class Unsupported(FileTrouble):
    """The store cannot do this."""

    code = "unsupported"
    advice = "See the abilities of the store in `forebay fs mount --json`."


class StoreTrouble(ForebayError):
    """The store did not do its part."""

    code = "store-trouble"


class StoreAway(StoreTrouble):
    """The store did not answer in time: nothing is known about the file."""

    code = "store-away"
    retryable = True
    advice = "Try again; if it stays so, `forebay doctor` tells which store is away and why."


class StoreBusy(StoreTrouble):
    """The store asks us to slow down."""

    code = "store-busy"
    retryable = True
    advice = "Try again later, or lower the budgets of the mount."


class StoreLied(StoreTrouble):
    """The store sent fewer, more or other bytes than it announced; nothing of it was kept."""

    code = "store-lied"
    retryable = True
    advice = "Try again; if it stays so, something between Forebay and the store damages answers."


class StoreRefused(StoreTrouble):
    """The store does not accept the credentials of the mount, or they lack a right."""

    code = "store-refused"
    advice = "Check the mount's credentials and rights; `forebay doctor` shows which one."


class StoreMissing(StoreTrouble):
    """The store has no such bucket, or no such directory to mount."""

    code = "store-missing"
    advice = "Create it at the store first, or correct the URI."


class HostTrouble(ForebayError):
    """This host did not do its part."""

    code = "host-trouble"


class NoRoom(HostTrouble):
    """The disk or the quota is full."""

    code = "no-room"
    retryable = True
    advice = "Make room on the disk, or lower the quota; reads go on uncached meanwhile."


class ShelfDamaged(HostTrouble):
    """The cache on this host cannot be read; it is rebuilt from the stores."""

    code = "shelf-damaged"
    retryable = True
    advice = "Nothing is lost; if it comes back, check the disk."


class PortBusy(HostTrouble):
    """Another process listens on the port."""

    code = "port-busy"
    advice = "Stop the other process, or set another port in the configuration."


class NodeAway(HostTrouble):
    """No Forebay node answers."""

    code = "node-away"
    retryable = True
    advice = "Start it with `forebay up`, or name it with --data or FOREBAY_DATA."


class NodeRunning(HostTrouble):
    """A Forebay node runs already on this data directory."""

    code = "node-running"
    advice = "See `forebay status`; stop it with `forebay down`."


class StateAway(HostTrouble):
    """The state database does not answer, or cannot be read."""

    code = "state-away"
    retryable = True
    advice = "Check the database; what is cached is served meanwhile."


def every_error() -> list[type[ForebayError]]:
    """All classes of the tree, parents before children."""
    found: list[type[ForebayError]] = []
    waiting: list[type[ForebayError]] = [ForebayError]
    while waiting:
        error = waiting.pop(0)
        found.append(error)
        # Rooms may refine an error for their callers; the tree is what is drawn above.
        waiting.extend(kind for kind in error.__subclasses__() if kind.__module__ == __name__)
    return found


def every_error_code() -> list[str]:
    """All codes, in the order of the tree."""
    return [error.code for error in every_error()]
