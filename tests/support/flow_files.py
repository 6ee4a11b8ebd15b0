"""Write order-flow files by definition, slowly, for the tests of the page.

The book is walked anew for every column and trades are added up in dicts: this knows nothing of how
a replay makes the same files.
"""

from __future__ import annotations

import math
import struct
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orderflow.array_file import Array, pack

ROWS = 400
MAX_COLUMNS = 1024
CODES = {"uint8": "B", "uint16": "H", "uint32": "I", "float64": "d"}

Book = tuple[dict[float, float], dict[float, float]]
Trade = tuple[int, float, float, str]
"""Time in ms, price, size, side."""


@dataclass
class Flow:
    """Hold what the files are made of: `books` as (time, book after it), `trades` by time."""

    instrument: str
    tick: float
    decimals: int
    window_ms: int
    run: str = "made-up"
    books: list[tuple[int, Book]] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)


def array(dtype: str, values: Iterable[Any], *shape: int) -> Array:
    """Return numbers as an array, in one dimension where no shape is given."""
    numbers = list(values)
    raw = struct.pack(f"<{len(numbers)}{CODES[dtype]}", *numbers)
    return Array(dtype, shape or (len(numbers),), raw)


def cell(size: float, *, ask: bool) -> int:
    """Return a size as bfloat16, negative for asks."""
    bits: int = struct.unpack("<I", struct.pack("<f", size))[0]
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return rounded | (0x8000 if ask else 0)


def header(flow: Flow, kind: str, **fields: Any) -> dict[str, Any]:
    units = round(flow.tick * 10**flow.decimals)
    return {
        "kind": kind,
        "instrument": flow.instrument,
        "run": flow.run,
        "tick_units": units,
        "tick_decimals": flow.decimals,
        "tick_refined": 0,
        "off_tick": False,
        **fields,
    }


def write_flow(directory: Path, flow: Flow) -> None:
    """Write all files of `flow` into `directory`, each replaced as a whole."""
    for name, content in flow_files(flow).items():
        temporary = directory / f".{name}.tmp"
        temporary.write_bytes(content)
        temporary.replace(directory / name)


def flow_files(flow: Flow) -> dict[str, bytes]:
    """Return the files of `flow` by name."""
    files = {f"heatmap_{level}.bin": heatmap(flow, level) for level in range(5)}
    files["footprint_data.bin"] = footprint(flow)
    files["trades_data.bin"] = trades_file(flow)
    files["best_data.bin"] = best_file(flow)
    return files


def heatmap(flow: Flow, level: int) -> bytes:
    column_ms = 250 * 4**level
    last_of: dict[int, Book] = {time // column_ms: book for time, book in flow.books}
    first = min(last_of)
    first = max(first, max(last_of) - MAX_COLUMNS + 1)
    columns: dict[str, list[Any]] = {
        n: [] for n in ("low", "row", "bid", "ask", "updates", "cells")
    }
    book: Book = ({}, {})
    for number in range(min(last_of), max(last_of) + 1):
        book = last_of.get(number, book)
        if number >= first:
            column = column_of(flow, book, level)
            column["updates"] = 1 if number in last_of else 0
            for name, value in column.items():
                (columns[name].extend if name == "cells" else columns[name].append)(value)
    count = len(columns["low"])
    arrays = {name: array("float64", columns[name]) for name in ("low", "row", "bid", "ask")}
    arrays["updates"] = array("uint16", columns["updates"])
    arrays["cells"] = array("uint16", columns["cells"], count, ROWS)
    fields = {
        "level": level,
        "column_ms": column_ms,
        "first": first,
        "columns": count,
        "rows": ROWS,
    }
    return pack(header(flow, "heatmap", **fields), arrays)


def column_of(flow: Flow, book: Book, level: int) -> dict[str, Any]:
    bids, asks = book
    bid, ask = max(bids, default=0.0), min(asks, default=0.0)
    mid = (bid + ask) / 2 if bid and ask else bid or ask
    row_ticks = nice(1.6e-5 * mid / flow.tick) * 2**level
    middle = round(mid / flow.tick) // row_ticks // 100 * 100
    low = max(0, middle - 150)
    cells = [0] * ROWS
    held: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for side, levels in enumerate(book):
        for price, size in levels.items():
            held[round(price / flow.tick) // row_ticks - low][side] += size
    for row, sizes in held.items():
        if 0 <= row < ROWS:
            is_ask = sizes[1] > sizes[0]
            cells[row] = cell(sizes[is_ask], ask=is_ask)
    size = row_ticks * flow.tick
    return {"low": low * size, "row": size, "bid": bid, "ask": ask, "cells": cells}


def nice(least: float) -> int:
    """Return the least of 1, 2, 5, 10, … that is at least `least`."""
    power = 1
    while True:
        for step in (1, 2, 5):
            if step * power >= least:
                return step * power
        power *= 10


def footprint(flow: Flow, max_bars: int = 1000) -> bytes:
    bars: dict[int, list[Trade]] = defaultdict(list)
    for trade in flow.trades:
        bars[trade[0] // flow.window_ms].append(trade)
    columns: dict[str, list[Any]] = defaultdict(list)
    value = volume = 0.0
    for number, trades in bars.items():
        columns["time"].append(number * flow.window_ms)
        paid = [price for _, price, _, _ in trades]
        columns["open"].append(paid[0])
        columns["high"].append(max(paid))
        columns["low"].append(min(paid))
        columns["close"].append(paid[-1])
        sums = {"buy": 0.0, "sell": 0.0, "other": 0.0}
        cells: dict[int, dict[str, float]] = defaultdict(lambda: {"buy": 0.0, "sell": 0.0})
        delta = least = most = 0.0
        for _, price, size, side in trades:
            sums[side] += size
            cells[round(price / flow.tick)][side] += size
            delta += {"buy": size, "sell": -size}[side]
            least, most = min(least, delta), max(most, delta)
            value, volume = value + price * size, volume + size
        for name, total in sums.items():
            columns[name].append(total)
        columns["min_delta"].append(least)
        columns["max_delta"].append(most)
        columns["vwap"].append(value / volume)
        for row in sorted(cells):
            columns["cell_row"].append(row)
            columns["cell_buy"].append(cells[row]["buy"])
            columns["cell_sell"].append(cells[row]["sell"])
        columns["cells_end"].append(len(columns["cell_row"]))
    prices = ("open", "high", "low", "close", "vwap")
    names = ("time", *prices, "buy", "sell", "other", "min_delta", "max_delta")
    arrays = {name: array("float64", columns[name]) for name in names}
    arrays["cells_end"] = array("uint32", columns["cells_end"])
    for name in ("cell_row", "cell_buy", "cell_sell"):
        arrays[name] = array("float64", columns[name])
    arrays["cell_other"] = array("float64", [])
    session, profile = session_of(flow)
    arrays |= profile
    fields = {"window_ms": flow.window_ms, "first": 0, "row_ticks": 1, "session": session}
    return pack(header(flow, "footprint", **fields), arrays)


def session_of(flow: Flow) -> tuple[dict[str, Any] | None, dict[str, Array]]:
    """Return the profile of the day of the last trade."""
    day = 86_400_000
    start = flow.trades[-1][0] // day * day if flow.trades else 0
    rows: dict[int, dict[str, float]] = defaultdict(lambda: {"buy": 0.0, "sell": 0.0})
    value = 0.0
    for time, price, size, side in flow.trades:
        if time >= start:
            rows[round(price / flow.tick)][side] += size
            value += price * size
    ordered = sorted(rows)
    volumes = [rows[row]["buy"] + rows[row]["sell"] for row in ordered]
    arrays = {
        "profile_row": array("float64", ordered),
        "profile_buy": array("float64", [rows[row]["buy"] for row in ordered]),
        "profile_sell": array("float64", [rows[row]["sell"] for row in ordered]),
        "profile_other": array("float64", [0.0] * len(ordered)),
    }
    if not ordered:
        return None, arrays
    poc, low, high = value_area(ordered, volumes)
    session = {
        "start": start,
        "row_ticks": 1,
        "volume": sum(volumes),
        "vwap": value / sum(volumes),
        "poc": ordered[poc],
        "vah": ordered[high],
        "val": ordered[low],
    }
    return session, arrays


def value_area(rows: Sequence[int], volumes: Sequence[float]) -> tuple[int, int, int]:
    """Return the places of the point of control and of the ends, by the rule of flow-files.md."""
    middle = (rows[0] + rows[-1]) / 2
    poc = min(range(len(rows)), key=lambda at: (-volumes[at], abs(rows[at] - middle), rows[at]))
    low = high = poc
    held, wanted = volumes[poc], 0.7 * sum(volumes)
    while held < wanted and (low > 0 or high < len(rows) - 1):
        above, below = volumes[high + 1 : high + 3], volumes[max(0, low - 2) : low]
        if above and (not below or math.fsum(above) >= math.fsum(below)):
            high, held = high + len(above), held + math.fsum(above)
        else:
            low, held = low - len(below), held + math.fsum(below)
    return poc, low, high


SIDES = {"buy": 1, "sell": 2}


def trades_file(flow: Flow) -> bytes:
    arrays = {
        "time": array("float64", [trade[0] for trade in flow.trades]),
        "price": array("float64", [trade[1] for trade in flow.trades]),
        "size": array("float64", [trade[2] for trade in flow.trades]),
        "side": array("uint8", [SIDES.get(trade[3], 0) for trade in flow.trades]),
    }
    return pack(header(flow, "trades", first=0), arrays)


def best_file(flow: Flow) -> bytes:
    found: list[tuple[int, float, float]] = []
    for time, (bids, asks) in flow.books:
        best = max(bids, default=0.0), min(asks, default=0.0)
        if not found or found[-1][1:] != best:
            found.append((time, *best))
    columns = zip(*found, strict=True) if found else ([], [], [])
    arrays = {
        name: array("float64", column)
        for name, column in zip(("time", "bid", "ask"), columns, strict=True)
    }
    return pack(header(flow, "best", first=0), arrays)
