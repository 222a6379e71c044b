"""Local files: never outside of the directory, nothing left aside, each trouble by its name."""

import asyncio
import errno
import os
import pwd
import resource
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from forebay.model.conditions import IfAbsent
from forebay.model.errors import (
    BadPath,
    FileMissing,
    ForebayError,
    GenerationGone,
    NoRoom,
    NotAFile,
    ReadOnly,
    StoreAway,
    StoreMissing,
    StoreRefused,
    UploadMissing,
)
from forebay.model.paths import STORE_ROOT, StoreKey
from forebay.model.ranges import whole
from forebay.model.status import from_milliseconds, order_of
from forebay.stores.contract import Store, WriteOptions, pieces, read
from forebay.stores.local_files.descriptors import Descriptor, obtained, to_its_end
from forebay.stores.local_files.store import LocalFilesStore
from forebay.stores.local_files.trouble import speaking_of

A = StoreKey("a")
PLAIN = WriteOptions()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    return tmp_path / "root"


@pytest.fixture
def store(root: Path) -> Store:
    return LocalFilesStore(root)


async def content_of(store: Store, text: str) -> bytes:
    status = await store.stat(StoreKey(text))
    return await read(store, status, whole(status.size))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- links


@pytest.mark.parametrize("target", ["../outside", "/etc", "d/../../outside", "../root/d"])
async def test_nothing_is_reached_through_a_link_that_leads_out(
    root: Path, store: Store, target: str
) -> None:
    (root / "d").mkdir()
    (root / "link").symlink_to(target)
    link, below = StoreKey("link"), StoreKey("link/secret")
    for key in (link, below):
        for call in (
            store.stat(key),
            store.list(key),
            store.write(key, pieces(b"x"), PLAIN),
            store.delete(key),
            store.copy(key, A),
            store.rename(key, A),
            store.make_directory(below),
        ):
            with pytest.raises(BadPath, match="leads out"):
                await call
    assert (root.parent / "outside" / "secret").read_bytes() == b"secret"
    assert names_in(root.parent / "outside") == ["secret"]


async def test_a_link_that_leads_out_is_passed_over_and_counted(root: Path, store: Store) -> None:
    (root / "d").mkdir()
    (root / "d" / "out").symlink_to("../../outside")
    (root / "d" / "file-out").symlink_to(root.parent / "outside" / "secret")
    (root / "d" / "dangling").symlink_to("nothing")
    (root / "d" / "z").touch()
    for recursive in (False, True):
        page = await store.list(StoreKey("d"), recursive=recursive)
        assert [status.key.text for status in page.entries] == ["d/z"]
        assert page.unaddressable == 3


async def test_a_link_that_stays_inside_is_followed(root: Path, store: Store) -> None:
    await store.write(StoreKey("d/e/a"), pieces(b"hello"), PLAIN)
    (root / "latest").symlink_to("d/e")
    (root / "d" / "file").symlink_to("../latest/./a")
    assert await content_of(store, "latest/a") == b"hello"
    assert await content_of(store, "d/file") == b"hello"
    page = await store.list(STORE_ROOT)
    assert [order_of(status) for status in page.entries] == [b"d/", b"latest/"]
    page = await store.list(STORE_ROOT, recursive=True)
    assert [status.key.text for status in page.entries] == ["d/e/a", "d/file", "latest/a"]


async def test_a_removed_link_leaves_what_it_led_to(root: Path, store: Store) -> None:
    await store.write(A, pieces(b"hello"), PLAIN)
    (root / "link").symlink_to("a")
    await store.delete(StoreKey("link"))
    assert await content_of(store, "a") == b"hello"
    with pytest.raises(FileMissing):
        await store.stat(StoreKey("link"))


async def test_links_in_a_circle_end(root: Path, store: Store) -> None:
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    (root / "d").mkdir()
    (root / "d" / "up").symlink_to("../d")
    (root / "d" / "a").touch()
    with pytest.raises(BadPath, match="circle"):
        await store.stat(StoreKey("one/x"))
    page = await store.list(STORE_ROOT, recursive=True)
    assert [status.key.text for status in page.entries] == ["d/a"]
    assert page.unaddressable == 3


async def test_our_own_directory_is_not_reached_through_a_link(root: Path, store: Store) -> None:
    await store.write(A, pieces(b"x"), PLAIN)
    (root / "link").symlink_to(".forebay/tmp")
    with pytest.raises(BadPath):
        await store.list(StoreKey("link"))


async def test_our_own_directory_may_be_no_link(root: Path, store: Store) -> None:
    (root / ".forebay").symlink_to("../outside")
    with pytest.raises(ForebayError):
        await store.write(A, pieces(b"x"), PLAIN)
    assert names_in(root.parent / "outside") == ["secret"]


# --- what is no file


async def test_a_pipe_is_no_file_and_makes_nobody_wait(root: Path, store: Store) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(BadPath):
        await store.stat(StoreKey("pipe"))
    with pytest.raises(NotAFile):
        await store.copy(StoreKey("pipe"), A)
    page = await store.list(STORE_ROOT)
    assert (page.entries, page.unaddressable) == ((), 1)


async def test_names_that_are_not_utf_8_are_passed_over_and_counted(
    root: Path, store: Store
) -> None:
    (root / os.fsdecode(b"latin-\xe9")).touch()
    (root / "z").touch()
    for most in (1, 10):
        page = await store.list(STORE_ROOT, most=most)
        assert [status.key.text for status in page.entries] == ["z"]
        assert page.unaddressable == 1


async def test_a_name_too_long_for_the_file_system_is_refused(store: Store) -> None:
    with pytest.raises(BadPath):
        await store.write(StoreKey("x" * 256), pieces(b"x"), PLAIN)
    await store.write(StoreKey("x" * 255), pieces(b"x"), PLAIN)


# --- the pinned reader


async def test_a_file_changed_in_its_place_is_noticed(root: Path, store: Store) -> None:
    status = await store.write(A, pieces(b"0123456789"), PLAIN)
    reader = await store.open(status)
    assert [bytes(piece) async for piece in reader.stream(whole(10))] == [b"0123456789"]
    (root / "a").write_bytes(b"9876543210")
    with pytest.raises(GenerationGone):
        await reader.verify()
    await reader.close()


async def test_a_file_cut_short_while_it_is_read_is_gone(root: Path, store: Store) -> None:
    reader = await store.open(await store.write(A, pieces(b"0123456789"), PLAIN))
    os.truncate(root / "a", 5)
    with pytest.raises(GenerationGone):
        _ = [piece async for piece in reader.stream(whole(10))]
    await reader.close()


async def test_a_replaced_file_is_read_on_in_its_old_generation(store: Store) -> None:
    reader = await store.open(await store.write(A, pieces(b"old"), PLAIN))
    await store.write(A, pieces(b"new"), PLAIN)
    assert [bytes(piece) async for piece in reader.stream(whole(3))] == [b"old"]
    await reader.verify()
    await reader.close()
    with pytest.raises(StoreAway):
        await reader.verify()


async def test_contents_written_in_one_moment_have_their_own_fingerprints(root: Path) -> None:
    moment = 1_700_000_000_000_000_000
    store = LocalFilesStore(root, clock=lambda: moment)
    written = [await store.write(A, pieces(b"same"), PLAIN) for _ in range(20)]
    assert len({status.fingerprint for status in written}) == 20
    assert {status.modified_at for status in written} == {from_milliseconds(moment // 1_000_000)}


# --- what is aside


async def test_nothing_is_left_aside(root: Path, store: Store) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise ZeroDivisionError

    await store.write(A, pieces(b"x"), PLAIN)
    with pytest.raises(ZeroDivisionError):
        await store.write(A, broken(), PLAIN)
    with pytest.raises(ForebayError):
        await store.write(A, pieces(b"x"), WriteOptions(condition=IfAbsent()))
    await store.copy(A, StoreKey("b"))
    upload = await store.create_upload(A, PLAIN)
    part = await store.write_part(A, upload, 1, pieces(b"x"), 1)
    await store.complete_upload(A, upload, [part], PLAIN)
    assert names_in(root / ".forebay" / "tmp") == []
    assert names_in(root / ".forebay" / "mpu") == []


async def test_what_a_crash_left_aside_is_removed_after_a_day(root: Path) -> None:
    folder = root / ".forebay" / "tmp"
    folder.mkdir(parents=True)
    (folder / "old").touch()
    (folder / "young").touch()
    os.utime(folder / "old", (time.time() - 90_000, time.time() - 90_000))
    await LocalFilesStore(root).write(A, pieces(b"x"), PLAIN)
    assert names_in(root / ".forebay" / "tmp") == ["young"]


async def test_uploads_go_on_in_another_process(root: Path) -> None:
    first, second = LocalFilesStore(root), LocalFilesStore(root)
    upload = await first.create_upload(A, PLAIN)
    await first.write_part(A, upload, 1, pieces(b"one"), 3)
    await first.close()
    await second.write_part(A, upload, 2, pieces(b"two"), 3)
    parts = await second.list_parts(A, upload)
    await second.complete_upload(A, upload, parts, PLAIN)
    assert await content_of(second, "a") == b"onetwo"


@pytest.mark.parametrize("upload_id", ["..", "../tmp", "", ".", "a/b", "A" * 32, "0" * 31])
async def test_what_is_no_upload_id_never_becomes_a_name(
    root: Path, store: Store, upload_id: str
) -> None:
    # Whoever gets out of the directory of uploads finds what looks like one.
    for folder in (root, root / ".forebay", root / ".forebay" / "tmp", root / ".forebay/mpu/a/b"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "session.json").write_text('{"key": "a", "started_at": 0}')
    (root / ".forebay" / "mpu" / "session.json").write_text('{"key": "a", "started_at": 0}')
    with pytest.raises(UploadMissing):
        await store.list_parts(A, upload_id)
    await store.abort_upload(A, upload_id)
    assert (root / ".forebay" / "tmp" / "session.json").exists()


# --- the directory itself


async def test_a_missing_directory_is_a_missing_store(tmp_path: Path) -> None:
    store = LocalFilesStore(tmp_path / "none")
    for call in (store.check(), store.stat(A), store.list(STORE_ROOT)):
        with pytest.raises(StoreMissing):
            await call
    (tmp_path / "file").touch()
    with pytest.raises(StoreMissing):
        await LocalFilesStore(tmp_path / "file").check()


async def test_a_check_tells_where_it_is_and_how_much_room_there_is(
    root: Path, store: Store
) -> None:
    facts = await store.check()
    assert facts["directory"] == str(root)
    assert facts["writable"] == "yes"
    assert int(facts["free bytes"]) > 0


async def test_a_status_tells_the_owner_and_the_mode(root: Path, store: Store) -> None:
    await store.write(A, pieces(b"x"), PLAIN)
    (root / "a").chmod(0o640)
    ownership = (await store.stat(A)).ownership
    assert ownership is not None
    assert (ownership.owner, ownership.mode) == (pwd.getpwuid(os.getuid()).pw_name, 0o640)


async def test_a_large_directory_is_sorted_once_and_seen_fresh(root: Path) -> None:
    for number in range(2000):
        (root / f"{number:04d}").touch()
    os.utime(root, (time.time() - 60, time.time() - 60))
    store = LocalFilesStore(root)
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await store.list(STORE_ROOT, after=after, most=300)
        found += [status.key.text for status in page.entries]
        after = page.next_after
        if len(found) == 300:
            (root / "1500").unlink()
            (root / "1500-new").touch()
    expected = [f"{number:04d}" for number in range(2000)]
    expected[1500] = "1500-new"
    assert found == expected


async def test_a_change_in_the_same_tick_as_a_listing_is_seen(root: Path) -> None:
    (root / "a").touch()
    os.utime(root, ns=(10**18, 10**18))
    store = LocalFilesStore(root, clock=lambda: 10**18 + 1_000_000)
    assert len((await store.list(STORE_ROOT)).entries) == 1
    (root / "b").touch()
    os.utime(root, ns=(10**18, 10**18))
    assert len((await store.list(STORE_ROOT)).entries) == 2


# --- trouble


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, NoRoom),
        (errno.EDQUOT, NoRoom),
        (errno.EACCES, StoreRefused),
        (errno.EPERM, StoreRefused),
        (errno.EROFS, ReadOnly),
        (errno.ENAMETOOLONG, BadPath),
        (errno.EIO, StoreAway),
        (errno.ESTALE, StoreAway),
        (errno.EMFILE, StoreAway),
    ],
)
def test_each_trouble_has_its_name(number: int, expected: type[ForebayError]) -> None:
    with pytest.raises(expected) as caught, speaking_of(A):
        raise OSError(number, os.strerror(number))
    assert isinstance(caught.value.__cause__, OSError)


@pytest.fixture
def little_room() -> Iterator[None]:
    """No file of this process may grow beyond four mebibytes meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("little_room")
async def test_a_full_disk_is_no_room_and_leaves_the_old_file(root: Path, store: Store) -> None:
    await store.write(A, pieces(b"old"), PLAIN)
    with pytest.raises(NoRoom):
        await store.write(A, pieces(*[bytes(1 << 20)] * 6), PLAIN)
    assert await content_of(store, "a") == b"old"
    assert names_in(root / ".forebay" / "tmp") == []


# --- threads


async def test_a_descriptor_is_closed_by_the_last_who_uses_it() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    descriptor = Descriptor(reading)
    with descriptor.used(A) as number:
        descriptor.close()
        os.fstat(number)
        with pytest.raises(StoreAway), descriptor.used(A):
            pass
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reading)
    descriptor.close()


async def test_what_is_opened_too_late_is_given_back() -> None:
    may_end = asyncio.Event()
    loop = asyncio.get_running_loop()
    given_back = asyncio.Event()

    def work() -> str:
        asyncio.run_coroutine_threadsafe(may_end.wait(), loop).result()
        return "opened"

    def give_back(answer: str) -> None:
        assert answer == "opened"
        given_back.set()

    task = asyncio.create_task(obtained(work, give_back))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not given_back.is_set()
    may_end.set()
    await asyncio.wait_for(given_back.wait(), 10)


async def test_a_change_of_names_is_done_when_its_call_has_ended() -> None:
    may_end = asyncio.Event()
    loop = asyncio.get_running_loop()
    done: list[str] = []

    def work() -> None:
        asyncio.run_coroutine_threadsafe(may_end.wait(), loop).result()
        done.append("renamed")

    task = asyncio.create_task(to_its_end(work))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["renamed"]
