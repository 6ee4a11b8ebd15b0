"""Results of runs, kept: bars and metrics by instrument and UTC day; see docs/results.md.

Beside them lies what strategies have made of these bars.

What is kept lies twice in the directory of results: as Parquet files in the hive layout, and as
tables of an SQLite file. Both are behind one `Repository`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from orderflow.errors import OrderflowError, OutputError

DAY_MS = 86_400_000
DATABASE_NAME = "results.sqlite"

Row = tuple[Any, ...]
"""Start of a bar in ms, UTC, and a value for each field of its table; None where there is none."""


@dataclass(frozen=True)
class ResultTable:
    """A kind of results: the name of its folder and table, and its columns after the timestamp.

    Rows are told apart by instrument, window, timestamp and `keys`, the first of the fields. Fields
    are doubles, but for `integers`, `texts` and `times`, which are ms, UTC. Those `added` since the
    first version have no value in older files.
    """

    name: str
    fields: tuple[str, ...]
    integers: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


def _parts(name: str) -> tuple[str, ...]:
    return tuple(f"{name}_{part}" for part in ("open", "high", "low", "close"))


OHLC = ResultTable(
    "ohlc",
    ("open", "high", "low", "close", "volume", "trades"),
    integers=("trades",),
    added=("trades",),
)
METRICS = ResultTable(
    "metrics", (*_parts("obi"), *_parts("tot"), *_parts("cvd"), "depth_levels"), ("depth_levels",)
)
METRIC_VALUES = ResultTable(
    "metric_values",
    ("metric", "field", "value"),
    keys=("metric", "field"),
    texts=("metric", "field"),
)
"""What was asked for by `--metric`, a row for each field of each metric of a bar."""
TABLES = (OHLC, METRICS, METRIC_VALUES)
"""What a run keeps."""

_DECIDED = ("strategy", "kind", "settings", "number")
SIGNALS = ResultTable(
    "signals",
    (
        *(*_DECIDED, "time", "side", "order_type", "price", "quantity"),
        *("valid_until", "cancel_at", "reference", "reason", "mid"),
    ),
    integers=("number", "reference"),
    keys=_DECIDED,
    texts=(*_DECIDED[:3], "side", "order_type", "reason"),
    times=("time", "valid_until", "cancel_at"),
)
ALERTS = ResultTable(
    "alerts",
    (*_DECIDED, "time", "text", "price"),
    integers=("number",),
    keys=_DECIDED,
    texts=(*_DECIDED[:3], "text"),
    times=("time",),
)
DECISIONS = (SIGNALS, ALERTS)
"""What strategies made of kept bars, beside the bar that made them do so."""


@dataclass(frozen=True)
class Stretch:
    """Which rows are meant: an instrument's bars of one length that begin in a range, ms, UTC."""

    instrument: str
    window_seconds: int
    start_ms: int
    end_ms: int

    def days(self) -> list["Stretch"]:
        """Return the parts of it that lie in one UTC day each."""
        bounds = range(self.start_ms // DAY_MS * DAY_MS, self.end_ms, DAY_MS)
        return [
            Stretch(
                self.instrument,
                self.window_seconds,
                max(begin, self.start_ms),
                min(begin + DAY_MS, self.end_ms),
            )
            for begin in bounds
        ]


class Repository(Protocol):
    """Where results are kept, by instrument, length of the bars and time."""

    def write(
        self,
        stretch: Stretch,
        rows: Mapping[ResultTable, Sequence[Row]],
        among: Collection[str] | None = None,
    ) -> None:
        """Replace what is kept of a stretch, in the tables given, by rows in time order.

        All rows lie in the stretch. With `among` rows of tables with keys stay unless their first
        key is one of these. Raise `ResultsError` where that fails.
        """

    def read(
        self, table: ResultTable, stretch: Stretch, among: Collection[str] | None = None
    ) -> list[Row]:
        """Return the rows kept of a stretch, in time order. Raise `ResultsError`.

        With `among` those whose first key is one of these: no others are in memory.
        """


class ResultsError(OutputError):
    """Report results, at `path`, that cannot be read or written."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


class NothingKeptError(OrderflowError):
    """Report that nothing is kept of an instrument's bars in a range, under `directory`."""

    def __init__(self, message: str, stretch: Stretch, directory: Path) -> None:
        super().__init__(message)
        self.stretch = stretch
        self.directory = directory


class JoinedDays:
    """The rows of `METRICS` of successive days, as one run over all of them has them.

    The CVD runs on from the day before, to rounding, and is 0 before the first bar; until the first
    sample of a day OBI and TOT stay at the last close.
    """

    def __init__(self) -> None:
        self._obi: float | None = None
        self._tot: float | None = None
        self._cvd = 0.0

    def join(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows of the next day, or of a part of it."""
        if not rows:
            return []
        carried = [self._obi] * 4 + [self._tot] * 4
        before = self._cvd - rows[0][9]
        joined: list[Row] = [
            (
                row[0],
                *(carried if row[1] is None else row[1:9]),
                *(value + before for value in row[9:13]),
                *row[13:],
            )
            for row in rows
        ]
        last = joined[-1]
        self._obi, self._tot, self._cvd = last[4], last[8], last[12]
        return joined


def day_of(ms: int) -> str:
    """Return the UTC day of a time in ms, as `2025-06-09`."""
    return datetime.fromtimestamp(ms // 1000, UTC).date().isoformat()


def describe_days(starts: Sequence[int]) -> str:
    """Return days, given as times in ms in order, as `2025-06-09 to 2025-06-11, 2025-06-13`."""
    said: list[str] = []
    days = [ms // DAY_MS for ms in starts]
    for place, day in enumerate(days):
        if place and days[place - 1] == day - 1:
            said[-1] = f"{said[-1].partition(' to ')[0]} to {day_of(day * DAY_MS)}"
        else:
            said.append(day_of(day * DAY_MS))
    return ", ".join(said)


def check_window(window_seconds: int, start_ms: int, end_ms: int) -> str | None:
    """Return why bars of a range cannot be kept; None if they can.

    A kept bar is of a whole window, and of one day.
    """
    if 86_400 % window_seconds:
        return (
            f"kept bars are of one day each, so that a window must divide it; found "
            f"{window_seconds} s"
        )
    if start_ms % (window_seconds * 1000) or end_ms % (window_seconds * 1000):
        return (
            f"kept bars are whole, so that START and END must be the start of a window of "
            f"{window_seconds} s"
        )
    return None
