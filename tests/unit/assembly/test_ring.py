"""The ring follows the state, whatever goes wrong on the way."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from forebay.assembly.ring import Ring
from forebay.model.errors import BadConfiguration, ForebayError, StateAway
from forebay.model.grants import Caller
from forebay.state.rows import KeySecret, RingKey
from tests.fakes.clock import FakeClock


class FewKeys:
    """A state with a few keys, which can be in trouble."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.changes = 0
        self.troubles: list[ForebayError] = []

    async def ring(self) -> Sequence[RingKey]:
        if self.troubles:
            raise self.troubles.pop()
        return [RingKey(Caller(name, ()), (KeySecret("secret", None),)) for name in self.names]

    async def count(self, _: object) -> int:
        return self.changes


async def test_a_revoked_key_is_out_in_the_end_though_the_keys_could_not_be_read_for_a_while() -> (
    None
):
    state = FewKeys("GONE", "STAYS")
    ring = Ring(state, state, lambda: datetime.now(UTC))  # type: ignore[arg-type]  # what is read
    await ring.renew()
    state.names.remove("GONE")
    state.changes += 1
    state.troubles = [StateAway("state", "locked"), BadConfiguration("key", "is another one")]

    following = asyncio.create_task(ring.follow(FakeClock().sleep))
    async with asyncio.timeout(5):
        while ring.s3.holder(b"GONE") is not None and not following.done():  # noqa: ASYNC110
            await asyncio.sleep(0)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)

    assert ring.s3.holder(b"GONE") is None
    assert ring.s3.holder(b"STAYS") is not None
