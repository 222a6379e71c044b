"""The ring of access keys, as the doors need it, following what the state holds."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, NoReturn

from forebay.doors.s3.keyring import AccessKey, KeyRing
from forebay.model.errors import ForebayError
from forebay.model.grants import Caller
from forebay.state.contract import Changes, Keys, Topic
from forebay.state.rows import RingKey

_log = logging.getLogger(__name__)

LOOK_EVERY: Final = 0.5
"""Seconds: a change takes effect within one."""


class Ring:
    """Reads the keys when they change, and hands them to the doors.

    Args:
        keys: the keys of the state.
        changes: tells whether they changed.
        clock: the time now, in UTC.
    """

    def __init__(self, keys: Keys, changes: Changes, clock: Callable[[], datetime]) -> None:
        self.s3 = KeyRing()
        self._keys = keys
        self._changes = changes
        self._clock = clock
        self._rows: Sequence[RingKey] = ()
        self._count = -1

    async def renew(self) -> None:
        """Take up the keys as they are now."""
        count = await self._changes.count(Topic.KEYS)
        self._rows = await self._keys.ring()
        self._count = count
        self._replace()

    async def follow(self, sleep: Callable[[float], Awaitable[None]]) -> NoReturn:
        """Look for changes, until cancelled; while they cannot be read, those known last hold."""
        while True:
            await sleep(LOOK_EVERY)
            try:
                if await self._changes.count(Topic.KEYS) != self._count:
                    await self.renew()
                elif any(secret.until for row in self._rows for secret in row.secrets):
                    self._replace()
            except ForebayError as error:
                # Whatever it is: who stops looking lets revoked keys in for ever.
                _log.warning("keys_not_read", extra={"facts": dict(error.facts())})

    def secrets_of(
        self, key_id: str
    ) -> tuple[Caller, tuple[tuple[str, datetime | None], ...]] | None:
        """The caller of a key and its secrets, each with the end of its validity."""
        for row in self._rows:
            if row.caller.key_id == key_id:
                return row.caller, tuple((secret.text, secret.until) for secret in row.secrets)
        return None

    def _replace(self) -> None:
        now = self._clock()
        self.s3.replace(
            AccessKey(
                row.caller,
                tuple(s.text for s in row.secrets if s.until is None or now < s.until),
            )
            for row in self._rows
        )
