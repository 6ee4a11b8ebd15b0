"""Alerts on a metric: at its threshold, one a cool-down, and never of a metric that isn't there."""

from typing import Any

import pytest

from orderflow.errors import UsageError
from trading.bars import choose_bars
from trading.messages import Alert, Bar
from trading.metric_alert import MetricAlertStrategy
from trading.order_flow_strategy import OrderFlowStrategy
from trading.setup import check_bars
from trading.strategy import make_strategy


def bar(number: int, *values: float | None, asked: str = "mid") -> Bar:
    end = 60_000 * (number + 1)
    return Bar(
        run_id="run", instrument="BTC-USDT", kind="time", size=60.0, number=number, after=number,
        time_ms=end + 5, start_ms=end - 60_000, end_ms=end, close=100.5, values={asked: values},
    )  # fmt: skip


def alerts(closes: list[float | None], **settings: Any) -> list[int]:
    """Return the numbers of the bars, of the mid, with an alert."""
    strategy = MetricAlertStrategy("mid", **settings)
    return [n for n, c in enumerate(closes) if strategy.on_bar(bar(n, 1.0, 9.0, 0.0, c))]


def test_an_alert_has_the_time_of_the_bars_end_and_its_close() -> None:
    strategy = make_strategy("metric-alert", {"metric": "mid", "above": "2.5"})
    assert isinstance(strategy, MetricAlertStrategy)
    assert strategy.on_bar(bar(1, 1.0, 1.0, 1.0, 3.25)) == (
        Alert(
            instrument="BTC-USDT", time_ms=120_000, text="mid close 3.25 is above 2.5", price=100.5
        ),
    )


def test_alerts_come_beyond_the_threshold_and_not_at_it_nor_without_a_value() -> None:
    closes = [3.0, 2.0, None, 1.0, 0.5]
    assert alerts(closes, above=2.0) == [0]
    assert alerts(closes, below=1.0) == [4]
    assert alerts(closes, above=2.0, below=1.0) == [0, 4]
    assert alerts(closes, above=5.0, field="high") == [0, 1, 2, 3, 4]


def test_after_an_alert_there_is_none_for_the_cool_down() -> None:
    assert alerts([3.0] * 7, above=2.0, cooldown_bars=2) == [0, 3, 6]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"metric": "mid"}, "it needs above or below"),
        ({"above": "1"}, "metric-alert needs metric"),
        ({"metric": "mids", "above": "1"}, "did you mean mid?"),
        ({"metric": "vpin", "above": "1"}, "it needs a volume"),
        ({"metric": "mid", "above": "1", "field": "last"}, "open, high, low, close; found 'last'"),
        ({"metric": "mid", "above": "high"}, "above cannot be 'high'"),
        ({"metric": "mid", "above": "1", "cooldown_bars": "-1"}, "cooldown_bars is at least 0"),
    ],
)
def test_what_cannot_be_meant_is_named(settings: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_strategy("metric-alert", settings)
    assert said in str(caught.value)


def test_a_metric_that_was_not_asked_for_is_one_line() -> None:
    strategy = MetricAlertStrategy("mid", above=1.0)
    with pytest.raises(UsageError, match="the bars have no metric mid, they have ofi; add --metr"):
        strategy.on_bar(bar(0, 1.0, asked="ofi"))
    with pytest.raises(UsageError, match=r"a needs the metric mid, .* it has ofi; add"):
        check_bars(choose_bars(None, ["ofi"]), {"a": strategy})
    with pytest.raises(UsageError, match="it has none; add --metric mid"):
        check_bars(None, {"a": strategy})
    check_bars(choose_bars(None, ["ofi", "mid"]), {"a": strategy, "b": OrderFlowStrategy()})
    check_bars(None, {"b": OrderFlowStrategy()})


def test_a_strategy_of_bars_alone_needs_bars() -> None:
    class OnBars:
        def on_bar(self, _: Bar) -> list[Alert]:
            return []

    with pytest.raises(UsageError, match="a decides on bars alone, and the run makes none"):
        check_bars(None, {"a": OnBars()})
    check_bars(choose_bars("tick:5", []), {"a": OnBars()})
