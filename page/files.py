"""Watch the files that a replay writes, for the page.

Everything the page knows comes through here: JSON files that another process replaces at any
moment. A file that is missing, torn or not what it should be never takes away what was read from
it before; it is reported as a problem beside the last good content. Only the page's process reads
through this module, and it never writes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import orjson

from orderflow.meter import Meter
from page.checks import MAX_TIMESTAMP_MS, FileContentError
from page.contents import (
    Bars,
    Depth,
    Issues,
    Metrics,
    Status,
    parse_bars,
    parse_depth,
    parse_issues,
    parse_metrics,
    parse_status,
)
from page.metric_contents import MetricBars, parse_metric_bars
from page.trading_contents import Trading, parse_trading, trading_of_run
from viz_io import (
    DATA_FILE,
    DEPTH_FILE,
    ISSUES_FILE,
    METRIC_BARS_FILE,
    METRICS_FILE,
    STATUS_FILE,
    TRADING_FILE,
)

log = logging.getLogger("page")

MAX_FILE_BYTES = 4 * 1024 * 1024
"""Far more than full files have; reading JSON takes up to thirty times as much memory."""
STALE_AFTER_SECONDS = 5.0

# A FIFO that nobody writes, or a device, would keep a plain open waiting for ever.
OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
)

Content = TypeVar("Content")


@dataclass(frozen=True)
class Reading(Generic[Content]):
    """Hold what is known of one file after one refresh.

    `content` is the last good content, None before the first; `version` names it, "" before the
    first; `modified` is the file's time in s since the epoch; `problem` says in words why the
    newest file could not be used, None when it could; `missing` is True while there is no file.
    """

    content: Content | None = None
    version: str = ""
    modified: float = 0.0
    problem: str | None = None
    missing: bool = True


class WatchedFile(Generic[Content]):
    """Keep the last good content of one file, reading it again when it was replaced.

    `parse` gets its bytes, at most `most` (`MAX_FILE_BYTES`). An `optional` file may go without a
    word, and its content goes with it.
    """

    def __init__(
        self,
        path: Path,
        parse: Callable[[bytes], Content],
        *,
        optional: bool = False,
        most: int | None = None,
    ) -> None:
        self._path = path
        self._parse = parse
        self._optional = optional
        self._most = MAX_FILE_BYTES if most is None else most
        self._seen: tuple[int, int, int] | None = None
        self._warned: set[str] = set()
        self._reading: Reading[Content] = Reading()
        self._read_meter, self._parse_meter, self._refused = Meter(), Meter(), 0

    @property
    def name(self) -> str:
        """Return the file's name."""
        return self._path.name

    def monitoring(self) -> dict[str, Any]:
        """Return what reading and parsing the file has cost, and how often it was refused."""
        meters = {"read": self._read_meter, "parse": self._parse_meter}
        told: dict[str, Any] = {name: meter.document() for name, meter in meters.items()}
        return told | {"refused": self._refused}

    def peek(self) -> str:
        """Return a name for what the file holds, "" where there is none; it is not read."""
        try:
            return name_of(signature_of(self._path.stat()))
        except OSError:
            return ""

    def refresh(self) -> Reading[Content]:
        """Return the newest reading; read the file when inode, mtime or size have changed.

        A problem is logged once per kind for the life of the process, not once per refresh.
        """
        try:
            found = self._path.stat()
            if signature_of(found) != self._seen:
                require_file(found)  # a socket cannot even be opened
                self._reading = self._read()
        except FileNotFoundError:
            self._lose(None, missing=True)
        except OSError as error:
            self._lose(error.strerror or type(error).__name__, "access")
        except FileContentError as error:
            self._refused += error.kind != "access"
            self._lose(str(error), error.kind)
        return self._reading

    def _read(self) -> Reading[Content]:
        with open(os.open(self._path, OPEN_FLAGS), "rb") as file:  # noqa: PTH123 (a descriptor, no path)
            # What was opened may be newer than what was looked at: judged is what is read.
            found = os.fstat(file.fileno())
            require_file(found)
            self._seen = signature = signature_of(found)
            with self._read_meter.measuring(found.st_size):
                raw = file.read(self._most + 1)
        if len(raw) > self._most:
            raise FileContentError(
                f"it has {found.st_size:,} bytes, at most {self._most:,} are read", "size"
            )
        with self._parse_meter.measuring(len(raw)):
            content = self._parse(raw)
        modified = min(max(found.st_mtime, 0.0), MAX_TIMESTAMP_MS / 1000)
        return Reading(content, name_of(signature), modified, missing=False)

    def _lose(self, problem: str | None, kind: str = "", *, missing: bool = False) -> None:
        """Keep the last good content beside what is wrong now."""
        if missing or kind == "access":  # the same file may be there again, and be readable
            self._seen = None
        if missing and self._optional:
            self._reading = Reading()
        before = self._reading
        self._reading = replace(before, problem=problem, missing=missing)
        if missing and before.content is None:
            return  # nothing was here yet: a page without data is no fault
        kind = "missing" if missing else kind
        if kind not in self._warned:
            self._warned.add(kind)
            log.warning(
                "%s: %s; the last good content stays", self._path.name, problem or "it is gone"
            )


def of_json(parse: Callable[[Any], Content]) -> Callable[[bytes], Content]:
    """Return `parse` for the bytes of a JSON document; it raises `FileContentError` for others."""

    def parse_bytes(raw: bytes) -> Content:
        try:
            return parse(orjson.loads(raw))
        except orjson.JSONDecodeError as error:
            raise FileContentError(f"it is not JSON ({error})", "json") from error

    return parse_bytes


def signature_of(found: os.stat_result) -> tuple[int, int, int]:
    """Return what changes when a file is replaced or written to."""
    return found.st_ino, found.st_mtime_ns, found.st_size


def require_file(found: os.stat_result) -> None:
    """Raise `FileContentError` for what is no regular file."""
    if not stat.S_ISREG(found.st_mode):
        kind = next((words for is_kind, words in _KINDS if is_kind(found.st_mode)), "a device")
        raise FileContentError(f"it is {kind}, not a regular file", "access")


def name_of(value: object) -> str:
    """Return a short name for a value: the same for an equal one, another for any other."""
    return hashlib.blake2s(repr(value).encode(), digest_size=3).hexdigest()


@dataclass(frozen=True)
class PageData:
    """Hold what one refresh found in all the files.

    `stale` is True when a run says that it is running and has not written for 5 s, and so is
    `trading_stale` for a trading run; `no_directory` when there is no directory for files to be in.
    `undrawn` names files whose content, though it was accepted, could not be drawn; `flow_problems`
    are those of the order-flow files.
    """

    bars: Reading[Bars]
    metrics: Reading[Metrics]
    depth: Reading[Depth]
    status: Reading[Status]
    issues: Reading[Issues]
    trading: Reading[Trading]
    measured: Reading[MetricBars] = field(default_factory=Reading)
    stale: bool = False
    trading_stale: bool = False
    no_directory: bool = False
    undrawn: tuple[str, ...] = ()
    flow_problems: tuple[tuple[str, str, bool], ...] = ()

    def problems(self) -> list[tuple[str, str, bool]]:
        """Return (name, what is wrong, whether a good content stays) of each file in trouble."""
        readings = (
            (DATA_FILE.name, self.bars),
            (METRICS_FILE.name, self.metrics),
            (DEPTH_FILE.name, self.depth),
            (STATUS_FILE.name, self.status),
            (ISSUES_FILE.name, self.issues),
            (TRADING_FILE.name, self.trading),
            (METRIC_BARS_FILE.name, self.measured),
        )
        return [
            (name, reading.problem, reading.content is not None)
            for name, reading in readings
            if reading.problem
        ] + [
            *((name, "what it holds cannot be drawn", True) for name in self.undrawn),
            *self.flow_problems,
        ]

    @property
    def trading_run(self) -> Trading | None:
        """Return the trading run of the market that is shown, None where there is none."""
        return trading_of_run(self.trading.content, self.status.content)


def _is_stale(reading: Reading[Status] | Reading[Trading]) -> bool:
    running = reading.content is not None and reading.content.state == "running"
    return running and time.time() - reading.modified > STALE_AFTER_SECONDS


class PageFiles:
    """Watch the files of one output directory, which need not exist yet."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._bars = WatchedFile(directory / DATA_FILE.name, of_json(parse_bars))
        self._metrics = WatchedFile(directory / METRICS_FILE.name, of_json(parse_metrics))
        self._depth = WatchedFile(directory / DEPTH_FILE.name, of_json(parse_depth))
        self._status = WatchedFile(directory / STATUS_FILE.name, of_json(parse_status))
        # Older writers have none.
        issues, trading = directory / ISSUES_FILE.name, directory / TRADING_FILE.name
        self._issues = WatchedFile(issues, of_json(parse_issues), optional=True)
        # Only a trading run writes it.
        self._trading = WatchedFile(trading, of_json(parse_trading), optional=True)
        measured = directory / METRIC_BARS_FILE.name  # only where metrics were asked for
        self._measured = WatchedFile(measured, parse_metric_bars, optional=True)

    def monitoring(self) -> dict[str, Any]:
        """Return what reading each file has cost, by name."""
        files = (
            *(self._bars, self._metrics, self._depth, self._status),
            *(self._issues, self._trading, self._measured),
        )
        return {file.name: file.monitoring() for file in files}

    def refresh(self) -> PageData:
        """Return the newest readings; a running run is stale when its status is over 5 s old.

        Age is the file's own time against this machine's clock. Not safe for several threads at
        once: the caller holds a lock.
        """
        status, trading = self._status.refresh(), self._trading.refresh()
        return PageData(
            self._bars.refresh(),
            self._metrics.refresh(),
            self._depth.refresh(),
            status,
            self._issues.refresh(),
            trading,
            self._measured.refresh(),
            stale=_is_stale(status),
            trading_stale=_is_stale(trading),
            no_directory=status.missing and not self._directory.is_dir(),
        )
