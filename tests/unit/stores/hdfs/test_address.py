"""The address of an HDFS: URIs, options and Hadoop's configuration."""

import os
import pwd
from datetime import timedelta
from pathlib import Path

import pytest

from forebay.model.errors import BadOption, BadPath, BadUri
from forebay.model.paths import StoreKey
from forebay.stores.hdfs.address import HdfsOptions, hdfs_options, is_forbidden, own_path

NOBODY_SET: dict[str, str] = {}


def configured(directory: Path, **settings: str) -> Path:
    directory.mkdir(exist_ok=True)
    properties = "".join(
        f"<property><name>{name}</name><value>{value}</value></property>"
        for name, value in settings.items()
    )
    (directory / "core-site.xml").write_text(f"<configuration>{properties}</configuration>")
    return directory


def options_of(uri: str, **given: str) -> HdfsOptions:
    return hdfs_options(uri, given, {"HADOOP_USER_NAME": "lake"})[0]


def test_a_uri_names_the_namenode_and_the_key() -> None:
    options, key = hdfs_options("hdfs://nn.example:9000/sales/2024", {}, NOBODY_SET)
    assert (options.authority, key) == ("nn.example:9000", StoreKey("sales/2024"))
    assert options.uri == "hdfs://nn.example:9000"
    assert options.webhdfs == ("http://nn.example:9870",)
    assert not options.insists


def test_the_usual_port_is_8020() -> None:
    assert options_of("hdfs://nn.example/").authority == "nn.example:8020"


def test_escaped_letters_of_a_uri_are_letters() -> None:
    assert hdfs_options("hdfs://nn/a%20b", {}, NOBODY_SET)[1] == StoreKey("a b")


@pytest.mark.parametrize("uri", ["s3://b/k", "hdfs:///k", "hdfs://u@h/k", "hdfs://h/k?x=1", ""])
def test_what_names_no_hdfs_is_a_bad_uri(uri: str) -> None:
    with pytest.raises(BadUri):
        hdfs_options(uri, {}, NOBODY_SET)


def test_a_key_that_belongs_to_forebay_is_refused() -> None:
    with pytest.raises(BadPath):
        hdfs_options("hdfs://nn/a/.forebay/b", {}, NOBODY_SET)


def test_without_a_host_the_default_of_hadoop_is_taken(tmp_path: Path) -> None:
    directory = configured(tmp_path, **{"fs.defaultFS": "hdfs://nn.example:9000"})
    for given, environment in (
        ({"hadoop.conf": str(directory)}, {}),
        ({}, {"HADOOP_CONF_DIR": str(directory)}),
    ):
        options, key = hdfs_options("hdfs:///sales", given, environment)
        assert (options.authority, key.text) == ("nn.example:9000", "sales")
        assert options.configuration_directory == directory


def test_a_nameservice_has_a_webhdfs_at_each_namenode(tmp_path: Path) -> None:
    directory = configured(
        tmp_path,
        **{
            "dfs.nameservices": "lake, other",
            "dfs.ha.namenodes.lake": "nn1, nn2",
            "dfs.namenode.http-address.lake.nn1": "one.example:9870",
            "dfs.namenode.http-address.lake.nn2": "two.example:9871",
        },
    )
    options, _ = hdfs_options("hdfs://lake/x", {"hadoop.conf": str(directory)}, NOBODY_SET)
    assert options.authority == "lake"
    assert options.webhdfs == ("http://one.example:9870", "http://two.example:9871")


def test_the_http_port_of_the_default_namenode_is_the_configured_one(tmp_path: Path) -> None:
    directory = configured(
        tmp_path,
        **{
            "fs.defaultFS": "hdfs://nn.example:9000",
            "dfs.namenode.http-address": "0.0.0.0:50070",
        },
    )
    environment = {"HADOOP_CONF_DIR": str(directory)}
    options, _ = hdfs_options("hdfs:///x", {}, environment)
    assert options.webhdfs == ("http://nn.example:50070",)
    other, _ = hdfs_options("hdfs://elsewhere:9000/x", {}, environment)
    assert other.webhdfs == ("http://elsewhere:9870",)


def test_webhdfs_can_be_named_or_left_out() -> None:
    named = options_of("hdfs://nn/", webhdfs="https://a:1, http://b:2/")
    assert (named.webhdfs, named.insists) == (("https://a:1", "http://b:2"), True)
    without = options_of("hdfs://nn/", webhdfs="none")
    assert (without.webhdfs, without.insists) == ((), False)


def test_lengths_of_time_are_seconds() -> None:
    options = options_of("hdfs://nn/", deadline="2.5", stall="7s")
    assert (options.deadline, options.stall) == (timedelta(seconds=2.5), timedelta(seconds=7))


def test_home_is_a_directory_of_the_store() -> None:
    options = options_of("hdfs://nn/", home="/data/lake/")
    assert own_path(options.home, "tmp", "x") == "/data/lake/.forebay/tmp/x"
    assert own_path(options_of("hdfs://nn/").home, "tmp") == "/.forebay/tmp"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("deadline", "soon"),
        ("deadline", "0"),
        ("stall", "nan"),
        ("stall", "inf"),
        ("webhdfs", "nn:9870"),
        ("webhdfs", "http://nn:9870/path"),
        ("hadoop.conf", "/none/such"),
        ("colour", "blue"),
    ],
)
def test_a_bad_option_is_named(name: str, value: str) -> None:
    with pytest.raises(BadOption) as refused:
        hdfs_options("hdfs://nn/", {name: value}, NOBODY_SET)
    assert refused.value.subject == name


def test_a_configuration_that_is_no_xml_is_a_bad_option(tmp_path: Path) -> None:
    (tmp_path / "hdfs-site.xml").write_text("<configuration>")
    with pytest.raises(BadOption):
        hdfs_options("hdfs://nn/", {"hadoop.conf": str(tmp_path)}, NOBODY_SET)


def test_a_configuration_with_entities_is_a_bad_option(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]><configuration>&a;</configuration>'
    (tmp_path / "hdfs-site.xml").write_text(bomb)
    with pytest.raises(BadOption):
        hdfs_options("hdfs://nn/", {"hadoop.conf": str(tmp_path)}, NOBODY_SET)


def test_all_mounts_of_a_node_use_one_user() -> None:
    assert options_of("hdfs://nn/").user == "lake"
    assert options_of("hdfs://nn/", user="lake").user == "lake"
    with pytest.raises(BadOption, match="HADOOP_USER_NAME") as refused:
        options_of("hdfs://nn/", user="other")
    assert refused.value.subject == "user"


def test_without_hadoop_s_user_it_is_the_account() -> None:
    options, _ = hdfs_options("hdfs://nn/", {}, NOBODY_SET)
    assert options.user == pwd.getpwuid(os.getuid()).pw_name


@pytest.mark.parametrize(
    ("address", "forbidden"),
    [
        ("169.254.169.254", True),
        ("fe80::1%eth0", True),
        ("fd00:ec2::254", True),
        ("::ffff:169.254.0.1", True),
        ("100.100.100.200", True),
        ("0.0.0.0", True),  # noqa: S104 - nothing is bound
        ("127.0.0.3", False),
        ("10.1.2.3", False),
        ("2001:db8::1", False),
    ],
)
def test_metadata_services_are_forbidden(address: str, forbidden: bool) -> None:
    assert is_forbidden(address) == forbidden
