"""Zipf's law: how often each of many files is asked for."""

import bisect
import itertools
import random
from collections.abc import Iterator

EXPONENT = 0.99


class Zipf:
    """Draws from `count` files by a law under which a few are asked for most.

    Ranks are dealt out at random, so that the popular ones are not neighbours. The same seed
    draws the same.
    """

    def __init__(self, count: int, seed: int) -> None:
        self._random = random.Random(seed)
        weights = ((rank + 1) ** -EXPONENT for rank in range(count))
        self._sums = list(itertools.accumulate(weights))
        self._files = list(range(count))
        self._random.shuffle(self._files)

    def draws(self, count: int) -> Iterator[int]:
        """The next `count` files."""
        for _ in range(count):
            place = self._random.random() * self._sums[-1]
            yield self._files[bisect.bisect_left(self._sums, place)]
