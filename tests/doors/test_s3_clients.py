"""The clients people have, with their defaults, against the S3 door of a real node."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import duckdb
import httpx
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
import s3fs

from testbed.rclone import rclone
from testbed.tpcds import load_extension
from tests.fakes.running_node import RunningNode

LONG = os.urandom(1 << 20) * 20
"""Longer than the 8 MiB from which clients read in parts, and than a turn of the door."""

NAMES = {
    "plain.txt": b"plain",
    "empty": b"",
    "long.bin": LONG,
    "odd/a name+with %25 & ä=ü.txt": b"odd",
    "odd/semi;colon,and'quotes'(1)!.txt": b"quotes",
    "deep/a/b/c/d.txt": b"deep",
}
ROWS = 300_000


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node with a directory of files mounted at /onprem."""
    node = RunningNode(tmp_path_factory.mktemp("node"))
    for name, content in NAMES.items():
        node.put(name, content)
    (node.lake / "void").mkdir()
    for day in ("2025-01-01", "2025-01-02"):
        table = pa.table({"id": range(ROWS), "text": [f"{day} {n % 97}" for n in range(ROWS)]})
        node.put(f"sales/date={day}/part-0.parquet", b"")
        pq.write_table(
            table, node.lake / f"sales/date={day}/part-0.parquet", row_group_size=100_000
        )
    node.start()
    try:
        node.must("fs", "mount", "/onprem", f"file://{node.lake}")
        yield node
    finally:
        node.stop()


@pytest.fixture(scope="module")
def s3(node: RunningNode) -> Any:
    """boto3's client with its defaults."""
    key_id, secret = node.key()
    return boto3.client(
        "s3",
        endpoint_url=node.place["s3"],
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        region_name="us-east-1",
    )


def surroundings(node: RunningNode, home: Path) -> dict[str, str]:
    """The environment of a client's process: nothing of this user's."""
    key_id, secret = node.key()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "AWS_ACCESS_KEY_ID": key_id,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_ENDPOINT_URL": str(node.place["s3"]),
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def run(command: list[str], environment: dict[str, str]) -> str:
    """What a program says that must succeed."""
    done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    return done.stdout.decode()


def aws(node: RunningNode, home: Path, *words: str) -> str:
    program = str(Path(sys.executable).with_name("aws"))
    return run([sys.executable, program, *words], surroundings(node, home))


def test_boto3_reads_every_file_twice(s3: Any) -> None:
    for _ in range(2):
        for name, content in NAMES.items():
            answer = s3.get_object(Bucket="onprem", Key=name)
            assert answer["Body"].read() == content
            assert answer["ContentLength"] == len(content)
    answer = s3.get_object(Bucket="lake", Key="onprem/long.bin", Range="bytes=5-10000004")
    assert answer["Body"].read() == LONG[5:10_000_005]
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-forebay-cache"] == "hit"


def test_boto3_downloads_in_parts(s3: Any, tmp_path: Path) -> None:
    s3.download_file("onprem", "long.bin", str(tmp_path / "long.bin"))
    assert (tmp_path / "long.bin").read_bytes() == LONG


def test_boto3_lists_in_pages(s3: Any) -> None:
    found = []
    for page in s3.get_paginator("list_objects_v2").paginate(
        Bucket="onprem", PaginationConfig={"PageSize": 2}
    ):
        found += [entry["Key"] for entry in page.get("Contents", [])]
    expected = [*NAMES, "void/", *(f"sales/date=2025-01-0{n}/part-0.parquet" for n in (1, 2))]
    assert found == sorted(expected, key=str.encode)

    answer = s3.list_objects(Bucket="onprem", Delimiter="/")
    assert [entry["Prefix"] for entry in answer["CommonPrefixes"]] == [
        "deep/",
        "odd/",
        "sales/",
        "void/",
    ]


def test_boto3_asks_of_buckets(s3: Any) -> None:
    assert {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]} == {"lake", "onprem"}
    s3.head_bucket(Bucket="onprem")
    assert s3.get_bucket_location(Bucket="onprem")["LocationConstraint"] is None
    assert "Status" not in s3.get_bucket_versioning(Bucket="onprem")
    assert s3.get_object_tagging(Bucket="onprem", Key="plain.txt")["TagSet"] == []


@pytest.mark.parametrize(
    ("call", "wishes", "code"),
    [
        ("get_object", {"Key": "nothing"}, "NoSuchKey"),
        ("head_object", {"Key": "nothing"}, "404"),
        ("get_object", {"Key": "sales"}, "NoSuchKey"),
        ("get_object", {"Key": "x", "Bucket": "nothing"}, "NoSuchBucket"),
        ("list_objects_v2", {"Bucket": "nothing"}, "NoSuchBucket"),
        ("head_bucket", {"Bucket": "nothing"}, "404"),
        ("get_object", {"Key": "plain.txt", "IfMatch": '"x"'}, "PreconditionFailed"),
        ("get_object", {"Key": "plain.txt", "Range": "bytes=99-"}, "InvalidRange"),
        ("put_object", {"Key": "new", "Body": b"x"}, "NotImplemented"),
        ("delete_object", {"Key": "plain.txt"}, "NotImplemented"),
        ("get_bucket_policy", {}, "NoSuchBucketPolicy"),
        ("get_object_acl", {"Key": "plain.txt"}, "NotImplemented"),
    ],
)
def test_boto3_gets_the_errors_of_s3(s3: Any, call: str, wishes: dict[str, Any], code: str) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        getattr(s3, call)(**{"Bucket": "onprem", **wishes})
    assert caught.value.response["Error"]["Code"] == code


def test_boto3_with_a_wrong_secret_is_refused(node: RunningNode) -> None:
    wrong = boto3.client(
        "s3",
        endpoint_url=node.place["s3"],
        aws_access_key_id=node.key()[0],
        aws_secret_access_key="guess",
        region_name="us-east-1",
    )
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        wrong.list_buckets()
    assert caught.value.response["Error"]["Code"] == "SignatureDoesNotMatch"


def test_a_presigned_url_needs_no_key(s3: Any) -> None:
    signed = botocore.config.Config(signature_version="s3v4")
    client = boto3.client(
        "s3",
        endpoint_url=s3.meta.endpoint_url,
        aws_access_key_id=s3._request_signer._credentials.access_key,
        aws_secret_access_key=s3._request_signer._credentials.secret_key,
        region_name="us-east-1",
        config=signed,
    )
    wish = {
        "Bucket": "onprem",
        "Key": "odd/a name+with %25 & ä=ü.txt",
        "ResponseContentType": "text/x-odd",
    }
    url = client.generate_presigned_url("get_object", Params=wish, ExpiresIn=60)

    answer = httpx.get(url)

    assert answer.content == b"odd"
    assert answer.headers["content-type"] == "text/x-odd"
    assert httpx.get(url.replace("text%2Fx-odd", "text%2Fhtml")).status_code == 403


def test_the_aws_command_line_copies_lists_and_syncs(node: RunningNode, tmp_path: Path) -> None:
    listed = aws(node, tmp_path, "s3", "ls", "s3://onprem/", "--recursive")
    assert f"{len(LONG)} long.bin" in listed
    assert "PRE sales/" in aws(node, tmp_path, "s3", "ls", "s3://onprem/")

    aws(node, tmp_path, "s3", "cp", "s3://lake/onprem/long.bin", str(tmp_path / "long.bin"))
    assert (tmp_path / "long.bin").read_bytes() == LONG

    copy = tmp_path / "copy"
    aws(node, tmp_path, "s3", "sync", "s3://onprem/", str(copy), "--exclude", "void/*")
    assert {str(path.relative_to(copy)): path.read_bytes() for path in copy.rglob("*.txt")} == {
        name: content for name, content in NAMES.items() if name.endswith(".txt")
    }
    assert aws(node, tmp_path, "s3", "sync", "s3://onprem/", str(copy), "--exclude", "void/*") == ""


def test_rclone_checks_a_copy_against_the_door(node: RunningNode, tmp_path: Path) -> None:
    remote = ":s3,provider=Other,env_auth=true:onprem"
    environment = surroundings(node, tmp_path) | {"RCLONE_CONFIG": str(tmp_path / "rclone.conf")}
    program = str(rclone())

    entries = json.loads(run([program, "lsjson", "-R", "--files-only", remote], environment))
    assert {entry["Path"]: entry["Size"] for entry in entries}["long.bin"] == len(LONG)

    copy = tmp_path / "copy"
    run([program, "copy", remote, str(copy)], environment)
    run([program, "check", "--download", remote, str(copy)], environment)
    assert (copy / "long.bin").read_bytes() == LONG


def a_lake_of_pyarrow(node: RunningNode) -> pafs.S3FileSystem:
    key_id, secret = node.key()
    return pafs.S3FileSystem(
        access_key=key_id,
        secret_key=secret,
        endpoint_override=node.place["s3"].removeprefix("http://"),
        scheme="http",
        region="us-east-1",
    )


def test_pyarrow_reads_a_partitioned_data_set(node: RunningNode) -> None:
    lake = a_lake_of_pyarrow(node)

    sales = ds.dataset("onprem/sales", filesystem=lake, format="parquet", partitioning="hive")

    assert sales.count_rows() == 2 * ROWS
    table = sales.to_table(filter=ds.field("date") == "2025-01-02", columns=["id"])
    assert table["id"].to_pylist()[-1] == ROWS - 1


def test_pyarrow_sees_files_and_directories(node: RunningNode) -> None:
    lake = a_lake_of_pyarrow(node)
    kinds = {info.path: info.type.name for info in lake.get_file_info(pafs.FileSelector("onprem"))}
    assert kinds["onprem/plain.txt"] == "File"
    assert kinds["onprem/sales"] == "Directory"
    assert kinds["onprem/void"] == "Directory"
    assert lake.get_file_info("onprem/nothing").type.name == "NotFound"
    with lake.open_input_file("onprem/long.bin") as file:
        file.seek(12_345_678)
        assert file.read(1000) == LONG[12_345_678:12_346_678]


def test_duckdb_queries_through_httpfs(node: RunningNode) -> None:
    key_id, secret = node.key()
    endpoint = node.place["s3"].removeprefix("http://")
    with duckdb.connect() as connection:
        load_extension(connection, "httpfs")
        connection.execute(
            "CREATE SECRET (TYPE s3, KEY_ID $key, SECRET $secret, ENDPOINT $endpoint, "
            "URL_STYLE 'path', USE_SSL false, REGION 'us-east-1')".replace("$key", f"'{key_id}'")
            .replace("$secret", f"'{secret}'")
            .replace("$endpoint", f"'{endpoint}'")
        )
        for _ in range(2):
            rows = connection.execute(
                "SELECT date, count(*), sum(id) FROM read_parquet('s3://onprem/sales/*/*.parquet', "
                "hive_partitioning = true) GROUP BY date ORDER BY date"
            ).fetchall()
            total = ROWS * (ROWS - 1) // 2
            assert [(str(day), count, summed) for day, count, summed in rows] == [
                ("2025-01-01", ROWS, total),
                ("2025-01-02", ROWS, total),
            ]


def test_s3fs_reads_and_lists(node: RunningNode) -> None:
    key_id, secret = node.key()
    lake = s3fs.S3FileSystem(
        key=key_id, secret=secret, endpoint_url=node.place["s3"], skip_instance_cache=True
    )

    assert sorted(lake.ls("onprem/odd")) == sorted(
        f"onprem/{name}" for name in NAMES if name.startswith("odd/")
    )
    assert lake.cat("onprem/odd/a name+with %25 & ä=ü.txt") == b"odd"
    assert lake.isdir("onprem/sales")
    assert not lake.exists("onprem/nothing")


def test_what_was_read_is_in_the_access_log(node: RunningNode, s3: Any) -> None:
    answer = s3.get_object(Bucket="onprem", Key="plain.txt")
    answer["Body"].read()
    request = answer["ResponseMetadata"]["RequestId"]

    said = node.must("why", request)

    assert "/onprem/plain.txt" in said.out
