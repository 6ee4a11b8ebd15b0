"""hftbacktest itself loads the npz, and its replay gives our bars; spoilt files give others.

Run with `uv run --group oracle pytest -m "not slow" tests/formats/test_hftbacktest_oracle.py`.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from exports import BUY, MINUTE, SELL, START, exported, recording_of

from db_interpreter import DBInterpreter
from ohlc_processor import OHLCProcessor

hft = pytest.importorskip("hftbacktest", reason="the group oracle is not installed")
pytestmark = [
    pytest.mark.thorough,
    pytest.mark.filterwarnings("ignore"),  # numba's and hftbacktest's own
]

DEPTH, NEVER, MINUTES = 50, 10**18, 5
TICK, LOT = 0.1, 1e-9


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recording_of(tmp_path_factory.mktemp("recorded"), rows=3000, minutes=MINUTES)


@pytest.fixture(scope="module")
def npz(folder: Path) -> Path:
    path = folder / "events.npz"
    exported("hftbacktest", folder, path)
    return path


def our_bars(folder: Path) -> tuple[list[list[float]], list[list[Any]], list[int]]:
    """Return OHLC bars, OBI bars, and the times of the rows with levels in ns."""
    processor = OHLCProcessor(60, DEPTH, start_timestamp=START)
    times = []
    for batch, trades in DBInterpreter(folder / "BTC-USDT.db").batches():
        processor.process_rows(batch)
        processor.process_trades(trades)
        # Rows without levels are no events.
        times += [row[0] * 1_000_000 for row in batch.rows if row[2:4] != (b"[]", b"[]")]
    processor.finalize()
    assert all(a < b for a, b in pairwise(times))
    return processor.bars(), [bar[:5] for bar in processor.metric_bars()], times


def runner() -> Any:
    """Return what replays events and samples OBI at given times, compiled."""
    from numba import njit  # noqa: PLC0415 (of the group oracle)

    @njit  # type: ignore[untyped-decorator]
    def run(backtest: Any, times: Any, low: int, high: int, obi: Any, trades: Any) -> Any:
        row, traded = 0, 0
        depth = backtest.depth(0)
        while backtest.wait_next_feed(False, NEVER) != 1:
            now = backtest.current_timestamp
            for trade in backtest.last_trades(0):
                trades[traded, 0], trades[traded, 1] = trade.exch_ts, trade.px
                trades[traded, 2] = trade.qty
                traded += 1
            backtest.clear_last_trades(0)
            if row < len(times) and times[row] == now:
                bids, left, tick = 0.0, DEPTH, depth.best_bid_tick
                while left > 0 and tick >= low:
                    size = depth.bid_qty_at_tick(tick)
                    left -= size > 0
                    bids += size
                    tick -= 1
                asks, left, tick = 0.0, DEPTH, depth.best_ask_tick
                while left > 0 and tick <= high:
                    size = depth.ask_qty_at_tick(tick)
                    left -= size > 0
                    asks += size
                    tick += 1
                obi[row] = (bids - asks) / (bids + asks) if bids > 0 and asks > 0 else -2.0
                row += 1
        return row, traded

    return run


@pytest.fixture(scope="module")
def run() -> Any:
    return runner()


def replayed(run: Any, data: Any, times: list[int]) -> tuple[list[float], list[tuple[float, ...]]]:
    """Return OBI after each row and the trades `(ms, price, size)`, as hftbacktest has them."""
    import numpy as np  # noqa: PLC0415

    # hftbacktest does not tell the last feed from the end of the data: one comes after it.
    end = np.zeros(1, hft.types.event_dtype)
    end["ev"] = hft.EXCH_EVENT | hft.LOCAL_EVENT | 100
    end["exch_ts"] = end["local_ts"] = times[-1] + MINUTE * 1_000_000
    asset = (
        hft.BacktestAsset().data([data, end]).linear_asset(1.0).constant_order_latency(0, 0)
        .risk_adverse_queue_model().no_partial_fill_exchange().trading_value_fee_model(0.0, 0.0)
        .tick_size(TICK).lot_size(LOT).last_trades_capacity(10_000)
    )  # fmt: skip
    backtest = hft.HashMapMarketDepthBacktest([asset])
    obi: Any = np.full(len(times), -2.0)
    trades: Any = np.zeros((20_000, 3))
    at = np.array(times)
    rows, count = run(backtest, at, 900_000, 1_200_000, obi, trades)
    backtest.close()
    assert rows == len(times)
    found = trades[:count].tolist()
    return obi.tolist(), [(row[0] // 10**6, row[1], row[2]) for row in found]


def check(run: Any, data: Any, folder: Path) -> None:
    """Check that a replay of events gives the bars that ours does, minute for minute."""
    bars, obi_bars, times = our_bars(folder)
    obi, trades = replayed(run, data, times)
    for minute, *wanted in obi_bars:
        found = [value for value, ns in zip(obi, times, strict=True)
                 if minute <= ns // 10**6 < minute + MINUTE]  # fmt: skip
        ohlc = [found[0], max(found), min(found), found[-1]]
        assert ohlc == pytest.approx(wanted, abs=1e-9)
    for start, *bar in bars:
        of_bar = [trade for trade in trades if start <= trade[0] < start + MINUTE]
        prices = [price for _, price, _ in of_bar]
        assert [prices[0], max(prices), min(prices), prices[-1]] == bar[:4]
        assert sum(size for *_, size in of_bar) == pytest.approx(bar[4], rel=1e-12)
    assert len(bars) == len(obi_bars) == MINUTES


def test_the_events_are_in_an_order_that_hftbacktest_accepts(npz: Path) -> None:
    import numpy as np  # noqa: PLC0415
    from hftbacktest.data import validate_event_order  # noqa: PLC0415

    data = np.load(npz)["data"]
    assert data.dtype == hft.types.event_dtype
    validate_event_order(data)


def test_a_replay_gives_our_bars(run: Any, npz: Path, folder: Path) -> None:
    check(run, str(npz), folder)


def spoilt(what: str, npz: Path) -> Any:
    import numpy as np  # noqa: PLC0415

    data = np.load(npz)["data"]
    kind = data["ev"] & np.uint64(0xFF)
    if what == "snapshot levels without side":
        data["ev"][kind == 4] &= np.uint64(~(BUY | SELL) & 0xFFFFFFFF)
        return data
    if what == "lost deletes":
        return data[~((kind == 1) & (data["qty"] == 0))]
    return np.delete(data, np.flatnonzero(kind == 2)[len(data[kind == 2]) // 2])


@pytest.mark.parametrize("what", ["snapshot levels without side", "lost deletes", "one trade gone"])
def test_a_spoilt_file_does_not(what: str, run: Any, npz: Path, folder: Path) -> None:
    with pytest.raises(AssertionError):
        check(run, spoilt(what, npz), folder)
