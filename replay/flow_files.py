"""Write the files of the order flow, each at most twice a second."""

import os
import time
from collections.abc import Callable
from functools import partial
from time import monotonic

from metrics.flow import FileParts
from ohlc_processor import OHLCProcessor
from orderflow.array_file import pack
from replay.run_files import RunFiles
from viz_io import BEST_FILE, FOOTPRINT_FILE, HEATMAP_FILES, TRADES_FILE

MIN_SECONDS_BETWEEN_WRITES = 0.5
"""A file is written so often at most; a heatmap half as often as the one that is finer."""


class FlowFiles:
    """The files of a run's order flow (see docs/flow-files.md), in the directory of `files`."""

    def __init__(
        self, files: RunFiles, instrument: str, clock: Callable[[], float] = monotonic
    ) -> None:
        self._files = files
        # Another run of the same process begins at another time.
        self.names = {"instrument": instrument, "run": f"{time.time_ns():x}-{os.getpid()}"}
        """What stands in the header of every file of the run."""
        self._clock = clock
        self._looked, self._took = -1.0, 0.0
        self._next: dict[str, float] = {}
        self._written: dict[str, tuple[int, int]] = {}

    def publish(self, processor: OHLCProcessor, *, last: bool = False, waits: bool = False) -> None:
        """Write the files that have changed and are due, or all of them for the `last` time.

        They take at most 2 % of a run's time, and 20 % of that of one that `waits`.
        """
        began = self._clock()
        flow = processor.flow
        pause = max(MIN_SECONDS_BETWEEN_WRITES, (5 if waits else 50) * self._took)
        if flow is None or (began < self._looked + pause and not last):
            return
        rows, trades = (processor.rows, flow.grid.version), (processor.trades, flow.grid.version)
        for level, path in enumerate(HEATMAP_FILES if flow.has_heatmap else ()):
            self._publish(
                path.name,
                rows,
                partial(flow.heatmap_file, level, processor.book),
                last=last,
                seconds=MIN_SECONDS_BETWEEN_WRITES * 2**level,
            )
        self._publish(
            FOOTPRINT_FILE.name, trades, lambda: flow.footprint_file(processor.bars()), last=last
        )
        self._publish(TRADES_FILE.name, trades, flow.trades_file, last=last)
        self._publish(BEST_FILE.name, rows, flow.best_file, last=last)
        self._looked = self._clock()
        self._took = self._looked - began

    def _publish(
        self,
        name: str,
        version: tuple[int, int],
        make: Callable[[], FileParts],
        *,
        last: bool,
        seconds: float = MIN_SECONDS_BETWEEN_WRITES,
    ) -> None:
        now = self._clock()
        if self._written.get(name) == version or not (last or now >= self._next.get(name, now)):
            return
        fields, arrays = make()
        self._files.write_flow({name: pack({**fields, **self.names}, arrays)})
        if self._files.failure is None:
            self._written[name] = version
        self._next[name] = now + seconds
