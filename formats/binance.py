"""Binance's downloads: `trades`, `aggTrades`, `bookTicker`, and futures books (`T_DEPTH`)."""

import re
from collections.abc import Iterator
from itertools import groupby

from formats.rows import (
    SNAPSHOT,
    UPDATE,
    BadLines,
    BookRow,
    Job,
    Kind,
    Portion,
    Sample,
    TradeRow,
    levels_text,
    portions_of_book,
    portions_of_trades,
)
from formats.sources import SourceError
from formats.tables import Fields, is_quotable, pick, read_columns, to_integer, to_ms

_NAME = re.compile(r"([A-Z0-9_]+?)[-_](?:trades|aggTrades|bookTicker|T_DEPTH|depth)")
_NUMBER = r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
_BOOLEAN = r"(?:[Tt]rue|[Ff]alse|TRUE|FALSE)"
_SPOT_TRADE = re.compile(
    rf"\d+,{_NUMBER},{_NUMBER},{_NUMBER},\d{{13,16}},{_BOOLEAN}(?:,{_BOOLEAN})?"
)
_SPOT_AGGREGATE = re.compile(
    rf"\d+,{_NUMBER},{_NUMBER},\d+,\d+,\d{{13,16}},{_BOOLEAN}(?:,{_BOOLEAN})?"
)
_SIDES = {"true": "sell", "1": "sell", "false": "buy", "0": "buy"}
"""The taker's side, by whether the buyer is the maker."""


def recognise(sample: Sample) -> Kind | None:
    """Return the kind of a file of Binance, None for any other."""
    columns = set(sample.columns)
    if columns >= {"timestamp", "percentage", "depth", "notional"}:
        return BANDS
    if columns >= {"best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty"}:
        return BEST
    if columns >= {"symbol", "timestamp", "last_update_id", "side", "update_type", "qty", "pu"}:
        return BOOKS
    if columns >= {"agg_trade_id", "transact_time"} or _SPOT_AGGREGATE.fullmatch(sample.line):
        return AGGREGATES
    is_headed = columns >= {"id", "price", "qty", "time", "is_buyer_maker"}
    return TRADES if is_headed or _SPOT_TRADE.fullmatch(sample.line) else None


# -- trades


def read_trades(job: Job) -> Iterator[Portion]:
    """Read trades: of spot without a header, of futures with one."""
    wanted = ("id", "price", "qty", "time", "is_buyer_maker")
    return portions_of_trades(_trades(job, wanted, (0, 1, 2, 4, 5)))


def read_aggregates(job: Job) -> Iterator[Portion]:
    """Read aggregates of the trades that one order made at one price, each as one trade."""
    wanted = ("agg_trade_id", "price", "quantity", "transact_time", "is_buyer_maker")
    return portions_of_trades(_trades(job, wanted, (0, 1, 2, 5, 6)))


def _trades(job: Job, wanted: tuple[str, ...], places: tuple[int, ...]) -> Iterator[TradeRow]:
    last: TradeRow | None = None
    name = job.name_or(_symbol(job))
    for line, (trade_id, price, size, raw_time, is_maker) in _lines(job, wanted, places):
        time = to_ms(raw_time)
        if time is None or not price or not is_quotable(price, size):
            yield from job.bad_trade(line, last)
            continue
        side = _SIDES.get((is_maker or "").lower(), "unknown")
        last = name, trade_id, price, size, side, time, None
        yield last


def _lines(
    job: Job, wanted: tuple[str, ...], places: tuple[int, ...]
) -> Iterator[tuple[bytes, Fields]]:
    """Yield lines and their fields, by the header where there is one, else by their places."""
    head = job.source.head().lstrip(b"\r\n")
    if head[:1].isdigit():
        return pick(job.source.lines(), places, head.split(b"\n", 1)[0].count(b",") + 1)
    return read_columns(job, wanted)


def _symbol(job: Job) -> str | None:
    named = _NAME.match(job.source.name) or _NAME.match(job.source.path.name)
    return named[1] if named else None


# -- books


def read_books(job: Job) -> Iterator[Portion]:
    """Read `T_DEPTH` lines: levels, those of one update as one row."""
    return portions_of_book(_book_rows(job))


def _book_rows(job: Job) -> Iterator[BookRow]:
    wanted = (
        "symbol", "timestamp", "last_update_id", "update_type", "pu", "side", "price", "qty"
    )  # fmt: skip
    last: BookRow | None = None
    begins_with_update = False
    bad = BadLines(job)
    lines = read_columns(job, wanted)
    for (symbol, raw_time, raw_id, kind, before), group in groupby(lines, lambda f: f[1][:5]):
        time, seq_id = to_ms(raw_time), to_integer(raw_id)
        sides: dict[str | None, list[tuple[str, str]]] = {"b": [], "a": []}
        for line, (*_, side, price, size) in group:
            levels = sides.get(side)
            if (
                time is None
                or seq_id is None
                or levels is None
                or kind not in ("snap", "set")
                or not is_quotable(price, size)
            ):
                bad.add(line)
                continue
            levels.append((price or "", size or ""))
            job.check_depth(levels)
        if time is None or not (sides["b"] or sides["a"]):
            yield from bad.rows_after(last) if last else ()
            continue
        action, prev_id = (SNAPSHOT, -1) if kind == "snap" else (UPDATE, to_integer(before))
        begins_with_update |= last is None and action == UPDATE
        bids, asks = levels_text(sides["b"]), levels_text(sides["a"])
        last = job.name_or(symbol), bids, asks, time, action, seq_id, prev_id, None
        yield from (last, *bad.rows_after(last))
    if begins_with_update:
        job.notes.append(
            "files since 2023-05-28 have their snapshot at the end: import the day before too"
        )


def read_best(job: Job) -> Iterator[Portion]:
    """Read the best bid and ask of each line as a book of one level, where that is asked for."""
    if not job.best_only:
        msg = (
            f"{job.source.path}: bookTicker has the best bid and ask alone, so that OBI and TOT "
            "would be of 1 level; --best-only imports it all the same"
        )
        raise SourceError(msg, job.source.path)
    return portions_of_book(_best_rows(job))


def _best_rows(job: Job) -> Iterator[BookRow]:
    wanted = (
        "transaction_time", "best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty"
    )  # fmt: skip
    last: BookRow | None = None
    name = job.name_or(_symbol(job))
    for line, (raw_time, *numbers) in read_columns(job, wanted):
        time = to_ms(raw_time)
        if time is None or not is_quotable(*numbers):
            yield from job.bad_book(line, last)
            continue
        bid, bid_size, ask, ask_size = (number or "" for number in numbers)
        bids, asks = levels_text([(bid, bid_size)]), levels_text([(ask, ask_size)])
        last = name, bids, asks, time, SNAPSHOT, None, None, None
        yield last


def refuse_bands(job: Job) -> Iterator[Portion]:
    """Refuse `bookDepth`, which is no book."""
    msg = (
        f"{job.source.path}: bookDepth is no order book, but sums of sizes within some percent of "
        "the price; Binance's books are in T_DEPTH, or in a recording"
    )
    raise SourceError(msg, job.source.path)


BANDS = Kind("binance", "Binance bookDepth", refuse_bands)
BEST = Kind("binance", "Binance bookTicker", read_best, ("all levels but the best",))
BOOKS = Kind("binance", "Binance T_DEPTH order books", read_books, ("numbers of orders",))
TRADES = Kind("binance", "Binance trades", read_trades, ("what is finer than a millisecond",))
AGGREGATES = Kind(
    "binance",
    "Binance aggTrades",
    read_aggregates,
    ("the single trades: each row may be several at one price",),
)
