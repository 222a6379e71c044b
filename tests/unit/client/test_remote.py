"""The remote side: what is asked again, for how long, and what an answer must be."""

import pickle
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from forebay.client.place import Place
from forebay.client.remote import Patience, Remote, Surroundings
from forebay.client.trouble import Changed, Denied, Missing, NoKey, WrongClock, WrongSecret
from forebay.model.errors import (
    BadOption,
    BadRange,
    FileMissing,
    ForebayError,
    GenerationGone,
    NodeAway,
    StoreAway,
    StoreLied,
    StoreTrouble,
)
from tests.fakes.scripted_server import answer, error
from tests.fakes.threaded_door import part, scripted_door
from tests.unit.client.conftest import a_lake

CONTENT = bytes(range(256)) * 10


@dataclass
class FakeTime:
    """Time that passes only while one sleeps."""

    at: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds

    def around(self) -> Surroundings:
        return Surroundings(self.now, self.now, self.sleep, lambda: 0.5)


def a_remote(*endpoints: str | None, time: FakeTime | None = None, key: str | None = "K") -> Remote:
    """A remote side that finds these endpoints one after the other, the last for ever."""
    places = [Place(Path("/nowhere"), None, one, key, "S") for one in endpoints]

    def find() -> Place:
        return places.pop(0) if len(places) > 1 else places[0]

    return Remote(find, Patience(away=5, trouble=60), (time or FakeTime()).around())


def test_a_busy_door_is_asked_again() -> None:
    with scripted_door(error("503 Slow Down", "SlowDown"), part(CONTENT, 0, 9, '"e"')) as door:
        found = a_remote(door.endpoint).part("/a", 0, 9)

    assert found.body == CONTENT[:9]
    assert (found.status.size, found.status.etag) == (len(CONTENT), '"e"')


def test_a_door_that_stays_busy_is_given_up_after_the_patience_for_trouble() -> None:
    time = FakeTime()
    with (
        scripted_door(error("503 Slow Down", "SlowDown", "the store is away")) as door,
        pytest.raises(StoreAway, match="the store is away"),
    ):
        a_remote(door.endpoint, time=time).part("/a", 0, 9)
    assert 50 < sum(time.slept) <= 60
    assert max(time.slept) <= 2


def test_an_answer_that_breaks_off_is_asked_for_again() -> None:
    short = answer("206 Partial Content", b"abc", "ETag: x", length=9, then="close")
    with scripted_door(short, part(CONTENT, 0, 9, '"e"')) as door:
        assert a_remote(door.endpoint).part("/a", 0, 9).body == CONTENT[:9]


def test_a_connection_that_the_door_closed_meanwhile_costs_no_pause() -> None:
    time = FakeTime()
    script = [part(CONTENT, 0, 9, '"e"', then="close"), part(CONTENT, 9, 12, '"e"')]
    with scripted_door(*script) as door:
        remote = a_remote(door.endpoint, time=time)
        remote.part("/a", 0, 9)

        assert remote.part("/a", 9, 12).body == CONTENT[9:12]
    assert time.slept == []


def test_connections_are_used_again() -> None:
    with scripted_door(part(CONTENT, 0, 9, '"e"')) as door:
        remote = a_remote(door.endpoint)
        for _ in range(3):
            remote.part("/a", 0, 9)

        assert len(door._tasks) == 1


def test_a_node_that_comes_back_at_another_port_is_found() -> None:
    with scripted_door(part(CONTENT, 0, 9, '"e"')) as door_before:
        gone = door_before.endpoint
    with scripted_door(part(CONTENT, 0, 9, '"e"')) as door:
        assert a_remote(gone, door.endpoint).part("/a", 0, 9).body == CONTENT[:9]


def test_a_node_that_stays_away_is_given_up_soon() -> None:
    time = FakeTime()
    with scripted_door(part(CONTENT, 0, 9, '"e"')) as door_before:
        gone = door_before.endpoint

    with pytest.raises(NodeAway, match="takes no connection"):
        a_remote(gone, time=time).file("/a")
    assert sum(time.slept) <= 5


def test_a_content_that_was_changed_is_an_error_at_once() -> None:
    with scripted_door(error("412 Precondition Failed", "PreconditionFailed")) as door:
        with pytest.raises(Changed):
            a_remote(door.endpoint).part("/a", 0, 9, '"e"')
        assert len(door.heard) == 1
        assert 'if-match: "e"' in door.heard[0].lower()


def test_other_bytes_than_were_asked_for_are_no_answer() -> None:
    with scripted_door(part(CONTENT, 0, 9, '"e"')) as door:
        remote = a_remote(door.endpoint)
        with pytest.raises(StoreLied):
            remote.part("/a", 4, 9)
        with pytest.raises(Changed):
            remote.part("/a", 0, 9, '"another"')
    with (
        scripted_door(answer("200 OK", CONTENT, 'ETag: "e"')) as door,
        pytest.raises(StoreLied),
    ):
        a_remote(door.endpoint).part("/a", 0, 9)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        ("404 Not Found", "NoSuchKey", Missing),
        ("404 Not Found", "NoSuchBucket", Missing),
        ("403 Forbidden", "AccessDenied", Denied),
        ("403 Forbidden", "InvalidAccessKeyId", NoKey),
        ("403 Forbidden", "SignatureDoesNotMatch", WrongSecret),
        ("403 Forbidden", "RequestTimeTooSkewed", WrongClock),
        ("416 Range Not Satisfiable", "InvalidRange", BadRange),
    ],
)
def test_what_the_door_refuses_is_named(status: str, code: str, kind: type[ForebayError]) -> None:
    with (
        scripted_door(error(status, code, "/a: so it is")) as door,
        pytest.raises(kind, match=r"^/a: so it is$"),
    ):
        a_remote(door.endpoint).part("/a", 0, 9)


def test_head_has_no_document_so_a_get_tells_who_is_denied() -> None:
    with scripted_door(
        answer("403 Forbidden"), error("403 Forbidden", "SignatureDoesNotMatch")
    ) as door:
        with pytest.raises(WrongSecret):
            a_remote(door.endpoint).file("/a")
        assert [heard.split()[0] for heard in door.heard] == ["HEAD", "GET"]


def test_a_listing_that_is_a_trap_is_no_listing() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><ListBucketResult>&a;</ListBucketResult>'
    with scripted_door(answer("200 OK", bomb), answer("200 OK", b"<html/>")) as door:
        remote = a_remote(door.endpoint)
        for _ in range(2):
            with pytest.raises(StoreLied):
                list(remote.pages("/a", recursive=False))


def test_a_store_that_is_away_is_never_an_absence() -> None:
    document = b"<Error><Code>InternalError</Code><Message>is not itself</Message></Error>"
    with scripted_door(answer("500 Oh", document, "Connection: close", then="close")) as door:
        lake = a_lake(endpoint=door.endpoint)
        for call in (lake.exists, lake.isdir, lake.isfile, lake.find, lake.glob, lake.ls):
            with pytest.raises(StoreTrouble, match="is not itself"):
                call("/onprem/x")
        with pytest.raises(StoreTrouble, match="is not itself"):
            list(lake.walk("/onprem"))
    assert not issubclass(StoreTrouble, OSError)


def test_without_a_door_or_a_key_nothing_is_sent() -> None:
    with pytest.raises(NoKey):
        a_remote("http://127.0.0.1:9", key=None).file("/a")
    with pytest.raises(NodeAway, match="no node runs there"):
        a_remote(None).file("/a")
    with pytest.raises(BadOption):
        a_remote("ftp://host").file("/a")


def test_errors_are_of_both_families_and_travel_between_processes() -> None:
    missing = pickle.loads(pickle.dumps(Missing("/a")))  # noqa: S301 - our own

    assert isinstance(missing, FileNotFoundError)
    assert isinstance(missing, FileMissing)
    assert (str(missing), missing.errno) == ("/a: no such file or directory", 2)
    assert isinstance(Changed("/a"), OSError)
    assert isinstance(Changed("/a"), GenerationGone)
