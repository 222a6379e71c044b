"""Amounts as a person reads them: rounded, with a unit.

`quantities` writes what can be read back exactly; this is for tables and sentences only.
"""

from typing import Final

_BYTE_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_BINARY_STEP: Final = 1024
_TENS: Final = 10
_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR


def shown_bytes(size: float) -> str:
    """`size` bytes with a binary unit: 0 B, 1.5 KiB, 23 MiB."""
    number = float(size)
    unit = _BYTE_UNITS[0]
    for unit in _BYTE_UNITS:
        if abs(number) < _BINARY_STEP or unit == _BYTE_UNITS[-1]:
            break
        number /= _BINARY_STEP
    digits = 0 if unit == "B" or abs(number) >= _TENS else 1
    return f"{number:.{digits}f} {unit}"


def shown_seconds(seconds: float) -> str:
    """`seconds` as 0.3 s, 12 s, 5 min, 3 h, 2 d."""
    if seconds < _MINUTE:
        return f"{seconds:.1f} s" if seconds < _TENS else f"{seconds:.0f} s"
    for limit, unit, name in ((_HOUR, _MINUTE, "min"), (_DAY, _HOUR, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / _DAY:.0f} d"


def shown_share(part: float, whole: float) -> str:
    """`part` of `whole` in per cent; '-' when there is no whole."""
    return f"{100 * part / whole:.1f} %" if whole else "-"
