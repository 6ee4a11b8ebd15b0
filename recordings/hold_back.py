"""Hold back the newest rows of a recording in progress until those that belong before them are in.

A plain replay sorts what lies out of order, since it has all of it. Who follows a recording has to
say at some time that nothing earlier will come: that moment is the watermark.
"""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import itemgetter

from recordings.file_merge import payload_of
from recordings.row_order import Row, finer_than_ms, is_sorted

HOLD_MS = 500
"""A row is held until one so much later is there, of the same kind (book row or trade)."""
GRACE_SECONDS = 3.0
"""Where nothing later comes, as in a quiet market, it is held for so long."""

_time_and_order = itemgetter(0, 1)


@dataclass
class HeldFile:
    """The rows of one file that are held back, in order, and how far those released reach.

    `first_ms` is no later than any of its rows; `capacity` is how many are held while `has_more`.
    """

    first_ms: int
    has_more: bool = True
    capacity: int = 0
    newest_ms: int = -1
    rows: list[Row] = field(default_factory=list)
    released: tuple[int, ...] = ()


class _Looks:
    """How far rows reached, look by look, as far back as it matters."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, newest_ms: int, now: float) -> int:
        """Note the newest row of this look; return that of the looks before, -1 at the first."""
        before = self._seen[-1][1] if self._seen else -1
        if newest_ms > before:
            self._seen.append((now, newest_ms))
        return before

    def waited_for(self, now: float) -> int:
        """Return the time in ms before which rows have waited for `GRACE_SECONDS`."""
        seen, mark = self._seen, -1
        while seen and now - seen[0][0] >= GRACE_SECONDS:
            mark = seen[0][1] + 1
            if len(seen) == 1:
                break
            seen.popleft()
        return mark


class HoldBack:
    """Put the rows of one kind into time order, of all files followed, as they come.

    Rows of one file are sorted by `(ms, order)`; of several, rows of one millisecond come in the
    order of the files, and what a later file repeats of an earlier one is left out: as `FileMerge`
    does it. A row is held for `HOLD_MS` of recorded time. While a file has more to read, as many of
    its rows as a plain replay has in its reorder buffer are held besides. Once all are read to
    their ends, a row also waits for the next look, and no longer than `GRACE_SECONDS` by the clock.

    `late_times` has the times of rows that came after a later one was released, and are left out;
    `repeated_times` those of repeats. Both grow until the caller clears them.
    """

    def __init__(self) -> None:
        self.late_times: list[int] = []
        self.repeated_times: list[int] = []
        self._files: list[HeldFile] = []
        self._newest_ms = -1
        self._given_ms = -1
        self._looks = _Looks()

    def open(self, first_ms: int) -> HeldFile:
        """Add a file, of which no row is earlier than `first_ms`."""
        file = HeldFile(first_ms)
        self._files.append(file)
        self._files.sort(key=lambda held: held.first_ms)
        return file

    def close(self, file: HeldFile) -> None:
        """Forget a file of which nothing more will come."""
        if file in self._files and not file.rows:
            self._files.remove(file)

    @property
    def held(self) -> int:
        """Count the rows that are held."""
        return sum(len(file.rows) for file in self._files)

    def push(self, file: HeldFile, rows: list[Row]) -> None:
        """Take rows of a file, in any order."""
        if not rows:
            return
        if not is_sorted(rows):
            rows.sort(key=_time_and_order)
        late = bisect_left(rows, file.released, key=_time_and_order) if file.released else 0
        late = max(late, bisect_left(rows, (self._given_ms,)))
        self.late_times += [row[0] for row in rows[:late]]
        rows = rows[late:]
        if not rows:
            return
        beyond = not file.rows or _time_and_order(file.rows[-1]) <= _time_and_order(rows[0])
        file.rows += rows
        if not beyond:
            file.rows.sort(key=_time_and_order)
        file.newest_ms = max(file.newest_ms, rows[-1][0])
        self._newest_ms = max(self._newest_ms, file.newest_ms)

    def pass_by(self, ms: int) -> None:
        """Learn that there is a row of time `ms`, beyond what is asked for."""
        self._newest_ms = max(self._newest_ms, ms)

    def release(self, now: float) -> list[Row]:
        """Return the rows of which no earlier one is to be expected; `now` is in seconds."""
        reach = self.reach
        if reach is not None:
            return self._take(min(reach, self._newest_ms - HOLD_MS))
        return self._take(self.watermark(now))

    def release_before(self, before_ms: int) -> list[Row]:
        """Return the rows before a time, and take any that comes after them for late."""
        rows = self._take(before_ms)
        self._given_ms = max(self._given_ms, before_ms)
        return rows

    def flush(self) -> list[Row]:
        """Return all rows that are held."""
        return self._take(self._newest_ms + 1)

    @property
    def newest_ms(self) -> int:
        """Return the time of the newest row so far, -1 before there is one."""
        return self._newest_ms

    @property
    def reach(self) -> int | None:
        """Return the time before which files with more to read are known; None without any."""
        return min((self._reach(file) for file in self._files if file.has_more), default=None)

    def _reach(self, file: HeldFile) -> int:
        """Return the time in ms before which a file with more to read is known."""
        beyond = len(file.rows) - file.capacity
        return int(file.rows[beyond][0]) if beyond > 0 else file.first_ms

    def watermark(self, now: float) -> int:
        """Return the time before which rows are released, when all files are read to their ends."""
        before = self._looks.note(self._newest_ms, now)
        mark = min(self._newest_ms - HOLD_MS, before + 1)
        return max(mark, self._looks.waited_for(now))

    def _take(self, before_ms: int) -> list[Row]:
        parts = []
        for number, file in enumerate(self._files):
            cut = bisect_left(file.rows, (before_ms,))
            if cut:
                parts.append((number, file, file.rows[:cut]))
                file.released = _time_and_order(file.rows[cut - 1])
                del file.rows[:cut]
        if not parts:
            return []
        rows = parts[0][2] if len(parts) == 1 else self._without_repeats(parts)
        self._given_ms = max(self._given_ms, rows[-1][0])
        return rows

    def _without_repeats(self, parts: Iterable[tuple[int, HeldFile, list[Row]]]) -> list[Row]:
        tagged = [(row[0], i, row[1], file, row) for i, file, part in parts for row in part]
        tagged.sort(key=lambda found: found[:3])
        rows: list[Row] = []
        given: dict[Row, tuple[HeldFile, int]] = {}
        times_in: Counter[tuple[int, Row]] = Counter()
        seen_ms = None
        for ms, number, order, file, row in tagged:
            if ms != seen_ms:
                given, times_in, seen_ms = {}, Counter(), ms
            what = (finer_than_ms(order), *payload_of(row))
            times_in[number, what] += 1
            first, times = given.get(what, (file, 0))
            if times_in[number, what] <= times and _overlap(first, file, ms):
                self.repeated_times.append(ms)
            else:
                given[what] = first, times + 1
                rows.append(row)
        return rows


class HeldTogether:
    """Release the rows of several kinds up to one time, so that they are in one order of time.

    That is the least of the times up to which each kind can be released. A kind that is quiet holds
    up the others for `GRACE_SECONDS` at most. What comes behind the time is late, of any kind.
    """

    def __init__(self, *kinds: HoldBack) -> None:
        self._kinds = kinds
        self._looks = _Looks()

    def release(self, now: float) -> list[list[Row]]:
        """Return the rows of each kind of which no earlier one is to be expected."""
        newest = max(kind.newest_ms for kind in self._kinds)
        reaches = [kind.reach for kind in self._kinds]
        known = [reach for reach in reaches if reach is not None]
        if known:
            return self.release_before(min(*known, newest - HOLD_MS))
        self._looks.note(newest, now)
        marks = [kind.watermark(now) for kind in self._kinds]
        return self.release_before(max(min(marks), self._looks.waited_for(now)))

    def release_before(self, before_ms: int) -> list[list[Row]]:
        """Return the rows of each kind before a time: nothing more is to be expected there."""
        return [kind.release_before(before_ms) for kind in self._kinds]


def _overlap(earlier: HeldFile, later: HeldFile, ms: int) -> bool:
    """Return whether two files with rows at `ms` have more in common than that millisecond."""
    return earlier is not later and (later.first_ms < ms or earlier.newest_ms > ms)
