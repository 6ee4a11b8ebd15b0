"""A market in batches is the market row by row: the same ticks, fills, answers and quotes."""

import random
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import pytest
from made_up_market import Market, market_and_orders
from messages import INSTRUMENT, signal_of
from real_recordings import needs_recordings
from recorded_ticks import RECORDINGS, open_recording

from orderflow.events import BookBatch, LostRows, OrderbookUpdate, Trade
from recordings.windows import TradeCursor, book_batches, book_windows
from trading.market_feed import MarketFeed
from trading.messages import END_MS, TickEvent
from trading.orders import OrderRequest
from trading.paper_market import PaperMarket
from trading.report import run_strategies
from trading.rules import Rules
from trading.strategy import make_strategy
from trading.stream import Stream, as_batch, update_at
from trading.ticks import TickMaker

RULES = Rules(10, 10)


def batches_of(market: Market, rng: random.Random) -> list[BookBatch]:
    """Cut the rows of a market into batches, a few of them damaged or with rows lost before."""
    updates = [update for update, _ in market]
    made = []
    while updates:
        some = [updates.pop(0) for _ in range(min(len(updates), rng.choice([1, 2, 30])))]
        bad = {place for place in range(len(some)) if rng.random() < 0.02}
        rows = [
            (
                update.timestamp,
                update.id or 0,
                update.bids,
                b"no levels" if n in bad else update.asks,
            )
            for n, update in enumerate(some)
        ]
        lost = [(n, LostRows("late_rows", rows[n][0])) for n in bad if rng.random() < 0.5]
        made.append(BookBatch(rows, [update.snapshot for update in some], lost=lost))
    return [*made, BookBatch([], [], lost=[(0, LostRows("late_rows", 1))])]


def both_ways(seed: int) -> tuple[Stream, Stream, list[OrderRequest]]:
    """Return a market row by row, the same in batches, and orders for it."""
    rng = random.Random(seed)
    market, requests = market_and_orders(seed)
    batches = batches_of(market, rng)
    trades = sorted(chain(*(some for _, some in market)), key=lambda trade: trade[5])
    trades = [(*trade[:4], rng.choice([trade[4], trade[4], None]), trade[5]) for trade in trades]
    cut = rng.randint(1, len(trades))
    parts = [part for part in (trades[:cut], trades[cut:]) if part]
    one = list(book_windows(batches, TradeCursor([trades])))
    return one, list(book_batches(batches, TradeCursor(parts))), requests


def ticks_of(stream: Stream, start_ms: int | None = None) -> tuple[list[TickEvent], dict[str, int]]:
    maker = TickMaker("run", INSTRUMENT, depth=3, start_ms=start_ms)
    return list(maker.ticks(stream)), maker.issues.counts()


@pytest.mark.parametrize("seed", range(8))
def test_ticks_are_the_same_in_batches(seed: int) -> None:
    one, batched, _ = both_ways(seed)
    found, counts = ticks_of(batched)
    assert (found, counts) == ticks_of(one)
    assert {tick.book_reliable for tick in found} == {True, False}
    assert ticks_of(batched, 900) == ticks_of(one, 900)


def outcome(stream: Stream, requests: Sequence[OrderRequest], steps: Sequence[int]) -> list[Any]:
    """Return all that can be seen of a market which is moved by these steps."""
    market = PaperMarket(stream, INSTRUMENT, RULES)
    waiting = sorted(requests, key=lambda request: request.sent_ms)
    answers: list[Any] = []
    for until in (*steps, END_MS):
        while waiting and waiting[0].sent_ms < until:
            request = waiting.pop(0)
            market.submit(signal_of(request, request.order))
        market.advance(min(until + RULES.entry_ms, END_MS))
        answers += market.answers()
    engine, quotes = market.engine, market.quotes
    best = [quotes.at(ms) for ms in range(0, 4000, 7)]
    return [answers, engine.fills, engine.ends, engine.counts, best, quotes.last_ms]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("share", [1, 30])
def test_orders_fare_the_same_in_batches(seed: int, share: int) -> None:
    one, batched, requests = both_ways(seed)
    some = requests[::share]  # few orders let long pieces of the market pass by
    wanted = outcome(one, some, range(1, 4000))
    assert outcome(batched, some, []) == wanted
    assert outcome(batched, some, range(50, 4000, 50)) == wanted
    assert outcome(one, some, range(300, 4000, 300)) == wanted
    assert wanted[1] if share == 1 else wanted[2]


def test_a_long_piece_passes_by_only_while_no_own_order_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, batched, requests = both_ways(2)
    passed: list[int] = []
    market = PaperMarket(batched, INSTRUMENT, RULES)
    pass_by = market.engine.pass_by

    def noted(batch: BookBatch, trades: Sequence[Trade]) -> Any:
        passed.append(len(batch) + len(trades))
        return pass_by(batch, trades)

    monkeypatch.setattr(market.engine, "pass_by", noted)
    market.advance(500)
    before = sum(passed)
    assert before > 20
    assert len(passed) < before / 3
    first = next(request for request in requests if request.price is not None)
    market.submit(signal_of(first, 1, sent_ms=500))
    market.advance(520)
    passed.clear()
    while market.engine._resting:
        market.advance((market.engine.now_ms or 0) + 5)
        assert not (passed and market.engine._resting)


def test_a_feed_that_has_nothing_now_says_so_and_goes_on() -> None:
    update = OrderbookUpdate([[100, 5]], [[101, 4]], 5, None, 1, snapshot=True)
    trade: Trade = (1, None, 100.0, 1.0, "buy", 5)
    feed = MarketFeed([None, (update, [trade]), None])
    assert feed.next_ms() is None
    assert feed.next_ms() == 5
    assert isinstance(feed.take(), OrderbookUpdate)
    assert feed.take() == trade
    assert feed.next_ms() is None
    assert feed.next_ms() == END_MS


def test_an_update_becomes_a_batch_and_the_same_update_again() -> None:
    lost = (LostRows("late_rows", 3),)
    update = OrderbookUpdate(b"[]", b"[]", 5, None, 7, True, 9, 8, lost)
    assert update_at(as_batch(update), 0) == update
    bare = OrderbookUpdate(None, None, 5, None, lost=lost)
    assert as_batch(bare) == BookBatch([], [], lost=[(0, lost[0])])


@needs_recordings
@pytest.mark.thorough
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_gives_the_same_files_in_batches(name: str) -> None:
    flow = {"events": "20", "threshold": "0.4", "cooldown_ms": "1000", "quantity": "0.01"}

    def files(open_stream: Callable[[], Stream]) -> dict[str, bytes]:
        strategies = {"flow": make_strategy("order-flow", flow)}
        rules = Rules(accept_unreliable=True)
        return run_strategies(open_stream, INSTRUMENT, strategies, rules).files()

    row_by_row = files(lambda: open_recording(name).stream())
    assert files(lambda: open_recording(name).batches()) == row_by_row
    assert len(row_by_row["fills.json"]) > 1000
