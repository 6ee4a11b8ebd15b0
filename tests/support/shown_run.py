"""Run strategies in this process, shown by a `LiveRun` whenever something is settled."""

from collections.abc import Callable
from typing import Any

from trading.execution import Execution
from trading.gateway import new_start
from trading.in_process import run_in_process
from trading.live_file import LiveRun
from trading.messages import END_MS
from trading.paper_market import PaperMarket
from trading.report import Report, RunLog, report_of
from trading.rules import Rules
from trading.sessions import Strategy
from trading.stream import Stream
from trading.ticks import TickMaker

INSTRUMENT = "BTC-USDT"


class _Watched(Execution):
    settled: Callable[[], None]

    def settle(self) -> None:
        super().settle()
        self.settled()


def run_shown(
    live: LiveRun,
    open_stream: Callable[[], Stream],
    strategies: dict[str, Strategy],
    rules: Rules,
    *,
    before_update: Callable[[], None] = lambda: None,
    gate: Any = None,
    **given: Any,
) -> Report:
    """Run strategies on a market and return the report, to which `given` goes."""
    start = new_start(INSTRUMENT, strategies, window_ms=100)
    market, log = PaperMarket(open_stream(), INSTRUMENT, rules, gate), RunLog()
    execution = _Watched(market, start, rules.entry_ms, log.answer, log.alert)

    def show() -> None:
        before_update()
        live.update(market, log, market.engine.now_ms or 0)

    execution.settled = show
    ticks = TickMaker(start.run_id, INSTRUMENT).ticks(open_stream())
    run_in_process(ticks, strategies, execution, start)
    live.update(market, log, END_MS)
    return report_of(market, execution, log, {}, **given)
