"""Hand out the events of a run when they are due: at its speed, step by step, or not at all.

A player knows what was ordered and how far the run has come. It processes nothing: whatever is
ordered, every event is processed once and in order, so that the files come out the same.
"""

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from orderflow.events import BookBatch, Trade
from replay.run_orders import BAR, RESUME, ROW, SEEK, SPEED, Order

LOOK_SECONDS = 0.05
"""While waiting, new orders are looked for so often."""


class SoughtBackError(Exception):
    """Carry the wish to go back out of the loop over the events."""


class Orders(Protocol):
    """Where orders come from: a control file, or keys."""

    def take(self) -> list[Order]:
        """Return the orders that are new."""
        ...


class Player:
    """The pace of a run: `speed` times the recorded one, None for as fast as possible.

    What lies before `start_ms` warms up the book and is not waited for. `idle` is called before
    each event and every `LOOK_SECONDS` while waiting; what it raises ends the waiting. The first
    event of the range is now; a change of speed, a pause or a seek makes another event now.
    """

    def __init__(
        self,
        start_ms: int,
        end_ms: int,
        window_ms: int,
        idle: Callable[[], None],
        *,
        speed: float | None = None,
        paused: bool = False,
    ) -> None:
        self.speed = speed
        self.paused = paused
        self.position: int | None = None
        self._range = start_ms, end_ms
        self._window_ms = window_ms
        self._idle = idle
        self._sources: list[Orders] = []
        self._next_look = float("-inf")
        self._rows_due = 0
        self._must_go_back = False
        self._target: int | None = None
        self._origin: tuple[int, float] | None = None

    @property
    def seeking(self) -> int | None:
        """Return the time in ms that the run is on its way to; None when it is not."""
        return self._target

    def obey(self, *sources: Orders) -> None:
        """Do what is ordered by `sources` too."""
        self._sources += sources

    def look(self) -> None:
        """Do what is newly ordered. Raise `SoughtBackError` when that is to go back."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        for source in self._sources:
            for order in source.take():
                self._do(order)
        if self._must_go_back:
            self._must_go_back = False
            raise SoughtBackError

    def _do(self, order: Order) -> None:
        before = self.paused, self.speed, self._target
        if order.do == SPEED:
            self.speed = order.speed
        elif order.do == SEEK:
            self._seek(order.time)
        else:
            self.paused = order.do != RESUME
            self._rows_due += order.do == ROW
            if order.do == BAR:
                self._seek(self._end_of_bar())
        if before != (self.paused, self.speed, self._target):
            self._origin = None

    def _end_of_bar(self) -> int:
        """Return the last ms of the bar in progress, or of the next one where it is at its end."""
        reached = self.position if self._target is None else self._target
        next_ms = self._range[0] if reached is None else max(reached + 1, self._range[0])
        return next_ms - next_ms % self._window_ms + self._window_ms - 1

    def _seek(self, ms: int) -> None:
        start, end = self._range
        self._target = min(max(ms, start - 1), end)
        self._rows_due = 0
        if self.position is not None and self._target < self.position:
            self.position = None
            self._must_go_back = True

    # -- events

    def is_free(self, batch: BookBatch, trades: list[Trade]) -> bool:
        """Return whether all of these may be processed at once."""
        self.look()
        last = max([row[0] for row in batch.rows[-1:]] + [t[5] for t in trades[-1:]], default=-1)
        free_until = self._range[0] - 1
        if self._target is not None:
            free_until = max(free_until, self._target)
        elif self.speed is None and not self.paused:
            free_until = last
        if last > free_until:
            return False
        self._reach(last)
        return True

    def events(
        self, batch: BookBatch, trades: list[Trade]
    ) -> Iterator[tuple[BookBatch | None, list[Trade]]]:
        """Yield rows and trades one by one, each when it is due; rows before trades of one ms."""
        rows, row, trade = batch.rows, 0, 0
        while row < len(rows) or trade < len(trades):
            is_row = trade == len(trades) or (row < len(rows) and rows[row][0] <= trades[trade][5])
            ms = rows[row][0] if is_row else trades[trade][5]
            self._wait_for(ms, is_row=is_row)
            self._reach(ms)
            if is_row:
                yield batch.part(row, row + 1), []
                row += 1
            else:
                yield None, trades[trade : trade + 1]
                trade += 1
        if not rows:
            yield batch, []

    def wait_at_end(self) -> None:
        """Return when the run is not paused: a paused one may yet go back. Raise as `look`."""
        if self._target is not None:
            self.position, self._target = self._target, None
        while self.paused:
            self._idle()
            self.look()
            self._rows_due = 0
            self._target = None
            time.sleep(LOOK_SECONDS)

    def _reach(self, ms: int) -> None:
        if ms >= self._range[0]:
            self.position = ms

    def _wait_for(self, ms: int, *, is_row: bool) -> None:
        """Return when an event at `ms` is due."""
        while True:
            self._idle()
            self.look()
            if ms < self._range[0] or (self._target is not None and ms <= self._target):
                return
            if self._target is not None:
                self.position, self._target, self._origin = self._target, None, None
            if self.paused and not self._rows_due:
                self._origin = None
                time.sleep(LOOK_SECONDS)
                continue
            if self._rows_due:
                self._rows_due -= is_row
                return
            if self.speed is None:
                return
            left = self._seconds_until(ms, self.speed)
            if left <= 0:
                return
            time.sleep(min(left, LOOK_SECONDS))

    def _seconds_until(self, ms: int, speed: float) -> float:
        if self._origin is None:
            known = ms if self.position is None else self.position
            self._origin = known, time.monotonic()
        first, began = self._origin
        return began + (ms - first) / 1000 / speed - time.monotonic()
