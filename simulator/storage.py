"""The store: rows of instruments as JSONL segments, written by one process each, read by any.

Each instrument has a directory of its own in the store. A row is one `os.write` to a file opened
with O_APPEND, so that a reader (`store_reader`) needs to know nothing of the writer. The format is
in docs/simulator.md.
"""

import contextlib
import errno
import fcntl
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import TypeVar

from orderflow.instruments import check_instrument
from simulator.segments import (
    LIVE,
    SEALED,
    Index,
    SealedSegment,
    StoreError,
    first_seqs,
    parse_head,
    seal,
    segment_path,
)
from simulator.stored_rows import Fetch, Head, parse_row, row_line

logger = logging.getLogger(__name__)

SEAL_BYTES = 64 << 20
SEAL_SECONDS = 3600.0
LOCK_NAME = ".lock"
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
WAIT_SECONDS = 0.5

Result = TypeVar("Result")


class StoreInUseError(StoreError):
    """Report that another fetcher, of process `pid`, writes an instrument at `path`."""

    def __init__(self, path: Path, pid: str) -> None:
        super().__init__(
            f"{path}: written by another fetcher, pid {pid}; wait for it, stop it, or name another "
            "directory with --store",
            path,
        )
        self.pid = pid


def wait_for_room(error: OSError) -> None:
    """Wait a little for room on the disk; `error` says what is missing."""
    time.sleep(WAIT_SECONDS)


class StoreWriter:
    """Append the rows of one instrument; the only writer of it, which a lock holds.

    Opening removes what a killed writer has left half done: the torn end of the last line is cut
    (`torn_bytes`), whole segments that were not sealed are sealed. A segment is sealed at
    `seal_bytes`, or `seal_seconds` after it was made, in a thread. While the disk is full
    `on_full` is called again and again, with the error: it waits, or raises to give up; then
    nothing of the row is stored.

    `last_seq` is the last row stored, 0 where there is none, `last_line` its text, `head` the last
    head. Raise `StoreError` where the store cannot be written.
    """

    def __init__(
        self,
        store: Path,
        instrument: str,
        *,
        seal_bytes: int = SEAL_BYTES,
        seal_seconds: float = SEAL_SECONDS,
        on_full: Callable[[OSError], None] = wait_for_room,
    ) -> None:
        check_instrument(instrument)
        self.directory = store / instrument
        self._seal_bytes, self._seal_ms = seal_bytes, seal_seconds * 1000
        self._on_full = on_full
        self.head: Head | None = None
        self.last_seq = 0
        self.last_line = b""
        self.torn_bytes = 0
        self._descriptor: int | None = None
        self._size = 0
        self._segment_ts = -inf
        self._next_head: Head | None = None
        self._sealer: threading.Thread | None = None
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._lock: int | None = _take_lock(self.directory)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            self._recover()
        except OSError as error:
            self.close()
            raise self._unusable(error) from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "StoreWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Flush the rows to the disk, let sealing end, and give the instrument free."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
        if self._sealer:
            self._sealer.join()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def begin(self, fetch: Fetch, *, snapshot: bool, shift_ms: int) -> None:
        """Say what the rows from now on belong to; the same fetch as the last one goes on.

        Rows of another fetch, or with another shift, go into a segment of their own.
        """
        last, head = self.head, Head("", fetch, 0, 0, snapshot, shift_ms, 0)
        goes_on = last is not None and last.fetch == fetch
        self._next_head = replace(
            head,
            store=last.store if last else secrets.token_hex(8),
            fetch_seq=last.fetch_seq if last and goes_on else self.last_seq + 1,
        )
        if last and replace(last, first_seq=0, created_ms=0) != self._next_head:
            self._close_segment()

    def go_on(self) -> None:
        """Say that the rows from now on belong to what the last one does."""
        self._next_head = self.head

    def append(self, ts: int, content: bytes) -> None:
        """Store the next row at `ts` ms; `content` as `stored_rows` makes it.

        A row earlier than the one before begins a segment: times never go back within one, so
        that a reader finds a time by bisection.
        """
        if ts < self._segment_ts:
            self._close_segment()
        line = row_line(self.last_seq + 1, ts, content)
        try:
            self._write(self._open_segment(), line)
        except OSError as error:
            raise self._unusable(error) from error
        self.last_seq += 1
        self.last_line = line
        self._segment_ts = ts

    def _open_segment(self) -> int:
        """Return the segment to append to, a new one where it is time for that."""
        if self._descriptor is not None and self.head is not None:
            age = time.time() * 1000 - self.head.created_ms
            if self._size < self._seal_bytes and age < self._seal_ms:
                return self._descriptor
            if self.head.first_seq <= self.last_seq:  # never an empty one
                self._close_segment()
        if self._descriptor is None:
            return self._make_segment()
        return self._descriptor

    def _make_segment(self) -> int:
        if self._next_head is None:
            msg = "begin() says what is stored before the first append()"
            raise ValueError(msg)
        first_seq = self.last_seq + 1
        head = replace(self._next_head, first_seq=first_seq, created_ms=int(time.time() * 1000))
        path = segment_path(self.directory, first_seq, LIVE)
        descriptor = self._waiting(lambda: _create(path))
        self._size = 0
        try:
            self._write(descriptor, head.line())
        except BaseException:
            os.close(descriptor)
            path.unlink()
            raise
        self.head, self._descriptor = head, descriptor
        self._seal_whole_ones()
        return descriptor

    def _check_still_there(self, descriptor: int) -> None:
        """Raise `StoreError` where the segment has been removed: nobody would read what follows."""
        if not os.fstat(descriptor).st_nlink:
            msg = (
                f"{self.directory} has been removed while it was written; rows up to "
                f"{self.last_seq} are lost with it, begin again"
            )
            raise StoreError(msg, self.directory)

    def _write(self, descriptor: int, line: bytes) -> None:
        """Append a whole line or nothing, however long the disk is full."""
        self._check_still_there(descriptor)

        def write() -> None:
            try:
                written = os.write(descriptor, line)
                while written < len(line):  # the next write says what hinders
                    written += os.write(descriptor, line[written:])
            except OSError:
                os.ftruncate(descriptor, self._size)
                raise

        self._waiting(write)
        self._size += len(line)

    def _waiting(self, attempt: Callable[[], Result]) -> Result:
        while True:
            try:
                return attempt()
            except OSError as error:
                if error.errno not in DISK_FULL:
                    raise
                self._on_full(error)

    def _close_segment(self) -> None:
        if self._descriptor is not None:
            os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
        self._segment_ts = -inf

    # -- sealing

    def _seal_whole_ones(self) -> None:
        """Seal, in a thread, every live segment but the one that is appended to."""
        if self._sealer:
            self._sealer.join()
        current = self.head.first_seq if self.head and self._descriptor is not None else 0
        waiting = [seq for seq in first_seqs(self.directory, LIVE) if seq != current]
        if not waiting:
            return
        self._sealer = threading.Thread(target=self._seal, args=(waiting,), name="sealer")
        self._sealer.start()

    def _seal(self, waiting: list[int]) -> None:
        for first_seq in waiting:
            try:
                seal(self.directory, first_seq)
            except OSError as error:  # most likely a full disk; the rows are there all the same
                path = segment_path(self.directory, first_seq, LIVE)
                logger.warning("%s is not sealed yet: %s; will try again", path, error.strerror)
                return

    # -- after a crash

    def _recover(self) -> None:
        for leftover in self.directory.glob(".*.tmp"):
            leftover.unlink()
        for first_seq in first_seqs(self.directory, SEALED):
            segment_path(self.directory, first_seq, LIVE).unlink(missing_ok=True)
        live = first_seqs(self.directory, LIVE)
        segments = first_seqs(self.directory, LIVE, SEALED)
        # One may have just been begun, with the one before it not sealed yet.
        while segments and segments[-1] in live and not self._open_last(segments[-1]):
            segments.pop()
        if self._descriptor is None and segments:
            self._look_at_whole(segments[-1])
        self._seal_whole_ones()

    def _open_last(self, first_seq: int) -> bool:
        """Open the last segment and cut its torn end; remove it where not even its head is whole.

        Return whether it is there.
        """
        path = segment_path(self.directory, first_seq, LIVE)
        found = _Lines.of(path)
        if not found.count:
            path.unlink()
            self.torn_bytes += found.torn
            return False
        self.head = self._check_head(parse_head(found.first, path), first_seq, path)
        self.last_seq = first_seq + found.count - 2
        self.last_line = found.last if found.count > 1 else self._last_line_before(first_seq)
        if found.count > 1 and not found.last.startswith(b'{"seq":%d,' % self.last_seq):
            msg = (
                f"{path} is damaged: its last row should be number {self.last_seq}; found "
                f"{found.last[:40]!r}; delete {self.directory} and fetch again"
            )
            raise StoreError(msg, path)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        self._size = found.size
        self._segment_ts = parse_row(found.last).ts if found.count > 1 else -inf
        if found.torn:
            os.ftruncate(self._descriptor, found.size)
            self.torn_bytes += found.torn
        return True

    def _look_at_whole(self, first_seq: int) -> None:
        """Learn from the last segment, which has been sealed, where to go on."""
        index = Index.read(self.directory, first_seq)
        path = segment_path(self.directory, first_seq, SEALED)
        self.head = self._check_head(index.head, first_seq, path)
        self.last_seq = index.last_seq
        self.last_line = _last_line(self.directory, first_seq)

    def _last_line_before(self, first_seq: int) -> bytes:
        """Return the last row before a segment without rows."""
        before = [seq for seq in first_seqs(self.directory, LIVE, SEALED) if seq < first_seq]
        return _last_line(self.directory, before[-1]) if before else b""

    def _check_head(self, head: Head, first_seq: int, path: Path) -> Head:
        if head.first_seq == first_seq and head.fetch.instrument == self.directory.name:
            return head
        msg = (
            f"{path} says it has rows of {head.fetch.instrument} from {head.first_seq} on; give it "
            "back its name, or name another directory with --store"
        )
        raise StoreError(msg, path)

    def _unusable(self, error: OSError) -> StoreError:
        if isinstance(error, StoreError):
            return error
        msg = (
            f"{self.directory} can't be written: {error.strerror or error}; make it writable, or "
            "name another directory with --store"
        )
        return StoreError(msg, self.directory)


@dataclass(frozen=True)
class _Lines:
    """What a segment has: whole lines, `size` bytes of them, and `torn` bytes after these."""

    first: bytes = b""
    last: bytes = b""
    count: int = 0
    size: int = 0
    torn: int = 0

    @classmethod
    def of(cls, path: Path) -> "_Lines":
        first = last = b""
        count = size = torn = 0
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    torn = len(line)
                    break
                first, last = first or line, line
                count, size = count + 1, size + len(line)
        return cls(first, last, count, size, torn)


def _last_line(directory: Path, first_seq: int) -> bytes:
    if segment_path(directory, first_seq, LIVE).exists():
        return _Lines.of(segment_path(directory, first_seq, LIVE)).last
    segment = SealedSegment(directory, first_seq)
    try:
        lines = segment.read(segment.index.last_seq)
    finally:
        segment.close()
    return lines[-1] + b"\n" if lines else b""


def _create(path: Path) -> int:
    path.unlink(missing_ok=True)  # of another fetch that ended before its first row
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)


def _take_lock(directory: Path) -> int:
    """Lock an instrument; the file stays for ever, so that no two can lock different ones."""
    path = directory / LOCK_NAME
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise StoreInUseError(directory, pid) from None
    with contextlib.suppress(OSError):  # the pid is for people; the lock holds without it
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor
