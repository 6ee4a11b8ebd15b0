"""Ticks of a recording: each row and trade once, in order, with the market right after it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from places import REAL_DATA
from recording_factory import START, BookRow, TradeRow, write_recording

from db_interpreter import DBInterpreter
from ohlc_processor import OHLCProcessor
from orderflow.errors import NumbersError, RecordingError
from orderflow.events import BookBatch, LostRows, OrderbookUpdate, Trade
from trading.messages import SERIALIZER, TickEvent, TickKind
from trading.orders import Side
from trading.ticks import TickMaker

BOOK = [
    BookRow(1, START, '[["100", "5"], ["99", "1"]]', '[["101", "3"]]'),
    BookRow(2, START + 10, '[["100", "0"]]', "[]"),
    BookRow(3, START + 10, "not levels", "[]"),
    BookRow(4, START + 20, "[]", '[["101", "0"]]'),
]
TRADES = [
    TradeRow(1, START - 5, "t1", 100.0, 2.0, "buy"),
    TradeRow(2, START + 10, "t2", 100.5, 1.5, "sell"),
    TradeRow(3, START + 10, "t3", 100.6, 4.0, "?"),
    TradeRow(4, START + 15, "t4", 100.7, 1.0, "buy"),
]


def ticks_of(path: Path, start_ms: int | None = None) -> Iterator[TickEvent]:
    maker = TickMaker("run", "BTC-USDT", start_ms=start_ms)
    return maker.ticks(DBInterpreter(path, start_ms=start_ms).stream())


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return write_recording(tmp_path / "BTC-USDT.db", BOOK, TRADES)


def test_there_is_a_tick_for_each_row_and_trade_in_order(recording: Path) -> None:
    ticks = list(ticks_of(recording))
    assert [(t.number, t.kind, t.time_ms - START, t.price) for t in ticks] == [
        (1, TickKind.TRADE, -5, 100.0),
        (2, TickKind.BOOK, 0, None),
        (3, TickKind.BOOK, 10, None),
        (4, TickKind.TRADE, 10, 100.5),
        (5, TickKind.TRADE, 10, 100.6),
        (6, TickKind.TRADE, 15, 100.7),
        (7, TickKind.BOOK, 20, None),
    ]


def test_a_tick_has_the_market_right_after_it(recording: Path) -> None:
    ticks = list(ticks_of(recording))
    best = [(t.best_bid, t.bid_size, t.best_ask, t.ask_size) for t in ticks]
    after_row_2 = (99.0, 1.0, 101.0, 3.0)
    assert best == [
        (None, None, None, None), (100.0, 5.0, 101.0, 3.0), *[after_row_2] * 4,
        (99.0, 1.0, None, None),
    ]  # fmt: skip
    assert [t.obi for t in ticks] == [None, 1 / 3, -0.5, -0.5, -0.5, -0.5, None]
    assert [t.cvd for t in ticks] == [2.0, 2.0, 2.0, 0.5, 0.5, 1.5, 1.5]
    assert [t.side for t in ticks if t.kind is TickKind.TRADE] == [
        Side.BUY,
        Side.SELL,
        None,
        Side.BUY,
    ]


def test_rows_before_the_start_build_up_the_book_and_give_no_tick(recording: Path) -> None:
    ticks = list(ticks_of(recording, START + 10))
    assert [(t.number, t.time_ms - START) for t in ticks] == [
        (1, 10), (2, 10), (3, 10), (4, 15), (5, 20),
    ]  # fmt: skip
    assert ticks[0].best_bid == 99.0


def test_a_row_that_cannot_be_read_makes_the_book_unreliable() -> None:
    updates = [
        OrderbookUpdate(b'[["100", "1"]]', b'[["101", "1"]]', START, START + 1, 1, snapshot=True),
        OrderbookUpdate(b"not levels", b"[]", START + 1, START + 2, 2),
        OrderbookUpdate(b'[["100", "2"]]', b"[]", START + 2, None, 3),
    ]
    maker = TickMaker("run", "BTC-USDT")
    ticks = list(maker.ticks((update, []) for update in updates))
    assert [(t.time_ms - START, t.book_reliable) for t in ticks] == [(0, True), (2, False)]
    assert maker.issues.counts()["rows_skipped"] == 1


def test_what_is_lost_with_no_row_after_it_counts_from_there() -> None:
    first = OrderbookUpdate(b'[["100", "1"]]', b"[]", START, START + 1, 1, snapshot=True)
    gap = OrderbookUpdate(None, None, START + 1, None, lost=(LostRows("late_rows", START + 1),))
    trades = [(n, None, 1.0, 1.0, "buy", START + n) for n in range(3)]
    ticks = list(TickMaker("run", "BTC-USDT").ticks([(first, trades[:1]), (gap, trades[1:])]))
    assert [tick.book_reliable for tick in ticks] == [True, True, False, False]


def long_market() -> Iterator[tuple[BookBatch, list[Trade]]]:
    """Yield batches whose best bid is their number, each with a row that cannot be read."""
    for number in range(1, 6):
        at = START + 10 * number
        level = b'[["%d", "1"]]' % number
        rows = [(at, 2 * number, level, b"[]"), (at + 1, 2 * number + 1, b"not levels", b"[]")]
        yield BookBatch(rows, [True, False]), [(number, None, 1.0, 2.0, "buy", at + 2)]


def failing_market() -> Iterator[tuple[BookBatch, list[Trade]]]:
    yield from long_market()
    raise RecordingError("cut short", "a.db")


@pytest.mark.parametrize("reads_ahead", [False, True])
def test_ticks_are_the_same_when_rows_are_read_ahead(reads_ahead: bool) -> None:
    maker = TickMaker("run", "BTC-USDT", reads_ahead=reads_ahead)
    ticks = list(maker.ticks(long_market()))
    assert [(t.number, t.kind, t.best_bid, t.book_reliable, t.cvd) for t in ticks] == [
        (2 * n - 1 + more, kind, n, not more, 2.0 * (n - 1 + more))
        for n in range(1, 6)
        for more, kind in ((0, TickKind.BOOK), (1, TickKind.TRADE))
    ]
    assert maker.issues.counts()["rows_skipped"] == 5


@pytest.mark.parametrize("reads_ahead", [False, True])
def test_what_was_read_before_a_failure_gives_its_ticks(reads_ahead: bool) -> None:
    made: list[TickEvent] = []
    given = TickMaker("run", "BTC-USDT", reads_ahead=reads_ahead).ticks(failing_market())
    with pytest.raises(RecordingError, match="cut short"):
        made.extend(given)
    assert len(made) == 10


def test_sizes_beyond_a_double_are_said() -> None:
    trades = [(1, None, 1.0, 1.5e308, "buy", START), (2, None, 1.0, 1.5e308, "buy", START)]
    update = OrderbookUpdate(None, None, START, None)
    with pytest.raises(NumbersError, match="more than a double can hold"):
        list(TickMaker("run", "BTC-USDT").ticks([(update, trades)]))


def test_whoever_waits_is_told_that_reading_goes_on(recording: Path) -> None:
    called: list[int] = []
    maker = TickMaker("run", "BTC-USDT")
    list(maker.ticks(DBInterpreter(recording).stream(), lambda: called.append(1)))
    assert len(called) >= len(BOOK)


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the real recordings are not here")
@pytest.mark.parametrize("name", ["okx_v5_202205", "bitget_spot_20220407", "okcoin_v3_202104c"])
def test_ticks_of_a_real_recording_agree_with_the_bars(name: str) -> None:
    path = REAL_DATA / f"{name}.db"
    processor = OHLCProcessor(window_seconds=3600)
    for update, trades in DBInterpreter(path).stream():
        processor.update_orderbook(update)
        processor.process_trades(trades)
    ticks = list(ticks_of(path))
    made = [t for t in ticks if t.kind is TickKind.TRADE]
    assert len(made) == processor.trades
    assert len(ticks) - len(made) == processor.rows - processor.book.rows_skipped
    assert [t.time_ms for t in ticks] == sorted(t.time_ms for t in ticks)
    last = ticks[-1]
    bids, asks = processor.depth()
    assert [last.best_bid, last.bid_size, last.best_ask, last.ask_size] == [*bids[0], *asks[0]]
    bar = processor.metric_bars()[-1]
    assert (last.cvd, last.obi) == (processor.cvd_cumulative, bar[4])
    assert last.book_reliable == processor.reliable
    assert [SERIALIZER.decode(SERIALIZER.encode(t)) for t in ticks[:500]] == ticks[:500]
