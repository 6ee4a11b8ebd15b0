"""Write a market as archives have it: the test's own writers, which share nothing with the readers.

Each returns the path of what it has written.
"""

import gzip
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from recorded_market import START, Market, SentTrade, whole_books


def tar_gz(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def gzipped(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data))
    return path


def lines(texts: Iterable[str], end: str = "\n") -> bytes:
    return "".join(f"{text}{end}" for text in texts).encode()


# -- OKX


def okx_lines(market: Market) -> list[str]:
    return [
        json.dumps(
            {
                "instId": market.instrument,
                "action": "snapshot" if row.snapshot else "update",
                "ts": str(row.timestamp),
                "asks": [[*level, "1"] for level in row.asks],
                "bids": [[*level, "2"] for level in row.bids],
            },
            separators=(",", ":"),
        )
        for row in market.rows
    ]


def okx_books(folder: Path, market: Market) -> Path:
    name = f"{market.instrument}-L2orderbook-400lv-2025-06-09"
    return tar_gz(folder / f"{name}.tar.gz", {f"{name}.data": lines(okx_lines(market))})


def okx_trades(folder: Path, market: Market) -> Path:
    name = f"{market.instrument}-trades-2025-06-09"
    rows = [
        f"{market.instrument},{t.trade_id},{t.side},{t.price},{t.size},{t.timestamp},0"
        for t in market.trades
    ]
    header = "instrument_name,trade_id,side,price,size,created_time,source"
    return zipped(folder / f"{name}.zip", {f"{name}.csv": lines([header, *rows])})


# -- Tardis


def tardis_books(folder: Path, market: Market) -> Path:
    rows = ["exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount"]
    for number, row in enumerate(market.rows):
        received = row.timestamp * 1000 + number + 7
        for side, levels in (("ask", row.asks), ("bid", row.bids)):
            rows += [
                f"okex,{market.instrument},{row.timestamp}000,{received},"
                f"{str(row.snapshot).lower()},{side},{price},{size}"
                for price, size in levels
            ]
    path = folder / f"okex_incremental_book_L2_2025-06-09_{market.instrument}.csv.gz"
    return gzipped(path, lines(rows))


def tardis_snapshots(folder: Path, market: Market, depth: int = 5) -> Path:
    columns = ["exchange", "symbol", "timestamp", "local_timestamp"]
    for level in range(depth):
        columns += [
            f"{side}[{level}].{what}" for side in ("asks", "bids") for what in ("price", "amount")
        ]
    rows = [",".join(columns)]
    for time, bids, asks in whole_books(market, depth):
        fields = ["okex", market.instrument, f"{time}000", f"{time}123"]
        for level in range(depth):
            for side in (asks, bids):
                fields += side[level] if level < len(side) else ("", "")
        rows.append(",".join(fields))
    return gzipped(folder / "okex_book_snapshot_5_2025-06-09.csv.gz", lines(rows))


def tardis_trades(folder: Path, market: Market) -> Path:
    rows = ["exchange,symbol,timestamp,local_timestamp,id,side,price,amount"]
    rows += [
        f"okex,{market.instrument},{t.timestamp}000,{t.timestamp}777,{t.trade_id},{t.side},"
        f"{t.price},{t.size}"
        for t in market.trades
    ]
    return gzipped(folder / "okex_trades_2025-06-09.csv.gz", lines(rows))


# -- Bybit


def bybit_books(folder: Path, market: Market) -> Path:
    texts = [
        json.dumps(
            {
                "topic": f"orderbook.500.{market.instrument}",
                "type": "snapshot" if row.snapshot else "delta",
                "ts": row.timestamp + 3,
                "data": {
                    "s": market.instrument, "b": row.bids, "a": row.asks, "u": number + 1,
                    "seq": 10 * number,
                },
                "cts": row.timestamp,
            }
        )
        for number, row in enumerate(market.rows)
    ]  # fmt: skip
    name = f"2025-06-09_{market.instrument}_ob500.data"
    return zipped(folder / f"{name}.zip", {name: lines(texts)})


def bybit_trades(folder: Path, market: Market) -> Path:
    rows = ["timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue"]
    rows += [
        f"{t.timestamp // 1000}.{t.timestamp % 1000:03}4,{market.instrument},{t.side.title()},"
        f"{t.size},{t.price},PlusTick,{t.trade_id},1e8"
        for t in market.trades
    ]
    return gzipped(folder / f"{market.instrument}2025-06-09.csv.gz", lines(rows))


# -- Binance


def binance_books(folder: Path, market: Market) -> Path:
    rows = ["symbol,timestamp,first_update_id,last_update_id,side,update_type,price,qty,pu"]
    for number, row in enumerate(market.rows, 1):
        kind, before = ("snap", -1) if row.snapshot else ("set", 10 * (number - 1))
        for side, levels in (("b", row.bids), ("a", row.asks)):
            rows += [
                f"{market.instrument},{row.timestamp},{10 * number - 9},{10 * number},{side},"
                f"{kind},{price},{size},{before}"
                for price, size in levels
            ]
    path = folder / f"{market.instrument}_T_DEPTH_2025-06-09_depth.csv"
    path.write_bytes(lines(rows))
    return path


def binance_trades(folder: Path, market: Market) -> Path:
    symbol = market.instrument.replace("-", "")
    rows = [
        f"{t.trade_id},{t.price},{t.size},1.5,{t.timestamp}000,{t.side == 'sell'},True"
        for t in market.trades
    ]
    name = f"{symbol}-trades-2025-06-09"
    return zipped(folder / f"{name}.zip", {f"{name}.csv": lines(rows)})


# -- hftbacktest

BOTH, BUY, SELL = 3 << 30, 1 << 29, 1 << 28
DEPTH, TRADE, CLEAR, SNAPSHOT = 1, 2, 3, 4
Event = tuple[int, int, int, float, float]


def npy(events: Iterable[Event]) -> bytes:
    """Return the file that `numpy.save` would write."""
    fields = ("ev", "exch_ts", "local_ts", "px", "qty", "order_id", "ival", "fval")
    types = ("<u8", "<i8", "<i8", "<f8", "<f8", "<u8", "<i8", "<f8")
    data = b"".join(struct.pack("<QqqddQqd", *event, 0, 0, 0.0) for event in events)
    described = list(zip(fields, types, strict=True))
    header = str({"descr": described, "fortran_order": False, "shape": (len(data) // 64,)})
    header = header.ljust(-(-(len(header) + 11) // 64) * 64 - 11) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def hftbacktest_events(market: Market) -> list[Event]:
    """Return events in the order of time, trades first in a millisecond."""
    events: list[Event] = []
    for number, row in enumerate(market.rows):
        exchange = row.timestamp * 1_000_000
        times = exchange, exchange + number + 1
        if row.snapshot:
            events.append((BOTH | CLEAR, *times, 0.0, 0.0))
        kind = BOTH | (SNAPSHOT if row.snapshot else DEPTH)
        for side, levels in ((BUY, row.bids), (SELL, row.asks)):
            events += [(kind | side, *times, float(price), float(size)) for price, size in levels]
    for trade in market.trades:
        flags = BOTH | TRADE | (BUY if trade.side == "buy" else SELL)
        exchange = trade.timestamp * 1_000_000
        events.append((flags, exchange, exchange, float(trade.price), float(trade.size)))
    return sorted(events, key=lambda event: (event[1], (event[0] & 255) != TRADE))


def hftbacktest_npz(folder: Path, market: Market) -> Path:
    data = npy(hftbacktest_events(market))
    return zipped(folder / f"{market.instrument}_20250609.npz", {"data.npy": data})


# -- a collector


def collector_lines(market: Market) -> list[str]:
    symbol, found = market.instrument, []
    for number, row in enumerate(market.rows, 1):
        sides = {"b": row.bids, "a": row.asks}
        said: dict[str, object] = {
            "stream": f"{symbol}@depth",
            "data": {
                "e": "depthUpdate", "E": row.timestamp, "s": symbol, "U": 10 * number - 9,
                "u": 10 * number, **sides,
            },
        }  # fmt: skip
        if row.snapshot:
            said = {"lastUpdateId": 10 * number, "E": row.timestamp}
            said |= {"bids": row.bids, "asks": row.asks}
        found.append((row.timestamp, json.dumps(said)))
    for trade in market.trades:
        said = {
            "e": "trade", "E": trade.timestamp, "s": symbol, "t": int(trade.trade_id),
            "p": trade.price, "q": trade.size, "T": trade.timestamp, "m": trade.side == "sell",
        }  # fmt: skip
        found.append((trade.timestamp, json.dumps({"stream": f"{symbol}@trade", "data": said})))
    return [f"{time}000123 {text}" for time, text in sorted(found, key=lambda pair: pair[0])]


def collector(folder: Path, market: Market) -> Path:
    return gzipped(folder / f"{market.instrument}_20250609.gz", lines(collector_lines(market)))


# -- LOBSTER

MIDNIGHT = START - 20 * 3_600_000  # of the day before, in New York


def lobster(folder: Path, market: Market, depth: int = 5) -> Path:
    """Write books of a row each; a trade is a message after which the book is as it was."""
    books = whole_books(market, depth)
    sent: list[tuple[int, int, SentTrade | None]] = [
        (time, number, None) for number, (time, *_) in enumerate(books)
    ]
    for trade in market.trades:
        earlier = [n for n, (time, *_) in enumerate(books) if time <= trade.timestamp]
        before = max(earlier, default=0)
        sent.append((max(trade.timestamp, books[before][0]), before, trade))
    messages, levels = [], []
    for time, number, made in sorted(sent, key=lambda found: found[:2]):
        said = "1,77,10,100000,1"
        if made:
            resting = -1 if made.side == "buy" else 1
            said = f"4,77,{made.size},{round(float(made.price) * 10_000)},{resting}"
        seconds = (time - MIDNIGHT) / 1000
        messages.append(f"{seconds:.9f},{said}")
        levels.append(_lobster_levels(books[number][1], books[number][2], depth))
    name = f"XYZ_2025-06-08_34200000_57600000_{{}}_{depth}.csv"
    (folder / name.format("orderbook")).write_bytes(lines(levels))
    path = folder / name.format("message")
    path.write_bytes(lines(messages))
    return path


def _lobster_levels(bids: list[tuple[str, str]], asks: list[tuple[str, str]], depth: int) -> str:
    fields: list[str] = []
    for level in range(depth):
        for side, empty in ((asks, "9999999999"), (bids, "-9999999999")):
            price, size = side[level] if level < len(side) else ("", "0")
            fields += [str(round(float(price) * 10_000)) if price else empty, size]
    return ",".join(fields)
