"""Write recordings by hand, replay them, and see what the run says of them."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recording_factory import DAY, START, settle

from recordings.discovery import find_recording
from replay.run import Replay, ReplayOptions
from replay.run_files import RunFiles

MARKED = "action, seq_id INTEGER, prev_seq_id INTEGER"
Row = tuple[Any, ...]


def levels(*pairs: tuple[float, float]) -> str:
    return json.dumps([[str(price), str(size)] for price, size in pairs])


def snapshot(at: int, *said: Any, depth: int = 20) -> Row:
    """Make a row with the whole book, `at` ms after START."""
    bids = levels(*((999 - i, 5) for i in range(depth)))
    return START + at, bids, levels(*((1001 + i, 5) for i in range(depth))), *said


def update(at: int, *said: Any) -> Row:
    """Make a row with a change of one bid, `at` ms after START."""
    return START + at, levels((999, at // 100 % 5 + 1)), "[]", *said


def updates(times: Iterable[int], *said: Any) -> list[Row]:
    return [update(at, *said) for at in times]


def trade(at: int, number: int = 0) -> Row:
    return START + at, f"t{number}", 1000.0, 1.0, "buy"


def write(
    path: Path,
    book: Sequence[Row] | None,
    trades: Sequence[Row] | None = None,
    *,
    more: str = "",
    index: bool = False,
) -> Path:
    """Write rows of `timestamp, bids, asks` and the columns of `more`; a trade by default."""
    trades = [trade(1)] if trades is None else trades
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, columns, rows in (
            ("book", f"timestamp, bids, asks{more and ', ' + more}", book),
            ("trades", "timestamp, trade_id, price, size, side", trades),
        ):
            connection.execute(f"CREATE TABLE {table}(id INTEGER PRIMARY KEY, {columns})")
            names = ", ".join(column.split()[0] for column in columns.split(", "))
            marks = ", ".join("?" * len(columns.split(", ")))
            connection.executemany(f"INSERT INTO {table}({names}) VALUES({marks})", rows or [])
            if index:
                connection.execute(f"CREATE INDEX {table}_by_time ON {table}(timestamp)")
    settle(path)
    return path


def write_days(directory: Path, *days: Sequence[Row], more: str = "", index: bool = False) -> Path:
    """Write a file a day from START on, each with a trade in its first second."""
    directory.mkdir(exist_ok=True)
    for number, rows in enumerate(days):
        path = directory / f"BTC-USDT-25-06-{9 + number:02}.db"
        write(path, rows, [trade(number * DAY + 1, number)], more=more, index=index)
    return directory


@dataclass(frozen=True)
class Said:
    """What a run wrote: `counts` without zeros, spans as `(kind, start, end, count)` from START."""

    files: dict[str, Any]

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.files["status_data.json"]
        return status

    @property
    def counts(self) -> dict[str, int]:
        return {kind: count for kind, count in self.status["counts"].items() if count}

    @property
    def reliable(self) -> bool:
        return bool(self.status["reliable"])

    @property
    def spans(self) -> list[tuple[str, int | None, int | None, int]]:
        return [
            (i["kind"], _since_start(i["start"]), _since_start(i["end"]), i["count"])
            for i in self.files["data_issues.json"]["issues"]
        ]

    @property
    def depth(self) -> tuple[int, int]:
        shown = self.files["depth_data.json"]
        return len(shown["bids"]), len(shown["asks"])


def _since_start(ms: int | None) -> int | None:
    return None if ms is None else ms - START


def replay(
    path: Path,
    start: int = 0,
    end: int = 10 * DAY,
    kind: type[Replay] = Replay,
    *,
    instrument: str = "BTC-USDT",
    speed: float | None = None,
    window_seconds: int = 60,
) -> Said:
    """Replay `[start, end)`, in ms after START, of a file or a directory."""
    out = path.parent / f"out-{path.stem}-{kind.__name__}-{speed}"
    options = ReplayOptions(
        instrument, START + start, START + end, window_seconds, speed=speed, jobs=2
    )
    found = find_recording(instrument, path, options.start_ms, options.end_ms)
    files = RunFiles(out)
    kind(options, found, files).run()
    files.close()
    written = {path.name: json.loads(path.read_bytes()) for path in out.glob("*.json")}
    for changing in (
        "seconds",
        "rows_per_second",
        "written",
        "pid",
        "progress",
        "speed",
        "control",
        "monitoring",
    ):
        del written["status_data.json"][changing]
    return Said(written)
