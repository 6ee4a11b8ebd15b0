"""polars and DuckDB read the tables, from files and from frames; spoilt tables are told apart.

Run with `uv run --group oracle pytest -m "not slow" tests/formats/test_tables_oracle.py`.
"""

from pathlib import Path
from typing import Any

import pytest
from exports import START, exported, recording_of
from recorded_market import replayed_trades

duckdb = pytest.importorskip("duckdb", reason="the group oracle is not installed")
polars = pytest.importorskip("polars", reason="the group oracle is not installed")
pytestmark = [pytest.mark.thorough, pytest.mark.filterwarnings("ignore")]

from formats.frames import Frames  # noqa: E402 (it imports pyarrow)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = recording_of(tmp_path_factory.mktemp("recorded"), rows=900)
    exported("parquet", folder, folder / "tables")
    return folder


def check(trades: Any, bars: Any, folder: Path) -> None:
    """Check that trades, as polars has them, are ours, and that the bars are made of them."""
    found = trades.select(
        polars.col("timestamp").dt.epoch("ms"), "price", "size", "side", "trade_id"
    ).rows()
    assert found == replayed_trades(folder / "BTC-USDT.db", "BTC-USDT")
    made = (
        trades.group_by(polars.col("timestamp").dt.truncate("1m"), maintain_order=True)
        .agg(
            open=polars.col("price").first(), high=polars.col("price").max(),
            low=polars.col("price").min(), close=polars.col("price").last(),
            volume=polars.col("size").sum(),
        )
    )  # fmt: skip
    assert made.columns == bars.columns
    assert made["timestamp"].to_list() == bars["timestamp"].to_list()
    for name in made.columns[1:]:
        assert made[name].to_list() == pytest.approx(bars[name].to_list(), rel=1e-12)


def test_polars_reads_the_files(folder: Path) -> None:
    tables = folder / "tables"
    trades = polars.read_parquet(tables / "trades.parquet")
    check(trades, polars.read_parquet(tables / "bars.parquet"), folder)
    with pytest.raises(AssertionError):
        check(trades.slice(1), polars.read_parquet(tables / "bars.parquet"), folder)


def test_polars_takes_the_frames(folder: Path) -> None:
    frames = Frames(folder / "BTC-USDT.db", "BTC-USDT")
    check(polars.DataFrame(frames.trades()), polars.DataFrame(frames.bars()), folder)


def test_the_views_of_duckdb_tie_the_files_together(folder: Path) -> None:
    with duckdb.connect(str(folder / "tables" / "views.duckdb"), read_only=True) as database:
        minutes = database.sql(
            "SELECT epoch_ms(timestamp), close, volume, obi_close, cvd_close FROM everything"
        ).fetchall()
        (books,) = database.sql("SELECT count(*) FROM books WHERE bid_price_9 > 0").fetchone()
        (same,) = database.sql(
            "SELECT count(*) FROM bars JOIN (SELECT timestamp, sum(buy + sell + unknown) AS traded "
            "FROM footprint GROUP BY timestamp) USING (timestamp) WHERE abs(traded - volume) < 1e-9"
        ).fetchone()
    assert len(minutes) == same == 5
    assert minutes[0][0] == START
    assert all(value is not None for minute in minutes for value in minute)
    assert books == 900


def test_duckdb_and_pandas_take_the_frames(folder: Path) -> None:
    import pyarrow as pa  # noqa: PLC0415

    levels = Frames(folder / "BTC-USDT.db", "BTC-USDT").levels()
    found = duckdb.sql("SELECT side, count(*), sum(size) FROM levels GROUP BY side ORDER BY 1")
    frame = pa.table(levels).to_pandas()
    assert len(frame) > 1000
    for side, count, size in found.fetchall():
        of_side = frame[frame["side"] == side]
        assert (len(of_side), of_side["size"].sum()) == (count, pytest.approx(size))
