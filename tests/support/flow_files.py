"""Small order-flow files, for the tests of what the page does with them.

What a replay writes is tested where it is made; here a few columns, bars and trades are enough.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from orderflow.array_file import Array, pack

ROWS = 400
TICK = 0.1
WINDOW_MS = 60_000
START_MS = 1_749_427_200_000  # 2025-06-09 00:00 UTC
CODES = {"uint8": "B", "uint16": "H", "uint32": "I", "float64": "d"}


def array(dtype: str, values: Iterable[Any], *shape: int) -> Array:
    """Return numbers as an array, in one dimension where no shape is given."""
    numbers = list(values)
    raw = struct.pack(f"<{len(numbers)}{CODES[dtype]}", *numbers)
    return Array(dtype, shape or (len(numbers),), raw)


def header(kind: str, run: str = "one", **fields: Any) -> dict[str, Any]:
    told = {"kind": kind, "instrument": "BTC-USDT", "run": run}
    tick = {"tick_units": 1, "tick_decimals": 1, "tick_refined": 0, "off_tick": False}
    return told | tick | fields


def heatmap(
    count: int, *, first: int | None = None, level: int = 0, run: str = "one", **changed: Any
) -> bytes:
    """Return `count` columns; a column's cells hold its number modulo 1000, bids below row 200."""
    column_ms = 250 * 4**level
    begin = START_MS // column_ms if first is None else first
    cells = []
    for column in range(begin, begin + count):
        value = 0x4000 + column % 1000
        cells += [value] * (ROWS // 2) + [value | 0x8000] * (ROWS // 2)
    arrays = {
        "low": array("float64", [105_000.0] * count),
        "row": array("float64", [2.0] * count),
        "bid": array("float64", [105_399.9] * count),
        "ask": array("float64", [105_400.0] * count),
        "updates": array("uint16", [1] * count),
        "cells": array("uint16", cells, count, ROWS),
    }
    fields = {"level": level, "column_ms": column_ms, "first": begin, "columns": count}
    return pack(header("heatmap", run, **fields, rows=ROWS) | changed, arrays)


def footprint(count: int, *, first: int = 0, run: str = "one", **changed: Any) -> bytes:
    """Return `count` bars of two rows each: 3 bought in the lower, 1 sold in the upper."""
    numbers = range(first, first + count)
    row = 1_054_000
    arrays = {"time": array("float64", [START_MS + number * WINDOW_MS for number in numbers])}
    bar = {"open": 105_400.0, "high": 105_400.1, "low": 105_400.0, "close": 105_400.1}
    bar |= {"buy": 3.0, "sell": 1.0, "other": 0.0, "min_delta": -1.0, "max_delta": 3.0}
    for name, value in (bar | {"vwap": 105_400.05}).items():
        arrays[name] = array("float64", [value] * count)
    arrays["cells_end"] = array("uint32", [2 * (place + 1) for place in range(count)])
    arrays["cell_row"] = array("float64", [row, row + 1] * count)
    arrays["cell_buy"] = array("float64", [3.0, 0.0] * count)
    arrays["cell_sell"] = array("float64", [0.0, 1.0] * count)
    arrays["cell_other"] = array("float64", [])
    arrays["profile_row"] = array("float64", [row, row + 1])
    arrays["profile_buy"] = array("float64", [3.0 * count, 0.0])
    arrays["profile_sell"] = array("float64", [0.0, 1.0 * count])
    arrays["profile_other"] = array("float64", [])
    session = {"start": START_MS, "row_ticks": 1, "volume": 4.0 * count, "vwap": 105_400.0}
    session |= {"poc": row, "vah": row, "val": row}
    fields = {"window_ms": WINDOW_MS, "first": first, "row_ticks": 1, "session": session}
    return pack(header("footprint", run, **fields) | changed, arrays)


def trades(count: int, *, first: int = 0, run: str = "one", **changed: Any) -> bytes:
    """Return `count` trades, one a second, bought and sold in turn."""
    numbers = range(first, first + count)
    arrays = {
        "time": array("float64", [START_MS + number * 1000 for number in numbers]),
        "price": array("float64", [105_400.0] * count),
        "size": array("float64", [1.0 + number % 7 for number in numbers]),
        "side": array("uint8", [1 + number % 2 for number in numbers]),
    }
    return pack(header("trades", run, first=first) | changed, arrays)


def best(count: int, *, first: int = 0, run: str = "one", **changed: Any) -> bytes:
    """Return `count` changes of the best prices, one a second."""
    numbers = range(first, first + count)
    arrays = {
        "time": array("float64", [START_MS + number * 1000 for number in numbers]),
        "bid": array("float64", [105_399.9 + number % 2 * TICK for number in numbers]),
        "ask": array("float64", [105_400.0 + number % 2 * TICK for number in numbers]),
    }
    return pack(header("best", run, first=first) | changed, arrays)


def put_bytes(directory: Path, name: str, content: bytes) -> None:
    """Replace a file as a whole, as the writer of the files does."""
    temporary = directory / f".{name}.tmp"
    temporary.write_bytes(content)
    temporary.replace(directory / name)


def put_flow(directory: Path, bars: int = 10, run: str = "one") -> None:
    """Write all files of a run of `bars` bars."""
    for level in range(5):
        seconds = bars * WINDOW_MS // 1000
        count = min(1024, max(1, seconds * 4 // 4**level))
        first = (START_MS + seconds * 1000) // (250 * 4**level) - count
        put_bytes(
            directory, f"heatmap_{level}.bin", heatmap(count, first=first, level=level, run=run)
        )
    put_bytes(directory, "footprint_data.bin", footprint(bars, run=run))
    put_bytes(directory, "trades_data.bin", trades(bars * 60, run=run))
    put_bytes(directory, "best_data.bin", best(bars * 60, run=run))
