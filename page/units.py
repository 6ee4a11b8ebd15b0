"""Know what the sizes of a run are in, and write them in base currency where that can be done.

A recording has sizes as the exchange sent them: base currency on spot, contracts elsewhere (or base
currency, on Binance). What a contract stands for is in no recording: who serves the page may say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from orderflow.errors import UsageError
from orderflow.instruments import Instrument
from page.contents import Bars, Depth, Metrics, Status
from page.files import PageData, Reading
from page.metric_contents import Measured, MetricBars


@dataclass(frozen=True)
class Unit:
    """Hold a currency and what a recorded size is multiplied by; no name where none is known."""

    name: str | None = None
    factor: float = 1.0


def unit_of(instrument: str | None, contract_values: Mapping[str, str]) -> Unit:
    """Return what the sizes of an instrument are shown in.

    A linear contract's value is in base currency, an inverse one's in quote currency; sizes are
    shown in the same.
    """
    if instrument is None:
        return Unit()
    value = contract_values.get(instrument)
    try:
        known = Instrument(instrument, "1", "1", value or "1")
    except UsageError:  # a name of another exchange's form
        return Unit()
    if value is None:
        return Unit(known.base) if known.kind == "spot" else Unit()
    return Unit(known.base if known.linear else known.quote, float(value))


def in_unit(data: PageData, unit: Unit) -> PageData:
    """Return the same data with all sizes, volumes and CVD in the unit."""
    if unit.factor == 1:
        return data
    return replace(
        data,
        bars=_with(data.bars, lambda bars: _bars(bars, unit.factor)),
        metrics=_with(data.metrics, lambda metrics: _metrics(metrics, unit.factor)),
        depth=_with(data.depth, lambda depth: _depth(depth, unit.factor)),
        status=_with(data.status, lambda status: _status(status, unit.factor)),
        measured=_with(data.measured, lambda measured: _measured(measured, unit.factor)),
    )


Content = TypeVar("Content")


def _with(reading: Reading[Content], change: Callable[[Content], Content]) -> Reading[Content]:
    return replace(reading, content=change(reading.content)) if reading.content else reading


def _times(size: float, factor: float) -> float:
    """Return a size in the unit, without the digits that are none: 3 · 0.1 is 0.3."""
    return float(f"{size * factor:.12g}")


def _bars(bars: Bars, factor: float) -> Bars:
    return replace(bars, volumes=[_times(volume, factor) for volume in bars.volumes])


def _metrics(metrics: Metrics, factor: float) -> Metrics:
    closes = [None if close is None else _times(close, factor) for close in metrics.cvd_closes]
    return replace(metrics, cvd_closes=closes)


def _measured(bars: MetricBars, factor: float) -> MetricBars:
    """Return metrics of sizes, and of prices by size, in the unit; others have none in them."""
    factors = {"size": factor, "size per basis point": factor, "price per size": 1 / factor}
    return replace(
        bars,
        metrics=tuple(
            _scaled(metric, factors[metric.unit]) if metric.unit in factors else metric
            for metric in bars.metrics
        ),
    )


def _scaled(metric: Measured, factor: float) -> Measured:
    columns = {
        name: [None if value is None else _times(value, factor) for value in values]
        for name, values in metric.columns.items()
    }
    return replace(metric, columns=columns)


def _depth(depth: Depth, factor: float) -> Depth:
    bids, asks = (
        [(price, _times(size, factor)) for price, size in side] for side in (depth.bids, depth.asks)
    )
    return Depth(bids, asks)


def _status(status: Status, factor: float) -> Status:
    if status.volume is None:
        return status
    return replace(status, volume=_times(status.volume, factor))
