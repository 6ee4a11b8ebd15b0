"""Check and convert the file of the metrics that a run was asked for.

Pure, and bounded as in `page.contents`. `metrics/metric_bars.py` writes what is read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orderflow.array_file import Array, unpack
from orderflow.errors import ArrayFileError
from page import checks
from page.checks import MAX_NUMBER, FileContentError
from viz_io import MAX_BARS

MAX_METRICS = 32
MAX_FIELDS = 64

Column = list[float | None]


@dataclass(frozen=True)
class Measured:
    """Hold one metric: `asked` is the text that asked for it, `columns` its values by field.

    A bar without a value has None.
    """

    asked: str
    unit: str
    columns: Mapping[str, Column]


@dataclass(frozen=True)
class MetricBars:
    """Hold bars of any kind with their metrics; a bar's time is its start, in ms, UTC."""

    kind: str
    size: float
    times: list[int]
    metrics: tuple[Measured, ...]

    @property
    def described(self) -> tuple[tuple[str, str], ...]:
        """Return what each metric is called and its unit: what a picture of them is made for."""
        return tuple((metric.asked, metric.unit) for metric in self.metrics)


def parse_metric_bars(raw: bytes) -> MetricBars:
    """Return the content of a file of metrics. Raise `FileContentError` for what is none."""
    try:
        header, arrays = unpack(raw)
    except ArrayFileError as error:
        raise FileContentError(str(error), error.kind) from error
    if header.get("kind") != "metrics":
        raise FileContentError(
            f"it holds {checks.short_form(header.get('kind'))}, not 'metrics'", "kind"
        )
    bars = checks.typed(header.get("bars"), dict, "'bars'")
    listed = checks.typed(header.get("metrics"), list, "'metrics'")
    checks.bounded(listed, MAX_METRICS, "'metrics'", "entries")
    times = [checks.timestamp(time, "a time") for time in _numbers(arrays, "time", 1)]
    checks.bounded(times, MAX_BARS, "'time'", "bars")
    return MetricBars(
        checks.name(bars.get("kind"), "the kind of its bars"),
        checks.number(bars.get("size"), "the size of its bars"),
        times,
        tuple(_measured(entry, arrays, len(times)) for entry in listed),
    )


def _measured(entry: Any, arrays: Mapping[str, Array], bars: int) -> Measured:
    metric = checks.typed(entry, dict, "an entry of 'metrics'")
    asked = checks.text(metric.get("asked"), "what was asked for")
    fields = checks.typed(metric.get("fields"), list, f"the fields of {asked!r:.60}")
    checks.bounded(fields, MAX_FIELDS, f"{asked!r:.60}", "fields")
    names = [checks.name(name, f"a field of {asked!r:.60}") for name in fields]
    values = _numbers(arrays, checks.name(metric.get("array"), "the name of an array"), 2)
    if len(values) != bars * len(names) or len({*names}) != len(names):
        raise FileContentError(f"the values of {asked!r:.60} are not those of its bars", "shape")
    columns = {name: _column(values[place :: len(names)]) for place, name in enumerate(names)}
    return Measured(asked, checks.text(metric.get("unit"), "a unit"), columns)


def _numbers(arrays: Mapping[str, Array], name: str, dimensions: int) -> list[float]:
    array = arrays.get(name)
    if array is None or array.dtype != "float64" or len(array.shape) != dimensions:
        raise FileContentError(f"it has no {name!r:.60} of float64", "shape")
    return list(memoryview(bytes(array.data)).cast("d"))


def _column(values: list[float]) -> Column:
    """Return the values that can be drawn; what is none, or of no market, is None."""
    return [value if -MAX_NUMBER <= value <= MAX_NUMBER else None for value in values]
