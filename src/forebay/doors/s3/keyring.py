"""The key ring: who may knock at this door, compiled for the hot path."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from forebay.model.grants import Caller, Right
from forebay.model.sigv4 import signing_key

_MOST_SIGNING_KEYS: Final = 64


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key as `state` hands it over.

    `secrets` are those that open the door now: two while a key is being rotated.
    """

    caller: Caller
    secrets: tuple[str, ...]


class Holder:
    """The holder of an access key: the caller, with what the hot path wants to know at once."""

    __slots__ = ("_below", "_exactly", "_secrets", "_signing_keys", "caller", "key_id")

    def __init__(self, key: AccessKey) -> None:
        self.caller = key.caller
        self.key_id = key.caller.key_id
        self._secrets = tuple(secret.encode() for secret in key.secrets)
        self._signing_keys: dict[tuple[bytes, bytes], tuple[bytes, ...]] = {}
        readable = [
            grant.path.text.rstrip("/") for grant in key.caller.grants if grant.right >= Right.READ
        ]
        self._exactly = frozenset(path or "/" for path in readable)
        self._below = tuple(f"{path}/" for path in readable)

    def may_read(self, path: str) -> bool:
        """Whether a grant allows to read the lake path `path`; the same answer as `Caller.may`."""
        return path.startswith(self._below) or path in self._exactly

    def signing_keys(self, date: bytes, region: bytes) -> tuple[bytes, ...]:
        """The keys that may have signed on `date` for `region`, one a secret."""
        scope = (date, region)
        found = self._signing_keys.get(scope)
        if found is None:
            found = tuple(signing_key(secret, date, region) for secret in self._secrets)
            # Whoever knows a key id can ask for any region: what is kept must not grow.
            if len(self._signing_keys) >= _MOST_SIGNING_KEYS:
                self._signing_keys.clear()
            self._signing_keys[scope] = found
        return found


class KeyRing:
    """All access keys that open this door. A change replaces the whole ring.

    Attributes:
        edition: another object after each change: what was made of the keys before is void.
    """

    __slots__ = ("_holders", "edition")

    def __init__(self, keys: Iterable[AccessKey] = ()) -> None:
        self._holders: dict[bytes, Holder] = {}
        self.replace(keys)

    def replace(self, keys: Iterable[AccessKey]) -> None:
        """Let in the holders of `keys`, and nobody else, from the next request on."""
        self._holders = {key.caller.key_id.encode(): Holder(key) for key in keys}
        self.edition = object()

    def holder(self, key_id: bytes) -> Holder | None:
        """Who holds the key, if anybody does."""
        return self._holders.get(key_id)
