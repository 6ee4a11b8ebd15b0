"""The files of an instrument in the store: live segments, and sealed ones with their index.

A segment is named by the `seq` of its first row. While rows are appended it is plain JSONL, a head
line first; sealed, it is zstd frames of `FRAME_ROWS` rows, the head in a frame of its own, so that
`cat` of segments is a stream of zstd again.
"""

import os
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import zstandard

from orderflow.errors import OutputError
from simulator.stored_rows import SCHEMA, Head

FRAME_ROWS = 256
"""Rows of a frame: 5.7 times smaller at level 3, where a frame a row gives 3.4."""
LEVEL = 3
BLOCK_BYTES = 1 << 20
PIECE_BYTES = 128 << 10
"""The most that is read at once of bytes that go out as they are."""
LIVE, SEALED, INDEX = ".jsonl", ".jsonl.zst", ".index.json"


class StoreError(OutputError):
    """Report a store, or a part of it at `path`, that cannot be used."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


def segment_path(directory: Path, first_seq: int, suffix: str) -> Path:
    """Return the name of a segment's file; names sort like the segments."""
    return directory / f"{first_seq:020}{suffix}"


def first_seqs(directory: Path, *suffixes: str) -> list[int]:
    """List the segments that have a file with one of `suffixes`, by their first `seq`."""
    try:
        names = [path.name for path in directory.iterdir()]
    except FileNotFoundError:
        return []
    found = {
        int(stem)
        for stem, dot, rest in (name.partition(".") for name in names)
        if dot + rest in suffixes and stem.isdecimal()
    }
    return sorted(found)


def parse_head(line: bytes, path: Path) -> Head:
    """Read the head line of the segment at `path`; raise `StoreError` when it is none."""
    try:
        return Head.parse(line)
    except ValueError as error:
        msg = f"{path} is no segment that this version reads: {error}"
        raise StoreError(msg, path) from error


def pack(lines: bytes) -> bytes:
    """Compress whole lines into a frame; its checksum shows any damage to who unpacks it."""
    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress(lines)


def stored_bytes(descriptor: int, begin: int, end: int, path: Path) -> Iterator[bytes]:
    """Yield the bytes `begin` to `end` of a file, in pieces; raise `StoreError` where it is cut."""
    while begin < end:
        piece = os.pread(descriptor, min(PIECE_BYTES, end - begin), begin)
        if not piece:
            msg = f"{path} is damaged: it ends at byte {begin}, before {end}; fetch again"
            raise StoreError(msg, path)
        begin += len(piece)
        yield piece


def seal(directory: Path, first_seq: int) -> None:
    """Replace a live segment, which nobody appends to any more, by a sealed one and its index.

    Both are written under other names, flushed to the disk and renamed, the index first: a sealed
    segment that has its name is whole and has an index. Raise `OSError` when there is no room; the
    live segment is then still there.
    """
    live, sealed, index = (segment_path(directory, first_seq, s) for s in (LIVE, SEALED, INDEX))
    temporary, temporary_index = (path.with_name(f".{path.name}.tmp") for path in (sealed, index))
    try:
        said = _write_frames(live, temporary)
        with temporary_index.open("wb") as file:
            file.write(orjson.dumps(said))
            _flush(file.fileno(), file)
        temporary_index.replace(index)
        temporary.replace(sealed)
        flush_directory(directory)
    finally:
        temporary.unlink(missing_ok=True)
        temporary_index.unlink(missing_ok=True)
    live.unlink()


def _write_frames(live: Path, target: Path) -> dict[str, Any]:
    """Write a segment as frames; return its index."""
    frames: list[tuple[int, int, int]] = []
    with live.open("rb") as lines, target.open("wb") as file:
        head_line = lines.readline()
        head = parse_head(head_line, live)
        file.write(pack(head_line))
        seq = head.first_seq
        while rows := list(islice(lines, FRAME_ROWS)):
            frames.append((seq, orjson.loads(rows[0])["ts"], file.tell()))
            file.write(pack(b"".join(rows)))
            seq += len(rows)
        size = file.tell()
        _flush(file.fileno(), file)
    return {
        "schema": SCHEMA,
        "head": head.as_dict(),
        "rows": seq - head.first_seq,
        "bytes": size,
        "frames": frames,
    }


def _flush(descriptor: int, file: Any) -> None:
    file.flush()
    os.fsync(descriptor)


def flush_directory(directory: Path) -> None:
    """Flush to the disk which files a directory has."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Index:
    """What the index of a sealed segment says; a frame is `(first seq, first ts, offset)`."""

    head: Head
    rows: int
    size: int
    frames: list[tuple[int, int, int]]

    @classmethod
    def read(cls, directory: Path, first_seq: int) -> "Index":
        """Read the index of a segment; raise `StoreError` when it is none."""
        path = segment_path(directory, first_seq, INDEX)
        try:
            said = orjson.loads(path.read_bytes())
            head = Head.parse(orjson.dumps(said["head"]))
            frames = [(seq, ts, offset) for seq, ts, offset in said["frames"]]
            return cls(head, said["rows"], said["bytes"], frames)
        except (ValueError, KeyError, TypeError) as error:
            msg = f"{path} is no index that this version reads: {error}"
            raise StoreError(msg, path) from error

    @property
    def last_seq(self) -> int:
        """Return the `seq` of the last row; one before the first where there is none."""
        return self.head.first_seq + self.rows - 1


class SealedSegment:
    """Read the rows of a sealed segment, a frame at a time."""

    def __init__(self, directory: Path, first_seq: int) -> None:
        self.path = segment_path(directory, first_seq, SEALED)
        self._descriptor = os.open(self.path, os.O_RDONLY)
        try:
            self.index = Index.read(directory, first_seq)
        except FileNotFoundError as error:  # an index has its name before the segment has
            os.close(self._descriptor)
            msg = f"{self.path} has no index; delete it and fetch again"
            raise StoreError(msg, self.path) from error
        except BaseException:
            os.close(self._descriptor)
            raise
        self.head: Head = self.index.head

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def read(self, seq: int) -> list[bytes]:
        """Return rows from `seq` on, to the end of its frame; none after the last row.

        Raise `StoreError` when the file is damaged.
        """
        if seq > self.index.last_seq:
            return []
        place = bisect_right(self.index.frames, seq, key=_first) - 1
        lines = self.frame(place)[:-1].split(b"\n")
        return lines[seq - self.index.frames[place][0] :]

    def offset(self, place: int) -> int:
        """Return where a frame begins; with the number of frames, where the last one ends."""
        frames = self.index.frames
        return self.index.size if place == len(frames) else frames[place][2]

    def stored(self, begin: int, end: int) -> Iterator[bytes]:
        """Yield bytes of the file as they are; raise `StoreError` where it is cut."""
        return stored_bytes(self._descriptor, begin, end, self.path)

    def frame(self, place: int) -> bytes:
        """Return the lines of a frame; raise `StoreError` when it is damaged."""
        frames, index = self.index.frames, self.index
        end_seq = frames[place + 1][0] if place + 1 < len(frames) else index.last_seq + 1
        lines = self._unpacked(self.offset(place), self.offset(place + 1))
        found, expected = lines.count(b"\n"), end_seq - frames[place][0]
        if found != expected or not lines.endswith(b"\n"):
            msg = (
                f"{self.path} is damaged at byte {self.offset(place)}: {found} rows where the "
                f"index has {expected}; delete it and fetch again"
            )
            raise StoreError(msg, self.path)
        return lines

    def head_line(self) -> bytes:
        """Return the head as it is stored, with its line break."""
        return self._unpacked(0, self.offset(0))

    def _unpacked(self, begin: int, end: int) -> bytes:
        packed = b"".join(self.stored(begin, end))
        try:
            return zstandard.ZstdDecompressor().decompress(packed)
        except (zstandard.ZstdError, MemoryError) as error:  # a damaged size may be a huge one
            msg = f"{self.path} is damaged at byte {begin}: {error}; delete it and fetch again"
            raise StoreError(msg, self.path) from error


def _first(frame: tuple[int, int, int]) -> int:
    return frame[0]


class LiveSegment:
    """Read the rows of a live segment as they come, up to the last line break there is."""

    def __init__(self, directory: Path, first_seq: int) -> None:
        self.path = segment_path(directory, first_seq, LIVE)
        self._descriptor = os.open(self.path, os.O_RDONLY)
        self._offset = 0
        self._block = BLOCK_BYTES
        self._seq = first_seq
        self._head: Head | None = None

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    @property
    def head(self) -> Head | None:
        """Return the head; None while it is not whole."""
        if self._head is None:
            line, line_break, _ = os.pread(self._descriptor, BLOCK_BYTES, 0).partition(b"\n")
            if line_break:
                self._head, self._offset = parse_head(line, self.path), len(line) + 1
        return self._head

    def stored(self, begin: int, end: int) -> Iterator[bytes]:
        """Yield bytes of the file as they are; raise `StoreError` where it is cut."""
        return stored_bytes(self._descriptor, begin, end, self.path)

    def whole_size(self) -> int:
        """Return how many bytes of whole lines it has now."""
        end = os.fstat(self._descriptor).st_size
        while end > 0:
            begin = max(0, end - PIECE_BYTES)
            # Less than that where a torn line has just been cut off: no line ended in it.
            line_break = os.pread(self._descriptor, end - begin, begin).rfind(b"\n")
            if line_break >= 0:
                return begin + line_break + 1
            end = begin
        return 0

    @property
    def is_replaced(self) -> bool:
        """Return whether its name is another file's by now, or nobody's."""
        try:
            return not os.path.samestat(self.path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return True

    def read(self, seq: int) -> list[bytes]:
        """Return whole rows from `seq` on, about `BLOCK_BYTES` of them; none where none are new.

        Successive calls ask for what follows. What has no line break yet is read again next time.
        """
        if self.head is None:
            return []
        while True:
            found = os.pread(self._descriptor, self._block, self._offset)
            end = found.rfind(b"\n") + 1
            if not end:
                if len(found) < self._block:
                    return []
                self._block *= 2  # a row longer than all that was read
                continue
            lines = found[: end - 1].split(b"\n")
            skipped = seq - self._seq
            self._offset += end
            self._seq += len(lines)
            self._block = BLOCK_BYTES
            if skipped < len(lines):
                return lines[skipped:]


def open_segment(directory: Path, first_seq: int) -> LiveSegment | SealedSegment:
    """Open a segment, sealed or live; raise `FileNotFoundError` when it is neither."""
    try:
        return SealedSegment(directory, first_seq)
    except FileNotFoundError:
        try:
            return LiveSegment(directory, first_seq)
        except FileNotFoundError:
            return SealedSegment(directory, first_seq)  # sealed between the two
