"""A whole run over real sockets within a test: gateway, strategies, executor, each in a thread."""

import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from messaging.sockets import ZmqContext
from trading.account import RiskGate
from trading.bars import BarChoice
from trading.executor import OrderExecutor
from trading.gateway import TickProducer, new_start
from trading.messages import Start
from trading.paper_market import PaperMarket
from trading.protocol import Endpoints
from trading.report import Report, RunLog, report_of
from trading.rules import Rules
from trading.sessions import Strategy
from trading.strategy_process import StrategyProcess
from trading.stream import Stream
from trading.ticks import TickMaker


@dataclass(frozen=True)
class BusRun:
    """What a run left behind: the market with its engine, the report, and each process' counts."""

    market: PaperMarket
    report: Report
    counts: dict[str, dict[str, Any]]
    lost: int


class _Run:
    def __init__(
        self, open_stream: Callable[[], Stream], rules: Rules, gate: RiskGate | None, start: Start,
        endpoints: Endpoints, bar_seconds: int, bars: BarChoice | None,
    ) -> None:  # fmt: skip
        self.bars = bars
        self.open_stream = open_stream
        self.start, self.endpoints = start, endpoints
        self.market = PaperMarket(open_stream(), start.instrument, rules, gate)
        self.bar_seconds = bar_seconds
        self.counts: dict[str, dict[str, Any]] = {}
        self.lost = 0

    def gateway(self) -> None:
        with ZmqContext() as context:
            producer = TickProducer(self.start, self.endpoints, context)
            maker = TickMaker(self.start.run_id, self.start.instrument, bars=self.bars)
            producer.run(maker.events(self.open_stream(), producer.idle))
            self.counts["gateway"] = producer.report()

    def strategy(self, name: str, strategy: Strategy) -> None:
        with ZmqContext() as context:
            instrument = self.start.instrument
            process = StrategyProcess(name, strategy, instrument, self.endpoints, context)
            process.run()
            self.counts[name] = process.report()
            self.lost += process.lost

    def executor(self) -> Report:
        log = RunLog()
        with ZmqContext() as context:
            executor = OrderExecutor(
                self.market, self.endpoints, context, entry_ms=self.market.rules.entry_ms,
                on_answer=log.answer, on_alert=log.alert,
            )  # fmt: skip
            self.market.idle = executor.idle
            executor.run()
            self.counts["executor"] = executor.report()
            self.lost += executor.lost
            assert executor.execution
            return report_of(self.market, executor.execution, log, {}, bar_seconds=self.bar_seconds)


def run_over_bus(
    open_stream: Callable[[], Stream],
    instrument: str,
    strategies: Mapping[str, Strategy],
    rules: Rules,
    gate: RiskGate | None = None,
    *,
    bar_seconds: int = 60,
    bars: BarChoice | None = None,
    **options: Any,
) -> BusRun:
    """Run strategies as `trading.report.run_strategies` does, but over sockets.

    `options` are those of `new_start`. Raise what the first thread raised that failed.
    """
    start = new_start(instrument, strategies, **options)
    with tempfile.TemporaryDirectory(prefix="bus-") as name:
        endpoints = Endpoints.in_directory(Path(name) / "s")
        run = _Run(open_stream, rules, gate, start, endpoints, bar_seconds, bars)
        with ThreadPoolExecutor(len(strategies) + 2) as pool:
            executor = pool.submit(run.executor)
            others = [pool.submit(run.strategy, *each) for each in strategies.items()]
            others.append(pool.submit(run.gateway))
            for one in others:
                one.result()
            return BusRun(run.market, executor.result(), run.counts, run.lost)
