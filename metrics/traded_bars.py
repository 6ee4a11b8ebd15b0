"""Make bars of trades: the part of OHLC and CVD bars that each trade and each window costs."""

from collections.abc import Sequence

from metrics.rolling_bars import Bar, PythonCompensatedSum, extend_ohlc, windows_of
from orderflow.compiled import fastest
from orderflow.events import Trade, time_of_trade


def python_price_bars(
    trades: Sequence[Trade],
    window_ms: int,
    bar: Bar,
    volume: PythonCompensatedSum,
    closed: PythonCompensatedSum,
) -> list[Bar]:
    """Add trades, in time order, to bars `[ts, open, high, low, close, volume, trades]`.

    `bar` is the one in progress, empty for none, and `volume` the sum of its sizes; those of bars
    that end go into `closed`. Return the bars from it on, the last of them in progress now.
    """
    bars = [bar] if bar else []
    for start, run in windows_of(trades, window_ms, time_of_trade):
        before = bars.pop() if bars and bars[-1][0] == start else []
        if not before:
            closed.merge(volume)
            volume.clear()
        volume.add([trade[3] for trade in run])
        prices = extend_ohlc(before[1:5], [trade[2] for trade in run])
        bars.append([start, *prices, volume.value, len(run) + (before[6] if before else 0)])
    return bars


def python_delta_bars(
    trades: Sequence[Trade], window_ms: int, bar: Bar, cvd: PythonCompensatedSum
) -> tuple[list[Bar], int]:
    """Add trades likewise to bars `[ts, open, high, low, close]` of the CVD, which is `cvd`.

    Return also how many have no known side: those change nothing.
    """
    bars, unknown = [bar] if bar else [], 0
    for start, run in windows_of(trades, window_ms, time_of_trade):
        before = bars.pop() if bars and bars[-1][0] == start else [start, *[cvd.value] * 4]
        signed = [
            size if side == "buy" else -size
            for _, _, _, size, side, _ in run
            if side in ("buy", "sell")
        ]
        unknown += len(run) - len(signed)
        values = cvd.add(signed)
        bars.append([start, *extend_ohlc(before[1:], values)] if values else before)
    return bars, unknown


price_bars = fastest("price_bars", python_price_bars)
delta_bars = fastest("delta_bars", python_delta_bars)
