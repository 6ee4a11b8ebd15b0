"""Follow the rows that are imported: times that step back, sequence, silences, snapshots."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from formats.rows import SNAPSHOT, BookRow, Portion, TradeRow
from formats.snapshot_proof import SnapshotProof
from orderflow.continuity import Silences

MOST_STEP_BACK_MS = 60_000
"""A row that steps back by no more is given the time of the row before it; beyond, the rows are in
no order of time, and keep their times."""
SIDES = frozenset({"buy", "sell"})


@dataclass
class InstrumentFound:
    """What an import found of one instrument; times are ms, UTC.

    `counts` has `snapshots`, `sequence_gaps`, `book_steps_back`, `trade_steps_back`,
    `unordered_rows`, `unknown_sides`, `snapshots_compared`, `snapshots_differing` and
    `levels_differing`, those that occurred.
    """

    book_rows: int = 0
    trades: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    longest_step_back_ms: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    silences: Silences = field(default_factory=Silences)

    def cover(self, first_ms: int, last_ms: int) -> None:
        """Take in that there are rows at these times."""
        self.first_ms = first_ms if self.first_ms is None else min(first_ms, self.first_ms)
        self.last_ms = last_ms if self.last_ms is None else max(last_ms, self.last_ms)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        silences = self.silences.found()
        return {
            "book_rows": self.book_rows,
            "trades": self.trades,
            "first_ms": self.first_ms,
            "last_ms": self.last_ms,
            "longest_step_back_ms": self.longest_step_back_ms,
            "longest_silence_ms": self.silences.longest_ms,
            "counts": dict(self.counts) | ({"silences": len(silences)} if silences else {}),
        }


class Follower:
    """Follow the rows of a file, and give each book row a time no earlier than the one before.

    The order of the file is that in which the exchange's messages came, and a replay goes by time:
    a row that steps back a little would be applied before those that it follows. With `proving`,
    each snapshot in mid-file is compared with the book that the rows before it lead to.
    """

    def __init__(self, *, proving: bool) -> None:
        self.instruments: dict[str, InstrumentFound] = {}
        self._proving = proving
        self._proofs: dict[str, SnapshotProof] = {}
        self._last_book: dict[str, int] = {}
        self._last_trade: dict[str, int] = {}
        self._last_id: dict[str, int | None] = {}

    def follow(self, portion: Portion) -> list[BookRow]:
        """Follow the next rows; return those of the book, with their times put right."""
        if portion.trades:
            for name, trades in _by_instrument(portion.trades):
                self._follow_trades(name, trades)
        if not portion.book:
            return portion.book
        groups = _by_instrument(portion.book)
        if len(groups) == 1:
            return self._follow_book(*groups[0])
        done = {name: iter(self._follow_book(name, rows)) for name, rows in groups}
        return [next(done[row[0]]) for row in portion.book]  # in the order they came

    @property
    def levels(self) -> int:
        """Return how many levels the deepest book has, of those that are kept for proofs."""
        return max(map(len, self._proofs.values()), default=0)

    def _found(self, name: str) -> InstrumentFound:
        if name not in self.instruments:
            self.instruments[name] = InstrumentFound()
        return self.instruments[name]

    def _follow_trades(self, name: str, trades: Sequence[TradeRow]) -> None:
        found = self._found(name)
        found.trades += len(trades)
        times = [self._last_trade.get(name, 0), *(trade[5] for trade in trades)]
        steps = sum(after < before for before, after in pairwise(times))
        if steps:
            found.counts["trade_steps_back"] += steps
        self._last_trade[name] = times[-1]
        unknown = sum(trade[4] not in SIDES for trade in trades)
        if unknown:
            found.counts["unknown_sides"] += unknown
        found.cover(min(times[1:]), max(times[1:]))

    def _follow_book(self, name: str, rows: list[BookRow]) -> list[BookRow]:
        found = self._found(name)
        found.book_rows += len(rows)
        rows, times = self._in_order(name, rows, found)
        found.silences.add(times)
        found.cover(min(times), max(times))
        snapshots = [row[4] == SNAPSHOT for row in rows]
        if True in snapshots:
            found.counts["snapshots"] += sum(snapshots)
        self._follow_ids(name, rows, found)
        if self._proving:
            if name not in self._proofs:
                self._proofs[name] = SnapshotProof(found.counts)
            self._proofs[name].follow(rows, snapshots)
        return rows

    def _in_order(
        self, name: str, rows: list[BookRow], found: InstrumentFound
    ) -> tuple[list[BookRow], list[int]]:
        times = [row[3] for row in rows]
        last = self._last_book.get(name, times[0])
        if times[0] < last or times != sorted(times):
            rows = [self._not_before(row, found, name) for row in rows]
            times = [row[3] for row in rows]
        self._last_book[name] = times[-1]
        return rows, times

    def _not_before(self, row: BookRow, found: InstrumentFound, name: str) -> BookRow:
        last, time = self._last_book.get(name, 0), row[3]
        back = last - time
        if 0 < back <= MOST_STEP_BACK_MS:
            found.counts["book_steps_back"] += 1
            found.longest_step_back_ms = max(found.longest_step_back_ms, back)
            return (*row[:3], last, *row[4:])
        if back > 0:
            found.counts["unordered_rows"] += 1
        self._last_book[name] = time
        return row

    def _follow_ids(self, name: str, rows: list[BookRow], found: InstrumentFound) -> None:
        if rows[0][5] is None and rows[-1][5] is None:
            return
        last = self._last_id.get(name)
        for row in rows:
            seq_id, before = row[5], row[6]
            if seq_id is None:
                continue
            if row[4] != SNAPSHOT and None not in (last, before) and before != last:
                found.counts["sequence_gaps"] += 1
            last = seq_id
        self._last_id[name] = last


def _by_instrument(rows: list[Any]) -> list[tuple[str, list[Any]]]:
    first = rows[0][0]
    if all(row[0] == first for row in rows):
        return [(first, rows)]
    groups: dict[str, list[Any]] = {}
    for row in rows:
        groups.setdefault(row[0], []).append(row)
    return list(groups.items())
