"""Parquet and CSV: the tables hold what a replay of the same range holds."""

import contextlib
import csv
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from exports import MINUTE, START, exported, recording_of

from db_interpreter import DBInterpreter
from ohlc_processor import OHLCProcessor
from orderbook_manager import OrderbookManager
from orderflow.errors import OutputError, UsageError

pa = pytest.importorskip("pyarrow", reason="the group data is not installed")
pq = pytest.importorskip("pyarrow.parquet")

BEGIN, END = START + MINUTE, START + 4 * MINUTE
TABLES = ("bars", "metrics", "trades", "footprint", "books")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a recording and, in `parquet` and `csv`, exports of its middle."""
    folder = recording_of(tmp_path_factory.mktemp("recorded"), rows=900)
    for name in ("parquet", "csv"):
        exported(name, folder, folder / name, start=BEGIN, end=END, window=30, levels=3)
    return folder


def table(folder: Path, name: str) -> Any:
    return pq.read_table(folder / "parquet" / f"{name}.parquet")


def rows_of(folder: Path, name: str) -> list[tuple[Any, ...]]:
    found = table(folder, name)
    times = found.column("timestamp").cast(pa.int64())
    return [tuple(row.values()) for row in found.set_column(0, "timestamp", times).to_pylist()]


def replayed(folder: Path) -> OHLCProcessor:
    reader = DBInterpreter(folder / "BTC-USDT.db", start_ms=BEGIN, end_ms=END)
    processor = OHLCProcessor(30, 50, start_timestamp=BEGIN)
    for batch, trades in reader.batches():
        processor.process_rows(batch)
        processor.process_trades(trades)
    processor.finalize()
    return processor


def trades_in(folder: Path) -> list[Any]:
    reader = DBInterpreter(folder / "BTC-USDT.db", start_ms=BEGIN, end_ms=END)
    return [trade for _, trades in reader.batches() for trade in trades]


def test_bars_and_metrics_are_those_of_a_replay(folder: Path) -> None:
    processor = replayed(folder)
    assert rows_of(folder, "bars") == [tuple(bar) for bar in processor.bars()]
    assert rows_of(folder, "metrics") == [tuple(bar) for bar in processor.metric_bars()]
    assert len(rows_of(folder, "bars")) == 6


def test_columns_have_the_names_of_the_files_and_times_are_utc(folder: Path) -> None:
    assert table(folder, "bars").column_names == [
        "timestamp", "open", "high", "low", "close", "volume",
    ]  # fmt: skip
    names = table(folder, "metrics").column_names
    assert names[:5] == ["timestamp", "obi_open", "obi_high", "obi_low", "obi_close"]
    assert (names[5], names[12]) == ("tot_open", "cvd_close")
    for name in TABLES:
        assert table(folder, name).schema.field("timestamp").type == pa.timestamp("ms", "UTC")


def test_trades_are_those_of_the_range(folder: Path) -> None:
    wanted = [(ms, i, name, price, size, side) for i, name, price, size, side, ms in
              trades_in(folder)]  # fmt: skip
    assert rows_of(folder, "trades") == wanted
    assert len(wanted) > 50


def test_the_footprint_adds_up_trades_by_bar_price_and_side(folder: Path) -> None:
    cells: dict[tuple[int, float], list[float]] = {}
    for _, _, price, size, side, ms in trades_in(folder):
        cell = cells.setdefault((ms - ms % 30_000, price), [0.0, 0.0, 0.0])
        cell[("buy", "sell", None).index(side)] += size
    assert rows_of(folder, "footprint") == [(*key, *cells[key]) for key in sorted(cells)]


def test_books_are_the_best_levels_after_each_row(folder: Path) -> None:
    book, wanted = OrderbookManager(1), []
    for update, _ in DBInterpreter(folder / "BTC-USDT.db", end_ms=END).stream():
        book.update(update.bids, update.asks, update.snapshot)
        if update.timestamp >= BEGIN and update.bids is not None:
            sides = zip(*book.top_levels(3), strict=True)
            wanted.append((update.timestamp, *(x for pair in sides for side in pair for x in side)))
    assert rows_of(folder, "books") == wanted
    assert table(folder, "books").column_names[1:6] == [
        "bid_price_0", "bid_size_0", "ask_price_0", "ask_size_0", "bid_price_1",
    ]  # fmt: skip


def test_csv_has_the_same_numbers_to_the_last_bit(folder: Path) -> None:
    for name in TABLES:
        with (folder / "csv" / f"{name}.csv").open(newline="") as file:
            header, *found = csv.reader(file)
        rows = rows_of(folder, name)
        assert header == table(folder, name).column_names
        assert found[0][0].endswith("Z")
        for line, row in zip(found, rows, strict=True):
            moment = datetime.fromisoformat(line[0])
            assert round(moment.timestamp() * 1000) == row[0]
            assert moment.tzinfo == UTC
            for text, value in zip(line[1:], row[1:], strict=True):
                assert (text == value) if isinstance(value, str) else (float(text) == value)


def test_what_the_book_does_not_have_is_null(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    from recording_factory import BookRow, TradeRow, write_recording  # noqa: PLC0415

    write_recording(
        folder / "X-USDT.db",
        [BookRow(1, START + 120_000, '[["9","1"]]', '[["10","2"],["11","3"]]')],
        [TradeRow(1, START, None, 9.5, 1.0, "buy"), TradeRow(2, START + 1, None, 9.5, 2.0, "?")],
    )
    exported("parquet", folder, folder / "parquet", instrument="X-USDT", levels=2)
    (book,) = table(folder, "books").to_pylist()
    assert [*book.values()][1:] == [9.0, 1.0, 10.0, 2.0, None, None, 11.0, 3.0]
    first, last = table(folder, "metrics").to_pylist()
    assert first["obi_close"] is None
    assert (first["cvd_close"], last["obi_close"]) == (1.0, (1 - 5) / 6)
    assert rows_of(folder, "footprint") == [(START, 9.5, 1.0, 0.0, 2.0)]
    assert [trade["side"] for trade in table(folder, "trades").to_pylist()] == ["buy", "?"]


def test_the_views_name_every_table(folder: Path) -> None:
    views = (folder / "parquet" / "views.sql").read_text().splitlines()
    assert [view.split()[4] for view in views] == [*TABLES, "everything"]
    assert all(view.startswith("CREATE OR REPLACE VIEW ") for view in views)
    assert not (folder / "csv" / "views.sql").exists()


def test_more_bars_than_there_is_room_for_are_refused(tmp_path: Path) -> None:
    folder = recording_of(tmp_path / "in", rows=10)
    with pytest.raises(UsageError, match="the range has 31,536,002 windows of 1 s, over 1,000,000"):
        exported("csv", folder, tmp_path / "out", end=START + 31_536_000_000, window=1)
    assert not (tmp_path / "out").exists()


class FullDisk:
    """DuckDB where there is no space: what is written is there, and not to be read."""

    Error = RuntimeError

    def connect(self, path: str) -> Any:
        Path(path).write_bytes(b"half")
        Path(f"{path}.wal").write_bytes(b"half")
        return contextlib.nullcontext(self)

    def execute(self, statement: str) -> None:
        if statement == "CHECKPOINT":
            msg = "could not write all bytes"
            raise self.Error(msg)


def test_views_that_could_not_be_written_are_said_and_not_there(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", FullDisk())
    with pytest.raises(OutputError, match=r"is exported, but views\.duckdb in it can't be written"):
        exported("parquet", folder, tmp_path / "out", start=BEGIN, end=END)
    names = [path.name for path in (tmp_path / "out").iterdir()]
    assert "trades.parquet" in names
    assert not any("views.duckdb" in name for name in names)
