"""The files of an instrument in the store: live segments, and sealed ones with their index.

A segment is named by the `seq` of its first row. While rows are appended it is plain JSONL, a head
line first; sealed, it is zstd frames of `FRAME_ROWS` rows, the head in a frame of its own, so that
`cat` of segments is a stream of zstd again.
"""

import os
from bisect import bisect_right
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
    compressor = zstandard.ZstdCompressor(level=LEVEL)
    frames: list[tuple[int, int, int]] = []
    with live.open("rb") as lines, target.open("wb") as file:
        head_line = lines.readline()
        head = parse_head(head_line, live)
        file.write(compressor.compress(head_line))
        seq = head.first_seq
        while rows := list(islice(lines, FRAME_ROWS)):
            frames.append((seq, orjson.loads(rows[0])["ts"], file.tell()))
            file.write(compressor.compress(b"".join(rows)))
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
        frames = self.index.frames
        place = bisect_right(frames, seq, key=_first) - 1
        first, _, offset = frames[place]
        is_last = place + 1 == len(frames)
        end_seq, _, end = (
            (self.index.last_seq + 1, 0, self.index.size) if is_last else frames[place + 1]
        )
        try:
            packed = os.pread(self._descriptor, end - offset, offset)
            lines = zstandard.ZstdDecompressor().decompress(packed)[:-1].split(b"\n")
        except zstandard.ZstdError as error:
            msg = f"{self.path} is damaged at byte {offset}: {error}; delete it and fetch again"
            raise StoreError(msg, self.path) from error
        if len(lines) != end_seq - first:
            msg = (
                f"{self.path} is damaged at byte {offset}: {len(lines)} rows where the index has "
                f"{end_seq - first}; delete it and fetch again"
            )
            raise StoreError(msg, self.path)
        return lines[seq - first :]


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
