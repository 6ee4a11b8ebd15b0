"""Read book rows or trades of a group of files, as a replay does, from any checkpoint on.

The two classes say the same things of the two tables, so that `checkpoint_chain` serves both: how
rows are read from the beginning and between two checkpoints, and what is made of them.
"""

from collections.abc import Iterator, Sequence
from copy import copy
from itertools import chain
from math import fsum
from typing import Any, Protocol, TypeVar

import orjson

from db_interpreter import DBInterpreter
from orderbook_manager import OrderbookManager
from orderflow.continuity import BookReliability
from orderflow.events import BookBatch, LostRows, Trade, time_of_row, time_of_trade
from orderflow.issues import IssueLog
from recordings.book_decoder import BookDecoder
from recordings.checkpoints import Checkpoint
from recordings.recorded_table import RecordedTable
from recordings.row_order import Row, id_of
from recordings.trade_decoder import TradeDecoder

Batch = TypeVar("Batch")
FOREVER_MS = 10**15


class Source(Protocol[Batch]):
    """Rows of a group of files, and what is made of them.

    `facts` are what a file of checkpoints has to keep so that rows can be read on.
    """

    tables: list[RecordedTable]
    facts: dict[str, Any]

    def read(self, end_ms: int = FOREVER_MS) -> Iterator[Batch]:
        """Yield all rows before `end_ms`, as a replay has them."""
        ...

    def read_after(self, checkpoint: Checkpoint, end_ms: int, *, is_first: bool) -> Iterator[Batch]:
        """Yield the rows after a checkpoint, up to the next one or before `end_ms`."""
        ...

    @property
    def late(self) -> int:
        """Count the rows left out so far, in `read`, because they came too late."""
        ...

    def begin(self, packed: bytes) -> Any:
        """Return the state that `packed` is, to `apply` batches to and to `dump`."""
        ...

    def times(self, batch: Batch) -> list[int]:
        """Return the rows' times in ms."""
        ...

    def keys(self, batch: Batch) -> list[int]:
        """Return the rows' keys, where rows say them."""
        ...

    def weight(self, batch: Batch) -> int:
        """Return about how many bytes have to be read for these rows, beyond a few each."""
        ...

    def part(self, batch: Batch, start: int, stop: int) -> Batch:
        """Return the rows from index `start` to before `stop`."""
        ...

    def lost(self, batch: Batch) -> list[tuple[int, LostRows]]:
        """Return what was lost, each with the index of the row it was lost before."""
        ...


def can_go_on(tables: Sequence[RecordedTable]) -> bool:
    """Return whether rows can be found again where they were read."""
    return len(tables) == 1 and (tables[0].is_exact or tables[0].has_keys)


def _rows_after(table: RecordedTable, checkpoint: Checkpoint, end_ms: int) -> Iterator[list[Row]]:
    """Yield the rows of a span in order, in lists, none of them empty."""
    if table.is_exact:
        for found in table.read_times(checkpoint.ms):
            rows = found if found[-1][0] < end_ms else [row for row in found if row[0] < end_ms]
            if rows:
                yield rows
            if len(rows) < len(found):
                return
    elif checkpoint.low is not None and checkpoint.high is not None:
        found_by_key = table.read_keys(checkpoint.low, checkpoint.high)
        if not checkpoint.in_order:
            found_by_key = iter([sorted(chain(*found_by_key), key=lambda row: row[:2])])
        for found in found_by_key:
            rows = [row for row in found if checkpoint.ms < row[0] < end_ms]
            if rows:
                yield rows
            if checkpoint.in_order and found and found[-1][0] >= end_ms:
                return


class BookState:
    """A book, and whether it is reliable, after some rows of a recording."""

    def __init__(self, *, uncross: bool, packed: bytes = b"") -> None:
        self.book = OrderbookManager(1, uncross=uncross)
        self.reliability = BookReliability(IssueLog())
        if packed:
            bids, asks, reliability = packed.split(b"\n")
            self.book.update(bids, asks, True)
            self.reliability.resume(*orjson.loads(reliability))

    def apply(self, batch: BookBatch) -> None:
        """Apply rows, as a replay does."""
        outcome = self.book.update_rows(batch.rows, batch.snapshots)
        self.reliability.follow(batch, outcome.skipped)

    def dump(self) -> bytes:
        """Return the state as bytes: its numbers are written so that they are read as the same."""
        bids, asks = self.book.top_levels(sum(self.book.level_counts))
        return b"\n".join(map(orjson.dumps, (bids, asks, self.reliability.state)))


class BookSource:
    """The book rows of a group of files; see `Source`. `book_mode` is as asked for."""

    def __init__(self, tables: list[RecordedTable], book_mode: str, *, uncross: bool) -> None:
        self.tables = tables
        self.facts: dict[str, Any] = {}
        self._asked_mode = book_mode
        self._uncross = uncross
        self._interpreter: DBInterpreter | None = None

    def read(self, end_ms: int = FOREVER_MS) -> Iterator[BookBatch]:
        """Yield all rows before `end_ms`, as a replay has them."""
        reader = DBInterpreter.of_tables(
            list(map(copy, self.tables)), [], None, end_ms, self._asked_mode
        )
        self._interpreter = reader
        for batch, _ in reader.batches():
            if len(batch) and not self.facts:
                self.facts = {"book_mode": reader.book_mode, "replaces": batch.snapshots[0]}
            yield batch

    def read_after(
        self, checkpoint: Checkpoint, end_ms: int, *, is_first: bool
    ) -> Iterator[BookBatch]:
        """Yield the rows after a checkpoint, up to the next one or before `end_ms`."""
        decoder = BookDecoder(
            self.facts.get("book_mode", "incremental"),
            begins_with_snapshot=bool(is_first and self.facts.get("replaces")),
        )
        number = checkpoint.number
        waiting = list(checkpoint.lost)
        for rows in _rows_after(self.tables[0], checkpoint, end_ms):
            batch = decoder.decode(rows)
            here = [lost for lost in waiting if lost[0] < number + len(rows)]
            waiting = waiting[len(here) :]
            if here:
                placed = [(before - number, lost) for before, lost in here]
                batch = BookBatch(
                    batch.rows, batch.snapshots, batch.seq_ids, batch.prev_seq_ids, placed
                )
            number += len(rows)
            yield batch
        known = [
            lost
            for before, lost in waiting
            if before == number and (lost.timestamp is not None and lost.timestamp < end_ms)
        ]
        if known:
            yield BookBatch([], [], lost=[(0, lost) for lost in known])

    @property
    def late(self) -> int:
        """Count the rows left out so far because they came too late."""
        return self._interpreter.counts.late_rows if self._interpreter else 0

    # -- what checkpoints are made of

    def begin(self, packed: bytes) -> BookState:
        """Return the state that `packed` is."""
        return BookState(uncross=self._uncross, packed=packed)

    @staticmethod
    def times(batch: BookBatch) -> list[int]:
        """Return the rows' times in ms."""
        return list(map(time_of_row, batch.rows))

    @staticmethod
    def keys(batch: BookBatch) -> list[int]:
        """Return the rows' keys, where rows say them."""
        return [id_of(row[1]) for row in batch.rows]

    @staticmethod
    def weight(batch: BookBatch) -> int:
        """Return about how many bytes have to be read for these rows."""
        return sum(len(row[2] or b"") + len(row[3] or b"") for row in batch.rows)

    @staticmethod
    def part(batch: BookBatch, start: int, stop: int) -> BookBatch:
        """Return the rows from index `start` to before `stop`."""
        return batch.part(start, stop)

    @staticmethod
    def lost(batch: BookBatch) -> list[tuple[int, LostRows]]:
        """Return what was lost, each with the index of the row it was lost before."""
        return list(batch.lost)


class TradeState:
    """The sum of taker buys less sells, in twice the precision of a double."""

    def __init__(self, packed: bytes = b"") -> None:
        self.sums: tuple[float, float] = (0.0, 0.0)
        if packed:
            high, low = orjson.loads(packed)
            self.sums = high, low

    def apply(self, trades: list[Trade]) -> None:
        """Add trades; those whose side is neither buy nor sell do not count."""
        signed = [
            size if side == "buy" else -size
            for _, _, _, size, side, _ in trades
            if side in ("buy", "sell")
        ]
        terms = [*self.sums, *signed]
        high = fsum(terms)
        self.sums = high, fsum([*terms, -high])

    def dump(self) -> bytes:
        """Return the state as bytes."""
        return orjson.dumps(self.sums)


class TradeSource:
    """The usable trades of a group of files; see `Source`."""

    def __init__(self, tables: list[RecordedTable]) -> None:
        self.tables = tables
        self.facts: dict[str, Any] = {}
        self._interpreter: DBInterpreter | None = None

    def read(self, end_ms: int = FOREVER_MS) -> Iterator[list[Trade]]:
        """Yield all trades before `end_ms`, as a replay has them."""
        self._interpreter = DBInterpreter.of_tables([], list(map(copy, self.tables)), None, end_ms)
        for _, trades in self._interpreter.batches():
            if trades:
                yield trades

    def read_after(
        self, checkpoint: Checkpoint, end_ms: int, *, is_first: bool = False
    ) -> Iterator[list[Trade]]:
        """Yield the trades after a checkpoint, up to the next one or before `end_ms`."""
        return TradeDecoder(0, end_ms).decode(_rows_after(self.tables[0], checkpoint, end_ms))

    @property
    def late(self) -> int:
        """Count the trades left out so far because they came too late."""
        return self._interpreter.counts.late_trades if self._interpreter else 0

    # -- what checkpoints are made of

    @staticmethod
    def begin(packed: bytes) -> TradeState:
        """Return the state that `packed` is."""
        return TradeState(packed)

    @staticmethod
    def times(batch: list[Trade]) -> list[int]:
        """Return the trades' times in ms."""
        return list(map(time_of_trade, batch))

    @staticmethod
    def keys(batch: list[Trade]) -> list[int]:
        """Return the trades' keys, where trades say them."""
        return [trade[0] for trade in batch]

    @staticmethod
    def weight(_batch: list[Trade]) -> int:
        """Return 0: trades are short."""
        return 0

    @staticmethod
    def part(batch: list[Trade], start: int, stop: int) -> list[Trade]:
        """Return the trades from index `start` to before `stop`."""
        return batch[start:stop]

    @staticmethod
    def lost(_batch: list[Trade]) -> list[tuple[int, LostRows]]:
        """Return nothing: what was lost of trades changes none of the others."""
        return []
