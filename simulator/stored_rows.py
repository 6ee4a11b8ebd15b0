"""The rows of the store: what a line says, written and read.

A line is one JSON object, `{"seq":…,"ts":…,"kind":…,…}`, with the levels of a book last. The fields
are in docs/simulator.md. All but `seq` and `ts`, which the writer adds, is the content of a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import orjson

from orderflow.compiled import fastest
from orderflow.events import LostRows, Trade
from orderflow.instruments import check_instrument

SCHEMA = 1
"""Version of the lines and the index; fields are only ever added."""

END_CONTENT = b'"kind":"end"'

LostMark = tuple[str, int, int | None]
"""`(kind, count, age)`: rows lost, by the words of `orderflow.issues`, `age` ms before the row."""


class StoredBook(NamedTuple):
    """A book row; `bids` and `asks` are the JSON text of levels, `ts` ms as stored."""

    seq: int
    ts: int
    snapshot: bool
    reliable: bool
    seq_id: int | None
    prev_seq_id: int | None
    lost: tuple[LostMark, ...]
    bids: bytes
    asks: bytes


class StoredTrade(NamedTuple):
    """A trade; `price` and `size` are plain decimals, `side` the taker's as recorded."""

    seq: int
    ts: int
    id: str | None
    price: str
    size: str
    side: str | None


class StoredEnd(NamedTuple):
    """The end of a fetch: all its rows are stored; `ts` is that of the last."""

    seq: int
    ts: int


StoredRow = StoredBook | StoredTrade | StoredEnd


@dataclass(frozen=True)
class Fetch:
    """What is fetched: the same values go on with the same fetch.

    Times in ms since the epoch, UTC, half open, as recorded; `source` is `recording` or `demo`;
    `now` says that the times are shifted to the present.
    """

    instrument: str
    source: str
    start_ms: int
    end_ms: int
    now: bool = False

    def __post_init__(self) -> None:
        check_instrument(self.instrument)


@dataclass(frozen=True)
class Head:
    """What the head line of a segment says of its rows.

    `store` is a random name given when the store of the instrument was made. `fetch_seq` is the
    `seq` of the first row of the fetch, `first_seq` that of the segment. `snapshot` says whether
    the book of the fetch begins with a snapshot; `shift_ms` was added to each recorded time.
    """

    store: str
    fetch: Fetch
    fetch_seq: int
    first_seq: int
    snapshot: bool
    shift_ms: int
    created_ms: int

    def as_dict(self) -> dict[str, object]:
        """Return the head as it is written."""
        fetch = self.fetch
        return {
            "kind": "head",
            "schema": SCHEMA,
            "store": self.store,
            "instrument": fetch.instrument,
            "source": fetch.source,
            "start": fetch.start_ms,
            "end": fetch.end_ms,
            "now": fetch.now,
            "fetch_seq": self.fetch_seq,
            "first_seq": self.first_seq,
            "snapshot": self.snapshot,
            "shift_ms": self.shift_ms,
            "created_ms": self.created_ms,
        }

    def line(self) -> bytes:
        """Return the head line of a segment."""
        return orjson.dumps(self.as_dict(), option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def parse(cls, text: bytes) -> "Head":
        """Read a head line; raise `ValueError` when it is none of a known version."""
        said = orjson.loads(text)
        try:
            if said["kind"] != "head" or said["schema"] != SCHEMA:
                msg = f"kind head and schema {SCHEMA} were expected; found {text[:60]!r}"
                raise ValueError(msg)
            names = ("instrument", "source", "start", "end", "now")
            fetch = Fetch(*(said[name] for name in names))
            rest = ("fetch_seq", "first_seq", "snapshot", "shift_ms", "created_ms")
            return cls(said["store"], fetch, *(said[name] for name in rest))
        except (KeyError, TypeError) as error:
            msg = f"a head line was expected ({error!r}); found {text[:60]!r}"
            raise ValueError(msg) from error


def book_content(
    bids: bytes,
    asks: bytes,
    *,
    snapshot: bool,
    reliable: bool,
    ids: tuple[int | None, int | None] = (None, None),
    lost: Sequence[LostMark] = (),
) -> bytes:
    """Return the content of a book row; `bids` and `asks` go in as they are (see `level_text`)."""
    return b'"kind":"book","snapshot":%b,"reliable":%b%b%b,"bids":%b,"asks":%b' % (
        b"true" if snapshot else b"false",
        b"true" if reliable else b"false",
        b"" if ids == (None, None) else b',"seq_id":%b,"prev_seq_id":%b' % tuple(map(_json, ids)),
        b',"lost":%b' % orjson.dumps(lost) if lost else b"",
        bids,
        asks,
    )


def trade_content(trade: Trade) -> bytes:
    """Return the content of a row that is a trade."""
    _, trade_id, price, size, side, _ = trade
    return b'"kind":"trade","id":%b,"price":"%b","size":"%b","side":%b' % (
        orjson.dumps(trade_id),
        decimal_text(price),
        decimal_text(size),
        orjson.dumps(side),
    )


def decimal_text(number: float) -> bytes:
    """Write a double with the fewest digits that are this double, without an exponent."""
    text = repr(number)
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0").encode()


def lost_marks(lost: Sequence[LostRows], timestamp: int) -> list[LostMark]:
    """Return how rows lost before the row of `timestamp` are stored with it."""
    return [
        (rows.kind, rows.count, None if rows.timestamp is None else timestamp - rows.timestamp)
        for rows in lost
    ]


def row_line(seq: int, ts: int, content: bytes) -> bytes:
    """Return a row as it is stored, with its line break."""
    return b'{"seq":%d,"ts":%d,%b}\n' % (seq, ts, content)


def python_parse_row(line: bytes) -> StoredRow:
    """Read a stored row; levels stay text."""
    # The levels come last, and nothing before them has a name of theirs.
    said_text, is_book, levels = line.partition(b',"bids":')
    said = orjson.loads(said_text + b"}" if is_book else said_text)
    seq, ts = said["seq"], said["ts"]
    if is_book:
        bids, _, asks = levels.partition(b',"asks":')
        return StoredBook(
            seq,
            ts,
            said["snapshot"],
            said["reliable"],
            said.get("seq_id"),
            said.get("prev_seq_id"),
            tuple((kind, count, age) for kind, count, age in said.get("lost", ())),
            bids,
            asks.rstrip(b"\n")[:-1],
        )
    if said["kind"] == "trade":
        return StoredTrade(seq, ts, said["id"], said["price"], said["size"], said["side"])
    return StoredEnd(seq, ts)


parse_row = fastest(
    "parse_row",
    python_parse_row,
    python_parse_row=python_parse_row,
    StoredBook=StoredBook,
    StoredTrade=StoredTrade,
)


def _json(number: int | None) -> bytes:
    return b"null" if number is None else b"%d" % number
