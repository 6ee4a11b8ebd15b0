"""Write the file of metrics as a run does, for the tests of the page alone."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

from flow_files import put_bytes
from page_fixtures import START_MS, WINDOW_MS

from orderflow.array_file import Array, pack

NAME = "metric_bars.bin"
LINE, CANDLES = ("value",), ("open", "high", "low", "close")


def described(asked: str, fields: tuple[str, ...] = LINE, unit: str = "size") -> dict[str, Any]:
    """Return what a file says of a metric."""
    return {"asked": asked, "fields": fields, "unit": unit, "name": asked.partition(":")[0]}


def metric_file(
    count: int, *metrics: dict[str, Any], values: Any = lambda bar, _: float(bar), **header: Any
) -> bytes:
    """Return a file of so many bars, whose values are those of (number of the bar, field)."""
    times = array("d", (START_MS + bar * WINDOW_MS for bar in range(count)))
    arrays = {"time": Array("float64", [count], times.tobytes())}
    listed = []
    for place, metric in enumerate(metrics):
        found = array("d", (values(bar, name) for bar in range(count) for name in metric["fields"]))
        shape = [count, len(metric["fields"])]
        arrays[f"metric_{place}"] = Array("float64", shape, found.tobytes())
        listed.append({"array": f"metric_{place}", **metric})
    told = {"kind": "metrics", "bars": {"kind": "time", "size": 60}, "metrics": listed}
    return pack(told | header, arrays)


def put_metrics(directory: Path, bars: int, *metrics: dict[str, Any], **options: Any) -> None:
    """Write the file into a directory."""
    put_bytes(directory, NAME, metric_file(bars, *metrics, **options))
