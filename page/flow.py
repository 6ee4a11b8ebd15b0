"""Answer for the order-flow files of a run: only what a browser does not have yet.

The files are those of docs/flow-files.md. A poll tells versions, which cost one look at the
directory; a file is read when a browser asks for it, once for all who do. What is torn or foreign
leaves the last good content, and is said once in the log and on the page.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from orderflow.array_file import ITEM_BYTES, MAX_FILE_BYTES, Array, pack, unpack
from orderflow.errors import ArrayFileError
from page.bar_range import BarRanges
from page.checks import MAX_NUMBER, FileContentError
from page.contents import Metrics
from page.files import Reading, WatchedFile
from viz_io import BEST_FILE, FLOW_FILES, FOOTPRINT_FILE, HEATMAP_FILES, TRADES_FILE

PATHS = {path.stem.removesuffix("_data"): path.name for path in FLOW_FILES}
"""The files by the name they have in addresses."""
KINDS = {
    **{path.name: "heatmap" for path in HEATMAP_FILES},
    FOOTPRINT_FILE.name: "footprint",
    TRADES_FILE.name: "trades",
    BEST_FILE.name: "best",
}
_CELLS = ("cell_row", "cell_buy", "cell_sell", "cell_other")


@dataclass(frozen=True)
class FlowContent:
    """Hold one file: `first` is the number of its first column, bar or row, `count` how many."""

    header: dict[str, Any]
    arrays: dict[str, Array]
    run: str
    first: int
    count: int


def parse_flow(raw: bytes, kind: str) -> FlowContent:
    """Return the content of an array file. Raise `FileContentError` for one that is none."""
    try:
        header, arrays = unpack(raw)
    except ArrayFileError as error:
        raise FileContentError(str(error), error.kind) from error
    if header.get("kind") != kind:
        raise FileContentError(f"it holds {str(header.get('kind'))!r:.60}, not {kind!r}", "kind")
    run, first = header.get("run"), header.get("first")
    if not isinstance(run, str) or type(first) is not int or first < 0:
        raise FileContentError("its header names no run, or no first number", "header")
    lead = arrays.get("low" if kind == "heatmap" else "time")
    if lead is None:
        raise FileContentError("it has no times", "header")
    content = FlowContent(header, arrays, run, first, lead.shape[0])
    _require_columns(content, kind)
    return content


def _require_columns(content: FlowContent, kind: str) -> None:
    """Raise `FileContentError` where arrays that are cut together have not one length."""
    for name, array in content.arrays.items():
        if name.startswith(("cell_", "profile_")):
            continue
        if array.shape[0] != content.count:
            raise FileContentError(
                f"{name!r} has {array.shape[0]} entries, {content.count} are needed", "shape"
            )
    if kind != "footprint":
        return
    missing = {"time", "buy", "sell", "cells_end", *_CELLS} - content.arrays.keys()
    if missing:
        raise FileContentError(f"it lacks {', '.join(sorted(missing))}", "shape")
    if content.arrays["cells_end"].dtype != "uint32":
        raise FileContentError("'cells_end' is not of uint32", "shape")
    ends = _numbers(content.arrays["cells_end"])
    cells = content.arrays["cell_row"].shape[0]
    if sorted(ends) != ends or (ends and ends[-1] != cells):
        raise FileContentError("'cells_end' does not divide its cells", "shape")
    for name in _CELLS:
        array = content.arrays[name]
        if array.shape[0] not in ((0, cells) if name == "cell_other" else (cells,)):
            raise FileContentError(f"{name!r} is not of its cells", "shape")


_CASTS = {"uint8": "B", "uint16": "H", "uint32": "I", "float64": "d"}


def _numbers(array: Array) -> list[Any]:
    return memoryview(bytes(array.data)).cast("B").cast(_CASTS[array.dtype]).tolist()  # type: ignore[call-overload, no-any-return]


def _cut(array: Array, start: int, stop: int) -> Array:
    """Return the entries from `start` to `stop` of the array's first dimension."""
    width = ITEM_BYTES[array.dtype]
    for size in array.shape[1:]:
        width *= size
    view = memoryview(array.data).cast("B")
    return Array(array.dtype, (stop - start, *array.shape[1:]), view[start * width : stop * width])


def cut_after(
    content: FlowContent, run: str, after: int, extra: Mapping[str, Any] | None = None
) -> bytes:
    """Return what of a file comes after the entry numbered `after`, as a file of the same kind.

    All of it, for a browser that has another run or nothing. `start` in the header is the number
    of the whole file's first entry: what a browser has of before is no longer in it.
    """
    begun = after + 1 - content.first if run == content.run else 0
    # Beyond its end: the run has gone back, and what the browser has is not what there is.
    start = begun if 0 <= begun <= content.count else 0
    arrays = dict(content.arrays)
    header = {
        name: value for name, value in content.header.items() if name not in ("arrays", "schema")
    }
    header |= {"first": content.first + start, "start": content.first, **(extra or {})}
    if "columns" in header:
        header["columns"] = content.count - start
    if "cells_end" in arrays:
        arrays |= _cut_cells(arrays, start)
    for name, array in arrays.items():
        if not name.startswith(("cell_", "cells_end", "profile_")):
            arrays[name] = _cut(array, start, content.count)
    return pack(header, arrays)


def _cut_cells(arrays: Mapping[str, Array], start: int) -> dict[str, Array]:
    """Return the cells of the bars from `start` on, and where each bar's end."""
    ends = _numbers(arrays["cells_end"])
    before = ends[start - 1] if start else 0
    raw = b"".join((end - before).to_bytes(4, "little") for end in ends[start:])
    cut = {"cells_end": Array("uint32", (len(ends) - start,), raw)}
    for name in _CELLS:
        array = arrays[name]
        cut[name] = _cut(array, min(before, array.shape[0]), array.shape[0])
    return cut


def cvd_before(content: FlowContent, metrics: Metrics) -> float:
    """Return the CVD before the first bar of a footprint file.

    Where the file does not say it, from the newest bar that the metrics know too. Files of one run
    are written one after the other: only closed bars are compared. 0 without any.
    """
    said = content.header.get("cvd_start")
    if isinstance(said, int | float) and abs(said) <= MAX_NUMBER:
        return float(said)
    times = [int(time) for time in _numbers(content.arrays["time"])[:-1]]
    sides = (_numbers(content.arrays[side]) for side in ("buy", "sell"))
    sums = accumulate(bought - sold for bought, sold in zip(*sides, strict=True))
    ran = dict(zip(times, sums, strict=False))
    closes = zip(metrics.times[:-1], metrics.cvd_closes[:-1], strict=True)
    for time, close in reversed(list(closes)):
        if close is not None and time in ran:
            return float(close - ran[time])
    return 0.0


class FlowFiles:
    """Watch the order-flow files of one output directory; any of them may be missing."""

    def __init__(self, directory: Path) -> None:
        self._files = {name: _FlowFile(directory / path) for name, path in PATHS.items()}
        self.ranges = BarRanges(directory)
        """All bars of the run."""

    def versions(self) -> dict[str, str]:
        """Return the files that are there and a name for what each holds; none is read."""
        found = {name: file.watched.peek() for name, file in self._files.items()}
        return {name: version for name, version in found.items() if version}

    def problems(self) -> list[tuple[str, str, bool]]:
        """Return (name, what is wrong, whether a good content stays) of each file in trouble."""
        readings = [(PATHS[name], file.reading) for name, file in self._files.items()]
        return [
            (name, reading.problem, reading.content is not None)
            for name, reading in readings
            if reading.problem
        ] + self.ranges.problems()

    def monitoring(self) -> dict[str, Any]:
        """Return what reading each file has cost, by name; none that was never asked for."""
        told = {PATHS[name]: file.watched.monitoring() for name, file in self._files.items()}
        asked = {name: found for name, found in told.items() if found["read"]["count"]}
        return asked | self.ranges.monitoring()

    def news(self, name: str, run: str, after: int, metrics: Metrics) -> bytes | None:
        """Return what a browser does not have of a file, None where there is no good file.

        The browser has the run `run` up to the entry numbered `after`. Raise `KeyError` for a name
        that is none of `PATHS`. Safe for several threads.
        """
        return self._files[name].news(run, after, metrics)


MAX_ANSWERS = 16
"""Most answers kept of one file: browsers that keep up all ask for the same."""


class _FlowFile:
    def __init__(self, path: Path) -> None:
        kind = KINDS[path.name]
        self.watched: WatchedFile[FlowContent] = WatchedFile(
            path, lambda raw: parse_flow(raw, kind), optional=True, most=MAX_FILE_BYTES
        )
        self.reading: Reading[FlowContent] = Reading()
        self._lock = threading.Lock()
        self._answers: dict[tuple[str, str, int], bytes] = {}

    def news(self, run: str, after: int, metrics: Metrics) -> bytes | None:
        with self._lock:
            self.reading = self.watched.refresh()
            content = self.reading.content
            if content is None:
                return None
            asked = (self.reading.version, run, after)
            if asked not in self._answers:
                if len(self._answers) >= MAX_ANSWERS:
                    self._answers.clear()
                extra = {}
                if content.header["kind"] == "footprint":
                    extra["cvd_start"] = cvd_before(content, metrics)
                self._answers[asked] = cut_after(content, run, after, extra)
            return self._answers[asked]
