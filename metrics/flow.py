"""Hold what is drawn of the order flow: heatmap, footprint, last trades, changes of best prices."""

from collections.abc import Mapping, Sequence
from typing import Any

from metrics.footprint import Footprint
from metrics.heat_columns import COLUMN_MS, LEVELS, ROWS, HeatColumns, Levels
from metrics.joined_columns import JoinedColumns, KeptColumns, Stretch, stretch_of
from metrics.last_entries import LastEntries
from metrics.price_grid import PriceGrid
from metrics.trade_columns import trade_columns
from orderflow.array_file import Array
from orderflow.events import MAX_BARS, Trade

LAST_TRADES = 20_000
FileParts = tuple[dict[str, Any], dict[str, Array]]
"""The fields of a file's header and its arrays: see docs/flow-files.md."""


class Flow:
    """The order flow of one run, as its files hold it.

    `columns` is to be given to the book, which feeds it; trades are given to `add_trades`. Without
    `heatmap` there are no columns of resting size.
    """

    def __init__(
        self,
        window_seconds: int,
        start_ms: int | None = None,
        max_bars: int = MAX_BARS,
        *,
        heatmap: bool = True,
    ) -> None:
        self.has_heatmap = heatmap
        self.grid = PriceGrid()
        self.columns = HeatColumns(self.grid, -1 if start_ms is None else start_ms, heatmap)
        self._kept: KeptColumns = self.columns
        self.footprint = Footprint(window_seconds, self.grid, max_bars)
        self._last_trades = LastEntries("dddB", LAST_TRADES)

    def add_trades(self, trades: Sequence[Trade]) -> None:
        """Add trades, in time order."""
        columns = trade_columns(trades)
        self._last_trades.extend(columns)
        self.footprint.add(columns)

    def stretch(self, book: Levels) -> Stretch:
        """Return what was kept of the book, for `join` in another process."""
        return stretch_of(self._kept, self.grid, book)

    def join(self, stretches: Sequence[Stretch]) -> None:
        """Take over what was kept of the book in stretches that follow one another in time."""
        self._kept = JoinedColumns(stretches)
        for stretch in stretches:
            self.grid.join(stretch.grid)

    def heatmap_file(self, level: int, book: Levels) -> FileParts:
        """Return the columns of a level, the one in progress included."""
        first, found = self._kept.ring(level, book)
        count = len(found["low"]) // 8
        arrays = _doubles({name: found[name] for name in ("low", "row", "bid", "ask")})
        arrays["updates"] = Array("uint16", [count], found["updates"])
        arrays["cells"] = Array("uint16", [count, ROWS], found["cells"])
        fields = {
            "level": level,
            "column_ms": COLUMN_MS << 2 * level,
            "first": first,
            "columns": count,
            "rows": ROWS,
        }
        return self._with_tick("heatmap", fields), arrays

    def footprint_file(self, ohlc: Sequence[Sequence[float]]) -> FileParts:
        """Return the footprint of the bars, which are given as OHLC, and the session's profile."""
        fields, arrays = self.footprint.arrays(ohlc)
        return self._with_tick("footprint", fields), arrays

    def trades_file(self) -> FileParts:
        """Return the last trades."""
        first, (time, price, size, side) = self._last_trades.arrays()
        arrays = _doubles({"time": time, "price": price, "size": size})
        arrays["side"] = Array("uint8", [len(side)], side)
        return self._with_tick("trades", {"first": first}), arrays

    def best_file(self) -> FileParts:
        """Return the last changes of the best prices."""
        first, found = self._kept.best_changes()
        return self._with_tick("best", {"first": first}), _doubles(found)

    def _with_tick(self, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        grid = self.grid
        tick = {
            "tick_units": grid.units,
            "tick_decimals": grid.decimals,
            "tick_refined": grid.refined,
            "off_tick": grid.off_tick,
        }
        return {"kind": kind, **tick, **fields}


def _doubles(columns: Mapping[str, bytes]) -> dict[str, Array]:
    return {name: Array("float64", [len(data) // 8], data) for name, data in columns.items()}


__all__ = ["LEVELS", "Flow"]
