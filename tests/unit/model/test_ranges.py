"""Ranges, blocks and segments: what covers what."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.model.ranges import (
    BLOCK_BYTES,
    SEGMENT_BYTES,
    ByteRange,
    blocks_of,
    bytes_of,
    runs_of,
    segment_count,
    segment_range,
)


@given(st.integers(0, 10 * BLOCK_BYTES), st.integers(0, 10 * BLOCK_BYTES))
def test_the_blocks_of_a_range_cover_it_and_no_more(start: int, length: int) -> None:
    span = ByteRange(start, start + length)
    blocks = blocks_of(span)

    assert bool(blocks) == bool(span)
    if span:
        held = bytes_of(blocks, span.end)
        assert held.start <= span.start < held.start + BLOCK_BYTES
        assert held.end == span.end


@given(st.integers(0, 5 * SEGMENT_BYTES))
def test_the_segments_of_a_file_cover_it_exactly(size: int) -> None:
    parts = [segment_range(number, size) for number in range(segment_count(size))]

    assert sum(map(len, parts)) == size
    assert all(left.end == right.start for left, right in pairwise(parts))


@given(st.sets(st.integers(0, 100)), st.integers(1, 7))
def test_runs_hold_every_block_once_and_none_is_too_long(blocks: set[int], most: int) -> None:
    runs = list(runs_of(sorted(blocks), most))

    assert [block for run in runs for block in run] == sorted(blocks)
    assert all(0 < len(run) <= most for run in runs)


def test_a_range_that_ends_before_it_starts_is_none() -> None:
    with pytest.raises(ValueError, match="no range"):
        ByteRange(5, 4)


def test_a_range_is_cut_to_what_a_file_has() -> None:
    assert ByteRange(5, 20).within(10) == ByteRange(5, 10)
    assert not ByteRange(15, 20).within(10)
