"""One instrument as the store has it: its book after the last row read, and what each row did."""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from exchanges.depth import TextBook
from exchanges.messages import TradeMessage
from orderflow.instruments import Instrument
from simulator.store_reader import Rows, StoreReader, newest_fetch
from simulator.stored_rows import Head, StoredBook, StoredTrade, parse_row

logger = logging.getLogger(__name__)
SIDES = ("buy", "sell")
FIRST_ID = 2
"""The id of a store's first row, and of the first one after a reset."""


class BookStep(NamedTuple):
    """A book row, which the market's book has taken in just now.

    `row_id` is twice the row's `seq`, so that the id before it is free to stand for what was lost:
    `lost` says that rows before this one were, and that this one does not make up for them.
    """

    ts: int
    row_id: int
    lost: bool


class TradeStep(NamedTuple):
    """A trade of the store, of the instrument `name`."""

    ts: int
    row_id: int
    name: str
    row: StoredTrade

    @property
    def trade(self) -> TradeMessage:
        """Return the trade; its symbol is the instrument's name."""
        row = self.row
        side = row.side or ""
        return TradeMessage(self.name, row.id, row.price, row.size, side, 1000 * row.ts)


Step = BookStep | TradeStep


@dataclass
class Market:
    """The book and the trades of one instrument, read from the store as it grows.

    `row_id` and `book_ts` are those of the last book row, 0 before the first; `ts` is the time of
    the last row of any kind, ms as stored. `counts` has what could not be used. `contract_value` is
    given, as no recording has it.
    """

    store: Path
    name: str
    contract_value: str | None = None
    book: TextBook = field(default_factory=TextBook)
    row_id: int = 0
    book_ts: int = 0
    ts: int = 0
    reliable: bool = False
    rows: int = 0
    ended: bool = False
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._reader: StoreReader | None = None
        self._fetch_seq: int | None = None
        self._id_base = 0

    @property
    def instrument(self) -> Instrument:
        """Return the instrument with the steps that all levels so far are multiples of."""
        price, size = self.decimals
        return Instrument(self.name, _step(price), _step(size), self.contract_value or "1")

    @property
    def decimals(self) -> tuple[int, int]:
        """Return the most decimals of prices, and of sizes, so far."""
        return self.book.price_decimals, self.book.size_decimals

    @property
    def seq(self) -> int:
        """Return the number of the last book row in the store, 0 before the first."""
        return (self.row_id + self._id_base) // 2

    @property
    def last_seq(self) -> int:
        """Return the number of the last row of any kind that has been read, 0 before the first."""
        next_seq = self._reader.next_seq if self._reader else None
        return (next_seq or 1) - 1

    def reset_ids(self) -> int:
        """Let the ids begin anew with the last book row, as an exchange does after maintenance.

        Return the row's new id.
        """
        self._id_base += self.row_id - FIRST_ID
        self.row_id = FIRST_ID
        return self.row_id

    def close(self) -> None:
        """Let go of the store."""
        if self._reader:
            self._reader.close()

    def read(self) -> Iterator[Step] | None:
        """Return what the next rows did, None where none are new.

        The rows are applied one by one as the iterator goes on: between two of them the book is
        that of the row before. Raise `StoreError` as `StoreReader` does.
        """
        if self._reader is None:
            head = newest_fetch(self.store, self.name)
            if head is None:
                return None
            self._reader = StoreReader(self.store, self.name, head.fetch_seq)
        rows = self._reader.read()
        return None if rows is None else self._apply(rows)

    def _apply(self, rows: Rows) -> Iterator[Step]:
        for line in rows.lines:
            row = parse_row(line)
            self.ts = row.ts
            self.rows += 1
            self.ended = False
            if isinstance(row, StoredBook):
                yield self._apply_book(row, rows.head)
            elif isinstance(row, StoredTrade):
                if step := self._trade(row):
                    yield step
            else:
                self.ended = True

    def _apply_book(self, row: StoredBook, head: Head) -> BookStep:
        book = self.book
        # Another fetch has a book of its own, from nothing.
        snapshot = row.snapshot or head.fetch_seq != self._fetch_seq
        self._fetch_seq = head.fetch_seq
        book.read(row.bids, row.asks, snapshot=snapshot)
        if row.lost:
            self.counts["lost_rows"] += sum(count for _, count, _ in row.lost)
        if book.rejected:
            self.counts["levels_rejected"] += book.rejected
        if book.unreadable:
            self.counts["sides_unreadable"] += book.unreadable
        self.reliable = row.reliable
        self.row_id = 2 * row.seq - self._id_base
        self.book_ts = row.ts
        return BookStep(row.ts, self.row_id, bool(row.lost) and not snapshot)

    def _trade(self, row: StoredTrade) -> TradeStep | None:
        if row.side not in SIDES:
            self.counts["trades_without_side"] += 1
            return None
        return TradeStep(row.ts, 2 * row.seq - self._id_base, self.name, row)


def _step(decimals: int) -> str:
    return "1" if decimals == 0 else f"0.{'0' * (decimals - 1)}1"
