"""Read the store while it is written: whole rows in order, known by their `seq` alone."""

from pathlib import Path
from typing import NamedTuple

from orderflow.errors import UsageError
from orderflow.instruments import check_instrument
from simulator.segments import (
    LIVE,
    SEALED,
    LiveSegment,
    SealedSegment,
    StoreError,
    first_seqs,
    open_segment,
    segment_path,
)
from simulator.stored_rows import Head

ANY = LIVE, SEALED


class Rows(NamedTuple):
    """Rows as they stand in the store, without line breaks, the first one's `seq`, their head."""

    head: Head
    first_seq: int
    lines: list[bytes]


class StoreReader:
    """Read the rows of one instrument in order, those that are there and those that come.

    `from_seq` is the row to begin with, by default the first in the store. The store need not
    exist yet. Nothing in it is changed or locked.
    """

    def __init__(self, store: Path, instrument: str, from_seq: int | None = None) -> None:
        check_instrument(instrument)
        self.directory = store / instrument
        self.next_seq = from_seq
        self._segment: LiveSegment | SealedSegment | None = None
        self._store: str | None = None

    def close(self) -> None:
        """Let go of the files."""
        if self._segment:
            self._segment.close()
            self._segment = None

    def read(self) -> Rows | None:
        """Return the next rows, at most a frame or about a megabyte; None where none are new.

        Raise `StoreError` when rows are missing, a file is damaged, or the store was replaced by
        another while it was read.
        """
        while True:
            segment = self._segment or self._open()
            if segment is None or self.next_seq is None:
                return None
            head = segment.head
            if head is None:
                return None
            if lines := segment.read(self.next_seq):
                rows = Rows(head, self.next_seq, lines)
                self.next_seq += len(lines)
                return rows
            if not self._may_move_on(segment):
                return None
            self.close()

    def _open(self) -> LiveSegment | SealedSegment | None:
        """Open the segment of the next row; None where there is none yet."""
        while True:
            there = first_seqs(self.directory, LIVE, SEALED)
            wanted = self.next_seq
            before = [seq for seq in there if wanted is None or seq <= wanted]
            if not before:
                if there:
                    raise self._rows_missing(there[0])
                return None
            first_seq = before[0] if wanted is None else before[-1]
            try:
                segment = open_segment(self.directory, first_seq)
            except FileNotFoundError:
                continue  # sealed, or removed, since the names were listed
            if segment.head is None:
                segment.close()
                return None
            self._segment = segment
            self.next_seq = first_seq if wanted is None else wanted
            self._check_store(segment.head)
            return segment

    def _check_store(self, head: Head) -> None:
        if self._store not in (None, head.store):
            msg = f"{self.directory} was replaced by another store while it was read; begin again"
            raise StoreError(msg, self.directory)
        self._store = head.store

    def _may_move_on(self, segment: LiveSegment | SealedSegment) -> bool:
        """Return whether all rows of a segment have been read and another one has the next."""
        next_seq = self.next_seq or 0
        if segment.head is not None and segment.head.first_seq != next_seq:
            paths = (segment_path(self.directory, next_seq, suffix) for suffix in (LIVE, SEALED))
            if any(path.exists() for path in paths):
                return True
        if isinstance(segment, LiveSegment) and segment.is_replaced:
            return True
        there = first_seqs(self.directory, LIVE, SEALED)
        if isinstance(segment, SealedSegment) and next_seq not in there and there[-1:] > [next_seq]:
            raise self._rows_missing(next(seq for seq in there if seq > next_seq))
        return False

    def _rows_missing(self, found: int) -> StoreError:
        msg = (
            f"{self.directory} has no row {self.next_seq}, and the next one there is {found}: a "
            "segment has been removed; begin at a row that is there"
        )
        return StoreError(msg, self.directory)


def newest_fetch(store: Path, instrument: str) -> Head | None:
    """Return the head of an instrument's last segment; None where there is no row yet.

    A book is built from its `fetch_seq` on. Raise `StoreError` as `StoreReader` does.
    """
    directory = store / instrument
    for first_seq in reversed(first_seqs(directory, LIVE, SEALED)):
        reader = StoreReader(store, instrument, first_seq)
        try:
            rows = reader.read()
        finally:
            reader.close()
        if rows:
            return rows.head
    return None


def instruments_in(store: Path) -> list[str]:
    """List the instruments that have a segment in the store, by name; none where it is not there.

    Directories with names that no instrument has are no part of it. Raise `StoreError` where the
    store is no directory, or can't be read.
    """
    try:
        names = sorted(path.name for path in store.iterdir() if path.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        msg = f"{store} can't be read as a store ({error.strerror}); name a directory with --store"
        raise StoreError(msg, store) from error
    return [name for name in names if _is_instrument(name) and first_seqs(store / name, *ANY)]


def _is_instrument(name: str) -> bool:
    try:
        check_instrument(name)
    except UsageError:
        return False
    return True
