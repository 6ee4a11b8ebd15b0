"""Write the rolling JSON files that the page polls, each replaced as a whole.

A file is written under a temporary name of its own in the same directory and then renamed, so that
a reader sees the old file or the new one, never a part, whatever is killed when. The functions are
for anyone who wants to show data on the page, and have written when they return; a replay uses
`RunFiles`, which owns the directory for one run and writes at most ten times a second.
"""

import contextlib
import fcntl
import logging
import os
import re
from collections.abc import Callable, Sequence
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import Any

import orjson

from errors import OutputError

logger = logging.getLogger(__name__)

OUTPUT_DIR = Path(os.environ.get("ORDERFLOW_OUTPUT_DIR") or Path(__file__).resolve().parent)
"""Where the files are: beside the code, or what the environment says."""
DATA_FILE = OUTPUT_DIR / "ohlc_data.json"
"""`[[ts, open, high, low, close, volume], …]`, the last `MAX_BARS`; ts in ms, UTC."""
DEPTH_FILE = OUTPUT_DIR / "depth_data.json"
"""`{"bids": [[price, size], …], "asks": [[price, size], …]}`, best first."""
METRICS_FILE = OUTPUT_DIR / "metrics_data.json"
"""`[[ts, obi_o, obi_h, obi_l, obi_c, tot_…, cvd_…], …]`, of 5, 9 or 13 fields."""
STATUS_FILE = OUTPUT_DIR / "status_data.json"
"""The state of the run, an object; see docs/reference.md."""
MAX_BARS = 1000
"""Most bars kept in a file."""
MIN_SECONDS_BETWEEN_WRITES = 0.1
"""A replay writes a file at most ten times a second (ADR-002)."""
LOCK_NAME = ".orderflow.lock"

_TEMPORARY = re.compile(r"\..+\.json\.(\d+)\.[0-9a-f]+\.tmp")

Bar = list[float]
Levels = Sequence[Sequence[float]]


def add_ohlc_bar(
    timestamp: int,
    open_price: float,
    high_price: float,
    low_price: float,
    close_price: float,
    volume: float,
) -> None:
    """Append an OHLC bar to `DATA_FILE` and keep the last `MAX_BARS`.

    `timestamp` is the start of the window in ms, UTC; prices in quote currency, volume as recorded.
    Raise `OutputError` for a number that is not finite, `OSError` when the file can't be written.
    """
    bar = [timestamp, open_price, high_price, low_price, close_price, volume]
    _append(DATA_FILE, bar, replace=False)


def upsert_ohlc_bar(
    timestamp: int,
    open_price: float,
    high_price: float,
    low_price: float,
    close_price: float,
    volume: float,
) -> None:
    """Replace the OHLC bar of the same timestamp, or append it; else like `add_ohlc_bar`."""
    bar = [timestamp, open_price, high_price, low_price, close_price, volume]
    _append(DATA_FILE, bar, replace=True)


def clear_data() -> None:
    """Make `DATA_FILE` an empty list. Raise `OSError` when it can't be written."""
    write_json(DATA_FILE, [])


def add_metric_bar(
    timestamp: int,
    obi_open: float,
    obi_high: float,
    obi_low: float,
    obi_close: float,
    tot: Sequence[float] = (),
    cvd: Sequence[float] = (),
) -> None:
    """Append a metric bar to `METRICS_FILE` and keep the last `MAX_BARS`.

    `tot` and `cvd` are open, high, low and close too, or left out: a bar has 5 fields with OBI
    alone, 9 with TOT, 13 with CVD. Raise `OutputError` for a number that is not finite or a bar of
    another length, `OSError` when the file can't be written.
    """
    bar = _metric_bar(timestamp, (obi_open, obi_high, obi_low, obi_close), tot, cvd)
    _append(METRICS_FILE, bar, replace=False)


def upsert_metric_bar(
    timestamp: int,
    obi_open: float,
    obi_high: float,
    obi_low: float,
    obi_close: float,
    tot: Sequence[float] = (),
    cvd: Sequence[float] = (),
) -> None:
    """Replace the metric bar of the same timestamp, or append it; else like `add_metric_bar`."""
    bar = _metric_bar(timestamp, (obi_open, obi_high, obi_low, obi_close), tot, cvd)
    _append(METRICS_FILE, bar, replace=True)


def clear_metrics() -> None:
    """Make `METRICS_FILE` an empty list. Raise `OSError` when it can't be written."""
    write_json(METRICS_FILE, [])


def set_depth_data(bids: Levels, asks: Levels) -> None:
    """Write the depth, `[[price, size], …]` a side, best first, to `DEPTH_FILE`.

    Raise `OutputError` for a number that is not finite, `OSError` when the file can't be written.
    """
    sides = {
        "bids": [[*_finite(level)] for level in bids],
        "asks": [[*_finite(level)] for level in asks],
    }
    write_json(DEPTH_FILE, sides)


def write_json(path: Path, value: object, *, durable: bool = False) -> None:
    """Replace `path` by the JSON of `value`, as a whole.

    `durable` also flushes file and directory to the disk, for the last write of a run. Raise
    `OSError` when that fails; the old file is then still there and no temporary is left.
    """
    _replace(path, orjson.dumps(value), durable=durable)


def _replace(path: Path, data: bytes, *, durable: bool) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(6).hex()}.tmp")
    # O_EXCL and O_NOFOLLOW: never through a file or link that someone else has put there. 0o666,
    # less the umask, is what a plain open would make, so that other users can read.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(temporary, flags, 0o666)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 (a descriptor, no path)
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _finite(numbers: Sequence[float]) -> Sequence[float]:
    if not all(isfinite(number) for number in numbers):
        msg = f"numbers in the files must be finite; found {list(numbers)}"
        raise OutputError(msg)
    return numbers


def _metric_bar(
    timestamp: int, obi: Sequence[float], tot: Sequence[float], cvd: Sequence[float]
) -> Bar:
    bar = [timestamp, *obi, *tot, *cvd]
    if len(tot) not in (0, 4) or len(cvd) not in (0, 4) or (cvd and not tot):
        msg = f"a metric bar has 5, 9 or 13 fields (TOT comes before CVD); found {len(bar)}"
        raise OutputError(msg)
    return bar


def _append(path: Path, bar: Bar, *, replace: bool) -> None:
    _finite(bar)
    bars = _read_bars(path)
    place = next((i for i in range(len(bars) - 1, -1, -1) if bars[i][0] == bar[0]), None)
    if replace and place is not None:
        bars[place] = bar
    else:
        bars.append(bar)
    write_json(path, bars[-MAX_BARS:])


def _read_bars(path: Path) -> list[Bar]:
    try:
        bars = orjson.loads(path.read_bytes())
        if all(len(bar) >= 5 for bar in bars):
            return list(bars)
    except FileNotFoundError:
        return []
    except (orjson.JSONDecodeError, TypeError):
        pass
    logger.warning("%s held no bars and is begun anew", path)
    return []


class RunFiles:
    """The files of one run in one directory, which no other run may use meanwhile.

    Opening takes the directory's lock and removes the temporaries that dead processes left. Raise
    `OutputError`, with the pid of the other run, when the directory is in use, or when it can't be
    used. A write that fails later is said once and tried again; `failure` holds its error as long
    as the files are behind.
    """

    def __init__(self, directory: Path, clock: Callable[[], float] = monotonic) -> None:
        self.directory = directory
        self.failure: OSError | None = None
        self._clock = clock
        self._next_write = -1.0
        self._written: dict[str, bytes] = {}
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock: int | None = _take_lock(directory)
            _remove_leftovers(directory)
        except OSError as error:
            msg = (
                f"{directory}: cannot be written to ({error.strerror}); choose another directory "
                "with --output-dir"
            )
            raise OutputError(msg) from error

    def clear(self, status: dict[str, Any]) -> None:
        """Replace what an earlier run left by empty files and the new run's status."""
        self.publish([], [], ([], []), status)

    @property
    def is_due(self) -> bool:
        """Tell whether it is time to write again."""
        return self._clock() >= self._next_write

    def publish(
        self,
        ohlc: Sequence[Sequence[float]],
        metrics: Sequence[Sequence[float]],
        depth: tuple[Levels, Levels],
        status: dict[str, Any],
        *,
        durable: bool = False,
    ) -> None:
        """Write each file whose content has changed; `durable` for the last time in a run."""
        began = self._clock()
        contents: dict[str, object] = {
            DATA_FILE.name: ohlc,
            METRICS_FILE.name: metrics,
            DEPTH_FILE.name: {"bids": depth[0], "asks": depth[1]},
            STATUS_FILE.name: status,
        }
        try:
            for name, value in contents.items():
                self._write(name, orjson.dumps(value), durable=durable)
        except OSError as error:
            if self.failure is None:
                logger.error("%s: cannot be written (%s); will try again", self.directory, error)
            self.failure = error
        else:
            if self.failure is not None:
                logger.warning("%s: written again", self.directory)
            self.failure = None
        ended = self._clock()
        # No more than 2 % of a fast replay's time goes into files.
        self._next_write = ended + max(MIN_SECONDS_BETWEEN_WRITES, 50 * (ended - began))

    def _write(self, name: str, data: bytes, *, durable: bool) -> None:
        if durable or self._written.get(name) != data:
            _replace(self.directory / name, data, durable=durable)
            self._written[name] = data

    def close(self) -> None:
        """Give the directory free for the next run; harmless when repeated."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                (self.directory / LOCK_NAME).unlink()
            os.close(self._lock)
            self._lock = None


def _take_lock(directory: Path) -> int:
    """Lock the directory; the system frees the lock when the process ends in whatever way."""
    path = directory / LOCK_NAME
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            msg = (
                f"{directory}: in use by another run, pid {owner}; wait for it, stop it, or choose "
                "another directory with --output-dir"
            )
            raise OutputError(msg) from None
        with contextlib.suppress(FileNotFoundError):
            # The run before may have removed the file between our open and our lock.
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                os.ftruncate(descriptor, 0)
                os.write(descriptor, str(os.getpid()).encode())
                return descriptor
        os.close(descriptor)


def _remove_leftovers(directory: Path) -> None:
    for path in directory.glob(".*.tmp"):
        found = _TEMPORARY.fullmatch(path.name)
        if found and not _is_alive(int(found[1])):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


def _is_alive(pid: int) -> bool:
    """Tell whether another process has this pid (our own has written nothing yet)."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
