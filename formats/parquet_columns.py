"""Write the columns of a prepared copy: rows, trades, samples and checkpoints, as Parquet.

Files say what they are of, and the lists in which rows were read, in their metadata.
"""

from array import array
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from formats.prepared_reading import METADATA, Levels
from level_parser import parse_levels
from orderflow.errors import RecordingError
from orderflow.events import LostRows
from orderflow.parsed_rows import HEARTBEAT, READ
from recordings.book_decoder import is_heartbeat, marks_of
from recordings.row_order import Row, finer_than_ms, id_of
from recordings.trade_decoder import lowered, to_float, to_text

GROUP_ROWS = 4096
GROUP_LEVELS = 250_000
"""A group of rows is read at once: it ends with the list that fills either."""
SAMPLES_PER_GROUP = 65_536
TRADES_PER_GROUP = 16_384
# Numbers that rise from row to row, and texts that differ, gain nothing by a dictionary.
_RISING = ("timestamp", "id", "rows", "seq_id", "prev_seq_id")
_DIFFERENT = "trade_id"
_INT64 = range(-(2**63), 2**63)


def _field(name: str, kind: pa.DataType, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable)


_TIME = pa.timestamp("ms", tz="UTC")
_DOUBLES = pa.list_(_field("element", pa.float64()))
_BOOK_FIELDS = [
    _field("timestamp", _TIME),
    _field("id", pa.int64()),
    _field("nanoseconds", pa.int32()),
    _field("bid_levels", pa.int32()),
    _field("price", _DOUBLES),
    _field("size", _DOUBLES),
    _field("rejected", pa.int32()),
    _field("state", pa.uint8()),
    _field("action", pa.uint8()),
    _field("seq_id", pa.int64(), nullable=True),
    _field("prev_seq_id", pa.int64(), nullable=True),
]
_TRADE_FIELDS = [
    _field("timestamp", _TIME),
    _field("id", pa.int64()),
    _field("nanoseconds", pa.int32()),
    _field("trade_id", pa.string(), nullable=True),
    _field("price", pa.float64()),
    _field("size", pa.float64()),
    _field("side", pa.dictionary(pa.int32(), pa.string()), nullable=True),
]
_SAMPLE_FIELDS = [
    _field("timestamp", _TIME),
    *(
        _field(name, pa.float64())
        for name in (
            *("bid_sum", "ask_sum", "best_bid", "best_ask"),
            *("best_bid_size", "best_ask_size"),
        )
    ),
]
_CHECKPOINT_FIELDS = [
    _field("timestamp", _TIME),
    _field("rows", pa.int64()),
    _field("bid_levels", pa.int32()),
    _field("price", _DOUBLES),
    _field("size", _DOUBLES),
]


def plain_column(kind: pa.DataType, values: "array[Any]") -> pa.Array:
    """Return the numbers of an array as a column, without a copy."""
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


class _ParquetFile:
    """A file of columns that is written group by group; `about` goes into its metadata."""

    def __init__(self, path: Path, fields: list[pa.Field], about: dict[str, Any]) -> None:
        self.about = about
        self._schema = pa.schema(fields)
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        rising = [field.name for field in fields if field.name in _RISING]
        self._writer = pq.ParquetWriter(
            path,
            self._schema,
            compression="zstd",
            use_dictionary=[
                f"{field.name}.list.element" if field.type == _DOUBLES else field.name
                for field in fields
                if field.name not in (*_RISING, _DIFFERENT)
            ],
            column_encoding=dict.fromkeys(rising, "DELTA_BINARY_PACKED"),
        )

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if kind is None:
            self._write_waiting()
            self._writer.add_key_value_metadata({METADATA: orjson.dumps(self.about)})
        self._writer.close()

    def _put(self, columns: Sequence[pa.Array], *, is_full: bool = False) -> None:
        batch = pa.RecordBatch.from_arrays(list(columns), schema=self._schema)
        self._waiting.append(batch)
        self._waiting_rows += batch.num_rows
        if is_full or self._waiting_rows >= SAMPLES_PER_GROUP:
            self._write_waiting()

    def _write_waiting(self) -> None:
        if self._waiting_rows:
            table = pa.Table.from_batches(self._waiting, self._schema)
            self._writer.write_table(table, row_group_size=table.num_rows)
        self._waiting, self._waiting_rows = [], 0


class _RowFile(_ParquetFile):
    """A file of rows as they were read: in lists, with what was lost before each."""

    def __init__(self, path: Path, fields: list[pa.Field], about: dict[str, Any]) -> None:
        super().__init__(path, fields, about)
        self.rows = 0
        self.places_lost = 0
        self.first_ms: int | None = None
        self.last_ms: int | None = None
        self._lists: list[Any] = []
        self._read = {field.name for field in fields} - {"nanoseconds", "action", "seq_id"}
        self._read -= {"prev_seq_id"}
        about |= {"lists": self._lists}

    def _note(self, rows: Sequence[Row], lost: Sequence[LostRows]) -> None:
        self.rows += len(rows)
        self.places_lost += len(lost)
        said = [[one.kind, one.timestamp, one.count] for one in lost]
        self._lists.append([len(rows), said] if lost else len(rows))
        if rows:
            self.first_ms = rows[0][0] if self.first_ms is None else self.first_ms
            self.last_ms = rows[-1][0]

    def end(self, lost: Sequence[LostRows]) -> None:
        """Note what was lost after the last row."""
        if lost:
            self._note([], lost)
        self.about["read"] = sorted(self._read)

    def _keys(self, rows: Sequence[Row]) -> list[pa.Array]:
        """Return the columns of time, id, and the part of the time finer than 1 ms."""
        finer = [finer_than_ms(row[1]) for row in rows]
        if any(finer):
            self._read.add("nanoseconds")
        return [
            plain_column(_TIME, array("q", [row[0] for row in rows])),
            plain_column(pa.int64(), array("q", [id_of(row[1]) for row in rows])),
            plain_column(pa.int32(), array("i", finer)),
        ]


class BookFile(_RowFile):
    """The file of book rows, with their levels as numbers."""

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        super().__init__(path, _BOOK_FIELDS, about)
        self._waiting_levels = 0

    def add(self, rows: Sequence[Row], lost: Sequence[LostRows]) -> None:
        """Add a list of rows as read, and what was lost since the one before."""
        self._note(rows, lost)
        counts, bid_levels, prices, sizes, rejected, states = parse_levels(rows)
        for place, count in enumerate(counts):
            if not count and states[place] == READ and is_heartbeat(rows[place]):
                states[place] = HEARTBEAT
        starts = plain_column(pa.int32(), array("i", accumulate(counts, initial=0)))
        self._waiting_levels += len(prices)
        is_full = (
            self._waiting_rows + len(rows) >= GROUP_ROWS or self._waiting_levels >= GROUP_LEVELS
        )
        self._put(
            [
                *self._keys(rows),
                plain_column(pa.int32(), bid_levels),
                _lists_of(starts, prices),
                _lists_of(starts, sizes),
                plain_column(pa.int32(), rejected),
                plain_column(pa.uint8(), states),
                *self._marks(rows),
            ],
            is_full=is_full,
        )
        if is_full:
            self._waiting_levels = 0

    def _marks(self, rows: Sequence[Row]) -> list[pa.Array]:
        if len(rows[0]) == 4:
            nothing = array("q", bytes(8 * len(rows)))
            actions = plain_column(pa.uint8(), array("B", bytes(len(rows))))
            return [actions, *(plain_column(pa.int64(), nothing) for _ in range(2))]
        self._read |= {"action", "seq_id", "prev_seq_id"}
        marks = marks_of(rows)
        for seq_id in (*marks.seq_ids, *marks.prev_seq_ids):
            if seq_id is not None and seq_id not in _INT64:
                name = self.about["source"]["path"]
                msg = f"{name}: a seq_id has more than 64 bits ({seq_id}); replay it as it is"
                raise RecordingError(msg, name)
        return [
            plain_column(pa.uint8(), array("B", marks.actions)),
            pa.array(marks.seq_ids, pa.int64()),
            pa.array(marks.prev_seq_ids, pa.int64()),
        ]


def _lists_of(starts: pa.Array, values: "array[float]") -> pa.Array:
    return pa.ListArray.from_arrays(starts, plain_column(pa.float64(), values), type=_DOUBLES)


class TradeFile(_RowFile):
    """The file of trades, usable or not, prices and sizes as numbers."""

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        super().__init__(path, _TRADE_FIELDS, about)

    def add(self, rows: Sequence[Row], lost: Sequence[LostRows]) -> None:
        """Add a list of rows as read, and what was lost since the one before."""
        self._note(rows, lost)
        _, _, ids, prices, sizes, sides = zip(*rows, strict=True)
        self._put(
            [
                *self._keys(rows),
                pa.array(list(map(to_text, ids)), pa.string()),
                plain_column(pa.float64(), array("d", map(to_float, prices))),
                plain_column(pa.float64(), array("d", map(to_float, sizes))),
                pa.array(list(map(lowered, sides)), pa.string()).dictionary_encode(),
            ],
            is_full=self._waiting_rows + len(rows) >= TRADES_PER_GROUP,
        )


class SampleFile(_ParquetFile):
    """The file of samples: the sums of the best sizes and the best prices after each row."""

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        super().__init__(path, _SAMPLE_FIELDS, about)

    def add(self, columns: "Sequence[array[float]]") -> None:
        """Add what a `RowRecorder` has recorded: time, best bid and ask with sizes, sums."""
        if not columns[0]:
            return
        times, bids, bid_sizes, asks, ask_sizes, bid_sums, ask_sums = columns
        ordered = (bid_sums, ask_sums, bids, asks, bid_sizes, ask_sizes)
        self._put(
            [
                plain_column(_TIME, array("q", map(int, times))),
                *(plain_column(pa.float64(), column) for column in ordered),
            ]
        )


class CheckpointFile(_ParquetFile):
    """The file of checkpoints: the whole book, best levels first, after so many rows."""

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        super().__init__(path, _CHECKPOINT_FIELDS, about)

    def add(self, ms: int, rows: int, levels: Levels) -> None:
        """Add the book after so many rows, the last of them at `ms`."""
        bids, asks = levels
        starts = plain_column(pa.int32(), array("i", [0, len(bids) + len(asks)]))
        self._put(
            [
                plain_column(_TIME, array("q", [ms])),
                plain_column(pa.int64(), array("q", [rows])),
                plain_column(pa.int32(), array("i", [len(bids)])),
                _lists_of(starts, array("d", [price for price, _ in (*bids, *asks)])),
                _lists_of(starts, array("d", [size for _, size in (*bids, *asks)])),
            ],
            is_full=True,
        )
