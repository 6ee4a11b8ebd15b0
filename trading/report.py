"""What a run of strategies leaves behind: fills.json, orders.json, alerts.json and report.json."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import tee
from pathlib import Path

import orjson

from orderflow.atomic import replace_file
from orderflow.errors import OutputError
from trading.account import RiskGate
from trading.execution import Execution
from trading.gateway import new_start
from trading.in_process import run_in_process
from trading.messages import Alert, Answer, Rejected
from trading.paper import FILLS_FILE, ORDERS_FILE
from trading.paper_market import PaperMarket, Stream
from trading.rules import Rules
from trading.sessions import Strategy
from trading.statistics import OrderRecord, Statistics, statistics_of
from trading.ticks import TickMaker

SCHEMA = 1
REPORT_FILE = "report.json"
ALERTS_FILE = "alerts.json"
SCRIPTED = "orders"
"""The name of the strategy that sends a list of orders: they are numbered from 0, by their place.

The orders of all others have the numbers of their signals.
"""


@dataclass
class RunLog:
    """What an executor has to keep of a run beside its market: alerts, and signals refused early.

    `answer` and `alert` take what an `Execution` hands out.
    """

    alerts: list[Alert] = field(default_factory=list)
    rejections: list[Rejected] = field(default_factory=list)

    def answer(self, answer: Answer) -> None:
        """Note an answer."""
        if isinstance(answer, Rejected):
            self.rejections.append(answer)

    def alert(self, alert: Alert) -> None:
        """Note an alert."""
        self.alerts.append(alert)


@dataclass(frozen=True)
class Report:
    """A run: its fills and ends of orders as they are written, alerts, statistics and counts.

    `lost` is how many messages did not come.
    """

    instrument: str
    strategies: tuple[str, ...]
    fills: list[dict[str, object]]
    orders: list[dict[str, object]]
    alerts: list[dict[str, object]]
    statistics: Statistics
    counts: dict[str, object]
    lost: int

    def files(self) -> dict[str, bytes]:
        """Return the content of each file by its name."""
        report = {
            "schema": SCHEMA,
            "instrument": self.instrument,
            "strategies": self.strategies,
            "lost": self.lost,
            "counts": self.counts,
            "statistics": self.statistics,
        }
        return {
            FILLS_FILE: orjson.dumps(self.fills),
            ORDERS_FILE: orjson.dumps(self.orders),
            ALERTS_FILE: orjson.dumps(self.alerts),
            REPORT_FILE: orjson.dumps(report),
        }

    def write(self, directory: Path) -> None:
        """Write all files, each replaced as a whole; raise `OutputError`."""
        for name, data in self.files().items():
            try:
                directory.mkdir(parents=True, exist_ok=True)
                replace_file(directory / name, data, durable=True)
            except OSError as error:
                msg = f"{directory / name} cannot be written: {error.strerror}"
                raise OutputError(msg, directory / name) from error


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
) -> Report:
    """Return the report of a run whose market has ended, in one process or over the bus.

    `counts` and `lost` are those of gateway and strategies; the executor's are added.
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
    rejected = Counter(answer.reason for answer in log.rejections)
    return Report(
        market.instrument,
        tuple(sorted(execution.messages)),
        _fill_lines(market),
        _order_lines(market, log),
        [
            {"time_ms": a.time_ms, "strategy": a.strategy, "text": a.text, "price": a.price}
            for a in sorted(log.alerts, key=lambda a: (a.time_ms, a.strategy, a.number))
        ],
        statistics,
        {
            **counts,
            "executor": execution.report(),
            "market": dict(sorted(engine.counts.items())),
            "rejected": dict(sorted(rejected.items())),
        },
        lost + execution.lost,
    )


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
) -> Report:
    """Run strategies, by their names, on a recorded market in this process; return the report.

    `open_stream` opens the recording: what `DBInterpreter.batches` yields or, slower, `stream`.
    Equity is sampled each `bar_seconds`.
    """
    start = new_start(instrument, strategies, window_ms=window_ms)
    # Read once: the two are never further apart than a window and the latency.
    seen, traded = tee(open_stream())
    market = PaperMarket(traded, instrument, rules or Rules(), gate)
    log = RunLog()
    execution = Execution(market, start, market.rules.entry_ms, log.answer, log.alert)
    ticks = TickMaker(start.run_id, instrument, start_ms=start_ms)
    sessions = run_in_process(ticks.ticks(seen), strategies, execution, start)
    counts: dict[str, object] = {
        "ticks": ticks.number,
        "strategies": {name: session.report() for name, session in sorted(sessions.items())},
    }
    lost = sum(session.ticks.missing for session in sessions.values())
    return report_of(
        market, execution, log, counts, lost,
        bar_seconds=bar_seconds, start_ms=start_ms, balance=balance,
    )  # fmt: skip


def _order_number(strategy: str, signal: int) -> int:
    return signal - (strategy == SCRIPTED)


def _fill_lines(market: PaperMarket) -> list[dict[str, object]]:
    lines = []
    for fill in market.engine.fills:
        placed = market.placed[fill.order]
        number = _order_number(placed.strategy, placed.signal)
        line: dict[str, object] = {
            "order": number,
            "time_ms": fill.time_ms,
            "side": fill.side,
            "price": float(fill.price),
            "qty": float(fill.quantity),
            "maker": fill.maker,
            "fee": float(fill.fee),
            "strategy": placed.strategy,
        }
        lines.append(((fill.time_ms, number, placed.strategy), line))
    return [line for _, line in sorted(lines, key=lambda one: one[0])]


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
