"""Know the run that a page shows, for the routes that ask more of it than its files hold."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from page.contents import Status, parse_status
from page.files import STALE_AFTER_SECONDS, WatchedFile, of_json
from viz_io import STATUS_FILE


class RunStatus:
    """The newest status in a directory; for several threads at once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._file = WatchedFile(directory / STATUS_FILE.name, of_json(parse_status))
        self._lock = threading.Lock()

    def newest(self) -> Status | None:
        """Return the last good status; None before the first, or when its file is gone."""
        with self._lock:
            reading = self._file.refresh()
        return None if reading.missing else reading.content

    def obeying(self) -> Status | None:
        """Return the status of a run that can be paused, stepped and sent elsewhere, if one is."""
        with self._lock:
            reading = self._file.refresh()
        status = reading.content
        if reading.missing or status is None or status.state != "running":
            return None
        is_stale = time.time() - reading.modified > STALE_AFTER_SECONDS
        return None if is_stale or status.control is None or status.pid is None else status
