"""Feed metrics with a few rows and trades, on the compiled code or on Python alone."""

from array import array
from collections.abc import Sequence
from typing import Any

import pytest

import ohlc_processor
from metrics import bar_kinds, kernels, metric_bars, portions, price_impact_metrics
from metrics.bar_kinds import parse_bars
from metrics.book_rows import PythonRowRecorder
from metrics.metric_bars import MetricBars
from metrics.portions import PythonPortions
from metrics.registry import parse_metrics
from ohlc_processor import OHLCProcessor
from orderbook_manager import PythonOrderbookManager
from orderflow.array_file import pack, unpack
from orderflow.events import BookBatch, Trade

ENGINES = ["python"] if portions.Portions is PythonPortions else ["python", "compiled"]
KERNELS = (
    "imbalances", "sums", "spreads", "mids", "weighted_mids", "flows", "ohlc", "slopes",
)  # fmt: skip

Level = tuple[float, float]
Row = tuple[int, Sequence[Level], Sequence[Level]]
"""Time in ms, changed bids, changed asks."""
Deal = tuple[int, float, float, str | None]
"""Time in ms, price, size, the taker's side."""


def use(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make metrics with Python alone where `engine` says so."""
    if engine == "python":
        for name in KERNELS:
            monkeypatch.setattr(kernels, name, getattr(kernels, f"python_{name}"))
        monkeypatch.setattr(metric_bars, "RowRecorder", PythonRowRecorder)
        monkeypatch.setattr(ohlc_processor, "OrderbookManager", PythonOrderbookManager)
        monkeypatch.setattr(bar_kinds, "Portions", PythonPortions)
        monkeypatch.setattr(price_impact_metrics, "Portions", PythonPortions)


def new(asked: Sequence[str], bars: str = "time:60", **more: Any) -> MetricBars:
    specs = parse_metrics(list(asked))
    return MetricBars(parse_bars(bars), [spec.make() for spec in specs], **more)


def made(
    asked: Sequence[str],
    rows: Sequence[Row] = (),
    deals: Sequence[Deal] = (),
    bars: str = "time:60",
    *,
    cuts: Sequence[tuple[int, int]] = (),
    start: int | None = None,
    depth: int = 50,
) -> MetricBars:
    """Return the bars of rows and deals, given at once, or in pieces that end at `cuts`."""
    measured = new(asked, bars, start_ms=start)
    processor = OHLCProcessor(60, depth, start_timestamp=start, measured=measured)
    trades: list[Trade] = [(i, None, p, s, side, ms) for i, (ms, p, s, side) in enumerate(deals)]
    before = 0, 0
    for end in [*cuts, (len(rows), len(trades))]:
        piece = rows[before[0] : end[0]]
        given = [(ms, i, bids, asks) for i, (ms, bids, asks) in enumerate(piece)]
        processor.process_rows(BookBatch(given, [False] * len(given)))
        processor.process_trades(trades[before[1] : end[1]])
        before = end
    processor.finalize()
    return measured


def values(asked: str, *given: Any, **more: Any) -> list[list[float]]:
    """Return the value of one metric in each bar."""
    return [list(bar[1]) for _, bar in made([asked], *given, **more).bars()]


def prices(measured: MetricBars) -> list[list[float]]:
    """Return the prices of each bar: see `metrics.metric_bars.Prices`."""
    return [list(bar[0]) for _, bar in measured.bars()]


def file_of(measured: MetricBars, asked: Sequence[str]) -> bytes:
    return pack(*measured.file(parse_metrics(list(asked))))


def columns(raw: bytes) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Return the header of a file and its arrays as numbers, row after row."""
    header, arrays = unpack(raw)
    return header, {name: array("d", bytes(a.data)).tolist() for name, a in arrays.items()}
