"""Put the signals of all strategies into one order, and move the market no further than is known.

Pure, and the same over the bus and in one process. Why the same signals come in the same order
whatever the windows, the credit and the number of processes: docs/adr/0017-deterministic-runs.md.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Protocol

import msgspec

from trading.messages import (
    END_MS,
    Alert,
    Answer,
    End,
    Mode,
    Rejected,
    Signals,
    Start,
    TradingSignal,
)
from trading.protocol import Sequence as Numbers
from trading.rules import BEFORE_START, RUN_ENDED, TOO_LATE


class MarketAndOrders(Protocol):
    """The market that orders go to: recorded and matched on paper, for one."""

    def advance(self, to_ms: int) -> bool:
        """Let everything happen that lies before `to_ms`: market events, requests, answers.

        Return whether it has. A live market that is not known so far goes as far as it is; it is to
        be called again.
        """

    def close_at(self, until_ms: int) -> None:
        """Learn that strategies were shown what lies before `until_ms`, and will be shown no more.

        What comes later is no part of a live market. A recording is read to its end.
        """

    def submit(self, signal: TradingSignal) -> None:
        """Take a signal that was sent at its time; it arrives later by the entry latency.

        The market has not been moved beyond its arrival, unless the run is free.
        """

    def answers(self) -> Sequence[Answer]:
        """Return what has become of signals since the last call, by time."""


class SignalMerge:
    """Merge signals by `(time, strategy, number)`, as far as nothing earlier can come."""

    def __init__(self, strategies: Sequence[str]) -> None:
        self._watermarks = dict.fromkeys(strategies, 0)
        self._waiting: list[tuple[int, str, int, TradingSignal]] = []

    @property
    def watermark(self) -> int:
        """Return the time before which no signal can come any more."""
        return min(self._watermarks.values(), default=END_MS)

    def watermark_of(self, strategy: str) -> int:
        """Return the time before which a strategy has promised to send nothing more."""
        return self._watermarks[strategy]

    def add(self, signal: TradingSignal) -> None:
        """Add a signal that is not before the watermark of its strategy."""
        heappush(self._waiting, (signal.time_ms, signal.strategy, signal.number, signal))

    def raise_watermark(self, strategy: str, to_ms: int) -> None:
        """Note that a strategy will send nothing before `to_ms` any more."""
        self._watermarks[strategy] = max(self._watermarks[strategy], to_ms)

    def take(self) -> list[TradingSignal]:
        """Remove and return the signals before the watermark, in order.

        Those at the watermark's very millisecond wait: another strategy may have one too.
        """
        taken, watermark = [], self.watermark
        while self._waiting and self._waiting[0][0] < watermark:
            taken.append(heappop(self._waiting)[3])
        return taken

    def give_up(self) -> list[TradingSignal]:
        """Remove and return all signals, in order."""
        taken, self._waiting = sorted(self._waiting), []
        return [signal for *_, signal in taken]


class Execution:
    """Carry out a run's signals on a market, `entry_ms` after they were sent.

    `on_answer` gets each answer, numbered for its strategy, and `on_alert` each alert. `counts` has
    `signals`, `alerts`, `late` (before the promise of their strategy, or in a free run behind the
    market: the former are rejected), `too_old` (rejected for their `valid_until_ms`) and `ahead`
    (messages that came before their turn, and are to come again). Signals before `begin_ms` are
    rejected. `is_settled` says whether the market has moved as far as it may by now: on a live one
    it may lag, and `settle` moves it on.
    """

    def __init__(
        self,
        market: MarketAndOrders,
        start: Start,
        entry_ms: int,
        on_answer: Callable[[Answer], None],
        on_alert: Callable[[Alert], None] = lambda _: None,
        *,
        begin_ms: int = 0,
    ) -> None:
        self.run_id = start.run_id
        self.counts: Counter[str] = Counter(signals=0, alerts=0, late=0, too_old=0, ahead=0)
        self.messages = {name: Numbers(start.run_id) for name in start.strategies}
        self.signals = {name: Numbers(start.run_id) for name in start.strategies}
        self.answered: Counter[str] = Counter(dict.fromkeys(start.strategies, 0))
        self._market = market
        self._entry_ms = entry_ms
        self._begin_ms = begin_ms
        self._on_answer = on_answer
        self._on_alert = on_alert
        self._is_free = start.mode is Mode.FREE
        self._merge = SignalMerge(start.strategies)
        self._windows = dict.fromkeys(start.strategies, 0)
        self._running = set(start.strategies)
        self._reached = 0
        self._shown_ms = 0
        self.is_settled = True

    @property
    def window(self) -> int:
        """Return the last window that all strategies have worked through."""
        return min(self._windows.values(), default=0)

    @property
    def running(self) -> set[str]:
        """Return the strategies that have not ended."""
        return self._running

    @property
    def is_over(self) -> bool:
        """Return whether all strategies have ended, and the market with them."""
        return not self._running and self._reached >= END_MS and self.is_settled

    def take(self, message: Signals) -> bool:
        """Take what a strategy of the run made of a window, unless it is here or out of turn.

        Return whether it was taken. Call `settle` when all that has come was.
        """
        name = message.strategy
        numbers = self.messages[name]
        if message.run_id == self.run_id and message.number > numbers.next:
            self.counts["ahead"] += 1  # one before it got lost: both come again
            return False
        if not numbers.take(message.run_id, message.number):
            return False
        for signal in message.signals:
            if self.signals[name].take(signal.run_id, signal.number):
                self._take_signal(signal)
        for alert in message.alerts:
            self.counts["alerts"] += 1
            self._on_alert(alert)
        self._windows[name] = message.window
        self._merge.raise_watermark(name, message.watermark_ms)
        if message.watermark_ms < END_MS:
            self._shown_ms = max(self._shown_ms, message.watermark_ms)
        if self._is_free:
            self._move(message.watermark_ms)
        return True

    def end(self, message: End) -> None:
        """Expect nothing more of a strategy, once."""
        if message.name in self._running and message.run_id == self.run_id:
            self._running.discard(message.name)
            self.messages[message.name].announce(message.count)
            self._merge.raise_watermark(message.name, END_MS)
            if not self._running:
                self._market.close_at(self._shown_ms)

    def settle(self) -> None:
        """Carry out what is certain by now; when all strategies have ended, everything."""
        for signal in self._merge.take():
            self._submit(signal)
        if not self._is_free or not self._running:
            self._move(self._merge.watermark)
        if not self.is_settled:
            self._advance()

    def give_up(self) -> list[Rejected]:
        """Return the rejections of all signals that wait, as the run ends before their turn.

        They may have been acknowledged, so that a report has to name them; nobody else is told.
        """
        return [_rejected(signal, RUN_ENDED) for signal in self._merge.give_up()]

    def _take_signal(self, signal: TradingSignal) -> None:
        self.counts["signals"] += 1
        promised = self._merge.watermark_of(signal.strategy)
        if signal.time_ms < self._begin_ms:
            self._reject(signal, BEFORE_START)
        elif signal.time_ms < promised:
            self.counts["late"] += 1
            reason = f"its time, {signal.time_ms}, is before {promised}, which was promised"
            self._reject(signal, reason)
        elif self._is_free:
            self.counts["late"] += signal.time_ms + self._entry_ms < self._reached
            self._submit(signal)
        else:
            self._merge.add(signal)

    def _submit(self, signal: TradingSignal) -> None:
        arrival = max(signal.time_ms + self._entry_ms, self._reached)
        if signal.valid_until_ms is not None and arrival > signal.valid_until_ms:
            self.counts["too_old"] += 1
            self._reject(signal, TOO_LATE)
        else:
            self._market.submit(signal)

    def _move(self, watermark: int) -> None:
        """Move the market, never back, to where nothing more can arrive."""
        reached = min(watermark + self._entry_ms, END_MS)
        if reached > self._reached:
            self._reached = reached
            self._advance()

    def _advance(self) -> None:
        self.is_settled = self._market.advance(self._reached)
        for answer in self._market.answers():
            self._answer(answer)

    def _reject(self, signal: TradingSignal, reason: str) -> None:
        self._answer(_rejected(signal, reason))

    def _answer(self, answer: Answer) -> None:
        self.answered[answer.strategy] += 1
        number = self.answered[answer.strategy]
        self._on_answer(msgspec.structs.replace(answer, run_id=self.run_id, number=number))

    def report(self) -> dict[str, object]:
        """Return the counts of all that came, by strategy where they are a strategy's."""
        strategies = {
            name: {"messages": numbers.counts(), "signals": self.signals[name].counts()}
            for name, numbers in self.messages.items()
        }
        return {**self.counts, "strategies": strategies}

    @property
    def lost(self) -> int:
        """Return how many messages and signals did not come."""
        return sum(n.missing for n in (*self.messages.values(), *self.signals.values()))


def _rejected(signal: TradingSignal, reason: str) -> Rejected:
    return Rejected(
        strategy=signal.strategy, signal=signal.number, time_ms=signal.time_ms, reason=reason
    )
