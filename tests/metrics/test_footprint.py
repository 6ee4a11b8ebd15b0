"""Footprint, profile and tape, on the Python functions and, where built, on the compiled ones."""

from collections import defaultdict
from fractions import Fraction
from typing import Any

import pytest
from brute_flow import numbers
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics import footprint, footprint_windows, trade_columns, volume_by_row
from metrics.flow import Flow
from metrics.footprint import DAY_MS, Footprint
from metrics.footprint_windows import python_add_windows
from metrics.last_entries import LastEntries
from metrics.price_grid import PriceGrid
from metrics.trade_columns import python_trade_columns
from metrics.volume_by_row import PythonVolumeByRow
from ohlc_processor import OHLCProcessor
from orderflow.events import Trade

T0 = 19_675 * DAY_MS
MINUTE = 60_000
TWINS = {
    "python": (PythonVolumeByRow, python_add_windows, python_trade_columns),
    "compiled": (
        volume_by_row.VolumeByRow,
        footprint_windows.add_windows,
        trade_columns.trade_columns,
    ),
}
if volume_by_row.VolumeByRow is PythonVolumeByRow:
    del TWINS["compiled"]


@pytest.fixture(params=TWINS)
def columns_of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    return use_twins(request.param, monkeypatch)


def use_twins(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let footprints be made with the twins of a name; return what makes columns of trades."""
    table, windows, columns = TWINS[name]
    monkeypatch.setattr(footprint, "VolumeByRow", table)
    monkeypatch.setattr(footprint_windows, "VolumeByRow", table)
    monkeypatch.setattr(footprint, "add_windows", windows)
    return columns


def trade(at: int, price: float, size: float, side: str | None = "buy") -> Trade:
    return (0, None, price, size, side, T0 + at)


class Printed:
    """What the footprint's file holds, with its cells as `{(bar, row): (buy, sell, other)}`."""

    def __init__(self, made: Footprint, ohlc: list[list[float]]) -> None:
        self.fields, arrays = made.arrays(ohlc)
        self.arrays = {name: numbers(array) for name, array in arrays.items()}
        others = self.arrays["cell_other"] or [0.0] * len(self.arrays["cell_row"])
        cells = zip(
            self.arrays["cell_row"],
            self.arrays["cell_buy"],
            self.arrays["cell_sell"],
            others,
            strict=True,
        )
        found = list(cells)
        self.cells: dict[tuple[float, float], tuple[float, ...]] = {}
        begin = 0
        for time, end in zip(self.arrays["time"], self.arrays["cells_end"], strict=True):
            rows = [cell[0] for cell in found[begin:end]]
            assert rows == sorted({*rows})
            self.cells |= {(time, cell[0]): cell[1:] for cell in found[begin:end]}
            begin = end
        assert begin == len(found)


def made_of(
    trades: list[Trade], columns_of: Any, *, split: int = 3, window: int = 60, **limits: int
) -> tuple[Printed, PriceGrid]:
    grid, processor = PriceGrid(), OHLCProcessor(window)
    made = Footprint(window, grid, **limits)
    for start in range(0, len(trades), split):
        made.add(columns_of(trades[start : start + split]))
        processor.process_trades(trades[start : start + split])
    return Printed(made, processor.bars()[-limits.get("max_bars", 1000) :]), grid


def test_cells_are_volume_by_bar_row_and_side(columns_of: Any) -> None:
    trades = [
        trade(0, 100.5, 1, "buy"),
        trade(0, 100.5, 2, "sell"),
        trade(5, 100.0, 4, "sell"),
        trade(9, 100.5, 8, None),
        trade(MINUTE, 101.5, 16, "buy"),
        trade(MINUTE, 101.5, 32, "buy"),
    ]
    printed, grid = made_of(trades, columns_of)
    assert (grid.units, grid.decimals, printed.fields["row_ticks"]) == (5, 1, 1)
    assert printed.cells == {
        (T0, 200): (0, 4, 0),
        (T0, 201): (1, 2, 8),
        (T0 + MINUTE, 203): (48, 0, 0),
    }
    assert printed.arrays["buy"] == [1, 48]
    assert printed.arrays["sell"] == [6, 0]
    assert printed.arrays["other"] == [8, 0]
    assert printed.arrays["min_delta"] == [-5, 0]
    assert printed.arrays["max_delta"] == [1, 48]
    assert printed.arrays["open"] == [100.5, 101.5]
    assert printed.arrays["low"] == [100.0, 101.5]
    vwap = [(11 * 100.5 + 400) / 15, (11 * 100.5 + 400 + 48 * 101.5) / 63]
    assert printed.arrays["vwap"] == vwap
    session = printed.fields["session"]
    assert (session["start"], session["row_ticks"], session["volume"]) == (T0, 1, 63)
    assert (session["vwap"], session["poc"], session["vah"], session["val"]) == (
        vwap[1],
        203,
        203,
        203,
    )
    assert printed.arrays["profile_row"] == [200, 201, 203]
    assert printed.arrays["profile_other"] == [0, 8, 0]


@pytest.mark.parametrize("volumes", [[0.1] * 10, [2.0**53, 1.0, 2.0**-60]])
def test_the_volumes_of_a_bar_are_rounded_once(columns_of: Any, volumes: list[float]) -> None:
    trades = [trade(0, 100.0 + row, volume) for row, volume in enumerate(volumes)]
    printed, _ = made_of([*trades, trade(MINUTE, 100.0, 1.0)], columns_of)
    assert printed.arrays["buy"] == [float(sum(map(Fraction, volumes))), 1.0]


def test_without_trades_there_is_nothing(columns_of: Any) -> None:
    printed, _ = made_of([], columns_of)
    assert printed.fields["session"] is None
    assert {name: len(values) for name, values in printed.arrays.items() if values} == {}


def test_where_every_side_is_known_no_others_are_written(columns_of: Any) -> None:
    assert made_of([trade(0, 1, 1)], columns_of)[0].arrays["cell_other"] == []


def test_the_profile_is_of_the_utc_day_and_the_bars_go_on(columns_of: Any) -> None:
    trades = [trade(DAY_MS - 1, 10, 1), trade(DAY_MS, 11, 2), trade(DAY_MS + MINUTE, 12, 3)]
    printed, _ = made_of(trades, columns_of)
    assert printed.fields["session"]["start"] == T0 + DAY_MS
    assert printed.arrays["profile_row"] == [11, 12]
    assert printed.arrays["vwap"] == [10, 11, (22 + 36) / 5]
    week, _ = made_of(trades, columns_of, window=604_800)
    assert week.arrays["profile_row"] == [11, 12]
    assert week.arrays["buy"] == [6]


def test_a_finer_price_refines_all_bars(columns_of: Any) -> None:
    trades = [trade(0, 100, 1), trade(1, 110, 1), trade(MINUTE, 110, 2), trade(MINUTE, 110.5, 4)]
    printed, grid = made_of(trades, columns_of, split=9)
    assert (grid.units, grid.decimals, grid.refined) == (5, 1, 2)
    assert [row for _, row in printed.cells] == [200, 220, 220, 221]
    assert printed.arrays["profile_row"] == [200, 220, 221]


def test_no_tick_becomes_too_fine_for_what_was_traded_before(columns_of: Any) -> None:
    trades = [trade(0, 95, 1), trade(0, 3e13, 2), trade(MINUTE, 1e-9, 4), trade(MINUTE, 97.5, 8)]
    printed, grid = made_of(trades, columns_of, split=1)
    assert (grid.units, grid.decimals, grid.off_tick) == (5, 0, True)
    assert printed.cells == {
        (T0, 19): (1, 0, 0),
        (T0, 6 * 10**12): (2, 0, 0),
        (T0 + MINUTE, 0): (4, 0, 0),
        (T0 + MINUTE, 20): (8, 0, 0),
    }


def test_too_many_cells_are_joined_into_higher_rows(columns_of: Any) -> None:
    trades = [trade(i * 20_000, 1000 + i * 7 % 97, 1 + i % 3, "sell") for i in range(400)]
    for limit, height in ((400, 1), (200, 5), (140, 10), (1, 50)):
        printed, grid = made_of(trades, columns_of, max_cells=limit, max_bars=134)
        assert printed.fields["row_ticks"] >= height
        assert len(printed.cells) <= max(limit, 134)
        assert_cells_are(printed, grid, trades[-len(trades) :], 60)


def test_as_many_cells_as_bars_are_enough(columns_of: Any) -> None:
    trades = [trade(i * MINUTE, 1000 + i, 1) for i in range(9)]
    printed, _ = made_of(trades, columns_of, max_cells=3, max_bars=3)
    assert len(printed.cells) == 3


def test_a_long_session_is_kept_in_higher_rows(columns_of: Any) -> None:
    trades = [trade(i, 1000 + i, 1) for i in range(100)]
    printed, _ = made_of(trades, columns_of, max_profile_rows=12)
    session = printed.fields["session"]
    assert (session["row_ticks"], len(printed.arrays["profile_row"])) == (10, 10)
    assert printed.arrays["profile_buy"] == [10] * 10
    assert (session["poc"], session["vah"], session["val"]) == (104, 108, 102)


def test_only_the_last_bars_are_kept(columns_of: Any) -> None:
    trades = [trade(i * MINUTE, 10 + i % 3, 1) for i in range(30)]
    printed, _ = made_of(trades, columns_of, max_bars=10)
    assert printed.fields["first"] == 20
    assert printed.arrays["time"] == [T0 + i * MINUTE for i in range(20, 30)]
    assert printed.arrays["close"] == [10 + i % 3 for i in range(20, 30)]


def test_what_was_bought_and_sold_before_the_bars_kept_is_told(columns_of: Any) -> None:
    trades = [trade(i * MINUTE, 10, i + 1, ("buy", "sell", "x")[i % 3]) for i in range(30)]
    assert made_of(trades[:10], columns_of, max_bars=10)[0].fields["cvd_start"] == 0
    printed, _ = made_of(trades, columns_of, max_bars=10)
    before = trades[:20]
    bought, sold = (sum(one[3] for one in before if one[4] == side) for side in ("buy", "sell"))
    assert printed.fields["cvd_start"] == bought - sold


def assert_cells_are(printed: Printed, grid: PriceGrid, trades: list[Trade], window: int) -> None:
    """Hold cells against exact sums by bar and row."""
    sums: dict[tuple[float, float], list[Fraction]] = defaultdict(lambda: [Fraction(0)] * 3)
    for _, _, price, size, side, time in trades:
        bar = time // (window * 1000) * window * 1000
        row = (
            int(Fraction(repr(price)) * 10**grid.decimals / grid.units)
            // printed.fields["row_ticks"]
        )
        place = {"buy": 0, "sell": 1}.get(side or "", 2)
        sums[bar, row][place] += Fraction(size)
    kept = {*printed.arrays["time"]}
    wanted = {key: volumes for key, volumes in sums.items() if key[0] in kept}
    assert printed.cells.keys() == wanted.keys()
    for key, found in printed.cells.items():
        assert found == pytest.approx([float(volume) for volume in wanted[key]], rel=1e-9)


some_trades = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 7, 900, 30_000, 5_000_000]),
        st.one_of(
            st.integers(95, 105).map(float),
            st.sampled_from([99.5, 100.25, 0.1, 12345.678, 1e-9, 3e13, 100.000000000001]),
        ),
        st.sampled_from([1.0, 0.1, 0.0, 2.5, 1e-8, 1e12]),
        st.sampled_from(["buy", "sell", "buy", "sell", None, "", "bid"]),
    ),
    max_size=80,
)


@settings(max_examples=80)
@given(some_trades, st.integers(1, 30), st.sampled_from([1, 60, 90_000]), st.integers(3, 90))
def test_compiled_and_python_agree_with_exact_sums(
    given: list[tuple[int, float, float, str | None]], split: int, window: int, most: int
) -> None:
    trades, now = [], 0
    for wait, price, size, side in given:
        now += wait
        trades.append(trade(now, price, size, side))
    found = []
    for name in TWINS:
        with pytest.MonkeyPatch.context() as patch:
            columns = use_twins(name, patch)
            limits = {"max_bars": 3, "max_cells": most, "max_profile_rows": most}
            printed, grid = made_of(trades, columns, split=split, window=window, **limits)
        found.append((printed.fields, printed.arrays, grid.units, grid.decimals, grid.off_tick))
        if not grid.off_tick:
            assert_cells_are(printed, grid, trades, window)
        buys, sells, others = (sum(printed.arrays[name]) for name in ("buy", "sell", "other"))
        volume = sum(sum(cell) for cell in printed.cells.values())
        assert volume == pytest.approx(buys + sells + others)
    assert found[0] == found[-1]


def test_the_last_trades_are_kept_as_recorded() -> None:
    flow = Flow(60)
    trades = [trade(i, 100 + i / 10, i / 4, ("buy", "sell", None)[i % 3]) for i in range(45_000)]
    for start in range(0, 45_000, 7_000):
        flow.add_trades(trades[start : start + 7_000])
    fields, arrays = flow.trades_file()
    assert fields["first"] == 25_000
    assert numbers(arrays["time"]) == [t[5] for t in trades[25_000:]]
    assert numbers(arrays["price"]) == [t[2] for t in trades[25_000:]]
    assert numbers(arrays["size"]) == [t[3] for t in trades[25_000:]]
    assert numbers(arrays["side"]) == [(1, 2, 0)[i % 3] for i in range(25_000, 45_000)]


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 7))
def test_the_last_entries_are_the_last(added: list[int], most: int) -> None:
    entries = LastEntries("d", most)
    for value in added:
        entries.add((value,))
    first, (column,) = entries.arrays()
    assert first == max(len(added) - most, 0)
    assert [*memoryview(column).cast("d")] == added[-most:]
