"""The cache: the directory in which what was fetched or made is kept between runs."""

import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "FOREBAY_TESTBED_CACHE"


def cache_directory() -> Path:
    """Where downloads and made data are kept; the environment may name another place."""
    named = os.environ.get(VARIABLE)
    place = Path(named) if named else Path.home() / ".cache" / "forebay-testbed"
    place.mkdir(parents=True, exist_ok=True)
    return place


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """Hold the lock file beside `place`; a second process waits here until the first is done."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_name(f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def made_once(place: Path, make: Callable[[Path], None]) -> Path:
    """The directory `place`, filled by `make` if it is not there yet, whole or not at all.

    Safe to call from several processes at once: one makes, the others wait and find it.
    What an interrupted run left aside is thrown away by the next one.
    """
    with locked(place):
        if place.is_dir():
            return place
        for abandoned in place.parent.glob(f"{place.name}.aside-*"):
            shutil.rmtree(abandoned)
        aside = place.with_name(f"{place.name}.aside-{uuid.uuid4().hex}")
        aside.mkdir()
        try:
            make(aside)
            aside.rename(place)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
    return place
