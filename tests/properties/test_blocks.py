"""The index of held blocks, against a dictionary."""

import tempfile
import time
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from forebay.model.ranges import BLOCK_BYTES, block_count
from forebay.shelf.blocks import HeldFile
from forebay.shelf.blocks_writer import Confirmed, Entered
from forebay.shelf.shelf import open_shelf
from tests.fakes.small_cache import SMALL_SHELF

SIZES = {0: 1, 1: 5 * BLOCK_BYTES, 2: 130 * BLOCK_BYTES + 17}
segments = some.sampled_from(sorted(SIZES))


class Index(RuleBasedStateMachine):
    """Enters, confirms and drops; the model is a dictionary of blocks and their checksums."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.shelf = open_shelf(Path(self.directory.name), SMALL_SHELF, write=True, now=time.time)
        self.files: dict[int, int] = {}
        self.sums: dict[int, dict[int, int]] = {}
        self.next = 1

    def teardown(self) -> None:
        self.shelf.close()
        self.directory.cleanup()

    @rule(
        number=segments,
        chosen=some.sets(some.integers(0, 130), min_size=1),
        seed=some.integers(0, 9),
    )
    def enter(self, number: int, chosen: set[int], seed: int) -> None:
        count = block_count(SIZES[number])
        sums = {block % count: block % count * 1000 + seed for block in chosen}
        first = number not in self.files
        if first:
            self.files[number], self.sums[number] = self.next, {}
            self.next += 1
        entered = Entered(
            self.files[number], bytes(16), number, SIZES[number], 1, sums, first=first
        )
        assert self.shelf.blocks_writer.enter([entered]) == []
        self.sums[number] |= sums

    @rule(number=segments)
    def drop(self, number: int) -> None:
        if number in self.files:
            del self.sums[number]
            held = HeldFile(self.files.pop(number), bytes(16), number, 1)
            self.shelf.blocks_writer.drop([held])

    @rule(number=segments, chosen=some.sets(some.integers(0, 130)))
    def confirm(self, number: int, chosen: set[int]) -> None:
        file = self.files.get(number, 999_999)
        left = self.shelf.blocks_writer.confirm(
            Confirmed(file, bytes(16), number, frozenset(chosen))
        )
        if number not in self.files:
            assert left is None
            return
        for block in chosen:
            self.sums[number].pop(block, None)
        assert left == len(self.sums[number])
        if not left:
            del self.files[number], self.sums[number]

    @rule(number=segments)
    def enter_into_a_file_that_is_gone(self, number: int) -> None:
        stale = Entered(888_888, bytes(16), number, SIZES[number], 1, {0: 5}, first=False)
        assert self.shelf.blocks_writer.enter([stale]) == [stale]

    @invariant()
    def the_index_says_what_was_entered(self) -> None:
        reader = self.shelf.blocks
        assert {number for number, _ in reader.segments(bytes(16))} == set(self.files)
        assert [held.file for held in reader.files()] == sorted(self.files.values())
        for number, sums in self.sums.items():
            record = reader.segment(bytes(16), number)
            assert record is not None
            assert record.file == self.files[number]
            assert record.blocks() == sorted(sums)
            assert (record.bitmap == b"") == (len(sums) == block_count(SIZES[number]))
            found = reader.sums(record.file, range(block_count(SIZES[number])))
            assert {block: found[block] for block in sums} == sums
            missing = block_count(SIZES[number]) - len(sums)
            last_is_held = block_count(SIZES[number]) - 1 in sums
            if not missing:
                assert record.held_bytes() == SIZES[number]
            elif not last_is_held:
                assert record.held_bytes() == len(sums) * BLOCK_BYTES


Index.TestCase.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
TestIndex = Index.TestCase
