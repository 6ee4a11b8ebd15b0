"""Book rows of which the levels are numbers already, in columns and not as an object a row."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, overload

from orderflow.events import ParsedLevels

READ, HEARTBEAT, UNREADABLE = range(3)
"""What a row was when it was parsed: levels, empty on both sides as recorded, or none at all."""
NO_ACTION, UPDATES, REPLACES = range(3)
"""What the recorded action of a row says."""

_ID_SPAN = 1 << 64
_ACTIONS = (None, b"update", b"snapshot")
_EMPTY, _UNREADABLE = b"[]", ParsedLevels((), (), -1)


@dataclass(frozen=True, slots=True)
class Marks:
    """What was recorded of rows beside their levels: actions, and the ids of their sequence."""

    actions: Sequence[int]
    seq_ids: Sequence[int | None]
    prev_seq_ids: Sequence[int | None]

    def part(self, start: int, stop: int) -> "Marks":
        """Return those from `start` to before `stop`."""
        return Marks(
            self.actions[start:stop], self.seq_ids[start:stop], self.prev_seq_ids[start:stop]
        )


@dataclass(frozen=True, slots=True)
class ParsedRows(Sequence[tuple[Any, ...]]):
    """Rows `(ms, order, bids, asks)`, or with `action, seq_id, prev_seq_id`; a slice copies none.

    The levels of row i are those from `starts[i]` to before `starts[i + 1]` of `prices` and
    `sizes`, the first `bid_levels[i]` of them its bids. `rejected` counts its levels that were not
    usable, and `states` is one of `READ`, `HEARTBEAT` and `UNREADABLE`. `finer` is the part of the
    time finer than 1 ms, in ns; None where no row has any.
    """

    times: memoryview
    ids: memoryview
    finer: memoryview | None
    starts: memoryview
    bid_levels: memoryview
    prices: memoryview
    sizes: memoryview
    rejected: memoryview
    states: memoryview
    marks: Marks | None = None

    def __len__(self) -> int:
        return len(self.times)

    @overload
    def __getitem__(self, index: int) -> tuple[Any, ...]: ...

    @overload
    def __getitem__(self, index: slice) -> "ParsedRows": ...

    def __getitem__(self, index: int | slice) -> "tuple[Any, ...] | ParsedRows":
        if isinstance(index, slice):
            return self._part(*index.indices(len(self)))
        count = len(self)
        place = index + count if index < 0 else index
        if not 0 <= place < count:
            msg = f"row {index} of {count}"
            raise IndexError(msg)
        row = self.times[place], self._order(place), *self._sides(place)
        if self.marks is None:
            return row
        marks = self.marks
        action = _ACTIONS[marks.actions[place]]
        return *row, action, marks.seq_ids[place], marks.prev_seq_ids[place]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return map(self.__getitem__, range(len(self)))

    def _part(self, start: int, stop: int, step: int) -> "ParsedRows":
        if step != 1:
            msg = f"rows are sliced with a step of 1; found a step of {step}"
            raise ValueError(msg)
        stop = max(start, stop)
        return ParsedRows(
            self.times[start:stop],
            self.ids[start:stop],
            self.finer and self.finer[start:stop],
            self.starts[start : stop + 1],
            self.bid_levels[start:stop],
            self.prices,
            self.sizes,
            self.rejected[start:stop],
            self.states[start:stop],
            self.marks and self.marks.part(start, stop),
        )

    def _order(self, place: int) -> int:
        order: int = self.ids[place]
        return order if self.finer is None else self.finer[place] * _ID_SPAN + order

    def _sides(self, place: int) -> tuple[Any, Any]:
        if self.states[place] == HEARTBEAT:
            return _EMPTY, _EMPTY
        if self.states[place] == UNREADABLE:
            return _UNREADABLE, _UNREADABLE
        first, last = self.starts[place], self.starts[place + 1]
        cut = first + self.bid_levels[place]
        prices, sizes = self.prices, self.sizes
        bids = ParsedLevels(tuple(prices[first:cut]), tuple(sizes[first:cut]), self.rejected[place])
        return bids, ParsedLevels(tuple(prices[cut:last]), tuple(sizes[cut:last]))

    def unmarked(self) -> "ParsedRows":
        """Return the rows as `(ms, order, bids, asks)`."""
        return self if self.marks is None else replace(self, marks=None)


def times_of(rows: Sequence[tuple[Any, ...]]) -> list[int]:
    """Return the times of book rows in ms."""
    return rows.times.tolist() if isinstance(rows, ParsedRows) else [row[0] for row in rows]


def first_from(rows: Sequence[tuple[Any, ...]], ms: float) -> int:
    """Return the index of the first of some book rows, in time order, that is not before `ms`."""
    if isinstance(rows, ParsedRows):
        return bisect_left(rows.times, ms)
    return bisect_left(rows, ms, key=itemgetter(0))
