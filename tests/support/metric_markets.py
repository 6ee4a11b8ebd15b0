"""Made-up rows and trades in batches, for bars with metrics beside ticks."""

import random
from bisect import bisect_left

from orderflow.events import BookBatch, BookRow, Trade, time_of_row, time_of_trade

INSTRUMENT = "BTC-USDT"
Batches = list[tuple[BookBatch, list[Trade]]]


def events(seed: int, count: int = 400) -> tuple[list[BookRow], list[Trade]]:
    """Make rows and trades of about ten seconds, with many in one ms and silences of seconds."""
    draw = random.Random(seed)
    now = 1_000_000
    rows: list[BookRow] = []
    trades: list[Trade] = []
    old = 100
    for number in range(count):
        now += draw.choice([0, 0, 1, 7, 30]) if number % 97 else 2_500
        if draw.random() < 0.5:
            if number == 50:
                rows.append((now, number, b"not levels", b"[]"))
                continue
            mid = draw.randint(95, 105)
            bids, asks = _side(draw, mid - 1, old - 1, 80), _side(draw, mid + 1, old + 1, 120)
            rows.append((now, number, bids, asks))
            old = mid
        else:
            side = draw.choice(["buy", "sell", None])
            size = draw.randint(1, 30) / 10
            trades.append((number, None, float(draw.randint(97, 103)), size, side, now))
    return rows, trades


def _side(draw: random.Random, best: int, old_best: int, far: int) -> bytes:
    """Return a side whose best level takes the place of the one before, and a level far away."""
    levels = [[old_best, 0], [best, draw.randint(1, 9)], [far, 3]]
    return str(levels).encode()


def batches(
    rows: list[BookRow], trades: list[Trade], pieces: int = 1, before_ms: int | None = None
) -> Batches:
    """Cut events into so many batches, between milliseconds; leave out what is not `before_ms`."""
    times = sorted({*map(time_of_row, rows), *map(time_of_trade, trades)})
    ends = [times[len(times) * piece // pieces] for piece in range(1, pieces)]
    ends.append(times[-1] + 1 if before_ms is None else before_ms)
    made: Batches = []
    row = trade = 0
    for end in ends:
        to_row = bisect_left(rows, end, row, key=time_of_row)
        to_trade = bisect_left(trades, end, trade, key=time_of_trade)
        some = rows[row:to_row]
        snapshots = [number == 0 for number in range(row, to_row)]
        made.append((BookBatch(some, snapshots), trades[trade:to_trade]))
        row, trade = to_row, to_trade
    return made
