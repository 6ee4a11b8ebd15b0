"""Bybit's archives: `ob500` order books as JSON lines, trades as CSV."""

import re
from collections.abc import Iterator

import orjson

from formats.rows import (
    MOST_ID,
    SNAPSHOT,
    UPDATE,
    BookRow,
    Job,
    Kind,
    Portion,
    Sample,
    TradeRow,
    portions_of_book,
    portions_of_trades,
)
from formats.tables import is_quotable, read_columns, to_ms

_NAME = re.compile(r"([A-Z0-9]+?)[_-]?\d{4}-\d{2}-\d{2}")
_ACTIONS = {"snapshot": SNAPSHOT, "delta": UPDATE}


def recognise(sample: Sample) -> Kind | None:
    """Return the kind of a file of Bybit's archives, None for any other."""
    if sample.line.startswith("{") and '"orderbook.' in sample.line[:100]:
        return BOOKS
    columns = set(sample.columns)
    if {"timestamp", "symbol", "side", "size", "price", "trdMatchID"} <= columns:
        return TRADES
    return SPOT_TRADES if {"id", "timestamp", "price", "volume", "side"} <= columns else None


def read_books(job: Job) -> Iterator[Portion]:
    """Read `{"topic", "type", "ts", "data", "cts"}` lines; older ones have no `cts`."""
    return portions_of_book(_book_rows(job))


def _book_rows(job: Job) -> Iterator[BookRow]:
    last: BookRow | None = None
    for line in job.source.lines():
        job.check_arrays(line)
        row = _book_row(line)
        if row is None:
            yield from job.bad_book(line, last)
            continue
        last = row
        yield row


def _book_row(line: bytes) -> BookRow | None:
    try:
        found = orjson.loads(line)
        data, action = found["data"], _ACTIONS[found["type"]]
        time = to_ms(str(found.get("cts") or found["ts"]))
        name, seq_id = data["s"], data["u"]
        bids, asks = (_as_text(data[side]) for side in "ba")
    except (ValueError, KeyError, TypeError):
        return None
    if time is None or type(seq_id) is not int or not isinstance(name, str):
        return None
    if not 0 <= seq_id <= MOST_ID:
        return None
    # Each update's id is the one before and 1; a restart begins again at 1, with a snapshot.
    before = -1 if action == SNAPSHOT else seq_id - 1
    return name, bids, asks, time, action, seq_id, before, None


def _as_text(levels: list[list[str]]) -> str:
    if not all(isinstance(field, str) for level in levels for field in level):
        msg = "a field of a level that is no text: its digits would not be what was written"
        raise ValueError(msg)
    return orjson.dumps(levels).decode()


def read_trades(job: Job) -> Iterator[Portion]:
    """Read trades of derivatives."""
    wanted = ("symbol", "timestamp", "trdMatchID", "side", "price", "size")
    return portions_of_trades(_trades(job, wanted))


def read_spot_trades(job: Job) -> Iterator[Portion]:
    """Read trades of spot, whose symbol is in the file's name."""
    return portions_of_trades(
        _trades(job, ("symbol?", "timestamp", "id", "side", "price", "volume"))
    )


def _trades(job: Job, wanted: tuple[str, ...]) -> Iterator[TradeRow]:
    last: TradeRow | None = None
    named = _NAME.match(job.source.name)
    by_name = named[1] if named else None
    for line, fields in read_columns(job, wanted):
        symbol, raw_time, trade_id, side, price, size = fields
        time = to_ms(raw_time)
        if time is None or not price or not is_quotable(price, size):
            yield from job.bad_trade(line, last)
            continue
        name = job.name_or(symbol or by_name)
        last = name, trade_id, price, size, (side or "").lower(), time, None
        yield last


BOOKS = Kind("bybit", "Bybit archive, order books", read_books, ("numbers of orders",), proves=True)
TRADES = Kind("bybit", "Bybit archive, trades", read_trades, ("what is finer than a millisecond",))
SPOT_TRADES = Kind("bybit", "Bybit archive, spot trades", read_spot_trades)
