"""Add trades to the bars of a footprint and to the profile: what each trade and window costs."""

from bisect import bisect_left
from math import fsum
from typing import NamedTuple

from metrics.price_grid import PriceGrid
from metrics.row_height import RowHeight
from metrics.trade_columns import TradeColumns
from metrics.volume_by_row import PythonVolumeByRow, RowColumns, VolumeByRow
from orderflow.compiled import fastest


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


class Scale(NamedTuple):
    """How prices become rows, and for how many rows there is room."""

    ticks_per_price: float
    row_ticks: int
    room: int
    any_price: bool


class Profile:
    """Volume by price row, `most` at most, of the UTC day number `day`, None before there is one.

    The `height` of rows grows with their number.
    """

    def __init__(self, grid: PriceGrid, most: int) -> None:
        self.day: int | None = None
        self.most = most
        self.rows = VolumeByRow()
        self.height = RowHeight(grid)
        self._grid = grid

    def begin(self, day: int) -> None:
        """Begin anew with a day."""
        self.day = day
        self.rows.clear()
        self.height = RowHeight(self._grid)

    def add(self, trades: TradeColumns, start: int, stop: int) -> None:
        """Add the trades from `start` to before `stop`, whose prices the grid fits."""
        while start < stop:
            start = self.rows.add(
                trades,
                start,
                stop,
                self._grid.ticks_per_price,
                self.height.ticks,
                self.most,
                True,
            )
            if start < stop:
                self.grow()

    def grow(self) -> None:
        """Make rows higher, for want of room."""
        self.rows.rescale(1, self.height.grow())

    @property
    def vwap(self) -> float:
        """Return the mean price of the day so far, by volume; 0 without any."""
        return self.rows.notional / self.rows.volume if self.rows.volume else 0.0


def footprint_bar(window: int, cells: PythonVolumeByRow, profile: Profile) -> Bar:
    """Return the bar of a window that begins at `window` ms, given what is in its cells."""
    columns = cells.columns()
    buy, sell, other = (fsum(volumes) for volumes in columns[1:])
    return Bar(window, buy, sell, other, cells.min_delta, cells.max_delta, profile.vwap, columns)


def python_add_windows(
    cells: PythonVolumeByRow,
    profile: Profile,
    trades: TradeColumns,
    start: int,
    stop: int,
    window: int | None,
    window_ms: int,
    scale: Scale,
) -> tuple[int, int | None, list[Bar]]:
    """Add the trades of a day from place `start` to before `stop` to cells and profile.

    `cells` are those of the bar that begins at `window` ms, None for none. Return the place of the
    first trade left, the bar then in progress, and those that were closed, as tuples like `Bar`. A
    trade is left, and all after it, where `PythonVolumeByRow.add` leaves it: `stop` when none is.
    """
    ticks_per_price, row_ticks, room, any_price = scale
    closed = []
    while start < stop:
        time = int(trades[0][start])
        begin = time - time % window_ms
        if begin != window:
            if window is not None:
                closed.append(footprint_bar(window, cells, profile))
                room -= len(cells)
                cells.clear()
            window = begin
        end = bisect_left(trades[0], begin + window_ms, start, stop)
        reached = cells.add(trades, start, end, ticks_per_price, row_ticks, room, any_price)
        profile.add(trades, start, reached)
        start = reached
        if reached < end:
            break
    return start, window, closed


add_windows = fastest("add_windows", python_add_windows)
