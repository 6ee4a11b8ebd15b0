"""Bars with metrics between ticks: those of a replay, each at its place, and none known early."""

from math import isfinite
from typing import Any

import pytest
from metric_markets import INSTRUMENT, Batches, batches, events
from real_recordings import needs_recordings
from recorded_ticks import RECORDINGS, open_recording

from metrics.metric_bars import MetricBars
from ohlc_processor import OHLCProcessor
from orderflow.errors import OrderflowError, UsageError
from orderflow.events import Trade
from trading.bars import BarChoice, choose_bars
from trading.messages import Bar, Event, TickEvent, TickKind
from trading.ticks import TickMaker

METRICS = ("obi:levels=1", "ofi", "vpin:volume=5,buckets=3", "vwap:anchor=day", "mid",
           "realised_volatility", "delta")  # fmt: skip
KINDS = ("time:1", "tick:7", "volume:4", "value:900", "range:4")


def choice_of(kind: str, metrics: tuple[str, ...] = METRICS) -> BarChoice:
    choice = choose_bars(kind, metrics)
    assert choice
    return choice


def events_of(
    market: Any, kind: str = "time:1", metrics: tuple[str, ...] = METRICS, **more: Any
) -> list[Event]:
    maker = TickMaker("run", INSTRUMENT, bars=choice_of(kind, metrics), **more)
    return [event for event in maker.events(market) if event is not None]


def bars_in(found: list[Event]) -> list[Bar]:
    return [event for event in found if isinstance(event, Bar)]


def replayed(
    market: Any, kind: str, start_ms: int | None = None
) -> list[tuple[int, list[list[float]]]]:
    """Return the bars of a replay of the same market, the one in progress included."""
    choice = choice_of(kind)
    metrics = [metric.make() for metric in choice.metrics]
    measured = MetricBars(choice.spec, metrics, start_ms, 100_000)
    processor = OHLCProcessor(60, start_timestamp=start_ms, measured=measured)
    for batch, trades in market:
        processor.process_rows(batch)
        processor.process_trades(trades)
    processor.finalize()
    return [(key, [list(each) for each in values]) for key, values in measured.bars()]


def check_same(made: list[Bar], wanted: list[tuple[int, list[list[float]]]]) -> None:
    """Fail where the bars are not those of a replay, up to the last, which may not have ended."""
    assert len(wanted) - 1 <= len(made) <= len(wanted)
    for bar, (key, (prices, *values)) in zip(made, wanted, strict=False):
        assert key == (bar.start_ms if bar.kind == "time" else bar.number)
        found = (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trades)
        assert found == tuple(value if isfinite(value) else None for value in prices[:6])
        assert list(bar.values) == list(METRICS)
        for own, others in zip(bar.values.values(), values, strict=True):
            assert own == tuple(value if isfinite(value) else None for value in others)
        if bar.kind != "time":
            assert (bar.start_ms, bar.end_ms) == (prices[6], prices[7])


@pytest.mark.parametrize("kind", KINDS)
def test_bars_are_those_of_a_replay_however_the_market_is_cut(kind: str) -> None:
    for seed in range(4):
        market = events(seed)
        wanted = replayed(batches(*market), kind)
        whole = events_of(batches(*market), kind)
        assert len(bars_in(whole)) > 5
        check_same(bars_in(whole), wanted)
        for pieces in (7, 100):
            assert events_of(batches(*market, pieces), kind) == whole


@pytest.mark.parametrize("kind", KINDS)
def test_a_bar_comes_when_it_has_ended_and_no_later(kind: str) -> None:
    found = events_of(batches(*events(5)), kind)
    for place, bar in enumerate(found):
        if not isinstance(bar, Bar):
            continue
        before = [each for each in found[:place] if isinstance(each, TickEvent)]
        after = [each for each in found[place:] if isinstance(each, TickEvent)]
        assert bar.after == before[-1].number == len(before)
        if bar.kind == "time":
            assert before[-1].time_ms < bar.end_ms <= after[0].time_ms == bar.time_ms
        else:
            assert before[-1].kind is TickKind.TRADE
            assert before[-1].time_ms == bar.end_ms == bar.time_ms


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_before_a_cut_is_the_same_as_without_it(kind: str) -> None:
    rows, trades = events(6)
    whole = events_of(batches(rows, trades), kind)
    times = sorted({event.time_ms for event in whole})
    for cut in times[5:-1:17]:
        cut_short = events_of(batches(rows, trades, before_ms=cut), kind)
        assert cut_short == [event for event in whole if event.time_ms < cut]


@pytest.mark.parametrize("reads_ahead", [False, True])
def test_the_ticks_between_are_as_without_bars(reads_ahead: bool) -> None:
    market = batches(*events(7), 9)
    found = events_of(market, reads_ahead=reads_ahead)
    ticks = [event for event in found if isinstance(event, TickEvent)]
    assert ticks == list(TickMaker("run", INSTRUMENT).ticks(market))
    assert len(ticks) < len(found)


def test_rows_before_the_start_are_in_no_bar() -> None:
    rows, trades = events(8)
    start = rows[40][0]
    market = batches(rows, [trade for trade in trades if trade[5] >= start], 5)
    made = bars_in(events_of(market, start_ms=start))
    check_same(made, replayed(market, "time:1", start))
    assert made[0].end_ms > start


def test_one_trade_may_fill_several_bars() -> None:
    market: Batches = batches([], [(1, None, 100.0, 7.0, "buy", 5000)])
    bars = bars_in(events_of(market, "volume:2", ("trade_count", "vpin:volume=100")))
    assert [(bar.number, bar.volume, bar.after) for bar in bars] == [
        (0, 2.0, 1), (1, 2.0, 1), (2, 2.0, 1),
    ]  # fmt: skip
    assert bars[0].values == {"trade_count": (1.0,), "vpin:volume=100": (None,)}


def test_a_bar_without_a_trade_has_no_prices() -> None:
    row = (500, 1, b'[["99", "1"]]', b'[["101", "3"]]')
    bars = bars_in(events_of(batches([row, (1500, 2, b"[]", b"[]")], []), metrics=("mid",)))
    assert [(bar.number, bar.open, bar.volume, bar.trades, bar.values) for bar in bars] == [
        (0, None, 0.0, 0, {"mid": (100.0,) * 4})
    ]


def test_a_bar_of_time_comes_before_a_tick_at_its_very_end() -> None:
    trades: list[Trade] = [(n, None, 100.0, 1.0, "buy", ms) for n, ms in enumerate((1500, 2000))]
    _, bar, last = events_of(batches([], trades), metrics=())
    assert isinstance(bar, Bar)
    assert (bar.end_ms, bar.time_ms, bar.after, last.number) == (2000, 2000, 1, 2)


def test_bars_too_small_for_a_trade_end_the_ticks() -> None:
    market = batches([], [(1, None, 100.0, 1e9, "buy", 5000)])
    with pytest.raises(OrderflowError, match="bars"):
        events_of(market, "volume:1")


def test_bars_are_those_of_the_window_unless_another_kind_is_asked_for() -> None:
    assert choose_bars(None, ()) is None
    choice = choose_bars(None, ["ofi"], 30)
    assert choice is not None
    assert str(choice.spec) == "time:30"
    with pytest.raises(UsageError, match="there is no metric of this name"):
        choose_bars(None, ["ofis"])


@needs_recordings
@pytest.mark.thorough
@pytest.mark.parametrize("name", RECORDINGS)
@pytest.mark.parametrize("kind", ["time:5", "tick:100", "volume:20"])
def test_bars_of_a_recording_are_those_of_its_replay(name: str, kind: str) -> None:
    made = bars_in(events_of(open_recording(name).batches(), kind))
    assert len(made) > 10
    check_same(made, replayed(open_recording(name).batches(), kind))
