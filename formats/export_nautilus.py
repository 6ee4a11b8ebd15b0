"""Export a catalog of NautilusTrader: deltas, trades and the instrument, in its Arrow schemas.

Its layout and schemas are those of 1.221, of the wheels of high precision (all of Linux and macOS).
https://nautilustrader.io/docs/latest/concepts/data
"""

from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from formats.delta_columns import DECIMALS, WIDTH, delta_columns, fixed_point
from formats.export_parquet import ParquetFile
from formats.export_target import NOTE_NAME
from formats.exporting import ExportFormat
from formats.market_pass import MarketPass, Passed
from formats.nautilus_instrument import instrument_table
from metrics.trade_columns import trade_columns
from orderflow.events import Trade

NAME = "nautilus"
MOST_PRICE, MOST_SIZE = 17_014_118_346_046.0, 34_028_236_692_093.0
"""NautilusTrader's own limits."""
NS_PER_MS = 1_000_000
LONGEST_ID = 36
_NUMBER = pa.binary(WIDTH)


def _schema(*fields: tuple[str, pa.DataType]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields])


DELTAS = _schema(
    ("action", pa.uint8()),
    ("side", pa.uint8()),
    ("price", _NUMBER),
    ("size", _NUMBER),
    ("order_id", pa.uint64()),
    ("flags", pa.uint8()),
    ("sequence", pa.uint64()),
    ("ts_event", pa.uint64()),
    ("ts_init", pa.uint64()),
)
TRADES = _schema(
    ("price", _NUMBER),
    ("size", _NUMBER),
    ("aggressor_side", pa.uint8()),
    ("trade_id", pa.string()),
    ("ts_event", pa.uint64()),
    ("ts_init", pa.uint64()),
)


class _DataFile:
    """One file of a kind of data; it is named by its first and last time when it is closed."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        folder.mkdir(parents=True)
        self._path = folder / "part"
        # Times and numbers repeat, all but the ids of trades.
        repeated = [name for name in schema.names if name != "trade_id"]
        # A schema of pyarrow's own, stored too, would hide the metadata that come at the end.
        self._file = ParquetFile(self._path, schema, use_dictionary=repeated, store_schema=False)
        self._schema = schema
        self._span: tuple[int, int] | None = None
        self.rows = 0

    def write(self, columns: list[pa.Array]) -> None:
        """Append rows, in time order; the last column is their time."""
        batch = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        self._file.write(batch)
        self.rows += batch.num_rows
        first, last = columns[-1][0].as_py(), columns[-1][-1].as_py()
        self._span = self._span[0] if self._span else first, last

    def close(self, metadata: dict[str, str]) -> None:
        """End the file; without a row there is none."""
        self._file.close(metadata)
        if self._span is None:
            self._path.unlink()
            self._path.parent.rmdir()
        else:
            self._path.rename(self._path.with_name(file_name(*self._span)))


class CatalogExporter:
    """Write a catalog, as a folder."""

    not_carried: tuple[str, ...] = (
        "sequence ids (rows are numbered from 1)",
        "numbers of orders",
        "the time of receipt (ts_init is ts_event)",
        "where the book is not reliable",
    )

    def __init__(self, path: Path, note: dict[str, Any]) -> None:
        self.notes: list[str] = []
        self.counts: dict[str, int] = {}
        self._path, self._note = path, note
        self.instrument_id = f"{note['instrument']}.OKX"
        data = path / "data"
        self._deltas = _DataFile(data / "order_book_delta" / self.instrument_id, DELTAS)
        self._trades = _DataFile(data / "trade_tick" / self.instrument_id, TRADES)
        self._decimals = 0, 0
        self._sequence = 1
        self._inexact = self._beyond = self._left_out = 0

    def __enter__(self) -> "CatalogExporter":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        return None

    def add(self, portion: Passed) -> None:
        """Write deltas and trades."""
        rows = portion.levels
        if rows.rows:
            self._add_deltas(portion)
        trades = [trade for trade in portion.trades if is_tradeable(trade)]
        self._left_out += len(portion.trades) - len(trades)
        if trades:
            self._add_trades(trades)

    def _add_deltas(self, portion: Passed) -> None:
        rows = portion.levels
        limits = MOST_PRICE, MOST_SIZE
        columns, self._decimals, inexact, beyond = delta_columns(
            rows, self._decimals, limits, self._sequence
        )
        self._sequence += rows.rows
        self._inexact += inexact
        self._beyond += beyond
        count = len(columns[0])
        if not count:
            return
        action, side, flags, price, size, sequence, times = columns
        stamps = _column(pa.uint64(), count, times)
        arrays = [
            _column(pa.uint8(), count, action),
            _column(pa.uint8(), count, side),
            _column(_NUMBER, count, price),
            _column(_NUMBER, count, size),
            _column(pa.uint64(), count, bytes(8 * count)),
            _column(pa.uint8(), count, flags),
            _column(pa.uint64(), count, sequence),
            stamps,
            stamps,
        ]
        self._deltas.write(arrays)

    def _add_trades(self, trades: list[Trade]) -> None:
        count = len(trades)
        times, prices, sizes, sides = trade_columns(trades)
        price, price_decimals, inexact_prices = fixed_point(prices, self._decimals[0])
        size, size_decimals, inexact_sizes = fixed_point(sizes, self._decimals[1])
        self._decimals = price_decimals, size_decimals
        self._inexact += inexact_prices + inexact_sizes
        stamps = pa.array([int(ms) * NS_PER_MS for ms in times], pa.uint64())
        arrays = [
            _column(_NUMBER, count, price),
            _column(_NUMBER, count, size),
            _column(pa.uint8(), count, sides.tobytes()),
            pa.array([trade_id(trade) for trade in trades], pa.string()),
            stamps,
            stamps,
        ]
        self._trades.write(arrays)

    def finish(self, passed: MarketPass) -> None:
        """Close the files with the precision found, and write the instrument."""
        price_decimals, size_decimals = self._decimals
        metadata = {
            "instrument_id": self.instrument_id,
            "price_precision": str(price_decimals),
            "size_precision": str(size_decimals),
        }
        self.counts = {"deltas": self._deltas.rows, "trades": self._trades.rows}
        for file in (self._deltas, self._trades):
            file.close(metadata)
        first = passed.processor.first_event or 0
        opening = passed.options.start_ms if passed.opening_levels else None
        self._write_instrument(first if opening is None else opening)
        (self._path / NOTE_NAME).write_bytes(orjson.dumps(self._note))
        self._tell(passed)

    def _write_instrument(self, first_ms: int) -> None:
        found = instrument_table(str(self._note["instrument"]), self._decimals, first_ms)
        if found is None:
            self.notes.append(
                f"no instrument is written: {self._note['instrument']} does not say what it is "
                "(BASE-QUOTE, BASE-QUOTE-SWAP or BASE-QUOTE-YYMMDD); add one with write_data"
            )
            return
        kind, table = found
        folder = self._path / "data" / kind / self.instrument_id
        folder.mkdir(parents=True)
        stamp = first_ms * NS_PER_MS
        pq.write_table(table, folder / file_name(stamp, stamp))
        self.notes.append(
            "the instrument has steps of price and size as fine as found, no fees and no margins; "
            "sizes are as recorded, contracts for derivatives, with a multiplier of 1"
        )

    def _tell(self, passed: MarketPass) -> None:
        price_decimals, size_decimals = self._decimals
        self.notes.append(
            f"high precision (16 bytes), {price_decimals} decimals of prices, {size_decimals} of "
            "sizes"
        )
        if passed.opening_levels:
            self.notes.append("the first deltas are the book at START, made of the rows before it")
        for count, what in (
            (self._inexact, f"numbers of more than {DECIMALS} decimals, rounded"),
            (self._beyond, "levels beyond what a price or size may be, left out"),
            (self._left_out, "trades of size 0 or beyond what a price or size may be, left out"),
        ):
            if count:
                self.notes.append(f"{count:,} {what}")


def is_tradeable(trade: Trade) -> bool:
    """Return whether a trade is one to NautilusTrader: its size is above 0, nothing beyond."""
    return trade[2] <= MOST_PRICE and 0.0 < trade[3] <= MOST_SIZE


def trade_id(trade: Trade) -> str:
    """Return the id of a trade, that of its row where it has none, at most as long as may be."""
    return (trade[1] or str(trade[0]))[:LONGEST_ID]


def _column(kind: pa.DataType, count: int, values: bytes) -> pa.Array:
    return pa.Array.from_buffers(kind, count, [None, pa.py_buffer(values)])


def file_name(first_ns: int, last_ns: int) -> str:
    """Return the name that NautilusTrader gives a file of data between two times."""
    return f"{_stamp(first_ns)}_{_stamp(last_ns)}.parquet"


def _stamp(ns: int) -> str:
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H-%M-%S}-{rest:09}Z"


NAUTILUS = ExportFormat(NAME, CatalogExporter, row_levels=True)
