"""Export recordings in tests, and read what was exported with plain code."""

import struct
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from formats.export_formats import find_format
from formats.exporting import Exported, export
from formats.market_pass import PassOptions
from synthetic_market import NORMAL, write_recording

START = 1_749_427_200_000  # 2025-06-09, UTC
MINUTE = 60_000
EVENT = struct.Struct("<QqqddQqd")
TRADE, CLEAR = 2, 3
BUY, SELL = 1 << 29, 1 << 28
Side = dict[float, float]


class BookAt(NamedTuple):
    ms: int
    bids: Side
    asks: Side


def recording_of(
    folder: Path, *, rows: int = 400, minutes: int = 5, seed: int = 1, instrument: str = "BTC-USDT"
) -> Path:
    """Write a recording of some minutes into a folder of its own, and return the folder."""
    folder.mkdir(exist_ok=True)
    write_recording(
        folder / f"{instrument}.db", instrument, START, START + minutes * MINUTE, seed=seed,
        density=NORMAL, max_rows=rows,
    )  # fmt: skip
    return folder


def exported(
    name: str,
    folder: Path,
    into: Path,
    *,
    instrument: str = "BTC-USDT",
    start: int = START,
    end: int = START + 30 * MINUTE,
    window: int = 60,
    levels: int = 10,
) -> Exported:
    options = PassOptions(instrument, start, end, window)
    return export(find_format(name, window, levels), options, folder, into)


def events_in(path: Path) -> list[tuple[Any, ...]]:
    """Return the events of an npz, each a tuple of its fields."""
    with zipfile.ZipFile(path) as archive:
        data = archive.read("data.npy")
    return list(EVENT.iter_unpack(data[10 + int.from_bytes(data[8:10], "little") :]))


def books_by_events(events: Sequence[tuple[Any, ...]]) -> Iterator[BookAt]:
    """Yield the book after the events of each time; levels without a side are ignored."""
    sides: tuple[Side, Side] = ({}, {})
    last = None
    for flags, time, _, price, size, *_ in events:
        if flags & 0xFF == TRADE:
            continue
        if last not in (None, time):
            yield BookAt(last // 1_000_000, dict(sides[0]), dict(sides[1]))
        last = time
        if flags & 0xFF == CLEAR:
            sides[0].clear()
            sides[1].clear()
        elif flags & (BUY | SELL):
            change(sides[0 if flags & BUY else 1], price, size)
    if last is not None:
        yield BookAt(last // 1_000_000, sides[0], sides[1])


def change(side: Side, price: float, size: float) -> None:
    if size:
        side[price] = size
    else:
        side.pop(price, None)
