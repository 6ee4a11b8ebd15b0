"""Data issues: what was wrong with a recording, by kind, and when.

One definition for the terminal, the page, the files and the docs. A run that prints "none" has
looked for every kind listed here and found nothing but repeats, which cost nothing. Why it is so:
docs/adr/0012-data-issues.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass

MAX_SPANS = 200
"""Most spans kept of one kind; beyond that neighbours are joined, and none is dropped."""
FINEST_GRID_MS = 1000
"""Issues of one kind that begin within the same second are one span."""

LABELS = {
    "rows_skipped": "book rows skipped",
    "levels_rejected": "levels rejected",
    "trades_skipped": "trades skipped",
    "crossed_books": "crossed books",
    "late_rows": "out-of-order book rows left out",
    "late_trades": "out-of-order trades left out",
    "repeated_rows": "repeated book rows",
    "repeated_trades": "repeated trades",
    "unknown_sides": "trades of unknown side",
    "unusable_samples": "book samples beyond a double",
    "sequence_gaps": "sequence gaps",
    "unproven_rows": "book rows before the first snapshot",
    "unreliable_rows": "book rows while an update was missing",
    "silences": "silences of the book",
    "no_book": "no book: OBI and TOT are empty",
    "no_trades": "no trades: OHLC bars and CVD are empty",
}
"""What each kind is called, in the order in which kinds are listed."""

HARMLESS = frozenset({"repeated_rows", "repeated_trades"})
"""Kinds that cost nothing: what was recorded twice is used once."""

WITHOUT_NUMBER = frozenset({"no_book", "no_trades"})
"""Kinds that are there or not, and are not counted."""


@dataclass(frozen=True)
class DataIssue:
    """One span of a kind of issue, ms since the epoch, UTC, both ends included.

    `count` is how many there were in it. If it is not known when something was lost, both times
    are None.
    """

    kind: str
    start: int | None
    end: int | None
    count: int


class IssueLog:
    """Count issues by kind, and keep when they were, in bounded memory.

    Spans of a kind that begin in one cell of a grid of time are one span, and so are spans no
    further apart than `FINEST_GRID_MS`. The grid starts with cells of that length, and their size
    doubles when a kind has more than `MAX_SPANS` of them. So the result depends only on what was
    noted, not on the order: logs of parts of a recording add up to the log of the whole.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, _KindLog] = {}

    def note(self, kind: str, start: int | None, end: int | None = None, count: int = 1) -> None:
        """Add `count` issues of `kind` that span `start` to `end` in ms, by default one moment.

        `start` is None if it is unknown when they were. Raise `ValueError` for an unknown kind.
        """
        if kind not in LABELS:
            msg = f"unknown kind of data issue {kind!r}"
            raise ValueError(msg)
        self._log_of(kind).add(start, start if end is None else end, count)

    def add(self, other: "IssueLog") -> None:
        """Add all that another log has."""
        for kind, log in list(other._kinds.items()):
            self._log_of(kind).add_all(log)

    def counts(self) -> dict[str, int]:
        """Count the issues of every kind, those without any included."""
        return {kind: self._kinds[kind].count if kind in self._kinds else 0 for kind in LABELS}

    def spans(self) -> list[DataIssue]:
        """List the spans by time, those of unknown time first."""
        kinds = list(self._kinds.items())
        found = [DataIssue(kind, *span) for kind, log in kinds for span in log.spans()]
        order = {kind: number for number, kind in enumerate(LABELS)}
        return sorted(found, key=lambda i: (-1 if i.start is None else i.start, order[i.kind]))

    def _log_of(self, kind: str) -> "_KindLog":
        if kind not in self._kinds:
            self._kinds[kind] = _KindLog()
        return self._kinds[kind]


@dataclass
class _Cell:
    start: int
    end: int
    count: int


class _KindLog:
    """The spans of one kind, by the cell of the grid in which they begin."""

    def __init__(self) -> None:
        self.count = 0
        self._grid_ms = FINEST_GRID_MS
        self._cells: dict[int, _Cell] = {}
        self._untimed = 0

    def add(self, start: int | None, end: int | None, count: int) -> None:
        self.count += count
        if start is None:
            self._untimed += count
            return
        self._put(_Cell(start, start if end is None else end, count))
        while len(self._cells) > MAX_SPANS:
            self._coarsen(2 * self._grid_ms)

    def add_all(self, other: "_KindLog") -> None:
        if other._grid_ms > self._grid_ms:
            self._coarsen(other._grid_ms)
        self.add(None, None, other._untimed)
        for cell in list(other._cells.values()):
            self.add(cell.start, cell.end, cell.count)

    def _put(self, cell: _Cell) -> None:
        key = cell.start // self._grid_ms
        known = self._cells.get(key)
        if known is None:
            self._cells[key] = _Cell(cell.start, cell.end, cell.count)
        else:
            known.start, known.end = min(known.start, cell.start), max(known.end, cell.end)
            known.count += cell.count

    def _coarsen(self, grid_ms: int) -> None:
        cells = list(self._cells.values())
        self._grid_ms, self._cells = grid_ms, {}
        for cell in cells:
            self._put(cell)

    def spans(self) -> Iterable[tuple[int | None, int | None, int]]:
        if self._untimed:
            yield None, None, self._untimed
        joined: list[_Cell] = []
        for _, cell in sorted(self._cells.copy().items()):
            if joined and cell.start <= joined[-1].end + FINEST_GRID_MS:
                last = joined[-1]
                last.end, last.count = max(last.end, cell.end), last.count + cell.count
            else:
                joined.append(_Cell(cell.start, cell.end, cell.count))
        yield from ((cell.start, cell.end, cell.count) for cell in joined)


def losses(counts: dict[str, int]) -> dict[str, int]:
    """Return the kinds that occurred and are not harmless, with their counts."""
    return {kind: n for kind, n in counts.items() if n and kind not in HARMLESS}


def describe(counts: dict[str, int]) -> list[str]:
    """Return each kind that occurred in words, `12 crossed books`; an unknown one by its name."""
    return [
        LABELS[kind]
        if kind in WITHOUT_NUMBER
        else f"{count:,} {LABELS.get(kind, kind.replace('_', ' '))}"
        for kind, count in counts.items()
        if count
    ]
