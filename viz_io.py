"""Write the rolling JSON files that the page polls, each replaced as a whole.

A file is written under a temporary name of its own in the same directory and then renamed, so that
a reader sees the old file or the new one, never a part, whatever is killed when. The functions are
for anyone who wants to show data on the page; when they return, the file is written. A replay uses
`RunFiles`, which owns the directory for one run and writes at most ten times a second.
"""

import logging
import os
from collections.abc import Sequence
from math import isfinite
from pathlib import Path

import orjson

from orderflow import events
from orderflow.atomic import replace_file
from orderflow.errors import NumbersError

logger = logging.getLogger(__name__)

OUTPUT_DIR = Path(os.environ.get("ORDERFLOW_OUTPUT_DIR") or Path(__file__).resolve().parent)
"""Where the files are: beside the code, or what the environment says."""
DATA_FILE = OUTPUT_DIR / "ohlc_data.json"
"""`[[ts, open, high, low, close, volume], …]`, the last `MAX_BARS`; ts in ms, UTC."""
DEPTH_FILE = OUTPUT_DIR / "depth_data.json"
"""`{"bids": [[price, size], …], "asks": [[price, size], …]}`, best first."""
METRICS_FILE = OUTPUT_DIR / "metrics_data.json"
"""`[[ts, obi_o, obi_h, obi_l, obi_c, tot_…, cvd_…], …]`, of 5, 9 or 13 fields."""
STATUS_FILE = OUTPUT_DIR / "status_data.json"
"""The state of the run, an object; see docs/reference.md."""
ISSUES_FILE = OUTPUT_DIR / "data_issues.json"
"""`{"schema": 1, "issues": [{"kind", "start", "end", "count"}, …]}`: see `orderflow.issues`."""
HEATMAP_LEVELS = 5
HEATMAP_FILES = tuple(OUTPUT_DIR / f"heatmap_{level}.bin" for level in range(HEATMAP_LEVELS))
"""Resting size by price row, in columns of 250 ms and four times as long at each level."""
FOOTPRINT_FILE = OUTPUT_DIR / "footprint_data.bin"
"""Traded volume by price row and taker side, bar by bar, and the profile of the session."""
TRADES_FILE = OUTPUT_DIR / "trades_data.bin"
"""The last trades."""
BEST_FILE = OUTPUT_DIR / "best_data.bin"
"""The last changes of the best prices. These eight are array files: see docs/flow-files.md."""
FLOW_FILES = (*HEATMAP_FILES, FOOTPRINT_FILE, TRADES_FILE, BEST_FILE)
TRADE_BARS_FILE = OUTPUT_DIR / "trade_bars.bin"
"""All bars of trades of a run, appended to as they are closed: see docs/flow-files.md."""
BOOK_BARS_FILE = OUTPUT_DIR / "book_bars.bin"
"""All bars of book samples, likewise."""
ALL_BARS_FILES = (TRADE_BARS_FILE, BOOK_BARS_FILE)
CONTROL_FILE = OUTPUT_DIR / "control.json"
"""Orders to a running replay, which others write and the replay reads; see docs/reference.md."""
TRADING_FILE = OUTPUT_DIR / "trading_data.json"
"""What a trading run has done so far, an object; see docs/reference.md."""
STATES = ("running", "finished", "stopped", "failed")
"""What `state` in the status, and in the trading run's file, may be."""
MAX_BARS = events.MAX_BARS
"""Most bars kept in a file."""
TRADING_SCHEMA = 1
MAX_FILLS = 1000
"""Most fills in the trading run's file, the newest."""
MAX_ALERTS = 500
"""Most alerts in the trading run's file, the newest."""
MAX_OPEN_ORDERS = 200
"""Most open orders in the trading run's file, those nearest to the mid."""

Bar = list[float]
Levels = Sequence[Sequence[float]]


def add_ohlc_bar(
    timestamp: int,
    open_price: float,
    high_price: float,
    low_price: float,
    close_price: float,
    volume: float,
) -> None:
    """Append an OHLC bar to `DATA_FILE` and keep the last `MAX_BARS`.

    `timestamp` is the start of the window in ms, UTC; prices in quote currency, volume as recorded.
    Raise `NumbersError` for a number that is not finite, `OSError` when the file can't be written.
    """
    bar = [timestamp, open_price, high_price, low_price, close_price, volume]
    _append(DATA_FILE, bar, replace=False)


def upsert_ohlc_bar(
    timestamp: int,
    open_price: float,
    high_price: float,
    low_price: float,
    close_price: float,
    volume: float,
) -> None:
    """Replace the OHLC bar of the same timestamp, or append it; otherwise like `add_ohlc_bar`."""
    bar = [timestamp, open_price, high_price, low_price, close_price, volume]
    _append(DATA_FILE, bar, replace=True)


def clear_data() -> None:
    """Make `DATA_FILE` an empty list. Raise `OSError` when it can't be written."""
    write_json(DATA_FILE, [])


def add_metric_bar(
    timestamp: int,
    obi_open: float,
    obi_high: float,
    obi_low: float,
    obi_close: float,
    tot: Sequence[float] = (),
    cvd: Sequence[float] = (),
) -> None:
    """Append a metric bar to `METRICS_FILE` and keep the last `MAX_BARS`.

    `tot` and `cvd` are open, high, low and close too, or left out: a bar has 5 fields with OBI
    alone, 9 with TOT, 13 with CVD. Raise `NumbersError` for a number that is not finite or a bar of
    another length, `OSError` when the file can't be written.
    """
    bar = _metric_bar(timestamp, (obi_open, obi_high, obi_low, obi_close), tot, cvd)
    _append(METRICS_FILE, bar, replace=False)


def upsert_metric_bar(
    timestamp: int,
    obi_open: float,
    obi_high: float,
    obi_low: float,
    obi_close: float,
    tot: Sequence[float] = (),
    cvd: Sequence[float] = (),
) -> None:
    """Replace the metric bar of the same timestamp, or append it.

    Otherwise like `add_metric_bar`.
    """
    bar = _metric_bar(timestamp, (obi_open, obi_high, obi_low, obi_close), tot, cvd)
    _append(METRICS_FILE, bar, replace=True)


def clear_metrics() -> None:
    """Make `METRICS_FILE` an empty list. Raise `OSError` when it can't be written."""
    write_json(METRICS_FILE, [])


def set_depth_data(bids: Levels, asks: Levels) -> None:
    """Write the depth, `[[price, size], …]` a side, best first, to `DEPTH_FILE`.

    Raise `NumbersError` for a number that is not finite, `OSError` when the file can't be written.
    """
    sides = {
        "bids": [[*_finite(level)] for level in bids],
        "asks": [[*_finite(level)] for level in asks],
    }
    write_json(DEPTH_FILE, sides)


def write_json(path: Path, value: object, *, durable: bool = False) -> None:
    """Replace `path` by the JSON of `value`, as a whole.

    `durable` also flushes file and directory to the disk, for the last write of a run. Raise
    `OSError` when that fails; the old file is then still there and no temporary is left.
    """
    replace_file(path, orjson.dumps(value), durable=durable)


def _finite(numbers: Sequence[float]) -> Sequence[float]:
    if not all(isfinite(number) for number in numbers):
        msg = f"numbers in the files must be finite; found {list(numbers)}"
        raise NumbersError(msg, numbers)
    return numbers


def _metric_bar(
    timestamp: int, obi: Sequence[float], tot: Sequence[float], cvd: Sequence[float]
) -> Bar:
    bar = [timestamp, *obi, *tot, *cvd]
    if len(tot) not in (0, 4) or len(cvd) not in (0, 4) or (cvd and not tot):
        msg = f"a metric bar has 5, 9 or 13 fields (TOT comes before CVD); found {len(bar)}"
        raise NumbersError(msg, bar)
    return bar


def _append(path: Path, bar: Bar, *, replace: bool) -> None:
    _finite(bar)
    bars = _read_bars(path)
    index = next((i for i in range(len(bars) - 1, -1, -1) if bars[i][0] == bar[0]), None)
    if replace and index is not None:
        bars[index] = bar
    else:
        bars.append(bar)
    write_json(path, bars[-MAX_BARS:])


def _read_bars(path: Path) -> list[Bar]:
    try:
        bars = orjson.loads(path.read_bytes())
        if all(len(bar) >= 5 for bar in bars):
            return list(bars)
    except FileNotFoundError:
        return []
    except (orjson.JSONDecodeError, TypeError):
        pass
    logger.warning("%s held no bars and is begun anew", path)
    return []
