"""A recording as plain values, for tests that write it in another format and import that."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from real_recordings import DATA

from db_interpreter import DBInterpreter
from ohlc_processor import OHLCProcessor
from orderbook_manager import OrderbookManager
from synthetic_market import BUSY, NORMAL, write_recording

START = 1_749_427_200_000  # 2025-06-09, UTC
Level = tuple[str, str]


class SentRow(NamedTuple):
    timestamp: int
    snapshot: bool
    bids: list[Level]
    asks: list[Level]


class SentTrade(NamedTuple):
    timestamp: int
    trade_id: str
    price: str
    size: str
    side: str


@dataclass
class Market:
    """Rows and trades of one instrument, numbers as text."""

    instrument: str
    rows: list[SentRow]
    trades: list[SentTrade]


def made_up(folder: Path, seed: int, *, rows: int = 60, instrument: str = "BTC-USDT") -> Market:
    path = folder / f"made-up-{seed}.db"
    density = BUSY if seed % 2 else NORMAL
    write_recording(
        path, instrument, START, START + 60_000, seed=seed, density=density, max_rows=rows
    )
    return market_in(path, instrument)


def real(name: str, instrument: str, most: int) -> Market:
    market = market_in(DATA / f"{name}.db", instrument)
    last = market.rows[: most or None][-1].timestamp
    trades = [trade for trade in market.trades if trade.timestamp <= last]
    return Market(instrument, market.rows[:most], trades[-most:])


def in_contracts(market: Market) -> Market:
    """Return the market with whole sizes, for formats that carry no others."""
    rows = [row._replace(bids=_whole(row.bids), asks=_whole(row.asks)) for row in market.rows]
    trades = [trade._replace(size=_whole_size(trade.size)) for trade in market.trades]
    return Market(market.instrument, rows, trades)


def _whole(levels: list[Level]) -> list[Level]:
    return [(price, _whole_size(size)) for price, size in levels]


def _whole_size(size: str) -> str:
    return str(round(float(size) * 100) + 1) if float(size) else "0"


def market_in(path: Path, instrument: str) -> Market:
    """Read a recording of which the first row is a snapshot; by id in one millisecond."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        book = connection.execute(
            "SELECT timestamp, bids, asks FROM book WHERE instrument = ? ORDER BY timestamp, id",
            (instrument,),
        ).fetchall()
        trades = connection.execute(
            "SELECT timestamp, trade_id, price, size, side FROM trades WHERE instrument = ? "
            "ORDER BY timestamp, id",
            (instrument,),
        ).fetchall()
    rows = [
        SentRow(time, number == 0, _levels(bids), _levels(asks))
        for number, (time, bids, asks) in enumerate(book)
    ]
    sent = [
        SentTrade(time, str(trade_id or number + 1), str(price), str(size), side)
        for number, (time, trade_id, price, size, side) in enumerate(trades)
    ]
    return Market(instrument, rows, sent)


def _levels(raw: str) -> list[Level]:
    levels = json.loads(raw, parse_float=str, parse_int=str)
    return [(str(level[0]), str(level[1])) for level in levels]


# -- what a replay makes of it

Book = tuple[int, list[list[float]], list[list[float]]]


def books_of(rows: Sequence[SentRow], depth: int = 100_000) -> list[Book]:
    """Return the book after each row, as the project's own book has it."""
    book = OrderbookManager(1)
    found = []
    for time, snapshot, bids, asks in rows:
        book.update(bids, asks, snapshot)
        found.append((time, *book.top_levels(depth)))
    return found


def replayed_books(path: Path, instrument: str, depth: int = 100_000) -> list[Book]:
    """Return the book after each row of a recording, as a replay has it."""
    book = OrderbookManager(1)
    found = []
    for update, _ in DBInterpreter(path, instrument).stream():
        if update.bids is None and update.asks is None:
            continue
        book.update(update.bids, update.asks, update.snapshot)
        found.append((update.timestamp, *book.top_levels(depth)))
    return found


def reliable_rows(path: Path, name: str) -> list[bool]:
    """Return whether the book was reliable after each row, those that can't be read included."""
    processor, found = OHLCProcessor(), []
    for update, _ in DBInterpreter(path, name).stream():
        processor.update_orderbook(update)
        found.append(processor.reliable)
    return found


def replayed_trades(path: Path, instrument: str) -> list[tuple[object, ...]]:
    """Return `(timestamp, price, size, side, trade_id)` of a recording's trades."""
    return [
        (time, price, size, side, trade_id)
        for _, trades in DBInterpreter(path, instrument).stream()
        for _, trade_id, price, size, side, time in trades
    ]


def trades_of(market: Market) -> list[tuple[object, ...]]:
    return [(t.timestamp, float(t.price), float(t.size), t.side, t.trade_id) for t in market.trades]


def whole_books(market: Market, depth: int) -> list[tuple[int, list[Level], list[Level]]]:
    """Return the best levels after each row, with the text of their numbers."""
    sides: tuple[dict[float, Level], dict[float, Level]] = ({}, {})
    found = []
    for time, snapshot, *changed in market.rows:
        for side, levels in zip(sides, changed, strict=True):
            if snapshot:
                side.clear()
            for price, size in levels:
                if float(size):
                    side[float(price)] = (price, size)
                else:
                    side.pop(float(price), None)
        bids = [sides[0][key] for key in islice(sorted(sides[0], reverse=True), depth)]
        asks = [sides[1][key] for key in islice(sorted(sides[1]), depth)]
        found.append((time, bids, asks))
    return found
