"""Keep the footprint of the last bars and the profile of the session.

docs/flow-files.md has the rules in full.
"""

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from math import fsum
from typing import Any

from metrics.footprint_windows import Bar, Profile, Scale, add_windows, footprint_bar
from metrics.price_grid import PriceGrid
from metrics.row_height import RowHeight
from metrics.trade_columns import TradeColumns
from metrics.value_area import value_area
from metrics.volume_by_row import VolumeByRow, rescaled
from orderflow.array_file import Array
from orderflow.events import MAX_BARS

MAX_CELLS = 131_072
MAX_PROFILE_ROWS = 8192
DAY_MS = 86_400_000


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
        self.fresh: list[tuple[float, ...]] = []
        self._closed: deque[Bar] = deque(maxlen=max_bars)
        self._closed_cells = 0
        self._made = 0
        self._gone_delta = 0.0  # of the bars that are no longer kept
        self._height = RowHeight(grid)
        self._grid_version = -1
        self._window: int | None = None
        self._cells = VolumeByRow()
        self._profile = Profile(grid, max_profile_rows)

    def add(self, trades: TradeColumns) -> None:
        """Add trades, in time order."""
        times = trades[0]
        start, count = 0, len(times)
        while start < count:
            day = int(times[start]) // DAY_MS
            if day != self._profile.day:
                self._close_before(int(times[start]))
                self._profile.begin(day)
            stop = bisect_left(times, (day + 1) * DAY_MS, start)
            self._add_of_day(trades, start, stop)
            start = stop

    def _add_of_day(self, trades: TradeColumns, start: int, stop: int) -> None:
        grid = self._grid
        while start < stop:
            self._follow_grid()
            room = self._max_cells - self._closed_cells
            scale = Scale(grid.ticks_per_price, self._height.ticks, room, grid.off_tick)
            start, self._window, closed = add_windows(
                self._cells,
                self._profile,
                trades,
                start,
                stop,
                self._window,
                self._window_ms,
                scale,
            )
            self._keep(closed)
            grid.highest = max(grid.highest, self._profile.rows.highest)
            # With bars closed there may be more room now, for others are no longer kept.
            if start < stop and not closed and not self._refine(trades[1][start]):
                self._rescale(1, self._height.grow())

    def _close_before(self, time: int) -> None:
        """Close the bar in progress unless a time is in it."""
        if time - time % self._window_ms != self._window:
            self.finish()

    def finish(self) -> None:
        """Close the bar in progress, as at the end of the data; harmless when repeated."""
        if self._window is not None:
            self._keep([footprint_bar(self._window, self._cells, self._profile)])
            self._cells.clear()
            self._window = None

    def _keep(self, closed: Iterable[Sequence[Any]]) -> None:
        for bar in map(Bar._make, closed):
            if len(self._closed) == self._closed.maxlen:
                self._closed_cells -= len(self._closed[0].cells[0])
                self._gone_delta += _delta(self._closed[0])
            self._closed.append(bar)
            self.fresh.append(bar[:7])
            self._closed_cells += len(bar.cells[0])
            self._made += 1

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
        finer = self._profile.height.follow()
        if finer != 1:
            self._profile.rows.rescale(finer, 1)

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
            bars.append(footprint_bar(self._window, self._cells, self._profile))
        if len(bars) > (self._closed.maxlen or 1):
            gone_delta += _delta(bars.pop(0))
        fields = {
            "window_ms": self._window_ms,
            "first": self._made + (self._window is not None) - len(bars),
            "row_ticks": self._height.ticks,
            "session": self._session(),
            "cvd_start": gone_delta,
        }
        profile = self._profile.rows.columns()
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
        if profile.day is None:
            return None
        rows, *volumes = profile.rows.columns()
        poc, high, low = value_area(rows, [fsum(row) for row in zip(*volumes, strict=True)])
        return {
            "start": profile.day * DAY_MS,
            "row_ticks": profile.height.ticks,
            "volume": profile.rows.volume,
            "vwap": profile.vwap,
            "poc": rows[poc],
            "vah": rows[high],
            "val": rows[low],
        }


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
