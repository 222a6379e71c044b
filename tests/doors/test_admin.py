"""The admin door over HTTP: who may ask, and how it says no."""

import socket

import httpx
import pytest

from tests.fakes.running_node import RunningNode

pytestmark = pytest.mark.slow


@pytest.fixture
def address(shared_node: RunningNode) -> str:
    """The admin door's URL."""
    return str(shared_node.place["admin"])


def code_of(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


def test_probes_and_metrics_need_no_key(address: str) -> None:
    assert httpx.get(f"{address}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{address}/readyz").status_code == 200
    numbers = httpx.get(f"{address}/metrics").text
    assert "forebay_requests_total" in numbers
    assert "forebay_cache_quota_bytes" in numbers


def test_without_a_key_nothing_else_is_told(address: str) -> None:
    for path in ("/v1/mounts", "/v1/keys", "/openapi.json", "/v1/fs/list?path=/", "/nope"):
        answer = httpx.get(f"{address}{path}")
        assert answer.status_code == 401
        assert code_of(answer) == "key-unknown"
        assert "www-authenticate" in answer.headers


def test_an_admin_key_opens_the_door(address: str, shared_node: RunningNode) -> None:
    answer = httpx.get(f"{address}/v1/mounts", auth=shared_node.key())

    assert [mount["path"] for mount in answer.json()["mounts"]] == ["/files"]
    assert httpx.get(f"{address}/openapi.json", auth=shared_node.key()).json()["paths"]


def test_a_key_that_is_no_admins_does_not(address: str, shared_node: RunningNode) -> None:
    shared_node.must("keys", "create", "-g", "/files:read", "--profile", "reader")

    answer = httpx.get(f"{address}/v1/mounts", auth=shared_node.key("reader"))

    assert answer.status_code == 403
    assert code_of(answer) == "access-denied"


def test_a_wrong_secret_is_refused_and_audited(address: str, shared_node: RunningNode) -> None:
    key_id, _ = shared_node.key()

    answer = httpx.get(f"{address}/v1/node", auth=(key_id, "wrong"))

    assert answer.status_code == 401
    assert '"key-unknown"' in (shared_node.data / "logs/audit.jsonl").read_text()


def test_a_foreign_host_name_or_page_is_refused(address: str, shared_node: RunningNode) -> None:
    for headers in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
        answer = httpx.get(f"{address}/v1/mounts", auth=shared_node.key(), headers=headers)
        assert answer.status_code == 403


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/mounts", {"path": "/x"}, 400),
        ("/v1/mounts", {"path": "/x", "uri": "file:///x", "sideways": True}, 400),
        ("/v1/mounts", {"path": "/a/../b", "uri": "file:///x"}, 400),
        ("/v1/keys", {"grants": []}, 400),
        ("/v1/fs/load", {"path": "/files/\x01"}, 400),
        ("/v1/fs/load", {"path": "/files/none"}, 404),
    ],
)
def test_a_bad_body_is_refused_before_any_effect(
    shared_node: RunningNode, path: str, body: object, status: int
) -> None:
    with shared_node.admin() as admin:
        before = admin.get("/v1/mounts").json()
        answer = admin.post(path, json=body)

        assert answer.status_code == status
        assert set(answer.json()["error"]) == {"code", "subject", "reason", "retryable", "advice"}
        assert admin.get("/v1/mounts").json() == before


def test_a_body_that_is_too_large_or_without_a_length_is_refused(
    shared_node: RunningNode,
) -> None:
    with shared_node.admin() as admin:
        large = admin.post("/v1/keys", content=b"x" * (2 << 20))
        endless = admin.post("/v1/keys", content=iter([b"{}"]))

        assert (large.status_code, endless.status_code) == (400, 400)
        assert "larger than" in large.text
        assert "no Content-Length" in endless.text


def test_garbage_is_answered_with_400(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")

        assert b" 400 " in raw.recv(1000)
