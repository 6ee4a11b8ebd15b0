"""Strategies on the bars that runs have kept, day by day, and their decisions kept beside them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from formats.results import ALERTS, DECISIONS, SIGNALS, Repository, ResultTable, Row, Stretch
from metrics.registry import MetricSpec
from trading.kept_bars import KeptBars, KeptDay
from trading.messages import Alert, Bar, TradingSignal
from trading.setup import StrategyChoice
from trading.stored_bars import BarDecider


def metrics_needed(asked: Sequence[str], choices: Iterable[StrategyChoice]) -> list[str]:
    """Return the metrics that are asked for, and those beside them that strategies need."""
    needed = (text for each in choices for text in getattr(each.make(), "metrics", ()))
    return [*asked, *dict.fromkeys(text for text in needed if text not in asked)]


@dataclass
class DecidedDay:
    """A day, the number of bars of it that were handed to strategies, and what came of them.

    Rows lie at the start of the bar that led to them.
    """

    day: KeptDay
    bars: int = 0
    rows: dict[ResultTable, list[Row]] = field(
        default_factory=lambda: {table: [] for table in DECISIONS}
    )


class Deciding:
    """Hand the kept bars of an instrument to strategies, by their names, each day by itself.

    Each day is then what a run over that day alone makes of it: new strategies, and no bar that was
    going on at its end. With `carry` all days are as one run: strategies go on, and so do bars,
    `obi`, `tot` and `cvd`.
    """

    def __init__(
        self,
        repository: Repository,
        instrument: str,
        choices: Mapping[str, StrategyChoice],
        metrics: Sequence[MetricSpec] = (),
        *,
        carry: bool = False,
    ) -> None:
        self._repository, self._instrument = repository, instrument
        self._choices, self._metrics, self._carry = choices, metrics, carry
        self._begin()

    def _begin(self) -> None:
        strategies = {name: each.make() for name, each in self._choices.items()}
        self._decider = BarDecider(self._instrument, strategies)
        self._bars = KeptBars(self._repository, self._metrics)

    def days(self, parts: Iterable[Stretch]) -> Iterator[DecidedDay]:
        """Yield what becomes of each day, of which one at a time is in memory.

        With `carry` a day comes when the next one has been read, which ends its last bar. Raise
        `ResultsError`, and `StrategyFailedError` for what a strategy raises.
        """
        held: DecidedDay | None = None
        for part in parts:
            if not self._carry:
                self._begin()
            day = self._bars.day(part)
            if day.problem:
                yield DecidedDay(day)
                continue
            if held:
                if self._carry and held.day.going_on:
                    self._decide(held, (held.day.going_on,))
                yield held
            held = DecidedDay(day)
            self._decide(held, day.ended)
        if held:
            yield held

    def _decide(self, decided: DecidedDay, bars: Iterable[Bar]) -> None:
        for bar in bars:
            decided.bars += 1
            for one in self._decider.decide(bar):
                choice = self._choices[one.strategy]
                table = ALERTS if isinstance(one, Alert) else SIGNALS
                decided.rows[table].append((bar.start_ms, *identity(choice), *_fields(one)))

    def keep(self, decided: DecidedDay, into: Iterable[Repository]) -> None:
        """Replace what the same strategies with the same settings had decided on that day."""
        ours = set(map(identity, self._choices.values()))
        part = decided.day.part
        for repository in into:
            rows: dict[ResultTable, Sequence[Row]] = {}
            for table, made in decided.rows.items():
                kept = [row for row in repository.read(table, part) if row[1:4] not in ours]
                keys = 1 + len(table.keys)
                rows[table] = sorted([*kept, *made], key=lambda row: row[:keys])
            repository.write(part, rows)


def identity(choice: StrategyChoice) -> tuple[str, str, str]:
    """Return what tells a strategy from others: its name, what it is, its settings as JSON."""
    settings = orjson.dumps(dict(choice.settings), option=orjson.OPT_SORT_KEYS).decode()
    return choice.name, choice.kind, settings


def _fields(one: TradingSignal | Alert) -> tuple[object, ...]:
    if isinstance(one, Alert):
        return one.number, one.time_ms, one.text, one.price
    return (
        one.number,
        one.time_ms,
        one.side and one.side.value,
        one.order.value,
        None if one.price is None else float(one.price),
        None if one.quantity is None else float(one.quantity),
        one.valid_until_ms,
        one.cancel_ms,
        one.reference,
        one.reason,
        one.mid,
    )
