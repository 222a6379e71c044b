"""The logs of a whole node: one line a request, denials by name, and no secret anywhere."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forebay.model.errors import ForebayError
from testbed.seaweed import Seaweed
from tests.doors.s3_door import Answer, eventually
from tests.fakes.content_store import content
from tests.fakes.whole_node import WholeNode, whole_node

pytestmark = [pytest.mark.slow, pytest.mark.service]

BLOCK = 64 << 10
SIZE = 4 * BLOCK + 10


@pytest.fixture
def cloud(whole_lake: WholeNode, seaweed: Seaweed, bucket: str) -> Iterator[WholeNode]:
    """The node, with one object at /logged/d/a."""
    client = seaweed.client()
    client.put_object(Bucket=bucket, Key="d/a", Body=content(3, 0, SIZE))
    client.close()
    whole_lake.mount_seaweed("/logged", seaweed, bucket)
    yield whole_lake
    whole_lake.node.delete("/v1/mounts", path="/logged")


def lines_of(place: Path, answer: Answer) -> list[dict[str, Any]]:
    """What the log has of the request with this answer."""
    request_id = answer.headers["x-amz-request-id"]
    rows = [json.loads(line) for line in place.read_text().splitlines()]
    return [row for row in rows if row["request_id"] == request_id]


def logged(node: WholeNode, answer: Answer) -> dict[str, Any]:
    """The one line of the access log, which is written a moment later."""
    place = node.data / "logs" / "access.jsonl"
    assert eventually(lambda: place.exists() and bool(lines_of(place, answer)))
    (line,) = lines_of(place, answer)
    return line


def test_a_read_is_one_line_with_where_its_bytes_came_from(cloud: WholeNode) -> None:
    middle = {"range": f"bytes={BLOCK}-{2 * BLOCK - 1}"}
    asked = [
        (cloud.ask("/logged/d/a", headers=middle), "GetObject", BLOCK, 2 * BLOCK, 0, BLOCK),
        (cloud.ask("/logged/d/a", headers=middle), "GetObject", BLOCK, 2 * BLOCK, BLOCK, 0),
        (cloud.ask("/logged/d/a"), "GetObject", 0, SIZE, BLOCK, SIZE - BLOCK),
        (cloud.ask("/logged/d/a"), "GetObject", 0, SIZE, SIZE, 0),
        (cloud.ask("/lake/logged/d/a"), "GetObject", 0, SIZE, SIZE, 0),
        (cloud.ask("/logged/d/a", method="HEAD"), "HeadObject", 0, 0, 0, 0),
    ]
    assert eventually(lambda: cloud.ask("/logged/d/a").is_hot)
    hot = cloud.ask("/logged/d/a", headers={"range": "bytes=7-9"})
    assert hot.is_hot
    asked.append((hot, "GetObject", 7, 10, 3, 0))

    for answer, operation, start, end, from_cache, from_store in asked:
        line = logged(cloud, answer)
        assert (line["door"], line["key_id"]) == ("s3", cloud.key()[0])
        assert (line["operation"], line["path"]) == (operation, "/logged/d/a")
        assert line["status"] == answer.status
        if operation == "GetObject":
            assert (line["start"], line["end"]) == (start, end)
        told = (line["bytes_from_cache"], line["bytes_from_store"])
        assert told == (from_cache, from_store)
        assert line["seconds"] >= 0


def test_what_sends_no_content_is_one_line_too(cloud: WholeNode) -> None:
    asked = [
        (cloud.ask("/logged/none"), "GetObject", 404),
        (cloud.ask("/logged", query={"list-type": "2"}), "ListObjectsV2", 200),
        (cloud.ask("/"), "ListBuckets", 200),
        (cloud.ask("/logged", method="HEAD"), "HeadBucket", 200),
        (cloud.ask("/logged/d/a", headers={"range": "bytes=999999999-"}), "GetObject", 416),
    ]

    for answer, operation, status in asked:
        line = logged(cloud, answer)
        assert (line["operation"], line["status"], answer.status) == (operation, status, status)
        assert (line["bytes_from_cache"], line["bytes_from_store"]) == (0, 0)


def test_a_denied_request_is_in_both_logs(cloud: WholeNode) -> None:
    made = cloud.node.post("/v1/keys", {"grants": ["/elsewhere:read"]})
    stranger = (made["key_id"], made["secret"])
    audit = cloud.data / "logs" / "audit.jsonl"

    denied = cloud.ask("/logged/d/a", key=stranger)
    unknown = cloud.ask("/logged/d/a", key=("FBNOBODY", "x" * 40))

    for answer, code, who in (
        (denied, "AccessDenied", stranger[0]),
        (unknown, "InvalidAccessKeyId", None),
    ):
        assert (answer.status, answer.code) == (403, code)
        assert logged(cloud, answer)["status"] == 403
        (line,) = lines_of(audit, answer)
        assert (line["result"], line["target"]) == (code, "/logged/d/a")
        assert line["what"] == "s3.GetObject" or who is None
        assert who is None or line["who"] == who
        assert "127.0.0.1" in line["origin"]


def test_every_change_is_in_the_audit_log_with_its_result(cloud: WholeNode) -> None:
    name = secrets.token_hex(4)
    cloud.mount(f"/{name}", f"file://{cloud.lake}")
    cloud.node.delete("/v1/mounts", path=f"/{name}")
    made = cloud.node.post("/v1/keys", {"grants": ["/:read"], "description": name})
    cloud.node.post(f"/v1/keys/{made['key_id']}/rotate", {})
    cloud.node.delete(f"/v1/keys/{made['key_id']}")

    text = (cloud.data / "logs" / "audit.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    mine = [row for row in rows if row["target"] in {f"/{name}", name, made["key_id"]}]
    assert [(row["what"], row["result"]) for row in mine] == [
        ("mount", "ok"),
        ("unmount", "ok"),
        ("keys.create", "ok"),
        ("keys.rotate", "ok"),
        ("keys.revoke", "ok"),
    ]


def test_no_secret_lies_on_the_disk_in_plain_text(
    tmp_path: Path, seaweed: Seaweed, bucket: str
) -> None:
    with whole_node(tmp_path) as node:
        node.mount_seaweed("/cloud", seaweed, bucket)
        made = node.node.post("/v1/keys", {"grants": ["/:read"]})
        rotated = node.node.post(f"/v1/keys/{made['key_id']}/rotate", {"grace": "1h"})
        hidden = [seaweed.secret_key, made["secret"], rotated["secret"], node.key()[1]]
        # A mistake puts a secret where it does not belong; and a wrong one is as good as a right.
        wrong = f"wrong-{secrets.token_hex(20)}"
        hidden.append(wrong)
        for options in ({"secret_access_key": wrong}, {"session_token": wrong}):
            with pytest.raises(ForebayError) as refused:
                node.mount_seaweed("/wrong", seaweed, bucket, **options)
            assert wrong not in str(refused.value)
        assert node.ask("/cloud/none", key=(made["key_id"], made["secret"])).status == 404
        shown = json.dumps(
            [
                node.node.get(path)
                for path in ("/v1/mounts", "/v1/keys", "/v1/configuration", "/v1/doctor")
            ]
        )
        found_running = places_of(hidden, node.directory)
    assert found_running == []
    assert places_of(hidden, node.directory) == []
    assert [secret for secret in hidden if secret in shown] == []
    # The one place where a secret belongs, for its owner alone.
    assert node.key()[1] in node.credentials.read_text()
    assert node.credentials.stat().st_mode & 0o077 == 0
    assert node.data.stat().st_mode & 0o077 == 0


def places_of(hidden: list[str], directory: Path) -> list[tuple[str, str]]:
    """The files that hold one of them, but for the credentials file."""
    found = []
    for place in directory.rglob("*"):
        if place.is_file() and place.name != "credentials":
            content = place.read_bytes()
            found += [(str(place), secret) for secret in hidden if secret.encode() in content]
    return found
