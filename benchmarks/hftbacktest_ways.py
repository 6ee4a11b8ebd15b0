"""Convert a recording for hftbacktest, and replay it there (see `contenders`).

hftbacktest replays arrays of events, one a level, from a `.npz` file. Every row and every trade
has a nanosecond of its own here: feeds of one time would be one feed, and the rows are to be
sampled one by one.
"""

import json
import time
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import hftbacktest as hft
import numpy as np
from hftbacktest.data import validate_event_order
from numba import njit

from benchmarks.task import BOOK, DEPTH, MINUTE_MS, TRADES, Result, Stopwatch, connect

TICK = 0.1
"""Price tick of both recordings."""
LOT = 1e-9
"""Smallest size of both recordings."""
ROWS_PER_CHUNK = 10_000
RANGE = 0.03
"""How far beyond the traded prices the vector of prices reaches; farther levels are left out."""
BOTH = hft.EXCH_EVENT | hft.LOCAL_EVENT
NS_PER_MS = 1_000_000
NO_EVENT = 100
"""A kind of event that hftbacktest hands on and does nothing about."""
END_OF_DATA = 1
NEVER = 10**18


def prepared_file(path: Path) -> Path:
    """Return where the events of a recording lie."""
    return path.with_suffix(".npz")


def convert(path: Path) -> Result:
    """Write the events of a recording, each with both flags, as hftbacktest's converters do."""
    watch = Stopwatch()
    validate_event_order(np.zeros(1, hft.types.event_dtype))  # compiled before the clock starts
    began = time.perf_counter()
    with closing(connect(path)) as connection:
        with watch.stage("events of rows"):
            rows, depth = _depth_events(connection.execute(BOOK))
        with watch.stage("events of trades"):
            trades = _trade_events(connection.execute(TRADES).fetchall())
    with watch.stage("sort and save"):
        events = np.concatenate([*depth, trades])
        events = events[np.argsort(events["exch_ts"], kind="stable")]
        # The last feed is not told apart from the end of the data, so one is put after it.
        after = int(events["exch_ts"][-1]) + 1
        events = np.append(events, _events(NO_EVENT, [0], [after], [0.0], [0.0]))
        validate_event_order(events)
        np.savez(prepared_file(path), data=events)
    seconds = time.perf_counter() - began
    return {"rows": rows, "seconds": seconds, "stages": watch.stages}


def _depth_events(cursor: Any) -> tuple[int, list[Any]]:
    chunks = []
    rows = 0
    while batch := cursor.fetchmany(ROWS_PER_CHUNK):
        flags: list[int] = []
        times: list[int] = []
        prices: list[float] = []
        sizes: list[float] = []
        for index, (bids, asks, ms) in enumerate(batch, rows):
            for flag, text in ((hft.BUY_EVENT, bids), (hft.SELL_EVENT, asks)):
                levels = json.loads(text)
                flags += [flag] * len(levels)
                times += [_own_time(ms, index, 0)] * len(levels)
                prices += [float(level[0]) for level in levels]
                sizes += [float(level[1]) for level in levels]
        chunks.append(_events(hft.DEPTH_EVENT, flags, times, prices, sizes))
        rows += len(batch)
    return rows, chunks


def _trade_events(trades: list[Any]) -> Any:
    prices, sizes, sides, times = zip(*trades, strict=True)
    flags = [hft.BUY_EVENT if side == "buy" else hft.SELL_EVENT for side in sides]
    own = [_own_time(ms, index, 1) for index, ms in enumerate(times)]
    return _events(hft.TRADE_EVENT, flags, own, prices, sizes)


def _own_time(ms: int, index: int, is_trade: int) -> int:
    """Return a time in ns within the millisecond that no other row or trade has."""
    return ms * NS_PER_MS + is_trade * (NS_PER_MS // 2) + index % (NS_PER_MS // 2)


def _events(kind: int, flags: Any, times: Any, prices: Any, sizes: Any) -> Any:
    events = np.zeros(len(times), hft.types.event_dtype)
    events["ev"] = np.array(flags, np.uint64) | np.uint64(kind | BOTH)
    events["exch_ts"] = events["local_ts"] = times
    events["px"], events["qty"] = prices, sizes
    return events


def replay(path: Path, book: "BookWay", *, from_memory: bool = False) -> Result:
    """Replay the prepared file of a recording, and sample after each row.

    `from_memory` loads the file before the clock starts and leaves out the exchange's side of the
    simulation, which nothing but orders needs.
    """
    with closing(connect(path)) as connection:
        rows = connection.execute("SELECT count(*) FROM book").fetchone()[0]
        lowest, highest, minutes = connection.execute(
            "SELECT min(price), max(price), max(timestamp) / 60000 - min(timestamp) / 60000 "
            "FROM trades"
        ).fetchone()
    bounds = lowest * (1 - RANGE), highest * (1 + RANGE)
    nothing = np.zeros(0, hft.types.event_dtype)
    # Compiled before the clock starts.
    book.run(book.make([_asset(nothing, bounds)]), 1, *map(_tick, bounds))
    source = _local_events(path) if from_memory else str(prepared_file(path))
    began = time.perf_counter()
    backtest = book.make([_asset(source, bounds)])
    obi, ohlc, cvd = book.run(backtest, minutes + 2, *map(_tick, bounds))
    bars = {"ohlc": ohlc.tolist(), "obi": obi.tolist(), "cvd": cvd.tolist()}
    backtest.close()
    return {"rows": rows, "seconds": time.perf_counter() - began, "bars": bars}


def _local_events(path: Path) -> Any:
    with np.load(prepared_file(path)) as prepared:
        events = prepared["data"]
    events["ev"] ^= np.uint64(hft.EXCH_EVENT)
    return events


def _tick(price: float) -> int:
    return round(price / TICK)


def _asset(data: Any, bounds: tuple[float, float]) -> Any:
    return (
        hft.BacktestAsset()
        .data([data])
        .linear_asset(1.0)
        .constant_order_latency(0, 0)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0.0, 0.0)
        .tick_size(TICK)
        .lot_size(LOT)
        .last_trades_capacity(1024)
        .roi_lb(bounds[0])
        .roi_ub(bounds[1])
    )


def _sums_by_lookup(depth: Any, low: int, high: int) -> tuple[float, float]:
    """Sum the best sizes tick by tick; a side is empty where its best tick is none."""
    bids = asks = 0.0
    if depth.best_bid_tick < low or depth.best_ask_tick > high:
        return bids, asks
    tick, left = depth.best_bid_tick, DEPTH
    while left > 0 and tick >= low:
        size = depth.bid_qty_at_tick(tick)
        if size > 0:
            bids += size
            left -= 1
        tick -= 1
    tick, left = depth.best_ask_tick, DEPTH
    while left > 0 and tick <= high:
        size = depth.ask_qty_at_tick(tick)
        if size > 0:
            asks += size
            left -= 1
        tick += 1
    return bids, asks


def _sums_by_vector(depth: Any, low: int, high: int) -> tuple[float, float]:
    """Sum the best sizes out of the vectors, which begin at the tick `low`."""
    bids = asks = 0.0
    if depth.best_bid_tick < low or depth.best_ask_tick > high:
        return bids, asks
    sizes, tick, left = depth.bid_depth, depth.best_bid_tick - depth.roi_lb_tick, DEPTH
    while left > 0 and tick >= 0:
        if sizes[tick] > 0:
            bids += sizes[tick]
            left -= 1
        tick -= 1
    sizes, tick, left = depth.ask_depth, depth.best_ask_tick - depth.roi_lb_tick, DEPTH
    while left > 0 and tick < len(sizes):
        if sizes[tick] > 0:
            asks += sizes[tick]
            left -= 1
        tick += 1
    return bids, asks


def _add(bars: Any, last: int, ms: int, value: float) -> int:
    """Add a value to the bars `[ts, open, high, low, close, …]`; return the last one's index."""
    if last < 0 or ms >= bars[last, 0] + MINUTE_MS:
        last += 1
        bars[last, 0] = ms - ms % MINUTE_MS
        bars[last, 1:5] = value
        return last
    bars[last, 2] = max(bars[last, 2], value)
    bars[last, 3] = min(bars[last, 3], value)
    bars[last, 4] = value
    return last


def _runner(sums: Any) -> Any:
    """Compile the loop over feeds with a way to sum the best levels."""
    sums, add = njit(sums), njit(_add)

    def run(backtest: Any, minutes: int, low: int, high: int) -> Any:
        obi, ohlc, cvd = np.zeros((minutes, 5)), np.zeros((minutes, 6)), np.zeros((minutes, 2))
        last_obi, last_trade, delta = -1, -1, 0.0
        depth = backtest.depth(0)
        while backtest.wait_next_feed(False, NEVER) != END_OF_DATA:
            ms = backtest.current_timestamp // NS_PER_MS
            trades = backtest.last_trades(0)
            if len(trades) == 0:
                bids, asks = sums(depth, low, high)
                if bids > 0 and asks > 0:
                    last_obi = add(obi, last_obi, ms, (bids - asks) / (bids + asks))
                continue
            for trade in trades:
                last_trade = add(ohlc, last_trade, ms, trade.px)
                ohlc[last_trade, 5] += trade.qty
                delta += trade.qty if trade.ev & hft.BUY_EVENT else -trade.qty
                cvd[last_trade, 0], cvd[last_trade, 1] = ohlc[last_trade, 0], delta
            backtest.clear_last_trades(0)
        return obi[: last_obi + 1], ohlc[: last_trade + 1], cvd[: last_trade + 1]

    return njit(run)


class BookWay(NamedTuple):
    """One of hftbacktest's books: what makes a backtest of it, and the loop compiled for it."""

    make: Any
    run: Any


HASHMAP = BookWay(hft.HashMapMarketDepthBacktest, _runner(_sums_by_lookup))
VECTOR = BookWay(hft.ROIVectorMarketDepthBacktest, _runner(_sums_by_vector))
