"""Where the market of a run comes from: a recording, one that grows, or an exchange's feed.

A run reads its market twice, mostly in two processes: for the ticks that strategies see, and for
the market that orders go to. Both read a recording, each by itself; a feed is recorded first. So a
live run can be replayed: docs/trading.md says what is then the same.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Protocol, Self

from db_interpreter import DBInterpreter
from orderflow.errors import NothingToReplayError
from orderflow.issues import IssueLog
from recordings.discovery import find_recording
from recordings.live_recording import LiveRecording
from recordings.recorder_losses import losses_of
from replay.live_reader import QUIET_SECONDS
from replay.live_stream import LiveStream
from trading.stream import Item, Stream

POLL_SECONDS = 0.1
"""What was appended to a recording is looked for so often."""
CLOSE_SECONDS = 10.0
"""How long a recorder may take to close its files when a run has failed."""


@dataclass(frozen=True)
class SourceOptions:
    """What market a run is on, and where it is.

    Of `[start_ms, end_ms)` the recording under `data_dir`; with `follow` one that may grow; with
    `url` what an exchange sends, which is recorded into `data_dir`, a folder of this run's own.
    """

    instrument: str
    start_ms: int
    end_ms: int
    data_dir: Path
    book_mode: str = "auto"
    follow: bool = False
    url: str | None = None

    @property
    def is_live(self) -> bool:
        """Return whether the market may go on while it is read."""
        return self.follow or self.url is not None


class Source(Protocol):
    """The market of a run, for a process that makes ticks of it, executes orders on it, or both.

    A context manager: leaving it ends what it has begun, whatever has become of that.
    """

    @property
    def end_at(self) -> Callable[[int], None] | None:
        """Return what is to be told the ms at which the ticks have ended, None of a recording."""

    def stream(self) -> Iterator[Item | None]:
        """Yield what ticks are made of, to the end; while nothing comes, wait, and yield None."""

    def market(self) -> Iterator[Item | None]:
        """Yield the same for orders to go to; while nothing comes, yield None and do not wait."""

    def losses(self) -> dict[str, int]:
        """Count by kind what was lost of the market: by its recorder, or as it came too late."""

    @property
    def issues(self) -> IssueLog:
        """Return what was wrong with the rows that `stream` has read, the book's state apart."""

    def stop(self) -> None:
        """Let a live market end here; may be called from a signal handler. A recording goes on."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def open_source(
    options: SourceOptions, *, records: bool = True, say: Callable[[str], None] = lambda _: None
) -> Source:
    """Return the source that the options ask for.

    Of a feed, one process of a run `records`; the others follow what it writes. `say` takes lines
    of the recorder for a person. Raise `NothingToReplayError` or `RecordingError` where there is no
    such recording, `OutputError` where a feed cannot be recorded.
    """
    if not options.is_live:
        return RecordedSource(options)
    feed = Feed(options.url, options, say) if options.url is not None and records else None
    return LiveSource(options, feed)


def recording_dir(output_dir: Path, now: datetime) -> Path:
    """Return a folder for what a run that begins now records, under that of its results."""
    return output_dir / f"recording-{now.astimezone(UTC):%Y%m%dT%H%M%S}"


class RecordedSource:
    """A recording that is whole."""

    end_at = None

    def __init__(self, options: SourceOptions) -> None:
        self._options = options
        self._opened = [self._open()]  # what cannot be read is said before a run begins
        self._shown = self._opened[0]

    def _open(self) -> DBInterpreter:
        options = self._options
        found = find_recording(
            options.instrument, options.data_dir, options.start_ms, options.end_ms,
            options.book_mode,
        )  # fmt: skip
        self._paths = sorted({table.path for table in (*found.books, *found.trades)})
        return DBInterpreter.of_tables(
            found.books, found.trades, options.start_ms, options.end_ms, found.book_mode
        )

    def _reader(self) -> DBInterpreter:
        """Return a reader with tables of its own: two may be read in turn."""
        return self._opened.pop() if self._opened else self._open()

    def stream(self) -> Iterator[Item]:
        """Yield what ticks are made of, to the end."""
        self._shown = self._reader()
        yield from self._shown.batches()

    def market(self) -> Iterator[Item]:
        """Yield the same for orders to go to."""
        return self._reader().batches()

    @property
    def issues(self) -> IssueLog:
        """Return what was wrong with the rows that `stream` has read, the book's state apart."""
        return self._shown.issues

    def losses(self) -> dict[str, int]:
        """Count by kind what the recorder says it lost in the range, and rows out of order."""
        options = self._options
        lost = losses_of(self._paths, options.instrument, options.start_ms, options.end_ms)
        return _sorted(_late_in(self._shown) | Counter(lost))

    def stop(self) -> None:
        """Do nothing: a run on a recording goes to its end, or fails."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: every reader has closed what it opened."""


class OpenedSource:
    """A market that a function opens, anew each time: see `trading.stream`."""

    end_at = None

    def __init__(self, open_stream: Callable[[], Stream]) -> None:
        self._open_stream = open_stream
        self.issues = IssueLog()

    def stream(self) -> Iterator[Item]:
        """Yield what ticks are made of, to the end."""
        return iter(self._open_stream())

    def market(self) -> Iterator[Item]:
        """Yield the same for orders to go to."""
        return iter(self._open_stream())

    def losses(self) -> dict[str, int]:
        """Return nothing: nobody knows."""
        return {}

    def stop(self) -> None:
        """Do nothing: the run goes to its end, or fails."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: there is nothing to close."""


class LiveSource:
    """A recording that may grow, and with a `feed` the one that is made of it.

    Ticks end when END has come, after `stop`, or when the feed has ended; those of a feed with all
    that it sent.
    """

    def __init__(self, options: SourceOptions, feed: "Feed | None" = None) -> None:
        self._options = options
        self._feed = feed
        self._readings: list[_Reading] = []
        self._shown: _Reading | None = None
        self._is_stopped = False
        self._until_ms: int | None = None

    def stream(self) -> Iterator[Item | None]:
        """Yield what ticks are made of; while nothing comes, wait, and yield None."""
        reading = self._shown = self._begin_reading()
        if self._feed:
            self._feed.start()
        while not self._is_over(reading):
            yield from reading.windows(lambda: self._is_stopped and not self._feed)
            yield None
            if not reading.has_more:
                time.sleep(POLL_SECONDS)
        if self._feed or not self._is_stopped:
            yield from reading.rest(self._options.end_ms)
        if self._feed:
            self._feed.check(stopped=self._is_stopped)

    def _is_over(self, reading: "_Reading") -> bool:
        over = self._is_stopped or reading.is_at_end
        if self._feed is None:
            return over
        if over:
            self._feed.stop()
        return not self._feed.is_running

    def market(self) -> Iterator[Item | None]:
        """Yield the same for orders to go to; while nothing comes, yield None and do not wait."""
        reading = self._begin_reading()
        next_look = float("-inf")
        while self._until_ms is None:
            if time.monotonic() >= next_look:
                yield from reading.windows()
                next_look = time.monotonic() + POLL_SECONDS
            yield None
        if self._until_ms > self._options.start_ms:
            yield from reading.rest(self._until_ms, is_known=True)

    def _begin_reading(self) -> "_Reading":
        reading = _Reading(self._options, makes_itself=self._feed is not None)
        self._readings.append(reading)
        return reading

    def end_at(self, until_ms: int) -> None:
        """Let `market` end where the ticks have ended."""
        self._until_ms = until_ms

    def stop(self) -> None:
        """Let the market end here; a feed ends when all that it has brought is written."""
        self._is_stopped = True

    @property
    def issues(self) -> IssueLog:
        """Return what was wrong with the rows that `stream` has read, the book's state apart."""
        return self._shown.issues if self._shown else IssueLog()

    def losses(self) -> dict[str, int]:
        """Count by kind what was lost: by the recorder, as far as it says so, or as too late."""
        most: Counter[str] = Counter()
        for reading in self._readings:
            most |= reading.losses()
        return _sorted(most)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the recorder, and wait until its files are closed."""
        if self._feed:
            self._feed.stop()
            self._feed.join(CLOSE_SECONDS)


class _Reading:
    """One reader of a recording that may grow."""

    def __init__(self, options: SourceOptions, *, makes_itself: bool) -> None:
        span = options.start_ms, options.end_ms
        self._makes_itself = makes_itself
        self._end_ms = options.end_ms
        self._recording = LiveRecording(options.instrument, options.data_dir, *span)
        self._stream = LiveStream(self._recording, *span, options.book_mode)

    def windows(self, is_stopped: Callable[[], bool] = lambda: False) -> Iterator[Item]:
        """Yield what can be given by now; when stopped, it ends between two milliseconds."""
        last_ms = None
        for event in self._stream.windows(time.monotonic()):
            now_ms = event[0].timestamp
            if last_ms is not None and now_ms > last_ms and is_stopped():
                return
            last_ms = now_ms
            yield event

    @property
    def has_more(self) -> bool:
        """Return whether there was more to read than was read at the last look."""
        return bool(self._recording.files) and not self._recording.is_dry

    @property
    def is_at_end(self) -> bool:
        """Return whether the end of the range has come.

        Raise `NothingToReplayError` when nothing has come by then, and nobody is recording.
        """
        recording = self._recording
        if recording.waiting and not self._makes_itself:
            over_for = time.time() - self._end_ms / 1000
            if min(over_for, recording.quiet_seconds) > QUIET_SECONDS:
                raise NothingToReplayError(recording.waiting, recording.instrument)
        return self._stream.is_at_end(time.monotonic())

    def rest(self, before_ms: int, *, is_known: bool = False) -> Iterator[Item | None]:
        """Yield all that is committed by now and lies before a time, what is held back included.

        While it cannot be read, yield None. That there is something, `is_known` or not.
        """
        while True:
            self._recording.search_soon()
            yield from self.windows()
            is_there = bool(self._recording.files) or not is_known
            if is_there and not self.has_more and not self._recording.is_blocked:
                break
            yield None
        yield from self._stream.rest(before_ms)

    @property
    def issues(self) -> IssueLog:
        """Return what was wrong with the rows read so far."""
        return self._stream.issues

    def losses(self) -> Counter[str]:
        """Count by kind what was lost."""
        return _late_in(self._stream) + Counter(self._recording.losses)


class Feed:
    """What an exchange sends, recorded into `data_dir` by a thread; `say` takes its lines."""

    def __init__(self, url: str, options: SourceOptions, say: Callable[[str], None]) -> None:
        from recordings.recorder import RecorderOptions  # noqa: PLC0415 (aiohttp: seldom needed)
        from recordings.recording_run import RecordingRun  # noqa: PLC0415

        names, how = [options.instrument], RecorderOptions(url)
        self._run = RecordingRun("okx", names, options.data_dir, how, say)
        self._thread = Thread(target=self._record, name="recorder", daemon=True)
        self._failure: BaseException | None = None
        self._is_started = False

    def _record(self) -> None:
        try:
            self._run.record()
        except BaseException as error:  # noqa: BLE001 (carried to the thread that reads)
            self._failure = error

    def start(self) -> None:
        """Begin to record."""
        self._is_started = True
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Return whether it records, or is closing its files."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Ask it to end."""
        self._run.recorder.stop()

    def join(self, seconds: float) -> None:
        """Wait until it has ended, no longer than so long."""
        if self._is_started:
            self._thread.join(seconds)

    def check(self, *, stopped: bool) -> None:
        """Raise, once it has ended, what it has failed with, or that it recorded nothing."""
        if self._failure:
            raise self._failure
        self._run.check(stopped=stopped)


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _late_in(reader: DBInterpreter) -> Counter[str]:
    counts = reader.counts
    return +Counter(late_rows=counts.late_rows, late_trades=counts.late_trades)
