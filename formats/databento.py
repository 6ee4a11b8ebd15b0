"""Databento's DBN: `mbp-10`, `mbo` and `trades`, decoded by its own library."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

from formats.rows import SNAPSHOT, UPDATE, BookRow, Job, Kind, Portion, Sample, TradeRow
from formats.sources import CutError, SourceError

if TYPE_CHECKING:
    from databento_dbn import DBNDecoder, MBOMsg, MBP10Msg, Metadata, TradeMsg

MAGIC = b"DBN"
MOST_METADATA = 8_000_000
"""Longest description at the beginning of a file, in bytes: it is read whole."""
_RECORDS = {"mbp-10": "MBP10Msg", "mbo": "MBOMsg", "trades": "TradeMsg"}
"""Class of the records of each schema; others are among them, such as definitions."""
SCHEMAS = tuple(_RECORDS)
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_SIDES = {"B": "buy", "A": "sell"}
"""The taker's side, by Databento's side of a trade."""
_PLACES = {"B": 0, "A": 1}
_LAST, _MAYBE_BAD_BOOK = 128, 4
"""Flags: of the last record of a message, and of one before which rows may be lost."""
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_NS_PER_DAY = 86_400_000_000_000


def recognise(sample: Sample) -> Kind | None:
    """Return the kind of a file of Databento, None for any other."""
    return DBN if sample.head.startswith(MAGIC) else None


def read_dbn(job: Job) -> Iterator[Portion]:
    """Read the records of a file of one of `SCHEMAS`."""
    try:
        from databento_dbn import DBNDecoder  # noqa: PLC0415 (of a group of its own)
    except ImportError as error:
        msg = f"{job.source.path}: DBN is read by databento-dbn; uv sync --group data installs it"
        raise SourceError(msg, job.source.path) from error
    length = int.from_bytes(job.source.head()[4:8], "little")
    if length > MOST_METADATA:
        msg = f"{job.source.path}: its metadata have {length:,} bytes, over {MOST_METADATA:,}"
        raise SourceError(f"{msg}; download fewer symbols at once", job.source.path)
    decoder, records = DBNDecoder(), None
    while block := job.source.read():
        try:
            found = _decoded(decoder, block)
        except ValueError as error:
            msg = f"{job.source.path}: damaged ({error}); download it again"
            job.source.failure = CutError(msg, job.source.path)
            break
        if records is None and found:
            records = _Records(job, found.pop(0))
        if records:
            yield records.read(found)
    if decoder.buffer() and not job.source.failure:
        msg = f"{job.source.path}: cut short in the middle of a record; download it again"
        job.source.failure = CutError(msg, job.source.path)


def _decoded(decoder: "DBNDecoder", block: bytes) -> list[Any]:
    """Return the records that are whole with this block; raise `ValueError` for damage."""
    try:
        decoder.write(block)
        return list(decoder.decode())
    except BaseException as error:
        # Of some damage the library panics, which is no Exception and has no class to import.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise ValueError(str(error).splitlines()[0]) from error
        raise


class _Records:
    """Make rows of records, as their schema is."""

    def __init__(self, job: Job, metadata: "Metadata") -> None:
        self._job = job
        self._schema = str(metadata.schema)
        if self._schema not in SCHEMAS:
            msg = (
                f"{job.source.path}: schema {self._schema} has no book and no trades to import; "
                f"download {', '.join(SCHEMAS)}"
            )
            raise SourceError(msg, job.source.path)
        if self._schema == "mbp-10":
            job.notes.append("each row has the best 10 levels a side: sums are of so many at most")
        self._names = _names_in(metadata)
        self._orders: dict[tuple[int, str], _Orders] = {}

    def read(self, records: list[Any]) -> Portion:
        """Return what some records say."""
        book: list[BookRow] = []
        trades: list[TradeRow] = []
        for record in records:
            if type(record).__name__ != _RECORDS[self._schema]:
                self._job.counts["messages_left_out"] += 1
                continue
            is_trade = str(record.action) == "T"
            if is_trade:
                trades.append(self._trade(record))
            if self._schema == "mbp-10" and not is_trade:
                book.append(self._snapshot(record))
            elif self._schema == "mbo":
                book += self._order(record, is_trade=is_trade)
            if self._schema != "trades" and record.flags & _MAYBE_BAD_BOOK:
                book.append(self._lost(record))
        return Portion(book, trades)

    def _name(self, record: "MBOMsg | MBP10Msg | TradeMsg") -> str:
        """Return the symbol that an id stands for on the day of a record: ids change by the day."""
        spans = self._names.get(record.instrument_id, ())
        at = _times(record)[1] or record.ts_event
        for start, end, name in spans:
            if start <= at < end or len(spans) == 1:
                return name
        return f"id-{record.instrument_id}"

    def _lost(self, record: "MBOMsg | MBP10Msg") -> BookRow:
        """Return a row that says that rows may be lost, as Databento said."""
        self._job.counts["gaps_said_by_databento"] += 1
        text = "unreadable: rows before this one may be lost (F_MAYBE_BAD_BOOK)"
        return self._name(record), text, "", _times(record)[0], UPDATE, None, None, None

    def _trade(self, record: "MBOMsg | MBP10Msg | TradeMsg") -> TradeRow:
        name, side = self._name(record), _SIDES.get(str(record.side), "unknown")
        price, times = price_text(record.price), _times(record)
        return name, None, price or "", str(record.size), side, times[0], times[1]

    def _snapshot(self, record: "MBP10Msg") -> BookRow:
        bids = [(level.bid_px, level.bid_sz, level.bid_ct) for level in record.levels]
        asks = [(level.ask_px, level.ask_sz, level.ask_ct) for level in record.levels]
        time, received = _times(record)
        sides = _four_fields(bids), _four_fields(asks)
        return self._name(record), *sides, time, SNAPSHOT, None, None, received

    def _order(self, record: "MBOMsg", *, is_trade: bool) -> list[BookRow]:
        name = self._name(record)
        key = record.instrument_id, name
        if key not in self._orders:
            self._orders[key] = _Orders(self._job.counts)
        orders = self._orders[key]
        orders.take(record)
        if not record.flags & _LAST or (is_trade and not orders.has_changes):
            return []
        levels = orders.changed()
        action = SNAPSHOT if orders.was_cleared else UPDATE
        orders.was_cleared = False
        time, received = _times(record)
        sides = _four_fields(levels[0]), _four_fields(levels[1])
        return [(name, *sides, time, action, None, None, received)]


def _names_in(metadata: "Metadata") -> dict[int, list[tuple[int, int, str]]]:
    """Return by instrument's id from when to when, in ns, it stands for which symbol."""
    names: dict[int, list[tuple[int, int, str]]] = {}
    for symbol, intervals in metadata.mappings.items():
        for interval in intervals:
            if str(interval["symbol"]).isdecimal():
                days = (interval["start_date"], interval["end_date"])
                span = [(day.toordinal() - _EPOCH_DAY) * _NS_PER_DAY for day in days]
                found = (span[0], span[1], _NO_NAME.sub("-", symbol))
                names.setdefault(int(interval["symbol"]), []).append(found)
    return names


Sums = list[tuple[int, int, int]]
"""Price, size and number of orders of levels."""


class _Orders:
    """The orders of one book, and the levels they add up to."""

    def __init__(self, counts: Counter[str]) -> None:
        self.was_cleared = False
        self._said = counts
        self._orders: dict[int, tuple[int, int, int]] = {}
        self._sizes: Counter[tuple[int, int]] = Counter()
        self._counts: Counter[tuple[int, int]] = Counter()
        self._touched: dict[tuple[int, int], None] = {}

    @property
    def has_changes(self) -> bool:
        """Return whether there is something that `changed` and `was_cleared` have not said yet."""
        return self.was_cleared or bool(self._touched)

    def take(self, record: "MBOMsg") -> None:
        """Apply one record; fills change nothing, for a cancellation or change follows each."""
        action = str(record.action)
        if action == "R":
            self.was_cleared = True
            for known in (self._orders, self._sizes, self._counts, self._touched):
                known.clear()
        elif action in ("A", "M"):
            self._remove(record.order_id)
            self._put(record)
        elif action == "C":
            self._reduce(record.order_id, record.size)

    def _put(self, record: "MBOMsg") -> None:
        place = _PLACES.get(str(record.side))
        if place is None or price_text(record.price) is None:
            return
        self._orders[record.order_id] = place, record.price, record.size
        self._add((place, record.price), record.size, 1)

    def _remove(self, order_id: int) -> None:
        if order_id in self._orders:
            place, price, size = self._orders.pop(order_id)
            self._add((place, price), -size, -1)

    def _reduce(self, order_id: int, size: int) -> None:
        if order_id not in self._orders:
            self._said["cancels_of_unknown_orders"] += 1
            return
        place, price, before = self._orders[order_id]
        if size >= before:
            self._remove(order_id)
            return
        self._orders[order_id] = place, price, before - size
        self._add((place, price), -size, 0)

    def _add(self, level: tuple[int, int], size: int, orders: int) -> None:
        self._sizes[level] += size
        self._counts[level] += orders
        self._touched[level] = None

    def changed(self) -> tuple[Sums, Sums]:
        """Return the levels of bids and asks that changed since the last time."""
        sides: tuple[Sums, Sums] = ([], [])
        for place, price in self._touched:
            size, count = self._sizes[place, price], self._counts[place, price]
            if not count:
                del self._sizes[place, price], self._counts[place, price]
            sides[place].append((price, size, count))
        self._touched.clear()
        return sides


def price_text(units: int) -> str | None:
    """Return a price of 1e-9 as decimals, None where there is none."""
    if units == (1 << 63) - 1:
        return None
    sign, whole, fraction = "-" * (units < 0), abs(units) // 10**9, abs(units) % 10**9
    decimals = f".{fraction:09}".rstrip("0") if fraction else ""
    return f"{sign}{whole}{decimals}"


def _four_fields(levels: Sums) -> str:
    said = [
        f'["{price}","{size}","0","{orders}"]'
        for units, size, orders in levels
        if (price := price_text(units)) is not None
    ]
    return f"[{','.join(said)}]"


def _times(record: Any) -> tuple[int, int | None]:
    """Return the exchange's time in ms and the time of receipt in ns."""
    received = record.ts_recv if 0 < record.ts_recv < 1 << 62 else None
    event = record.ts_event if 0 < record.ts_event < 1 << 62 else received or 0
    return event // 1_000_000, received


DBN = Kind(
    "dbn",
    "Databento DBN",
    read_dbn,
    ("ids of trades", "single orders", "what is finer than a millisecond of the exchange's time"),
)
