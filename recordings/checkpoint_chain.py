"""Checkpoints of a whole recording, group of files by group: made, kept in the cache, gone back to.

A group is what `standing_apart` makes one: files that overlap in time. The groups follow one
another, and each begins with the state in which the one before has ended.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from operator import lt
from typing import Any, Generic

from orderflow.errors import RecordingError
from recordings.checkpoints import (
    Checkpoint,
    CheckpointCache,
    Checkpoints,
    key_of,
    pack,
)
from recordings.moment_sources import FOREVER_MS, Batch, Source, can_go_on
from recordings.recorded_table import RecordedTable

SPAN_BYTES = 16_000_000
"""No more than about so many bytes of levels lie between two checkpoints."""
SHORTEST_SPAN = 64
"""Rows, however large."""

OnProgress = Callable[[int], None]


class CheckpointChain(Generic[Batch]):
    """The groups of one table's files in order, each with its checkpoints as far as they are made.

    `settings` are what the state depends on beside the rows; `distance` is about how many rows lie
    between two checkpoints.
    """

    def __init__(
        self,
        sources: Sequence[Source[Batch]],
        settings: list[Any],
        cache: CheckpointCache,
        distance: int,
    ) -> None:
        self.sources = sources
        self._settings = [*settings, distance]
        self._cache = cache
        self._distance = distance
        self.made: list[Checkpoints] = []
        self._key_tables: list[RecordedTable] = []

    def covers(self, ms: int) -> bool:
        """Return whether all rows up to `ms` lie between checkpoints that were made."""
        if self.made and not self.made[-1].is_whole:
            return self.made[-1].covers(ms)
        done = len(self.made)
        return done == len(self.sources) or (
            done > 0 and self.sources[done].tables[0].first_ms > ms
        )

    def make(self, ms: int, on_progress: OnProgress = lambda _: None) -> None:
        """Load or make checkpoints until they cover `ms`, a group of files as a whole.

        `on_progress` is called now and then with the time reached; what it raises ends the making.
        """
        while not self.covers(ms):
            self._make_next(on_progress)

    def _make_next(self, on_progress: OnProgress) -> None:
        source = self.sources[len(self.made)]
        tables = self._key_tables = [*self._key_tables, *source.tables]
        key = key_of(self._settings, tables)
        kept = self._cache.load(key) if key else None
        if kept:
            source.facts = kept.facts
            self.made.append(kept)
            return
        begin = self.made[-1].listed[-1] if self.made else Checkpoint(0, -1, pack(b""))
        maker = Maker(source, begin, self._distance, on_progress)
        self.made.append(maker.checkpoints)
        try:
            maker.run()
        except BaseException:
            self.made.pop()
            self._key_tables = self._key_tables[: -len(source.tables)]
            raise
        # What is damaged may be mended, and a file that changes is another one.
        if key and key == key_of(self._settings, tables) and "failure" not in source.facts:
            self._cache.store(key, maker.checkpoints)

    # -- going back

    def places(self) -> list[tuple[int, Checkpoint]]:
        """Return all checkpoints after which rows are known, each with the number of its group."""
        return [(group, one) for group, made in enumerate(self.made) for one in made.spans]

    def read(
        self, places: list[tuple[int, Checkpoint]], index: int, end_ms: int
    ) -> Iterator[Batch]:
        """Yield the rows of a span, the one after `places[index]`, those before `end_ms`."""
        group, begin = places[index]
        source = self.sources[group]
        spans = self.made[group].spans
        is_first = begin is spans[0]
        try:
            if can_go_on(source.tables) and self._can_find_rows(group, begin):
                if index + 1 < len(places):
                    end_ms = min(end_ms, places[index + 1][1].ms + 1)
                yield from source.read_after(begin, end_ms, is_first=is_first)
            else:
                yield from self._read_from_start(group, begin, end_ms)
        except RecordingError:
            if "failure" not in source.facts:
                raise

    def _can_find_rows(self, group: int, begin: Checkpoint) -> bool:
        """Return whether the rows of a span can be found by their keys, or there are none."""
        listed = self.made[group].listed
        after = listed.index(begin) + 1
        is_empty = after < len(listed) and listed[after].number == begin.number
        return begin.low is not None or is_empty

    def _read_from_start(self, group: int, begin: Checkpoint, end_ms: int) -> Iterator[Batch]:
        """Read a group as a whole, and leave out what `begin` has already."""
        source = copy(self.sources[group])  # which may be read by its maker meanwhile
        skipped = self.made[group].listed[0].number
        for batch in source.read(end_ms):
            count = len(source.times(batch))
            cut = min(max(begin.number - skipped, 0), count)
            skipped += count
            if cut < count or not count:
                yield source.part(batch, cut, count) if cut else batch


class Maker(Generic[Batch]):
    """Make the checkpoints of one group of files, which begins with the state `begin`.

    `checkpoints` grows while `run` reads; another thread may use what is there.
    """

    def __init__(
        self, source: Source[Batch], begin: Checkpoint, distance: int, on_progress: OnProgress
    ) -> None:
        self.checkpoints = Checkpoints(distance)
        self._source = source
        self._on_progress = on_progress
        self._state = source.begin(begin.unpacked())
        self._number, self._ms = begin.number, begin.ms
        self._can_cut = can_go_on(source.tables)
        self._open(replace(begin, low=None, high=None, in_order=False, lost=()))

    def _open(self, begin: Checkpoint) -> None:
        self._begin = begin
        self._low: int | None = None
        self._high: int | None = None
        self._in_order = True
        self._lost: list[tuple[int, Any]] = []
        self._bytes = 0

    def run(self) -> None:
        """Read all rows of the group; what cannot be read any further ends here."""
        try:
            for batch in self._source.read(FOREVER_MS):
                self._feed(batch)
                self._on_progress(self._ms)
        except RecordingError as error:
            self._source.facts = {**self._source.facts, "failure": str(error)}
        self._close()
        self.checkpoints.facts = self._source.facts
        self.checkpoints.end(self._begin)

    def _feed(self, batch: Batch) -> None:
        times = self._source.times(batch)
        begin = 0
        while (cut := self._cut(times, begin)) is not None:
            if cut > begin:
                self._take(self._source.part(batch, begin, cut), times[begin:cut])
            self._close()
            begin = cut
        rest = self._source.part(batch, begin, len(times)) if begin else batch
        self._take(rest, times[begin:])

    def _cut(self, times: list[int], begin: int) -> int | None:
        """Return where the span in progress is to end: where the next millisecond begins."""
        if not self._can_cut or self._source.late:
            return None
        count = self._number - self._begin.number
        due = begin + self.checkpoints.distance - count
        if self._bytes >= SPAN_BYTES and count >= SHORTEST_SPAN:
            due = begin
        due = max(due, begin)
        if due >= len(times):
            return None
        cut = bisect_left(times, times[due])
        if cut > begin or (cut == begin and count and times[cut] > self._ms):
            return cut
        cut = bisect_right(times, times[due])
        return cut if cut < len(times) else None

    def _take(self, batch: Batch, times: list[int]) -> None:
        source = self._source
        self._lost += [(self._number + index, lost) for index, lost in source.lost(batch)]
        self._state.apply(batch)
        self._bytes += source.weight(batch)
        if not times:
            return
        self._number += len(times)
        self._ms = times[-1]
        keys = source.keys(batch)
        low, high = min(keys), max(keys)
        after = self._high is None or self._high < low
        self._in_order &= after and all(map(lt, keys, keys[1:]))
        self._low = low if self._low is None else min(self._low, low)
        self._high = high if self._high is None else max(self._high, high)

    def _close(self) -> None:
        """End the span in progress here, and begin the next one."""
        can_find = self._can_cut and not self._source.late
        keys = (self._low, self._high) if can_find else (None, None)
        closed = replace(
            self._begin, low=keys[0], high=keys[1], in_order=self._in_order, lost=tuple(self._lost)
        )
        self.checkpoints.add(closed, self._ms)
        self._open(Checkpoint(self._number, self._ms, pack(self._state.dump())))
