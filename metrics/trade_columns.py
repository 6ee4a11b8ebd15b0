"""Turn a list of trades into columns of numbers."""

from array import array
from collections.abc import Sequence

from orderflow.compiled import fastest
from orderflow.events import Trade

OTHER, BUY, SELL = range(3)
"""The taker's side as a number; `OTHER` where it is not known."""

TradeColumns = tuple["array[float]", "array[float]", "array[float]", "array[int]"]
"""Times in ms, prices and sizes as doubles, and sides as bytes."""


def python_trade_columns(trades: Sequence[Trade]) -> TradeColumns:
    """Return the times, prices, sizes and sides of trades."""
    sides = {"buy": BUY, "sell": SELL}
    return (
        array("d", [trade[5] for trade in trades]),
        array("d", [trade[2] for trade in trades]),
        array("d", [trade[3] for trade in trades]),
        array("B", [sides.get(trade[4] or "", OTHER) for trade in trades]),
    )


trade_columns = fastest("trade_columns", python_trade_columns)
