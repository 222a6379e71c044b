"""The writer of held blocks: enters, confirms and drops, a batch a commit."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from forebay.model.ranges import block_count
from forebay.shelf.blocks import (
    FILE_KEY,
    FILE_ROW,
    GROUP_BLOCKS,
    SEGMENT_KEY,
    SUMS_KEY,
    BlocksDatabase,
    HeldFile,
    SegmentRecord,
    decode_segment,
    encode_segment,
)
from forebay.shelf.changes import Transaction, changing
from forebay.shelf.marks import Marks, slot_of


@dataclass(frozen=True, slots=True)
class Entered:
    """Blocks that were written to a segment file and are whole.

    Attributes:
        file: the segment file.
        generation: whose bytes they are.
        segment: which segment of it.
        size: bytes of the segment, held or not.
        held: bytes of disk that the whole file is counted with from now on.
        sums: block -> its checksum.
        first: whether the file was not in the index before.
    """

    file: int
    generation: bytes
    segment: int
    size: int
    held: int
    sums: Mapping[int, int]
    first: bool


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A segment whose blocks were all read and compared with their checksums.

    `damaged` are those that were not right: they are held no longer.
    """

    file: int
    generation: bytes
    segment: int
    damaged: frozenset[int] = frozenset()


class BlocksWriter:
    """Changes the index; one caller at a time, in a thread (a commit may wait for the disk)."""

    def __init__(self, database: BlocksDatabase, marks: Marks, run: int) -> None:
        self._database = database
        self._marks = marks
        self._run = run

    def enter(self, batch: Sequence[Entered]) -> list[Entered]:
        """Enter blocks, all in one commit. Returns those refused: their file is held no longer."""
        slots = [slot_of(entered.generation) for entered in batch]
        with changing(self._database.environment, self._marks, slots) as transaction:
            return [entered for entered in batch if not self._enter(transaction, entered)]

    def confirm(self, confirmed: Confirmed) -> int | None:
        """Note that a segment was verified in this run.

        Returns how many blocks are left (with 0 the file is to be unlinked), or None if its file
        is held no longer.
        """
        key = SEGMENT_KEY.pack(confirmed.generation, confirmed.segment)
        slots = (slot_of(confirmed.generation),)
        with changing(self._database.environment, self._marks, slots) as transaction:
            record = self._record(transaction, key)
            if record is None or record.file != confirmed.file:
                return None
            left = record.bits & ~bits_of(confirmed.damaged)
            if left:
                self._put(transaction, key, record, left)
            else:
                self._forget(transaction, key, record)
            return left.bit_count()

    def drop(self, files: Iterable[HeldFile]) -> list[HeldFile]:
        """Hold these no longer. Returns those that were held, as the index counted them.

        Their files are to be unlinked after it, never before.
        """
        dropped = list(files)
        slots = [slot_of(file.generation) for file in dropped]
        gone: list[HeldFile] = []
        with changing(self._database.environment, self._marks, slots) as transaction:
            for file in dropped:
                key = SEGMENT_KEY.pack(file.generation, file.segment)
                record = self._record(transaction, key)
                row = transaction.get(FILE_KEY.pack(file.file), db=self._database.files)
                if record is not None and record.file == file.file and row is not None:
                    self._forget(transaction, key, record)
                    gone.append(HeldFile(file.file, *FILE_ROW.unpack(row)))
        return gone

    def _enter(self, transaction: Transaction, entered: Entered) -> bool:
        key = SEGMENT_KEY.pack(entered.generation, entered.segment)
        record = self._record(transaction, key)
        if record is None and not entered.first:
            return False
        if record is None:
            record = SegmentRecord(entered.file, 0, entered.size, 0, self._run, b"\0")
        elif record.file != entered.file:
            return False
        self._put(transaction, key, record, record.bits | bits_of(entered.sums))
        row = FILE_ROW.pack(entered.generation, entered.segment, entered.held)
        transaction.put(FILE_KEY.pack(entered.file), row, db=self._database.files)
        self._put_sums(transaction, entered)
        return True

    def _put_sums(self, transaction: Transaction, entered: Entered) -> None:
        for group, blocks in groupby(sorted(entered.sums), lambda block: block // GROUP_BLOCKS):
            key = SUMS_KEY.pack(entered.file, group)
            sums = array("I", transaction.get(key, b"", db=self._database.sums))
            for block in blocks:
                place = block % GROUP_BLOCKS
                sums.extend([0] * (place + 1 - len(sums)))
                sums[place] = entered.sums[block]
            transaction.put(key, sums.tobytes(), db=self._database.sums)

    def _record(self, transaction: Transaction, key: bytes) -> SegmentRecord | None:
        raw = transaction.get(key, db=self._database.segments)
        return None if raw is None else decode_segment(raw)

    def _put(self, transaction: Transaction, key: bytes, record: SegmentRecord, bits: int) -> None:
        bitmap = bitmap_of(bits, block_count(record.size))
        changed = SegmentRecord(
            record.file, record.offset, record.size, record.tier, self._run, bitmap
        )
        transaction.put(key, encode_segment(changed), db=self._database.segments)

    def _forget(self, transaction: Transaction, key: bytes, record: SegmentRecord) -> None:
        transaction.delete(key, db=self._database.segments)
        transaction.delete(FILE_KEY.pack(record.file), db=self._database.files)
        groups = -(-block_count(record.size) // GROUP_BLOCKS)
        for group in range(groups):
            transaction.delete(SUMS_KEY.pack(record.file, group), db=self._database.sums)


def bits_of(blocks: Iterable[int]) -> int:
    """These blocks as bits of a number."""
    bits = 0
    for block in blocks:
        bits |= 1 << block
    return bits


def bitmap_of(bits: int, count: int) -> bytes:
    """The bitmap of the blocks in `bits`, out of `count`; b"" when it is all of them."""
    if bits == (1 << count) - 1:
        return b""
    return bits.to_bytes(-(-count // 8), "little")
