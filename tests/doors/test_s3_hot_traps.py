"""The traps of answering hits by sendfile inside uvicorn, on connections that others use too."""

import asyncio
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from forebay.doors.s3.hot import ConnectionOptions
from forebay.doors.s3.server import TlsFiles
from tests.doors.s3_door import Answer, Client, Door, eventually
from tests.fakes.s3_world import FakeLake, FakeShelf

SMALL = bytes(range(256)) * 256
MIDDLE = os.urandom(1 << 20) * 8
STUCK = threading.Event()
LONG_WAIT = 0.3
"""Longer than it takes a socket's buffers to fill; nothing is asserted of the time itself."""


class Helpers:
    """An application before the application: waits, big answers, bodies read."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what the tests ask for by name."""
        request = Request(scope, receive)
        name, _, number = request.url.path.removeprefix("/").partition("=")
        match name:
            case "slow":
                await asyncio.sleep(float(number))
                response: Response = PlainTextResponse("slow")
            case "big":
                response = Response(b"B" * int(number))
            case "put":
                response = await _counted(request)
            case "stuck":
                # As stores do that wait in threads for a disk that does not answer.
                for _ in range(100):
                    asyncio.get_running_loop().run_in_executor(None, STUCK.wait, 20.0)
                response = PlainTextResponse("stuck")
            case _:
                await self._application(scope, receive, send)
                return
        await response(scope, receive, send)


async def _counted(request: Request) -> Response:
    size = 0
    try:
        async for piece in request.stream():
            size += len(piece)
    except ClientDisconnect:
        return Response(status_code=400)
    return PlainTextResponse(str(size))


@pytest.fixture
def held(s3_lake: FakeLake, s3_shelf: FakeShelf) -> FakeShelf:
    """A shelf that holds a small, a middle and an empty file."""
    for name, content in (("small", SMALL), ("mid", MIDDLE), ("empty", b"")):
        s3_shelf.put(f"/onprem/{name}", f"/onprem/{name}", content)
        s3_lake.contents[f"/onprem/{name}"] = content
    return s3_shelf


@pytest.fixture
def door(s3_door: Door, held: FakeShelf) -> Iterator[Door]:
    """The door, open, with the helpers in it."""
    assert held is s3_door.shelf
    s3_door.wrap = Helpers
    with s3_door.serving() as door:
        yield door


def get(name: str, *headers: str) -> bytes:
    """An unsigned request of a helper."""
    return "\r\n".join([f"GET /{name} HTTP/1.1", "host: x", *headers, "", ""]).encode()


def hit(door: Door, name: str = "small", **headers: str) -> bytes:
    """A signed request of a file that is held."""
    return door.signed(
        f"/onprem/{name}", headers={key.replace("_", "-"): text for key, text in headers.items()}
    )


def descriptors() -> int:
    """How many this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def lengths(client: Client, count: int) -> list[int]:
    """The lengths of the next answers' bodies."""
    return [len(client.answer().body) for _ in range(count)]


def test_twenty_pipelined_hits_are_answered_in_order(door: Door) -> None:
    with Client(door.port) as client:
        client.send(hit(door) * 20)

        answers = [client.answer() for _ in range(20)]

        assert all(answer.body == SMALL for answer in answers)
        assert client.buffer == b""
        assert answers[0].is_hot


def test_pipelined_hits_and_others_keep_their_order(door: Door) -> None:
    with Client(door.port) as client:
        client.send(get("slow=0.1") + hit(door) + get("slow=0.01") + hit(door, "mid") + hit(door))

        assert lengths(client, 5) == [4, len(SMALL), 4, len(MIDDLE), len(SMALL)]


def test_requests_pipelined_behind_a_hit_that_blocks_wait_for_it(door: Door) -> None:
    with Client(door.port, receive_buffer=16384) as client:
        client.send(
            hit(door, "mid") + get("slow=0") + hit(door) + hit(door, "mid", range="bytes=8-15")
        )
        time.sleep(LONG_WAIT)

        assert lengths(client, 4) == [len(MIDDLE), 4, len(SMALL), 8]


def test_a_short_hit_that_blocks_goes_on_when_the_client_reads(door: Door, held: FakeShelf) -> None:
    held.put("/onprem/two", "/onprem/two", MIDDLE[: 2 << 20])
    with Client(door.port, receive_buffer=16384) as client:
        client.send(hit(door, "two") + hit(door))
        time.sleep(LONG_WAIT)

        assert client.answer().body == MIDDLE[: 2 << 20]
        assert client.answer().body == SMALL


def test_hits_and_others_alternate_on_one_connection(door: Door) -> None:
    with Client(door.port) as client:
        for number in range(50):
            client.send(hit(door) if number % 3 else get("slow=0"))

            assert len(client.answer().body) == (len(SMALL) if number % 3 else 4)


def test_a_hit_does_not_overtake_unsent_bytes_that_were_pipelined_before_it(door: Door) -> None:
    with Client(door.port, receive_buffer=16384) as client:
        client.send(get("big=3000000") + hit(door, range="bytes=64-127"))
        time.sleep(LONG_WAIT)

        assert client.answer().body == b"B" * 3_000_000
        assert client.answer().body == SMALL[64:128]


def test_a_hit_does_not_overtake_bytes_of_a_complete_but_unsent_answer(door: Door) -> None:
    with Client(door.port, receive_buffer=16384) as client:
        client.send(get("big=5000000"))
        time.sleep(LONG_WAIT)
        client.send(hit(door, "mid"))
        time.sleep(LONG_WAIT)

        assert client.answer().body == b"B" * 5_000_000
        assert client.answer().body == MIDDLE


def test_hits_asked_for_while_old_bytes_leave_come_behind_them(door: Door) -> None:
    with Client(door.port, receive_buffer=16384) as client:
        client.send(get("big=8000000"))
        time.sleep(LONG_WAIT)
        # Whenever the socket has room again, there is a request to fill it at the same moment.
        for _ in range(60):
            client._more()
            client.send(hit(door, range="bytes=0-15"))

        assert client.answer().body == b"B" * 8_000_000
        assert all(client.answer().body == SMALL[:16] for _ in range(60))


def test_a_slow_reader_costs_no_memory_and_holds_up_nobody(door: Door) -> None:
    with Client(door.port, receive_buffer=16384) as slow, Client(door.port) as other:
        slow.send(hit(door, "mid"))
        time.sleep(LONG_WAIT)

        for _ in range(100):
            assert other.send(hit(door)).answer().body == SMALL

        outlets = [connection.outlet for connection in list(door.server.server_state.connections)]  # type: ignore[union-attr]
        assert all(outlet._transport.get_write_buffer_size() == 0 for outlet in outlets)
        assert any(outlet.is_waiting for outlet in outlets)
        assert slow.answer().body == MIDDLE


def test_pipelining_without_reading_blocks_even_a_head_and_loses_nothing(door: Door) -> None:
    with Client(door.port, receive_buffer=32768) as client:
        one = hit(door, range="bytes=0-4095")
        sender = threading.Thread(target=lambda: client.socket.sendall(one * 2000))
        sender.start()
        time.sleep(LONG_WAIT)

        assert all(client.answer().body == SMALL[:4096] for _ in range(2000))
        sender.join()


def test_clients_that_vanish_in_the_middle_leave_no_descriptor(door: Door) -> None:
    assert door.ask("/onprem/small").body == SMALL
    before = descriptors()
    for number in range(60):
        with Client(door.port, receive_buffer=16384) as client:
            client.send(hit(door, "mid"))
            if number % 2:
                client.socket.recv(1000)
                reset = struct.pack("ii", 1, 0)
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)

    assert eventually(lambda: descriptors() <= before)
    assert eventually(lambda: len(door.server.server_state.connections) == 0)


def test_a_client_that_half_closes_gets_its_answer(door: Door) -> None:
    with Client(door.port, receive_buffer=16384) as client:
        client.send(hit(door, "mid"))
        client.socket.shutdown(socket.SHUT_WR)

        assert client.answer().body == MIDDLE


@pytest.mark.parametrize("name", ["small", "mid", "empty"])
def test_head_has_no_body_and_does_not_wait_for_one(door: Door, name: str) -> None:
    with Client(door.port) as client:
        client.send(door.signed(f"/onprem/{name}", method="HEAD") + get("slow=0"))

        answer = client.answer(has_body=False)

        assert answer.is_hot
        assert answer.headers["content-length"] == str(
            {"small": len(SMALL), "mid": len(MIDDLE), "empty": 0}[name]
        )
        assert client.answer().body == b"slow"


def test_an_empty_file_is_answered_without_the_silence_of_msg_more(door: Door) -> None:
    with Client(door.port) as client:
        began = time.monotonic()
        for _ in range(20):
            assert client.send(hit(door, "empty")).answer().body == b""

        # MSG_MORE with nothing behind it would hold back each of the twenty for 200 ms.
        assert time.monotonic() - began < 2


def test_conditions_are_decided_at_once(door: Door) -> None:
    with Client(door.port) as client:
        etag = client.send(hit(door)).answer().headers["etag"]

        not_modified = client.send(hit(door, If_None_Match=etag)).answer()
        assert not_modified.status == 304
        assert "content-length" not in not_modified.headers

        assert client.send(hit(door, If_Match='"other"')).answer().code == "PreconditionFailed"
        assert client.send(hit(door, If_Match=etag)).answer().body == SMALL
        assert client.send(hit(door, If_Range='"other"', range="bytes=0-1")).answer().body == SMALL
        assert client.send(hit(door, If_Range=etag, range="bytes=0-1")).answer().body == SMALL[:2]


def test_a_range_beyond_the_end_is_worded_by_the_application(door: Door) -> None:
    with Client(door.port) as client:
        answer = client.send(hit(door, range="bytes=99999999-")).answer()

        assert (answer.status, answer.code) == (416, "InvalidRange")
        assert not answer.is_hot
        assert answer.texts("ActualObjectSize") == [str(len(SMALL))]


def test_a_suffix_range_is_the_end_of_the_file(door: Door) -> None:
    with Client(door.port) as client:
        answer = client.send(hit(door, range="bytes=-16")).answer()

        assert (answer.status, answer.body) == (206, SMALL[-16:])
        assert answer.headers["content-range"] == f"bytes 65520-65535/{len(SMALL)}"


def test_expect_100_continue_is_answered_and_a_hit_follows(door: Door) -> None:
    with Client(door.port) as client:
        client.send(
            b"PUT /put HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        assert client.head()[0] == 100
        assert client.send(b"x" * 1_000_000).answer().body == b"1000000"

        assert client.send(hit(door)).answer().body == SMALL


def test_a_hit_pipelined_behind_a_body_is_answered(door: Door) -> None:
    with Client(door.port) as client:
        client.send(
            b"PUT /put HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n"
            + b"x" * 300_000
            + hit(door)
        )

        assert client.answer().body == b"300000"
        assert client.answer().body == SMALL


def test_a_get_with_a_body_keeps_the_stream_in_step(door: Door) -> None:
    with Client(door.port) as client:
        client.send(door.signed("/onprem/small", body=b"hello", payload_hash="UNSIGNED-PAYLOAD"))
        first = client.answer()

        assert first.body == SMALL
        assert not first.is_hot
        assert client.send(hit(door)).answer().body == SMALL


@pytest.mark.parametrize("name", ["small", "mid"])
def test_connection_close_ends_the_connection_behind_the_whole_answer(
    door: Door, name: str
) -> None:
    with Client(door.port) as client:
        answer = client.send(hit(door, name, connection="close")).answer()

        assert answer.body == door.lake.contents[f"/onprem/{name}"]
        assert answer.headers["connection"] == "close"
        assert client.is_closed()


def test_http_1_0_gets_the_whole_answer_and_the_end(door: Door) -> None:
    with Client(door.port) as client:
        answer = client.send(hit(door, "mid").replace(b"HTTP/1.1", b"HTTP/1.0")).answer()

        assert answer.body == MIDDLE
        assert client.is_closed()


def test_garbage_is_refused_in_the_words_of_s3(door: Door) -> None:
    with Client(door.port) as client:
        answer = client.send(b"GARBAGE\r\n\r\n").answer()

        assert (answer.status, answer.code) == (400, "InvalidRequest")
        assert client.is_closed()


def test_what_follows_a_closing_answer_is_not_answered(door: Door) -> None:
    with Client(door.port) as client:
        client.send(hit(door, connection="close") + hit(door))

        assert client.answer().body == SMALL
        assert client.is_closed()


@pytest.fixture
def hasty(s3_door: Door, held: FakeShelf) -> Iterator[Door]:
    """A door that closes idle connections soon."""
    assert held is s3_door.shelf
    s3_door.wrap = Helpers
    s3_door.connection = ConnectionOptions(idle_seconds=1.0, head_seconds=0.3, head_bytes=4096)
    with s3_door.serving() as door:
        yield door


def test_idle_connections_are_closed_after_a_hit_after_others_and_unused(hasty: Door) -> None:
    with Client(hasty.port) as first, Client(hasty.port) as second, Client(hasty.port) as third:
        first.send(hit(hasty)).answer()
        second.send(get("slow=0")).answer()

        assert first.is_closed()
        assert second.is_closed()
        assert third.is_closed()


@pytest.mark.parametrize("name", ["mid", "small"])
def test_a_client_that_never_reads_is_dropped(hasty: Door, name: str) -> None:
    with Client(hasty.port, receive_buffer=4096) as client:
        client.send(hit(hasty, name) * (1 if name == "mid" else 100))

        assert eventually(lambda: len(hasty.server.server_state.connections) == 0)


def test_a_client_whose_answer_is_still_being_made_is_not_dropped(hasty: Door) -> None:
    with Client(hasty.port) as client:
        assert client.send(get("slow=2.5")).answer().body == b"slow"


def test_a_head_that_trickles_in_is_cut_off(hasty: Door) -> None:
    with Client(hasty.port) as client:
        client.send(b"GET /onprem/small HTTP/1.1\r\nHost: x\r\n")

        assert client.answer().code == "RequestTimeout"
        assert client.is_closed()


@pytest.mark.parametrize("finish", [b"", b"\r\n\r\n"])
def test_a_head_that_is_too_long_is_refused(hasty: Door, finish: bytes) -> None:
    with Client(hasty.port) as client:
        client.send(b"GET /onprem/small HTTP/1.1\r\nHost: x\r\nx-long: ")
        time.sleep(0.05)
        client.send(b"y" * 6000 + finish)

        assert client.answer().code == "RequestHeaderSectionTooLarge"
        assert client.is_closed()


def test_a_head_that_is_too_long_is_refused_when_it_comes_at_once(hasty: Door) -> None:
    with Client(hasty.port) as client:
        client.send(hit(hasty, x_long="y" * 6000))

        assert client.answer().code == "RequestHeaderSectionTooLarge"


def test_a_head_behind_a_long_body_is_not_counted_with_it(hasty: Door) -> None:
    with Client(hasty.port) as client:
        client.send(
            b"PUT /put HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n"
            + b"x" * 9000
            + hit(hasty)
        )

        assert client.answer().body == b"9000"
        assert client.answer().body == SMALL


def test_at_shutdown_idle_connections_end_and_answers_are_finished(door: Door) -> None:
    with (
        Client(door.port, receive_buffer=16384) as slow,
        Client(door.port) as waiting,
        Client(door.port) as idle,
    ):
        slow.send(hit(door, "mid"))
        waiting.send(get("slow=1"))
        idle.send(hit(door)).answer()
        time.sleep(0.1)

        door.shut()

        assert idle.is_closed()
        assert slow.answer().body == MIDDLE
        assert waiting.answer().body == b"slow"
        door.thread.join(10)
        assert not door.thread.is_alive()


@pytest.fixture
def secure(s3_door: Door, held: FakeShelf, tmp_path: Path) -> Iterator[Door]:
    """A door that speaks TLS."""
    assert held is s3_door.shelf
    s3_door.wrap = Helpers
    s3_door.tls = TlsFiles(tmp_path / "certificate", tmp_path / "key")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=x", "-keyout", s3_door.tls.key, "-out", s3_door.tls.certificate),
        ],
        check=True,
        capture_output=True,
    )
    with s3_door.serving() as door:
        yield door


def test_over_tls_hits_go_through_the_transport_in_order(secure: Door) -> None:
    with Client(secure.port, tls=True) as client:
        assert client.send(hit(secure)).answer().body == SMALL
        client.send(hit(secure, "mid") + get("slow=0") + hit(secure))

        assert client.answer().body == MIDDLE
        assert lengths(client, 2) == [4, len(SMALL)]


def test_over_tls_a_slow_reader_costs_no_memory(secure: Door) -> None:
    with Client(secure.port, tls=True, receive_buffer=16384) as client:
        client.send(hit(secure, "mid"))
        time.sleep(LONG_WAIT)

        (connection,) = secure.server.server_state.connections
        assert connection.transport.get_write_buffer_size() < 1 << 20
        assert client.answer().body == MIDDLE


def test_cold_pages_are_read_and_verified_in_a_thread(door: Door, held: FakeShelf) -> None:
    held.is_cold = True
    with Client(door.port) as client:
        assert client.send(hit(door)).answer().body == SMALL
        assert (
            client.send(hit(door, "mid", range="bytes=100-5000000")).answer().body
            == MIDDLE[100:5000001]
        )

    assert held.verified == 1 + 3


def test_cold_pages_are_read_though_all_other_threads_hang(door: Door, held: FakeShelf) -> None:
    held.is_cold = True
    STUCK.clear()
    with Client(door.port) as client:
        assert client.send(get("stuck")).answer().body == b"stuck"
        try:
            client.send(hit(door) + hit(door, "mid"))
            assert [client.answer().body for _ in range(2)] == [SMALL, MIDDLE]
            assert not STUCK.is_set()
        finally:
            STUCK.set()


def test_a_damaged_block_is_fetched_by_the_application_instead(door: Door, held: FakeShelf) -> None:
    held.is_cold = held.is_damaged = True
    with Client(door.port) as client:
        answer = client.send(hit(door)).answer()

        assert answer.body == SMALL
        assert not answer.is_hot


def test_damage_found_in_the_middle_cuts_the_answer(door: Door, held: FakeShelf) -> None:
    held.damaged_after = 1
    held.is_cold = True
    with Client(door.port) as client:
        client.send(hit(door, "mid"))

        with pytest.raises((EOFError, ConnectionError)):
            client.answer()


def test_a_file_in_several_segments_is_sent_as_one(door: Door, held: FakeShelf) -> None:
    held.put("/onprem/mid", "/onprem/mid", MIDDLE, segment_bytes=1_500_000)
    with Client(door.port) as client:
        whole = client.send(hit(door, "mid")).answer()
        part = client.send(hit(door, "mid", range="bytes=1499990-1500009")).answer()

        assert whole.body == MIDDLE
        assert whole.is_hot
        assert part.body == MIDDLE[1499990:1500010]


def test_a_file_that_is_not_wholly_held_is_answered_by_the_application(
    door: Door, held: FakeShelf
) -> None:
    held.put("/onprem/mid", "/onprem/mid", MIDDLE, segment_bytes=1_500_000).missing_from = 4_000_000
    with Client(door.port) as client:
        whole = client.send(hit(door, "mid")).answer()
        held_part = client.send(hit(door, "mid", range="bytes=0-99")).answer()
        missing_part = client.send(hit(door, "mid", range="bytes=4000000-4000009")).answer()

        assert (whole.body, whole.is_hot) == (MIDDLE, False)
        assert (held_part.body, held_part.is_hot) == (MIDDLE[:100], True)
        assert (missing_part.body, missing_part.is_hot) == (MIDDLE[4000000:4000010], False)


def test_a_segment_file_that_is_too_short_cuts_the_answer_and_does_not_spin(
    door: Door, held: FakeShelf
) -> None:
    entry = held.put("/onprem/cut", "/onprem/cut", MIDDLE[: 1 << 20])
    os.truncate(f"/proc/self/fd/{entry.handles[0].fd}", 1000)
    held.always_resident = True
    with Client(door.port) as client:
        client.send(hit(door, "cut"))

        with pytest.raises((EOFError, ConnectionError)):
            client.answer()
    with Client(door.port) as client:
        assert client.send(hit(door)).answer().body == SMALL


def test_hits_are_counted_and_logged(door: Door) -> None:
    with Client(door.port) as client:
        first = client.send(hit(door, range="bytes=10-19")).answer()
        client.send(door.signed("/onprem/small", method="HEAD")).answer(has_body=False)

    (get_row, head_row) = eventually_rows(door, 2)
    assert get_row[1:10] == ("s3", "AKIDEXAMPLE", "GetObject", "/onprem/small", 10, 20, 206, 10, 0)
    assert get_row[11] == first.headers["x-amz-request-id"]
    assert head_row[3] == "HeadObject"
    assert head_row[8] == 0
    counters = door.counters.operation("s3", "GetObject")
    assert (counters.hits, counters.bytes_from_cache, counters.statuses[2]) == (1, 10, 1)


def eventually_rows(door: Door, count: int) -> list[tuple[object, ...]]:
    """The access rows, once there are as many."""
    assert eventually(lambda: len(door.log.rows) >= count)
    return list(door.log.rows)


def test_a_hit_that_the_client_cuts_is_logged_with_what_was_sent(door: Door) -> None:
    with Client(door.port, receive_buffer=16384) as client:
        client.send(hit(door, "mid"))
        time.sleep(LONG_WAIT)

    (row,) = eventually_rows(door, 1)
    assert row[6] == len(MIDDLE)
    sent = row[8]
    assert isinstance(sent, int)
    assert sent < len(MIDDLE)


def test_every_hit_says_how_old_its_knowledge_is(door: Door, held: FakeShelf) -> None:
    held.entries[b"/onprem/small"].checked = door.now() - 7

    answer = door.ask("/onprem/small")

    assert answer.is_hot
    assert int(answer.headers["x-forebay-age"]) in {7, 8}
    assert answer.headers["x-forebay-cache"] == "hit"
    assert answer.headers["content-type"] == "binary/octet-stream"
    assert answer.headers["accept-ranges"] == "bytes"
    assert len(answer.headers["x-amz-request-id"]) == 16


def same_but_for_the_request(one: Answer, other: Answer) -> bool:
    """Whether two answers say the same of the file."""
    names = ("etag", "last-modified", "content-type", "accept-ranges", "server", "content-length")
    return (
        all(one.headers[name] == other.headers[name] for name in names) and one.body == other.body
    )


def test_a_hit_says_what_the_application_says(door: Door, held: FakeShelf) -> None:
    hot = door.ask("/onprem/small")
    held.entries.clear()
    other = door.ask("/onprem/small")

    assert hot.is_hot
    assert not other.is_hot
    assert same_but_for_the_request(hot, other)


def test_a_file_of_which_only_a_listing_tells_is_asked_for_its_media_type(
    door: Door, held: FakeShelf
) -> None:
    door.lake.content_types["/onprem/small"] = "text/x-told"
    held.entries[b"/onprem/small"].detailed = False

    answer = door.ask("/onprem/small")

    assert answer.headers["content-type"] == "text/x-told"
    assert not answer.is_hot
