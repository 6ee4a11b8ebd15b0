"""Run a replay: events in, files and a summary out. The shell around the pure core."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from db_interpreter import DBInterpreter
from metrics.bar_kinds import BarSpec
from metrics.metric_bars import MetricBars
from metrics.registry import MetricSpec
from ohlc_processor import OHLCProcessor
from orderflow.errors import NothingToReplayError, OrderflowError
from orderflow.events import BookBatch, Trade
from orderflow.issues import IssueLog
from recordings.discovery import Recording
from recordings.recorder_losses import losses_of
from replay.bar_files import BarFiles
from replay.flow_files import FlowFiles
from replay.player import Player, SoughtBackError
from replay.run_files import RunFiles
from replay.summary import SCHEMA, collect_issues, issues_document, note_empty_tables
from replay.worker import Worker
from viz_io import STATES

if TYPE_CHECKING:  # a plain replay keeps no results
    from replay.kept_results import KeptResults

logger = logging.getLogger(__name__)

OBJECTS_PER_COLLECTION = 100_000
"""For `gc.set_threshold`: a replay makes no cycles to speak of, and looking for them as often as
usual costs 2 % of it."""

SIGN_SECONDS = 0.5
"""A run that waits writes its status at least so often."""

RUNNING, FINISHED, STOPPED, FAILED = STATES


@dataclass(frozen=True)
class ReplayOptions:
    """What to replay and how; times in ms since the epoch, UTC, the range half open.

    `speed` is a multiple of the recorded pace, or None for as fast as possible; `jobs` is how many
    processes may replay side by side; `follow` goes on with what is appended; `flow` writes the
    files of the order flow too: all of them, or where it is None those that cost little.
    `start_paused` waits before the first event. `data_dir` is where the recording was looked for,
    and `files` are all it consists of where not all of them lie there, empty else: the status says
    both. `bars` and `metrics` ask for the file of metrics, whose bars are those of time unless
    `bars` says otherwise. Unless `threaded`, all work is done in the thread of the caller, one
    thing after another: the cheapest way where other runs have the other cores.
    """

    instrument: str
    start_ms: int
    end_ms: int
    window_seconds: int = 60
    depth_levels: int = 50
    uncross: bool = False
    speed: float | None = None
    jobs: int = 1
    follow: bool = False
    flow: bool | None = None
    start_paused: bool = False
    data_dir: Path | None = None
    bars: BarSpec | None = None
    metrics: tuple[MetricSpec, ...] = ()
    files: tuple[Path, ...] = ()
    threaded: bool = True

    def measured(self) -> MetricBars | None:
        """Return what makes the bars with metrics, new; None where none were asked for."""
        if self.bars is None and not self.metrics:
            return None
        bars = self.bars or BarSpec("time", self.window_seconds)
        return MetricBars(bars, [metric.make() for metric in self.metrics], self.start_ms)

    @property
    def obeys(self) -> bool:
        """Return whether the run can be paused, stepped and sent elsewhere."""
        return self.jobs == 1 and not self.follow


class Stopped(Exception):  # noqa: N818 (no error: the user's wish, carried out of the loop)
    """Carry the request to stop out of the loop over the events."""


class Replay:
    """One run over one recording.

    `stop()` may be called from a signal handler: the run then ends after the rows being processed,
    with its bars finished and written. `on_tick` is called a few times a second with the run
    itself. `results`, where given, keeps all bars beyond the run.
    """

    def __init__(
        self,
        options: ReplayOptions,
        recording: Recording,
        files: RunFiles,
        on_tick: Callable[["Replay"], None] = lambda _: None,
        results: "KeptResults | None" = None,
    ) -> None:
        self.options = options
        self.recording = recording
        self.state = RUNNING
        self.reason: str | None = None
        self._files = files
        self._flow_files = FlowFiles(files, options.instrument, metrics=options.metrics)
        window_ms = options.window_seconds * 1000
        self._bar_files = BarFiles(files, {"window_ms": window_ms, **self._flow_files.names})
        self._on_tick = on_tick
        self.results = results
        self._began = time.monotonic()
        self._seconds: float | None = None
        self._stop_asked = False
        self._is_whole = False
        self._is_in_step = True
        self.unchecked: list[str] = []
        self.player = Player(
            options.start_ms,
            options.end_ms,
            window_ms,
            self._idle,
            speed=options.speed,
            paused=options.start_paused,
        )
        self._control = files.control()
        if options.obeys:
            self.player.obey(self._control)
        self._shown: object = None
        self._next_sign = float("-inf")
        self._begin()

    def _begin(self) -> None:
        """Start from an empty book at the beginning of the recording."""
        options = self.options
        self.processor = OHLCProcessor(
            options.window_seconds,
            options.depth_levels,
            start_timestamp=options.start_ms,
            uncross=options.uncross,
            flow=options.flow is not False,
            heatmap=options.flow,
            measured=options.measured(),
            keep=self.results is not None,
        )
        self._bar_files.begin_anew()
        if self.results:
            self.results.begin_anew()
        self._reader = self._make_reader()
        self._book_mode = self._reader.book_mode

    def _make_reader(self) -> DBInterpreter:
        return DBInterpreter.of_tables(
            self.recording.books,
            self.recording.trades,
            self.options.start_ms,
            self.options.end_ms,
            self.recording.book_mode,
            parsed=True,
            threaded=self.options.threaded,
        )

    @property
    def book_mode(self) -> str:
        """Return what book rows are (see `DBInterpreter.book_mode`)."""
        return self._book_mode

    @property
    def recorder_losses(self) -> dict[str, int]:
        """Count by kind what the recorder says it lost in the range."""
        return self._recorded_losses

    @cached_property
    def _recorded_losses(self) -> dict[str, int]:
        tables = (*self.recording.books, *self.recording.trades)
        paths = sorted({table.path for table in tables})
        instrument = tables[0].instrument if tables else None
        return losses_of(paths, instrument, self.options.start_ms, self.options.end_ms)

    def stop(self) -> None:
        """Ask the run to end after the rows being processed.

        They are one row at the recorded pace, else a list of at most 2048.
        """
        self._stop_asked = True

    def run(self) -> str:
        """Replay to the end; return the state: finished, stopped or failed (see `reason`).

        Whatever happens, the bars made so far are finished and written. Anything but an
        `OrderflowError` is raised again after that.
        """
        self._files.clear(self.status(), issues_document(self.issues))
        try:
            self._consume()
            self._is_whole = True
            self._note_end()
            if self.processor.first_event is None:
                msg = "no usable row or trade in the range; check START and END, they are in UTC"
                raise NothingToReplayError(msg, self.options.instrument)
            self._end(FINISHED)
        except Stopped:
            self._end(STOPPED)
        except OrderflowError as error:
            self._end(FAILED, str(error))
        except KeyboardInterrupt:
            self._end(STOPPED)
            raise
        except BaseException as error:
            self._end(FAILED, f"a bug in the program: {error!r}")
            raise
        return self.state

    @property
    def is_empty(self) -> bool:
        """Return whether all was read and there was no row or trade in the range."""
        return self._is_whole and self.processor.first_event is None

    def _note_end(self) -> None:
        """Look for a silence of the book between its last row and what came after it."""
        silences, trades = self.processor.silences, self.processor.trade_span
        after = self._next_row_ms or (trades[1] if trades else None)
        if silences.span and after is not None and after > silences.span[1]:
            silences.end_before(after)

    @property
    def _next_row_ms(self) -> int | None:
        return self._reader.next_row_ms

    def _consume(self) -> None:
        """Process all events of the range, and start over when somebody wants to go back."""
        while True:
            try:
                self._play()
                self.player.wait_at_end()
            except SoughtBackError:
                self._begin()
            else:
                return

    def _play(self) -> None:
        gains = self.processor.book.engine == "compiled"
        with Worker(threaded=gains and self.options.threaded) as worker:
            for batch, trades in self._reader.batches():
                if self.player.is_free(batch, trades):
                    worker.run(self._process, batch, trades)
                    continue
                worker.wait()
                for rows, given in self.player.events(batch, trades):
                    if rows is not None:
                        self.processor.process_rows(rows)
                    self.processor.process_trades(given)
                    self._settle()
                    self._take_bars()

    def _process(self, batch: BookBatch, trades: list[Trade]) -> None:
        if self._stop_asked:
            raise Stopped
        self.processor.process_rows(batch)
        self.processor.process_trades(trades)
        self._settle()
        self._take_bars()
        self._publish_if_due()

    def _take_bars(self) -> None:
        """Write, or keep, the bars that were closed."""
        self._bar_files.add_closed(self.processor)
        if self.results:
            self.results.add(self.processor, is_in_step=self._is_in_step)

    def _settle(self) -> None:
        """Take note that all trades before the last row were processed (see `batches`)."""
        if self.processor.measured:
            self.processor.measured.settle()

    def _tick(self) -> None:
        if self._stop_asked:
            raise Stopped
        self._publish_if_due()

    def _idle(self) -> None:
        """Publish when there is something new to show, and now and then as a sign of life."""
        if self._stop_asked:
            raise Stopped
        if not self._files.is_due:
            return
        processor, now = self.processor, time.monotonic()
        shown = processor.rows, processor.warm_up_rows, processor.trades, *self.control().values()
        if shown != self._shown or now >= self._next_sign:
            self._shown, self._next_sign = shown, now + SIGN_SECONDS
            self._publish_if_due(waits=True)

    def _publish_if_due(self, *, waits: bool = False) -> None:
        if self._files.is_due:
            self._publish(waits=waits)
            self._on_tick(self)

    def _end(self, state: str, reason: str | None = None) -> None:
        self.state, self.reason = state, reason
        self._seconds = time.monotonic() - self._began
        self.processor.finalize()
        self._publish(durable=True)
        self._bar_files.finish(self.processor)
        if self.results:
            is_whole, is_in_step = state == FINISHED, self._is_in_step
            self.results.finish(self.processor, is_whole=is_whole, is_in_step=is_in_step)

    def _publish(self, *, durable: bool = False, waits: bool = False) -> None:
        processor = self.processor
        self._files.publish(
            processor.bars(),
            processor.metric_bars(),
            self._depth(),
            self.status(),
            issues_document(self.issues),
            durable=durable,
        )
        self._flow_files.publish(processor, last=durable, waits=waits)

    def _depth(self) -> tuple[list[list[float]], list[list[float]]]:
        return self.processor.depth()

    @property
    def progress(self) -> float:
        """Return the share of the recorded range that is done, 0 to 1."""
        if self.state == FINISHED:
            return 1.0
        first, last = self.recording.first_ms, self.recording.last_ms
        if self.processor.last_event is None or last <= first:
            return 0.0
        return min(max((self.processor.last_event - first) / (last - first), 0.0), 1.0)

    @property
    def seconds(self) -> float:
        """Return how long the run has taken, in seconds."""
        return time.monotonic() - self._began if self._seconds is None else self._seconds

    @property
    def rows_per_second(self) -> float:
        """Return the book rows read per second, warm-up included."""
        rows = self.processor.rows + self.processor.warm_up_rows
        return rows / self.seconds if self.seconds > 0 else 0.0

    @property
    def issues(self) -> IssueLog:
        """Return the data issues found so far (see docs/reference.md)."""
        issues = collect_issues(self.processor, self._reader)
        if self._is_whole:
            note_empty_tables(issues, self.processor)
        return issues

    def summary(self) -> dict[str, Any]:
        """Return what the run made and which data issues there were; times in ms, UTC.

        The fields are listed in docs/reference.md, under status_data.json.
        """
        options, processor = self.options, self.processor
        return {
            "schema": SCHEMA,
            "instrument": options.instrument,
            "start": options.start_ms,
            "end": options.end_ms,
            "window_seconds": options.window_seconds,
            "depth_levels": options.depth_levels,
            "state": self.state,
            "reason": self.reason,
            "first_event": processor.first_event,
            "event_time": processor.last_event,
            "bars": processor.bars_made,
            "trades": processor.trades,
            "volume": processor.volume,
            "cvd": processor.cvd_cumulative,
            "rows": processor.rows,
            "seconds": self.seconds,
            "rows_per_second": self.rows_per_second,
            "book_mode": self.book_mode,
            "engine": processor.book.engine,
            "reliable": processor.reliable,
            "longest_silence_ms": processor.silences.longest_ms,
            "counts": self.issues.counts(),
            "unknown_sides": processor.metrics.cvd.unknown_sides,
            "recorder_losses": self.recorder_losses,
            "unchecked": self.unchecked,
        }

    def status(self) -> dict[str, Any]:
        """Return what `status_data.json` holds: the summary so far, and a few fields more."""
        now = {"progress": self.progress, "written": int(time.time() * 1000), "pid": os.getpid()}
        directory = self.options.data_dir
        asked = {
            "data_dir": None if directory is None else str(directory.absolute()),
            "files": [str(path) for path in self.options.files],
            "asked_book_mode": str(self.recording.book_mode),
            "uncross": self.options.uncross,
            "follow": self.options.follow,
        }
        measured = {"monitoring": self._files.monitoring()}
        return self.summary() | now | self.liveness() | asked | self.control() | measured

    def control(self) -> dict[str, Any]:
        """Return the pace of the run, and how far it has done what was ordered."""
        player = self.player
        return {
            "paused": player.paused,
            "speed": "max" if player.speed is None else player.speed,
            "seeking": player.seeking,
            "control": self._control.done if self.options.obeys else None,
        }

    def liveness(self) -> dict[str, Any]:
        """Return how far a recording in progress is followed; of a plain replay nothing is live."""
        return {"live": False, "behind_ms": None, "newest_row_age_ms": None, "waiting_for": None}

    @property
    def late_advice(self) -> list[str]:
        """Return a line for each table with rows too far out of order: how to put it right."""
        return self._reader.late_advice
