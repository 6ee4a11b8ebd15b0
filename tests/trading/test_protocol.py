"""The rules of a run, without sockets: numbers, signs of life, windows, one order of signals."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import INSTRUMENT, RUN, alert, buy, tick
from msgspec.structs import replace

from orderflow.errors import UsageError
from trading import execution
from trading.execution import Execution, SignalMerge
from trading.gateway import new_start
from trading.in_process import run_in_process
from trading.messages import (
    END_MS,
    Abort,
    Accepted,
    Alert,
    Answer,
    Credit,
    End,
    Heartbeat,
    Hello,
    Mode,
    Rejected,
    Role,
    Signals,
    Start,
    TickEvent,
    TradingSignal,
    Window,
)
from trading.protocol import (
    MOST_TICKS,
    RESEND_SECONDS,
    SILENCE_SECONDS,
    CameAgainError,
    NameTakenError,
    PeerSilentError,
    RunAbortedError,
    Watch,
    check_options,
    own_topic,
    windows,
)
from trading.protocol import Sequence as Numbers
from trading.rules import BEFORE_START, RUN_ENDED, TOO_LATE
from trading.sessions import Attendance, GatewaySession, StrategySession

NOW = datetime(2025, 6, 9, tzinfo=UTC)
ENTRY_MS = 10


def start(*strategies: str, mode: Mode = Mode.DETERMINISTIC, credit: int = 2) -> Start:
    return Start(RUN, INSTRUMENT, strategies, mode, 10, credit, 1, NOW)


def hello(name: str, instance: str = "1", pid: int = 7) -> Hello:
    return Hello(Role.STRATEGY, name, instance, pid, NOW)


# -- numbers


def test_gaps_repeats_and_foreign_runs_are_counted() -> None:
    numbers = Numbers(RUN)
    taken = [numbers.take(RUN, number) for number in (1, 2, 2, 5, 1, 6)]
    assert taken == [True, True, False, True, False, True]
    assert not numbers.take("another", 7)
    assert numbers.counts() == {"received": 4, "missing": 2, "repeats": 2, "foreign": 1}


def test_a_lost_tail_shows_by_the_count_at_the_end() -> None:
    numbers = Numbers(RUN)
    numbers.take(RUN, 1, 10)
    assert numbers.announce(10) == 0
    assert numbers.announce(13) == 3
    assert numbers.announce(13) == 0
    assert numbers.missing == 3


# -- signs of life


def test_who_is_silent_too_long_is_named() -> None:
    watch = Watch()
    watch.heard("a", 0.0)
    for tenth in range(16):
        watch.heard("b", tenth / 10)
        watch.check(tenth / 10)
    with pytest.raises(PeerSilentError, match=r"^a: no sign of life for 1\.6 s") as caught:
        watch.check(SILENCE_SECONDS + 0.1)
    assert caught.value.name == "a"


def test_who_has_said_goodbye_or_never_came_is_not_waited_for() -> None:
    watch = Watch()
    watch.heard("a", 0.0)
    watch.heard("b", 0.0)
    watch.forget("a")
    watch.only(["c"])
    watch.check(1.0)
    watch.check(2.0)
    watch.check_one("b", 9.0)


def test_who_was_stopped_itself_judges_nobody() -> None:
    watch = Watch()
    watch.heard("a", 0.0)
    watch.check(0.1)
    watch.check(10.0)
    watch.check(11.0)
    with pytest.raises(PeerSilentError):
        watch.check(12.0)


# -- windows


@given(st.lists(st.integers(0, 4), max_size=60), st.integers(1, 20))
def test_windows_are_cut_between_milliseconds_and_lose_nothing(
    steps: list[int], window_ms: int
) -> None:
    time_ms, ticks = 0, []
    for number, step in enumerate(steps, 1):
        time_ms += step
        ticks.append(tick(number, time_ms))
    found = list(windows(ticks, window_ms))
    assert [one for _, some in found for one in some] == ticks
    assert all(some for _, some in found)
    before = 0
    for until_ms, some in found:
        assert all(before <= one.time_ms < until_ms for one in some)
        before = until_ms


def test_a_window_of_many_ticks_ends_with_a_millisecond_of_its_own() -> None:
    ticks = [tick(number, number // 3) for number in range(5 * MOST_TICKS)]
    found = list(windows(ticks, 10_000))
    assert [one for _, some in found for one in some] == ticks
    assert {len(some) for _, some in found[:-1]} <= {MOST_TICKS, MOST_TICKS + 1, MOST_TICKS + 2}
    for (until_ms, some), (_, later) in pairwise(found):
        assert some[-1].time_ms < until_ms <= later[0].time_ms


@pytest.mark.parametrize(("window_ms", "credit"), [(0, 1), (10_001, 1), (1, 0), (1, 501)])
def test_options_that_cannot_be_meant_are_refused(window_ms: int, credit: int) -> None:
    with pytest.raises(UsageError, match="must be 1 to"):
        check_options(window_ms, credit)
    with pytest.raises(UsageError):
        new_start(INSTRUMENT, ["a"], window_ms=window_ms, credit=credit)


# -- one order of signals


class Market:
    """Write down what happens, and insist on what the market may rely on."""

    def __init__(self) -> None:
        self.reached = 0
        self.closed_at: int | None = None
        self.submitted: list[TradingSignal] = []
        self.new: list[Answer] = []

    def advance(self, to_ms: int) -> bool:
        assert to_ms > self.reached
        self.reached = to_ms
        return True

    def close_at(self, until_ms: int) -> None:
        self.closed_at = until_ms

    def submit(self, signal: TradingSignal) -> None:
        assert signal.time_ms + ENTRY_MS >= self.reached, "the market has gone too far"
        self.submitted.append(signal)
        answer = Accepted(strategy=signal.strategy, signal=signal.number, time_ms=signal.time_ms)
        self.new.append(answer)

    def answers(self) -> Sequence[Answer]:
        taken, self.new = self.new, []
        return taken


class Patient(Market):
    """A market that takes what comes late, as a free run needs."""

    def submit(self, signal: TradingSignal) -> None:
        self.reached, reached = 0, self.reached
        super().submit(signal)
        self.reached = reached


def executing(begin: Start, market: Market | None = None) -> tuple[Execution, Market, list[Answer]]:
    market, answers = market or Market(), list[Answer]()
    return Execution(market, begin, ENTRY_MS, answers.append), market, answers


def signals(strategy: str, number: int, watermark_ms: int, *times: int, first: int = 1) -> Signals:
    """Make a message with a signal for each time, numbered from `first`."""
    made = (
        replace(buy(ms), run_id=RUN, strategy=strategy, number=n)
        for n, ms in zip(count(first), times, strict=False)
    )
    return Signals(RUN, strategy, number, number, watermark_ms, tuple(made))


def order_of(submitted: list[TradingSignal]) -> list[tuple[int, str, int]]:
    return [(signal.time_ms, signal.strategy, signal.number) for signal in submitted]


class ByNumber:
    """Signal, or warn, at some ticks: which ones depends on the name."""

    def __init__(self, name: str) -> None:
        self._of = 2 + ord(name) % 3

    def on_tick(self, tick: TickEvent) -> list[TradingSignal | Alert]:
        made: list[TradingSignal | Alert] = []
        if tick.number % self._of == 0:
            made += [buy(tick.time_ms, quantity=Decimal(tick.number)), buy(tick.time_ms + 3)]
        return made if tick.number % 7 else [*made, alert(tick.time_ms)]


def test_signals_that_wait_when_a_run_is_broken_off_are_rejected_once_and_say_so() -> None:
    doing, market, answers = executing(start("a", "b"))
    doing.take(signals("a", 1, 50, 10, 30, 40))
    doing.take(signals("b", 1, 20, 10, 30))
    doing.settle()
    assert order_of(market.submitted) == [(10, "a", 1), (10, "b", 1)]
    given_up = [(one.time_ms, one.strategy, one.signal, one.reason) for one in doing.give_up()]
    assert given_up == [
        (30, "a", 2, RUN_ENDED), (30, "b", 2, RUN_ENDED), (40, "a", 3, RUN_ENDED),
    ]  # fmt: skip
    assert doing.give_up() == []
    assert len(answers) == 2  # nobody is told


def all_signals(ticks: list[TickEvent], names: str) -> list[tuple[int, str, int]]:
    """Work out by brute force which signals come in which order."""
    found = []
    for name in names:
        strategy, number = ByNumber(name), count(1)
        made = [one for each in ticks for one in strategy.on_tick(each)]
        found += [(one.time_ms, name, next(number)) for one in made if not isinstance(one, Alert)]
    return sorted(found)


@st.composite
def some_ticks(draw: st.DrawFn) -> list[TickEvent]:
    time_ms, ticks = 0, []
    for number, step in enumerate(draw(st.lists(st.sampled_from([0, 0, 1, 2, 9]), max_size=50)), 1):
        time_ms += step
        ticks.append(tick(number, time_ms))
    return ticks


@given(some_ticks(), st.sampled_from(["a", "ab", "dacb"]), st.sampled_from([1, 2, 5, 50]))
def test_in_one_process_signals_come_in_the_one_order(
    ticks: list[TickEvent], names: str, window_ms: int
) -> None:
    begin = replace(start(*names), window_ms=window_ms)
    doing, market, answers = executing(begin)
    run_in_process(ticks, {name: ByNumber(name) for name in names}, doing, begin)
    assert order_of(market.submitted) == all_signals(ticks, names)
    assert [(a.time_ms, a.strategy, a.signal) for a in answers] == all_signals(ticks, names)
    assert market.reached == END_MS
    assert doing.lost == 0
    assert doing.counts["late"] == 0


@given(some_ticks(), st.sampled_from([1, 2, 5]), st.data())
def test_signals_come_in_the_one_order_however_messages_arrive(
    ticks: list[TickEvent], window_ms: int, data: st.DataObject
) -> None:
    names = "abc"
    begin = start(*names)
    doing, market, _ = executing(begin)
    sessions = {name: StrategySession(name, ByNumber(name), begin) for name in names}
    waiting: dict[str, list[Signals | End]] = {name: [] for name in names}
    for number, (until_ms, some) in enumerate(windows(ticks, window_ms), 1):
        for name, session in sessions.items():
            made = session.work(Window(RUN, number, until_ms, some), 0.0, lambda: None)
            assert made is not None
            waiting[name].append(made)
    for name, session in sessions.items():
        waiting[name].append(End(RUN, Role.STRATEGY, name, session.messages))
    while left := [name for name in names if waiting[name]]:
        message = waiting[data.draw(st.sampled_from(left))].pop(0)
        if isinstance(message, End):
            doing.end(message)
        else:
            assert doing.take(message)
            if data.draw(st.booleans()):
                assert not doing.take(message)
        if data.draw(st.booleans()):
            doing.settle()
    doing.settle()
    assert order_of(market.submitted) == all_signals(ticks, names)
    assert market.reached == END_MS


class Lagging(Market):
    """A live market of which less is known than was asked for."""

    known = 0

    def advance(self, to_ms: int) -> bool:
        self.reached = min(to_ms, self.known)
        return self.known >= to_ms


def test_a_market_that_lags_is_moved_on_when_more_of_it_is_known() -> None:
    begin, market = start("a"), Lagging()
    doing = Execution(market, begin, ENTRY_MS, lambda _: None)
    session = StrategySession("a", ByNumber("a"), begin)
    made = session.work(Window(RUN, 1, 30, (tick(1, 20),)), 0.0, lambda: None)
    assert made is not None
    assert doing.take(made)
    doing.settle()
    assert not doing.is_settled
    market.known = 30 + ENTRY_MS
    doing.settle()
    assert (doing.is_settled, market.reached) == (True, 30 + ENTRY_MS)
    doing.end(End(RUN, Role.STRATEGY, "a", session.messages))
    assert market.closed_at == 30
    doing.settle()
    assert not doing.is_over
    market.known = END_MS
    doing.settle()
    assert doing.is_over


class Inclusive(SignalMerge):
    """The mistake: what is at the watermark's own millisecond is taken for certain."""

    @property
    def watermark(self) -> int:
        return super().watermark + 1


@pytest.mark.parametrize("merge", [SignalMerge, Inclusive])
def test_a_watermark_is_exclusive(
    merge: type[SignalMerge], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "SignalMerge", merge)
    doing, market, _ = executing(start("a", "b"), Patient())
    doing.take(signals("b", 1, 21, 20))  # b is ahead, and has a signal at 20
    doing.take(signals("a", 1, 20))
    doing.settle()  # all before 20 is certain
    doing.take(signals("a", 2, 30, 20))
    doing.settle()
    right = merge is SignalMerge
    assert (order_of(market.submitted) == [(20, "a", 1), (20, "b", 1)]) == right


def test_the_market_goes_as_far_as_all_have_promised_and_the_entry_latency() -> None:
    doing, market, _ = executing(start("a", "b"))
    doing.take(signals("a", 1, 50, 5, 30))
    doing.settle()
    assert (market.reached, market.submitted) == (ENTRY_MS, [])
    doing.take(signals("b", 1, 20))
    doing.settle()
    assert market.reached == 20 + ENTRY_MS
    assert order_of(market.submitted) == [(5, "a", 1)]
    assert doing.window == 1


def test_a_signal_that_comes_twice_is_carried_out_once() -> None:
    doing, market, _ = executing(start("a"))
    message = signals("a", 1, 50, 5)
    assert doing.take(message)
    assert not doing.take(message)
    assert not doing.take(replace(message, run_id="another"))
    doing.take(signals("a", 2, 60, 55, 5))  # numbered 1 and 2: the first of them was there
    doing.settle()
    assert order_of(market.submitted) == [(5, "a", 1)]
    assert doing.messages["a"].counts() == {
        "received": 2, "missing": 0, "repeats": 1, "foreign": 1,
    }  # fmt: skip
    assert doing.signals["a"].repeats == 1


def test_what_comes_out_of_turn_waits_for_what_was_lost_before_it() -> None:
    doing, market, _ = executing(start("a"))
    first, second = signals("a", 1, 50, 5), signals("a", 2, 60, 55, first=2)
    assert not doing.take(second)
    assert doing.take(first)
    assert doing.take(second)
    doing.settle()
    assert order_of(market.submitted) == [(5, "a", 1), (55, "a", 2)]
    assert (doing.counts["ahead"], doing.lost) == (1, 0)


def test_a_message_that_never_came_shows_at_the_end() -> None:
    doing, _, _ = executing(start("a"))
    doing.take(signals("a", 1, 50))
    doing.end(End(RUN, Role.STRATEGY, "a", 4))
    assert doing.lost == 3
    assert doing.running == set()


def test_what_arrives_after_its_validity_is_refused_and_not_executed() -> None:
    doing, market, answers = executing(start("a"))
    late, in_time = (
        replace(buy(5, valid_until_ms=until), run_id=RUN, strategy="a", number=number)
        for number, until in ((1, 5 + ENTRY_MS - 1), (2, 5 + ENTRY_MS))
    )
    doing.take(Signals(RUN, "a", 1, 1, 50, (late, in_time)))
    doing.settle()
    assert [signal.number for signal in market.submitted] == [2]
    assert isinstance(answers[0], Rejected)
    assert answers[0].reason == TOO_LATE
    assert [answer.number for answer in answers] == [1, 2]
    assert doing.counts["too_old"] == 1


def test_a_signal_before_the_start_of_the_run_is_refused_and_not_executed() -> None:
    answers: list[Answer] = []
    market = Market()
    doing = Execution(market, start("a"), ENTRY_MS, answers.append, begin_ms=5)
    early, in_time = (
        replace(buy(time_ms), run_id=RUN, strategy="a", number=number)
        for number, time_ms in ((1, 4), (2, 5))
    )
    doing.take(Signals(RUN, "a", 1, 1, 50, (early, in_time)))
    doing.settle()
    assert [signal.number for signal in market.submitted] == [2]
    assert isinstance(answers[0], Rejected)
    assert answers[0].reason == BEFORE_START


def test_a_signal_before_its_strategys_promise_is_refused_and_counted() -> None:
    doing, market, answers = executing(start("a"))
    doing.take(signals("a", 1, 50))
    doing.take(signals("a", 2, 60, 49))
    doing.settle()
    assert market.submitted == []
    assert isinstance(answers[0], Rejected)
    assert "before 50, which was promised" in answers[0].reason
    assert doing.counts["late"] == 1


def test_a_free_run_takes_signals_as_they_come_and_counts_the_late_ones() -> None:
    doing, market, _ = executing(start("a", "b", mode=Mode.FREE), Patient())
    doing.take(signals("b", 1, 100, 90))
    assert market.reached == 100 + ENTRY_MS
    doing.take(signals("a", 1, 50, 5))
    assert order_of(market.submitted) == [(90, "b", 1), (5, "a", 1)]
    assert doing.counts["late"] == 1
    for name in "ab":
        doing.end(End(RUN, Role.STRATEGY, name, 1))
    doing.settle()
    assert market.reached == END_MS


# -- who is there


def test_somebody_is_there_who_has_said_hello_and_listens() -> None:
    there = Attendance()
    there.hello(hello("a"))
    assert there.missing(["a", "b"]) == ["a", "b"]
    there.subscribed(["run", own_topic("a", "2"), own_topic("b", "1")])
    assert there.missing(["a", "b"]) == ["a", "b"]
    there.subscribed([own_topic("a", "1")])
    assert there.missing(["a", "b"]) == ["b"]
    assert [one.name for one in there.present()] == ["a"]


def test_who_comes_again_under_its_name_replaces_what_was_killed() -> None:
    there = Attendance()
    for instance in ("1", "1", "2", "2"):
        there.hello(hello("a", instance))
    there.subscribed([own_topic("a", "1")])
    assert there.missing(["a"]) == ["a"]
    there.subscribed([own_topic("a", "2")])
    assert there.missing(["a"]) == []


def test_who_comes_again_in_a_run_ends_it() -> None:
    there = Attendance()
    there.hello(hello("a", "1"))
    there.close()
    there.hello(hello("a", "1"))
    with pytest.raises(CameAgainError, match="a: was started anew, pid 8"):
        there.hello(hello("a", "2", pid=8))


def test_two_of_one_name_are_refused_with_their_pids() -> None:
    there = Attendance()
    there.hello(hello("a", "1", pid=7))
    there.hello(hello("a", "2", pid=8))
    with pytest.raises(NameTakenError, match="a: two processes have this name, pids 8 and 7"):
        there.hello(hello("a", "1", pid=7))


def gateway(credit: int = 2, mode: Mode = Mode.DETERMINISTIC) -> GatewaySession:
    return GatewaySession(start("a", credit=credit, mode=mode), "executor", Watch())


def test_the_gateway_is_never_more_than_its_credit_ahead() -> None:
    session = gateway(credit=2)
    might = []
    for number in (1, 2):
        window = session.next_window(number * 10, (tick(number, 5),))
        assert window.number == number
        session.sent(window)
        might.append(session.has_credit)
    for credit in (Credit("another", 2), Credit(RUN, 1)):
        session.receive(credit, 0.0)
        might.append(session.has_credit)
    assert might == [True, False, False, True]
    beat = session.heartbeat("gateway")
    assert (beat.count, beat.window, beat.until_ms) == (2, 2, 20)


def test_a_free_gateway_waits_for_no_credit() -> None:
    session = gateway(credit=1, mode=Mode.FREE)
    session.sent(session.next_window(10, (tick(1, 5),)))
    session.sent(session.next_window(20, (tick(2, 15),)))
    assert session.has_credit


def test_a_window_that_has_not_left_yet_is_not_announced() -> None:
    session = gateway()
    session.next_window(10, (tick(1, 5),))
    assert session.heartbeat("gateway").count == 0


def test_the_gateway_ends_when_all_have_ended() -> None:
    session = gateway()
    for name in ("executor", "a"):
        assert not session.ended
        session.receive(End(RUN, Role.STRATEGY, name, 0), 0.0)
    assert session.ended


def test_an_abort_of_the_run_is_heeded_and_a_strangers_is_not() -> None:
    session = gateway()
    session.receive(Abort("another", "a", "why"), 0.0)
    session.receive(Abort("", "stranger", "why"), 0.0)
    session.receive(hello("stranger"), 0.0)
    session.receive(Heartbeat("another", Role.STRATEGY, "a"), 0.0)
    assert session.foreign == 4
    for run_id in ("", RUN):
        with pytest.raises(RunAbortedError, match="a: why"):
            session.receive(Abort(run_id, "a", "why"), 0.0)


# -- a strategy's side


class Buyer:
    def on_tick(self, tick: TickEvent) -> list[TradingSignal | Alert]:
        return [buy(tick.time_ms), alert(tick.time_ms)]


def window(number: int, *times: int, first: int, **changed: Any) -> Window:
    ticks = tuple(tick(n, ms) for n, ms in zip(count(first), times, strict=False))
    return replace(Window(RUN, number, number * 10, ticks), **changed)


def strategy() -> StrategySession:
    return StrategySession("a", Buyer(), start("a"))


def test_signals_get_their_run_name_and_number() -> None:
    session, idles = strategy(), list[int]()
    first = session.work(window(1, 1, 2, first=1), 0.0, lambda: idles.append(1))
    second = session.work(window(2, 11, first=3), 0.0, lambda: None)
    assert first is not None
    assert second is not None
    assert [(s.run_id, s.strategy, s.number) for s in (*first.signals, *second.signals)] == [
        (RUN, "a", 1), (RUN, "a", 2), (RUN, "a", 3),
    ]  # fmt: skip
    assert [one.number for one in (*first.alerts, *second.alerts)] == [1, 2, 3]
    assert (first.number, first.window, first.watermark_ms) == (1, 1, 10)
    assert len(idles) == 2


def test_a_repeated_or_foreign_window_does_nothing() -> None:
    session = strategy()
    assert session.work(window(1, 1, 2, first=1), 0.0, lambda: None)
    assert session.work(window(1, 1, 2, first=1), 0.0, lambda: None) is None
    assert session.work(window(2, 11, first=3, run_id="another"), 0.0, lambda: None) is None
    assert session.work(window(2, first=3), 0.0, lambda: None) is None
    assert session.ticks.counts() == {"received": 2, "missing": 0, "repeats": 2, "foreign": 1}


def test_windows_that_were_lost_are_counted_and_the_run_goes_on() -> None:
    session = strategy()
    session.work(window(1, 1, 2, first=1), 0.0, lambda: None)
    beat = Heartbeat(RUN, Role.GATEWAY, "gateway", 2, 1, 10)
    assert session.announced(beat, 0.0) is None
    message = session.announced(replace(beat, count=7, window=3, until_ms=30), 0.0)
    assert message is not None
    assert (message.window, message.watermark_ms, message.signals) == (3, 30, ())
    assert session.announced(End(RUN, Role.GATEWAY, "gateway", 9), 0.0)
    assert session.announced(End("another", Role.GATEWAY, "gateway", 99), 0.0) is None
    assert session.lost == 7


def test_what_is_not_acknowledged_is_sent_again_as_it_was() -> None:
    session = strategy()
    sent = [session.work(window(n, n * 10 - 5, first=n), 0.0, lambda: None) for n in (1, 2, 3)]
    assert session.due_again(RESEND_SECONDS / 2) == ()
    session.acknowledged(1, 0.5)
    assert session.due_again(RESEND_SECONDS) == ()
    assert list(session.due_again(0.5 + RESEND_SECONDS)) == sent[1:]
    assert session.due_again(0.5 + RESEND_SECONDS) == ()
    session.acknowledged(3, 2.0)
    assert (list(session.due_again(99.0)), session.resent) == ([], 2)
