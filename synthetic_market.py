"""Make a recording from a seed: a market to try the replay, the tests and the benchmarks on.

The market itself is in `market_model`; here it becomes a file in the input schema, a cached
recording for `--demo`, and a command.
"""

from __future__ import annotations

import math
import os
import re
import secrets
import sqlite3
import sys
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from orderflow.errors import OrderflowError, OutputError
from simulator.market_model import (
    BUSY,
    DEMO,
    DENSITIES,
    GENERATOR_VERSION,
    NORMAL,
    QUIET,
    ROW_SPACING_MS,
    Market,
    MarketDensity,
    RowStream,
)

__all__ = [
    "BUSY",
    "NORMAL",
    "QUIET",
    "MarketDensity",
    "RecordingSummary",
    "demo_recording",
    "write_recording",
]

DEMO_ROWS = 60_000
_DAY_MS = 86_400_000
_BATCH = 2_000
_TABLES = (
    "CREATE TABLE book(id INTEGER PRIMARY KEY, instrument TEXT, bids TEXT, asks TEXT, "
    "timestamp INTEGER)",
    "CREATE TABLE trades(id INTEGER PRIMARY KEY, instrument TEXT, trade_id TEXT, price REAL, "
    "size REAL, side TEXT, timestamp INTEGER)",
)
_INDEXES = (
    "CREATE INDEX book_timestamp ON book(timestamp)",
    "CREATE INDEX trades_timestamp ON trades(timestamp)",
)


@dataclass(frozen=True)
class RecordingSummary:
    """Count what a written recording holds.

    `levels` and `text_bytes` are sums over the `bids` and `asks` of all rows, the snapshot
    included; times are ms UTC.
    """

    path: Path
    instrument: str
    rows: int
    trades: int
    levels: int
    text_bytes: int
    first_ms: int
    last_ms: int

    @property
    def levels_per_row(self) -> float:
        """Return the mean number of levels in a row, both sides together."""
        return self.levels / self.rows

    @property
    def bytes_per_row(self) -> float:
        """Return the mean length of `bids` and `asks` of a row together, in bytes."""
        return self.text_bytes / self.rows


def write_recording(
    path: Path,
    instrument: str,
    start_ms: int,
    end_ms: int,
    *,
    seed: int = 0,
    density: MarketDensity = NORMAL,
    max_rows: int | None = None,
    index: bool = False,
) -> RecordingSummary:
    """Write a recording of `instrument` over [start_ms, end_ms), ms UTC, and count what is in it.

    There are 10 book rows a second, the first at `start_ms`, or where these would exceed
    `max_rows`, just that many over the whole range; trades thin out alike, and the price's
    step from row to row is limited to about 1.5 ticks for each level of a row. `index` adds an
    index on the timestamp to both tables. The same arguments give the same rows and trades. The
    file appears under its name when it is whole, and not before; memory does not grow with the
    range.

    Raises:
        OrderflowError: the range holds no time, or `max_rows` no row.
        OutputError: `path` exists (nothing is replaced), or can't be written.

    """
    if end_ms <= start_ms:
        raise OrderflowError(
            f"The range from {start_ms} to {end_ms} ms is empty: its end must come after its start."
        )
    if max_rows is not None and max_rows < 1:
        raise OrderflowError(f"A recording has at least 1 book row, not {max_rows}: ask for more.")
    spacing = max(ROW_SPACING_MS, (end_ms - start_ms) / (max_rows or math.inf))
    market = Market(instrument, seed, density, spacing, start_ms)
    rows = math.ceil((end_ms - start_ms) / spacing)
    try:
        if path.exists():
            raise OutputError(f"{path} exists already: name another file, or delete it first.")
        last_ms = _write(path, market.stream(rows, end_ms), index)
    except (OSError, sqlite3.Error) as error:
        raise OutputError(
            f"{path} can't be written: {error}. Look at its directory and the space left there."
        ) from error
    return RecordingSummary(
        path, instrument, rows, market.trades, market.levels, market.text_bytes, start_ms, last_ms
    )


def _write(path: Path, stream: RowStream, index: bool) -> int:
    """Write the rows to a temporary file, rename it to `path`, and return the last row's time."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    # O_EXCL follows no link; sqlite3 takes the empty file for a new database
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    try:
        _remove_leftovers(path, os.fstat(descriptor).st_mtime)
        with closing(sqlite3.connect(temporary, isolation_level=None)) as connection:
            last_ms = _insert(connection, stream, index)
        os.fsync(descriptor)  # or a power cut could leave the name without the content
        os.close(descriptor)
        descriptor = -1  # closed before the rename, which Windows refuses on open files
        temporary.replace(path)
    finally:  # after Ctrl+C as well
        if descriptor >= 0:
            os.close(descriptor)
        temporary.unlink(missing_ok=True)
    return last_ms


def _remove_leftovers(path: Path, now: float) -> None:
    """Remove what runs killed over a day ago left of the same file; a live run is far shorter."""
    for leftover in path.parent.glob(".*.tmp"):
        if not leftover.name.startswith(f".{path.name}."):
            continue
        with suppress(OSError):  # another run may be removing it too
            if leftover.stat().st_mtime < now - _DAY_MS / 1000:
                leftover.unlink()


def _insert(connection: sqlite3.Connection, stream: RowStream, index: bool) -> int:
    last_ms = 0
    # nobody sees the file before it is whole, so it needs no journal
    for statement in ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "BEGIN", *_TABLES):
        connection.execute(statement)
    while batch := list(islice(stream, _BATCH)):
        connection.executemany(
            "INSERT INTO book(instrument, bids, asks, timestamp) VALUES (?, ?, ?, ?)",
            (row for row, _ in batch),
        )
        connection.executemany(
            "INSERT INTO trades(instrument, trade_id, price, size, side, timestamp) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (trade for _, trades in batch for trade in trades),
        )
        last_ms = batch[-1][0][3]
    for statement in (*(_INDEXES if index else ()), "COMMIT"):
        connection.execute(statement)
    return last_ms


def demo_recording(
    instrument: str, start_ms: int, end_ms: int, *, cache_dir: Path | None = None
) -> Path:
    """Return the recording that `--demo` replays, made now or kept from an earlier call.

    It covers [start_ms, end_ms), ms UTC, in at most `DEMO_ROWS` book rows, whatever the range.
    The file lies in a directory of its own under `orderflow-replay/demo` of `cache_dir`, else of
    `ORDERFLOW_CACHE_DIR`, else of the user's cache directory, and is named INSTRUMENT_DATE.db:
    a search for the instrument in its directory finds it and nothing else.

    Raises:
        OrderflowError: the instrument has characters other than letters, digits, `-`, `_`
            and `.`, or the range holds no time.
        OutputError: the cache directory can't be written.

    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", instrument):
        raise OrderflowError(
            f"{instrument!r} is no instrument: only letters, digits, '-', '_' and '.' may stand "
            "in it. Write it as the exchange does, for example BTC-USDT."
        )
    identity = sha256(f"{instrument}|{start_ms}|{end_ms}".encode()).hexdigest()
    root = (cache_dir or _user_cache_dir()) / "orderflow-replay" / "demo"
    day = datetime.fromtimestamp(start_ms // 1000, UTC).date().isoformat()
    path = root / f"v{GENERATOR_VERSION}-{identity[:16]}" / f"{instrument}_{day}.db"
    seed = int(identity[:8], 16)
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_recording(
                path, instrument, start_ms, end_ms, seed=seed, density=DEMO, max_rows=DEMO_ROWS
            )
    except OSError as error:
        raise OutputError(
            f"The cache directory {path.parent} can't be made: {error}. Name another in "
            "ORDERFLOW_CACHE_DIR."
        ) from error
    except OutputError:
        if not path.exists():  # else another process has just made the same file
            raise
    return path


def _user_cache_dir() -> Path:
    named = os.environ.get("ORDERFLOW_CACHE_DIR")
    if named is None and sys.platform == "win32":
        named = os.environ.get("LOCALAPPDATA")
    elif named is None and sys.platform != "darwin":
        named = os.environ.get("XDG_CACHE_HOME")
    if named:
        return Path(named)
    try:
        return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    except RuntimeError as error:
        raise OutputError(
            "There is no home directory to keep the demo in: name a directory in "
            "ORDERFLOW_CACHE_DIR."
        ) from error


def _density(name: str) -> str:
    if name not in DENSITIES:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(DENSITIES)}.")
    return name


_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]


def main(
    out: Annotated[Path, typer.Argument(help="The file to write; it must not exist yet.")],
    *,
    instrument: Annotated[
        str, typer.Option(help="Names the rows and sets the price.")
    ] = "BTC-USDT",
    start: Annotated[
        datetime, typer.Option(formats=_FORMATS, help="Time of the first row, UTC.")
    ] = datetime(2025, 6, 9),
    end: Annotated[
        datetime | None, typer.Option(formats=_FORMATS, help="End of the range, UTC.")
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(min=1, help="Book rows: without --end 10 a second, with it at most."),
    ] = None,
    density: Annotated[str, typer.Option(callback=_density, help=" | ".join(DENSITIES))] = "normal",
    seed: Annotated[int, typer.Option(help="The same seed gives the same market.")] = 0,
    index: Annotated[bool, typer.Option("--index", help="Index both tables by time.")] = False,
) -> None:
    """Write a recording of a made-up market, an hour if neither --rows nor --end is given."""
    start_ms = int(start.replace(tzinfo=UTC).timestamp() * 1000)
    end_ms = start_ms + int((rows or 36_000) * ROW_SPACING_MS)
    if end is not None:
        end_ms = int(end.replace(tzinfo=UTC).timestamp() * 1000)
    try:
        made = write_recording(
            out, instrument, start_ms, end_ms,
            seed=seed, density=DENSITIES[density], max_rows=rows, index=index,
        )  # fmt: skip
    except OrderflowError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(
        f"{made.path}: {made.rows:,} book rows ({made.levels_per_row:.1f} levels and "
        f"{made.bytes_per_row:,.0f} bytes of text a row), {made.trades:,} trades of {instrument}"
    )


if __name__ == "__main__":
    typer.run(main)
