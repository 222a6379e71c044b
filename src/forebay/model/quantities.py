"""Quantities: durations, sizes and rates, as people write them."""

import re
from collections.abc import Mapping
from datetime import timedelta
from fractions import Fraction
from typing import Final

from forebay.model.errors import BadOption

_NUMBER_AND_UNIT: Final = re.compile(r"(\d{1,20}(?:\.\d{1,6})?) ?([A-Za-z]*)", re.ASCII)
_LONGEST_MILLISECONDS: Final = 100 * 366 * 24 * 3600 * 1000
_LARGEST_BYTES: Final = 1 << 62

_MILLISECONDS: Final[Mapping[str, int]] = {
    "d": 24 * 3600 * 1000,
    "h": 3600 * 1000,
    "m": 60 * 1000,
    "s": 1000,
    "ms": 1,
}
_BINARY: Final[Mapping[str, int]] = {
    "PiB": 1 << 50,
    "TiB": 1 << 40,
    "GiB": 1 << 30,
    "MiB": 1 << 20,
    "KiB": 1 << 10,
}
# A bare K, M or G means a thousand to some and 1,024 to others: it is not taken.
_BYTES: Final[Mapping[str, int]] = {
    **{unit.lower(): factor for unit, factor in _BINARY.items()},
    "pb": 10**15,
    "tb": 10**12,
    "gb": 10**9,
    "mb": 10**6,
    "kb": 10**3,
    "b": 1,
    "": 1,
}


def duration_of(text: str) -> timedelta:
    """The duration written as `500ms`, `30s`, `5m`, `2h` or `3d`.

    Raises:
        BadOption: it is none.
    """
    amount = _amount(text, _MILLISECONDS, _LONGEST_MILLISECONDS)
    if amount is None:
        raise BadOption(text, "is no duration; write it as 500ms, 30s, 5m, 2h or 3d")
    return timedelta(milliseconds=amount)


def duration_text(duration: timedelta) -> str:
    """How `duration`, which is not negative, is written, to the millisecond."""
    milliseconds = duration // timedelta(milliseconds=1)
    if milliseconds == 0:
        return "0s"
    unit = next(unit for unit, factor in _MILLISECONDS.items() if milliseconds % factor == 0)
    return f"{milliseconds // _MILLISECONDS[unit]}{unit}"


def size_of(text: str) -> int:
    """The bytes written as `64KiB`, `200 MiB`, `2GiB`, `10GB` or a plain number.

    Raises:
        BadOption: it is none.
    """
    amount = _amount(text, _BYTES, _LARGEST_BYTES, fold=True)
    if amount is None:
        raise BadOption(text, "is no size; write it as 4096, 64KiB, 200MiB, 2GiB or 10GB")
    return amount


def size_text(size: int) -> str:
    """How `size` bytes are written, exactly."""
    if size == 0:
        return "0"
    for unit, factor in _BINARY.items():
        if size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def bandwidth_of(text: str) -> int:
    """The bytes a second written as `200MiB/s`.

    Raises:
        BadOption: it is none, or zero.
    """
    amount, slash, second = text.partition("/")
    size = _amount(amount, _BYTES, _LARGEST_BYTES, fold=True)
    if not size or not slash or second != "s":
        raise BadOption(text, "is no bandwidth; write it as 200MiB/s")
    return size


def bandwidth_text(bytes_a_second: int) -> str:
    """How a bandwidth is written, exactly."""
    return f"{size_text(bytes_a_second)}/s"


def frequency_of(text: str) -> int:
    """The times a second written as `100/s`.

    Raises:
        BadOption: it is none, or zero.
    """
    times = _amount(text.removesuffix("/s"), {"": 1}, _LARGEST_BYTES)
    if not times or not text.endswith("/s"):
        raise BadOption(text, "is no rate of requests; write it as 100/s")
    return times


def frequency_text(times_a_second: int) -> str:
    """How a rate of requests is written."""
    return f"{times_a_second}/s"


def _amount(text: str, units: Mapping[str, int], largest: int, *, fold: bool = False) -> int | None:
    """How many of the smallest unit `text` says, or None if that is no whole number."""
    match = _NUMBER_AND_UNIT.fullmatch(text)
    if match is None:
        return None
    factor = units.get(match[2].lower() if fold else match[2])
    if factor is None:
        return None
    amount = Fraction(match[1]) * factor
    return int(amount) if amount.denominator == 1 and amount <= largest else None
