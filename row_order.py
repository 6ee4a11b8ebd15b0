"""Put recorded rows into time order: one time scale, a bounded reorder buffer, one merge of files.

A row is a tuple `(ms, order, *payload)`: `ms` is the time in whole milliseconds since the epoch
(UTC), `order` breaks ties: the row's id, below the part of the timestamp finer than 1 ms. Rows of
one file are sorted by `(ms, order)`; of several files, rows of one millisecond come in the order
of the files. This is the only place where streams are merged.
"""

import re
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from itertools import chain
from operator import itemgetter, le, lt
from typing import Any

from compiled import fastest
from errors import RecordingError

Row = tuple[Any, ...]

NANOSECONDS_PER_MS = 1_000_000
_ID_SPAN = 1 << 64
ORDINARY_IDS = _ID_SPAN // 2
"""Below this an order is the id itself: the time has no part finer than 1 ms."""
_time_and_order = itemgetter(0, 1)
_NUMBER = re.compile(r"\s*\d+(\.\d*)?([eE][+-]?\d+)?\s*", re.ASCII)


def to_nanoseconds(raw: object) -> int | None:
    """Convert a recorded timestamp to nanoseconds since the epoch, UTC.

    Integers, reals and numeric text are seconds, milli-, micro- or nanoseconds, told by their
    magnitude (below 1e11, 1e14, 1e17, 1e20); other text is ISO-8601, in UTC unless it says
    otherwise. Reals are rounded to the microsecond, which is what a double can hold of them.
    Return None for anything else, NULL and negative times included.
    """
    if isinstance(raw, bytes):
        raw = raw.decode(errors="replace")
    if isinstance(raw, str):
        if not _NUMBER.fullmatch(raw):
            return _iso_to_nanoseconds(raw)
        try:
            return _scale(Decimal(raw.strip()))
        except InvalidOperation:
            return None
    if isinstance(raw, float):
        nanoseconds = _scale(Decimal(raw)) if 0.0 <= raw < 1e20 else None
        return None if nanoseconds is None else (nanoseconds + 500) // 1000 * 1000
    if isinstance(raw, int):
        return _scale(raw)
    return None


# Below the limit, a time is in the unit of so many nanoseconds.
_UNITS = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3), (10**20, 1))


def _scale(value: int | Decimal) -> int | None:
    if value < 0:
        return None
    for limit, factor in _UNITS:
        if value < limit:
            return int(value * factor)
    return None


def _iso_to_nanoseconds(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    nanoseconds = ((since.days * 86_400 + since.seconds) * 10**6 + since.microseconds) * 1000
    return nanoseconds if 0 <= nanoseconds < 10**20 else None


def time_form(raw: object) -> tuple[str, object] | None:
    """Tell what `raw` is a time by: numbers by their unit, text by what its order depends on.

    Of one form, times compare as they were recorded. Return None for what is no time.
    """
    if to_nanoseconds(raw) is None:
        return None
    if isinstance(raw, int | float):
        return "number", next(limit for limit, _ in _UNITS if raw < limit)
    text = raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)
    if _NUMBER.fullmatch(text):
        return "numeric text", len(text.partition(".")[0])
    return "ISO-8601", text[10:11]


def python_are_whole_ms(rows: list[Row]) -> bool:
    """Tell whether every row begins with an integer that is a time in milliseconds."""
    times = [row[0] for row in rows]
    return set(map(type, times)) == {int} and min(times) >= 10**11 and max(times) < 10**14


are_whole_ms = fastest("are_whole_ms", python_are_whole_ms)


def normalise_times(rows: list[Row]) -> tuple[list[Row], int]:
    """Give rows `(timestamp, id, *payload)` the common time scale.

    Return the rows `(ms, order, *payload)` and how many had no usable timestamp and were left out.
    """
    if not rows or are_whole_ms(rows):
        return rows, 0
    timed = []
    for raw, tie, *payload in rows:
        nanoseconds = to_nanoseconds(raw)
        if nanoseconds is not None:
            ms, finer = divmod(nanoseconds, NANOSECONDS_PER_MS)
            timed.append((ms, finer * _ID_SPAN + tie, *payload))
    return timed, len(rows) - len(timed)


def id_of(order: int) -> int:
    """Return the id that a row's `order` was made of."""
    if order < ORDINARY_IDS:
        return order
    return (order + _ID_SPAN // 2) % _ID_SPAN - _ID_SPAN // 2


def _finer_than_ms(order: int) -> int:
    return (order + _ID_SPAN // 2) // _ID_SPAN


def python_is_sorted(rows: list[Row]) -> bool:
    """Tell whether rows are in the order of their first two fields, integers."""
    times = [row[0] for row in rows]
    if all(map(lt, times, times[1:])):  # as in most recordings
        return True
    keys = list(map(_time_and_order, rows))
    return all(map(le, keys, keys[1:]))


is_sorted = fastest("is_sorted", python_is_sorted)


class ReorderBuffer:
    """Sort a nearly sorted stream of rows, holding back at most `capacity` rows.

    A row is put right when fewer than `capacity` rows that belong after it come before it. A row
    later than that is left out and counted in `late`.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        # In chunks as they came: joining them would touch every row held at every push.
        self._chunks: deque[list[Row]] = deque()
        self._count = 0
        self._released: tuple[int, ...] = ()
        self.late = 0

    def push(self, rows: list[Row], capacity: int | None = None) -> list[Row]:
        """Take the next rows and return those that are now in order, oldest first.

        `capacity` holds back fewer rows than usual, for rows so large that memory counts.
        """
        if not is_sorted(rows):
            rows.sort(key=_time_and_order)
        # What is held lies beyond what was released: only new rows can be late.
        late = bisect_left(rows, self._released, key=_time_and_order)
        self.late += late
        if late < len(rows):
            self._hold(rows[late:] if late else rows)
        return self._release(self._capacity if capacity is None else min(capacity, self._capacity))

    def _hold(self, rows: list[Row]) -> None:
        self._count += len(rows)
        if self._chunks and _time_and_order(rows[0]) < _time_and_order(self._chunks[-1][-1]):
            rows = sorted(chain(*self._chunks, rows), key=_time_and_order)
            self._chunks.clear()
        self._chunks.append(rows)

    def _release(self, keep: int) -> list[Row]:
        ready: list[Row] = []
        while self._count > keep:
            chunk, spare = self._chunks.popleft(), self._count - keep
            if spare < len(chunk):
                self._chunks.appendleft(chunk[spare:])
                chunk = chunk[:spare]
            self._count -= len(chunk)
            ready = ready + chunk if ready else chunk
        if ready:
            self._released = _time_and_order(ready[-1])
        return ready

    def flush(self) -> list[Row]:
        """Return all rows held back, oldest first."""
        return self.push([], capacity=0)


class TimedSource:
    """The rows of one table of one file, in order: `first_ms` and what to call for the batches.

    `first_ms` is no later than the first row; files are opened in its order, and only when their
    turn comes.
    """

    def __init__(
        self, first_ms: int, last_ms: int, read: Callable[[], Iterator[list[Row]]]
    ) -> None:
        self.first_ms = first_ms
        self.last_ms = last_ms
        self._read = read
        self._batches: Iterator[list[Row]] | None = None
        self.rows: list[Row] = []
        self.exhausted = False
        self.failure: RecordingError | None = None

    def fetch(self) -> None:
        """Append the next batch to `rows`, or mark the source as exhausted.

        A file that cannot be read any further ends here; its error is kept in `failure`.
        """
        if self._batches is None:
            self._batches = self._read()
        try:
            self.rows += next(self._batches)
        except StopIteration:
            self.exhausted = True
        except RecordingError as error:
            self.exhausted, self.failure = True, error

    def close(self) -> None:
        """Give the file free, in the thread that has read it."""
        if isinstance(self._batches, Generator):
            self._batches.close()

    @property
    def reach(self) -> float:
        """The time in ms up to which no row is missing from `rows` (exclusive)."""
        if self.exhausted:
            return float("inf")
        return self.rows[-1][0] if self.rows else float("-inf")

    def take_before(self, ms: float) -> list[Row]:
        """Remove and return the rows before `ms`."""
        cut = bisect_left(self.rows, ms, key=lambda row: row[0])
        taken, self.rows = self.rows[:cut], self.rows[cut:]
        return taken


class FileMerge:
    """Merge the files of one instrument into one stream in time order.

    What a later file repeats of an earlier one, a row with the same time and payload where the two
    overlap, is skipped and counted in `repeated`; a row that the later file has more often than
    the earlier one is no repeat the times beyond. Files that merely touch (one ends in the
    millisecond in which the next begins) do not repeat each other. `late` counts rows of a file
    that turn out to lie before what was already given out. The first `RecordingError` met is kept
    in `failure`, for whoever has used all rows to raise, so that nothing readable is lost.
    """

    def __init__(self, sources: list[TimedSource]) -> None:
        self._waiting = sorted(sources, key=lambda source: (source.first_ms, source.last_ms))
        self._active: list[TimedSource] = []
        self._given_ms: float = float("-inf")
        self.repeated = 0
        self.late = 0
        self.failure: RecordingError | None = None

    def batches(self) -> Iterator[list[Row]]:
        """Yield the rows in order, in lists that are not empty."""
        while self._waiting or self._active:
            self._open_due()
            self._fetch_missing()
            rows = self._take()
            for source in self._active:
                self.failure = self.failure or source.failure
            self._active = [s for s in self._active if s.rows or not s.exhausted]
            if rows:
                self._given_ms = rows[-1][0]
                yield rows

    def close(self) -> None:
        """Give all files free that are still open."""
        for source in self._active:
            source.close()

    def _open_due(self) -> None:
        reach = min((source.reach for source in self._active), default=float("inf"))
        while self._waiting and (not self._active or self._waiting[0].first_ms <= reach):
            source = self._waiting.pop(0)
            self._active.append(source)
            source.fetch()
            reach = min(reach, source.reach)

    def _fetch_missing(self) -> None:
        """Let every open file be known further than its first row's millisecond."""
        for source in self._active:
            while not source.exhausted and (
                not source.rows or source.rows[0][0] == source.rows[-1][0] == self._horizon()
            ):
                source.fetch()

    def _horizon(self) -> float:
        waiting = float(self._waiting[0].first_ms) if self._waiting else float("inf")
        return min(waiting, *(source.reach for source in self._active))

    def _take(self) -> list[Row]:
        if len(self._active) == 1:
            only = self._active[0]
            next_file = self._waiting[0].first_ms if self._waiting else float("inf")
            if only.rows and only.rows[-1][0] < next_file and only.rows[0][0] >= self._given_ms:
                rows, only.rows = only.rows, []
                return rows
        horizon = self._horizon()
        taken = [(source, source.take_before(horizon)) for source in self._active]
        rows = []
        for index, (source, part) in enumerate(taken):
            late = bisect_left(part, self._given_ms, key=lambda row: row[0])
            self.late += late
            rows += [(row[0], index, row[1], source, row) for row in part[late:]]
        rows.sort(key=lambda tagged: tagged[:3])
        return self._without_repeats(rows)

    def _without_repeats(self, tagged: list[Row]) -> list[Row]:
        rows: list[Row] = []
        seen: dict[Row, tuple[TimedSource, int]] = {}
        times_in: Counter[Row] = Counter()
        seen_ms = None
        for ms, index, order, source, row in tagged:
            if ms != seen_ms:
                seen, times_in, seen_ms = {}, Counter(), ms
            what = (_finer_than_ms(order), *_payload(row))
            times_in[index, what] += 1
            first, given = seen.get(what, (source, 0))
            if times_in[index, what] <= given and _overlap(first, source, ms):
                self.repeated += 1
            else:
                seen[what] = first, given + 1
                rows.append(row)
        return rows


def _payload(row: Row) -> Row:
    """Return what a row says; what another file records as NULL it may not record at all."""
    said = row[2:]
    while said and said[-1] is None:
        said = said[:-1]
    return said


def _overlap(earlier: TimedSource, later: TimedSource, ms: int) -> bool:
    """Tell whether two files with rows at `ms` have more in common than that millisecond."""
    if earlier is later:
        return False
    return later.first_ms < ms or bool(earlier.rows) or not earlier.exhausted
