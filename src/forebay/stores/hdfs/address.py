"""The address of an HDFS: from a URI, options and Hadoop's own configuration files."""

import ipaddress
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from os import getuid
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from forebay.model.errors import BadOption, BadUri
from forebay.model.paths import OURS, STORE_ROOT, StoreKey

RPC_PORT: Final = 8020
HTTP_PORT: Final = 9870
DEADLINE: Final = timedelta(seconds=15)
STALL: Final = timedelta(seconds=20)

OPTION_NAMES: Final = ("user", "webhdfs", "hadoop.conf", "home", "deadline", "stall")

_METADATA_ADDRESSES: Final = frozenset(
    ipaddress.ip_address(text) for text in ("100.100.100.200", "fd00:ec2::254", "192.0.0.192")
)


@dataclass(frozen=True, slots=True)
class HdfsOptions:
    """Which HDFS, and how it is spoken to.

    Attributes:
        authority: `host:port` or the name of a nameservice.
        user: whom WebHDFS is told that we are; hdfs-native takes the process's user.
        webhdfs: the NameNodes' HTTP addresses; none: WebHDFS is not used.
        insists: WebHDFS was asked for by name: without it the store does not open.
        configuration_directory: Hadoop's own settings, for hdfs-native.
        settings: settings for hdfs-native that go before those of the directory.
        home: the directory below which `.forebay` may be made.
        deadline: the longest wait for one answer.
        stall: the longest wait for more bytes.
        threads: how many calls of hdfs-native may run (or hang) at once.
    """

    authority: str
    user: str
    webhdfs: tuple[str, ...] = ()
    insists: bool = False
    configuration_directory: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    home: StoreKey = STORE_ROOT
    deadline: timedelta = DEADLINE
    stall: timedelta = STALL
    threads: int = 32

    @property
    def uri(self) -> str:
        """The root of the store; also its identity."""
        return f"hdfs://{self.authority}"


def path_of(key: StoreKey) -> str:
    """The HDFS path of a key."""
    return f"/{key.text}"


def own_path(home: StoreKey, *names: str) -> str:
    """A path below `.forebay` in `home`, which no store key can name."""
    return "/".join(("" if home.is_root else path_of(home), OURS, *names))


def escaped(path: str) -> str:
    """An HDFS path as a part of a URL."""
    return quote(path, safe="/")


def is_forbidden(address: str) -> bool:
    """Whether an IP address is one that no mount and no redirect may lead to.

    Link-local ones, where cloud machines find their own credentials, and the other such services.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    parsed = parsed if mapped is None else mapped
    return parsed.is_link_local or parsed in _METADATA_ADDRESSES or parsed.is_unspecified


def read_configuration(directory: Path) -> dict[str, str]:
    """The settings of `core-site.xml` and `hdfs-site.xml`; a missing file has none."""
    settings: dict[str, str] = {}
    for name in ("core-site.xml", "hdfs-site.xml"):
        file = directory / name
        if not file.is_file():
            continue
        try:
            root = ElementTree.fromstring(file.read_bytes())
        except (ElementTree.ParseError, DefusedXmlException, OSError) as problem:
            raise BadOption("hadoop.conf", f"{file} cannot be read: {problem}") from problem
        for entry in root.iter("property"):
            settings[entry.findtext("name", "").strip()] = entry.findtext("value", "").strip()
    return settings


def hdfs_options(
    uri: str, given: Mapping[str, str], environment: Mapping[str, str]
) -> tuple[HdfsOptions, StoreKey]:
    """The options that `uri` and the mount options `given` make, and the key they point at.

    `environment` tells HADOOP_CONF_DIR and HADOOP_USER_NAME.

    Raises:
        BadUri: it names no HDFS.
        BadOption: an option is unknown, or its value is no good.
    """
    unknown = sorted(set(given) - set(OPTION_NAMES))
    if unknown:
        raise BadOption(unknown[0], f"is no option of HDFS; there are {', '.join(OPTION_NAMES)}")
    directory = given.get("hadoop.conf", environment.get("HADOOP_CONF_DIR")) or None
    if "hadoop.conf" in given and not Path(given["hadoop.conf"]).is_dir():
        raise BadOption("hadoop.conf", f"{given['hadoop.conf']} is no directory")
    configuration = {} if directory is None else read_configuration(Path(directory))
    authority, key = _located(uri, configuration)
    webhdfs = given.get("webhdfs")
    options = HdfsOptions(
        authority=authority,
        user=_user(given.get("user"), environment),
        webhdfs=_web_addresses(webhdfs, authority, configuration),
        insists=webhdfs not in (None, "none"),
        configuration_directory=None if directory is None else Path(directory),
        home=StoreKey(given.get("home", "").strip("/")),
        deadline=_seconds("deadline", given, DEADLINE),
        stall=_seconds("stall", given, STALL),
    )
    return options, key


def _located(uri: str, configuration: Mapping[str, str]) -> tuple[str, StoreKey]:
    """The authority and the key that `uri` names; without one, `fs.defaultFS` is taken."""
    parts = urlsplit(uri)
    if parts.scheme != "hdfs" or parts.query or parts.fragment:
        raise BadUri(uri, "is no hdfs://host:port/path")
    if "@" in parts.netloc:
        raise BadUri(uri, "names a user; use the option 'user'")
    netloc = parts.netloc
    if not netloc:
        default = urlsplit(configuration.get("fs.defaultFS", ""))
        if default.scheme != "hdfs" or not default.netloc:
            raise BadUri(uri, "names no host, and fs.defaultFS is not set in HADOOP_CONF_DIR")
        netloc = default.netloc
    key = StoreKey(unquote(parts.path).strip("/"))
    if ":" in netloc or netloc in _name_services(configuration):
        return netloc, key
    return f"{netloc}:{RPC_PORT}", key


def _name_services(configuration: Mapping[str, str]) -> list[str]:
    return [name.strip() for name in configuration.get("dfs.nameservices", "").split(",") if name]


def _web_addresses(
    given: str | None, authority: str, configuration: Mapping[str, str]
) -> tuple[str, ...]:
    """The HTTP addresses of the NameNodes: as given, or as configured, or at the usual port."""
    if given == "none":
        return ()
    if given is not None:
        addresses = tuple(text.strip().rstrip("/") for text in given.split(","))
        for address in addresses:
            parts = urlsplit(address)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path:
                raise BadOption("webhdfs", f"{address!r} is no http://host:port")
        return addresses
    secure = configuration.get("dfs.http.policy") == "HTTPS_ONLY"
    scheme = "https" if secure else "http"
    setting = f"dfs.namenode.{scheme}-address"
    if authority in _name_services(configuration):
        nodes = configuration.get(f"dfs.ha.namenodes.{authority}", "").split(",")
        names = [f"{setting}.{authority}.{node.strip()}" for node in nodes]
        found = [configuration[name] for name in names if configuration.get(name)]
        return tuple(f"{scheme}://{address}" for address in found)
    host = authority.rpartition(":")[0]
    _, _, port = configuration.get(setting, "").rpartition(":")
    default = urlsplit(configuration.get("fs.defaultFS", ""))
    if port and default.netloc == authority:
        return (f"{scheme}://{host}:{port}",)
    return (f"http://{host}:{HTTP_PORT}",)


def _user(given: str | None, environment: Mapping[str, str]) -> str:
    """The one HDFS user of this process: hdfs-native takes it from the process, not from us."""
    ours = environment.get("HADOOP_USER_NAME") or pwd.getpwuid(getuid()).pw_name
    if given is not None and given != ours:
        raise BadOption(
            "user",
            f"{given!r} is not {ours!r}: all HDFS mounts of a node use one user, "
            "which HADOOP_USER_NAME names where the node is started",
        )
    return ours


def _seconds(name: str, given: Mapping[str, str], default: timedelta) -> timedelta:
    if name not in given:
        return default
    try:
        seconds = float(given[name].removesuffix("s"))
    except ValueError as problem:
        raise BadOption(name, f"{given[name]!r} is no number of seconds") from problem
    if not 0 < seconds < float("inf"):
        raise BadOption(name, f"{given[name]!r} is no length of time")
    return timedelta(seconds=seconds)
