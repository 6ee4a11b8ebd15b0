"""Add trades to the bar of a window, the part of OHLC and CVD bars that each trade costs."""

from bisect import bisect_left

from metrics.rolling_bars import PythonCompensatedSum, extend_ohlc
from orderflow.compiled import fastest
from orderflow.events import Trade, time_of_trade


def python_add_prices(
    trades: list[Trade], start: int, end_ms: float, bar: list[float], volume: PythonCompensatedSum
) -> tuple[int, list[float]]:
    """Add the trades from place `start` to before `end_ms`; return the next place, and the bar.

    Trades are in time order, at least one of them before the end. `bar` is open, high, low and
    close, or empty; their sizes go into `volume`.
    """
    stop = bisect_left(trades, end_ms, start, key=time_of_trade)
    run = trades[start:stop]
    volume.add([trade[3] for trade in run])
    return stop, extend_ohlc(bar, [trade[2] for trade in run])


def python_add_deltas(
    trades: list[Trade], start: int, end_ms: float, bar: list[float], cvd: PythonCompensatedSum
) -> tuple[int, list[float], int]:
    """Add the trades likewise to a `bar` of the CVD; return also how many have no known side.

    Those change nothing. `bar` is open, high, low and close of the sum `cvd`.
    """
    stop = bisect_left(trades, end_ms, start, key=time_of_trade)
    run = trades[start:stop]
    signed = [
        size if side == "buy" else -size
        for _, _, _, size, side, _ in run
        if side in ("buy", "sell")
    ]
    values = cvd.add(signed)
    return stop, extend_ohlc(bar, values) if values else bar, len(run) - len(signed)


add_prices = fastest("add_prices", python_add_prices)
add_deltas = fastest("add_deltas", python_add_deltas)
