"""The command line on a real node: what people type, and what they read."""

import json
import os
import signal
import ssl
import subprocess
import sys
import tarfile
from pathlib import Path

import httpx
import pytest
import yaml

from tests.fakes.running_node import RunningNode

pytestmark = pytest.mark.slow


def test_a_node_comes_up_says_where_its_doors_are_and_goes_down(own_node: RunningNode) -> None:
    own_node.start()

    told = own_node.must("status", "--json").json
    assert {door["name"] for door in told["doors"]} == {"s3", "admin", "admin socket"}
    assert told["ready"] is True
    assert own_node.must("down").code == 0
    gone = own_node.forebay("status")
    assert gone.code == 1
    assert "node-away" in gone.err


def test_doors_with_a_certificate_speak_tls_and_nothing_else(
    own_node: RunningNode, tmp_path: Path
) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    made = ["-keyout", str(key), "-out", str(certificate)]
    named = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *named, *made],
        capture_output=True,
        check=True,
    )
    files = {"tls_certificate": str(certificate), "tls_key": str(key), "port": 0}
    settings = yaml.safe_load(own_node.config.read_text())
    own_node.config.write_text(yaml.safe_dump({**settings, "doors": {"s3": files, "admin": files}}))

    own_node.start()

    trusted = ssl.create_default_context(cafile=str(certificate))
    s3, admin = own_node.place["s3"], own_node.place["admin"]
    assert s3.startswith("https://")
    assert httpx.get(s3, verify=trusted).status_code == 403
    assert httpx.get(f"{admin}/healthz", verify=trusted).json() == {"status": "ok"}
    with pytest.raises(httpx.TransportError):
        httpx.get(s3.replace("https://", "http://"))


def test_a_second_node_on_the_same_data_is_refused(shared_node: RunningNode) -> None:
    said = shared_node.forebay("up")

    assert said.code == 1
    assert "node-running" in said.err


def test_the_first_key_goes_into_a_file_and_never_onto_the_screen(own_node: RunningNode) -> None:
    said = own_node.must("up")

    key_id, secret = own_node.key()
    assert own_node.credentials.stat().st_mode & 0o777 == 0o600
    assert secret not in said.out + said.err
    assert [key["key_id"] for key in own_node.must("keys", "list", "--json").json] == [key_id]
    everything = [
        file.read_text(errors="replace") for file in own_node.data.rglob("*") if file.is_file()
    ]
    assert not [text for text in everything if secret in text]


def test_a_busy_port_is_named_and_nothing_is_left_running(
    own_node: RunningNode, shared_node: RunningNode
) -> None:
    port = shared_node.place["s3"].rpartition(":")[2]

    said = own_node.forebay("up", more={"FOREBAY_DOORS__S3__PORT": port})

    assert said.code == 1
    assert "port-busy" in said.err
    assert port in said.err
    assert not own_node.is_running


def test_an_unknown_setting_is_refused_with_the_nearest_name(own_node: RunningNode) -> None:
    own_node.config.write_text("cache: {qouta: 1GiB}\n")

    said = own_node.forebay("up")

    assert said.code == 1
    assert "bad-configuration" in said.err
    assert "cache.quota" in said.err


def test_settings_are_shown_with_their_origin(shared_node: RunningNode) -> None:
    said = shared_node.must("config", "show", "--effective", "--origin", "--json")

    shown = {setting["name"]: setting for setting in said.json}
    assert shown["cache.quota"]["value"] == "256MiB"
    assert str(shared_node.config) in shown["cache.quota"]["origin"]
    assert shown["metadata.sync"]["origin"] == "default"


def test_files_are_listed_shown_and_read(shared_node: RunningNode) -> None:
    shared_node.put("read/a.txt", b"hello lake")
    shared_node.put("read/deep/b.txt", b"b" * 5000)

    listed = shared_node.must("fs", "ls", "-R", "--json", "/files/read").json
    assert [entry["path"] for entry in listed] == ["/files/read/a.txt", "/files/read/deep/b.txt"]
    assert shared_node.must("fs", "stat", "--json", "/files/read/a.txt").json["size"] == 10
    assert shared_node.must("fs", "cat", "/files/read/a.txt").out == "hello lake"
    assert shared_node.must("fs", "head", "-c", "5", "/files/read/a.txt").out == "hello"
    assert shared_node.must("fs", "tail", "-c", "4", "/files/read/a.txt").out == "lake"
    counted = shared_node.must("fs", "count", "--json", "/files/read").json
    assert (counted["files"], counted["bytes"]) == (2, 5010)
    assert shared_node.must("fs", "checksum", "/files/read/a.txt").code == 0


def test_a_file_is_loaded_located_and_freed(shared_node: RunningNode) -> None:
    shared_node.put("near/a.bin", os.urandom(300_000))

    loaded = shared_node.must("fs", "load", "--json", "/files/near").json
    assert (loaded["files"], loaded["bytes"], loaded["fetched_bytes"]) == (1, 300_000, 300_000)
    where = shared_node.must("fs", "location", "--json", "/files/near/a.bin").json
    assert (where["cached_bytes"], where["cached_blocks"]) == (300_000, 5)
    assert shared_node.must("fs", "du", "--json", "/files/near").json["cached_bytes"] == 300_000
    jobs = shared_node.must("fsadmin", "report", "jobs", "--json").json
    assert "/files/near" in str(jobs["tables"])
    freed = shared_node.must("fs", "free", "--json", "/files/near").json
    assert freed["files"] == 1
    where = shared_node.must("fs", "location", "--json", "/files/near/a.bin").json
    assert where["cached_bytes"] == 0


def test_a_copy_to_local_files_is_whole_and_replaces_nothing_unasked(
    shared_node: RunningNode, tmp_path: Path
) -> None:
    content = os.urandom(200_000)
    shared_node.put("copied/a.bin", content)
    shared_node.put("copied/sub/b.bin", b"b")

    shared_node.must("fs", "cp", "/files/copied/a.bin", f"file:{tmp_path}/a.bin")
    assert (tmp_path / "a.bin").read_bytes() == content
    again = shared_node.forebay("fs", "cp", "/files/copied/a.bin", f"file:{tmp_path}/a.bin")
    assert again.code == 1
    assert "file-exists" in again.err
    shared_node.must("fs", "cp", "-R", "/files/copied", f"file:{tmp_path}/all")
    assert (tmp_path / "all/sub/b.bin").read_bytes() == b"b"
    assert not [path for path in tmp_path.rglob(".*") if "forebay" in path.name]


def test_mounting_what_does_not_answer_mounts_nothing(shared_node: RunningNode) -> None:
    before = shared_node.must("fs", "mount", "--json").json
    options = ["--option", "access_key_id=a", "--option", "secret_access_key=very-secret"]
    options += ["--option", "budget.deadline=1s"]

    said = shared_node.forebay(
        "fs", "mount", *options, "--option", "endpoint=http://127.0.0.1:9", "/s3", "s3://bucket/"
    )

    assert said.code == 1
    assert "store-away" in said.err
    assert "very-secret" not in said.out + said.err
    assert shared_node.must("fs", "mount", "--json").json == before


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("fs", "ls", "/files/../etc"), "bad-path"),
        (("fs", "stat", "/files/.forebay/x"), "bad-path"),
        (("fs", "cat", "/files/none"), "file-missing"),
        (("fs", "cat", "/nowhere/x"), "file-missing"),
        (("fs", "mount", "/x", "gopher://x/"), "bad-uri"),
        (("fs", "mount", "/x", "file:///etc"), "place-forbidden"),
        (("fs", "mount", "/", "file:///etc"), "root-read-only"),
        (("fs", "unmount", "/none"), "mount-missing"),
        (("keys", "revoke", "FBNONE"), "key-missing"),
        (("keys", "create", "--grant", "/files:rule"), "bad-option"),
        (("why", "no-such-request"), "file-missing"),
    ],
)
def test_bad_input_is_named_by_its_code_and_changes_nothing(
    shared_node: RunningNode, words: tuple[str, ...], code: str
) -> None:
    before = shared_node.must("fs", "mount", "--json").json

    said = shared_node.forebay(*words, *(["--json"] if words[1] != "cat" else []))

    assert said.code == 1
    told = said.json["error"]["code"] if words[1] != "cat" else said.err
    assert code in told
    assert "Traceback" not in said.err
    assert shared_node.must("fs", "mount", "--json").json == before


def test_a_key_is_made_listed_rotated_and_revoked_without_its_secret_shown(
    shared_node: RunningNode,
) -> None:
    made = shared_node.must("keys", "create", "-g", "/files/read:read", "--profile", "p1", "--json")
    key_id, secret = shared_node.key("p1")
    assert made.json["key_id"] == key_id
    assert secret not in made.out + made.err

    shared_node.must("keys", "rotate", key_id, "--profile", "p1")
    assert shared_node.key("p1")[1] != secret
    shared_node.must("keys", "revoke", key_id)
    rows = {row["key_id"]: row for row in shared_node.must("keys", "list", "--json").json}
    assert rows[key_id]["grants"] == ["/files/read:read"]
    assert rows[key_id]["revoked_at"] is not None


def test_why_explains_a_path_and_a_request(shared_node: RunningNode) -> None:
    shared_node.put("why/a.txt", b"why not")
    shared_node.must("fs", "cat", "/files/why/a.txt")

    told = shared_node.must("why", "/files/why/a.txt")
    assert "generation" in told.out
    with shared_node.admin() as admin:
        answer = admin.get("/v1/fs/content", params={"path": "/files/why/a.txt"})
    request_id = answer.headers["x-forebay-request-id"]

    assert "/files/why/a.txt" in shared_node.must("why", request_id).out


@pytest.mark.parametrize("section", ["summary", "capacity", "ufs", "metrics", "jobs"])
def test_every_section_of_the_report_is_there(shared_node: RunningNode, section: str) -> None:
    assert shared_node.must("fsadmin", "report", section).out
    assert shared_node.must("fsadmin", "report", section, "--json").json["title"]


def test_the_doctor_finds_a_healthy_node_well_and_packs_no_secret(
    shared_node: RunningNode, tmp_path: Path
) -> None:
    place = tmp_path / "bundle.tar.gz"

    said = shared_node.forebay("doctor", "--bundle", str(place))

    assert said.code == 0, said.out
    with tarfile.open(place) as archive:
        parts = {
            member.name: archive.extractfile(member).read().decode()  # type: ignore[union-attr]
            for member in archive.getmembers()
        }
    assert "forebay-bundle/settings.json" in parts
    assert not [name for name, text in parts.items() if shared_node.key()[1] in text]


def test_the_doctor_says_that_no_node_runs(own_node: RunningNode) -> None:
    said = own_node.forebay("doctor", "--json")

    assert said.code == 1
    assert "node-away" in said.out or "no node answers" in said.out


def test_mounts_and_keys_outlive_a_killed_node(own_node: RunningNode) -> None:
    own_node.start()
    own_node.put("a.txt", b"still here")
    own_node.must("fs", "mount", "/files", f"file://{own_node.lake}")
    own_node.must("fs", "load", "/files")
    key = own_node.key()

    os.kill(own_node.pid, signal.SIGKILL)
    own_node.start()

    assert own_node.must("fs", "cat", "/files/a.txt").out == "still here"
    assert own_node.key() == key
    assert own_node.must("keys", "list", "--json").json[0]["key_id"] == key[0]


def test_help_has_examples(shared_node: RunningNode) -> None:
    assert "Example" in shared_node.must("fs", "mount", "--help").out
    assert "forebay up" in shared_node.must("--help").out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete_commands(shell: str) -> None:
    program = Path(sys.executable).with_name("forebay")

    said = subprocess.run(
        [program],
        env={"_FOREBAY_COMPLETE": f"source_{shell}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "_FOREBAY_COMPLETE=complete_" in said.stdout


def test_changes_and_denials_are_in_the_audit_log(shared_node: RunningNode) -> None:
    shared_node.put("audited/a.txt", b"a")
    shared_node.must("fs", "mount", "/audited", f"file://{shared_node.lake}/audited")
    shared_node.must("fs", "unmount", "/audited")

    lines = (shared_node.data / "logs/audit.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    mine = [(r["what"], r["result"]) for r in records if r["target"] == "/audited"]
    assert mine == [("mount", "ok"), ("unmount", "ok")]
