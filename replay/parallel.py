"""Replay the files of a recording in processes of their own, and join what they make.

Book rows are most of the work, and from a snapshot on they do not need the book before it. So the
range is cut where a file begins with one: the rows of each segment are replayed by a process of
its own, and the trades, which are little work but must be taken in order, by this one. The joined
files are those of one process, to the byte. If a segment turns out not to begin with the whole
book, or a file reaches into the next, the recording is replayed by one process after all.
"""

import contextlib
import gc
import logging
import os
import signal
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from itertools import chain
from multiprocessing import get_context
from queue import Empty
from typing import Any

from db_interpreter import DBInterpreter
from metrics.joined_columns import Stretch
from metrics.rolling_bars import Bar
from ohlc_processor import OHLCProcessor
from orderflow.continuity import BookReliability, Silences
from orderflow.errors import OrderflowError, RecordingError
from orderflow.issues import IssueLog
from orderflow.parsed_rows import first_from
from recordings.book_kind import begins_with_snapshot, standing_apart
from recordings.discovery import Recording
from recordings.recorded_table import RecordedTable
from replay.bar_spool import BarSpool, read_spools, spools
from replay.run import OBJECTS_PER_COLLECTION, RUNNING, Replay, ReplayOptions, Stopped

logger = logging.getLogger(__name__)

SECONDS_PER_LOOK = 0.02
Levels = list[list[float]]
RecordingFailure = tuple[str, str]
"""The message and the path of a `RecordingError`, which may have to go from process to process."""


@dataclass(frozen=True)
class Segment:
    """A stretch of the range, ms half open, with the book files that it needs.

    All but the first begin with a snapshot, so that whatever the book was before is gone. The bars
    of samples go into the file `spool`, however many they are.
    """

    options: ReplayOptions
    books: list[RecordedTable]
    book_mode: str
    start_ms: int
    end_ms: int
    parent_pid: int
    spool: str = ""


@dataclass
class SegmentResult:
    """What a segment's process found; `bars` are those of samples alone.

    `begins_readable` says whether the first row could be read. A segment that is not `complete` was
    stopped, or met a row of the next segment.
    """

    rows: int = 0
    warm_up_rows: int = 0
    silences: Silences = field(default_factory=Silences)
    issues: IssueLog = field(default_factory=IssueLog)
    reliability: BookReliability = field(default_factory=lambda: BookReliability(IssueLog()))
    bars: list[Bar] = field(default_factory=list)
    begins_readable: bool = False
    next_row_ms: int | None = None
    last_levels: tuple[Levels, Levels] = ([], [])
    late_advice: list[str] = field(default_factory=list)
    flow: Stretch | None = None
    complete: bool = False
    failure: RecordingFailure | None = None


def cut_into_segments(recording: Recording, options: ReplayOptions) -> list[Segment]:
    """Cut the range where a group of book files stands apart and begins with a snapshot."""
    segments: list[list[RecordedTable]] = [[]]
    starts = [options.start_ms]
    for group in standing_apart(recording.books):
        first_ms = group[0].first_ms
        within = segments[-1] and options.start_ms < first_ms < options.end_ms
        if within and begins_with_snapshot(group[0]):
            segments.append([])
            starts.append(first_ms)
        segments[-1] += group
    ends = [*starts[1:], options.end_ms]
    return [
        Segment(options, books, recording.book_mode, start_ms, end_ms, os.getpid())
        for books, start_ms, end_ms in zip(segments, starts, ends, strict=True)
    ]


_stop: Any = None
_progress: Any = None


def _begin_worker(stop: Any, progress: Any) -> None:
    """Keep the channels to the parent, which a pool hands to a process only at its start."""
    global _stop, _progress
    _stop, _progress = stop, progress
    progress.cancel_join_thread()  # reports nobody reads any more must not keep a process alive
    # Ctrl+C reaches every process; the parent alone decides, and asks by the event.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.set_threshold(OBJECTS_PER_COLLECTION)


def replay_segment(number: int, segment: Segment) -> SegmentResult:
    """Replay the book rows of one segment, in a process begun by `_begin_worker`."""
    options = segment.options
    processor = OHLCProcessor(
        options.window_seconds,
        options.depth_levels,
        start_timestamp=segment.start_ms,
        uncross=options.uncross,
        flow=options.flow is not False,
        heatmap=options.flow,
    )
    # Read to the end of the range, to notice rows that belong to the next segment.
    reader = DBInterpreter.of_tables(
        segment.books, [], segment.start_ms, options.end_ms, segment.book_mode, parsed=True
    )
    result = SegmentResult()
    with BarSpool(segment.spool) as spool:
        try:
            _replay_rows(number, segment, processor, reader, spool, result)
        except RecordingError as error:
            result.complete, result.failure = True, (str(error), error.path)
        processor.finalize()
        spool.add(processor.take_closed()[1])
    _note_state(result, processor, reader)
    return result


def _replay_rows(
    number: int,
    segment: Segment,
    processor: OHLCProcessor,
    reader: DBInterpreter,
    spool: BarSpool,
    result: SegmentResult,
) -> None:
    book, done = processor.book, 0
    for batch, _ in reader.batches():
        own = batch.part(0, first_from(batch.rows, segment.end_ms))
        if len(own) and not done:
            processor.process_rows(own.part(0, 1))
            result.begins_readable = not book.rows_skipped
            own = own.part(1, len(own))
            done = 1
        processor.process_rows(own)
        spool.add(processor.take_closed()[1])
        done += len(own)
        if batch.rows and batch.rows[-1][0] >= segment.end_ms:
            return
        if batch.rows:
            _progress.put((number, done, batch.rows[-1][0]))
        if _stop.is_set() or os.getppid() != segment.parent_pid:
            return
    result.complete = True


def _note_state(result: SegmentResult, processor: OHLCProcessor, reader: DBInterpreter) -> None:
    book = processor.book
    result.rows, result.warm_up_rows = processor.rows, processor.warm_up_rows
    result.silences = processor.silences
    result.reliability = processor.reliability
    result.bars = processor.metrics.samples.bars()
    result.next_row_ms = reader.next_row_ms
    result.last_levels = book.top_levels(sum(book.level_counts))
    result.late_advice = reader.late_advice
    result.issues.add(processor.noted)
    result.issues.add(reader.issues)
    if processor.flow:
        result.flow = processor.flow.stretch(book)


class LostWorkerError(OrderflowError):
    """Report that one of the `jobs` processes of a replay was killed from outside."""

    def __init__(self, jobs: int) -> None:
        super().__init__(
            f"one of the {jobs} processes of --jobs has been killed, by hand or because memory ran "
            "out; its rows are missing, so run again, with a smaller --jobs if memory is short"
        )
        self.jobs = jobs


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Block Ctrl+C, also for processes started meanwhile until they have set up their handlers.

    Otherwise it would end them in the middle of their imports, each with a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class ParallelReplay(Replay):
    """A replay at full speed by `options.jobs` processes; its files are those of `Replay`.

    OHLC bars grow as trades are read; what comes from the book, metric bars and most counts, is
    available when all segments are done.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._segments: list[Segment] = []
        self._results: list[SegmentResult] = []
        self._reports: Any = None
        self._reached: dict[int, tuple[int, int]] = {}

    def _consume(self) -> None:
        self._segments = cut_into_segments(self.recording, self.options)
        if len(self._segments) == 1:
            logger.warning("no second file begins with a snapshot: replaying with one process")
            super()._consume()
            return
        options = self.options
        if self.results and options.flow is False:  # without it a segment hands no bars over
            options = replace(options, flow=None)
        with spools(len(self._segments)) as paths:
            self._segments = [
                replace(segment, options=options, spool=path)
                for segment, path in zip(self._segments, paths, strict=True)
            ]
            self._run_and_join()

    def _run_and_join(self) -> None:
        self._is_in_step = False  # trades are read apart
        failures = self._run_segments()
        problem = find_seam(self._segments, self._results)
        if problem and not self._stop_asked:
            logger.warning("%s: replaying with one process", problem)
            self._segments, self._results, self._reached, self._reports = [], [], {}, None
            self._begin()
            self._is_in_step = True
            super()._consume()
            return
        self._join()
        if self._stop_asked:
            raise Stopped
        for failure in failures:
            raise RecordingError(*failure)

    def _run_segments(self) -> list[RecordingFailure]:
        """Replay all segments; return the errors of files that could not be read to their end."""
        context = get_context("spawn")
        stop, self._reports = context.Event(), context.Queue()
        with ProcessPoolExecutor(
            self.options.jobs, context, initializer=_begin_worker, initargs=(stop, self._reports)
        ) as pool:
            with _interrupts_held_back():
                futures = [
                    pool.submit(replay_segment, i, segment)
                    for i, segment in enumerate(self._segments)
                ]
            try:
                failure = self._read_trades()
                self._wait(futures)
            except Stopped:
                stop.set()
                failure = None
            except BaseException:
                stop.set()
                raise
            try:
                self._results = [future.result() for future in futures]
            except BrokenProcessPool as error:
                raise LostWorkerError(self.options.jobs) from error
        failures = [failure, *(result.failure for result in self._results)]
        return [failure for failure in failures if failure]

    def _read_trades(self) -> RecordingFailure | None:
        """Make the bars of trades, which need all of them in order, while the segments run.

        Return why they could not be read to their end, if so.
        """
        options = self.options
        self._reader = DBInterpreter.of_tables(
            [], self.recording.trades, options.start_ms, options.end_ms
        )
        try:
            for _, trades in self._reader.batches():
                self.processor.process_trades(trades)
                self._take_bars()
                self._tick()
        except RecordingError as error:
            return str(error), error.path
        return None

    def _wait(self, futures: list[Future[SegmentResult]]) -> None:
        while not all(future.done() for future in futures):
            time.sleep(SECONDS_PER_LOOK)
            self._tick()

    def _tick(self) -> None:
        with contextlib.suppress(Empty):
            while self._reports is not None:
                number, rows, timestamp = self._reports.get_nowait()
                self._reached[number] = rows, timestamp
        super()._tick()

    @property
    def progress(self) -> float:
        """Return the share of the range that the segments have done, 0 to 1."""
        if not self._segments or self.state != RUNNING or self._results:
            return super().progress
        first, last = self.recording.first_ms, self.recording.last_ms
        starts = [max(segment.start_ms, first) for segment in self._segments]
        done = sum(max(self._reached[i][1] - starts[i], 0) for i in self._reached)
        return min(done / max(last - first, 1), 1.0)

    @property
    def rows_per_second(self) -> float:
        """Return the book rows read per second by all processes together."""
        if self._results or not self._reached:
            return super().rows_per_second
        return sum(rows for rows, _ in self._reached.values()) / self.seconds

    @property
    def _next_row_ms(self) -> int | None:
        return self._results[-1].next_row_ms if self._results else super()._next_row_ms

    def _depth(self) -> tuple[Levels, Levels]:
        if not self._results:
            return super()._depth()
        bids, asks = self._results[-1].last_levels
        return bids[: self.options.depth_levels], asks[: self.options.depth_levels]

    @property
    def late_advice(self) -> list[str]:
        """Return a line for each table with rows too far out of order: how to put it right."""
        return [*super().late_advice, *(a for r in self._results for a in r.late_advice)]

    def _join(self) -> None:
        """Take over what the segments have found into this process's state."""
        done = next((i for i, r in enumerate(self._results) if not r.complete), len(self._results))
        self._results = results = self._results[: done + 1]
        processor = self.processor
        processor.metrics.samples.replace(merge_sampled_bars([result.bars for result in results]))
        processor.rows = sum(result.rows for result in results)
        processor.warm_up_rows = sum(result.warm_up_rows for result in results)
        for result in results:
            if result.silences.span:
                processor.reliability.note_open(processor.noted, result.silences.span[0])
            processor.noted.add(result.issues)
            processor.silences.join(result.silences)
            processor.reliability = result.reliability
        paths = [segment.spool for segment in self._segments[: len(results)]]
        if self.results:
            self.results.add_sampled(processor, list(joined_bars(read_spools(paths))))
        if processor.flow:
            processor.flow.join([result.flow for result in results if result.flow])
            self._bar_files.add_sampled(joined_bars(read_spools(paths)))


def find_seam(segments: list[Segment], results: list[SegmentResult]) -> str | None:
    """Return why the segments can't be joined as if one process had made them; None if they can.

    No row may lie on the wrong side of a cut; the snapshot that begins a segment must be readable;
    and no row may have been lost that may be one of a later segment.
    """
    for segment, before, after in zip(segments[1:], results, results[1:], strict=False):
        where = f"{segment.books[0].path}"
        if not before.complete or after.warm_up_rows:
            return f"{where}: rows lie across its beginning"
        if not after.begins_readable:
            return f"{where}: its first row cannot be read"
        if before.reliability.lost_at_unknown_time:
            return f"{where}: rows before it were lost, nobody knows when"
    return None


def merge_sampled_bars(segments: list[list[Bar]]) -> list[Bar]:
    """Chain the OBI and TOT bars of successive segments; a window cut in two becomes one bar."""
    return list(joined_bars(chain.from_iterable(segments)))


def joined_bars(bars: Iterable[Bar]) -> Iterator[Bar]:
    """Yield bars of samples in their order; neighbours of the same window become one."""
    before: Bar | None = None
    for bar in bars:
        if before is not None and before[0] == bar[0]:
            before = [
                bar[0],
                *_merged(before[1:5], bar[1:5]),
                *_merged(before[5:9], bar[5:9]),
            ]
            continue
        if before is not None:
            yield before
        before = bar
    if before is not None:
        yield before


def _merged(first: list[float], second: list[float]) -> list[float]:
    return [first[0], max(first[1], second[1]), min(first[2], second[2]), second[3]]
