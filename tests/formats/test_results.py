"""What is kept of runs: the same in Parquet files and in SQLite, or a clear refusal."""

import errno
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from places import PROJECT
from recording_factory import DAY, START, without_privileges

from formats.parquet_results import ParquetResults
from formats.results import (
    ALERTS,
    METRIC_VALUES,
    METRICS,
    OHLC,
    SIGNALS,
    JoinedDays,
    Repository,
    ResultsError,
    ResultTable,
    Row,
    Stretch,
    check_window,
)
from formats.results_database import DatabaseResults
from orderflow.errors import OrderflowError

pyarrow = pytest.importorskip("pyarrow", reason="results are Parquet files: uv sync --group data")

parquet = pytest.importorskip("pyarrow.parquet")

Rows = dict[ResultTable, list[Row]]
MINUTE = 60_000
WHOLE = Stretch("BTC-USDT", 60, START, START + 2 * DAY)


def ohlc(*minutes: int, price: float = 100.0) -> dict[ResultTable, list[Row]]:
    return {
        OHLC: [(START + m * MINUTE, price, price + 1, price - 1, price, 0.1, 3) for m in minutes]
    }


def metrics(*minutes: int) -> dict[ResultTable, list[Row]]:
    empty = (None,) * 8
    return {METRICS: [(START + m * MINUTE, *empty, 0.0, 0.1, -0.2, 0.1, 50) for m in minutes]}


def part(begin: int, end: int, window: int = 60, instrument: str = "BTC-USDT") -> Stretch:
    return Stretch(instrument, window, START + begin * MINUTE, START + end * MINUTE)


def times(repository: Repository, stretch: Stretch = WHOLE) -> list[float]:
    return [((row[0] or 0) - START) / MINUTE for row in repository.read(OHLC, stretch)]


REPOSITORIES: dict[str, Callable[[Path], Repository]] = {
    "parquet": ParquetResults,
    "sqlite": lambda directory: DatabaseResults(directory / "results.sqlite"),
}


@pytest.mark.parametrize("kind", REPOSITORIES)
class TestRepository:
    @pytest.fixture
    def made(self, kind: str, tmp_path: Path) -> Repository:
        return REPOSITORIES[kind](tmp_path / "results")

    def test_what_was_written_is_read_with_no_value_where_there_is_none(
        self, made: Repository
    ) -> None:
        rows = ohlc(0, 1, 1440, 2879) | metrics(0, 1440)
        made.write(WHOLE, rows)
        assert made.read(OHLC, WHOLE) == rows[OHLC]
        assert made.read(METRICS, WHOLE) == rows[METRICS]
        assert [type(value) for value in made.read(METRICS, WHOLE)[0]] == [
            int, *[type(None)] * 8, *[float] * 4, int,
        ]  # fmt: skip

    def test_rows_of_one_time_are_told_apart_by_their_metric_and_field(
        self, made: Repository
    ) -> None:
        rows: list[Row] = [
            (START, "cvd", "close", 0.1),
            (START, "ofi", "value", None),
            (START, "vpin:volume=2", "value", 1e-300),
            (START + MINUTE, "cvd", "close", -0.2),
        ]
        made.write(WHOLE, {METRIC_VALUES: rows})
        assert made.read(METRIC_VALUES, WHOLE) == rows
        assert made.read(METRIC_VALUES, part(1, 2)) == rows[3:]
        assert made.read(METRIC_VALUES, WHOLE, ["ofi", "cvd"]) == [*rows[:2], rows[3]]
        assert made.read(METRIC_VALUES, WHOLE, []) == []

    def test_decisions_of_one_bar_are_told_apart_by_strategy_settings_and_number(
        self, made: Repository
    ) -> None:
        order = (START + MINUTE, "buy", "limit", 99.5, 0.1, START + DAY, None, None, "why", 100.0)
        alert = START + MINUTE, "it is above", None
        kinds = [("a", "k", "{}", 1), ("a", "k", "{}", 2), ("a", "k", '{"x":"1"}', 1)]
        kinds += [("a", "l", "{}", 1), ("b", "k", "{}", 1)]
        kinds.sort()
        rows: dict[ResultTable, list[Row]] = {
            SIGNALS: [(START, *key, *order) for key in kinds],
            ALERTS: [(START, *key, *alert) for key in kinds],
        }
        made.write(WHOLE, rows)
        for table, given in rows.items():
            assert made.read(table, WHOLE) == given
        assert type(made.read(SIGNALS, WHOLE)[0][5]) is int

    def test_nothing_is_read_where_nothing_was_written(self, made: Repository) -> None:
        assert made.read(OHLC, WHOLE) == []
        made.write(WHOLE, ohlc(5))
        assert made.read(METRICS, WHOLE) == []
        assert times(made, part(0, 9, instrument="ETH-USDT")) == []
        assert times(made, part(0, 9, window=1)) == []

    def test_a_stretch_replaces_what_lay_in_it_and_nothing_else(self, made: Repository) -> None:
        made.write(part(0, 2880), ohlc(1, 2, 3, 1500))
        made.write(part(0, 10, window=30), ohlc(2))
        made.write(part(0, 10, instrument="ETH-USDT"), ohlc(3))
        made.write(part(2, 3), ohlc(2, price=7.0))
        assert times(made) == [1, 2, 3, 1500]
        assert [row[1] for row in made.read(OHLC, WHOLE)] == [100, 7, 100, 100]
        made.write(part(2, 1501), ohlc(4))
        assert times(made) == [1, 4]
        assert times(made, part(0, 10, window=30)) == [2]
        assert times(made, part(0, 10, instrument="ETH-USDT")) == [3]

    def test_written_again_it_is_the_same(self, made: Repository) -> None:
        for _ in range(2):
            made.write(WHOLE, ohlc(*range(0, 2880, 7)))
        assert times(made) == [*range(0, 2880, 7)]

    def test_a_table_that_is_not_written_stays(self, made: Repository) -> None:
        made.write(WHOLE, ohlc(1) | metrics(1))
        made.write(WHOLE, ohlc(2))
        assert len(made.read(METRICS, WHOLE)) == 1

    def test_rows_with_other_first_keys_stay_though_they_are_written_at_once(
        self, made: Repository
    ) -> None:
        made.write(WHOLE, {METRIC_VALUES: [(START, "m0", "old", 9.0), (START, "n", "value", 7.0)]})

        def write(number: int) -> None:
            name = f"m{number}"
            values: list[Row] = [(START, name, "value", 1.0), (START + DAY, name, "value", 2.0)]
            made.write(WHOLE, ohlc(1) | {METRIC_VALUES: values}, [name])

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(write, range(4))) == [None] * 4
        assert made.read(METRIC_VALUES, WHOLE) == [
            *((START, f"m{number}", "value", 1.0) for number in range(4)),
            (START, "n", "value", 7.0),
            *((START + DAY, f"m{number}", "value", 2.0) for number in range(4)),
        ]
        assert times(made) == [1]

    def test_a_directory_that_cannot_be_written_is_said(
        self, made: Repository, tmp_path: Path
    ) -> None:
        tmp_path.chmod(0o755)
        with without_privileges(), pytest.raises(ResultsError, match=r"results.*another DIR"):
            made.write(WHOLE, ohlc(1))

    def test_a_file_of_somebody_else_is_left_alone(self, made: Repository, tmp_path: Path) -> None:
        made.write(WHOLE, ohlc(1))
        file = next(path for path in (tmp_path / "results").rglob("*") if path.is_file())
        file.write_bytes(b"not of this program" * 100)
        for use in (lambda: made.read(OHLC, WHOLE), lambda: made.write(WHOLE, ohlc(2))):
            with pytest.raises(ResultsError) as caught:
                use()
            assert caught.value.path == file
        assert file.read_bytes() == b"not of this program" * 100

    def test_times_of_many_windows_are_told_apart(self, made: Repository) -> None:
        for window in (60, 1, 3600):
            made.write(part(0, 60, window=window), ohlc(0))
        assert [times(made, part(0, 60, window=window)) for window in (1, 60, 3600)] == [[0]] * 3


def test_joined_days_stay_at_the_last_close_until_a_sample_and_their_cvd_runs_on() -> None:
    def row(at: int, value: float | None, *cvd: float) -> Row:
        return (at, *[value] * 4, *[value and 10 * value] * 4, *cvd, 50)

    joined = JoinedDays()
    assert joined.join([row(0, None, 0, 0, 0, 0)]) == [row(0, None, 0, 0, 0, 0)]
    first = [row(1, 0.25, 0, 2, 0, 1.5), row(2, 0.5, 1.5, 1.5, -1, -0.5)]
    assert joined.join(first) == first
    assert joined.join([]) == []
    second = [row(DAY, None, 0, 1, 0, 1), row(DAY + 1, 0.75, 1, 1, 1, 1)]
    assert joined.join(second) == [
        row(DAY, 0.5, -0.5, 0.5, -0.5, 0.5), row(DAY + 1, 0.75, 0.5, 0.5, 0.5, 0.5),
    ]  # fmt: skip


OLD = ResultTable("ohlc", OHLC.fields[:-1])
"""As the first version had it, without the number of trades."""


def test_files_of_an_older_version_are_read_and_added_to(tmp_path: Path) -> None:
    old: list[Row] = [row[:-1] for row in ohlc(1, 2)[OHLC]]
    ParquetResults(tmp_path).write(WHOLE, {OLD: old})
    with closing(sqlite3.connect(tmp_path / "results.sqlite")) as connection, connection:
        connection.execute(
            "CREATE TABLE ohlc(instrument TEXT, window_seconds INTEGER, timestamp INTEGER, "
            "open REAL, high REAL, low REAL, close REAL, volume REAL, "
            "PRIMARY KEY (instrument, window_seconds, timestamp)) WITHOUT ROWID"
        )
        connection.executemany("INSERT INTO ohlc VALUES ('BTC-USDT', 60, ?, ?, ?, ?, ?, ?)", old)
    for repository in (
        ParquetResults(tmp_path), DatabaseResults(tmp_path / "results.sqlite")
    ):  # fmt: skip
        assert repository.read(OHLC, WHOLE) == [(*row, None) for row in old]
        repository.write(part(2, 3), ohlc(2))
        assert [row[6] for row in repository.read(OHLC, WHOLE)] == [None, 3]


def test_parquet_files_lie_by_instrument_and_day_and_the_same_rows_are_the_same_bytes(
    tmp_path: Path,
) -> None:
    results = ParquetResults(tmp_path)
    results.write(part(0, 2880), ohlc(5, 1500))
    results.write(part(0, 60, window=1), ohlc(1))
    first = tmp_path / "ohlc" / "instrument=BTC-USDT" / "day=2025-06-09" / "part.parquet"
    second = tmp_path / "ohlc" / "instrument=BTC-USDT" / "day=2025-06-10" / "part.parquet"
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == [first, second]
    other = ParquetResults(tmp_path / "other")
    other.write(part(0, 60, window=1), ohlc(1))
    other.write(part(4, 9), ohlc(5))
    assert other.path_of(OHLC, "BTC-USDT", START).read_bytes() == first.read_bytes()


def test_bars_of_several_lengths_can_be_written_to_a_day_at_once(tmp_path: Path) -> None:
    windows = (1, 5, 60, 300)
    with ThreadPoolExecutor(len(windows)) as pool:
        for _ in range(5):
            made = [
                pool.submit(ParquetResults(tmp_path).write, part(0, 10, window), ohlc(1, 2))
                for window in windows
            ]
            assert [future.result() for future in made] == [None] * len(windows)
            found = [ParquetResults(tmp_path).row_count(OHLC, part(0, 10, w)) for w in windows]
            assert found == [2] * len(windows)
            for path in tmp_path.rglob("*.parquet"):
                path.unlink()


def test_too_little_memory_is_no_fault_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ParquetResults(tmp_path)
    made.write(part(0, 10), ohlc(1))

    def too_little(*_: object, **__: object) -> None:
        raise pyarrow.lib.ArrowMemoryError("malloc of size 64 failed")

    monkeypatch.setattr("pyarrow.parquet.ParquetFile", too_little)
    with pytest.raises(MemoryError, match="malloc"):
        made.read(OHLC, part(0, 10))


class Cut(Exception):  # noqa: N818 (what becomes of a process)
    """The process is killed."""


def cut_short(monkeypatch: pytest.MonkeyPatch, results: ParquetResults, rows: Rows) -> None:
    """Write a day up to the first rename."""
    rename = os.replace
    renamed: list[Any] = []

    def once(*given: Any, **more: Any) -> None:
        if renamed:
            raise Cut
        renamed.append(given)
        rename(*given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", once)
        with pytest.raises(Cut):
            results.write(part(0, 1440), rows)


def test_on_a_disk_that_fills_up_a_day_stays_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = ParquetResults(tmp_path)
    results.write(part(0, 1440), ohlc(1) | metrics(1))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    written = []

    def flush(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", flush)
        with pytest.raises(ResultsError, match=r"No space left on device.*make room"):
            results.write(part(0, 1440), ohlc(2) | metrics(2))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert (len(before), results.read(OHLC, WHOLE)) == (2, ohlc(1)[OHLC])


@pytest.mark.parametrize("first", [ohlc(1) | metrics(1), ohlc(1), metrics(1), {}])
def test_a_day_whose_write_was_cut_short_is_taken_for_none_until_it_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: Rows
) -> None:
    results = ParquetResults(tmp_path)
    results.write(part(0, 1440), first)
    results.write(part(1440, 2880), ohlc(1500))
    results.write(part(0, 1440, window=30), first)
    cut_short(monkeypatch, results, ohlc(2) | metrics(2))
    for table in (OHLC, METRICS):
        for read in (results.read, results.row_count):
            with pytest.raises(ResultsError, match=r"2025-06-09 are not of one write.*again"):
                read(table, part(0, 1440))
    assert results.read(OHLC, part(1440, 2880)) == ohlc(1500)[OHLC]
    results.write(part(0, 1440), ohlc(2) | metrics(2))
    assert times(results) == [2, 1500]
    assert times(results, part(0, 1440, window=30)) == []
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".parquet"] * 3


def test_files_without_a_stamp_are_of_an_older_version_and_are_read(tmp_path: Path) -> None:
    results = ParquetResults(tmp_path)
    results.write(WHOLE, ohlc(1) | metrics(1))
    for table in (OHLC, METRICS):
        path = results.path_of(table, "BTC-USDT", START)
        table_of = parquet.read_table(path, partitioning=None)
        parquet.write_table(table_of.replace_schema_metadata(), path)
    assert times(results) == [1]
    results.write(part(2, 3), ohlc(2))
    assert times(results) == [1, 2]
    assert len(results.read(METRICS, WHOLE)) == 1


def test_a_day_without_rows_has_no_file(tmp_path: Path) -> None:
    results = ParquetResults(tmp_path)
    results.write(part(0, 1440), ohlc(5))
    results.write(part(0, 1440), ohlc())
    assert [path for path in tmp_path.rglob("*") if path.is_file() or "day=" in path.name] == []


def test_what_a_dead_process_left_goes_with_the_next_write(tmp_path: Path) -> None:
    results = ParquetResults(tmp_path)
    results.write(part(0, 1440), ohlc(5))
    folder = results.path_of(OHLC, "BTC-USDT", START).parent
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    (folder / f".part.parquet.{dead.pid}.0123456789ab.tmp").write_bytes(b"half")
    results.write(part(0, 1440), ohlc(5))
    assert [path.name for path in folder.iterdir()] == ["part.parquet"]


def test_the_database_has_plain_tables_with_a_key(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    DatabaseResults(path).write(WHOLE, ohlc(1) | metrics(1))
    with closing(sqlite3.connect(path)) as connection:
        columns = connection.execute("PRAGMA table_info(metrics)").fetchall()
        assert [name for _, name, *_, key in columns if key] == [
            "instrument", "window_seconds", "timestamp",
        ]  # fmt: skip
        insert = "INSERT INTO metrics(instrument, window_seconds, timestamp) VALUES (?, ?, ?)"
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(insert, ("BTC-USDT", 60, START + MINUTE))


@pytest.mark.parametrize(
    ("window", "start", "end", "why"),
    [
        (7, 0, DAY, "divide"),
        (172_800, 0, 2 * DAY, "divide"),
        (60, 30_000, DAY, "whole"),
        (60, 0, DAY + 1, "whole"),
    ],
)
def test_windows_that_are_not_whole_or_not_of_one_day_are_refused(
    window: int, start: int, end: int, why: str
) -> None:
    assert why in (check_window(window, START + start, START + end) or "")
    assert check_window(60, START, START + DAY) is None


def test_without_pyarrow_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(OrderflowError, match="uv sync --group data"):
        ParquetResults(Path("anywhere"))


def test_a_plain_replay_imports_nothing_of_it() -> None:
    code = "import main, sys; print({'pyarrow', 'distributed', 'formats.results'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
