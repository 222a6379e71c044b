"""The vault: seals secrets with AES-GCM under one master key."""

import os
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from forebay.model.errors import BadConfiguration

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_OTHERS: Final = 0o077


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret as it may lie in a database."""

    nonce: bytes
    ciphertext: bytes


class Vault:
    """Seals and opens. What was sealed under one name opens under no other.

    Args:
        key: the master key.
        source: where the master key is from, for messages.
        random_bytes: gives that many bytes that nobody can guess.
    """

    def __init__(self, key: bytes, source: str, random_bytes: Callable[[int], bytes]) -> None:
        self._cipher = AESGCM(key)
        self._source = source
        self._random_bytes = random_bytes

    def seal(self, name: str, secret: str) -> Sealed:
        """The secret, sealed under `name`."""
        nonce = self._random_bytes(_NONCE_BYTES)
        return Sealed(nonce, self._cipher.encrypt(nonce, secret.encode(), name.encode()))

    def open(self, name: str, sealed: Sealed) -> str:
        """The secret that was sealed under `name`.

        Raises:
            BadConfiguration: another master key sealed it, or it was altered.
        """
        try:
            return self._cipher.decrypt(sealed.nonce, sealed.ciphertext, name.encode()).decode()
        except InvalidTag as error:
            raise BadConfiguration(
                self._source,
                "is not the master key that sealed the secrets of this state database "
                f"({name!r} does not open); give the right one back",
            ) from error


class KeySource(Protocol):
    """Where the master key is from."""

    @property
    def name(self) -> str:
        """Its name, for messages."""
        ...

    def load(self) -> bytes | None:
        """The key, or None if there is none yet. Raises BadConfiguration."""
        ...

    def create(self, key: bytes) -> None:
        """Keep `key`. Raises BadConfiguration where that cannot be done."""
        ...


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A master key in a file that its owner alone can read."""

    path: Path

    @property
    def name(self) -> str:
        """See KeySource."""
        return str(self.path)

    def load(self) -> bytes | None:
        """See KeySource."""
        try:
            with self.path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read(1024)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BadConfiguration(self.path, f"cannot be read: {error.strerror}") from error
        if mode & _OTHERS:
            raise BadConfiguration(self.path, "can be read by others; do `chmod 600` on it")
        return _decoded(text.decode(errors="replace"), self.name)

    def create(self, key: bytes) -> None:
        """See KeySource. Written aside first: a crash leaves no half a key."""
        aside = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
                f.write(b64encode(key) + b"\n")
                f.flush()
                os.fsync(f.fileno())
            # A link fails where a rename would replace a key that another process made meanwhile.
            os.link(aside, self.path)
            _sync_directory(self.path.parent)
        except OSError as error:
            raise BadConfiguration(self.path, f"cannot be written: {error.strerror}") from error
        finally:
            aside.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class GivenKey:
    """A master key from the environment."""

    name: str
    text: str | None = field(repr=False)

    def load(self) -> bytes | None:
        """See KeySource."""
        return None if self.text is None else _decoded(self.text, self.name)

    def create(self, key: bytes) -> None:
        """See KeySource: an environment cannot be written."""
        raise BadConfiguration(
            self.name, f"is not set; set it to {len(key)} random bytes in Base64"
        )


def key_source(text: str, environment: Mapping[str, str]) -> KeySource:
    """The source that `text` names: `env:NAME`, or the path of a file."""
    if text.startswith("env:"):
        return GivenKey(text, environment.get(text.removeprefix("env:")))
    return KeyFile(Path(text.removeprefix("file:")))


def master_key(
    source: KeySource, random_bytes: Callable[[int], bytes], *, may_create: bool
) -> bytes:
    """The master key of `source`, made if there is none and `may_create`.

    Raises:
        BadConfiguration: there is none, or it is no key.
    """
    key = source.load()
    if key is not None:
        return key
    if not may_create:
        raise BadConfiguration(
            source.name,
            "holds no master key, yet the state database has secrets sealed with one; "
            "give it back, or start with an empty database",
        )
    key = random_bytes(_KEY_BYTES)
    source.create(key)
    return key


def _decoded(text: str, source: str) -> bytes:
    try:
        key = b64decode(text.strip(), validate=True)
    except (Base64Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise BadConfiguration(source, f"is no master key: {_KEY_BYTES} bytes in Base64 are one")
    return key


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
