"""Say when a metric of a bar is beyond a threshold; docs/trading.md has the definition."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from metrics.registry import parse_metric
from orderflow.errors import UsageError
from orderflow.times import parse_moment
from trading.messages import Alert, Bar
from trading.settings import check_at_least

NAME = "metric-alert"


@dataclass
class MetricAlertStrategy:
    """Alert at the end of a bar in which a metric is above or below a number.

    `metric` is the text that asks for it, and `field` one of its fields, by default the last: the
    close of those with open, high, low and close. After an alert there is none in `cooldown_bars`
    bars more. Raise `UsageError` for what cannot be meant.
    """

    metric: str
    field: str = ""
    above: float | None = None
    below: float | None = None
    cooldown_bars: int = 0

    def __post_init__(self) -> None:
        if self.above is None and self.below is None:
            msg = f"{NAME}: it needs above or below, as in --set above=0.5"
            raise UsageError(msg, "above")
        check_at_least(NAME, 0, cooldown_bars=self.cooldown_bars)
        fields = list(parse_metric(self.metric, partial(parse_moment, "anchor")).make().fields)
        self.field = self.field or fields[-1]
        if self.field not in fields:
            msg = f"{NAME}: {self.metric} has the fields {', '.join(fields)}; found {self.field!r}"
            raise UsageError(msg, "field", self.field)
        self._place = fields.index(self.field)
        self._waits = 0

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the metrics that it needs."""
        return (self.metric,)

    def on_bar(self, bar: Bar) -> Sequence[Alert]:
        """Return an alert, of the bar's end; raise `UsageError` for a bar without the metric."""
        if self.metric not in bar.values:
            there = ", ".join(bar.values) or "none"
            msg = f"{NAME}: the bars have no metric {self.metric}, they have {there}; add --metric"
            raise UsageError(msg, "metric", self.metric)
        if self._waits:
            self._waits -= 1
            return ()
        value = bar.values[self.metric][self._place]
        if value is None:
            return ()
        if self.above is not None and value > self.above:
            said = f"above {self.above:g}"
        elif self.below is not None and value < self.below:
            said = f"below {self.below:g}"
        else:
            return ()
        self._waits = self.cooldown_bars
        text = f"{self.metric} {self.field} {value:g} is {said}"
        return (Alert(instrument=bar.instrument, time_ms=bar.end_ms, text=text, price=bar.close),)
