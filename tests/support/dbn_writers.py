"""Write a market as DBN, by Databento's own library: the format has no other definition."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import zstandard
from databento_dbn import (
    F_LAST,
    F_SNAPSHOT,
    UNDEF_PRICE,
    Action,
    BidAskPair,
    MBOMsg,
    MBP10Msg,
    Metadata,
    Schema,
    Side,
    SType,
    TradeMsg,
)
from recorded_market import Level, Market, whole_books

ID = 5482
MIDNIGHT = 1_749_427_200_000_000_000
MBP_DEPTH = 10


@dataclass
class Interval:
    start_date: date
    end_date: date
    symbol: str


@dataclass
class Mapping:
    raw_symbol: str
    intervals: list[Interval]


def dbn_file(folder: Path, market: Market, schema: str, records: list[bytes]) -> Path:
    return dbn_of_days(folder, schema, {market.instrument: [(9, 10, ID)]}, records)


def dbn_of_days(
    folder: Path, schema: str, spans: dict[str, list[tuple[int, int, int]]], records: list[bytes]
) -> Path:
    """Write records; `spans` are first day, day after the last, of June 2025, and id by symbol."""
    mappings = [
        Mapping(
            name, [Interval(date(2025, 6, a), date(2025, 6, b), str(number)) for a, b, number in of]
        )
        for name, of in spans.items()
    ]
    metadata = Metadata(
        "GLBX.MDP3", MIDNIGHT, SType.RAW_SYMBOL, SType.INSTRUMENT_ID, Schema.from_str(schema),
        list(spans), [], [], mappings, MIDNIGHT + 86_400_000_000_000,
    )  # fmt: skip
    path = folder / f"glbx-{schema}.dbn.zst"
    path.write_bytes(zstandard.compress(bytes(metadata) + b"".join(records)))
    return path


def units(price: str) -> int:
    return round(float(price) * 1_000_000) * 1000


def dbn_mbp(folder: Path, market: Market) -> Path:
    records = []
    for time, bids, asks in whole_books(market, MBP_DEPTH):
        pairs = [
            _pair(bids[n] if n < len(bids) else None, asks[n] if n < len(asks) else None)
            for n in range(MBP_DEPTH)
        ]
        at = time * 1_000_000
        records.append(
            bytes(MBP10Msg(1, ID, at, 0, 0, Action.ADD, Side.BID, 0, at + 1, F_LAST, levels=pairs))
        )
    return dbn_file(folder, market, "mbp-10", records)


def _pair(bid: Level | None, ask: Level | None) -> BidAskPair:
    return BidAskPair(
        units(bid[0]) if bid else UNDEF_PRICE,
        units(ask[0]) if ask else UNDEF_PRICE,
        int(bid[1]) if bid else 0,
        int(ask[1]) if ask else 0,
        1,
        1,
    )


def dbn_mbo(folder: Path, market: Market) -> Path:
    """Write each level as two orders, of which the second makes up the size."""
    known: dict[tuple[Side, str], int] = {}
    records: list[bytes] = []
    for row in market.rows:
        at = row.timestamp * 1_000_000
        flags = F_SNAPSHOT if row.snapshot else 0
        changes: list[tuple[Action, Side, str, int, int]] = []
        if row.snapshot:
            known.clear()
            changes.append((Action.CLEAR, Side.NONE, "0", 0, 0))
        for side, levels in ((Side.BID, row.bids), (Side.ASK, row.asks)):
            for price, size in levels:
                changes += _orders(known, side, price, int(size))
        for number, (action, side, price, count, order) in enumerate(changes):
            last = F_LAST if number == len(changes) - 1 else 0
            record = MBOMsg(
                1, ID, at, order, units(price), count, action, side, at + 5, flags | last
            )
            records.append(bytes(record))
    return dbn_file(folder, market, "mbo", records)


def _orders(
    known: dict[tuple[Side, str], int], side: Side, price: str, size: int
) -> list[tuple[Action, Side, str, int, int]]:
    order = 2 * (units(price) // 1000) + (1 << 60) * (side == Side.ASK)
    before = known.pop((side, price), 0)
    changes = []
    if before:
        changes.append((Action.CANCEL, side, price, before, order + 1))
        if size:
            changes.append((Action.MODIFY, side, price, 1, order))
        else:
            changes.append((Action.CANCEL, side, price, 1, order))
    elif size:
        changes.append((Action.ADD, side, price, 1, order))
    else:
        changes.append((Action.CANCEL, side, price, 1, order))  # of an order that is not there
    if size:
        known[side, price] = size - 1
        if size > 1:
            changes.append((Action.ADD, side, price, size - 1, order + 1))
    return changes


def dbn_trades(folder: Path, market: Market) -> Path:
    records = []
    for trade in market.trades:
        side = Side.BID if trade.side == "buy" else Side.ASK
        at = trade.timestamp * 1_000_000
        record = TradeMsg(
            1, ID, at, units(trade.price), int(trade.size), Action.TRADE, side, 0, at + 9
        )
        records.append(bytes(record))
    return dbn_file(folder, market, "trades", records)
