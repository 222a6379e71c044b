"""The cold read: 1 GiB that only the store has, through the door, beside the store and rclone."""

import asyncio
import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bench.load import Asks, Run, Server, load
from bench.node import Node
from bench.outcome import Outcome, ratios
from bench.requests import Signer
from bench.stream import Streamed, stream
from testbed.rclone import RcloneS3
from testbed.seaweed import Seaweed
from tests.fakes.counting_proxy import CountingProxy

ABOUT = (
    "One GET of 1 GiB from an S3 store (SeaweedFS): directly, through the door with an empty "
    "cache, through `rclone serve s3`; and 200 first readers of one object at once."
)
GIB: Final = 1 << 30
SHARED_BYTES: Final = 64 << 20
READERS: Final = 200
ROUNDS: Final = 5
PIECE: Final = 32 << 20
BUCKET: Final = "cold-data"


def cold_read(work: Path, *, quick: bool) -> Outcome:
    """Run the scenario below `work`."""
    outcome = Outcome("cold_read", ABOUT)
    with ExitStack() as stack:
        store = stack.enter_context(Seaweed(work / "seaweed"))
        fill(store, work, GIB // 8 if quick else GIB)
        store_place = urlsplit(store.endpoint)
        proxy = stack.enter_context(counting(str(store_place.hostname), int(store_place.port or 0)))
        rclone = stack.enter_context(RcloneS3(work / "rclone", remote(store)))
        node = stack.enter_context(Node(work))
        mount(node, store, "/cold", store.endpoint)
        mount(node, store, "/counted", proxy.endpoint)
        places = {
            "direct": _place(store.endpoint, store.access_key, store.secret_key),
            "Forebay": _place(node.endpoint, *node.key),
            "rclone": _place(rclone.endpoint, rclone.access_key, rclone.secret_key),
        }
        found: dict[str, list[Streamed]] = defaultdict(list)
        first: dict[str, list[float]] = defaultdict(list)
        node.run("fs", "ls", "/cold")
        for _ in range(1 if quick else ROUNDS):
            for name, (address, asks) in places.items():
                node.run("fs", "free", "/cold")
                path = "/cold/gib" if name == "Forebay" else f"/{BUCKET}/gib"
                found[name].append(stream(address, asks, path))
                path = path.replace("gib", "mib")
                first[name].append(stream(address, asks, path).first_byte_ms)
        _take(outcome, found, first)
        node.run("fs", "ls", "/counted")
        _crowd(outcome, node, proxy)
    return outcome


def fill(store: Seaweed, work: Path, size: int) -> None:
    """Put the objects into the store."""
    store.make_bucket(BUCKET)
    client = store.client()
    try:
        for name, count in (("gib", size), ("mib", 1 << 20), ("shared", SHARED_BYTES)):
            place = work / name
            with place.open("wb") as file:
                for start in range(0, count, PIECE):
                    file.write(os.urandom(min(PIECE, count - start)))
            client.upload_file(str(place), BUCKET, name)
            place.unlink()
    finally:
        client.close()


def remote(store: Seaweed) -> str:
    """The store as rclone is told of it on the command line."""
    options = {
        "provider": "Other",
        "endpoint": f"'{store.endpoint}'",
        "access_key_id": store.access_key,
        "secret_access_key": f"'{store.secret_key}'",
        "region": store.region,
    }
    return ":s3," + ",".join(f"{name}={value}" for name, value in options.items()) + ":"


def mount(node: Node, store: Seaweed, path: str, endpoint: str) -> None:
    """Mount the bucket; its statuses stay as they are."""
    node.mount(
        path,
        f"s3://{BUCKET}",
        endpoint=endpoint,
        region=store.region,
        access_key_id=store.access_key,
        secret_access_key=store.secret_key,
        sync="never",
    )


def _place(endpoint: str, key_id: str, secret: str) -> tuple[tuple[str, int], Signer]:
    place = urlsplit(endpoint)
    return (str(place.hostname), int(place.port or 0)), Signer(place.netloc, key_id, secret)


def _take(
    outcome: Outcome, found: dict[str, list[Streamed]], first: dict[str, list[float]]
) -> None:
    rates = {
        name: outcome.add(f"{name}: rate", "MiB/s", [one.mib_per_second for one in runs])
        for name, runs in found.items()
    }
    begins = {
        name: outcome.add(f"{name}: first byte of 1 MiB", "ms", times)
        for name, times in first.items()
    }
    name = "cold 1 GiB, rate: Forebay / direct"
    outcome.at_least(name, 0.9, ratios(name, rates["Forebay"], rates["direct"]))
    name = "cold 1 GiB, rate: Forebay / rclone"
    outcome.at_least(name, 1.0, ratios(name, rates["Forebay"], rates["rclone"]))
    pairs = zip(begins["Forebay"].rounds, begins["direct"].rounds, strict=True)
    late = outcome.add(
        "first byte: Forebay - direct", "ms", [ours - direct for ours, direct in pairs]
    )
    outcome.at_most("cold first byte later than direct", 5.0, late)


def _crowd(outcome: Outcome, node: Node, proxy: CountingProxy) -> None:
    """200 first readers of one object: what the store is asked for."""
    proxy.take()
    asks: Asks = Signer(node.endpoint.removeprefix("http://"), *node.key)
    server = Server("Forebay", node.address, node.pid, asks)
    loaded = load(server, ["/counted/shared"] * READERS, Run(READERS, seconds=300.0))
    gets = [seen for seen in proxy.take() if seen.method == "GET" and "/shared" in seen.target]
    asked = sum(_range_bytes(seen.headers.get("range", "")) for seen in gets)
    outcome.add(f"{READERS} first readers: rate", "MiB/s", [loaded.bytes_per_second / (1 << 20)])
    outcome.add(f"{READERS} first readers: requests to the store", "", [len(gets)])
    share = outcome.add(
        f"{READERS} first readers: bytes asked of the store / size", "", [asked / SHARED_BYTES]
    )
    outcome.at_most(f"{READERS} first readers: bytes fetched / size", 1.0, share)


def _range_bytes(value: str) -> int:
    first, _, last = value.removeprefix("bytes=").partition("-")
    return int(last) - int(first) + 1 if value else SHARED_BYTES


@contextmanager
def counting(host: str, port: int) -> Iterator[CountingProxy]:
    """A counting proxy before a server, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    proxy = CountingProxy(host, port)
    asyncio.run_coroutine_threadsafe(proxy.__aenter__(), loop).result()
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(proxy.__aexit__(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
