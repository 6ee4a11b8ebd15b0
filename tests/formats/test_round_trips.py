"""A recording written in another format and imported again is the recording it was."""

from collections.abc import Callable
from pathlib import Path

import archive_writers as writers
import pytest
from real_recordings import needs_recordings
from recorded_market import (
    Market,
    books_of,
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
}
TRADES: dict[str, Writer] = {
    "okx": writers.okx_trades,
    "tardis": writers.tardis_trades,
    "bybit": writers.bybit_trades,
    "binance": writers.binance_trades,
}
REAL = [
    ("okx_v5_202205", "BTC-USDT", 98),
    ("okx_v5_202205", "BTC-USD-220527", 60),
    ("binance_usdm_btcusdt_20240718", "BTC-USDT-SWAP", 300),
]


def round_trip(folder: Path, market: Market, writer: Writer) -> Path:
    options = ImportOptions(folder / "in", instrument=market.instrument)
    return import_file(writer(folder, market), options).recording


def has_levels(market: Market) -> Market:
    """Leave out the rows without levels, of which most formats have none."""
    rows = [row for row in market.rows if row.bids or row.asks]
    return Market(market.instrument, rows, market.trades)


@pytest.fixture(scope="module", params=[2, 7])
def market(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Market:
    return has_levels(made_up(tmp_path_factory.mktemp("market"), request.param))


@pytest.mark.parametrize("name", BOOKS)
def test_the_book_is_the_same_after_every_row(name: str, market: Market, tmp_path: Path) -> None:
    path = round_trip(tmp_path, market, BOOKS[name])
    assert replayed_books(path, market.instrument) == books_of(market.rows)


@pytest.mark.parametrize("name", TRADES)
def test_the_trades_are_the_same(name: str, market: Market, tmp_path: Path) -> None:
    path = round_trip(tmp_path, market, TRADES[name])
    assert len(market.trades) > 10
    assert replayed_trades(path, market.instrument) == trades_of(market)


@needs_recordings
@pytest.mark.thorough
@pytest.mark.parametrize("recording", REAL, ids=lambda found: "-".join(found[:2]))
@pytest.mark.parametrize("name", BOOKS)
def test_real_books_are_the_same_after_every_row(
    name: str, recording: tuple[str, str, int], tmp_path: Path
) -> None:
    market = has_levels(real(*recording))
    path = round_trip(tmp_path, market, BOOKS[name])
    assert replayed_books(path, market.instrument) == books_of(market.rows)


@needs_recordings
@pytest.mark.thorough
@pytest.mark.parametrize("recording", REAL[::2], ids=lambda found: "-".join(found[:2]))
@pytest.mark.parametrize("name", TRADES)
def test_real_trades_are_the_same(
    name: str, recording: tuple[str, str, int], tmp_path: Path
) -> None:
    market = real(*recording)
    path = round_trip(tmp_path, market, TRADES[name])
    assert replayed_trades(path, market.instrument) == trades_of(market)


def test_tardis_snapshots_have_the_best_levels_alone(market: Market, tmp_path: Path) -> None:
    path = round_trip(tmp_path, market, writers.tardis_snapshots)
    assert replayed_books(path, market.instrument) == books_of(market.rows, depth=5)
