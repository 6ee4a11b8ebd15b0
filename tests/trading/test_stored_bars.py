"""Strategies make of stored bars what they made of the same bars in a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import pytest
from metric_markets import INSTRUMENT, batches, events

from metrics.metric_bars import MetricBars
from ohlc_processor import OHLCProcessor
from orderflow.array_file import pack
from orderflow.errors import ArrayFileError, UsageError
from trading.bars import BarChoice, choose_bars
from trading.messages import Bar, TradingSignal
from trading.order_flow_strategy import OrderFlowStrategy
from trading.orders import Side
from trading.protocol import StrategyFailedError
from trading.report import alert_lines, run_strategies
from trading.rules import Rules
from trading.sessions import Strategy
from trading.stored_bars import bars_of_file, decide_on_bars
from trading.strategy import make_strategy, market_order
from trading.ticks import TickMaker

METRICS = ("obi:levels=1", "vwap")
MARKET = batches(*events(3, 1500), 9)


@dataclass
class Buyer:
    """Buy at the end of each bar."""

    def on_bar(self, bar: Bar) -> Sequence[TradingSignal]:
        order = market_order(bar, Side.BUY, Decimal(1), f"bar {bar.number}")
        return [order] if isinstance(order, TradingSignal) else []


def strategies() -> dict[str, Strategy]:
    up = {"metric": "obi:levels=1", "above": "0.3", "cooldown_bars": "1"}
    return {
        "up": make_strategy("metric-alert", up),
        "down": make_strategy("metric-alert", {"metric": "vwap", "below": "100"}),
        "buyer": Buyer(),
    }


def choice_of(kind: str) -> BarChoice:
    choice = choose_bars(kind, METRICS)
    assert choice
    return choice


def file_of(kind: str) -> bytes:
    """Return the file that a replay of the market writes."""
    choice = choice_of(kind)
    measured = MetricBars(choice.spec, [metric.make() for metric in choice.metrics])
    processor = OHLCProcessor(measured=measured)
    for batch, trades in MARKET:
        processor.process_rows(batch)
        processor.process_trades(trades)
    processor.finalize()
    header, arrays = measured.file(choice.metrics)
    return pack(header | {"instrument": INSTRUMENT, "run": "r"}, arrays)


@pytest.mark.parametrize("kind", ["time:1", "tick:20", "volume:9"])
def test_alerts_of_a_run_are_those_of_its_stored_bars(kind: str) -> None:
    run = run_strategies(
        lambda: MARKET, INSTRUMENT, strategies(), Rules(accept_unreliable=True),
        bars=choice_of(kind),
    )  # fmt: skip
    stored = decide_on_bars(bars_of_file(file_of(kind)), INSTRUMENT, strategies())
    assert alert_lines(stored.alerts) == run.alerts
    assert {line["strategy"] for line in run.alerts} == {"up", "down"}
    assert len(run.alerts) > 5
    assert len(stored.signals) == len(run.orders) > 3


@pytest.mark.parametrize("kind", ["time:1", "value:900"])
def test_stored_bars_are_those_of_a_run_but_for_the_ticks_around_them(kind: str) -> None:
    maker = TickMaker("r", INSTRUMENT, bars=choice_of(kind))
    made = [event for event in maker.events(MARKET) if isinstance(event, Bar)]

    def known(bar: Bar) -> dict[str, object]:
        fields = {name: getattr(bar, name) for name in bar.__struct_fields__}
        return fields | {"after": 0, "time_ms": bar.end_ms}

    found = bars_of_file(file_of(kind))
    assert list(map(known, found)) == list(map(known, made))
    assert all(bar.time_ms == bar.end_ms for bar in found)


def test_the_last_bar_of_time_is_there_when_it_is_known_to_have_ended() -> None:
    data = file_of("time:1")
    known = bars_of_file(data)
    end = known[-1].end_ms + 1000
    assert len(bars_of_file(data, end - 1)) == len(known)
    last = bars_of_file(data, MARKET[-1][1][-1][5] + 5000)
    assert last[:-1] == known
    tick_bars = file_of("tick:20")
    assert bars_of_file(tick_bars, 1 << 50) == bars_of_file(tick_bars)


def test_a_file_of_something_else_is_refused() -> None:
    with pytest.raises(ArrayFileError, match="its kind is 'best'"):
        bars_of_file(pack({"kind": "best"}, {}))
    with pytest.raises(ArrayFileError, match="no whole file of metrics"):
        bars_of_file(pack({"kind": "metrics", "bars": {"kind": "time", "size": 1}}, {}))


def test_a_strategy_that_knows_no_bars_or_fails_is_named() -> None:
    bars = bars_of_file(file_of("time:1"))
    with pytest.raises(UsageError, match="a has no method on_bar"):
        decide_on_bars(bars, INSTRUMENT, {"a": OrderFlowStrategy()})
    needing = make_strategy("metric-alert", {"metric": "ofi", "above": "1"})
    with pytest.raises(StrategyFailedError, match=f"at bar {bars[0].number:,}.*no metric ofi"):
        decide_on_bars(bars, INSTRUMENT, {"a": needing})
