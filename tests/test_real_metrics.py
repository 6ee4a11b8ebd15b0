"""Metrics of real recordings, against SQL window functions and a book of dicts."""

import sqlite3
from collections import defaultdict
from contextlib import closing
from heapq import nlargest, nsmallest
from itertools import pairwise
from math import inf, log, nan, sqrt
from statistics import linear_regression
from typing import Any

import pytest
from brute_force import BruteBook, ohlc
from metric_runs import ENGINES, new, use
from real_recordings import DATA, needs_recordings

from db_interpreter import DBInterpreter
from level_parser import parse_levels_including_zeros
from ohlc_processor import OHLCProcessor
from orderflow.errors import LevelFormatError
from orderflow.events import BookBatch, Trade

pytestmark = needs_recordings
QUICK = ("okx_v5_202205",)
SECONDS = 15
BUCKETS = 5
MOST_ROWS = 800
BOOK = (
    "obi", "obi:levels=5", "tot:levels=5", "spread", "mid", "weighted_mid", "depth:bp=10",
    "slope:levels=5,side=bid", "slope:levels=5,side=ask", "ofi", "ofi:levels=3",
    "realised_volatility",
)  # fmt: skip
Values = dict[str, dict[int, list[float]]]
"""The value of each metric, by bar."""


def recorded() -> list[Any]:
    found = []
    for path in sorted(DATA.glob("*.db")) if DATA.is_dir() else []:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            query = "SELECT instrument FROM book UNION SELECT instrument FROM trades ORDER BY 1"
            marks = () if path.stem in QUICK else (pytest.mark.thorough,)
            found += [
                pytest.param((path.stem, name), marks=marks, id=f"{path.stem}/{name}")
                for (name,) in connection.execute(query)
            ]
    return found


Events = list[tuple[BookBatch, list[Trade]]]


@pytest.fixture(scope="module", params=recorded())
def events(request: pytest.FixtureRequest) -> Events:
    """Return the events up to some number of book rows, with the trades before the last of them."""
    stem, instrument = request.param
    given: Events = []
    rows = 0
    for batch, trades in DBInterpreter(DATA / f"{stem}.db", instrument).batches():
        part = batch.part(0, min(len(batch), MOST_ROWS - rows))
        rows += len(part)
        last = part.rows[-1][0] if part.rows and rows == MOST_ROWS else inf
        given.append((part, [trade for trade in trades if trade[5] < last]))
        if rows == MOST_ROWS:
            break
    return given


def found_in(events: Events, asked: tuple[str, ...], engine: str) -> Values:
    with pytest.MonkeyPatch.context() as patch:
        use(engine, patch)
        measured = new(asked, f"time:{SECONDS}", max_bars=100_000)
        processor = OHLCProcessor(SECONDS, measured=measured)
        for batch, trades in events:
            processor.process_rows(batch)
            processor.process_trades(trades)
        processor.finalize()
    bars = measured.bars()
    return {
        name: {key: list(values[1 + place]) for key, values in bars}
        for place, name in enumerate(asked)
    }


def bar_of(ms: float) -> int:
    return int(ms // (SECONDS * 1000) * (SECONDS * 1000))


def check(found: Values, right: Values, scale: float) -> None:
    """Hold values against the right ones; `scale` is a size beside which rounding is seen."""
    for name, bars in right.items():
        for key, bar in bars.items():
            near = pytest.approx(bar, rel=1e-9, abs=1e-12 * scale, nan_ok=True)
            assert found[name][key] == near, (name, key)


def test_metrics_of_the_book_are_those_of_a_book_of_dicts(events: Events) -> None:
    right, largest = book_by_definition(events)
    for engine in ENGINES:
        check(found_in(events, BOOK, engine), right, largest)


def book_by_definition(events: Events) -> tuple[Values, float]:
    """Return the values, and the largest size among the best levels."""
    book = BruteBook()
    largest = 1.0
    samples: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    before: list[Any] = []
    for batch, _ in events:
        for row, snapshot in zip(batch.rows, batch.snapshots, strict=True):
            try:
                sides = [parse_levels_including_zeros(side) for side in row[2:4]]
            except LevelFormatError:
                continue
            book.apply(*sides, snapshot=snapshot)
            if not book.bids or not book.asks:
                continue
            bids = nlargest(50, book.bids.items())
            asks = nsmallest(50, book.asks.items())
            bar = bar_of(row[0])
            largest = max([largest, *(size for _, size in bids + asks)])
            for name, value in figures(book, bids, asks).items():
                samples[name][bar].append(value)
            levels = [levels_at(bids, asks, i) for i in range(3)]
            flows = [flow(new, old) for new, old in zip(levels, before or levels, strict=True)]
            samples["flows"][bar].append(flows if before else [0.0] * 3)  # type: ignore[arg-type]
            samples["second"][bar].append(row[0] // 1000)
            before = levels
    flows_of = samples.pop("flows", {})
    seconds = samples.pop("second", {})
    right: Values = {
        name: {bar: ohlc(found) for bar, found in bars.items()} for name, bars in samples.items()
    }
    totals = {bar: [sum(v) for v in zip(*f, strict=True)] for bar, f in flows_of.items()}
    right["ofi:levels=3"] = totals
    right["ofi"] = {bar: total[:1] for bar, total in totals.items()}
    right["realised_volatility"] = volatility(samples.get("mid", {}), seconds)
    return right, largest


def figures(book: BruteBook, bids: list[Any], asks: list[Any]) -> dict[str, float]:
    (bid, bid_size), (ask, ask_size) = bids[0], asks[0]
    b, a = sum(size for _, size in bids), sum(size for _, size in asks)
    b5, a5 = sum(size for _, size in bids[:5]), sum(size for _, size in asks[:5])
    mid = (bid + ask) / 2
    return {
        "obi": (b - a) / (b + a),
        "obi:levels=5": (b5 - a5) / (b5 + a5),
        "tot:levels=5": b5 + a5,
        "spread": ask - bid,
        "mid": mid,
        "weighted_mid": (bid * ask_size + ask * bid_size) / (bid_size + ask_size),
        "depth:bp=10": sum(
            [size for price, size in book.bids.items() if price >= mid * (1 - 0.001)]
            + [size for price, size in book.asks.items() if price <= mid * (1 + 0.001)]
        ),
        "slope:levels=5,side=bid": slope([((mid - p) / mid * 1e4, s) for p, s in bids[:5]]),
        "slope:levels=5,side=ask": slope([((p - mid) / mid * 1e4, s) for p, s in asks[:5]]),
    }


def slope(levels: list[tuple[float, float]]) -> float:
    cumulated = [sum(size for _, size in levels[: i + 1]) for i in range(len(levels))]
    distances = [distance for distance, _ in levels]
    return linear_regression([*distances, 0.0], [*cumulated, 0.0], proportional=True).slope


def levels_at(bids: list[Any], asks: list[Any], place: int) -> tuple[Any, Any]:
    bid = bids[place] if place < len(bids) else (0.0, 0.0)
    return bid, asks[place] if place < len(asks) else (inf, 0.0)


def flow(now: tuple[Any, Any], old: tuple[Any, Any]) -> float:
    (bid, bid_size), (ask, ask_size) = now
    (old_bid, old_bid_size), (old_ask, old_ask_size) = old
    came = bid_size * (bid >= old_bid) - old_bid_size * (bid <= old_bid)
    return float(came - ask_size * (ask <= old_ask) + old_ask_size * (ask >= old_ask))


def volatility(mids: Any, seconds: Any) -> dict[int, list[float]]:
    last, found = nan, {}
    for bar in sorted(mids):
        ends = list(dict(zip(seconds[bar], mids[bar], strict=True)).values())
        chain = ends if last != last else [last, *ends]  # noqa: PLR0124
        found[bar] = [sqrt(sum(log(new / old) ** 2 for old, new in pairwise(chain)))]
        last = ends[-1]
    return found


def test_metrics_of_trades_are_what_sql_finds(events: Events) -> None:
    trades = [trade for _, given in events for trade in given]
    known = sum(trade[3] for trade in trades if trade[4] in {"buy", "sell"})
    volume = known / 23.5 if known else 1.0
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, ms, price, size, side)")
        connection.executemany(
            "INSERT INTO t (ms, price, size, side) VALUES (?, ?, ?, ?)",
            [(trade[5], trade[2], trade[3], trade[4]) for trade in trades],
        )
        right = by_sql(connection, volume)
    vpin = f"vpin:volume={volume!r},buckets={BUCKETS}"
    right[vpin] = right.pop("vpin")
    for engine in ENGINES:
        check(found_in(events, tuple(right), engine), right, max(known, 1.0))


def by_sql(connection: sqlite3.Connection, volume: float) -> Values:
    signed = (
        f"SELECT *, ms / {SECONDS * 1000} * {SECONDS * 1000} AS bar, CASE side "
        "WHEN 'buy' THEN size WHEN 'sell' THEN -size ELSE 0 END AS net FROM t"
    )
    rows = connection.execute(
        f"""WITH s AS ({signed}),
        w AS (SELECT *, sum(net) OVER inside AS inside, sum(net) OVER all_of AS cvd,
            sum(price * size) OVER all_of / sum(size) OVER all_of AS vwap
            FROM s WINDOW inside AS (PARTITION BY bar ORDER BY n), all_of AS (ORDER BY n)),
        last AS (SELECT bar, vwap, cvd FROM w WHERE n IN (SELECT max(n) FROM w GROUP BY bar))
        SELECT bar, sum(net), min(0, min(inside)), max(0, max(inside)), min(w.cvd), max(w.cvd),
            last.cvd, last.vwap, sum(price * size) / sum(size), count(*), avg(size), max(size)
        FROM w JOIN last USING (bar) GROUP BY bar ORDER BY bar"""
    ).fetchall()
    right: Values = defaultdict(dict)
    opened = 0.0
    for bar, delta, low, high, lowest, highest, cvd, vwap, own, count, mean, largest in rows:
        right["delta"][bar] = [delta, low, high]
        right["cvd"][bar] = [opened, max(opened, highest), min(opened, lowest), cvd]
        right["vwap"][bar], right["vwap:anchor=bar"][bar] = [vwap], [own]
        right["trade_count"][bar] = [count]
        right["mean_trade"][bar], right["largest_trade"][bar] = [mean], [largest]
        opened = cvd
    right["vpin"] = vpin_by_sql(connection, volume)
    right["kyle_lambda:seconds=1,intervals=8"] = lambda_by_sql(connection)
    return right


def vpin_by_sql(connection: sqlite3.Connection, volume: float) -> dict[int, list[float]]:
    """Lay the trades end to end, and cut the line at multiples of the bucket."""
    buckets = connection.execute(
        """WITH RECURSIVE line AS (
            SELECT n, ms, side, sum(size) OVER (ORDER BY n) AS stop, size FROM t
            WHERE side IN ('buy', 'sell')),
        bucket(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM bucket WHERE k < 22),
        part AS (SELECT k, ms, CASE side WHEN 'buy' THEN 1 ELSE -1 END
            * (min(stop, (k + 1) * ?1) - max(stop - size, k * ?1)) AS net, stop
            FROM line JOIN bucket ON stop > k * ?1 AND stop - size < (k + 1) * ?1)
        SELECT k, abs(sum(net)), max(ms) FROM part
        GROUP BY k HAVING max(stop) >= (k + 1) * ?1 * (1 - 1e-12) ORDER BY k""",
        (volume,),
    ).fetchall()
    found = {}
    for (ms,) in connection.execute("SELECT max(ms) FROM t GROUP BY ms / ?", (SECONDS * 1000,)):
        full = [net for _, net, filled in buckets if filled <= ms][-BUCKETS:]
        enough = len(full) == BUCKETS
        found[bar_of(ms)] = [sum(full) / (BUCKETS * volume) if enough else nan]
    return found


def lambda_by_sql(connection: sqlite3.Connection) -> dict[int, list[float]]:
    intervals = connection.execute(
        """WITH i AS (SELECT ms / 1000 AS second, max(n) AS n, sum(CASE side WHEN 'buy' THEN size
            WHEN 'sell' THEN -size ELSE 0 END) AS net FROM t GROUP BY second)
        SELECT second, net, t.price - lag(t.price) OVER (ORDER BY second)
        FROM i JOIN t USING (n) ORDER BY second"""
    ).fetchall()
    found: dict[int, list[float]] = {}
    for place, (second, *_) in enumerate(intervals):
        points = [(q, p) for _, q, p in intervals[max(place - 7, 0) : place + 1] if p is not None]
        varied = len({q for q, _ in points}) > 1
        found[bar_of(second * 1000)] = [
            linear_regression(*zip(*points, strict=True)).slope if varied else nan
        ]
    return found
