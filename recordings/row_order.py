"""Put the rows of one table into time order: one time scale, a bounded reorder buffer.

A row is a tuple `(ms, order, *payload)`: `ms` is the time in whole milliseconds since the epoch
(UTC), `order` breaks ties: the row's id, below the part of the timestamp finer than 1 ms. Rows of
one file are sorted by `(ms, order)`.
"""

from bisect import bisect_left
from collections import deque
from itertools import chain
from operator import itemgetter, le, lt
from typing import Any

from orderflow.compiled import fastest
from orderflow.times import to_nanoseconds

Row = tuple[Any, ...]

NANOSECONDS_PER_MS = 1_000_000
_ID_SPAN = 1 << 64
ORDINARY_IDS = _ID_SPAN // 2
"""Below this an order is the id itself: the time has no part finer than 1 ms."""
_time_and_order = itemgetter(0, 1)


def python_are_whole_ms(rows: list[Row]) -> bool:
    """Return whether every row begins with an integer that is a time in milliseconds."""
    times = [row[0] for row in rows]
    return set(map(type, times)) == {int} and min(times) >= 10**11 and max(times) < 10**14


are_whole_ms = fastest("are_whole_ms", python_are_whole_ms)


def normalise_times(rows: list[Row]) -> tuple[list[Row], list[int | None]]:
    """Give rows `(timestamp, id, *payload)` the common time scale.

    Return the rows `(ms, order, *payload)`, and for each row without a usable timestamp, which is
    left out, the ms of the last row before it that has one; None where there is none.
    """
    if not rows or are_whole_ms(rows):
        return rows, []
    timed: list[Row] = []
    untimed: list[int | None] = []
    for raw, tie, *payload in rows:
        nanoseconds = to_nanoseconds(raw)
        if nanoseconds is not None:
            ms, finer = divmod(nanoseconds, NANOSECONDS_PER_MS)
            timed.append((ms, finer * _ID_SPAN + tie, *payload))
        else:
            untimed.append(timed[-1][0] if timed else None)
    return timed, untimed


def id_of(order: int) -> int:
    """Return the id that a row's `order` was made of."""
    if order < ORDINARY_IDS:
        return order
    return (order + _ID_SPAN // 2) % _ID_SPAN - _ID_SPAN // 2


def finer_than_ms(order: int) -> int:
    """Return the part of the time finer than 1 ms, in ns, that a row's `order` was made of."""
    return (order + _ID_SPAN // 2) // _ID_SPAN


def python_is_sorted(rows: list[Row]) -> bool:
    """Return whether rows are in the order of their first two fields, integers."""
    times = [row[0] for row in rows]
    if all(map(lt, times, times[1:])):  # as in most recordings
        return True
    keys = list(map(_time_and_order, rows))
    return all(map(le, keys, keys[1:]))


is_sorted = fastest("is_sorted", python_is_sorted)


class ReorderBuffer:
    """Sort a nearly sorted stream of rows, holding back at most `capacity` rows.

    A row is put right when fewer than `capacity` rows that belong after it come before it. A row
    later than that is left out, and its time in ms added to `late_times`.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        # In chunks as they came: joining them would touch every row held at every push.
        self._chunks: deque[list[Row]] = deque()
        self._count = 0
        self._released: tuple[int, ...] = ()
        self.late_times: list[int] = []

    def resume(self, held: list[Row], released: Row) -> None:
        """Take over rows in order that were held back, and the time and order of the row before."""
        self._released = released
        if held:
            self._hold(held)

    def push(self, rows: list[Row], capacity: int | None = None) -> list[Row]:
        """Take the next rows and return those that are now in order, oldest first.

        `capacity` holds back fewer rows than usual, for rows so large that memory counts.
        """
        if not is_sorted(rows):
            rows.sort(key=_time_and_order)
        # What is held lies beyond what was released: only new rows can be late.
        late = bisect_left(rows, self._released, key=_time_and_order)
        self.late_times += [row[0] for row in rows[:late]]
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
