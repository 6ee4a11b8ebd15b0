"""Follow whether the book rows of a recording are whole: snapshots, sequence, silences.

Pure bookkeeping over the rows' times and ids; what is in the rows is not looked at here.
"""

from bisect import bisect_left
from collections.abc import Collection, Sequence
from heapq import heappush, heappushpop
from itertools import pairwise
from operator import sub

from orderflow.events import BookBatch, LostRows
from orderflow.issues import IssueLog
from orderflow.parsed_rows import first_from

MIN_SILENCE_MS = 10_000
"""Shorter gaps between book rows are never a silence."""
SILENCE_FACTOR = 60
"""A silence is at least this many times as long as the mean gap of its hours. The longest ordinary
gap found in a real recording (a thin market, 34 hours) is 35 times its mean."""
MIN_GAPS = 20
"""A gap is judged by the ordinary ones only where at least this many are known."""
MOST_GAPS_KEPT = 1000
HOUR_MS = 3_600_000


class BookReliability:
    """Follow what makes a book reliable: a snapshot, an unbroken sequence, no row lost.

    A book is unproven until the first snapshot, and unreliable from a loss (a gap in the sequence,
    a row that was lost or could not be read) until the next one. A row lost at an unknown time may
    be missing anywhere: then only a snapshot itself is reliable, not what follows it. Why: see
    docs/adr/0011-what-makes-a-book-known.md.

    A sequence is unbroken while an update's `prev_seq_id` is the id of the row before, whether ids
    grow, stay (a keep-alive) or fall (the exchange's reset). Source: the sequence rules of OKX v5,
    https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-order-book-channel.
    Everything found goes into `issues`; rows before `start` (ms) are not counted.
    """

    def __init__(self, issues: IssueLog, start: int = -1) -> None:
        self.reliable = False
        self._issues = issues
        self._start = start
        self._kind = "unproven_rows"
        self._since: int | None = None
        self._rows = 0
        self._last_id: int | None = None
        self.lost_at_unknown_time = False

    @property
    def state(self) -> tuple[bool, int | None, bool]:
        """Return what is needed to go on from here: see `resume`."""
        return self.reliable, self._last_id, self.lost_at_unknown_time

    def resume(self, reliable: bool, last_id: int | None, lost_at_unknown_time: bool) -> None:
        """Go on where another has come to, whose `state` this is; what it found is not known."""
        self.reliable, self._last_id = reliable, last_id
        self.lost_at_unknown_time = lost_at_unknown_time

    def follow(self, batch: BookBatch, skipped: Collection[int] = ()) -> None:
        """Follow the next rows; `skipped` are the indexes of those that could not be read."""
        if not len(batch):
            for _, lost in batch.lost:
                self._lose(lost)
        elif batch.lost or skipped or not self._follow_whole(batch):
            self._follow_each(batch, skipped)

    def follow_each(self, batch: BookBatch, skipped: Collection[int] = ()) -> Sequence[bool]:
        """Follow the next rows as `follow` does; return for each whether it left the book reliable.

        What was lost behind the last row counts after it.
        """
        count = len(batch)
        if count and not (batch.lost or skipped) and self._follow_whole(batch):
            return [self.reliable] * count
        found, unread = [], set(skipped)
        for index in range(count):
            self.follow(_one_of(batch, index), [0] if index in unread else ())
            found.append(self.reliable)
        for index, lost in batch.lost:
            if index == count:
                self._lose(lost)
        return found

    def _follow_whole(self, batch: BookBatch) -> bool:
        """Follow a batch in which all rows are alike, as most are; return False for any other."""
        rows, ids = batch.rows, batch.seq_ids
        if True not in batch.snapshots:
            if ids is not None and not self._is_unbroken(batch):
                return False
            if self.lost_at_unknown_time and self.reliable:
                return False
            self._count(rows[0][0], len(rows) - first_from(rows, self._start))
        elif False not in batch.snapshots and not self.lost_at_unknown_time:
            self._restore(rows[0][0])
        else:
            return False
        if ids is not None:
            self._last_id = next((i for i in reversed(ids) if i is not None), self._last_id)
        return True

    def _is_unbroken(self, batch: BookBatch) -> bool:
        ids, before = batch.seq_ids, batch.prev_seq_ids
        if ids is None or before is None or self._last_id is None or None in ids:
            return False
        return [*before] == [self._last_id, *ids[:-1]]

    def _follow_each(self, batch: BookBatch, skipped: Collection[int]) -> None:
        lost, unread = list(batch.lost), set(skipped)
        for index, (row, is_snapshot) in enumerate(zip(batch.rows, batch.snapshots, strict=True)):
            while lost and lost[0][0] <= index:
                self._lose(lost.pop(0)[1])
            timestamp = row[0]
            if is_snapshot and index not in unread:
                self._restore(timestamp)
            elif self.lost_at_unknown_time or index in unread:
                self._break(timestamp)
            self._follow_ids(batch, index, is_snapshot=is_snapshot)
            self._count(timestamp, timestamp >= self._start)
        for _, rest in lost:
            self._lose(rest)

    def _follow_ids(self, batch: BookBatch, index: int, *, is_snapshot: bool) -> None:
        if batch.seq_ids is None or batch.prev_seq_ids is None:
            return
        seq_id, prev_seq_id = batch.seq_ids[index], batch.prev_seq_ids[index]
        if seq_id is None or (prev_seq_id is None and not is_snapshot):
            return
        if not is_snapshot and prev_seq_id != self._last_id:
            timestamp = batch.rows[index][0]
            self._issues.note("sequence_gaps", timestamp)
            self._break(timestamp)
        self._last_id = seq_id

    def _lose(self, lost: LostRows) -> None:
        if lost.count:
            self._issues.note(lost.kind, lost.timestamp, count=lost.count)
        if lost.timestamp is None:
            self.lost_at_unknown_time = True
        elif self.reliable:
            self._break(lost.timestamp)

    def _break(self, timestamp: int) -> None:
        if self.reliable:
            self.reliable = False
            self._kind, self._since, self._rows = "unreliable_rows", timestamp, 0

    def _restore(self, timestamp: int) -> None:
        self._note_phase(self._issues, timestamp)
        self.reliable = True
        self._since, self._rows = None, 0

    def _count(self, timestamp: int, rows: int) -> None:
        if not self.reliable:
            self._since = timestamp if self._since is None else self._since
            self._rows += rows

    def note_open(self, issues: IssueLog, now: int | None) -> None:
        """Note in `issues` the unreliable span that has not ended, up to `now` (ms), if any."""
        self._note_phase(issues, now)

    def _note_phase(self, issues: IssueLog, end: int | None) -> None:
        if not self.reliable and self._rows and self._since is not None:
            issues.note(self._kind, max(self._since, self._start), end, self._rows)


def _one_of(batch: BookBatch, index: int) -> BookBatch:
    """Return a row of a batch with what was lost just before it."""
    lost = [(0, rows) for place, rows in batch.lost if place == index]
    part = batch.part(index, index + 1)
    return BookBatch(part.rows, part.snapshots, part.seq_ids, part.prev_seq_ids, lost)


class Silences:
    """Find the gaps between book rows far beyond the recording's own rhythm.

    A gap is a silence when it is at least `MIN_SILENCE_MS` long and `SILENCE_FACTOR` times the mean
    of the ordinary gaps of the hours in which it begins and ends, or of the whole recording where
    these hours have fewer than `MIN_GAPS`; ordinary are all but those that have the minimum and are
    at least half as long. So a hole of ten minutes in a channel of 100 ms is one,
    and 40 s in a thin market, or at night, are not. Judged by all rows known so far; of more than
    `MOST_GAPS_KEPT` gaps over the minimum only the longest are judged.

    `span` is the first and last row's time in ms, `longest_ms` the longest gap of any kind.
    """

    def __init__(self) -> None:
        self.span: tuple[int, int] | None = None
        self.longest_ms = 0
        self._last: int | None = None
        self._until: int | None = None
        self._hours: dict[int, tuple[int, int]] = {}  # gaps that begin in it, and their sum
        self._long: list[tuple[int, int]] = []  # a heap of (length, start)

    def begin_after(self, time: int) -> None:
        """Take the time of the last row before the first; it counts for the gap between alone."""
        self._last = time

    def end_before(self, time: int) -> None:
        """Take the time of what came after the last row, a row or a trade beyond it.

        The gap up to it may be a silence; when more rows are added, it is forgotten.
        """
        self._until = time

    def add(self, times: Sequence[int]) -> None:
        """Add the times of the next rows in ms, in order."""
        if not times:
            return
        known = times if self._last is None else [self._last, *times]
        self._last, self._until = times[-1], None
        self.span = (self.span[0] if self.span else times[0]), times[-1]
        first = 0
        while first < len(known) - 1:
            hour = known[first] // HOUR_MS
            last = min(bisect_left(known, (hour + 1) * HOUR_MS, first), len(known) - 1)
            # Rows of one time are no rhythm.
            gaps = len(set(known[first : last + 1])) - 1
            self._add_to_hour(hour, gaps, known[last] - known[first])
            first = last
        longest = max(map(sub, known[1:], known), default=0)
        self.longest_ms = max(self.longest_ms, longest)
        if longest >= MIN_SILENCE_MS:
            for before, after in pairwise(known):
                if after - before >= MIN_SILENCE_MS:
                    self._keep((after - before, before))

    def join(self, later: "Silences") -> None:
        """Add the silences of the rows that follow, and the gap between."""
        if later.span is None:
            return
        self.add(later.span[:1])
        self._last, self._until = later.span[1], later._until
        self.span = (self.span[0] if self.span else later.span[0]), later.span[1]
        self.longest_ms = max(self.longest_ms, later.longest_ms)
        for hour, (count, total) in later._hours.items():
            self._add_to_hour(hour, count, total)
        for gap in later._long:
            self._keep(gap)

    def _add_to_hour(self, hour: int, count: int, total: int) -> None:
        known_count, known_total = self._hours.get(hour, (0, 0))
        self._hours[hour] = known_count + count, known_total + total

    def _keep(self, gap: tuple[int, int]) -> None:
        if len(self._long) < MOST_GAPS_KEPT:
            heappush(self._long, gap)
            return
        length, start = heappushpop(self._long, gap)
        # What is no longer judged must not pass for the rhythm of the others.
        self._add_to_hour(start // HOUR_MS, -1, -length)

    def found(self) -> list[tuple[int, int]]:
        """List the silences by time, each as the times in ms of the rows around it."""
        by_hour: dict[int, list[int]] = {}
        for length, start in self._long:
            by_hour.setdefault(start // HOUR_MS, []).append(length)
        gaps = list(self._long)
        if self._last is not None and self._until is not None:
            gaps.append((self._until - self._last, self._last))
        found = [
            (start, start + length)
            for length, start in gaps
            if length >= MIN_SILENCE_MS
            and length >= SILENCE_FACTOR * self._rhythm(start, length, by_hour)
        ]
        return sorted(found)

    def _rhythm(self, start: int, length: int, by_hour: dict[int, list[int]]) -> float:
        """Return the mean in ms of the ordinary gaps around one; infinite where it is not known.

        Other long gaps, at least half as long, are not ordinary: holes must not hide one another.
        """
        around = {start // HOUR_MS, (start + length) // HOUR_MS}
        for hours in (around & self._hours.keys(), self._hours.keys()):
            count = sum(self._hours[hour][0] for hour in hours)
            total = sum(self._hours[hour][1] for hour in hours)
            longer = [gap for hour in hours for gap in by_hour.get(hour, ()) if 2 * gap >= length]
            if count - len(longer) >= MIN_GAPS:
                return (total - sum(longer)) / (count - len(longer))
        return float("inf")
