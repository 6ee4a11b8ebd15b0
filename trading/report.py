"""What a run of strategies leaves behind: fills.json, orders.json, alerts.json and report.json."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import tee
from operator import itemgetter
from pathlib import Path

import orjson

from orderflow.atomic import replace_file
from orderflow.errors import OutputError
from orderflow.issues import IssueLog
from replay.pacing import Pace
from trading.account import RiskGate
from trading.bars import BarChoice
from trading.execution import Execution
from trading.gateway import new_start
from trading.in_process import feed, sessions_of
from trading.messages import Alert, Answer, Event, Rejected
from trading.orders import Fill
from trading.own_orders import RestingOrder
from trading.paper import FILLS_FILE, ORDERS_FILE
from trading.paper_market import PaperMarket
from trading.rules import Rules
from trading.sessions import Strategy
from trading.sources import OpenedSource, Source
from trading.statistics import OrderRecord, Statistics, statistics_of
from trading.stream import Stream
from trading.ticks import TickMaker
from viz_io import STATES

SCHEMA = 1
_, FINISHED, STOPPED, FAILED = STATES
REPORT_FILE = "report.json"
ALERTS_FILE = "alerts.json"
SCRIPTED = "orders"
"""The name of the strategy that sends a list of orders: they are numbered from 0, by their place.

The orders of all others have the numbers of their signals.
"""


@dataclass
class RunLog:
    """What an executor has to keep of a run beside its market: alerts, and signals refused early.

    `answer` and `alert` take what an `Execution` hands out; `on_alert` gets each alert too.
    """

    alerts: list[Alert] = field(default_factory=list)
    rejections: list[Rejected] = field(default_factory=list)
    on_alert: Callable[[Alert], None] = lambda _: None

    def answer(self, answer: Answer) -> None:
        """Note an answer."""
        if isinstance(answer, Rejected):
            self.rejections.append(answer)

    def alert(self, alert: Alert) -> None:
        """Note an alert."""
        self.alerts.append(alert)
        self.on_alert(alert)

    def stop(self, market: PaperMarket, execution: Execution | None) -> None:
        """End a market where it is, and note what has become of all signals that are here."""
        market.stop()
        for answer in (*market.answers(), *(execution.give_up() if execution else ())):
            self.answer(answer)


@dataclass(frozen=True)
class Report:
    """A run: its fills and ends of orders as they are written, alerts, statistics and counts.

    `lost` is how many messages did not come. `state` is `finished`, `stopped` or `failed`, `reason`
    why it failed.
    """

    instrument: str
    strategies: tuple[str, ...]
    fills: list[dict[str, object]]
    orders: list[dict[str, object]]
    alerts: list[dict[str, object]]
    statistics: Statistics
    counts: dict[str, object]
    lost: int
    state: str = FINISHED
    reason: str = ""

    def files(self) -> dict[str, bytes]:
        """Return the content of each file by its name."""
        return {
            FILLS_FILE: orjson.dumps(self.fills),
            ORDERS_FILE: orjson.dumps(self.orders),
            ALERTS_FILE: orjson.dumps(self.alerts),
            REPORT_FILE: self.report_json(),
        }

    def report_json(self) -> bytes:
        """Return the content of report.json."""
        report = {
            "schema": SCHEMA,
            "instrument": self.instrument,
            "strategies": self.strategies,
            "lost": self.lost,
            "counts": self.counts,
            "statistics": self.statistics,
            "state": self.state,
            "reason": self.reason,
        }
        return orjson.dumps(report)

    def write(self, directory: Path) -> None:
        """Write all files, each replaced as a whole; raise `OutputError`."""
        for name, data in self.files().items():
            write_file(directory / name, data)


def write_file(path: Path, data: bytes) -> None:
    """Replace a file as a whole, in a directory that is made; raise `OutputError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data, durable=True)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}"
        raise OutputError(msg, path) from error


def report_of(
    market: PaperMarket,
    execution: Execution,
    log: RunLog,
    counts: Mapping[str, object],
    lost: int = 0,
    *,
    bar_seconds: int = 60,
    start_ms: int | None = None,
    balance: Decimal | None = None,
    strange: int = 0,
    state: str = FINISHED,
    reason: str = "",
) -> Report:
    """Return the report of a run whose market has ended, in one process or over the bus.

    `counts` and `lost` are those of gateway and strategies (see `counts_of`); the executor's are
    added, with the `strange` messages that it got.
    """
    engine, rules = market.engine, market.rules
    records = {
        number: OrderRecord(placed.request, engine.ends[number], placed.mid)
        for number, placed in market.placed.items()
    }
    fills = sorted(engine.fills, key=lambda fill: fill.time_ms)
    statistics = statistics_of(
        fills, records, market.quotes, rules.contract, entry_ms=rules.entry_ms,
        window_ms=1000 * bar_seconds, start_ms=start_ms, balance=balance,
    )  # fmt: skip
    return Report(
        market.instrument,
        tuple(sorted(execution.messages)),
        _fill_lines(market),
        _order_lines(market, log),
        alert_lines(log.alerts),
        statistics,
        {**counts, **_executor_counts(market, execution, log, strange)},
        lost + execution.lost,
        state,
        reason,
    )


def alert_lines(alerts: Iterable[Alert]) -> list[dict[str, object]]:
    """Return alerts as they are written to alerts.json."""
    return [
        {"time_ms": a.time_ms, "strategy": a.strategy, "text": a.text, "price": a.price}
        for a in sorted(alerts, key=lambda a: (a.time_ms, a.strategy, a.number))
    ]


def counts_of(
    gateway: Mapping[str, object], strategies: Mapping[str, Mapping[str, object]]
) -> dict[str, object]:
    """Return the counts of gateway and strategies, of their reports, for the report of a run.

    Left out is what depends on windows, and not on what happened: so they are the same however the
    run was made, unless a message was lost or came again.
    """

    def without(left_out: str, counts: Mapping[str, object]) -> dict[str, object]:
        return {key: counts[key] for key in sorted(counts) if key != left_out}

    each = {name: without("messages", found) for name, found in sorted(strategies.items())}
    return {**without("windows", gateway), "strategies": each}


def _executor_counts(
    market: PaperMarket, execution: Execution, log: RunLog, strange: int
) -> dict[str, object]:
    strategies = {
        name: {
            "messages": {k: n for k, n in messages.counts().items() if k != "received"},
            "signals": execution.signals[name].counts(),
        }
        for name, messages in sorted(execution.messages.items())
    }
    rejected = Counter(answer.reason for answer in log.rejections)
    return {
        "executor": {**execution.counts, "strategies": strategies, "strange": strange},
        "market": dict(sorted(market.engine.counts.items())),
        "rejected": dict(sorted(rejected.items())),
    }


def found_in(source: Source, ticks: TickMaker) -> dict[str, object]:
    """Return what was wrong with the rows that ticks were made of, and what was lost of them."""
    return {"data_issues": _data_issues(source, ticks), "market_lost": source.losses()}


def _data_issues(source: Source, ticks: TickMaker) -> dict[str, int]:
    issues = IssueLog()
    issues.add(source.issues)
    issues.add(ticks.issues)
    found = issues.counts()
    found["levels_rejected"] += ticks.book.levels_rejected
    found["crossed_books"] += ticks.book.crossed_books
    return {kind: count for kind, count in found.items() if count}


class PaperRun:
    """A run of strategies, by their names, on a market in this process.

    What lies before `start_ms` builds up the book. Equity is sampled each `bar_seconds`. `bars` are
    those that strategies with `on_bar` are handed. `idle` is called often, and may raise an error
    to end the run.
    """

    def __init__(
        self,
        source: Source,
        instrument: str,
        strategies: Mapping[str, Strategy],
        rules: Rules | None = None,
        gate: RiskGate | None = None,
        *,
        start_ms: int | None = None,
        window_ms: int = 10,
        depth: int = 50,
        bar_seconds: int = 60,
        balance: Decimal | None = None,
        bars: BarChoice | None = None,
        on_alert: Callable[[Alert], None] = lambda _: None,
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        self.start = new_start(instrument, strategies, window_ms=window_ms)
        self.log = RunLog(on_alert=on_alert)
        if source.end_at is None:
            # Read once: the two are never further apart than a window and the latency.
            self._stream, traded = tee(source.stream())
        else:
            self._stream, traded = source.stream(), source.market()
        self.market = PaperMarket(traded, instrument, rules or Rules(), gate, source.end_at)
        self.market.idle = idle
        self.sessions = sessions_of(strategies, self.start)
        self._execution = Execution(
            self.market, self.start, self.market.rules.entry_ms, self._answer, self.log.alert,
            begin_ms=start_ms or 0,
        )  # fmt: skip
        self._ticks = TickMaker(
            self.start.run_id, instrument, depth=depth, start_ms=start_ms,
            reads_ahead=source.end_at is None, bars=bars,
        )  # fmt: skip
        self._source = source
        self._idle = idle
        self._bar_seconds, self._start_ms, self._balance = bar_seconds, start_ms, balance

    def run(self, speed: float | None = None, on_window: Callable[[], None] = lambda: None) -> None:
        """Run to the end, `speed` times as fast as recorded, None for as fast as can be.

        `on_window` is called after each window.
        """
        # Left to the garbage collector, it might be the thread of the ticks that is to end itself.
        with closing(self._ticks.events(self._stream, self._idle)) as ticks:
            paced = _paced(ticks, Pace(speed, self._idle)) if speed else ticks
            feed(paced, self.sessions, self._execution, self.start, on_window)

    def report(self, state: str = FINISHED, reason: str = "") -> Report:
        """Return the report of the run, which may have ended before its time."""
        if state != FINISHED:
            self.log.stop(self.market, self._execution)
        gateway = {
            "ticks": self._ticks.number, **found_in(self._source, self._ticks),
            "foreign": 0, "strange": 0,
        }  # fmt: skip
        strategies = {
            name: {**session.report(), "strange": 0} for name, session in self.sessions.items()
        }
        return report_of(
            self.market, self._execution, self.log, counts_of(gateway, strategies),
            sum(session.lost for session in self.sessions.values()),
            bar_seconds=self._bar_seconds, start_ms=self._start_ms, balance=self._balance,
            state=state, reason=reason,
        )  # fmt: skip

    def _answer(self, answer: Answer) -> None:
        self.log.answer(answer)
        self.sessions[answer.strategy].answers.take(answer.run_id, answer.number)


def run_strategies(
    open_stream: Callable[[], Stream],
    instrument: str,
    strategies: Mapping[str, Strategy],
    rules: Rules | None = None,
    gate: RiskGate | None = None,
    *,
    start_ms: int | None = None,
    window_ms: int = 10,
    bar_seconds: int = 60,
    balance: Decimal | None = None,
    bars: BarChoice | None = None,
) -> Report:
    """Run strategies on a recorded market in this process, and return the report: a `PaperRun`.

    `open_stream` opens the recording: see `trading.stream` for what it may yield.
    """
    run = PaperRun(
        OpenedSource(open_stream), instrument, strategies, rules, gate,
        start_ms=start_ms, window_ms=window_ms, bar_seconds=bar_seconds, balance=balance,
        bars=bars,
    )  # fmt: skip
    run.run()
    return run.report()


def _paced(ticks: Iterable[Event | None], pace: Pace) -> Iterator[Event | None]:
    for tick in ticks:
        if tick is not None:
            pace.wait_for(tick.time_ms)
        yield tick


def _order_number(strategy: str, signal: int) -> int:
    return signal - (strategy == SCRIPTED)


def fill_line(market: PaperMarket, fill: Fill) -> dict[str, object]:
    """Return a fill as it is written."""
    placed = market.placed[fill.order]
    return {
        "order": _order_number(placed.strategy, placed.signal),
        "time_ms": fill.time_ms,
        "side": fill.side,
        "price": float(fill.price),
        "qty": float(fill.quantity),
        "maker": fill.maker,
        "fee": float(fill.fee),
        "strategy": placed.strategy,
    }


def open_order_line(market: PaperMarket, order: RestingOrder) -> dict[str, object]:
    """Return an order that rests as it is written: `remaining` is what is not filled of it."""
    placed = market.placed[order.request.order]
    return {
        "order": _order_number(placed.strategy, placed.signal),
        "side": order.request.side,
        "price": order.price,
        "remaining": float(order.left),
        "strategy": placed.strategy,
    }


def _fill_lines(market: PaperMarket) -> list[dict[str, object]]:
    lines = [fill_line(market, fill) for fill in market.engine.fills]
    return sorted(lines, key=itemgetter("time_ms", "order", "strategy"))


def _order_lines(market: PaperMarket, log: RunLog) -> list[dict[str, object]]:
    """Return a line for each order, and for each signal that was refused before it was one."""
    ends = {
        (placed.signal, placed.strategy): (end.status.value, end.time_ms, end.reason)
        for placed, end in market.ends()
    }
    for answer in log.rejections:
        refused = ("rejected", answer.time_ms, answer.reason)
        ends.setdefault((answer.signal, answer.strategy), refused)
    return [
        {"order": _order_number(strategy, signal), "status": status, "time_ms": time_ms}
        | ({"reason": reason} if reason else {})
        | {"strategy": strategy}
        for (signal, strategy), (status, time_ms, reason) in sorted(ends.items())
    ]
