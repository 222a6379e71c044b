"""The Hadoop jars: what a NameNode and a DataNode need on their class path."""

import os
import shutil
import subprocess
import tarfile
import urllib.request
from pathlib import Path

from testbed.apt import install_package
from testbed.cache import cache_directory, made_once
from testbed.process import ComponentMissing

HADOOP_VERSION = "3.4.2"
MAVEN_VERSION = "3.9.16"
DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"

# Where Maven itself is fetched from when the machine has no `mvn`: the address of any
# repository that mirrors Maven Central.
REPOSITORY_VARIABLE = "FOREBAY_MAVEN_REPOSITORY"

# Hadoop's minicluster jar holds the servers, and shades all but these: Java left out JAXB
# after version 8, and without log4j the servers' logs are empty.
DEPENDENCIES = (
    ("org.apache.hadoop", "hadoop-client-minicluster", HADOOP_VERSION),
    ("org.apache.hadoop", "hadoop-client-api", HADOOP_VERSION),
    ("org.apache.hadoop", "hadoop-client-runtime", HADOOP_VERSION),
    ("javax.xml.bind", "jaxb-api", "2.3.1"),
    ("org.slf4j", "slf4j-reload4j", "1.7.36"),
)


def java() -> Path | None:
    """The Java to run servers with, from JAVA_HOME or the search path; None where there is none."""
    home = os.environ.get("JAVA_HOME")
    if home is not None and (Path(home) / "bin" / "java").is_file():
        return Path(home) / "bin" / "java"
    found = shutil.which("java")
    return Path(found) if found else None


def place() -> Path:
    """The directory that holds the jars once they are fetched."""
    return cache_directory() / f"hadoop-{HADOOP_VERSION}"


def hadoop_jars() -> Path:
    """The directory with the jars, fetched by Maven if they are not there yet."""
    return made_once(place(), _fetch)


def maven() -> Path:
    """The `mvn` command: the machine's own, or one fetched into the cache."""
    found = shutil.which("mvn")
    if found:
        return Path(found)
    if os.environ.get(REPOSITORY_VARIABLE):
        unpacked = made_once(cache_directory() / f"maven-{MAVEN_VERSION}", _fetch_maven)
        return unpacked / f"apache-maven-{MAVEN_VERSION}" / "bin" / "mvn"
    if install_package("maven"):
        return Path(shutil.which("mvn") or "/usr/bin/mvn")
    message = (
        "Hadoop's jars come from Maven Central, and there is no `mvn` here: install Maven "
        f"(Debian's package `maven`), or set {REPOSITORY_VARIABLE} to the address of a Maven "
        "repository, from which Maven itself is then fetched"
    )
    raise ComponentMissing(message)


def _fetch(directory: Path) -> None:
    project = directory / "pom.xml"
    project.write_text(_project())
    command = [
        str(maven()),
        "--batch-mode",
        "--quiet",
        f"--file={project}",
        f"{DEPENDENCY_PLUGIN}:copy-dependencies",
        f"-DoutputDirectory={directory}",
        "-DexcludeArtifactIds=junit,hamcrest-core",
    ]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        message = f"Maven could not fetch Hadoop {HADOOP_VERSION}:\n{finished.stdout[-3000:]}"
        raise ComponentMissing(message)


def _fetch_maven(directory: Path) -> None:
    repository = os.environ[REPOSITORY_VARIABLE].rstrip("/")
    name = f"apache-maven-{MAVEN_VERSION}-bin.tar.gz"
    address = f"{repository}/org/apache/maven/apache-maven/{MAVEN_VERSION}/{name}"
    archive = directory / name
    try:
        with urllib.request.urlopen(address, timeout=60) as body, archive.open("wb") as out:
            shutil.copyfileobj(body, out)
        with tarfile.open(archive) as packed:
            packed.extractall(directory, filter="data")
    except (OSError, tarfile.TarError) as problem:
        message = f"Maven {MAVEN_VERSION} could not be fetched from {REPOSITORY_VARIABLE}"
        raise ComponentMissing(message) from problem
    archive.unlink()


def _project() -> str:
    dependencies = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
        f"<version>{version}</version></dependency>\n"
        for group, artifact, version in DEPENDENCIES
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0">\n'
        "<modelVersion>4.0.0</modelVersion>\n"
        "<groupId>forebay</groupId><artifactId>testbed</artifactId><version>1</version>\n"
        "<packaging>pom</packaging>\n"
        f"<dependencies>\n{dependencies}</dependencies>\n</project>\n"
    )
