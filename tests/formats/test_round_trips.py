"""A recording written in another format and imported again is the recording it was."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import archive_writers as writers
import dbn_writers
import pytest
from real_recordings import needs_recordings
from recorded_market import (
    Market,
    books_of,
    in_contracts,
    made_up,
    real,
    replayed_books,
    replayed_trades,
    trades_of,
)

from formats.importing import ImportOptions, import_file

Writer = Callable[[Path, Market], Path]
BOOKS: dict[str, Writer] = {
    "okx": writers.okx_books,
    "tardis": writers.tardis_books,
    "bybit": writers.bybit_books,
    "binance": writers.binance_books,
    "hftbacktest": writers.hftbacktest_npz,
    "collector": writers.collector,
    "dbn-mbo": dbn_writers.dbn_mbo,
}
BEST_LEVELS: dict[str, tuple[Writer, int]] = {
    "tardis": (writers.tardis_snapshots, 5),
    "lobster": (writers.lobster, 5),
    "dbn-mbp-10": (dbn_writers.dbn_mbp, 10),
}
WHOLE_SIZES = ("dbn", "dbn-mbo", "dbn-mbp-10", "lobster")
TRADES: dict[str, Writer] = {
    "okx": writers.okx_trades,
    "tardis": writers.tardis_trades,
    "bybit": writers.bybit_trades,
    "binance": writers.binance_trades,
    "hftbacktest": writers.hftbacktest_npz,
    "collector": writers.collector,
    "dbn": dbn_writers.dbn_trades,
    "lobster": writers.lobster,
}
WITHOUT_IDS = ("hftbacktest", "dbn")
REAL = [
    ("okx_v5_202205", "BTC-USDT", 98),
    ("okx_v5_202205", "BTC-USD-220527", 60),
    ("binance_usdm_btcusdt_20240718", "BTC-USDT-SWAP", 120),
]


def round_trip(folder: Path, market: Market, writer: Writer) -> Path:
    options = ImportOptions(folder / "in", instrument=market.instrument)
    return import_file(writer(folder, market), options).recording


def carried(name: str, market: Market) -> Market:
    """Return what a format carries of a market."""
    market = has_levels(market)
    return in_contracts(market) if name in WHOLE_SIZES else market


def carried_trades(name: str, market: Market) -> list[tuple[object, ...]]:
    """Return the trades, with the ids that a format has."""
    trades = trades_of(market)
    if name in WITHOUT_IDS:
        return [(*trade[:4], None) for trade in trades]
    return trades


def has_levels(market: Market) -> Market:
    """Leave out the rows without levels, of which most formats have none."""
    rows = [row for row in market.rows if row.bids or row.asks]
    return Market(market.instrument, rows, market.trades)


@pytest.fixture(scope="module", params=[2, 7])
def market(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Market:
    return has_levels(made_up(tmp_path_factory.mktemp("market"), request.param))


@pytest.mark.parametrize("name", BOOKS)
def test_the_book_is_the_same_after_every_row(name: str, market: Market, tmp_path: Path) -> None:
    market = carried(name, market)
    path = round_trip(tmp_path, market, BOOKS[name])
    assert replayed_books(path, market.instrument) == books_of(market.rows)


@pytest.mark.parametrize("name", BEST_LEVELS)
def test_formats_of_the_best_levels_have_these_and_no_others(
    name: str, market: Market, tmp_path: Path
) -> None:
    writer, depth = BEST_LEVELS[name]
    market = replace(carried(name, market), trades=[])  # LOBSTER has a book after each
    path = round_trip(tmp_path, market, writer)
    assert replayed_books(path, market.instrument) == books_of(market.rows, depth)


@pytest.mark.parametrize("name", TRADES)
def test_the_trades_are_the_same(name: str, market: Market, tmp_path: Path) -> None:
    market = carried(name, market)
    path = round_trip(tmp_path, market, TRADES[name])
    assert len(market.trades) > 10
    found = replayed_trades(path, market.instrument)
    if name == "lobster":  # which has no ids of trades: the importer gives each line's number
        assert all(str(trade[4]).startswith("line ") for trade in found)
        assert [trade[:4] for trade in found] == [t[:4] for t in trades_of(market)]
        return
    assert found == carried_trades(name, market)


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [("tardis", 7_000, 8_000), ("hftbacktest", 1, 2), ("collector", 123, 123), ("dbn-mbo", 5, 5)],
)
def test_the_time_of_receipt_is_kept(
    name: str, first: int, second: int, market: Market, tmp_path: Path
) -> None:
    market = carried(name, market)
    path = round_trip(tmp_path, market, BOOKS[name])
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT received - timestamp * 1000000 FROM book").fetchmany(2)
    assert rows == [(first,), (second,)]


@needs_recordings
@pytest.mark.thorough
@pytest.mark.parametrize("recording", REAL, ids=lambda found: "-".join(found[:2]))
@pytest.mark.parametrize("name", BOOKS)
def test_real_books_are_the_same_after_every_row(
    name: str, recording: tuple[str, str, int], tmp_path: Path
) -> None:
    market = carried(name, real(*recording))
    path = round_trip(tmp_path, market, BOOKS[name])
    assert replayed_books(path, market.instrument) == books_of(market.rows)


@needs_recordings
@pytest.mark.thorough
@pytest.mark.parametrize("recording", REAL[::2], ids=lambda found: "-".join(found[:2]))
@pytest.mark.parametrize("name", [name for name in TRADES if name != "lobster"])
def test_real_trades_are_the_same(
    name: str, recording: tuple[str, str, int], tmp_path: Path
) -> None:
    market = carried(name, real(*recording))
    path = round_trip(tmp_path, market, TRADES[name])
    assert replayed_trades(path, market.instrument) == carried_trades(name, market)
