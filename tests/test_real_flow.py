"""The order flow of real recordings: footprint cells by SQL, heatmap columns by a brute book."""

import random
import sqlite3
from contextlib import closing
from fractions import Fraction
from math import gcd
from typing import Any

import pytest
from brute_flow import Heatmap, assert_column_is_the_book, numbers
from brute_force import BruteBook
from real_recordings import DATA, needs_recordings

from db_interpreter import DBInterpreter
from level_parser import parse_levels_including_zeros
from metrics.heat_columns import LEVELS
from ohlc_processor import OHLCProcessor
from orderflow.errors import LevelFormatError
from orderflow.events import BookBatch, Trade

pytestmark = needs_recordings
QUICK = ("okx_v5_202205", "okcoin_v3_202104c", "freqtrade_xrpeth_201910")
WINDOW = 15
COLUMNS_TRIED = 6
"""Of each level, beside the first and the last."""


def instruments_of_all_recordings() -> list[Any]:
    found = []
    for path in sorted(DATA.glob("*.db")) if DATA.is_dir() else []:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            names = connection.execute(
                "SELECT instrument FROM book UNION SELECT instrument FROM trades ORDER BY 1"
            )
            marks = () if path.stem in QUICK else (pytest.mark.thorough,)
            found += [
                pytest.param((path.stem, name), marks=marks, id=f"{path.stem}/{name}")
                for (name,) in names
            ]
    return found


Events = list[tuple[BookBatch, list[Trade]]]


class Run:
    """A recording's events, and what was made of them."""

    def __init__(self, stem: str, instrument: str) -> None:
        self.path = DATA / f"{stem}.db"
        self.instrument = instrument
        self.events: Events = list(DBInterpreter(self.path, instrument).batches())
        self.processor = OHLCProcessor(WINDOW, 50, flow=True, heatmap=True)
        for batch, trades in self.events:
            self.processor.process_rows(batch)
            self.processor.process_trades(trades)
        self.processor.finalize()
        assert self.processor.flow is not None
        self.flow = self.processor.flow


def cells_by_sql(run: Run, first: float, tick: Fraction) -> dict[Any, tuple[float, int]]:
    """Group the recorded trades, repeats aside, by bar, tick and side."""
    sql = """
        SELECT bar, row, side, total(size), count(*) FROM (
            SELECT DISTINCT CAST(timestamp AS INTEGER) / ? * ? AS bar, tick_of(price) AS row,
                lower(side) AS side, CAST(size AS REAL) AS size, timestamp, trade_id,
                CASE WHEN trade_id IS NULL THEN rowid END
            FROM trades WHERE instrument = ?)
        WHERE bar >= ? GROUP BY bar, row, side"""

    def tick_of(price: object) -> int:
        ticks = Fraction(str(price)) / tick
        assert ticks.denominator == 1, f"{price} is no multiple of {tick}"
        return ticks.numerator

    with closing(sqlite3.connect(f"file:{run.path}?mode=ro", uri=True)) as connection:
        connection.create_function("tick_of", 1, tick_of)
        ms = WINDOW * 1000
        found = connection.execute(sql, (ms, ms, run.instrument, first))
        return {(bar, row, side): (size, count) for bar, row, side, size, count in found}


@pytest.fixture(scope="module", params=instruments_of_all_recordings())
def run(request: pytest.FixtureRequest) -> Run:
    return Run(*request.param)


def test_footprint_cells_are_what_sql_groups(run: Run) -> None:
    bars = run.processor.bars()
    fields, arrays = run.flow.footprint_file(bars)
    found = {name: numbers(array) for name, array in arrays.items()}
    tick = Fraction(fields["tick_units"], 10 ** fields["tick_decimals"])
    if not bars:
        assert not found["time"]
        return
    assert fields["row_ticks"] == 1
    assert found["time"] == [bar[0] for bar in bars]
    others = found["cell_other"] or [0.0] * len(found["cell_row"])
    made: dict[Any, float] = {}
    begin = 0
    for place, end in enumerate(found["cells_end"]):
        sums = [0.0, 0.0, 0.0]
        for cell in range(begin, end):
            sizes = found["cell_buy"][cell], found["cell_sell"][cell], others[cell]
            for side, size in zip(("buy", "sell", None), sizes, strict=True):
                made[found["time"][place], found["cell_row"][cell], side] = size
            sums = [a + b for a, b in zip(sums, sizes, strict=True)]
        begin = end
        assert sums == pytest.approx([found[name][place] for name in ("buy", "sell", "other")])
        assert sum(sums) == pytest.approx(bars[place][5], rel=1e-9)
    wanted = cells_by_sql(run, found["time"][0], tick)
    assert {key[:2] for key in made} == {key[:2] for key in wanted}
    assert {key for key, size in made.items() if size} == {k for k, (s, _) in wanted.items() if s}
    for key, (size, _) in wanted.items():
        assert made[key] == pytest.approx(size, rel=1e-9), key


def test_deltas_are_those_of_the_cvd_bars(run: Run) -> None:
    _, arrays = run.flow.footprint_file(run.processor.bars())
    found = {name: numbers(array) for name, array in arrays.items()}
    cvds = {bar[0]: bar[1:] for bar in run.processor.metrics.cvd.bars()}
    for place, time in enumerate(found["time"]):
        opened, high, low, close = cvds[time]
        delta = found["buy"][place] - found["sell"][place]
        deltas = [delta, found["max_delta"][place], found["min_delta"][place]]
        scale = max(map(abs, (*cvds[time], *deltas)))
        wanted = [close - opened, high - opened, low - opened]
        assert deltas == pytest.approx(wanted, abs=1e-12 * scale + 1e-12)


def test_any_column_is_the_book_at_its_end(run: Run) -> None:
    """Hold columns taken at random, and the first and last, against a book of dicts."""
    choose = random.Random(run.instrument)
    due: list[tuple[int, Heatmap, int]] = []
    for level in range(LEVELS):
        found = Heatmap(level, run.flow.columns.ring(level, run.processor.book))
        places = (
            {0, len(found) - 1, *(choose.randrange(len(found)) for _ in range(COLUMNS_TRIED))}
            if len(found)
            else set()
        )
        due += [(found.end_ms(place), found, place) for place in places]
    due.sort(key=lambda column: column[0])
    book = BruteBook()
    for batch, _ in run.events:
        for row, snapshot in zip(batch.rows, batch.snapshots, strict=True):
            while due and due[0][0] <= row[0]:
                _, found, place = due.pop(0)
                assert_column_is_the_book(found, place, book)
            try:
                sides = [parse_levels_including_zeros(side) for side in row[2:4]]
            except LevelFormatError:
                continue
            for side, levels in zip((book.bids, book.asks), sides, strict=True):
                for price, _ in levels:
                    side.setdefault(price, 0.0)  # deleting what is not there is normal
            book.apply(*sides, snapshot=False) if not snapshot else _replace(book, sides)
    for _, found, place in due:
        assert_column_is_the_book(found, place, book)


def _replace(book: BruteBook, sides: list[list[tuple[float, float]]]) -> None:
    book.bids, book.asks = ({p: s for p, s in side if s} for side in sides)


def test_the_tick_divides_every_price_of_the_book(run: Run) -> None:
    grid = run.flow.grid
    bids, asks = run.processor.book.all_levels()
    assert not grid.off_tick
    assert all(grid.fits(price) for price, _ in (*bids, *asks))
    if len(bids) > 50:
        ticks = [grid.ticks_of(price) for price, _ in (*bids, *asks)]
        assert gcd(*ticks) == 1


@pytest.mark.thorough
def test_the_sketches_moment_is_there() -> None:
    """ETH-USDT sold heavily in the last second before 23:59:51 (see page-facts)."""
    moment = Run("binance_spot_ethusdt_20240808", "ETH-USDT")
    _, arrays = moment.flow.footprint_file(moment.processor.bars())
    found = {name: numbers(array) for name, array in arrays.items()}
    place = found["time"].index(1_723_161_585_000)
    assert found["buy"][place] + found["sell"][place] == pytest.approx(562, abs=0.5)
    assert found["buy"][place] - found["sell"][place] == pytest.approx(-487, abs=0.5)
