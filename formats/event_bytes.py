"""Make hftbacktest's events of book rows and trades."""

from collections.abc import Iterator

from formats.hftbacktest_npz import (
    AT_EXCHANGE,
    AT_LOCAL,
    BUY,
    CLEAR,
    DEPTH,
    EVENT,
    SELL,
    SNAPSHOT_LEVEL,
    TRADE,
)
from metrics.level_log import LevelRows
from metrics.trade_columns import TradeColumns
from orderflow.compiled import fastest

BOTH = AT_EXCHANGE | AT_LOCAL
NS_PER_MS = 1_000_000
_TAKERS = (0, BUY, SELL)


def python_event_bytes(rows: LevelRows, trades: TradeColumns) -> bytes:
    """Return the events of rows and trades, in time order, as the bytes of an array of them.

    Trades come before the levels of their millisecond: models of a queue count a trade twice where
    the level has shrunk already. A row that replaces the book is an event that clears both sides,
    without a side of its own, then its levels as levels of a snapshot. Times at the exchange and
    here are one.
    """
    return b"".join(
        EVENT.pack(kind | BOTH, ms * NS_PER_MS, ms * NS_PER_MS, price, size, 0, 0, 0.0)
        for kind, ms, price, size in _events(rows, trades)
    )


def _events(rows: LevelRows, trades: TradeColumns) -> Iterator[tuple[int, int, float, float]]:
    waiting = zip(*trades, strict=True)
    trade = next(waiting, None)
    levels = zip(rows.price, rows.size, strict=True)
    for place, ms in enumerate(rows.time):
        while trade is not None and trade[0] <= ms:
            yield _of_trade(trade)
            trade = next(waiting, None)
        replaces = rows.snapshot[place]
        if replaces:
            yield CLEAR, ms, 0.0, 0.0
        kind = SNAPSHOT_LEVEL if replaces else DEPTH
        for number, side in enumerate((BUY, SELL)):
            for _ in range(rows.counts[2 * place + number]):
                yield kind | side, ms, *next(levels)
    while trade is not None:
        yield _of_trade(trade)
        trade = next(waiting, None)


def _of_trade(trade: tuple[float, float, float, int]) -> tuple[int, int, float, float]:
    ms, price, size, side = trade
    return TRADE | _TAKERS[side], int(ms), price, size


event_bytes = fastest("event_bytes", python_event_bytes)
