"""A recording that grows is read as the one stream of windows that it is when it is finished."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_writer import DAY, START, Market, Recorder, Step, market_plan, name_of_day

from db_interpreter import DBInterpreter
from recordings.discovery import find_recording
from recordings.hold_back import GRACE_SECONDS, HOLD_MS
from recordings.live_recording import LiveRecording
from replay.live_stream import LiveStream, Window

INSTRUMENT = "BTC-USDT"
END = START + 30 * DAY
LOOK_SECONDS = 0.1


def events_of(windows: Iterator[Window]) -> list[tuple[Any, ...]]:
    """Return what happens, one event after the other, without ids and ends of windows."""
    events: list[tuple[Any, ...]] = []
    for update, trades in windows:
        if update.bids is not None:
            events.append((update.timestamp, update.bids, update.asks, update.snapshot))
        events += [trade[1:] for trade in trades]
    return events


def finished(directory: Path, end_ms: int = END) -> list[tuple[Any, ...]]:
    """Return the events of the recording as a plain replay has them."""
    found = find_recording(INSTRUMENT, directory, START, end_ms)
    reader = DBInterpreter.of_tables(found.books, found.trades, START, end_ms, found.book_mode)
    return events_of(reader.stream())


class Reading:
    """A reader that looks whenever it is told to, with a clock of its own."""

    def __init__(self, directory: Path, end_ms: int = END) -> None:
        self.recording = LiveRecording(INSTRUMENT, directory, START, end_ms)
        self.stream = LiveStream(self.recording, START, end_ms)
        self.events: list[tuple[Any, ...]] = []
        self.now = 0.0

    def look(self, later: float = LOOK_SECONDS) -> list[tuple[Any, ...]]:
        """Look once, so many seconds later; return what came of it."""
        self.now += later
        self.recording.search_soon()
        found = events_of(self.stream.windows(self.now))
        self.events += found
        return found

    def finish(self) -> list[tuple[Any, ...]]:
        self.look()
        self.events += events_of(self.stream.rest(END))
        return self.events

    @property
    def late(self) -> int:
        return self.stream.counts.late_rows + self.stream.counts.late_trades


def follow(plan: list[Step], directory: Path) -> Reading:
    """Write a plan, and look after each of its steps, twice after some."""
    recorder, reading = Recorder(directory), Reading(directory)
    for number, step in enumerate(plan):
        if step["do"] == "open":
            recorder.open(step["name"])
        elif step["do"] == "commit":
            recorder.commit(step["book"], step["trades"])
        else:
            recorder.close(step["how"])
        for _ in range(1 + number % 3 // 2):
            reading.look()
    return reading


@pytest.mark.parametrize("seed", range(6))
def test_the_events_are_those_of_the_finished_recording_in_one_order(
    tmp_path: Path, seed: int
) -> None:
    reading = follow(market_plan(seed, commits=40), tmp_path)
    shown = len(reading.events)
    assert reading.finish() == finished(tmp_path)
    assert reading.late == 0
    assert shown > 50  # not all of it at the end


class OneDay:
    """A file that takes rows at times after START, committed one lot at a time."""

    def __init__(self, directory: Path) -> None:
        self._market = Market(1)
        self._recorder = Recorder(directory)
        self._recorder.open(name_of_day(0))
        self.commit(snapshot=0)

    def commit(self, *rows: int, trades: tuple[int, ...] = (), snapshot: int | None = None) -> None:
        market = self._market
        first = [] if snapshot is None else [market.snapshot(snapshot)]
        book = [*first, *(market.update(at) for at in rows)]
        self._recorder.commit(book, [market.trade(at) for at in trades])

    def close(self) -> None:
        self._recorder.close("plain")


@pytest.fixture
def day(tmp_path: Path) -> Iterator[OneDay]:
    found = OneDay(tmp_path)
    yield found
    found.close()


def times(events: list[tuple[Any, ...]]) -> list[int]:
    """Return the times after START of events: book rows have four parts, trades more."""
    return [(event[0] if len(event) == 4 else event[-1]) - START for event in events]


def test_a_kind_that_is_quiet_holds_up_the_other_for_the_grace_period(
    day: OneDay, tmp_path: Path
) -> None:
    reading = Reading(tmp_path)
    day.commit(100, trades=(150,))
    reading.look()
    day.commit(200, 5 * HOLD_MS)
    assert [times(reading.look()) for _ in range(3)] == [[], [], []]
    assert times(reading.look(GRACE_SECONDS)) == [0, 100, 150, 200, 5 * HOLD_MS]


def test_what_comes_behind_the_other_kind_is_left_out_and_counted(
    day: OneDay, tmp_path: Path
) -> None:
    reading = Reading(tmp_path)
    day.commit(100, 5 * HOLD_MS)
    reading.look()
    assert times(reading.look(GRACE_SECONDS)) == [0, 100, 5 * HOLD_MS]
    day.commit(6 * HOLD_MS, trades=(5 * HOLD_MS, 5 * HOLD_MS + 1))
    reading.look()
    assert times(reading.look(GRACE_SECONDS)) == [5 * HOLD_MS + 1, 6 * HOLD_MS]
    assert reading.stream.counts.late_trades == 1


def test_rows_of_one_millisecond_come_together_and_book_rows_first(
    day: OneDay, tmp_path: Path
) -> None:
    reading = Reading(tmp_path)
    day.commit(100, 100, trades=(100, 100))
    reading.look()
    day.commit(100, 900, trades=(100, 900))
    assert times(reading.look()) == [0, 100, 100, 100, 100, 100, 100]


def test_trades_wait_for_rows_of_which_nobody_knows_yet_what_they_are(tmp_path: Path) -> None:
    recorder, reading, market = Recorder(tmp_path), Reading(tmp_path), Market(2)
    recorder.open(name_of_day(0))
    book = [market.snapshot(0), *(market.update(10 * at) for at in range(1, 200))]
    for row in book:
        row[4:] = [None, None, None]  # no action, no ids: the first rows tell by what is in them
    trades = [market.trade(10 * at + 5) for at in range(200)]
    for cut in range(0, 200, 20):
        recorder.commit(book[cut : cut + 20], trades[cut : cut + 20])
        for _ in range(3):
            reading.look()
    recorder.close("plain")
    assert reading.finish() == finished(tmp_path)
    assert times(reading.events) == sorted(times(reading.events))


def test_the_rest_ends_before_the_time_asked_for(day: OneDay, tmp_path: Path) -> None:
    reading = Reading(tmp_path)
    day.commit(100, 200, 300, trades=(150, 250))
    reading.look()
    assert times(events_of(reading.stream.rest(START + 250))) == [0, 100, 150, 200]
