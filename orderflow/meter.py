"""Measure how long reading and writing takes, and how much memory a process has."""

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

STATM = Path("/proc/self/statm")


class Meter:
    """How often something was done, how many bytes it was about, and how long it took."""

    def __init__(self) -> None:
        self.count = 0
        self._bytes = 0
        self._seconds = 0.0
        self._longest = 0.0

    @contextmanager
    def measuring(self, size: int) -> Iterator[None]:
        """Measure a block that is about `size` bytes; one that fails is not counted."""
        began = perf_counter()
        yield
        seconds = perf_counter() - began
        self.count += 1
        self._bytes = size
        self._seconds += seconds
        self._longest = max(self._longest, seconds)

    def document(self) -> dict[str, float]:
        """Return the count, the bytes of the last time, and mean and most in ms."""
        return {
            "count": self.count,
            "bytes": self._bytes,
            "mean_ms": round(1000 * self._seconds / max(self.count, 1), 3),
            "most_ms": round(1000 * self._longest, 3),
        }


def memory_document() -> dict[str, float | None]:
    """Return the memory of this process in MB: now, None where the system does not say, and most.

    Processes that it has started are not in it.
    """
    now = None
    if STATM.exists():
        pages = int(STATM.read_text().split()[1])
        now = round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    return {"now_mb": now, "most_mb": round(most * unit / 1e6, 1)}
