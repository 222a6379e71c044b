"""Generations: which content of a file we speak of, under a name that every node computes alike."""

from dataclasses import dataclass
from hashlib import blake2b

from forebay.model.paths import StoreKey


@dataclass(frozen=True, slots=True, order=True)
class StoreIdentity:
    """Which store it is, for every node the same: `s3://host:port/bucket`, `hdfs://nameservice`.

    It names the store's root, not the mounted prefix, and holds no credentials.
    """

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, order=True)
class Fingerprint:
    """What a store lets us pin a content by, as text: `etag:"…"`, `hdfs:<id>:<length>:<mtime>`.

    Equal fingerprints of one key are the same content.
    """

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, order=True)
class Generation:
    """One content of one file: 128 bits."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != 16:  # noqa: PLR2004 - 128 bits
            raise ValueError(f"no generation: {self.raw.hex()}")

    def __str__(self) -> str:
        return self.raw.hex()


def first_seen(store: StoreIdentity, key: StoreKey, fingerprint: Fingerprint) -> Generation:
    """The generation of a content that was first seen there."""
    # The parts are joined by NUL, which none of them can hold: no two triples share a text.
    text = f"{store.text}\0{key.text}\0{fingerprint.text}"
    return Generation(blake2b(text.encode(), digest_size=16).digest())


def door_etag(generation: Generation) -> str:
    """The ETag under which doors show a generation that was not written through a door.

    The form `"<32 hex>-1"` is that of a multipart upload, so that no client takes it for an MD5.
    """
    return f'"{generation.raw.hex()}-1"'
