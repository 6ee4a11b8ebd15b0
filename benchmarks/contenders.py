"""Do the work of a replay with other software, one way a process, for `compare.py`.

    uv run --group bench python -m benchmarks.contenders WAY RECORDING.db

The work: apply every book row, take the order book imbalance (OBI) over the best 50 levels a side
after each, and make bars of one minute: OHLC of trades, OBI, and the cumulative volume delta (CVD)
at the end of each minute. A JSON object on stdout says what was made and how long it took: imports
and compilation apart, everything from opening the recording to the last bar included.
"""

import json
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.task import (
    BOOK,
    DEPTH,
    MINUTE_MS,
    TRADES,
    Bars,
    Result,
    Stopwatch,
    connect,
)

Levels = list[list[str]]


class MinuteBars:
    """Make `[ts, open, high, low, close]` bars from values in time order."""

    def __init__(self) -> None:
        self.bars: list[list[float]] = []
        self._end = 0

    def add(self, ms: int, value: float) -> None:
        """Add a value at `ms`."""
        if ms >= self._end:
            start = ms - ms % MINUTE_MS
            self._end = start + MINUTE_MS
            self.bars.append([start, value, value, value, value])
            return
        bar = self.bars[-1]
        bar[4] = value
        if value > bar[2]:
            bar[2] = value
        elif value < bar[3]:
            bar[3] = value


class DictBook:
    """Keep a book as a script would: a dict a side, sorted for the best levels."""

    def __init__(self) -> None:
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}

    def imbalance(self) -> float | None:
        """Return the OBI of the best levels, None while a side is empty."""
        if not self.bids or not self.asks:
            return None
        best_bids = sorted(self.bids, reverse=True)[:DEPTH]
        best_asks = sorted(self.asks)[:DEPTH]
        return imbalance_of(
            sum(self.bids[price] for price in best_bids),
            sum(self.asks[price] for price in best_asks),
        )


def imbalance_of(bids: float, asks: float) -> float:
    """Return the OBI of two sums of sizes."""
    return (bids - asks) / (bids + asks)


def apply_levels(side: dict[float, float], levels: Levels) -> None:
    """Set the levels `[price, size, …]` of a row; a size of 0 deletes."""
    for level in levels:
        size = float(level[1])
        if size:
            side[float(level[0])] = size
        else:
            side.pop(float(level[0]), None)


def trade_bars(connection: sqlite3.Connection) -> Bars:
    """Make the OHLC and CVD bars in plain Python."""
    prices = MinuteBars()
    volumes: list[float] = []
    closes: list[list[float]] = []
    cvd = 0.0
    for price, size, side, ms in connection.execute(TRADES):
        prices.add(ms, price)
        cvd += size if side == "buy" else -size
        if len(volumes) < len(prices.bars):
            volumes.append(0.0)
            closes.append([prices.bars[-1][0], 0.0])
        volumes[-1] += size
        closes[-1][1] = cvd
    ohlc = [[*bar, volume] for bar, volume in zip(prices.bars, volumes, strict=True)]
    return {"ohlc": ohlc, "cvd": closes}


def scan(path: Path) -> Result:
    """Let SQLite read every byte of the book, and hand over one row."""
    began = time.perf_counter()
    with closing(connect(path)) as connection:
        rows, _, _ = connection.execute(
            "SELECT count(*), sum(length(bids) + length(asks)), max(timestamp) FROM book"
        ).fetchone()
    return {"rows": rows, "seconds": time.perf_counter() - began}


def fetch(path: Path) -> Result:
    """Fetch the rows of the book into Python and drop them."""
    began = time.perf_counter()
    rows = 0
    with closing(connect(path)) as connection:
        cursor = connection.execute("SELECT id, bids, asks, timestamp FROM book ORDER BY id")
        while batch := cursor.fetchmany(2048):
            rows += len(batch)
    return {"rows": rows, "seconds": time.perf_counter() - began}


def pandas_script(path: Path) -> Result:
    """Work as a script does: `read_sql`, `json.loads`, a dict a side, `groupby`."""
    import pandas as pd  # noqa: PLC0415

    watch = Stopwatch()
    began = time.perf_counter()
    with closing(connect(path)) as connection, watch.stage("read_sql"):
        rows = pd.read_sql(BOOK, connection)
        trades = pd.read_sql(TRADES, connection)
    book = DictBook()
    samples = []
    with watch.stage("book in a loop"):
        for row in rows.itertuples(index=False):
            apply_levels(book.bids, json.loads(row.bids))
            apply_levels(book.asks, json.loads(row.asks))
            samples.append(book.imbalance())
    with watch.stage("groupby"):
        rows["obi"] = samples
        obi = rows.dropna(subset="obi").groupby(rows.timestamp // MINUTE_MS).obi.ohlc()
        minutes = trades.groupby(trades.timestamp // MINUTE_MS)
        ohlc = minutes.price.ohlc().assign(volume=minutes["size"].sum())
        delta = trades["size"].where(trades.side == "buy", -trades["size"])
        cvd = delta.cumsum().groupby(trades.timestamp // MINUTE_MS).last().to_frame()
        frames = {"ohlc": ohlc, "obi": obi, "cvd": cvd}
        bars = {name: _frame_bars(frame) for name, frame in frames.items()}
    seconds = time.perf_counter() - began
    return {"rows": len(rows), "seconds": seconds, "stages": watch.stages, "bars": bars}


def _frame_bars(frame: Any) -> list[list[float]]:
    return [[minute * MINUTE_MS, *values] for minute, *values in frame.itertuples()]


def polars_frames(path: Path) -> Result:
    """Decode and group in polars, and keep the book between them in a loop over its columns."""
    import polars as pl  # noqa: PLC0415

    watch = Stopwatch()
    began = time.perf_counter()
    with closing(connect(path)) as connection, watch.stage("read_database"):
        rows = pl.read_database(BOOK, connection)
        trades = pl.read_database(TRADES, connection)
    with watch.stage("json_decode, explode"):
        sides = [_decoded(pl, rows, side) for side in ("bids", "asks")]
    with watch.stage("book in a loop"):
        samples = list(_loop_over(*sides))
    with watch.stage("group_by"):
        minute = (pl.col("timestamp") // MINUTE_MS * MINUTE_MS).alias("minute")
        sampled = rows.select("timestamp", pl.Series("obi", samples, dtype=pl.Float64))
        delta = pl.when(pl.col("side") == "buy").then("size").otherwise(-pl.col("size"))
        by_minute = trades.with_columns(cvd=delta.cum_sum()).group_by(minute, maintain_order=True)
        price = _ohlc(pl, "price")
        frames = {
            "ohlc": by_minute.agg(*price, pl.col("size").sum()),
            "obi": sampled.drop_nulls().group_by(minute, maintain_order=True).agg(_ohlc(pl, "obi")),
            "cvd": by_minute.agg(pl.col("cvd").last()),
        }
        bars = {name: [list(row) for row in frame.rows()] for name, frame in frames.items()}
    seconds = time.perf_counter() - began
    return {"rows": len(rows), "seconds": seconds, "stages": watch.stages, "bars": bars}


def _decoded(pl: Any, rows: Any, side: str) -> tuple[list[int], list[float], list[float]]:
    """Return where each row's levels begin, and the prices and sizes of all rows in one column."""
    decoded = rows.select(pl.col(side).str.json_decode(pl.List(pl.List(pl.String))))
    lengths = decoded.select(pl.col(side).list.len().cum_sum())[side].to_list()
    levels = (
        decoded.filter(pl.col(side).list.len() > 0)
        .explode(side)
        .select(
            price=pl.col(side).list.get(0).cast(pl.Float64),
            size=pl.col(side).list.get(1).cast(pl.Float64),
        )
    )
    return [0, *lengths], levels["price"].to_list(), levels["size"].to_list()


def _loop_over(*sides: tuple[list[int], list[float], list[float]]) -> Iterator[float | None]:
    book = DictBook()
    bounds = zip(pairwise(sides[0][0]), pairwise(sides[1][0]), strict=True)
    for spans in bounds:
        for levels, (start, end), (_, prices, sizes) in zip(
            (book.bids, book.asks), spans, sides, strict=True
        ):
            for price, size in zip(prices[start:end], sizes[start:end], strict=True):
                if size:
                    levels[price] = size
                else:
                    levels.pop(price, None)
        yield book.imbalance()


def _ohlc(pl: Any, name: str) -> list[Any]:
    column = pl.col(name)
    return [
        column.first().alias("open"),
        column.max().alias("high"),
        column.min().alias("low"),
        column.last().alias("close"),
    ]


def nautilus_book(path: Path) -> Result:
    """Build nautilus_trader's deltas, apply them to its order book, and ask it for the best 50."""
    from nautilus_trader.core import nautilus_pyo3 as nautilus  # noqa: PLC0415

    watch = Stopwatch()
    instrument = nautilus.InstrumentId.from_str("RECORDED.OKX")
    book = nautilus.OrderBook(instrument, nautilus.BookType.L2_MBP)
    obi = MinuteBars()
    rows = 0
    began = time.perf_counter()
    with closing(connect(path)) as connection:
        for bids, asks, ms in connection.execute(BOOK):
            with watch.stage("build deltas"):
                deltas = _deltas(nautilus, instrument, bids, asks, ms)
            with watch.stage("apply"):
                if deltas is not None:
                    book.apply_deltas(deltas)
            with watch.stage("best 50"):
                best_bids = sum(level.size() for level in book.bids(DEPTH))
                best_asks = sum(level.size() for level in book.asks(DEPTH))
            if best_bids and best_asks:
                obi.add(ms, imbalance_of(best_bids, best_asks))
            rows += 1
        with watch.stage("bars of trades"):
            bars = trade_bars(connection) | {"obi": obi.bars}
    seconds = time.perf_counter() - began
    return {"rows": rows, "seconds": seconds, "stages": watch.stages, "bars": bars}


def _deltas(nautilus: Any, instrument: Any, bids: str, asks: str, ms: int) -> Any:
    """Build the deltas of a row, None where it has no levels: nautilus takes no empty list."""
    delta, order = nautilus.OrderBookDelta, nautilus.BookOrder
    to_price, to_size = nautilus.Price.from_str, nautilus.Quantity.from_str
    update, delete = nautilus.BookAction.UPDATE, nautilus.BookAction.DELETE
    ns = ms * 1_000_000
    deltas = [
        delta(
            instrument,
            update if level[1] != "0" else delete,
            order(side, to_price(level[0]), to_size(level[1]), 0),
            0,
            0,
            ns,
            ns,
        )
        for side, text in ((nautilus.OrderSide.BUY, bids), (nautilus.OrderSide.SELL, asks))
        for level in json.loads(text)
    ]
    return nautilus.OrderBookDeltas(instrument, deltas) if deltas else None


def hftbacktest_conversion(path: Path) -> Result:
    """Convert a recording into hftbacktest's event file beside it."""
    from benchmarks import hftbacktest_ways  # noqa: PLC0415

    return hftbacktest_ways.convert(path)


def hftbacktest_hashmap(path: Path) -> Result:
    """Replay the prepared file with hftbacktest's book in a hash map."""
    from benchmarks import hftbacktest_ways  # noqa: PLC0415

    return hftbacktest_ways.replay(path, hftbacktest_ways.HASHMAP)


def hftbacktest_vector(path: Path) -> Result:
    """Replay the prepared file with hftbacktest's book in a vector over a range of prices."""
    from benchmarks import hftbacktest_ways  # noqa: PLC0415

    return hftbacktest_ways.replay(path, hftbacktest_ways.VECTOR)


def hftbacktest_local(path: Path) -> Result:
    """Replay as `hft-vector` from memory, without the exchange's side: hftbacktest's best case."""
    from benchmarks import hftbacktest_ways  # noqa: PLC0415

    return hftbacktest_ways.replay(path, hftbacktest_ways.VECTOR, from_memory=True)


WAYS: dict[str, Callable[[Path], Result]] = {
    "scan": scan,
    "fetch": fetch,
    "pandas": pandas_script,
    "polars": polars_frames,
    "nautilus": nautilus_book,
    "hft-convert": hftbacktest_conversion,
    "hft-hashmap": hftbacktest_hashmap,
    "hft-vector": hftbacktest_vector,
    "hft-local": hftbacktest_local,
}


def main() -> None:
    """Work in the way of the first argument on the recording of the second; print the result."""
    way, path = sys.argv[1:]
    try:
        result = WAYS[way](Path(path))
    except ImportError as error:
        result = {"missing": f"{error.name or error} is not installed"}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
