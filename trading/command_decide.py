"""The command `decide`: strategies on the bars that runs have kept, a year of days if need be."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from formats.parquet_results import ParquetResults
from formats.results import (
    ALERTS,
    DATABASE_NAME,
    SIGNALS,
    Repository,
    Stretch,
    check_window,
    day_of,
    describe_days,
)
from formats.results_database import DatabaseResults
from metrics.registry import MetricSpec
from orderflow import command
from orderflow import options as shared
from orderflow.command import EXIT_DONE, EXIT_FAILED, Quiet, Verbose, say, say_error
from orderflow.errors import OutputError, UsageError
from orderflow.instruments import check_instrument
from orderflow.times import format_duration, parse_range
from replay.output_lock import DirectoryInUseError, OutputLock
from replay.terminal import StatusLine
from trading import options
from trading.bars import choose_bars
from trading.kept_decisions import DecidedDay, Deciding, metrics_needed
from trading.setup import StrategyChoice, strategies_of

LOCK_NAME = ".orderflow-decide.lock"


@dataclass
class DecideReport:
    """What a command has done so far: of `total` days some are `decided`, of others it is said why.

    `not_kept` are days of which there is nothing, `lacking` those that lack something. Days are
    lists of instrument, day in ms and problem.
    """

    total: int
    decided: int = 0
    bars: int = 0
    signals: int = 0
    alerts: int = 0
    not_kept: list[tuple[str, int, str]] = field(default_factory=list)
    lacking: list[tuple[str, int, str]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def add(self, found: DecidedDay) -> None:
        """Count a day."""
        if found.day.problem:
            part = found.day.part
            days = self.lacking if found.day.is_kept else self.not_kept
            days.append((part.instrument, part.start_ms, found.day.problem))
            return
        self.decided += 1
        self.bars += found.bars
        self.signals += len(found.rows[SIGNALS])
        self.alerts += len(found.rows[ALERTS])

    @property
    def ended(self) -> int:
        """Count the days that are through."""
        return self.decided + len(self.not_kept) + len(self.lacking)

    @property
    def seconds(self) -> float:
        """Return how long it has taken so far."""
        return time.monotonic() - self.began

    def as_json(self, state: str) -> dict[str, Any]:
        """Return the summary: see docs/trading.md."""
        return {
            "state": state,
            "days": self.total,
            "decided": self.decided,
            "not_kept": [{"instrument": name, "day": day_of(ms)} for name, ms, _ in self.not_kept],
            "lacking": [
                {"instrument": name, "day": day_of(ms), "problem": why}
                for name, ms, why in self.lacking
            ],
            "bars": self.bars,
            "signals": self.signals,
            "alerts": self.alerts,
            "seconds": round(self.seconds, 3),
        }


def decide(
    instruments: Annotated[
        list[str], typer.Argument(metavar="INSTRUMENT…", help="As kept, such as BTC-USDT.")
    ],
    start_date: shared.Start,
    end_date: shared.End,
    results: Annotated[
        Path, typer.Option(metavar="DIR", help="Where bars are kept, and decisions will be.")
    ],
    strategies: options.StrategyNames = None,
    settings: options.SetTexts = None,
    metric: options.Metrics = None,
    window_seconds: shared.WindowSeconds = 60,
    carry: Annotated[
        bool,
        typer.Option("--carry", help="Go on from day to day as one run, and not begin each anew."),
    ] = False,
    json_summary: shared.JsonSummary = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Run strategies on bars that were kept, and keep their signals and alerts beside them."""
    command.set_up_logging(verbose, quiet=quiet)
    stretches = _stretches(instruments, start_date, end_date, window_seconds)
    chosen = strategies_of(
        {"strategies": strategies, "settings": settings, "orders": None, "tick": None}
    )
    asked = choose_bars(f"time:{window_seconds}", metrics_needed(metric or (), chosen.values()))
    metrics = asked.metrics if asked else ()
    kept = ParquetResults(results)
    if not results.is_dir():
        raise kept.nothing_kept(stretches[0])
    report = DecideReport(sum(len(stretch.days()) for stretch in stretches))
    stop = _Stop()
    with (
        _locked(results),
        StatusLine(shown=not quiet) as line,
        command.stop_on_signals(stop.ask) as signals,
    ):
        into: list[Repository] = [kept, DatabaseResults(results / DATABASE_NAME)]
        for deciding, found in _decided(kept, stretches, chosen, metrics, carry=carry):
            if found.day.is_kept or (results / DATABASE_NAME).exists():
                deciding.keep(found, into)
            report.add(found)
            line.write(f"{report.ended:,}/{report.total:,} days, {report.alerts:,} alerts")
            if stop.is_asked:
                break
    if len(report.not_kept) == report.total:
        raise kept.nothing_kept(stretches[0])
    _say(report, is_whole=not stop.is_asked, as_json=json_summary, quiet=quiet)
    if stop.is_asked:
        raise typer.Exit(128 + signals.received)
    raise typer.Exit(EXIT_FAILED if report.lacking else EXIT_DONE)


@dataclass
class _Stop:
    is_asked: bool = False

    def ask(self) -> None:
        self.is_asked = True


def _decided(
    kept: ParquetResults,
    stretches: Iterable[Stretch],
    chosen: Mapping[str, StrategyChoice],
    metrics: Sequence[MetricSpec],
    *,
    carry: bool,
) -> Iterator[tuple[Deciding, DecidedDay]]:
    for stretch in stretches:
        deciding = Deciding(kept, stretch.instrument, chosen, metrics, carry=carry)
        for found in deciding.days(stretch.days()):
            yield deciding, found


def _stretches(
    instruments: Iterable[str], start_date: str, end_date: str, window_seconds: int
) -> list[Stretch]:
    start_ms, end_ms = parse_range(start_date, end_date)
    if why := check_window(window_seconds, start_ms, end_ms):
        raise UsageError(why, "--window-seconds", window_seconds)
    names = [*dict.fromkeys(instruments)]
    for name in names:
        check_instrument(name)
    return [Stretch(name, window_seconds, start_ms, end_ms) for name in names]


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Let no other command decide on these results meanwhile. Raise `OutputError`."""
    try:
        lock = OutputLock(directory, LOCK_NAME)
    except DirectoryInUseError as error:
        msg = (
            f"{directory}: strategies of another command, pid {error.pid}, decide on it; wait for "
            "it, or stop it"
        )
        raise OutputError(msg, directory) from error
    except OSError as error:
        msg = f"{directory}: cannot be written to ({error.strerror}); decisions are kept there"
        raise OutputError(msg, directory) from error
    try:
        yield
    finally:
        lock.release()


def _say(report: DecideReport, *, is_whole: bool, as_json: bool, quiet: bool) -> None:
    if as_json:
        state = "finished" if is_whole else "stopped"
        command.print_result(orjson.dumps(report.as_json(state)).decode())
    elif not quiet:
        _say_days(report.not_kept, say)
        left = report.total - report.ended
        ends = (report.decided, len(report.not_kept), len(report.lacking), left)
        words = ("decided on", "not kept", "lacking something", "left")
        days = ", ".join(f"{n:,} {word}" for n, word in zip(ends, words, strict=True) if n)
        say(f"days: {days}")
        say(
            f"{report.signals:,} signals and {report.alerts:,} alerts at {report.bars:,} bars in "
            f"{format_duration(report.seconds)}"
        )
    _say_days(report.lacking, say_error)


def _say_days(days: Iterable[tuple[str, int, str]], say_line: Callable[[str], None]) -> None:
    """Say what is wrong with days: those of one instrument and problem in a line."""
    grouped: dict[tuple[str, str], list[int]] = {}
    for name, start_ms, why in days:
        grouped.setdefault((name, why), []).append(start_ms)
    for (name, why), starts in grouped.items():
        say_line(f"{name} {describe_days(starts)}: {why}")
