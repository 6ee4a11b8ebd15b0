"""Books and bars against words that nobody on this project wrote: the exchanges' own."""

import csv
import json
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain, zip_longest
from typing import Any

import pytest
from brute_force import BruteBook, metric_bars, ohlc_bars
from real_recordings import BINANCE, DATA, OKX_FILES, TRADES_ONLY, needs_recordings

from db_interpreter import DBInterpreter
from level_parser import parse_levels_including_zeros
from ohlc_processor import OHLCProcessor
from orderbook_manager import OrderbookManager
from orderflow.events import OrderbookUpdate

pytestmark = needs_recordings


def oracle(stem: str) -> dict[int, dict[str, str]]:
    with (DATA / f"{stem}.oracle.csv").open() as file:
        return {int(line["book_id"]): line for line in csv.DictReader(file)}


def instruments(stem: str) -> list[str]:
    with closing(sqlite3.connect(DATA / f"{stem}.db")) as connection:
        return [name for (name,) in connection.execute("SELECT DISTINCT instrument FROM book")]


def book_rows(stem: str, instrument: str) -> Iterator[OrderbookUpdate]:
    for update, _ in DBInterpreter(DATA / f"{stem}.db", instrument).stream():
        if update.id is not None:
            yield update


class TextOfLevels:
    """The strings an exchange sent for each price: the checksum is over these, not the numbers."""

    def __init__(self) -> None:
        self._texts: tuple[dict[float, tuple[str, str]], ...] = ({}, {})

    def note(self, update: OrderbookUpdate) -> None:
        for texts, raw in zip(self._texts, (update.bids, update.asks), strict=True):
            assert isinstance(raw, bytes)
            texts.update({float(level[0]): (level[0], level[1]) for level in json.loads(raw)})

    def checksum(self, bids: list[list[float]], asks: list[list[float]]) -> int:
        sides = [
            [self._texts[i][price] for price, _ in levels[:25]]
            for i, levels in enumerate((bids, asks))
        ]
        pairs = (level for pair in zip_longest(*sides) for level in pair if level)
        crc = zlib.crc32(":".join(chain.from_iterable(pairs)).encode())
        return crc - (1 << 32) if crc >= 1 << 31 else crc


def count_checksum_matches(
    stem: str, change: Callable[[int, OrderbookUpdate, Any], bool] = lambda *_: True
) -> tuple[int, int]:
    """Rebuild every book of a file; `change` may spoil an update, or drop it by returning False."""
    words = oracle(stem)
    matches = rows = 0
    for instrument in instruments(stem):
        book, texts = OrderbookManager(50), TextOfLevels()
        for number, update in enumerate(book_rows(stem, instrument)):
            texts.note(update)
            if change(number, update, book):
                book.update(update.bids, update.asks)
            rows += 1
            computed = texts.checksum(*book.top_levels(25))
            matches += computed == int(words[update.id or 0]["exchange_checksum"])
    return matches, rows


@pytest.mark.parametrize("stem", OKX_FILES)
def test_every_book_has_the_exchanges_own_checksum(stem: str) -> None:
    matches, rows = count_checksum_matches(stem)
    assert rows > 250
    assert matches == rows


class TestThatTheChecksumWouldTell:
    def test_ignoring_deletions_fails(self) -> None:
        def without_deletions(_: int, update: OrderbookUpdate, book: Any) -> bool:
            sides = [
                [level for level in parse_levels_including_zeros(raw) if level[1] > 0]
                for raw in (update.bids, update.asks)
            ]
            book.update(*sides)
            return False

        matches, rows = count_checksum_matches(OKX_FILES[0], without_deletions)
        assert matches < rows / 2

    def test_skipping_one_row_fails(self) -> None:
        matches, rows = count_checksum_matches(OKX_FILES[0], lambda number, *_: number != 20)
        assert matches < rows

    @pytest.mark.parametrize("depth", [25, 50])
    def test_keeping_only_the_best_levels_fails(self, depth: int) -> None:
        def cut(_: int, update: OrderbookUpdate, book: Any) -> bool:
            book.update(update.bids, update.asks)
            book.update(*book.top_levels(depth), True)
            return False

        matches, rows = count_checksum_matches(OKX_FILES[0], cut)
        assert matches < rows


@pytest.mark.parametrize("stem", BINANCE)
def test_the_touch_is_what_the_exchanges_ticker_says(stem: str) -> None:
    words, book, compared = oracle(stem), OrderbookManager(50), 0
    for update in book_rows(stem, BINANCE[stem]):
        book.update(update.bids, update.asks)
        word = words[update.id or 0]
        if word["oracle_bid"]:
            (bid,), (ask,) = book.top_levels(1)
            said = [word[k] for k in ("oracle_bid", "oracle_bid_sz", "oracle_ask", "oracle_ask_sz")]
            assert [*bid, *ask] == [float(text) for text in said], update.id
            compared += 1
    assert compared > 6_000


def replayed(
    stem: str, instrument: str, window_seconds: int = 60, **range_ms: Any
) -> OHLCProcessor:
    processor = OHLCProcessor(window_seconds, max_bars=100_000)
    for update, trades in DBInterpreter(DATA / f"{stem}.db", instrument, **range_ms).stream():
        processor.update_orderbook(update)
        processor.process_trades(trades)
    processor.finalize()
    return processor


def test_minutes_are_the_exchanges_own_klines() -> None:
    stem = "binance_usdm_btcusdt_20240718"
    bars = {bar[0]: bar[1:] for bar in replayed(stem, BINANCE[stem]).bars()}
    with (DATA / "klines_binance_usdm_20240718.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) >= 6
    for line in lines:
        words = [float(line[k]) for k in ("open", "high", "low", "close", "volume")]
        assert bars[int(line["open_ms"])][:4] == words[:4]
        assert bars[int(line["open_ms"])][4] == pytest.approx(words[4], abs=1e-9)


def test_five_minute_candles_are_those_of_another_program() -> None:
    stem, instrument = TRADES_ONLY
    with (DATA / f"{stem}_5m.csv").open() as file:
        lines = [
            [float(line[k]) for k in ("open_ms", "open", "high", "low", "close", "volume")]
            for line in csv.DictReader(file)
        ]
    bars = replayed(stem, instrument, 300).bars()
    words = {line[0]: line for line in lines if line[5] > 0}
    assert len(words) > 400
    assert [bar[:5] for bar in bars] == [words[bar[0]][:5] for bar in bars]
    assert [bar[5] for bar in bars] == pytest.approx([words[bar[0]][5] for bar in bars], abs=1e-9)
    assert {bar[0] for bar in bars} == set(words)


EVERY = [
    *((stem, instrument) for stem, instrument in BINANCE.items()),
    TRADES_ONLY,
    ("okx_v5_202205", "BTC-USDT"),
    ("okx_v5_202205", "BTC-USD-220527"),
    ("okx_v5_202205", "UNI-USD-SWAP"),
    *((stem, name) for stem in OKX_FILES[1:] for name in ("ONT-USDT", "FUN-BTC", "XMR-USDT-SWAP")),
]


@pytest.mark.parametrize(("stem", "instrument"), EVERY)
def test_ohlc_equals_a_group_by(stem: str, instrument: str) -> None:
    sql = """
        SELECT timestamp / 60000 * 60000 AS start,
               (SELECT price FROM trades o WHERE o.instrument = :i
                AND o.timestamp / 60000 = t.timestamp / 60000 ORDER BY o.timestamp, o.id LIMIT 1),
               max(price), min(price),
               (SELECT price FROM trades c WHERE c.instrument = :i
                AND c.timestamp / 60000 = t.timestamp / 60000
                ORDER BY c.timestamp DESC, c.id DESC LIMIT 1),
               sum(size)
        FROM trades t WHERE instrument = :i GROUP BY start ORDER BY start"""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("ATTACH ? AS r", (str(DATA / f"{stem}.db"),))
        connection.execute(
            "CREATE TABLE trades AS SELECT * FROM r.trades WHERE instrument = ?", (instrument,)
        )
        connection.execute("CREATE INDEX by_minute ON trades(timestamp / 60000)")
        expected = connection.execute(sql, {"i": instrument}).fetchall()
    bars = replayed(stem, instrument).bars()
    assert [bar[:5] for bar in bars] == [[*row[:5]] for row in expected]
    assert [bar[5] for bar in bars] == pytest.approx([row[5] for row in expected], rel=1e-12)


@pytest.mark.parametrize(("stem", "instrument"), EVERY)
def test_metrics_equal_the_brute_force_model(stem: str, instrument: str) -> None:
    with closing(sqlite3.connect(DATA / f"{stem}.db")) as connection:
        rows = connection.execute(
            "SELECT timestamp, bids, asks FROM book WHERE instrument = ? ORDER BY timestamp, id",
            (instrument,),
        ).fetchall()[:600]
        end = rows[-1][0] if rows else 10**13
        trades = connection.execute(
            "SELECT timestamp, side, size, price FROM trades WHERE instrument = ? "
            "AND timestamp < ? ORDER BY timestamp, id",
            (instrument, end),
        ).fetchall()[: None if rows else 800]
    if not rows:
        end = trades[-1][0]
        trades = [trade for trade in trades if trade[0] < end]
    book, samples = BruteBook(50), []
    for timestamp, bids, asks in rows:
        if timestamp < end:
            book.apply(*([(float(x[0]), float(x[1])) for x in json.loads(s)] for s in (bids, asks)))
            if sums := book.sums():
                samples.append((timestamp, *sums))
    processor = replayed(stem, instrument, 2, end_ms=end)
    assert processor.metric_bars() == metric_bars(samples, [t[:3] for t in trades], 2000)
    assert processor.bars() == ohlc_bars([(t, price, size) for t, _, size, price in trades], 2000)
