"""Strategies on bars that are there already: without ticks, a market and orders."""

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orderflow.array_file import Array, unpack
from orderflow.errors import ArrayFileError, UsageError
from trading.bars import number_of
from trading.gateway import new_start
from trading.messages import Alert, Bar, TradingSignal
from trading.sessions import Strategy, StrategySession

_COLUMNS = ("time", "open", "high", "low", "close", "volume", "trades", "last_trade")


@dataclass(frozen=True)
class BarDecisions:
    """What strategies made of bars, by time, strategy and number."""

    signals: list[TradingSignal]
    alerts: list[Alert]


class BarDecider:
    """Strategies by their names, to which bars are handed one by one, oldest first.

    Raise `UsageError` for a strategy without `on_bar`.
    """

    def __init__(self, instrument: str, strategies: Mapping[str, Strategy]) -> None:
        for name, strategy in strategies.items():
            if not hasattr(strategy, "on_bar"):
                msg = f"{name} has no method on_bar(bar), and cannot decide on stored bars"
                raise UsageError(msg, "strategy", name)
        start = new_start(instrument, strategies)
        self._sessions = [StrategySession(name, each, start) for name, each in strategies.items()]

    def decide(self, bar: Bar) -> Iterator[TradingSignal | Alert]:
        """Yield what the strategies make of a bar; raise `StrategyFailedError` for what one raises.

        Each is numbered, as in a run.
        """
        for session in self._sessions:
            yield from session.decided_on((bar,), lambda: None)


def decide_on_bars(
    bars: Iterable[Bar], instrument: str, strategies: Mapping[str, Strategy]
) -> BarDecisions:
    """Hand bars, oldest first, to strategies by their names; return what they make of them.

    Alerts are those of a run that made the same bars. Raise `UsageError` for a strategy without
    `on_bar`, and `StrategyFailedError` for what one raises.
    """
    decider = BarDecider(instrument, strategies)
    made = [one for bar in bars for one in decider.decide(bar)]
    made.sort(key=lambda one: (one.time_ms, one.strategy, one.number))
    return BarDecisions(
        [one for one in made if isinstance(one, TradingSignal)],
        [one for one in made if isinstance(one, Alert)],
    )


def bars_of_file(data: bytes, until_ms: int | None = None) -> list[Bar]:
    """Return the bars of a `metric_bars.bin`, without the last one: it may have been going on.

    A last bar of time is there if it had ended by `until_ms`, the time of the last row or trade. No
    tick comes before or after these bars, and each is handed over at its end. Raise
    `ArrayFileError` for another file.
    """
    header, arrays = unpack(data)
    if header.get("kind") != "metrics":
        raise ArrayFileError(f"its kind is {header.get('kind')!r}, and not 'metrics'", "kind")
    try:
        bars = list(_bars(header, arrays))
    except (KeyError, TypeError, ValueError) as error:
        raise ArrayFileError(f"it is no whole file of metrics ({error!r})", "header") from error
    is_over = bars and bars[-1].kind == "time" and until_ms is not None
    return bars if is_over and bars[-1].end_ms <= (until_ms or 0) else bars[:-1]


def _bars(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Iterator[Bar]:
    kind, size = header["bars"]["kind"], float(header["bars"]["size"])
    columns = [_numbers(arrays[name]) for name in _COLUMNS]
    metrics = [
        (each["asked"], len(each["fields"]), _numbers(arrays[each["array"]]))
        for each in header["metrics"]
    ]
    window_ms = int(size) * 1000 if kind == "time" else 0
    number = int(header["first"])
    for place, (start, *prices, volume, trades, last) in enumerate(zip(*columns, strict=True)):
        end = int(start) + window_ms if window_ms else int(last)
        opened, high, low, close = map(number_of, prices)
        yield Bar(
            run_id=str(header.get("run", "")), instrument=str(header["instrument"]), kind=kind,
            size=size, number=int(start) // window_ms if window_ms else number + place, after=0,
            time_ms=end, start_ms=int(start), end_ms=end, open=opened, high=high, low=low,
            close=close, volume=volume, trades=int(trades),
            values={
                asked: tuple(map(number_of, values[place * count : (place + 1) * count]))
                for asked, count, values in metrics
            },
        )  # fmt: skip


def _numbers(found: Array) -> "array[float]":
    return array("d", bytes(found.data))
