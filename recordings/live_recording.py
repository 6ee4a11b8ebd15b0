"""Follow a recording over the files it is in: those there are, and those that a recorder adds."""

import logging
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, time

from orderflow.errors import NothingToReplayError, RecordingError
from recordings.discovery import find_recording, tables_of
from recordings.live_file import BLOCKED_SECONDS, LiveFile, Page, Stamp, stamp_of
from recordings.search import find_files

logger = logging.getLogger(__name__)

SCAN_SECONDS = 1.0
"""The data directory is searched for new files so often."""
SCAN_SHARE = 50
"""No more than one part in so many of the time is spent on that."""
SETTLED_SECONDS = 60.0
"""A file unchanged for so long, after which another has begun, is taken as finished."""


class LiveRecording:
    """The files of an instrument under `data_dir` that have, or will have, rows of a range.

    `files` are those followed, by time. `waiting` says what there is not yet, None once there is a
    file with a row in the range. A file that a later one has followed, and that nobody has changed
    for a minute, is looked at as a whole and then left alone. `unchecked` names files of which
    nobody knows whether they are damaged, or that were changed after they were left.

    Raise `RecordingError` for a recording that cannot be followed, or not any further.
    """

    def __init__(self, instrument: str, data_dir: Path, start_ms: int, end_ms: int) -> None:
        self.instrument = instrument
        self.files: list[LiveFile] = []
        self.waiting: str | None = None
        self.unchecked: list[str] = []
        self._data_dir = data_dir
        self._start, self._end = start_ms, end_ms
        self._known: dict[Path, Stamp] = {}
        self._left: dict[Path, Stamp] = {}
        self._closing: list[LiveFile] = []
        self._losses_left: dict[str, int] = {}
        self._next_scan = float("-inf")
        self._blocked_since: dict[Path, float] = {}
        self._began = time()

    def scan(self) -> list[LiveFile]:
        """Search for new files, unless it was done just now; return those to follow from now on."""
        began = monotonic()
        if began < self._next_scan:
            return []
        added = self._add_new() if self.files else self._begin()
        self.files = sorted([*self.files, *added], key=lambda file: file.first_ms)
        took = monotonic() - began
        self._next_scan = began + max(SCAN_SECONDS, SCAN_SHARE * took)
        return added

    def search_soon(self) -> None:
        """Let the next `scan` search, however short ago the last one was."""
        self._next_scan = float("-inf")

    def _begin(self) -> list[LiveFile]:
        """Take up what a plain replay would read, once that has a row in the range."""
        try:
            found = find_recording(self.instrument, self._data_dir, self._start, self._end)
        except NothingToReplayError as error:
            self._wait_for(str(error))
            return []
        except RecordingError as error:
            if not _is_new(Path(error.path)):
                raise
            self._wait_for(str(error))  # its recorder has just made it
            return []
        tables = (*found.books, *found.trades)
        self.instrument = tables[0].instrument or self.instrument
        followed = {table.path for table in tables}
        seen = find_files(self._data_dir).files
        self._known = {path: stamp_of(path) for path in seen if path not in followed}
        self.waiting = None
        return [self._file(path) for path in sorted(followed)]

    def _file(self, path: Path) -> LiveFile:
        return LiveFile(path, self.instrument, self._start, self._end)

    def _wait_for(self, why: str) -> None:
        if self.waiting is None:
            logger.info("%s", why)
        self.waiting = why

    def _add_new(self) -> list[LiveFile]:
        """Open the files that are new, or have changed since they were found to be of no use."""
        found = find_files(self._data_dir)
        followed = {file.path for file in self.files}
        added = []
        for path in found.files:
            if path in followed:
                continue
            stamp = stamp_of(path)
            if path in self._left:
                self._look_back(path, stamp)
            elif self._known.get(path) != stamp and stamp[0]:
                self._known[path] = stamp
                added += self._opened(path, is_outright=found.is_outright)
        return added

    def _opened(self, path: Path, *, is_outright: bool) -> list[LiveFile]:
        """Open a file, unless it is another's or has no row from the start of the range on."""
        try:
            tables = tables_of(path, self.instrument, is_outright=is_outright)
            if not tables:
                return []
            if all(table.is_empty or table.last_ms < self._start for table in tables):
                return []
            logger.info("%s: followed from now on", path)
            return [self._file(path)]
        except RecordingError as error:
            if not _is_new(path):
                raise
            logger.info("%s; tried again when it has changed", error)
            return []

    def _look_back(self, path: Path, stamp: Stamp) -> None:
        if stamp != self._left[path]:
            logger.warning("%s: changed after another file had followed it; not read again", path)
            self._left[path] = stamp
            self._note_unchecked(path)

    def look(self) -> Iterator[tuple[LiveFile, Page]]:
        """Read on in the files whose turn it is, a page in each.

        A file is opened when those before it are read up to its first row.
        """
        reach = float("inf")
        for file in list(self.files):
            if file.first_ms > reach:
                return
            yield file, file.look()
            self._say_if_blocked(file)
            if not file.is_dry:
                reach = min(reach, file.reach)

    def _say_if_blocked(self, file: LiveFile) -> None:
        if file.blocked is None:
            self._blocked_since.pop(file.path, None)
            return
        since = self._blocked_since.setdefault(file.path, monotonic())
        if monotonic() - since > BLOCKED_SECONDS:
            logger.warning("%s: %s; it is tried again", file.path, file.blocked)
            self._blocked_since[file.path] = float("inf")

    @property
    def is_dry(self) -> bool:
        """Return whether all that was committed at the last look has been read."""
        return bool(self.files) and all(file.is_dry for file in self.files)

    @property
    def is_blocked(self) -> bool:
        """Return whether something was in the way of the last look at a file."""
        return any(file.blocked is not None for file in self.files)

    @property
    def names(self) -> list[str]:
        """List the names of the files that were read, those left included."""
        return [file.path.name for file in (*self._closing, *self.files)]

    @property
    def newest_ms(self) -> int | None:
        """Return the time of the newest row in the files, in ms; None before there is one."""
        return max((file.newest_ms for file in self.files if file.newest_ms), default=None)

    @property
    def quiet_seconds(self) -> float:
        """Return for how long nobody has written to the files, or for how long there are none."""
        since = time() - self._began
        return min((file.quiet_seconds for file in self.files), default=since)

    @property
    def losses(self) -> dict[str, int]:
        """Count by kind what the recorder says it has lost, in all files read so far."""
        total = dict(self._losses_left)
        for file in self.files:
            for kind, count in file.losses.items():
                total[kind] = total.get(kind, 0) + count
        return total

    # -- files that have come to their end

    def finished_files(self) -> list[LiveFile]:
        """Return the files that later ones have followed, and that nobody has changed since."""
        return [
            file
            for number, file in enumerate(self.files)
            if file.is_dry
            and any(later.newest_ms for later in self.files[number + 1 :])
            and file.quiet_seconds > SETTLED_SECONDS
        ]

    def leave(self, file: LiveFile) -> None:
        """Read a file no further, and begin to look at it as a whole."""
        self.files.remove(file)
        self._left[file.path] = stamp_of(file.path)
        for kind, count in file.losses.items():
            self._losses_left[kind] = self._losses_left.get(kind, 0) + count
        file.begin_to_close()
        self._closing.append(file)

    def close(self) -> tuple[dict[str, int], RecordingError | None]:
        """Leave all files; return rows missed by table, and the first error for a damaged file.

        Rows are missed that appeared behind what was read. It waits until all files are checked.
        """
        for file in list(self.files):
            self.leave(file)
        missed: dict[str, int] = {}
        first_error = None
        for file in self._closing:
            found, error = file.closed()
            for table, count in found.items():
                missed[table] = missed.get(table, 0) + count
            if not file.is_checked:
                self._note_unchecked(file.path)
            first_error = first_error or error
        self._closing = []
        return missed, first_error

    def _note_unchecked(self, path: Path) -> None:
        if path.name not in self.unchecked:
            self.unchecked.append(path.name)


def _is_new(path: Path) -> bool:
    """Return whether a file has been changed within the last minute: it may be in the making."""
    stamps = [seen for seen in stamp_of(path) if seen]
    return bool(stamps) and time() - max(seen[2] for seen in stamps) / 1e9 < SETTLED_SECONDS
