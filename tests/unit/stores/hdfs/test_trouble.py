"""HDFS's exceptions, as WebHDFS and hdfs-native tell them, become our errors."""

import pytest

from forebay.model.errors import (
    BadPath,
    DirectoryNotEmpty,
    FileExists,
    FileMissing,
    ForebayError,
    NoRoom,
    NotADirectory,
    NotAFile,
    StoreAway,
    StoreBusy,
    StoreRefused,
    StoreTrouble,
)
from forebay.stores.hdfs.trouble import trouble_of, trouble_of_native


@pytest.mark.parametrize(
    ("java_class", "message", "expected"),
    [
        ("FileNotFoundException", "File does not exist: /a", FileMissing),
        ("java.io.FileNotFoundException", "Path is not a file: /a", NotAFile),
        ("org.apache.hadoop.fs.FileAlreadyExistsException", "/a exists", FileExists),
        ("org.apache.hadoop.fs.ParentNotDirectoryException", "/a", NotADirectory),
        (
            "org.apache.hadoop.security.AccessControlException",
            "/a (is not a directory)",
            NotADirectory,
        ),
        (
            "org.apache.hadoop.security.AccessControlException",
            "Permission denied: user=x",
            StoreRefused,
        ),
        ("org.apache.hadoop.fs.PathIsNotEmptyDirectoryException", "/d", DirectoryNotEmpty),
        ("org.apache.hadoop.hdfs.protocol.NSQuotaExceededException", "quota", NoRoom),
        ("org.apache.hadoop.ipc.StandbyException", "not active", StoreAway),
        ("org.apache.hadoop.hdfs.server.namenode.SafeModeException", "safe mode", StoreAway),
        ("org.apache.hadoop.ipc.RetriableException", "later", StoreBusy),
        ("org.apache.hadoop.security.token.SecretManager$InvalidToken", "expired", StoreRefused),
        ("java.io.IOException", "Failed to find datanode, suggest to check", StoreAway),
        (
            "java.io.IOException",
            "Rename destination /d/e is a directory or file under source /d",
            BadPath,
        ),
    ],
)
def test_an_exception_is_known_by_its_name_or_its_text(
    java_class: str, message: str, expected: type[ForebayError]
) -> None:
    assert type(trouble_of(java_class, message, "/a")) is expected


def test_an_unknown_exception_keeps_its_name() -> None:
    trouble = trouble_of("com.example.OddException", "odd\n\tat com.example.Odd", "/a")
    assert type(trouble) is StoreTrouble
    assert trouble.reason == "OddException: odd"


def test_a_stack_is_left_out() -> None:
    problem = FileNotFoundError("File does not exist: /a\n\tat org.apache.hadoop.X(Y.java:1)")
    assert trouble_of_native(problem, "/a").reason == "File does not exist: /a"


def test_hdfs_native_tells_exceptions_as_rust_writes_them() -> None:
    text = (
        'RPCError("org.apache.hadoop.fs.PathIsNotEmptyDirectoryException", '
        '"`/d is non empty\': Directory is not empty\\n\\tat org.apache.X(Y.java:1)")'
    )
    trouble = trouble_of_native(RuntimeError(text), "/d")
    assert type(trouble) is DirectoryNotEmpty
    assert "Y.java" not in trouble.reason


class Panic(BaseException):
    """As pyo3's: no Exception."""


@pytest.mark.parametrize(
    "problem",
    [
        RuntimeError('DataTransferError("All DataNodes failed: []")'),
        ConnectionRefusedError(111, "Connection refused"),
        Panic("called `Option::unwrap()` on a `None` value"),
        RuntimeError(""),
    ],
)
def test_all_else_says_nothing_about_the_file(problem: BaseException) -> None:
    assert type(trouble_of_native(problem, "/a")) is StoreAway
