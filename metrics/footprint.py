"""Keep the footprint of the last bars and the profile of the session.

docs/flow-files.md has the rules in full.
"""

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from itertools import accumulate
from math import fsum
from typing import Any, NamedTuple

from metrics.price_grid import PriceGrid
from metrics.trade_columns import TradeColumns
from metrics.value_area import value_area
from metrics.volume_by_row import RowColumns, VolumeByRow, rescaled
from orderflow.array_file import Array
from orderflow.events import MAX_BARS

MAX_CELLS = 131_072
MAX_PROFILE_ROWS = 8192
DAY_MS = 86_400_000
NO_COLUMNS: RowColumns = (array("d"), array("d"), array("d"), array("d"))


class RowHeight:
    """The height of rows in ticks: 1 at first, then 5, 10, 50, 100 and so on.

    A tick that becomes finer leaves rows of a tick rows of a tick, and others as high as they were.
    """

    def __init__(self, grid: PriceGrid) -> None:
        self.ticks = 1
        self._grid = grid
        self._tick = grid.units, grid.decimals
        self._raised = 0

    def follow(self) -> int:
        """Return by how much row numbers are to be multiplied since the tick was looked at."""
        tick = self._grid.units, self._grid.decimals
        if tick == self._tick:
            return 1
        finer = self._grid.ticks_in(*self._tick) if self._tick[0] else 1
        self._tick = tick
        if self.ticks == 1:
            return finer
        self.ticks *= finer
        return 1

    def grow(self) -> int:
        """Make rows higher; return by how much row numbers are to be divided."""
        factor = 2 if self._raised % 2 else 5
        self._raised += 1
        self.ticks *= factor
        return factor


class Bar(NamedTuple):
    """What a bar says beside its prices; `cells` are its rows."""

    time: int
    buy: float
    sell: float
    other: float
    min_delta: float
    max_delta: float
    vwap: float
    cells: RowColumns


class Footprint:
    """Volume by price row and taker side: of the last bars, and of the UTC day of the last trade.

    Windows are those of the OHLC bars of `window_seconds`; trades come in time order. Prices are
    counted on `grid`, which is refined by those that do not fit. `fresh` gets each bar that is
    closed, without its cells, for who takes them all.
    """

    def __init__(
        self,
        window_seconds: int,
        grid: PriceGrid,
        max_bars: int = MAX_BARS,
        max_cells: int = MAX_CELLS,
        max_profile_rows: int = MAX_PROFILE_ROWS,
    ) -> None:
        self._window_ms = window_seconds * 1000
        self._grid = grid
        # However high rows become, the bars kept and the one in progress have a cell each.
        self._max_cells = max(max_cells, max_bars + 1)
        self._max_profile_rows = max_profile_rows
        self.fresh: list[tuple[float, ...]] = []
        self._closed: deque[Bar] = deque(maxlen=max_bars)
        self._closed_cells = 0
        self._made = 0
        self._gone_delta = 0.0  # of the bars that are no longer kept
        self._height = RowHeight(grid)
        self._grid_version = -1
        self._window: int | None = None
        self._cells = VolumeByRow()
        self._day: int | None = None
        self._profile_height = RowHeight(grid)
        self._profile = VolumeByRow()

    def add(self, trades: TradeColumns) -> None:
        """Add trades, in time order."""
        times = trades[0]
        start, count = 0, len(times)
        while start < count:
            time = int(times[start])
            self._move_to(time)
            stop = bisect_left(
                times, min(_end_of(time, self._window_ms), _end_of(time, DAY_MS)), start
            )
            self._add_cells(trades, start, stop)
            self._add_profile(trades, start, stop)
            start = stop

    def _move_to(self, timestamp: int) -> None:
        window = timestamp - timestamp % self._window_ms
        if window != self._window:
            self._close()
            self._window = window
        if timestamp // DAY_MS != self._day:
            self._day = timestamp // DAY_MS
            self._profile.clear()
            self._profile_height = RowHeight(self._grid)

    def finish(self) -> None:
        """Close the bar in progress, as at the end of the data; harmless when repeated."""
        self._close()
        self._window = None

    def _close(self) -> None:
        if self._window is None:
            return
        bar = self._bar(self._window)
        if len(self._closed) == self._closed.maxlen:
            self._closed_cells -= len(self._closed[0].cells[0])
            self._gone_delta += _delta(self._closed[0])
        self._closed.append(bar)
        self.fresh.append(bar[:7])
        self._closed_cells += len(bar.cells[0])
        self._made += 1
        self._cells.clear()

    def _bar(self, window: int) -> Bar:
        cells = self._cells
        columns = cells.columns()
        buy, sell, other = (fsum(volumes) for volumes in columns[1:])
        vwap = self._profile.notional / self._profile.volume if self._profile.volume else 0.0
        return Bar(window, buy, sell, other, cells.min_delta, cells.max_delta, vwap, columns)

    def _add_cells(self, trades: TradeColumns, start: int, stop: int) -> None:
        self._follow_grid()
        while start < stop:
            start = self._cells.add(
                trades,
                start,
                stop,
                self._grid.ticks_per_price,
                self._height.ticks,
                self._max_cells - self._closed_cells,
                self._grid.off_tick,
            )
            self._grid.highest = max(self._grid.highest, self._cells.highest)
            if start < stop and not self._refine(trades[1][start]):
                self._rescale(1, self._height.grow())

    def _add_profile(self, trades: TradeColumns, start: int, stop: int) -> None:
        """Add trades, whose prices the grid fits by now, to the profile."""
        while start < stop:
            start = self._profile.add(
                trades,
                start,
                stop,
                self._grid.ticks_per_price,
                self._profile_height.ticks,
                self._max_profile_rows,
                True,
            )
            if start < stop:
                self._profile.rescale(1, self._profile_height.grow())

    def _refine(self, price: float) -> bool:
        """Make the tick fit a price; return whether it did not."""
        if self._grid.off_tick or self._grid.fits(price):
            return False
        self._grid.fit([price])
        self._follow_grid()
        return True

    def _follow_grid(self) -> None:
        if self._grid.version == self._grid_version:
            return
        self._grid_version = self._grid.version
        finer = self._height.follow()
        if finer != 1:
            self._rescale(finer, 1)
        finer = self._profile_height.follow()
        if finer != 1:
            self._profile.rescale(finer, 1)

    def _rescale(self, multiply: int, divide: int) -> None:
        self._cells.rescale(multiply, divide)
        closed = [bar._replace(cells=rescaled(bar.cells, multiply, divide)) for bar in self._closed]
        self._closed = deque(closed, self._closed.maxlen)
        self._closed_cells = sum(len(bar.cells[0]) for bar in closed)

    def arrays(self, ohlc: Sequence[Sequence[float]]) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return the fields and arrays of the file, given the OHLC bars of the same windows."""
        self._follow_grid()
        bars, gone_delta = list(self._closed), self._gone_delta
        if self._window is not None:
            bars.append(self._bar(self._window))
        if len(bars) > (self._closed.maxlen or 1):
            gone_delta += _delta(bars.pop(0))
        fields = {
            "window_ms": self._window_ms,
            "first": self._made + (self._window is not None) - len(bars),
            "row_ticks": self._height.ticks,
            "session": self._session(),
            "cvd_start": gone_delta,
        }
        profile = self._profile.columns()
        return fields, {
            "time": _numbers(bar.time for bar in bars),
            **_prices(bars, ohlc),
            **{
                name: _numbers(bar[1 + i] for bar in bars)
                for i, name in enumerate(Bar._fields[1:7])
            },
            **_cells(bars),
            **_named(("profile_row", "profile_buy", "profile_sell", "profile_other"), profile),
        }

    def _session(self) -> dict[str, Any] | None:
        profile = self._profile
        if self._day is None:
            return None
        rows, *volumes = profile.columns()
        poc, high, low = value_area(rows, [fsum(row) for row in zip(*volumes, strict=True)])
        return {
            "start": self._day * DAY_MS,
            "row_ticks": self._profile_height.ticks,
            "volume": profile.volume,
            "vwap": profile.notional / profile.volume if profile.volume else 0.0,
            "poc": rows[poc],
            "vah": rows[high],
            "val": rows[low],
        }


def _end_of(time: int, length: int) -> int:
    """Return the end of the window of so many ms that a time is in."""
    return (time // length + 1) * length


def _delta(bar: Bar) -> float:
    return bar.buy - bar.sell


def _numbers(values: Any) -> Array:
    return _array(array("d", values))


def _array(values: "array[float]") -> Array:
    return Array("float64", [len(values)], values.tobytes())


def _named(names: Sequence[str], columns: Sequence["array[float]"]) -> dict[str, Array]:
    return {name: _array(column) for name, column in zip(names, columns, strict=True)}


def _prices(bars: Sequence[Bar], ohlc: Sequence[Sequence[float]]) -> dict[str, Array]:
    """Return the prices of the bars, which are the last of the OHLC bars."""
    prices = list(ohlc)[len(ohlc) - len(bars) :]
    names: tuple[tuple[str, Callable[[Sequence[float]], float]], ...] = (
        ("open", lambda bar: bar[1]),
        ("high", lambda bar: bar[2]),
        ("low", lambda bar: bar[3]),
        ("close", lambda bar: bar[4]),
    )
    return {name: _numbers(map(value, prices)) for name, value in names}


def _cells(bars: Sequence[Bar]) -> dict[str, Array]:
    ends = array("I", accumulate(len(bar.cells[0]) for bar in bars))
    names = ("cell_row", "cell_buy", "cell_sell", "cell_other")
    cells = {name: b"".join([bar.cells[place] for bar in bars]) for place, name in enumerate(names)}
    if not any(bar.other for bar in bars):
        cells["cell_other"] = b""
    arrays = {name: Array("float64", [len(data) // 8], data) for name, data in cells.items()}
    return {"cells_end": Array("uint32", [len(ends)], ends.tobytes()), **arrays}
