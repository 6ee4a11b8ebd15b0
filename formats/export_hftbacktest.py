"""Export hftbacktest's npz: all levels and trades as events, streamed into the archive."""

from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from formats.event_bytes import event_bytes
from formats.exporting import ExportFormat
from formats.hftbacktest_npz import EVENT, FIELDS, TYPES
from formats.market_pass import MarketPass, Passed
from formats.npz_file import NpzWriter
from metrics.level_log import no_rows
from metrics.trade_columns import trade_columns

NAME = "hftbacktest"


class NpzExporter:
    """Write events; the rows of the last millisecond wait, for trades of it come before them."""

    not_carried: tuple[str, ...] = (
        "ids of trades",
        "sequence ids and numbers of orders",
        "the text of numbers (they are doubles)",
        "latency (the local time is the exchange's)",
        "where the book is not reliable",
    )

    def __init__(self, path: Path, note: dict[str, Any]) -> None:
        self.notes: list[str] = []
        self.counts: dict[str, int] = {}
        self._waiting = no_rows()
        self._file = NpzWriter(
            path, "data", list(zip(FIELDS, TYPES, strict=True)), orjson.dumps(note)
        )

    def __enter__(self) -> "NpzExporter":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        self._file.__exit__()

    def add(self, portion: Passed) -> None:
        """Write the events before the last time that there is, and keep the others."""
        rows, trades = self._waiting.followed_by(portion.levels), portion.trades
        ends = [rows.time[-1]] if rows.rows else []
        ends += [trades[-1][5]] if trades else []
        if ends:
            ready, self._waiting = rows.parted(max(ends))
            self._file.write(event_bytes(ready, trade_columns(trades)))

    def finish(self, passed: MarketPass) -> None:
        """Write the rows that waited, and end the archive."""
        self._file.write(event_bytes(self._waiting, trade_columns([])))
        self._file.close(EVENT.size)
        self.counts["events"] = self._file.bytes // EVENT.size
        if passed.opening_levels:
            self.notes.append("the first events are the book at START, made of the rows before it")
        self.notes.append("local time is exchange time: the latency of the feed is 0")


HFTBACKTEST = ExportFormat(NAME, NpzExporter, row_levels=True, suffix=".npz")
