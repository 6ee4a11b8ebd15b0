"""Read prepared rows and trades, in the lists in which they were read of the recording."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from orderflow.errors import RecordingError
from orderflow.events import LostRows
from orderflow.parsed_rows import Marks, ParsedRows
from recordings.connection import identity, recording_error
from recordings.row_order import Row

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

METADATA = b"orderflow"
"""The key of what a file says of itself, as JSON, beside the keys of others."""
_ID_SPAN = 1 << 64
_MARKED = ("action", "seq_id", "prev_seq_id")

Levels = tuple[list[list[float]], list[list[float]]]
Lists = list[tuple[int, list[LostRows]]]


@dataclass(frozen=True)
class _PreparedFile:
    """One file of a copy, which must still be the one that was checked; see `PreparedRows`."""

    path: Path
    checked: tuple[int, int, int] | None

    @classmethod
    def at(cls, path: Path) -> Any:
        """Return the file at a path, as it is now."""
        return cls(path, identity(path))

    @contextmanager
    def _opened(self) -> Iterator["tuple[pq.ParquetFile, dict[str, Any]]"]:
        import pyarrow as pa  # noqa: PLC0415 (of a group of its own)
        import pyarrow.parquet as pq  # noqa: PLC0415

        try:
            with pa.OSFile(str(self.path)) as raw, pq.ParquetFile(raw, pre_buffer=False) as file:
                if identity(self.path) != self.checked:
                    raise self._error("was replaced since the run began")
                yield file, orjson.loads(file.metadata.metadata[METADATA])
        except (OSError, pa.ArrowException) as error:
            raise self._error(f"cannot be read ({error})") from error

    def _error(self, why: str) -> RecordingError:
        return recording_error(self.path, f"the prepared copy {why}; run again")

    def _groups(self, columns: list[str] | None) -> "Iterator[tuple[pa.Table, Lists]]":
        """Yield the row groups, each with the lists that its rows were read in."""
        with self._opened() as (file, facts):
            lists = iter(facts["lists"])
            names = columns or [name for name in file.schema_arrow.names if name in facts["read"]]
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=names, use_threads=False)
                left, of_group = table.num_rows, []
                while left:
                    count, lost = _list_of(next(lists))
                    of_group.append((count, lost))
                    left -= count
                yield table, of_group
            yield file.schema_arrow.empty_table(), [_list_of(one) for one in lists]


def _list_of(said: Any) -> tuple[int, list[LostRows]]:
    if isinstance(said, int):
        return said, []
    return said[0], [LostRows(*one) for one in said[1]]


@dataclass(frozen=True)
class ParquetBook(_PreparedFile):
    """The book rows of a copy."""

    def batches(self) -> Iterator[tuple[ParsedRows | list[Row], list[LostRows]]]:
        """Yield the rows in their lists, with what was lost: see `PreparedRows`."""
        for table, lists in self._groups(None):
            rows: Any = parsed_rows(table) if table.num_rows else []
            place = 0
            for count, lost in lists:
                yield rows[place : place + count], lost
                place += count


@dataclass(frozen=True)
class ParquetTrades(_PreparedFile):
    """The trades of a copy."""

    def batches(self) -> Iterator[tuple[list[Row], list[LostRows]]]:
        """Yield the rows in their lists, with what was lost: see `PreparedRows`."""
        for table, lists in self._groups(None):
            rows = _trade_rows(table) if table.num_rows else []
            place = 0
            for count, lost in lists:
                yield rows[place : place + count], lost
                place += count


def has_pyarrow() -> bool:
    """Return whether the library that reads and writes copies is there."""
    try:
        return importlib.util.find_spec("pyarrow") is not None
    except ValueError:  # somebody has made sure that it is not
        return False


def last_levels(path: Path) -> Levels:
    """Return the book of the last checkpoint of a copy, bids and asks, best first."""
    import pyarrow.parquet as pq  # noqa: PLC0415 (of a group of its own)

    with pq.ParquetFile(path) as file:
        if not file.num_row_groups:
            return [], []
        last = file.read_row_group(file.num_row_groups - 1).to_pylist()[-1]
    levels = list(map(list, zip(last["price"], last["size"], strict=True)))
    return levels[: last["bid_levels"]], levels[last["bid_levels"] :]


def parsed_rows(table: "pa.Table") -> ParsedRows:
    """Return book rows, at least one, without a copy of their columns."""
    prices, sizes = _whole(table, "price"), _whole(table, "size")
    names = table.column_names
    return ParsedRows(
        numbers_of(table, "timestamp", "q"),
        numbers_of(table, "id", "q"),
        numbers_of(table, "nanoseconds", "i") if "nanoseconds" in names else None,
        _view(prices.offsets, "i"),
        numbers_of(table, "bid_levels", "i"),
        _view(prices.values, "d"),
        _view(sizes.values, "d"),
        numbers_of(table, "rejected", "i"),
        numbers_of(table, "state", "B"),
        _marks(table) if "action" in names else None,
    )


def _marks(table: "pa.Table") -> Marks:
    actions, seq_ids, prev_seq_ids = (_whole(table, name) for name in _MARKED)
    return Marks(_view(actions, "B"), _integers(seq_ids), _integers(prev_seq_ids))


def _integers(column: Any) -> list[int | None]:
    if column.null_count:
        found: list[int | None] = column.to_pylist()
        return found
    return list(_view(column, "q"))


def _whole(table: "pa.Table", name: str) -> Any:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def numbers_of(table: "pa.Table", name: str, form: str) -> memoryview:
    """Return the numbers of a column without nulls, as they lie in memory."""
    return _view(_whole(table, name), form)


def _view(column: Any, form: str) -> memoryview:
    """Return the numbers of a column without nulls, as they lie in memory."""
    values: memoryview = memoryview(column.buffers()[1]).cast("B").cast(form)  # type: ignore[call-overload]
    return values[column.offset : column.offset + len(column)]


def _trade_rows(table: "pa.Table") -> list[Row]:
    orders: list[int] = numbers_of(table, "id", "q").tolist()
    if "nanoseconds" in table.column_names:
        finer = numbers_of(table, "nanoseconds", "i")
        orders = [part * _ID_SPAN + one for part, one in zip(finer, orders, strict=True)]
    return list(
        zip(
            numbers_of(table, "timestamp", "q").tolist(),
            orders,
            _whole(table, "trade_id").to_pylist(),
            numbers_of(table, "price", "d").tolist(),
            numbers_of(table, "size", "d").tolist(),
            _sides(_whole(table, "side")),
            strict=True,
        )
    )


def _sides(column: Any) -> list[bytes | None]:
    """Return sides as bytes, which are what is known fastest."""
    known = [text.encode() for text in column.dictionary.to_pylist()]
    if column.null_count:
        return [None if place is None else known[place] for place in column.indices.to_pylist()]
    return [known[place] for place in _view(column.indices, "i")]
