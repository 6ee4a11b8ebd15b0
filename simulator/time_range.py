"""Find the rows of a range of time in the store, and give them out in bytes as they are stored.

Times never go back within a segment (see `storage`), so that a place in one is found by bisection.
From one segment to the next they may: a later fetch can begin before an earlier one ended. So each
segment is asked for its part of the range, in their order.
"""

import re
from bisect import bisect_left
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from simulator.segments import (
    LIVE,
    SEALED,
    LiveSegment,
    SealedSegment,
    StoreError,
    first_seqs,
    open_segment,
    pack,
)

PACK_BYTES = 256 << 10
"""About how much of a live segment goes into one frame."""
SLICE_BYTES = 256 << 10
"""The most of a decoded frame at once; frames of real recordings seldom have more."""
_PLACE = re.compile(rb'\{"seq":(\d+),"ts":(-?\d+),')
_PLACE_BYTES = 64
_SEARCH_BYTES = 4096


@dataclass(frozen=True)
class TimeRange:
    """Times from `start`, included, to `end`, not included, in ms; None where it is open."""

    start: int | None = None
    end: int | None = None


def stored_between(
    directory: Path, wanted: TimeRange, *, packed: bool
) -> Generator[bytes, None, None]:
    """Yield the rows of an instrument in a range of time, as lines, in the order of the store.

    Before the rows of each segment that has any comes its head. With `packed` all of it is zstd
    frames of whole lines, those within the range as they are stored. A piece is at most about a
    frame. What is stored while this goes on may be left out, nothing before it. Nothing in the
    store is locked, and one segment at a time is open.

    Raise `StoreError` where a segment is damaged or missing, or the store was replaced by another.
    """
    seams = _Seams(directory)
    for part in _parts(directory):
        with closing(part):
            pieces = part.pieces(wanted, packed=packed)
            first = next(pieces, None)
            if first is not None:
                from_first_row = wanted.start is None or part.first_ts >= wanted.start
                seams.check(part, from_first_row=from_first_row)
                yield part.head(packed=packed)
                yield first
                yield from pieces
            seams.last_seq = part.last_seq


def seq_at(store: Path, instrument: str, ts: int) -> int | None:
    """Return the `seq` of the first row, in the order of the store, at `ts` ms or later.

    None where there is none yet. Its segment's head has the `fetch_seq` to build a book from.
    """
    for part in _parts(store / instrument):
        with closing(part):
            seq = part.seq_at(ts)
            if seq is not None:
                return seq
    return None


def _parts(directory: Path) -> Iterator["_LivePart | _SealedPart"]:
    """Open the segments that are there now and have rows, one after the other."""
    for first_seq in first_seqs(directory, LIVE, SEALED):
        try:
            segment = open_segment(directory, first_seq)
        except FileNotFoundError:
            continue  # removed since it was listed: where it had rows, a seam does not fit
        part = _SealedPart(segment) if isinstance(segment, SealedSegment) else _LivePart(segment)
        if part.is_empty:
            part.close()
            continue
        yield part


class _Seams:
    """Check that what is given out of two segments has nothing between, and is of one store."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._store: str | None = None
        self.last_seq: int | None = None

    def check(self, part: "_LivePart | _SealedPart", *, from_first_row: bool) -> None:
        """Raise `StoreError` unless the segment of a part goes on where the one before ended.

        The first one given out may begin anywhere: rows between count only if they can be of the
        range, which they can't where the part begins later than with its `from_first_row`.
        """
        head = part.segment_head
        if self._store not in (None, head.store):
            msg = f"{self._directory} was replaced by another store while it was read; ask again"
            raise StoreError(msg, self._directory)
        gap = self.last_seq is not None and self.last_seq + 1 != head.first_seq
        if gap and (from_first_row or self._store is not None):
            msg = (
                f"{self._directory} has no rows after {self.last_seq}, and the next one there is "
                f"{head.first_seq}: a segment has been removed; ask for times before or after"
            )
            raise StoreError(msg, self._directory)
        self._store = head.store


def _place(line: bytes, path: Path) -> tuple[int, int]:
    """Return the `seq` and the `ts` of a row, of which the beginning is enough."""
    found = _PLACE.match(line)
    if not found:
        msg = f"{path} is damaged: a row was expected; found {line[:40]!r}; fetch again"
        raise StoreError(msg, path)
    return int(found[1]), int(found[2])


class _SealedPart:
    """Rows of a sealed segment; frames at the edges of a range are decoded, none between."""

    def __init__(self, segment: SealedSegment) -> None:
        self._segment = segment
        self._frames = segment.index.frames
        self.segment_head = segment.head
        self.last_seq = segment.index.last_seq
        self.close = segment.close

    @property
    def is_empty(self) -> bool:
        return not self._frames

    @property
    def first_ts(self) -> int:
        return self._frames[0][1]

    def head(self, *, packed: bool) -> bytes:
        """Return the head, as stored or as a line."""
        if packed:
            return b"".join(self._segment.stored(0, self._segment.offset(0)))
        return self._segment.head_line()

    def seq_at(self, ts: int) -> int | None:
        """Return the first row at `ts` or later."""
        place = self._last_before(ts)
        lines = self._cut(place, TimeRange(ts))
        if lines:
            return _place(lines[0], self._segment.path)[0]
        return self._frames[place + 1][0] if place + 1 < len(self._frames) else None

    def pieces(self, wanted: TimeRange, *, packed: bool) -> Iterator[bytes]:
        """Yield the rows of a range; nothing where there is none."""
        first, stop = 0, len(self._frames)
        if wanted.end is not None:
            stop = bisect_left(self._frames, wanted.end, key=itemgetter(1))
        if wanted.start is not None:
            first = self._last_before(wanted.start)
        first = min(first, stop)
        whole, whole_stop = first, stop
        if wanted.start is not None and first < stop and self._frames[first][1] < wanted.start:
            whole += 1
        if wanted.end is not None:  # rows after the last that begins before may be later still
            whole_stop = max(whole, stop - 1)
        yield from self._edges(range(first, whole), wanted, packed=packed)
        yield from self._whole(whole, whole_stop, packed=packed)
        yield from self._edges(range(whole_stop, stop), wanted, packed=packed)

    def _last_before(self, ts: int) -> int:
        """Return the last frame that begins before `ts`: the first that may have rows from it."""
        return max(0, bisect_left(self._frames, ts, key=itemgetter(1)) - 1)

    def _edges(self, places: range, wanted: TimeRange, *, packed: bool) -> Iterator[bytes]:
        for place in places:
            if lines := self._cut(place, wanted):
                rows = b"\n".join(lines) + b"\n"
                yield from [pack(rows)] if packed else _sliced(rows)

    def _cut(self, place: int, wanted: TimeRange) -> list[bytes]:
        """Return the rows of a frame that are in the range."""
        lines = self._segment.frame(place)[:-1].split(b"\n")
        times = [_place(line, self._segment.path)[1] for line in lines]
        first = 0 if wanted.start is None else bisect_left(times, wanted.start)
        stop = len(lines) if wanted.end is None else bisect_left(times, wanted.end)
        return lines[first:stop]

    def _whole(self, first: int, stop: int, *, packed: bool) -> Iterator[bytes]:
        if packed:
            yield from self._segment.stored(self._segment.offset(first), self._segment.offset(stop))
            return
        for place in range(first, stop):
            yield from _sliced(self._segment.frame(place))


def _sliced(lines: bytes) -> Iterator[bytes]:
    for begin in range(0, len(lines), SLICE_BYTES):
        yield lines[begin : begin + SLICE_BYTES]


class _LivePart:
    """Rows of a live segment, up to the last line break that it had when it was opened."""

    def __init__(self, segment: LiveSegment) -> None:
        self._segment = segment
        self._path = segment.path
        self.close = segment.close
        self._begin = self._end = 0
        head = segment.head
        if head is not None:
            self.segment_head = head
            self._end = segment.whole_size()
            self._begin = self._line_at(1, self._end)

    @property
    def is_empty(self) -> bool:
        return self._begin >= self._end

    @property
    def first_ts(self) -> int:
        return self._place_at(self._begin)[1]

    @property
    def last_seq(self) -> int:
        return self._place_at(self._last_line())[0]

    def head(self, *, packed: bool) -> bytes:
        """Return the head as a line, or as a frame."""
        line = self._bytes(0, self._begin)
        return pack(line) if packed else line

    def seq_at(self, ts: int) -> int | None:
        """Return the first row at `ts` or later."""
        offset = self._offset_of(ts)
        return self._place_at(offset)[0] if offset < self._end else None

    def pieces(self, wanted: TimeRange, *, packed: bool) -> Iterator[bytes]:
        """Yield the rows of a range; nothing where there is none."""
        begin = self._begin if wanted.start is None else self._offset_of(wanted.start)
        end = self._end if wanted.end is None else self._offset_of(wanted.end)
        if not packed:
            yield from self._segment.stored(begin, end)
            return
        while begin < end:
            stop = self._line_at(min(begin + PACK_BYTES, end), end)
            yield pack(self._bytes(begin, stop))
            begin = stop

    def _offset_of(self, ts: int) -> int:
        """Return where the first row at `ts` or later begins; the end where there is none."""
        low, high = self._begin, self._end  # rows before `low` are earlier, from `high` on later
        while low < high:
            middle = (low + high) // 2
            start = self._line_at(middle, self._end)
            if start >= high:
                high = middle
            elif self._place_at(start)[1] < ts:
                low = self._line_at(start + 1, self._end)
            else:
                high = start
        return low

    def _place_at(self, offset: int) -> tuple[int, int]:
        return _place(self._bytes(offset, min(offset + _PLACE_BYTES, self._end)), self._path)

    def _line_at(self, offset: int, end: int) -> int:
        """Return the first beginning of a line at `offset`, which is not 0, or later."""
        begin = offset - 1
        while begin < end:
            found = self._bytes(begin, min(begin + _SEARCH_BYTES, end))
            if b"\n" in found:
                return begin + found.index(b"\n") + 1
            begin += len(found)
        return end

    def _last_line(self) -> int:
        """Return where the last line begins."""
        end = self._end - 1
        while True:
            begin = max(0, end - _SEARCH_BYTES)
            line_break = self._bytes(begin, end).rfind(b"\n")
            if line_break >= 0 or begin == 0:
                return begin + line_break + 1
            end = begin

    def _bytes(self, begin: int, end: int) -> bytes:
        return b"".join(self._segment.stored(begin, end))
