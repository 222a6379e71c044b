"""The tables of the state. Moments are milliseconds since the epoch, in UTC."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

METADATA: Final = MetaData()

MOUNTS: Final = Table(
    "mounts",
    METADATA,
    Column("path", Text, primary_key=True),
    Column("uri", Text, nullable=False),
    Column("store", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("readonly", Boolean, nullable=False),
    Column("options", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

KEYS: Final = Table(
    "keys",
    METADATA,
    Column("key_id", String(64), primary_key=True),
    Column("description", Text, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger),
    Column("old_nonce", LargeBinary),
    Column("old_ciphertext", LargeBinary),
    Column("old_until_ms", BigInteger),
)

GRANTS: Final = Table(
    "grants",
    METADATA,
    Column("key_id", String(64), ForeignKey("keys.key_id"), primary_key=True),
    Column("path", Text, primary_key=True),
    Column("allowed", String(16), nullable=False),
)

SECRETS: Final = Table(
    "secrets",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("nonce", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
)

SETTINGS: Final = Table(
    "settings",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("text", Text, nullable=False),
)

CHANGES: Final = Table(
    "changes",
    METADATA,
    Column("topic", String(32), primary_key=True),
    Column("number", BigInteger, nullable=False),
)
