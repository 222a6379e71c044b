"""What a store URI may be, and how others are refused."""

import pytest

from forebay.model.errors import BadUri
from forebay.model.paths import StoreKey
from forebay.namespace.uri import Scheme, StoreUri, store_uri


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://bucket", StoreUri(Scheme.S3, "bucket", "", StoreKey(""))),
        ("s3://bucket/", StoreUri(Scheme.S3, "bucket", "", StoreKey(""))),
        ("S3://bucket/a%20b?c#d", StoreUri(Scheme.S3, "bucket", "", StoreKey("a%20b?c#d"))),
        ("hdfs://nn:8020/tmp/tpcds/", StoreUri(Scheme.HDFS, "nn:8020", "", StoreKey("tmp/tpcds"))),
        ("hdfs://nameservice1/", StoreUri(Scheme.HDFS, "nameservice1", "", StoreKey(""))),
        ("hdfs:///tmp", StoreUri(Scheme.HDFS, "", "", StoreKey("tmp"))),
        ("hdfs://[::1]:8020/a", StoreUri(Scheme.HDFS, "[::1]:8020", "", StoreKey("a"))),
        ("file:///data/lake", StoreUri(Scheme.FILE, "", "/data/lake", StoreKey(""))),
    ],
)
def test_a_uri_names_a_store_and_a_place_in_it(text: str, expected: StoreUri) -> None:
    assert store_uri(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no URI"),
        ("/data", "is no URI"),
        ("s3:bucket", "is no URI"),
        ("webhdfs://nn:9870/", "webhdfs:// stores cannot be mounted yet"),
        ("gs://bucket/", "gs:// stores cannot be mounted yet"),
        ("az://container/", "az:// stores cannot be mounted yet"),
        ("union://both/", "mount their members"),
        ("s3a://bucket/", "is written s3:// here"),
        ("ftp://host/", "no kind of store called 'ftp'"),
        ("s3://", "'' is no bucket name"),
        ("s3://bu cket/", "'bu cket' is no bucket name"),
        ("hdfs://nn:99999/", "no host:port"),
        ("hdfs://n n/", "no host:port"),
        ("hdfs://nn/a/../b", "'..'"),
        ("hdfs://nn/a//b", "empty part"),
        ("s3://bucket/a\x00b", "control character"),
        ("s3://bucket/.forebay/x", "belongs to Forebay"),
        ("file://host/data", "files are on this one"),
    ],
)
def test_another_uri_is_refused_by_name(text: str, reason: str) -> None:
    with pytest.raises(BadUri) as caught:
        store_uri(text)

    assert reason in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["s3://KEY:hunter2@bucket/", "x://u:hunter2@h/", "hunter2@"])
def test_credentials_in_a_uri_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(BadUri) as caught:
        store_uri(text)

    assert "://" not in text or "hunter2" not in str(caught.value)
