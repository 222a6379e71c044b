"""WebHDFS: which NameNode is asked, where redirects lead, and what is never sent along."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import httpx
import pytest

from forebay.model.errors import FileMissing, StoreAway, StoreLied, StoreRefused
from forebay.model.ranges import ByteRange
from forebay.stores.contract import pieces
from forebay.stores.hdfs.address import HdfsOptions
from forebay.stores.hdfs.web import WebHdfs

ONE, TWO = "127.0.0.1", "127.0.0.2"
DATANODE, OTHER_DATANODE = "127.0.1.1", "127.0.1.2"

Answer = Callable[[httpx.Request], httpx.Response]


class Servers(httpx.AsyncBaseTransport):
    """Hosts that answer as they are told, and remember what they were asked."""

    def __init__(self, **by_host: Answer) -> None:
        self.answers = by_host
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        self.asked.append(request)
        if host not in self.answers:
            raise httpx.ConnectError("refused", request=request)
        await request.aread()
        return self.answers[host](request)

    @property
    def hosts(self) -> list[str]:
        return [request.url.host for request in self.asked]


def web_of(servers: Servers) -> WebHdfs:
    addresses = (f"http://{ONE}:9870", f"http://{TWO}:9870")
    return WebHdfs(HdfsOptions("lake", "me", addresses), lambda: servers)


def exception(name: str, message: str = "so it is", status: int = 403) -> Answer:
    told = {"RemoteException": {"exception": name, "javaClassName": name, "message": message}}
    return lambda _: httpx.Response(status, json=told)


def content(told: object) -> Answer:
    return lambda _: httpx.Response(200, json=told)


def redirect(host: str) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        excluded = request.url.params.get("excludedatanodes", "")
        place = OTHER_DATANODE if host in excluded.split(",") else host
        return httpx.Response(307, headers={"location": f"http://{place}:9864/x?op=X"})

    return answer


standby = exception("StandbyException", "Operation category READ is not supported")


@pytest.mark.parametrize("first", [None, standby])
async def test_the_active_namenode_is_found_and_remembered(first: Answer | None) -> None:
    servers = Servers(**{TWO: content({"a": 1})})
    if first is not None:
        servers.answers[ONE] = first
    web = web_of(servers)
    assert await web.ask("GET", "GETFILESTATUS", "/a") == {"a": 1}
    assert await web.ask("GET", "GETFILESTATUS", "/a") == {"a": 1}
    assert servers.hosts == [ONE, TWO, TWO]
    await web.close()


async def test_with_no_active_namenode_it_is_away() -> None:
    servers = Servers(**{ONE: standby})
    web = web_of(servers)
    with pytest.raises(StoreAway):
        await web.ask("GET", "GETFILESTATUS", "/a")
    assert servers.hosts == [ONE, TWO]
    await web.close()


async def test_a_change_that_may_have_been_heard_is_not_asked_for_again() -> None:
    def silent(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("silence", request=request)

    servers = Servers(**{ONE: silent, TWO: content({})})
    web = web_of(servers)
    with pytest.raises(StoreAway):
        await web.ask("POST", "CONCAT", "/a")
    assert servers.hosts == [ONE]
    await web.close()


async def test_what_the_store_says_is_no_reason_to_ask_another() -> None:
    servers = Servers(**{ONE: exception("FileNotFoundException", status=404), TWO: content({})})
    web = web_of(servers)
    with pytest.raises(FileMissing):
        await web.ask("GET", "GETFILESTATUS", "/a")
    assert servers.hosts == [ONE]
    await web.close()


async def test_who_we_are_is_told_and_paths_are_escaped() -> None:
    servers = Servers(**{ONE: content({})})
    web = web_of(servers)
    await web.ask("GET", "GETFILESTATUS", "/a b/ä%20?#")
    (request,) = servers.asked
    assert request.url.raw_path.startswith(b"/webhdfs/v1/a%20b/%C3%A4%2520%3F%23?")
    assert dict(request.url.params) == {"op": "GETFILESTATUS", "user.name": "me"}
    await web.close()


async def test_cookies_of_a_namenode_go_nowhere() -> None:
    def baking(request: httpx.Request) -> httpx.Response:
        answer = redirect(DATANODE)(request)
        answer.headers["set-cookie"] = "hadoop.auth=secret; Path=/"
        return answer

    servers = Servers(**{ONE: baking, DATANODE: lambda _: httpx.Response(201)})
    web = web_of(servers)
    await web.create("/a", pieces(b"x"), 1)
    await web.create("/a", pieces(b"x"), 1)
    assert servers.hosts == [ONE, DATANODE, ONE, DATANODE]
    assert all("cookie" not in request.headers for request in servers.asked)
    await web.close()


async def test_a_datanode_that_takes_no_connection_is_passed_over() -> None:
    bodies: list[bytes] = []

    def taking(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        return httpx.Response(201)

    servers = Servers(**{ONE: redirect(DATANODE), OTHER_DATANODE: taking})
    web = web_of(servers)
    await web.create("/a", pieces(b"one", b"", b"two"), 6)
    assert servers.hosts == [ONE, DATANODE, ONE, OTHER_DATANODE]
    assert bodies == [b"onetwo"]
    await web.close()


async def test_with_no_datanode_that_takes_connections_it_is_away() -> None:
    servers = Servers(**{ONE: redirect(DATANODE)})
    web = web_of(servers)
    with pytest.raises(StoreAway):
        await web.create("/a", pieces(b"x"), 1)
    assert servers.hosts.count(ONE) <= 3
    await web.close()


class Odd(Exception):
    """What a body breaks off with."""


async def test_what_a_body_raises_passes_on() -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield b"half"
        raise Odd

    servers = Servers(**{ONE: redirect(DATANODE), DATANODE: lambda _: httpx.Response(201)})
    web = web_of(servers)
    with pytest.raises(Odd):
        await web.create("/a", breaking(), None)
    await web.close()


async def test_what_a_datanode_says_is_told() -> None:
    quota = exception("DSQuotaExceededException", "full")
    servers = Servers(**{ONE: redirect(DATANODE), DATANODE: quota})
    web = web_of(servers)
    with pytest.raises(Exception, match="full"):
        await web.create("/a", pieces(b"x"), 1)
    await web.close()


async def test_a_body_that_ends_short_is_a_lie() -> None:
    short = Servers(**{ONE: redirect(DATANODE), DATANODE: lambda _: httpx.Response(200, text="ab")})
    web = web_of(short)
    with pytest.raises(StoreLied):
        _ = [piece async for piece in web.read("/a", ByteRange(0, 3))]
    assert [piece async for piece in web.read("/a", ByteRange(0, 2))] == [b"ab"]
    await web.close()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda _: httpx.Response(401), StoreRefused),
        (lambda _: httpx.Response(403, text="<html>"), StoreRefused),
        (lambda _: httpx.Response(502, text="<html>"), StoreAway),
        (lambda _: httpx.Response(200, text="<html>"), StoreLied),
    ],
)
async def test_what_is_no_webhdfs_is_seen(answer: Answer, expected: type[Exception]) -> None:
    web = web_of(Servers(**{ONE: answer, TWO: answer}))
    with pytest.raises(expected):
        await web.ask("GET", "GETFILESTATUS", "/a")
    await web.close()


async def test_a_time_that_comes_twice_is_one_time() -> None:
    text = "Tue, 24 Nov 2026 08:12:14 GMT"

    def dated(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=[("date", text), ("date", text)], json={})

    web = web_of(Servers(**{ONE: dated}))
    assert await web.now() == datetime(2026, 11, 24, 8, 12, 14, tzinfo=UTC)
    await web.close()


async def test_no_time_is_a_lie() -> None:
    web = web_of(Servers(**{ONE: content({})}))
    with pytest.raises(StoreLied):
        await web.now()
    await web.close()
