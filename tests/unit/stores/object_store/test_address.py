"""Addresses name a bucket the same everywhere, and never one that no mount may use."""

import pytest

from forebay.model.errors import BadOption, StoreRefused
from forebay.stores.object_store.address import Address, address_of, refuse_forbidden
from forebay.stores.object_store.options import S3Options
from forebay.stores.object_store.profile import Profile


def address(environment: dict[str, str] | None = None, **given: str) -> Address:
    options = S3Options(bucket=given.pop("bucket", "lake"), **given)  # type: ignore[arg-type]
    return address_of(options, environment or {}, Profile())


def test_an_endpoint_with_a_port_names_the_store() -> None:
    found = address(endpoint="http://127.0.0.1:8333")
    assert found.identity.text == "s3://127.0.0.1:8333/lake"
    assert found.endpoint + found.path_of("a b/é") == "http://127.0.0.1:8333/lake/a%20b/%C3%A9"


def test_the_usual_port_is_part_of_the_name_and_not_of_the_host_header() -> None:
    found = address(endpoint="https://s3.example.org")
    assert found.identity == address(endpoint="https://s3.example.org:443/").identity
    assert found.identity.text == "s3://s3.example.org:443/lake"
    assert found.authority == "s3.example.org"


def test_aws_is_one_store_in_all_its_regions() -> None:
    east, west = address(region="us-east-1"), address(region="eu-west-1")
    assert east.identity == west.identity
    assert east.identity.text == "s3://amazonaws.com/lake"
    assert west.endpoint == "https://lake.s3.eu-west-1.amazonaws.com"
    assert west.path_of("a") == "/a"


def test_a_bucket_with_dots_stands_in_the_path() -> None:
    found = address(bucket="my.lake", region="eu-west-1")
    assert found.endpoint + found.path_of("a") == "https://s3.eu-west-1.amazonaws.com/my.lake/a"


def test_the_environment_fills_in_what_no_option_says() -> None:
    environment = {
        "AWS_ENDPOINT_URL": "http://all:1",
        "AWS_ENDPOINT_URL_S3": "http://s3:2",
        "AWS_REGION": "eu-north-1",
    }
    assert address(environment).service == "s3:2"
    assert address(environment).region == "eu-north-1"
    assert address(environment, endpoint="http://mine:3", region="x").service == "mine:3"
    ignoring = {**environment, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}
    assert address(ignoring).is_aws


def test_an_ipv6_endpoint_keeps_its_brackets() -> None:
    assert address(endpoint="http://[::1]:9").authority == "[::1]:9"


@pytest.mark.parametrize(
    "endpoint",
    [
        "127.0.0.1:9",
        "ftp://host",
        "http://",
        "http://host:99999",
        "http://host/path",
        "http://key:secret@host",
        "http://host?x",
        "http://[::1",
    ],
)
def test_an_endpoint_that_is_none_is_refused_without_repeating_it(endpoint: str) -> None:
    with pytest.raises(BadOption) as caught:
        address(endpoint=endpoint)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("bucket", ["", "a", "a/b", "../x", "a b", "-x"])
def test_a_bucket_that_is_none_is_refused(bucket: str) -> None:
    with pytest.raises(BadOption):
        address(bucket=bucket)


def test_a_region_that_could_name_another_host_is_refused() -> None:
    with pytest.raises(BadOption):
        address(region="evil.example.org/")


@pytest.mark.parametrize(
    "forbidden",
    [
        "169.254.169.254",
        "169.254.0.1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "::ffff:169.254.169.254",
        "100.100.100.200",
        "0.0.0.0",  # noqa: S104 - nothing is bound
        "::",
    ],
)
def test_link_local_and_metadata_addresses_are_refused(forbidden: str) -> None:
    with pytest.raises(StoreRefused):
        refuse_forbidden("store.example.org", ["10.0.0.1", forbidden])


def test_private_and_loopback_addresses_are_where_stores_are() -> None:
    refuse_forbidden("store.example.org", ["127.0.0.1", "10.1.2.3", "192.168.0.1", "::1"])
