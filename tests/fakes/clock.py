"""The fake clock: time passes only while somebody sleeps by it."""

import asyncio


class FakeClock:
    """Seconds that begin at `start`; `sleep` makes them pass at once."""

    def __init__(self, start: float = 1000.0) -> None:
        self.time = start
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass, and others have their turn."""
        self.slept.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)
