"""Add up traded volume by price row and taker side."""

from array import array
from collections.abc import Sequence

from metrics.price_grid import MAX_TICKS, TICK_ERROR
from metrics.trade_columns import BUY, SELL, TradeColumns
from orderflow.compiled import fastest

RowColumns = tuple["array[float]", "array[float]", "array[float]", "array[float]"]
"""Rows, ascending, and their volumes: buys, sells, and those whose side is not known."""


class PythonVolumeByRow:
    """Volume by price row and taker side, and the running figures of the same trades.

    `delta` is buys less sells, `min_delta` and `max_delta` its extremes, 0 included; `volume` is
    the sum of all sizes and `notional` that of price times size. `highest` is the highest price.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._rows: dict[int, list[float]] = {}
        self.delta = self.min_delta = self.max_delta = 0.0
        self.volume = self.notional = self.highest = 0.0

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self,
        trades: TradeColumns,
        start: int,
        stop: int,
        ticks_per_price: float,
        row_ticks: int,
        most: int,
        any_price: bool,
    ) -> int:
        """Add the trades from `start` to before `stop`; return the place of the first one left.

        That is one whose price is no multiple of the tick, unless `any_price` will do, or one for
        which there would be more than `most` rows; `stop` when there is none.
        """
        _, prices, sizes, sides = trades
        for place in range(start, stop):
            ticks = min(prices[place] * ticks_per_price, MAX_TICKS)
            tick = round(ticks)
            fits = 0.0 < ticks < MAX_TICKS and abs(ticks - tick) <= ticks * TICK_ERROR
            if not (fits or any_price):
                return place
            row, size, side = tick // row_ticks, sizes[place], sides[place]
            volumes = self._rows.get(row)
            if volumes is None:
                if len(self._rows) >= most:
                    return place
                volumes = self._rows[row] = [0.0, 0.0, 0.0]
            volumes[side] += size
            if side == BUY:
                self.delta += size
            elif side == SELL:
                self.delta -= size
            self.min_delta = min(self.min_delta, self.delta)
            self.max_delta = max(self.max_delta, self.delta)
            self.volume += size
            self.notional += size * prices[place]
            self.highest = max(self.highest, prices[place])
        return stop

    def rescale(self, multiply: int, divide: int) -> None:
        """Make each row number times `multiply` by `divide`, and join those that become equal."""
        self._rows = {
            int(row): [other, buy, sell]
            for row, buy, sell, other in zip(
                *rescaled(self.columns(), multiply, divide), strict=True
            )
        }

    def columns(self) -> RowColumns:
        """Return the rows, ascending, and their volumes."""
        rows = sorted(self._rows)
        found = [self._rows[row] for row in rows]
        return (
            array("d", rows),
            array("d", [volumes[BUY] for volumes in found]),
            array("d", [volumes[SELL] for volumes in found]),
            array("d", [volumes[0] for volumes in found]),
        )


def rescaled(columns: RowColumns, multiply: int, divide: int) -> RowColumns:
    """Return columns with row numbers times `multiply` by `divide`, equal ones joined."""
    joined: dict[int, Sequence[float]] = {}
    for row, *volumes in zip(*columns, strict=True):
        number = int(row) * multiply // divide
        before = joined.get(number)
        joined[number] = (
            [a + b for a, b in zip(before, volumes, strict=True)] if before else volumes
        )
    return (
        array("d", joined),
        array("d", [volumes[0] for volumes in joined.values()]),
        array("d", [volumes[1] for volumes in joined.values()]),
        array("d", [volumes[2] for volumes in joined.values()]),
    )


VolumeByRow = fastest("VolumeByRow", PythonVolumeByRow)
