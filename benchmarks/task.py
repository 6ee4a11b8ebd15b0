"""What every way of `contenders` reads, makes and measures: the task that `compare` sets."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
DEPTH = 50
MINUTE_MS = 60_000
BOOK = "SELECT bids, asks, timestamp FROM book ORDER BY id"
TRADES = "SELECT price, size, side, timestamp FROM trades ORDER BY id"

Bars = dict[str, list[list[float]]]
Result = dict[str, Any]


class Stopwatch:
    """Add up the seconds of each stage of the work."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of the block into a stage."""
        began = time.perf_counter()
        yield
        self.stages[name] = self.stages.get(name, 0.0) + time.perf_counter() - began


def connect(path: Path) -> sqlite3.Connection:
    """Open a finished recording for reading."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
