"""Amounts as people read them."""

import pytest

from forebay.model.amounts import shown_bytes, shown_seconds, shown_share


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (23 << 20, "23 MiB"), (2 << 60, "2048 PiB")],
)
def test_bytes_have_a_binary_unit(size: int, text: str) -> None:
    assert shown_bytes(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.31, "0.3 s"), (12, "12 s"), (300, "5 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_times_have_the_unit_that_fits(seconds: float, text: str) -> None:
    assert shown_seconds(seconds) == text


def test_a_share_of_nothing_is_no_number() -> None:
    assert shown_share(1, 0) == "-"
    assert shown_share(1, 8) == "12.5 %"
