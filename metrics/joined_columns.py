"""Join the heatmap columns that several processes have made, each of a stretch of the range."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from metrics.heat_columns import (
    BEST_CHANGES,
    COLUMNS,
    LEVELS,
    MAX_UPDATES,
    ROWS,
    Levels,
)
from metrics.price_grid import PriceGrid

Columns = tuple[int, dict[str, bytes]]
"""The number of the first entry, and the entries' bytes by name: see `HeatColumns`."""
BYTES = {"low": 8, "row": 8, "bid": 8, "ask": 8, "time": 8, "updates": 2, "cells": 2 * ROWS}


class KeptColumns(Protocol):
    """What keeps columns, or has joined them: see `HeatColumns`."""

    def ring(self, level: int, book: Levels) -> Columns:
        """Return the number of the first column of a level, and arrays of all."""

    def best_changes(self) -> Columns:
        """Return how many changes came before the first one kept, and `time`, `bid` and `ask`."""


class Stretch(NamedTuple):
    """The columns and the best prices of a stretch of the range, and its tick."""

    rings: list[Columns]
    best: Columns
    grid: PriceGrid


def stretch_of(columns: KeptColumns, grid: PriceGrid, book: Levels) -> Stretch:
    """Return what `columns` have kept, to be joined with what comes before and after."""
    rings = [columns.ring(level, book) for level in range(LEVELS)]
    return Stretch(rings, columns.best_changes(), grid)


@dataclass(frozen=True)
class JoinedColumns:
    """What `HeatColumns` would have kept of all stretches, which follow one another in time.

    The rows of a stretch are those that were chosen at its beginning.
    """

    stretches: Sequence[Stretch]

    def ring(self, level: int, book: Levels) -> Columns:
        """Return the number of the first column of a level, and arrays of all."""
        first, columns = self.stretches[0].rings[level]
        for stretch in self.stretches[1:]:
            first, columns = join_rings((first, columns), stretch.rings[level])
        return first, columns

    def best_changes(self) -> Columns:
        """Return how many changes came before the first one kept, and `time`, `bid` and `ask`."""
        first, columns = self.stretches[0].best
        for stretch in self.stretches[1:]:
            first, columns = join_changes((first, columns), stretch.best)
        return first, columns


def join_rings(before: Columns, after: Columns) -> Columns:
    """Join columns; between the two the last one before stands on, without updates.

    A column of both is that of the later, with the updates of both.
    """
    if not before[1]["updates"] or not after[1]["updates"]:
        return after if after[1]["updates"] else before
    first, early = before
    begin, late = after
    count = len(early["updates"]) // 2
    end = first + count
    if begin < end:
        late = late | {"updates": _with_more(late["updates"], early["updates"][-2:])}
        early = _part(early, 0, begin - first)
        gap = dict.fromkeys(early, b"")
    else:
        gap = {
            name: data * min(begin - end, COLUMNS)
            for name, data in _part(early, count - 1, count).items()
        }
        gap["updates"] = bytes(len(gap["updates"]))
    joined = {name: early[name] + gap[name] + late[name] for name in early}
    total = len(joined["updates"]) // 2
    kept = _part(joined, max(total - COLUMNS, 0), total)
    return begin + len(late["updates"]) // 2 - len(kept["updates"]) // 2, kept


def join_changes(before: Columns, after: Columns) -> Columns:
    """Join changes of the best prices; one that repeats the last one before is none."""
    first, early = before
    skipped, late = after
    count = first + len(early["time"]) // 8 + skipped
    if skipped == 0 and all(early[name][-8:] == late[name][:8] for name in ("bid", "ask")):
        late = _part(late, 1, len(late["time"]) // 8)
    if skipped:
        early = _part(early, 0, 0)
    count += len(late["time"]) // 8
    joined = {name: early[name] + late[name] for name in early}
    total = len(joined["time"]) // 8
    kept = _part(joined, max(total - BEST_CHANGES, 0), total)
    return count - len(kept["time"]) // 8, kept


def _part(columns: dict[str, bytes], start: int, stop: int) -> dict[str, bytes]:
    return {name: data[start * BYTES[name] : stop * BYTES[name]] for name, data in columns.items()}


def _with_more(updates: bytes, more: bytes) -> bytes:
    counts = array("H", updates)
    counts[0] = min(counts[0] + array("H", more)[0], MAX_UPDATES)
    return counts.tobytes()
