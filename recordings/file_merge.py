"""Merge the files of one instrument into one stream in time order.

This is the only place where streams are merged. Rows of one file are sorted by `(ms, order)`; of
several files, rows of one millisecond come in the order of the files.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterator

from orderflow.errors import RecordingError
from orderflow.parsed_rows import first_from
from recordings.prepared_rows import Rows
from recordings.row_order import Row, finer_than_ms

Verdict = Callable[[], RecordingError | None]


class TimedSource:
    """The rows of one table of one file, in order: `first_ms` and what to call for the batches.

    `first_ms` is no later than the first row; files are opened in its order, and only when their
    turn comes. `verdict` returns what else is wrong with the file, once it was read.
    """

    def __init__(
        self,
        first_ms: int,
        last_ms: int,
        read: Callable[[], Iterator[Rows]],
        verdict: Verdict = lambda: None,
    ) -> None:
        self.verdict = verdict
        self.first_ms = first_ms
        self.last_ms = last_ms
        self._read = read
        self._batches: Iterator[Rows] | None = None
        self.rows: Rows = []
        self.exhausted = False
        self.failure: RecordingError | None = None

    def fetch(self) -> None:
        """Append the next batch to `rows`, or mark the source as exhausted.

        A file that cannot be read any further ends here; its error is kept in `failure`.
        """
        if self._batches is None:
            self._batches = self._read()
        try:
            rows = next(self._batches)
            self.rows = [*self.rows, *rows] if self.rows else rows
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

    def take_before(self, ms: float) -> Rows:
        """Remove and return the rows before `ms`."""
        cut = first_from(self.rows, ms)
        taken, self.rows = self.rows[:cut], self.rows[cut:]
        return taken


class FileMerge:
    """Merge the files of one instrument into one stream in time order.

    What a later file repeats of an earlier one, a row with the same time and payload where the two
    overlap, is skipped, and its time in ms added to `repeated_times`; a row that the later file has
    more often than the earlier one is no repeat the times beyond. Files that merely touch (one ends
    in the millisecond in which the next begins) do not repeat each other. `late_times` has those of
    rows that turn out to lie before what was already given out. The first `RecordingError` met is
    kept in `failure`, for whoever has used all rows to raise, so that nothing readable is lost.
    """

    def __init__(self, sources: list[TimedSource]) -> None:
        self._waiting = sorted(sources, key=lambda source: (source.first_ms, source.last_ms))
        self._active: list[TimedSource] = []
        self._given_ms: float = float("-inf")
        self.repeated_times: list[int] = []
        self.late_times: list[int] = []
        self.failure: RecordingError | None = None
        self._verdicts: list[Verdict] = []

    def verdict(self) -> RecordingError | None:
        """Return what else is wrong with a file that was opened; for when all rows were used.

        It may have to be waited for.
        """
        found = (verdict() for verdict in self._verdicts)
        return next((error for error in found if error), None)

    def batches(self) -> Iterator[Rows]:
        """Yield the rows in order, in lists that are not empty."""
        while self._waiting or self._active:
            self._open_due()
            self._fetch_missing()
            rows = self._take()
            for source in self._active:
                if source.exhausted:
                    self.failure = self.failure or source.failure
            self._active = [s for s in self._active if s.rows or not s.exhausted]
            if len(rows):
                self._given_ms = rows[-1][0]
                yield rows

    def close(self) -> None:
        """Give all files free that are still open; what is known to fail in them counts as met."""
        for source in self._active:
            self.failure = self.failure or source.failure
            source.close()

    def _open_due(self) -> None:
        reach = min((source.reach for source in self._active), default=float("inf"))
        while self._waiting and (not self._active or self._waiting[0].first_ms <= reach):
            source = self._waiting.pop(0)
            self._active.append(source)
            self._verdicts.append(source.verdict)
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

    def _take(self) -> Rows:
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
            late = first_from(part, self._given_ms)
            self.late_times += [row[0] for row in part[:late]]
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
            what = (finer_than_ms(order), *payload_of(row))
            times_in[index, what] += 1
            first, given = seen.get(what, (source, 0))
            if times_in[index, what] <= given and _overlap(first, source, ms):
                self.repeated_times.append(ms)
            else:
                seen[what] = first, given + 1
                rows.append(row)
        return rows


def payload_of(row: Row) -> Row:
    """Return what a row says; what another file records as NULL it may not record at all."""
    said = row[2:]
    while said and said[-1] is None:
        said = said[:-1]
    return said


def _overlap(earlier: TimedSource, later: TimedSource, ms: int) -> bool:
    """Return whether two files with rows at `ms` have more in common than that millisecond."""
    if earlier is later:
        return False
    return later.first_ms < ms or bool(earlier.rows) or not earlier.exhausted
