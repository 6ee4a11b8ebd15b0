"""Where the market of a run comes from: what is live can be replayed, with the same fills."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from desk_runs import desk_run
from live_writer import DAY, START, Market, Recorder, market_plan, name_of_day
from live_writer import run as write_plan
from messages import INSTRUMENT, RUN, buy, tick
from scripted_okx import ScriptedOkx, until

from orderflow.errors import NothingToReplayError, UsageError
from orderflow.events import OrderbookUpdate
from recordings.hold_back import HOLD_MS
from synthetic_market import NORMAL, write_recording
from trading.account import Fees
from trading.execution import Execution
from trading.gateway import new_start
from trading.in_process import run_in_process
from trading.messages import (
    END_MS,
    Alert,
    Filled,
    SignalType,
    TickEvent,
    TradingSignal,
)
from trading.orders import Side
from trading.paper_market import PaperMarket
from trading.protocol import StrategyFailedError, windows
from trading.report import Report, RunLog, report_of
from trading.rules import Rules
from trading.sources import Source, SourceOptions, open_source, recording_dir
from trading.stream import LiveStream, as_batch
from trading.ticks import TickMaker

PATIENCE = 60.0
RULES = Rules(10, 10, fees=Fees(Decimal("0.0002"), Decimal("0.0005")))
FAR = START + 30 * DAY


@dataclass
class Trader:
    """Trade at the market and beside it, at every nth tick; `ticks` are those it has seen."""

    every: int = 7
    ticks: list[TickEvent] = field(default_factory=list)

    def on_tick(self, tick: TickEvent) -> Sequence[TradingSignal | Alert]:
        self.ticks.append(tick)
        number = len(self.ticks)
        if number % self.every or tick.best_bid is None or tick.best_ask is None:
            return []
        side = (Side.BUY, Side.SELL)[number % 2]
        price = tick.best_bid if side is Side.BUY else tick.best_ask
        rests = number // self.every % 3
        return [
            TradingSignal(
                instrument=tick.instrument,
                time_ms=tick.time_ms,
                side=side,
                order=SignalType.POST_ONLY if rests else SignalType.MARKET,
                price=Decimal(str(price)) if rests else None,
                quantity=Decimal("0.01"),
                cancel_ms=tick.time_ms + 2000 if rests else None,
            )
        ]


@dataclass(frozen=True)
class Run:
    report: Report
    ticks: list[TickEvent]
    lost: dict[str, int]

    @property
    def end_ms(self) -> int:
        return self.ticks[-1].time_ms + 1


def run_on(source: Source, on_tick: Callable[[int], None] = lambda _: None, every: int = 7) -> Run:
    """Run a strategy on a source in this process; `on_tick` gets how many ticks there were."""
    trader = Trader(every)

    class Told(Trader):
        def on_tick(self, tick: TickEvent) -> Sequence[TradingSignal | Alert]:
            made = trader.on_tick(tick)
            on_tick(len(trader.ticks))
            return made

    start = replace_run_id(new_start(INSTRUMENT, ["trader"]))
    market = PaperMarket(source.market(), INSTRUMENT, RULES, None, source.end_at)
    log = RunLog()
    execution = Execution(market, start, RULES.entry_ms, log.answer, log.alert)
    ticks = TickMaker(RUN, INSTRUMENT).ticks(source.stream())
    run_in_process(ticks, {"trader": Told()}, execution, start)
    return Run(report_of(market, execution, log, {}), trader.ticks, source.losses())


def replace_run_id(start: Any) -> Any:
    return msgspec.structs.replace(start, run_id=RUN)


def options(directory: Path, **given: Any) -> SourceOptions:
    return SourceOptions(INSTRUMENT, START, FAR, directory, **given)


def check_replay(live: Run, directory: Path, end_ms: int = FAR, every: int = 7) -> None:
    """Run on what is there when the live run is over: all must be as it was."""
    again = run_on(open_source(replace(options(directory), end_ms=end_ms)), every=every)
    assert again.ticks == live.ticks
    assert again.report.fills == live.report.fills
    assert again.report.orders == live.report.orders
    assert again.report.statistics == live.report.statistics
    assert again.lost == live.lost


@contextmanager
def beside(work: Callable[[], object]) -> Iterator[None]:
    """Do some work in a thread; fail if it fails."""
    failed: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)
            raise

    thread = threading.Thread(target=guarded)
    thread.start()
    try:
        yield
    finally:
        thread.join(PATIENCE)
    assert failed == []


# -- windows and ticks of a live market


def test_a_window_ends_where_there_are_no_more_ticks_now() -> None:
    some = [tick(1, 12), tick(2, 13), None, None, tick(3, 14), tick(4, 21), None]
    cut = [(until, [one.time_ms for one in found]) for until, found in windows(some, 10)]
    assert cut == [(14, [12, 13]), (20, [14]), (22, [21])]


def test_ticks_say_that_there_are_none_now() -> None:
    update = OrderbookUpdate([[100, 1]], [[101, 1]], 5, None, 1, snapshot=True)
    idle: list[int] = []
    maker = TickMaker(RUN, INSTRUMENT)
    ticks = maker.ticks([None, (update, []), None], lambda: idle.append(maker.number))
    assert [one and one.time_ms for one in ticks] == [None, 5, None]
    assert idle == [0, 0, 1]


# -- the market that orders go to


BOOK = OrderbookUpdate([[100, 5]], [[101, 4]], 0, None, 1, snapshot=True)


def row(ms: int) -> tuple[OrderbookUpdate, list[Any]]:
    return OrderbookUpdate([[50, ms]], None, ms, None, ms), []


def test_a_market_goes_as_far_as_it_is_known_and_on_when_more_is() -> None:
    stream: LiveStream = iter([(BOOK, []), None, row(9), None, None, row(11), row(20)])
    market = PaperMarket(stream, INSTRUMENT, Rules(10, 10))
    market.submit(buy(0, number=1, strategy="a"))
    assert [market.advance(15) for _ in range(4)] == [False, False, False, True]
    assert [type(answer) for answer in market.answers()][-1] is Filled  # by what came at 11
    assert market.advance(END_MS)


def test_what_comes_after_the_last_tick_is_no_part_of_a_live_market() -> None:
    told: list[int] = []
    stream: LiveStream = iter([(BOOK, []), row(9), row(20), row(30)])
    market = PaperMarket(stream, INSTRUMENT, Rules(10, 10), None, told.append)
    market.submit(buy(0, number=1, strategy="a"))
    market.submit(buy(15, number=2, strategy="a"))
    market.close_at(21)
    assert market.advance(END_MS)
    assert told == [21]
    kinds = [(answer.signal, type(answer).__name__) for answer in market.answers()]
    assert kinds == [(1, "Accepted"), (1, "Filled"), (2, "Rejected")]  # it would arrive at 25


def test_a_live_market_is_not_moved_beyond_what_was_shown() -> None:
    stream: LiveStream = iter([(BOOK, []), row(9), row(20), row(30)])
    market = PaperMarket(stream, INSTRUMENT, Rules(10, 10), None, lambda _: None)
    assert market.advance(20 + 10)  # the watermark is 20
    assert market.engine.now_ms == 9


def test_a_recording_is_read_to_its_end_whatever_the_last_tick_was() -> None:
    market = PaperMarket([(BOOK, []), row(9), row(20), row(30)], INSTRUMENT, Rules(10, 10))
    market.submit(buy(15, number=1, strategy="a"))
    market.close_at(21)
    assert market.advance(END_MS)
    assert [type(answer).__name__ for answer in market.answers()] == ["Accepted", "Filled"]


# -- a recording that grows


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.thorough
def test_followed_beside_a_writer_a_run_has_the_fills_of_the_finished_recording(
    tmp_path: Path, seed: int
) -> None:
    plan = market_plan(seed, commits=24, pauses=(0.0, 0.01, 0.1))
    total = sum(len(s["book"]) + len(s["trades"]) for s in plan if s["do"] == "commit")

    def stop_at_the_end(count: int) -> None:
        if count == total:
            source.stop()

    with (
        open_source(options(tmp_path, follow=True)) as source,
        beside(lambda: write_plan(plan, tmp_path)),
    ):
        live = run_on(source, stop_at_the_end)
    assert len(live.ticks) == total
    assert live.lost == {}
    assert len(live.report.fills) > 5
    check_replay(live, tmp_path)


@pytest.mark.thorough
def test_stopped_a_run_is_that_of_a_recording_which_ends_there(tmp_path: Path) -> None:
    plan = market_plan(3, commits=40, pauses=(0.0, 0.05))

    def stop_on_the_way(count: int) -> None:
        if count == 60:
            source.stop()

    with (
        open_source(options(tmp_path, follow=True)) as source,
        beside(lambda: write_plan(plan, tmp_path)),
    ):
        live = run_on(source, stop_on_the_way, every=3)
    assert 60 <= len(live.ticks) < 120
    check_replay(live, tmp_path, live.end_ms, every=3)


def test_it_is_never_stopped_within_a_millisecond(tmp_path: Path) -> None:
    market, recorder = Market(1), Recorder(tmp_path)
    recorder.open(name_of_day(0))
    times = [100] * 5 + [200] * 5 + [5000]
    book = [market.snapshot(0), *(market.update(at) for at in times)]
    recorder.commit(book, [market.trade(at) for at in (100, 200, 5000)])
    with open_source(options(tmp_path, follow=True)) as source:
        shown = []
        for event in source.stream():
            if event is not None:
                shown.append(as_batch(event[0]).rows[0][0] - START)
                if shown[-1] == 100:
                    source.stop()
    recorder.close("plain")
    assert shown == [0] + [100] * 5


def test_while_there_is_nothing_to_follow_the_others_hear_that_it_lives(tmp_path: Path) -> None:
    with open_source(options(tmp_path / "none yet", follow=True)) as source:
        stream = source.stream()
        assert [next(stream) for _ in range(3)] == [None, None, None]
        source.stop()
        assert list(stream) == []
        assert source.losses() == {}


@pytest.mark.thorough
def test_the_end_of_the_range_ends_it(tmp_path: Path) -> None:
    plan = market_plan(4, commits=24, pauses=(0.0,))
    write_plan(plan, tmp_path)
    times = [row[3] for step in plan if step["do"] == "commit" for row in step["book"]]
    assert max(times) - min(times) > 4 * HOLD_MS
    span = replace(options(tmp_path), end_ms=(min(times) + max(times)) // 2)
    with open_source(replace(span, follow=True)) as source:
        live = run_on(source, every=3)
    assert live.ticks
    again = run_on(open_source(span), every=3)
    assert again.ticks == live.ticks
    assert again.report.fills == live.report.fills


# -- an exchange's feed


def serve(server: ScriptedOkx, source: Source) -> None:
    """Play a market with a break and a gap, then stop."""

    def go_on(count: int) -> None:
        for number in range(count):
            server.update()
            if number % 3 == 0:
                server.trade()

    until(server.subscribed, "never subscribed")
    go_on(30)
    before = server.connections
    server.drop()
    until(lambda: server.connections > before and server.subscribed(), "never came again")
    go_on(30)
    asked = len(server.requests)
    server.lose_update()
    go_on(5)
    until(lambda: len(server.requests) >= asked + 2 and server.subscribed(), "no new snapshot")
    go_on(30)
    source.stop()


def test_a_feed_with_a_break_and_a_gap_is_run_on_as_its_recording_is(tmp_path: Path) -> None:
    said: list[str] = []
    with ScriptedOkx() as server:
        with (
            open_source(options(tmp_path, url=server.url), say=said.append) as source,
            beside(lambda: serve(server, source)),
        ):
            live = run_on(source)
        assert server.market.rows == 96
    assert live.lost == {"disconnected": 1, "sequence_gap": 1}
    assert {tick.book_reliable for tick in live.ticks} == {True, False}
    assert live.ticks[-1].book_reliable
    assert live.ticks[-1].time_ms == server.market.now
    assert live.report.fills
    assert any("closed the connection" in line for line in said)
    check_replay(live, tmp_path)


@pytest.mark.thorough
def test_the_simulator_is_run_on_as_its_recording_is(tmp_path: Path) -> None:
    made = tmp_path / "made.db"
    write_recording(made, INSTRUMENT, START, START + 60_000, density=NORMAL)
    span = (INSTRUMENT, "2025-06-09", "2025-06-10")
    with desk_run(*span, "--data-dir", made, "--exchange", "okx", "--speed", "10") as desk:
        url = f"ws://127.0.0.1:{desk.port('okx')}/ws/v5/public"
        into = tmp_path / "into"

        def stop() -> None:
            desk.wait_for("all rows are fetched and sent")
            source.stop()

        with open_source(options(into, url=url)) as source, beside(stop):
            live = run_on(source, every=20)
    assert live.lost == {}
    assert len(live.report.fills) > 20
    check_replay(live, into, every=20)


def test_what_the_exchange_does_not_have_is_an_error(tmp_path: Path) -> None:
    with (
        ScriptedOkx("ETH-USDT") as server,
        open_source(options(tmp_path, url=server.url)) as source,
        pytest.raises(UsageError, match="okx has none of the instruments: BTC-USDT"),
    ):
        run_on(source)


def test_stopped_before_there_was_a_connection_a_run_is_empty(tmp_path: Path) -> None:
    with ScriptedOkx() as server:
        url = server.url
    said: list[str] = []
    with open_source(options(tmp_path, url=url), say=said.append) as source:

        def stop() -> None:
            until(lambda: said, "no line says why there is no connection")
            source.stop()

        with beside(stop):
            live = run_on(source)
    assert "can't be connected to" in said[0]
    assert (live.ticks, live.report.fills) == ([], [])


@pytest.mark.thorough
def test_a_run_that_fails_leaves_no_recorder_behind(tmp_path: Path) -> None:
    def fail(count: int) -> None:
        raise KeyError(count)

    def go_on() -> None:
        until(server.subscribed, "never subscribed")
        for _ in range(20):
            server.update()

    before = {*threading.enumerate()}
    with ScriptedOkx() as server:
        with (
            pytest.raises(StrategyFailedError),
            open_source(options(tmp_path, url=server.url)) as source,
            beside(go_on),
        ):
            run_on(source, fail)
        left = {*threading.enumerate()} - before
        assert not [thread for thread in left if "recorder" in thread.name]
    assert [path.suffix for path in sorted(tmp_path.iterdir())] == [".lock", ".db"]


def test_there_has_to_be_a_recording(tmp_path: Path) -> None:
    with pytest.raises(NothingToReplayError, match="no recording under"):
        open_source(options(tmp_path))


def test_each_run_records_into_a_folder_of_its_own(tmp_path: Path) -> None:
    now = datetime(2025, 6, 9, 12, 30, 5, tzinfo=UTC)
    assert recording_dir(tmp_path, now) == tmp_path / "recording-20250609T123005"
