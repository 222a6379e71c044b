"""The options of a mount: typed, refused by name, secrets never repeated."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from forebay.model.errors import BadOption
from forebay.namespace import options as o
from forebay.namespace.alluxio import NOT_NEEDED, translated
from forebay.namespace.uri import Scheme


def test_what_is_not_given_has_its_default() -> None:
    values = o.read_options(Scheme.S3, {})

    assert values[o.SYNC] == o.Sync(timedelta(seconds=30))
    assert values[o.S3_ENDPOINT] is None
    assert values[o.REQUEST_BUDGET] is None
    assert values[o.CONNECTION_BUDGET] == 64
    assert values.store_texts == {}


def test_values_are_read_by_their_types() -> None:
    values = o.read_options(
        Scheme.S3,
        {
            "sync": "never",
            "budget.requests": "100/s",
            "budget.bandwidth": "200MiB/s",
            "budget.connections": "8",
            "budget.deadline": "1m",
            "endpoint": "http://127.0.0.1:9000/",
            "path_style": "false",
        },
    )

    assert values[o.SYNC] == o.Sync(None)
    assert values[o.REQUEST_BUDGET] == 100
    assert values[o.BANDWIDTH_BUDGET] == 200 << 20
    assert values[o.CONNECTION_BUDGET] == 8
    assert values[o.DEADLINE] == timedelta(minutes=1)
    assert values[o.S3_ENDPOINT] == "http://127.0.0.1:9000"
    assert values[o.S3_PATH_STYLE] is False
    assert values.store_texts == {"endpoint": "http://127.0.0.1:9000/", "path_style": "false"}


def test_a_store_is_told_durations_in_seconds() -> None:
    values = o.read_options(Scheme.HDFS, {"deadline": "1m", "stall": "500ms", "sync": "never"})

    assert values.store_texts == {"deadline": "60s", "stall": "0.5s"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sync": "sometimes"}, "sync: 'sometimes' is no sync"),
        ({"budget.requests": "0/s"}, "budget.requests: '0/s' is no rate"),
        ({"budget.bandwidth": "200MiB"}, "budget.bandwidth: '200MiB' is no bandwidth"),
        ({"budget.connections": "0"}, "budget.connections: '0' is no whole number"),
        ({"budget.deadline": "0s"}, "budget.deadline: '0s' is no time"),
        ({"endpoint": "minio:9000"}, "endpoint: 'minio:9000' is no http://"),
        ({"endpoint": "http://u:pw@h"}, "endpoint: '…' is no http://"),
        ({"path_style": "yes"}, "path_style: 'yes' is neither"),
        ({"region": ""}, "region: '' is empty"),
        ({"access_key_id": "K"}, "secret_access_key: is missing"),
        ({"secret_access_key": "S"}, "access_key_id: is missing"),
        ({"session_token": "T"}, "session_token: is given without"),
        ({"endpont": "http://h"}, "endpont: is no option of s3:// mounts; did you mean 'endpoint'"),
        ({"user": "hdfs"}, "user: is no option of s3:// mounts"),
    ],
)
def test_a_bad_value_is_refused_by_name(given: Mapping[str, str], message: str) -> None:
    with pytest.raises(BadOption) as caught:
        o.read_options(Scheme.S3, given)

    assert message in str(caught.value)


def test_a_bad_secret_is_not_repeated() -> None:
    with pytest.raises(BadOption, match="secret_access_key: the value is empty") as caught:
        o.read_options(Scheme.S3, {"access_key_id": "K", "secret_access_key": "hunter2\x00"})

    assert "hunter2" not in str(caught.value)


def test_secrets_are_not_in_the_repr_of_the_values() -> None:
    values = o.read_options(Scheme.S3, {"access_key_id": "K", "secret_access_key": "hunter2"})

    assert values[o.S3_SECRET_ACCESS_KEY] == "hunter2"
    assert "hunter2" not in repr(values)


@pytest.mark.parametrize("scheme", list(Scheme))
def test_each_option_says_what_it_is_for_and_has_a_default_that_can_be_given(
    scheme: Scheme,
) -> None:
    for option in o.known_options(scheme):
        assert option.meaning.endswith(".")
        assert option.kind.word
        if option.default_text:
            assert option.kind.parse(option.default_text) == option.default


def test_alluxios_options_are_put_into_our_words() -> None:
    found = translated(
        {
            "aws.accessKeyId": "K",
            "aws.secretKey": "S",
            "alluxio.underfs.s3.endpoint": "minio:9000",
            "alluxio.underfs.s3.disable.dns.buckets": "true",
            "alluxio.underfs.s3.socket.timeout": "50sec",
            "alluxio.user.file.metadata.sync.interval": "-1",
            "budget.connections": "8",
        }
    )

    assert found.options == {
        "access_key_id": "K",
        "secret_access_key": "S",
        "endpoint": "http://minio:9000",
        "path_style": "true",
        "read_timeout": "50s",
        "sync": "never",
        "budget.connections": "8",
    }
    assert found.notices == ()


@pytest.mark.parametrize(
    ("text", "ours"),
    [("-1", "never"), ("0", "always"), ("1min", "1m"), ("5000", "5000ms"), ("2 hours", "2h")],
)
def test_alluxios_durations_are_read(text: str, ours: str) -> None:
    found = translated({"alluxio.user.file.metadata.sync.interval": text})

    assert found.options == {"sync": ours}
    o.read_options(Scheme.FILE, found.options)


def test_hadoops_files_are_found_by_their_directory() -> None:
    name = "alluxio.underfs.hdfs.configuration"

    found = translated({name: "/etc/hadoop/core-site.xml:/etc/hadoop/hdfs-site.xml"})

    assert found.options == {"hadoop.conf": "/etc/hadoop"}
    with pytest.raises(BadOption, match="several directories"):
        translated({name: "/a/core-site.xml:/b/hdfs-site.xml"})


def test_an_endpoint_without_a_scheme_is_as_secure_as_alluxio_was_told() -> None:
    secure = "alluxio.underfs.s3.secure.http.enabled"
    endpoint = "alluxio.underfs.s3.endpoint"

    assert translated({secure: "true", endpoint: "h"}).options == {"endpoint": "https://h"}
    assert translated({secure: "true", endpoint: "http://h"}).options == {"endpoint": "http://h"}
    assert translated({secure: "true"}).notices == (f"{secure}: not needed without an endpoint",)


@pytest.mark.parametrize("name", sorted(NOT_NEEDED))
def test_what_has_no_meaning_here_is_accepted_with_a_notice(name: str) -> None:
    found = translated({name: "anything"})

    assert found.options == {}
    assert found.notices == (f"{name}: not needed",)


def test_alluxios_other_options_are_refused() -> None:
    with pytest.raises(BadOption, match=r"alluxio\.security\.x: is an option of Alluxio that has"):
        translated({"alluxio.security.x": "y"})
    with pytest.raises(BadOption, match="is given twice"):
        translated({"aws.accessKeyId": "K", "access_key_id": "K"})
