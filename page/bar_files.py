"""Read the files of all bars of a run: only what is asked for, however long they are.

The files grow (docs/flow-files.md), so nothing of them is kept: a question looks for its blocks and
reads those. A tail that is torn, as a kill leaves it, is not read; anything else that is wrong is
said once, and what is before and after it is still shown.
"""

from __future__ import annotations

import logging
import math
import os
import struct
from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from orderflow.block_file import (
    BLOCK_HEAD_BYTES,
    ENTRIES_PER_BLOCK,
    block_bytes,
    head_bytes,
    unpack_block,
    unpack_head,
)
from orderflow.errors import ArrayFileError
from page.checks import MAX_NUMBER, MAX_TIMESTAMP_MS, FileContentError
from page.files import OPEN_FLAGS, require_file, signature_of

log = logging.getLogger("page")

MOST_READ = 65_536
"""Most bars read at once: with more asked for, the newest of them."""


@dataclass(frozen=True)
class Found:
    """Hold bars of one file as columns by name, by time.

    `first` and `last` are the times of the whole file's first and last bar, `total` its count.
    `header` is empty where there is no file. `is_cut` says that more was asked for than is read.
    """

    header: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, list[float]] = field(default_factory=dict)
    first: int | None = None
    last: int = -1
    total: int = 0
    is_cut: bool = False

    @property
    def times(self) -> list[float]:
        """Return the starts of the bars' windows, in ms."""
        return self.columns.get("time", [])

    @property
    def is_ended(self) -> bool:
        """Return whether the file's last block is a short one, so that no bar can follow."""
        return self.total % ENTRIES_PER_BLOCK > 0


class BarFile:
    """One file of all bars, whose header names `kind` and at least `columns`.

    In those of `unknown` a bar may have NaN.
    """

    def __init__(
        self, path: Path, kind: str, columns: tuple[str, ...], unknown: Collection[str] = ()
    ) -> None:
        self._path = path
        self._kind = kind
        self._wanted = columns
        self._unknown = unknown
        self._warned: set[str] = set()
        self.refused = 0
        """How many blocks, torn tails among them, were not used."""
        self.problem: str | None = None
        """What is wrong with the file, as far as the last question met it."""

    def signature(self) -> tuple[int, int, int] | None:
        """Return what tells the file from what it was before; None where there is none."""
        try:
            return signature_of(self._path.stat())
        except OSError:
            return None

    def read(self, low: int, high: int) -> Found:
        """Return the bars in `[low, high)`, ms, and those before them that share a block."""
        self.problem = None
        try:
            require_file(self._path.stat())
            with open(os.open(self._path, OPEN_FLAGS), "rb") as file:  # noqa: PTH123 (a descriptor)
                require_file(os.fstat(file.fileno()))
                return self._read(file.fileno(), low, high)
        except FileNotFoundError:
            return Found()
        except OSError as error:
            self._tell(error.strerror or type(error).__name__, "access")
        except (ArrayFileError, FileContentError) as error:
            self._tell(str(error), error.kind)
        return Found()

    def _tell(self, problem: str, kind: str) -> None:
        self.problem = problem
        if kind not in self._warned:
            self._warned.add(kind)
            log.warning("%s: %s; what else it holds is shown", self._path.name, problem)

    def _read(self, file: int, low: int, high: int) -> Found:
        start = head_bytes(os.pread(file, 8, 0))
        header, names = unpack_head(os.pread(file, start, 0))
        missing = {*self._wanted} - {*names}
        if header.get("kind") != self._kind or missing or names[0] != "time":
            raise FileContentError(f"it is no file of {self._kind}, or lacks columns", "kind")
        unknown = {names.index(name) for name in self._unknown}
        blocks = _Blocks(file, start, len(names), unknown)
        found, is_cut = self._blocks_in(blocks, low, high)
        columns = {name: _joined(found, names.index(name)) for name in self._wanted}
        if not all(map(_is_ascending, found)) or not _is_ascending([columns["time"]]):
            raise FileContentError("its bars are not in the order of time", "order")
        total = blocks.total()
        last = blocks.time_of(total - 1)
        return Found(
            header, columns, blocks.time_of(0), -1 if last is None else last, total, is_cut
        )

    def _blocks_in(
        self, blocks: _Blocks, low: int, high: int
    ) -> tuple[list[list[array[float]]], bool]:
        """Return the blocks that reach into a time, by time, and whether there are more."""
        found: list[list[array[float]]] = []
        count = 0
        for number in range(blocks.last_before(high), -1, -1):
            try:
                block = blocks.block(number)
            except ArrayFileError as error:
                self.refused += 1
                if not blocks.is_tail(number):
                    self._tell(str(error), error.kind)
                continue
            if count + len(block[0]) > MOST_READ:
                return found[::-1], block[0][-1] >= low
            found.append(block)
            count += len(block[0])
            if block[0][0] < low:
                break
        return found[::-1], False


class _Blocks:
    """The blocks of an open file; its length is that at the beginning of a question."""

    def __init__(self, file: int, start: int, columns: int, unknown: Collection[int]) -> None:
        self._unknown = unknown
        self._file = file
        self._start = start
        self._columns = columns
        self._length = block_bytes(ENTRIES_PER_BLOCK, columns)
        self._whole, self._rest = divmod(os.fstat(file).st_size - start, self._length)

    def is_tail(self, number: int) -> bool:
        """Return whether it is the last one, which may be torn."""
        return number == self._whole - (self._rest == 0)

    def block(self, number: int) -> list[array[float]]:
        """Return the columns of a block. Raise `ArrayFileError` for one that cannot be used."""
        length = self._rest if number == self._whole else self._length
        block = os.pread(self._file, length, self._start + number * self._length)
        columns = unpack_block(block, self._columns)
        for place, values in enumerate(columns):
            known: Sequence[float] = values
            if math.isnan(sum(values)):
                if place not in self._unknown:
                    raise ArrayFileError("a bar holds what is no number", "number")
                known = [value for value in values if not math.isnan(value)] or [0.0]
            if not (max(known) <= MAX_NUMBER and min(known) >= -MAX_NUMBER):
                raise ArrayFileError(f"a bar holds a number beyond ±{MAX_NUMBER:g}", "number")
        if columns[0][0] < 0 or columns[0][-1] > MAX_TIMESTAMP_MS:
            raise ArrayFileError("a bar's time is none", "number")
        return columns

    def last_before(self, high: int) -> int:
        """Return the number of the last block that begins before a time, -1 where none does."""
        low, end = 0, self._whole + (self._rest > BLOCK_HEAD_BYTES + 8)
        while low < end:
            middle = (low + end) // 2
            if self._time(middle) < high:
                low = middle + 1
            else:
                end = middle
        return low - 1

    def _time(self, number: int, place: int = 0) -> float:
        at = self._start + number * self._length + BLOCK_HEAD_BYTES + 8 * place
        data = os.pread(self._file, 8, at)
        return float(struct.unpack("<d", data)[0]) if len(data) == 8 else math.inf

    def time_of(self, bar: int) -> int | None:
        """Return the time of a bar, by its number in the file; None where there is none."""
        if not 0 <= bar < self.total():
            return None
        number, place = divmod(bar, ENTRIES_PER_BLOCK)
        time = self._time(number, place)
        return int(time) if 0 <= time <= MAX_TIMESTAMP_MS else None

    def total(self) -> int:
        """Return how many bars there are, those of a torn tail left out."""
        rest = max(0, self._rest - BLOCK_HEAD_BYTES)
        whole, left = divmod(rest, 8 * self._columns)
        return self._whole * ENTRIES_PER_BLOCK + (0 if left else whole)


def _joined(blocks: list[list[array[float]]], place: int) -> list[float]:
    return [value for block in blocks for value in block[place]]


def _is_ascending(columns: Any) -> bool:
    times = columns[0]
    return all(before < after for before, after in pairwise(times))
