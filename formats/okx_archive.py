"""OKX's archive: order books as JSON lines, trades as CSV. HTX's books have the same shape."""

import re
from collections.abc import Iterator

import orjson

from formats.rows import BookRow, Job, Kind, Portion, Sample, TradeRow, portions_of_trades
from formats.tables import is_quotable, read_columns, to_ms
from orderflow.compiled import fastest

NO_ORDER_SEQUENCE = "sequence ids and checksums: a gap shows only in the next snapshot"
TRADE_COLUMNS = ("instrument_name?", "trade_id", "side", "price", "size", "created_time")

_LINE = re.compile(
    rb'\{"instId":"([A-Z0-9._-]+)","action":"(snapshot|update)","ts":"(\d{13})",'
    rb'"asks":(\[.*\]),"bids":(\[.*\])\}'
).fullmatch
_SIDE = re.compile(rb'\[(?:\["[\d.]+","[\d.]+","\d+"\](?:,\["[\d.]+","[\d.]+","\d+"\])*)?\]')
_TRADES_NAME = re.compile(r"([A-Z0-9]+(?:-[A-Z0-9]+)+)-trades-\d{4}")


def recognise(sample: Sample) -> Kind | None:
    """Return the kind of a file of OKX's archive, None for any other."""
    if sample.line.startswith("{") and '"instId"' in sample.line[:200] and '"asks"' in sample.line:
        return BOOKS
    if {"trade_id", "side", "price", "size", "created_time"} <= set(map(_plain, sample.columns)):
        return TRADES
    return None


def _plain(column: str) -> str:
    """Return the English name of a column: headers of 2021 give a Chinese one after it."""
    return column.partition("/")[0].strip()


# -- books


def read_books(job: Job) -> Iterator[Portion]:
    """Read `{"instId", "action", "ts", "asks", "bids"}` lines, levels `[price, size, orders]`."""
    last: BookRow | None = None
    for block in job.source.blocks():
        job.check_arrays(block)
        book: list[BookRow] = []
        for found in read_block(block):
            if isinstance(found, bytes):
                book += job.bad_book(found, last)
                continue
            last = found
            book.append(found)
        yield Portion(book, [])


def read_line(line: bytes) -> BookRow | bytes:
    """Read a line written in any way; what is no row comes back as it is."""
    try:
        found = orjson.loads(line)
        name, action, time = found["instId"], found["action"], to_ms(str(found["ts"]))
        bids, asks = (_four_fields(found[side] or []) for side in ("bids", "asks"))
    except (ValueError, KeyError, TypeError, IndexError):
        return line
    if time is None or action not in ("snapshot", "update") or not isinstance(name, str):
        return line
    return name, bids, asks, time, action, None, None, None


def _four_fields(levels: list[list[object]]) -> str:
    """Return levels as OKX sends them live, `[price, size, "0", orders]`."""
    if not all(isinstance(field, str) for level in levels for field in level):
        msg = "a field of a level that is no text: its digits would not be what was written"
        raise ValueError(msg)
    four = [[*level[:2], "0", level[2]] if len(level) == 3 else level for level in levels]
    return orjson.dumps(four).decode()


def python_read_block(block: bytes) -> list[BookRow | bytes]:
    """Return what each line that is not empty says: a row, or the line itself if it is none."""
    return [_read_usual(line) or read_line(line) for line in block.split(b"\n") if line.strip()]


def _read_usual(line: bytes) -> BookRow | None:
    found = _LINE(line)
    if found is None:
        return None
    name, action, time, asks, bids = found.groups()
    if not (_SIDE.fullmatch(asks) and _SIDE.fullmatch(bids)):
        return None
    return (
        name.decode(),
        _insert_zeros(bids),
        _insert_zeros(asks),
        int(time),
        action.decode(),
        None,
        None,
        None,
    )


def _insert_zeros(side: bytes) -> str:
    parts = side.split(b'"')
    parts[4::6] = [b',"0",'] * len(parts[4::6])
    return b'"'.join(parts).decode()


read_block = fastest("read_okx_block", python_read_block, read_okx_line=read_line)


# -- trades


def read_trades(job: Job) -> Iterator[Portion]:
    """Read the columns of `TRADE_COLUMNS`, in any order."""
    return portions_of_trades(_trades(job))


def _trades(job: Job) -> Iterator[TradeRow]:
    last: TradeRow | None = None
    named = _TRADES_NAME.match(job.source.name)
    by_name = named[1] if named else None
    for line, fields in read_columns(job, TRADE_COLUMNS, _plain):
        name, trade_id, side, price, size, created = fields
        time = to_ms(created)
        if time is None or not price or not is_quotable(price, size):
            yield from job.bad_trade(line, last)
            continue
        last = job.name_or(name or by_name), trade_id, price, size, (side or "").lower(), time, None
        yield last


BOOKS = Kind(
    "okx",
    "OKX archive, order books",
    read_books,
    (NO_ORDER_SEQUENCE,),
    proves=True,
)
TRADES = Kind(
    "okx",
    "OKX archive, trades",
    read_trades,
    ("the day of the file's name is UTC+8: a UTC day needs the file of the next day too",),
)
