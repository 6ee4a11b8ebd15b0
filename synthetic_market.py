"""Make a recording from a seed: a market to try the replay, the tests and the benchmarks on.

The market itself is in `simulator.market_model`; here it becomes a file in the input schema, a
cached recording for `--demo`, and a command. See docs/synthetic-market.md.
"""

from orderflow import startup

if __name__ == "__main__":
    startup.begin()

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from orderflow import command
from orderflow.cache import DirectoryCache, user_cache_dir
from orderflow.errors import OutputError, UsageError
from orderflow.instruments import check_instrument
from recordings.writer import RecordingWriter
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
MAX_DEMOS = 20
MAX_DEMO_BYTES = 1_000_000_000
"""Demos kept for the next time: the least recently used is removed first."""

_BATCH = 2_000
_DEMO_DIRECTORY = r"v\d+-[0-9a-f]{16}"
# The recording, a leftover of one that was being made, and what SQLite puts beside a file.
_DEMO_FILE = r"\.?[A-Za-z0-9._-]+_\d{4}-\d{2}-\d{2}\.db(-wal|-shm|-journal|\.[0-9a-f]{12}\.tmp)?"

app = command.new_app()


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

    There are 10 book rows a second, the first at `start_ms`; where these would exceed `max_rows`,
    just that many over the whole range. Trades thin out likewise, and the price's step from row to
    row is limited to about 1.5 ticks for each level of a row. `index` adds an
    index on the timestamp to both tables. The same arguments give the same rows and trades. The
    file appears under its name when it is whole, and not before; memory does not grow with the
    range.

    Raises:
        UsageError: `instrument` can't be a name, the range holds no time, or `max_rows` no row.
        OutputError: `path` exists (nothing is replaced), or can't be written.

    """
    check_instrument(instrument)
    if end_ms <= start_ms:
        msg = (
            f"The range from {start_ms} to {end_ms} ms is empty: its end must come after its start."
        )
        raise UsageError(msg, "end_ms", end_ms)
    if max_rows is not None and max_rows < 1:
        msg = f"A recording has at least 1 book row, not {max_rows}: ask for more."
        raise UsageError(msg, "max_rows", max_rows)
    spacing = max(ROW_SPACING_MS, (end_ms - start_ms) / (max_rows or math.inf))
    market = Market(instrument, seed, density, spacing, start_ms)
    rows = math.ceil((end_ms - start_ms) / spacing)
    stream, last_ms = market.stream(rows, end_ms), start_ms
    with RecordingWriter(path, index=index) as writer:
        while batch := list(islice(stream, _BATCH)):
            writer.write_book(row for row, _ in batch)
            writer.write_trades(trade for _, trades in batch for trade in trades)
            last_ms = batch[-1][0][3]
    return RecordingSummary(
        path, instrument, rows, market.trades, market.levels, market.text_bytes, start_ms, last_ms
    )


def demo_recording(
    instrument: str, start_ms: int, end_ms: int, *, cache_dir: Path | None = None
) -> Path:
    """Return the recording that `--demo` replays, made now or kept from an earlier call.

    It covers [start_ms, end_ms), ms UTC, in at most `DEMO_ROWS` book rows, whatever the range.
    The file lies in a directory of its own under `orderflow-replay/demo` of `cache_dir`, else of
    `ORDERFLOW_CACHE_DIR`, else of the user's cache directory, and is named INSTRUMENT_DATE.db:
    a search for the instrument in its directory finds it and nothing else. It stays there while
    this process lives; later it makes room for others, see `MAX_DEMOS`.

    Raises:
        UsageError: `instrument` can't be a name, or the range holds no time.
        OutputError: the cache directory can't be written.

    """
    check_instrument(instrument)
    identity = sha256(f"{instrument}|{start_ms}|{end_ms}".encode()).hexdigest()
    root = (cache_dir or user_cache_dir()) / "orderflow-replay" / "demo"
    cache = DirectoryCache(
        root, _DEMO_DIRECTORY, _DEMO_FILE, max_entries=MAX_DEMOS, max_bytes=MAX_DEMO_BYTES
    )
    day = datetime.fromtimestamp(start_ms // 1000, UTC).date().isoformat()
    try:
        directory = cache.use(f"v{GENERATOR_VERSION}-{identity[:16]}")
        path = directory / f"{instrument}_{day}.db"
        if not path.exists():
            _make_demo(path, instrument, start_ms, end_ms, int(identity[:8], 16))
            cache.trim()
    except OSError as error:
        raise OutputError(
            f"The cache directory {root} can't be used: {error}. Name another in "
            "ORDERFLOW_CACHE_DIR.",
            root,
        ) from error
    return path


def _make_demo(path: Path, instrument: str, start_ms: int, end_ms: int, seed: int) -> None:
    try:
        write_recording(
            path, instrument, start_ms, end_ms, seed=seed, density=DEMO, max_rows=DEMO_ROWS
        )
    except OutputError:
        if not path.exists():  # else another process has just made the same file
            raise


def _density(name: str) -> str:
    if name not in DENSITIES:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(DENSITIES)}.")
    return name


_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]


@app.command()
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
    made = write_recording(
        out, instrument, start_ms, end_ms,
        seed=seed, density=DENSITIES[density], max_rows=rows, index=index,
    )  # fmt: skip
    command.print_result(
        f"{made.path}: {made.rows:,} book rows ({made.levels_per_row:.1f} levels and "
        f"{made.bytes_per_row:,.0f} bytes of text a row), {made.trades:,} trades of {instrument}"
    )


if __name__ == "__main__":
    command.run(app)
