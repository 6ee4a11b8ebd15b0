"""Follow a recording that is still being written: replay what is there, then go on with the rest.

Why rows are held back, and when a run is at its end: docs/adr/0014-following.md.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orderflow.errors import NothingToReplayError, OrderflowError
from orderflow.events import BookBatch, Trade
from recordings.discovery import Recording
from recordings.live_recording import LiveRecording
from replay.live_reader import QUIET_SECONDS, LiveReader
from replay.run import FINISHED, RUNNING, Replay, ReplayOptions, Stopped
from replay.run_files import RunFiles

if TYPE_CHECKING:
    from replay.kept_results import KeptResults

POLL_SECONDS = 0.25
"""What a recorder has committed is looked for so often."""
IDLE_SECONDS = 1.0
"""The files are written so often while nothing comes, as a sign of life."""


class FollowReplay(Replay):
    """One run over a recording that may grow, until END, `stop()` or an error.

    `wait` is called with the seconds between two looks; it may return sooner when a notice says
    that there is something to look at, and nothing is lost when none comes. `live` says whether
    everything committed at the last look was read.
    """

    def __init__(
        self,
        options: ReplayOptions,
        data_dir: Path,
        book_mode: str,
        files: RunFiles,
        on_tick: Callable[[Replay], None] = lambda _: None,
        wait: Callable[[float], object] = time.sleep,
        results: "KeptResults | None" = None,
    ) -> None:
        self._source = LiveRecording(options.instrument, data_dir, options.start_ms, options.end_ms)
        self._wait = wait
        self._next_sign = float("-inf")
        self._has_news = self._was_cut_short = False
        empty = Recording([], [], book_mode, options.start_ms, options.end_ms)
        super().__init__(options, empty, files, on_tick, results)

    def _make_reader(self) -> LiveReader:
        self._live_reader = LiveReader(
            self._source, self.options.start_ms, self.options.end_ms, self.recording.book_mode
        )
        return self._live_reader

    @property
    def book_mode(self) -> str:
        """Return what book rows are, which the first rows tell."""
        return self._live_reader.book_mode

    def _consume(self) -> None:
        """Process all that comes until the end; what is held back counts, however it ends."""
        reader = self._live_reader
        try:
            while not self._is_at_end():
                self._is_in_step = False  # trades come after the rows of their time
                for batch, trades in reader.poll(time.monotonic()):
                    self._process(batch, trades)
                self._is_in_step = self._source.is_dry
                self._take_bars()
                self._give_sign()
                if self._source.is_dry or self._source.waiting:
                    self._wait(POLL_SECONDS)
        except (Stopped, OrderflowError):
            if not self._was_cut_short:
                self._process_left(reader.finish())
            self.unchecked = sorted({*self._source.unchecked, *self._source.names})
            raise
        self._process_left(reader.finish())
        try:
            self._process_left(reader.close())
        finally:
            self.unchecked = self._source.unchecked

    def _is_at_end(self) -> bool:
        if self._stop_asked:
            raise Stopped
        if self._source.waiting and self._nothing_can_come:
            raise NothingToReplayError(self._source.waiting, self.options.instrument)
        return self._live_reader.is_at_end(time.monotonic())

    @property
    def _nothing_can_come(self) -> bool:
        over = time.time() - self.options.end_ms / 1000 > QUIET_SECONDS
        return over and self._source.quiet_seconds > QUIET_SECONDS

    def _process(self, batch: BookBatch, trades: list[Trade]) -> None:
        if self._stop_asked:
            self._was_cut_short = True  # what is held back comes after what is left out here
            raise Stopped
        self._process_left([(batch, trades)])
        self._has_news = True
        if not self._source.is_dry:  # else it is written once, when all of it is processed
            self._publish_if_due()

    def _process_left(self, events: Iterable[tuple[BookBatch, list[Trade]]]) -> None:
        """Process events, also of a run that was asked to stop."""
        for batch, trades in events:
            self.processor.process_rows(batch)
            self.processor.process_trades(trades)
            self._take_bars()

    def _give_sign(self) -> None:
        """Write the files when something came, and now and then when nothing did."""
        is_over = time.monotonic() >= self._next_sign
        if is_over or (self._has_news and self._files.is_due):
            self._has_news = False
            self._next_sign = time.monotonic() + IDLE_SECONDS
            self._publish()
            self._on_tick(self)

    @property
    def live(self) -> bool:
        """Return whether the run goes on, and has read all that was committed at the last look."""
        return self.state == RUNNING and self._source.is_dry

    @property
    def progress(self) -> float:
        """Return the share of the range asked for that is done, 0 to 1."""
        start, end = self.options.start_ms, self.options.end_ms
        if self.state == FINISHED:
            return 1.0
        if self.processor.last_event is None:
            return 0.0
        return min(max((self.processor.last_event - start) / (end - start), 0.0), 1.0)

    @property
    def recorder_losses(self) -> dict[str, int]:
        """Count by kind what the recorder says it lost in the range, as far as it says so now."""
        return self._source.losses

    def liveness(self) -> dict[str, Any]:
        """Return how far the run is behind the newest row committed, and how old that row is."""
        newest, last = self._source.newest_ms, self.processor.last_event
        behind = None
        if newest is not None and last is not None:
            behind = max(0, min(newest, self.options.end_ms - 1) - last)
        return {
            "live": self.live,
            "behind_ms": behind,
            "newest_row_age_ms": None if newest is None else int(time.time() * 1000) - newest,
            "waiting_for": self._source.waiting if self.state == RUNNING else None,
        }
