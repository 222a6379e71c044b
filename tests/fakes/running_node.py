"""A running node: the real process, started and stopped by its own command line."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class RunningNode:
    """A node on its own directory and free ports; local files below `lake` may be mounted."""

    def __init__(self, directory: Path, settings: Mapping[str, Any] | None = None) -> None:
        self.directory = directory
        self.lake = directory / "lake"
        self.lake.mkdir()
        self.data = directory / "data"
        self.credentials = directory / "credentials"
        self.config = directory / "forebay.yaml"
        usual = {
            "doors": {"s3": {"port": 0}, "admin": {"port": 0}},
            "credentials": str(self.credentials),
            "stores": {"file": {"allow": [str(self.lake)]}},
            "cache": {"quota": "256MiB", "reserve": "0"},
        }
        self.config.write_text(yaml.safe_dump({**usual, **(settings or {})}))
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("FOREBAY_")
        }
        self.environment["HOME"] = str(directory)

    def forebay(self, *words: str, more: Mapping[str, str] | None = None) -> Said:
        """Run `forebay` with these words."""
        program = [sys.executable, "-m", "forebay.cli"]
        done = subprocess.run(
            [*program, "--config", str(self.config), "--data", str(self.data), *words],
            env={**self.environment, **(more or {})},
            capture_output=True,
            check=False,
        )
        return Said(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode())

    def must(self, *words: str) -> Said:
        """Run `forebay`, which must succeed."""
        said = self.forebay(*words)
        assert said.code == 0, said.out + said.err
        return said

    def start(self) -> None:
        self.must("up")

    def stop(self) -> None:
        if self.is_running:
            self.must("down")

    @property
    def is_running(self) -> bool:
        return self.forebay("status").code == 0

    @property
    def place(self) -> dict[str, Any]:
        """What the node says of itself for clients on this host."""
        told: dict[str, Any] = json.loads((self.data / "node.json").read_text())
        return told

    @property
    def pid(self) -> int:
        return int(self.place["pid"])

    def key(self, profile: str = "default") -> tuple[str, str]:
        """Key id and secret of a profile."""
        lines = self.credentials.read_text().split(f"[{profile}]")[1].strip().splitlines()
        found = dict(line.split(" = ") for line in lines[:2])
        return found["aws_access_key_id"], found["aws_secret_access_key"]

    def admin(self) -> httpx.Client:
        """A client on the admin socket."""
        transport = httpx.HTTPTransport(uds=str(self.data / "admin.sock"))
        return httpx.Client(base_url="http://forebay", transport=transport)

    def put(self, name: str, content: bytes) -> Path:
        """Put a file into the mounted directory."""
        place = self.lake / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        return place
