"""A whole node: the process itself, started without the command line, killed and started again."""

import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from forebay.cli.connection import Node
from forebay.model.errors import ForebayError
from testbed.process import Process, Program
from testbed.seaweed import Seaweed
from tests.doors.s3_door import Answer, Client, signed_request
from tests.fakes.running_node import RunningNode

START_SECONDS: Final = 30.0
_SAMPLE: Final = re.compile(r"(\w+)\{(.*)\} (\S+)")
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')


class WholeNode(RunningNode):
    """A node on its own directory, talked to over its sockets."""

    def __init__(self, directory: Path, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(directory, settings)
        self.node = Node(self.data)
        self._process: Process | None = None

    @property
    def process(self) -> Process:
        """The running process."""
        assert self._process is not None
        return self._process

    def launch(self) -> None:
        """Start the process; `await_ready` waits for its doors."""
        command: list[str | Path] = [sys.executable, "-m", "forebay.assembly"]
        command += ["--data", self.data, "--config", self.config]
        unset = {name: "" for name in os.environ if name.startswith("FOREBAY_")}
        surroundings = {**unset, "HOME": str(self.directory)}
        self._process = Process(Program("node", command, self.directory, surroundings))

    def await_ready(self) -> None:
        """Return when the doors answer."""
        self.process.wait_until(self._answers, seconds=START_SECONDS, what="answering")
        self.port = urlsplit(self.place["s3"]).port or 0

    def start(self) -> None:
        """Start the node and wait until its doors answer."""
        self.launch()
        self.await_ready()

    def stop(self) -> None:
        """Let it end by itself."""
        if self._process is not None:
            self._process.stop(patience=20)
            self._process = None

    def kill(self) -> None:
        """`kill -9`."""
        self.process.kill()
        self._process = None

    def mount(self, path: str, uri: str, /, **options: str) -> dict[str, Any]:
        """Mount a store."""
        wanted = {"path": path, "uri": uri, "options": options}
        mounted: dict[str, Any] = self.node.post("/v1/mounts", wanted)
        return mounted

    def mount_seaweed(
        self, path: str, seaweed: Seaweed, bucket: str, /, **options: str
    ) -> dict[str, Any]:
        """Mount a bucket; `endpoint` may name another way to it."""
        given = {
            "endpoint": seaweed.endpoint,
            "access_key_id": seaweed.access_key,
            "secret_access_key": seaweed.secret_key,
        }
        return self.mount(path, f"s3://{bucket}/", **{**given, **options})

    def mount_paths(self) -> set[str]:
        """Where something is mounted."""
        return {mount["path"] for mount in self.node.get("/v1/mounts")["mounts"]}

    # The S3 door

    def request(self, path: str, /, **wishes: Any) -> bytes:
        """A signed request as bytes, for `wishes` as `signed_request` takes them."""
        given = {"key": self.key(), "now": time.time(), **wishes}
        return signed_request(f"127.0.0.1:{self.port}", path, **given)

    def ask(self, path: str, /, *, patience: float = 30, **wishes: Any) -> Answer:
        """The answer to one signed request on a connection of its own."""
        with Client(self.port, timeout=patience) as client:
            has_body = wishes.get("method", "GET") != "HEAD"
            return client.send(self.request(path, **wishes)).answer(has_body=has_body)

    def names_in(self, bucket: str, prefix: str = "") -> list[str]:
        """The keys that a listing shows."""
        answer = self.ask(f"/{bucket}", query={"list-type": "2", "prefix": prefix})
        assert answer.status == 200, answer.body
        return answer.texts("Key")

    # Its numbers

    def store_requests(self, mount: str) -> Counter[str]:
        """The requests to the store of a mount, by verb, whatever came of them."""
        asked: Counter[str] = Counter()
        for labels, value in self.samples("forebay_store_requests_total"):
            if labels["mount"] == mount and value:
                asked[labels["verb"]] += int(value)
        return asked

    def samples(self, family: str) -> list[tuple[dict[str, str], float]]:
        """The samples of a family, as a scrape shows them."""
        with self.node.stream("GET", "/metrics") as answer:
            lines = answer.read().decode().splitlines()
        found = [match.groups() for match in map(_SAMPLE.fullmatch, lines) if match is not None]
        return [
            (dict(_LABEL.findall(labels)), float(value))
            for name, labels, value in found
            if name == family
        ]

    def sample(self, family: str, **labels: str) -> float:
        """The value of one sample."""
        (value,) = (
            value for found, value in self.samples(family) if found.items() >= labels.items()
        )
        return value

    def ufs(self, mount: str) -> dict[str, Any]:
        """The row of a mount in the report of the stores."""
        (table,) = self.node.get("/v1/report/ufs")["tables"]
        names = [column.rstrip(">") for column in table["columns"]]
        rows = [dict(zip(names, row["values"], strict=True)) for row in table["rows"]]
        return next(row for row in rows if row["mount"] == mount)

    def _answers(self) -> bool:
        try:
            return bool(self.node.get("/readyz")["status"] == "ready")
        except (ForebayError, OSError):
            return False


@contextmanager
def whole_node(directory: Path, settings: Mapping[str, Any] | None = None) -> Iterator[WholeNode]:
    """A running node; it is stopped at the end."""
    directory.mkdir(parents=True, exist_ok=True)
    node = WholeNode(directory, settings)
    node.start()
    try:
        yield node
    finally:
        node.stop()
