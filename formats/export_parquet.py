"""Export tables as Parquet or CSV, a file of each, with views that tie them together."""

from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from formats.export_tables import (
    BarsTable,
    BooksTable,
    FootprintTable,
    MetricsTable,
    Table,
    TradesTable,
)
from formats.export_target import NOTE_NAME
from formats.exporting import ExportFormat
from formats.market_pass import MarketPass, Passed
from orderflow.errors import OutputError

PARQUET, CSV = "parquet", "csv"
VIEWS, DATABASE = "views.sql", "views.duckdb"
ROW_GROUP = 65_536
ROW_GROUP_BYTES = 32 << 20
"""In memory, of the rows that wait for their group to be full."""


class TablesExporter:
    """Write a folder of tables."""

    not_carried: tuple[str, ...] = (
        "levels beyond the best ones asked for",
        "the text of numbers (they are doubles)",
        "sequence ids and numbers of orders",
        "where the book is not reliable",
    )

    def __init__(
        self, path: Path, note: dict[str, Any], *, kind: str, window_seconds: int, levels: int
    ) -> None:
        self.notes: list[str] = []
        self.counts: dict[str, int] = {}
        self._path, self._note, self._kind = path, note, kind
        tables: list[Table] = [
            BarsTable(),
            MetricsTable(),
            TradesTable(),
            FootprintTable(window_seconds),
            BooksTable(levels),
        ]
        path.mkdir()
        self._open = ExitStack()
        self._tables = [(table, self._writer(table)) for table in tables]

    def _writer(self, table: Table) -> "ParquetFile | CsvFile":
        path = self._path / f"{table.name}.{self._kind}"
        file = (ParquetFile if self._kind == PARQUET else CsvFile)(path, table.schema)
        self._open.callback(file.close)
        return file

    def __enter__(self) -> "TablesExporter":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        self._open.close()

    def add(self, portion: Passed) -> None:
        """Write what a portion adds to each table."""
        for table, file in self._tables:
            self._write(table, file, table.add(portion))

    def finish(self, passed: MarketPass) -> None:
        """Write the rest, close the files, and write the views."""
        for table, file in self._tables:
            self._write(table, file, table.finish(passed))
            self.counts.setdefault(table.name, 0)
        self._open.close()
        (self._path / NOTE_NAME).write_bytes(orjson.dumps(self._note))
        if self._kind == PARQUET:
            (self._path / VIEWS).write_text("".join(f"{view};\n" for view in views("")))
            self.notes.append(
                f"in the folder, `duckdb -init {VIEWS}` has the tables as views, and `everything`"
            )
        if not passed.processor.metrics.samples.bars():
            self.notes.append("no book row left both sides filled, so OBI and TOT are null")

    def _write(
        self, table: Table, file: "ParquetFile | CsvFile", batches: Iterable[pa.RecordBatch]
    ) -> None:
        for batch in batches:
            self.counts[table.name] = self.counts.get(table.name, 0) + batch.num_rows
            file.write(batch)


class ParquetFile:
    """A Parquet file that is written in groups of rows that are worth being one."""

    def __init__(self, path: Path, schema: pa.Schema, **options: Any) -> None:
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", **options)
        self._waiting: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        self._waiting.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= ROW_GROUP or self._bytes >= ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting))
        self._waiting, self._rows, self._bytes = [], 0, 0

    def close(self, metadata: dict[str, str] | None = None) -> None:
        """Write what waits, and end the file; harmless when repeated."""
        if self._writer.is_open:
            self._flush()
            self._writer.add_key_value_metadata(metadata or {})
            self._writer.close()


class CsvFile:
    """A CSV file with a header, times as ISO-8601 and numbers in as many digits as it takes."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer = pa_csv.CSVWriter(path, _as_text(schema))

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        self._writer.write_batch(_in_text(batch))

    def close(self) -> None:
        """End the file; harmless when repeated."""
        self._writer.close()


def _as_text(schema: pa.Schema) -> pa.Schema:
    return schema.set(0, pa.field("timestamp", pa.string()))


def _in_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the rows with times as ISO-8601, `2025-06-09T12:00:00.000Z`."""
    times = pc.replace_substring(batch.column(0).cast(pa.string()), " ", "T")
    return pa.RecordBatch.from_arrays([times, *batch.columns[1:]], schema=_as_text(batch.schema))


def views(folder: str) -> list[str]:
    """Return statements that make a view of each file in `folder`, which ends in a slash or is ''.

    `everything` joins the bars of trades and those of metrics.
    """
    quoted = folder.replace("'", "''")
    names = ("bars", "metrics", "trades", "footprint", "books")
    made = [
        f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM read_parquet('{quoted}{name}.parquet')"  # noqa: S608 (quoted)
        for name in names
    ]
    joined = "SELECT * FROM metrics LEFT JOIN bars USING (timestamp) ORDER BY timestamp"
    return [*made, f"CREATE OR REPLACE VIEW everything AS {joined}"]


def write_database(folder: Path) -> str | None:
    """Write the views into `views.duckdb` in an exported folder; return None when that is done.

    Where DuckDB is not installed, return how to have it. Raise `OutputError` where it can't write.
    """
    try:
        import duckdb  # noqa: PLC0415 (not one of the project's libraries)
    except ImportError:
        return (
            f"no {DATABASE}: DuckDB is not installed; `uv run --with duckdb -m formats export …` "
            f"writes it"
        )
    temporary = folder / f".{DATABASE}.tmp"
    try:
        with duckdb.connect(str(temporary)) as database:
            for view in views(f"{folder.absolute()}/"):
                database.execute(view)
            database.execute("CHECKPOINT")  # else closing it would fail, and in silence
        temporary.replace(folder / DATABASE)
    except (OSError, duckdb.Error) as error:
        msg = f"{folder} is exported, but {DATABASE} in it can't be written: {error}"
        raise OutputError(f"{msg}; {VIEWS} has the same views", folder / DATABASE) from error
    finally:
        for left in (temporary, temporary.with_name(f"{temporary.name}.wal")):
            left.unlink(missing_ok=True)
    return None


def tables_format(kind: str, window_seconds: int, levels: int) -> ExportFormat:
    """Return the format of tables in files of a kind, with the best `levels` levels a side."""
    opened = partial(TablesExporter, kind=kind, window_seconds=window_seconds, levels=levels)
    after = write_database if kind == PARQUET else _nothing_more
    return ExportFormat(kind, opened, levels=levels, all_bars=True, after=after)


def _nothing_more(_folder: Path) -> None:
    return None
