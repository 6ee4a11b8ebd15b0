"""Write all bars of a run beside its other files, where those keep the newest alone.

Two files, of bars of trades and of bars of book samples, grow by whole blocks as bars are closed;
the last bars, which fill no block yet, are written at the end. docs/flow-files.md has the format.
"""

import errno
import logging
from collections.abc import Iterable, Sequence

from ohlc_processor import OHLCProcessor
from orderflow.block_file import ENTRIES_PER_BLOCK, pack_block, pack_head
from replay.run_files import RunFiles
from viz_io import BOOK_BARS_FILE, TRADE_BARS_FILE

logger = logging.getLogger(__name__)

TRADE_COLUMNS = (
    *("time", "open", "high", "low", "close", "volume"),
    *("buy", "sell", "other", "min_delta", "max_delta", "vwap"),
    *("cvd_open", "cvd_high", "cvd_low", "cvd_close"),
)
BOOK_COLUMNS = (
    "time",
    *(f"{name}_{part}" for name in ("obi", "tot") for part in ("open", "high", "low", "close")),
)
MOST_WAITING = 256 * ENTRIES_PER_BLOCK
"""Bars kept while nothing can be written; with more, the file ends where it is."""

Bars = Iterable[Sequence[float]]


class BarFiles:
    """The files of all bars of a run, in the directory of `files`; `header` is in both.

    After `begin_anew` the files are begun again with the next bars, as when a run goes back.
    """

    def __init__(self, files: RunFiles, header: dict[str, object]) -> None:
        self._files = files
        self._trades = _BarFile(
            files, TRADE_BARS_FILE.name, {"kind": "trade_bars", **header}, TRADE_COLUMNS
        )
        self._book = _BarFile(
            files, BOOK_BARS_FILE.name, {"kind": "book_bars", **header}, BOOK_COLUMNS
        )

    def begin_anew(self) -> None:
        """Forget all bars: the next ones are the first of the run."""
        self._trades.begin_anew()
        self._book.begin_anew()

    def add_closed(self, processor: OHLCProcessor) -> None:
        """Add the bars that a processor has closed since the last call."""
        self.add(*processor.take_closed())

    def add(self, traded: Bars, sampled: Bars) -> None:
        """Add bars of trades, and of book samples, that have been closed."""
        if traded:
            self._trades.add(traded)
        if sampled:
            self._book.add(sampled)

    def add_sampled(self, bars: Bars) -> None:
        """Add bars of book samples that other processes have closed."""
        self._book.add(bars)

    def finish(self, processor: OHLCProcessor) -> None:
        """Write what is left of a run that has ended."""
        self.add_closed(processor)
        if processor.flow is not None:
            self.write_rest()

    def write_rest(self) -> None:
        """Write what fills no block: no bar follows."""
        are_whole = [file.finish() for file in (self._trades, self._book)]
        if not all(are_whole) and self._files.failure is None:
            self._files.failure = OSError(errno.EIO, "bars are missing from the files of all bars")


class _BarFile:
    def __init__(
        self, files: RunFiles, name: str, header: dict[str, object], columns: Sequence[str]
    ) -> None:
        self._files = files
        self._name = name
        self._head = pack_head(header, columns)
        self.begin_anew()

    def begin_anew(self) -> None:
        self._size = 0
        self._waiting: list[Sequence[float]] = []
        self._given_up = False

    def add(self, bars: Bars) -> None:
        if self._given_up:
            return
        for bar in bars:
            self._waiting.append(bar)
            if len(self._waiting) % ENTRIES_PER_BLOCK == 0:
                self._write()
        if len(self._waiting) > MOST_WAITING:
            logger.error("%s: cannot be written; bars are missing from it", self._name)
            self._given_up = True
            self._waiting.clear()

    def finish(self) -> bool:
        """Write the bars that wait; return whether the file now has all of them."""
        self._write(last=True)
        return not (self._given_up or self._waiting)

    def _write(self, *, last: bool = False) -> None:
        """Append the whole blocks that wait, and what is left too for the `last` time."""
        count = len(self._waiting)
        end = count if last else count - count % ENTRIES_PER_BLOCK
        blocks = b"".join(
            pack_block(self._waiting[start : min(start + ENTRIES_PER_BLOCK, end)])
            for start in range(0, end, ENTRIES_PER_BLOCK)
        )
        if self._size and not blocks:
            return
        data = blocks if self._size else self._head + blocks
        if self._files.append_flow(self._name, data, self._size):
            self._size += len(data)
            del self._waiting[:end]
