"""A Forebay node of a benchmark: started as its users start it, in a directory of its own."""

import configparser
import json
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import yaml

from forebay.client.filesystem import ForebayFileSystem

FOREBAY = [sys.executable, "-m", "forebay.cli"]


class Node:
    """A node that keeps everything below `directory`; entered, it runs.

    `files` is the directory below which directories may be mounted.
    """

    def __init__(self, directory: Path, *, files: Path | None = None, quota: str = "16GiB") -> None:
        self.directory = directory.resolve()
        self.data = self.directory / "node"
        self.started_in = 0.0
        self._config = self.directory / "forebay.yaml"
        self._credentials = self.directory / "credentials"
        settings = {
            "doors": {"s3": {"port": 0}, "admin": {"port": 0}},
            "credentials": str(self._credentials),
            "cache": {"quota": quota},
            "stores": {"file": {"allow": [] if files is None else [str(files)]}},
        }
        self.directory.mkdir(parents=True, exist_ok=True)
        self._config.write_text(yaml.safe_dump(settings))

    def run(self, *words: str) -> str:
        """What a `forebay` command wrote; it must succeed."""
        command = [*FOREBAY, "--config", str(self._config), "--data", str(self.data), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def mount(self, path: str, uri: str, **options: str) -> None:
        """Mount a store."""
        given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        self.run("fs", "mount", *given, path, uri)

    def start(self) -> None:
        """Start it, and note how long it took until it answered."""
        begin = time.perf_counter()
        self.run("up")
        self.started_in = time.perf_counter() - begin

    def stop(self) -> None:
        """Stop it, if it runs."""
        if (self.data / "node.lock").exists() and (self.data / "node.lock").read_text().strip():
            self.run("down")

    @property
    def pid(self) -> int:
        """Its process."""
        return int((self.data / "node.lock").read_text())

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the S3 door."""
        url = urlsplit(self.endpoint)
        return str(url.hostname), int(url.port or 0)

    @property
    def endpoint(self) -> str:
        """The URL of the S3 door."""
        place: dict[str, Any] = json.loads((self.data / "node.json").read_text())
        return str(place["s3"])

    @property
    def key(self) -> tuple[str, str]:
        """Its first access key, and the secret."""
        profiles = configparser.ConfigParser(default_section="")
        profiles.read(self._credentials)
        profile = profiles["default"]
        return profile["aws_access_key_id"], profile["aws_secret_access_key"]

    def filesystem(self, *, short_circuit: bool = True) -> ForebayFileSystem:
        """Its lake, as fsspec knows filesystems."""
        key, secret = self.key
        return ForebayFileSystem(
            data=str(self.data),
            endpoint=self.endpoint,
            key=key,
            secret=secret,
            short_circuit=short_circuit,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
