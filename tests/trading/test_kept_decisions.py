"""Strategies decide on kept bars as on those of a run, and what they decide is kept once."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree

import pytest
from kept_days import (
    INSTRUMENT,
    alerts_kept,
    alerts_of_run,
    day_text,
    decide,
    keep,
    kept,
    write_days,
)
from places import PROJECT
from recording_factory import DAY, START

from formats.jobs_table import JobRow, JobsTable
from formats.parquet_results import ParquetResults
from formats.results import ALERTS, METRIC_VALUES, METRICS, OHLC, SIGNALS, Row, Stretch
from formats.results_database import DatabaseResults
from metrics.registry import parse_metrics
from replay.output_lock import OutputLock
from trading.command_decide import LOCK_NAME
from trading.kept_bars import KeptBars
from trading.messages import Alert, Bar

pytest.importorskip("pyarrow", reason="results are Parquet files: uv sync --group data")

DAYS = 3
KEPT = ("--metric", "ofi", "--metric", "vwap")
TELLER = ("--strategy", "teller=bar_tellers:BarTeller")
RARE = ("--strategy", "teller=bar_tellers:BarTeller", "--set", "every=7")
ORDERER = ("--strategy", "orderer=bar_tellers:Orderer")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_days(tmp_path_factory.mktemp("data"), DAYS, 150)


@pytest.fixture(scope="module")
def daily(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of three days, each kept by a run of its own."""
    results = tmp_path_factory.mktemp("daily") / "results"
    for day in range(DAYS):
        keep(data, results, day, day + 1, *KEPT)
    return results


@pytest.fixture
def results(daily: Path, tmp_path: Path) -> Path:
    return copytree(daily, tmp_path / "results")


def asked(*metrics: str) -> list[str]:
    return [word for name in metrics for word in ("--metric", name)]


def everything(results: Path) -> dict[str, object]:
    """Return all decisions: the bytes of the files, and the rows of the tables."""
    found: dict[str, object] = {
        str(path.relative_to(results)): path.read_bytes()
        for table in (ALERTS, SIGNALS)
        for path in (results / table.name).rglob("*")
        if path.is_file()
    }
    stretch = Stretch(INSTRUMENT, 60, START, START + DAYS * DAY)
    for table in (ALERTS, SIGNALS):
        found[table.name] = DatabaseResults(results / "results.sqlite").read(table, stretch)
        assert found[table.name] == ParquetResults(results).read(table, stretch)
    return found


@pytest.mark.parametrize(
    "metrics",
    [
        ("vwap",),
        ("cvd", "ofi", "obi"),
        *(
            pytest.param(each, marks=pytest.mark.thorough)
            for each in [(), ("ofi",), ("obi",), ("cvd",), ("tot", "vwap")]
        ),
    ],
)
def test_each_day_is_decided_on_as_in_a_run_over_that_day(
    data: Path, results: Path, tmp_path: Path, metrics: tuple[str, ...]
) -> None:
    more = [*TELLER, *asked(*metrics)]
    live = [
        line
        for day in range(DAYS)
        for line in alerts_of_run(data, tmp_path, day, day + 1, *more, "--bars", "time:60")
    ]
    assert decide(results, 0, DAYS, *more).exit_code == 0
    assert alerts_kept(results, 0, DAYS) == live
    assert len(live) > 100


@pytest.mark.slow
def test_alerts_over_forty_days_of_a_batch_are_those_of_forty_runs(tmp_path: Path) -> None:
    days = 40
    (tmp_path / "data").mkdir()
    data = write_days(tmp_path / "data", days, 300)
    span = day_text(0), day_text(days)
    subprocess.run(
        [
            *(sys.executable, "-m", "replay", "batch", INSTRUMENT, *span, *KEPT, "-q"),
            *("--data-dir", data, "--results", tmp_path / "results", "--workers", "2"),
        ],
        cwd=PROJECT, check=True,
    )  # fmt: skip
    more = [*TELLER, "--strategy", "calm=metric-alert", "--strategy", "rich=metric-alert"]
    more += ["--set", "calm.metric=ofi", "--set", "calm.above=1", "--set", "calm.cooldown_bars=3"]
    more += ["--set", "rich.metric=cvd", "--set", "rich.below=0", *asked("ofi", "cvd", "vwap")]
    live = [
        line
        for day in range(days)
        for line in alerts_of_run(data, tmp_path, day, day + 1, *more, "--bars", "time:60")
    ]
    assert decide(tmp_path / "results", 0, days, *more).exit_code == 0
    assert alerts_kept(tmp_path / "results", 0, days) == live
    assert min(Counter(line["strategy"] for line in live).values()) > days
    assert len({line["time_ms"] // DAY for line in live}) >= days


@pytest.mark.thorough
def test_carried_over_days_they_are_decided_on_as_in_one_run(data: Path, tmp_path: Path) -> None:
    keep(data, tmp_path / "results", 0, DAYS, *KEPT)
    more = [*TELLER, *asked("obi", "ofi", "vwap")]
    live = alerts_of_run(data, tmp_path, 0, DAYS, *more, "--bars", "time:60")
    assert decide(tmp_path / "results", 0, DAYS, *more, "--carry").exit_code == 0
    assert alerts_kept(tmp_path / "results", 0, DAYS) == live
    assert decide(tmp_path / "results", 0, DAYS, *more).exit_code == 0
    last_of_days = DAYS - 1  # without --carry they have not ended
    assert len(alerts_kept(tmp_path / "results", 0, DAYS)) == len(live) - last_of_days


@pytest.mark.thorough
def test_carried_over_days_the_cvd_runs_on(results: Path, data: Path, tmp_path: Path) -> None:
    more = ("--strategy", "up=metric-alert", "--set", "metric=cvd", "--set", "above=-1e9")
    live = alerts_of_run(data, tmp_path, 0, DAYS, *more, *asked("cvd"))
    assert decide(results, 0, DAYS, *more, "--carry").exit_code == 0
    found = alerts_kept(results, 0, DAYS)
    assert [line["time_ms"] for line in found] == [line["time_ms"] for line in live]
    cvds = [[float(line["text"].split()[2]) for line in lines] for lines in (found, live)]
    assert cvds[0] == pytest.approx(cvds[1], abs=1e-5)


def test_decisions_lie_at_the_bar_that_led_to_them(results: Path) -> None:
    assert decide(results, 0, 1, *ORDERER, "--set", "quantity=0.25").exit_code == 0
    first, second, *_ = found = kept(results, SIGNALS, 0, 1)
    settings = '{"quantity":"0.25"}'
    end = first[0] + 60_000
    close = next(row[4] for row in kept(results, OHLC, 0, 1) if row[0] == first[0])
    own = "orderer", "bar_tellers:Orderer", settings
    order = end, "buy", "limit", 99.5, 0.25, end + 1000, None, None, "why not", close
    assert first == (first[0], *own, 1, *order)
    none = None, None, None, None
    cancel = second[0] + 60_000, None, "cancel", *none, 1, "", None
    assert second == (second[0], *own, 2, *cancel)
    bars = {row[0] for row in kept(results, OHLC, 0, 1)}
    assert {row[0] for row in found} <= bars
    assert len(found) == len(bars) - 1


def test_again_it_is_the_same_to_the_byte_and_other_settings_lie_beside_it(results: Path) -> None:
    both = [*RARE, *ORDERER]
    assert decide(results, 0, DAYS, *both).exit_code == 0
    before = everything(results)
    assert decide(results, 0, DAYS, *both).exit_code == 0
    assert everything(results) == before
    rare = kept(results, ALERTS, 0, DAYS)
    assert decide(results, 0, DAYS, *TELLER, "--set", "every=5").exit_code == 0
    assert decide(results, 0, DAYS, "--strategy", "b=bar_tellers:BarTeller").exit_code == 0
    everything(results)
    now = kept(results, ALERTS, 0, DAYS)
    assert [row for row in now if row[1:4] == rare[0][1:4]] == rare
    assert {row[1:4] for row in now} == {
        ("teller", "bar_tellers:BarTeller", '{"every":"7"}'),
        ("teller", "bar_tellers:BarTeller", '{"every":"5"}'),
        ("b", "bar_tellers:BarTeller", "{}"),
    }
    assert everything(results)["signals"] == before["signals"]


def test_days_of_before_are_replaced_and_jobs_stay_done(results: Path) -> None:
    jobs = JobsTable(DatabaseResults(results / "results.sqlite"))
    jobs.put([JobRow(INSTRUMENT, day_text(1), "hash", 60, "{}", state="done")])
    assert decide(results, 0, DAYS, *TELLER, "--carry").exit_code == 0
    carried = kept(results, ALERTS, 1, 2)
    assert decide(results, 1, 2, *TELLER).exit_code == 0
    alone = kept(results, ALERTS, 1, 2)
    assert [row[6].split(", ")[1:] for row in alone] == [
        row[6].split(", ")[1:] for row in carried[: len(alone)]
    ]
    assert [row[4] for row in alone] == [*range(1, len(alone) + 1)]
    assert carried[0][4] > 1
    assert [job.state for job in jobs.all().values()] == ["done"]


def test_days_that_are_not_kept_are_said_and_counted(results: Path) -> None:
    done = decide(results, -1, DAYS + 2, *RARE)
    assert done.exit_code == 0
    lines = done.output.splitlines()
    said = f"{INSTRUMENT} 2025-06-08, 2025-06-12 to 2025-06-13: nothing is kept of it"
    assert said in lines
    assert "days: 3 decided on, 3 not kept" in lines
    summary = json.loads(decide(results, 1, DAYS + 1, *RARE, "--json").stdout)
    alerts = len(kept(results, ALERTS, 1, DAYS))
    assert summary | {"seconds": 0} == {
        "state": "finished", "days": 3, "decided": 2, "bars": summary["bars"], "signals": 0,
        "not_kept": [{"instrument": INSTRUMENT, "day": "2025-06-12"}], "lacking": [],
        "alerts": alerts, "seconds": 0,
    }  # fmt: skip
    assert summary["bars"] >= 7 * alerts > 0


def test_a_day_without_what_a_strategy_needs_is_said_and_the_others_are_decided_on(
    results: Path,
) -> None:
    repository = ParquetResults(results)
    day = Stretch(INSTRUMENT, 60, START + DAY, START + 2 * DAY)
    rows = repository.read(METRIC_VALUES, day)
    assert decide(results, 0, DAYS, *RARE, *asked("ofi")).exit_code == 0
    problem = "kept without the metric ofi{}; replay it with --metric"
    ofi = [row for row in rows if row[1] == "ofi"]
    for left, share in (([], ""), (ofi[1:], " in 1 of {:,} bars")):
        repository.write(day, {METRIC_VALUES: left})
        done = decide(results, 0, DAYS, *RARE, *asked("ofi"), "-q")
        assert done.exit_code == 1
        bars = len({row[0] for row in rows})
        assert (
            done.output
            == f"Error: {INSTRUMENT} 2025-06-10: " + problem.format(share.format(bars)) + "\n"
        )
        assert kept(results, ALERTS, 1, 2) == []
        assert kept(results, ALERTS, 0, 1)
        assert kept(results, ALERTS, 2, 3)
    summary = json.loads(decide(results, 0, DAYS, *RARE, *asked("ofi"), "--json").stdout)
    assert [day["day"] for day in summary["lacking"]] == ["2025-06-10"]
    assert summary["decided"] == 2


def test_a_metric_of_trades_is_as_in_a_run_in_a_window_of_book_rows_alone(tmp_path: Path) -> None:
    repository = ParquetResults(tmp_path)
    day = Stretch(INSTRUMENT, 60, START, START + DAY)
    times = [START, START + 60_000, START + 120_000]
    obi = (0.5,) * 4
    values: list[Row] = [(at, "ofi", "value", 1.0) for at in times]
    values += [
        (at, "cvd", name, value)
        for at in times[::2]
        for name, value in (("open", 0.0), ("high", 3.0), ("low", 0.0), ("close", 3.0))
    ]
    repository.write(
        day,
        {
            OHLC: [(at, 9.0, 9.0, 9.0, 9.0, 1.0, 1) for at in times[::2]],
            METRICS: [(at, *obi, *obi, 0.0, 3.0, 0.0, 3.0, 50) for at in times],
            METRIC_VALUES: sorted(values),
        },
    )
    found = KeptBars(repository, parse_metrics(["cvd", "ofi"])).day(day)
    assert [bar.start_ms for bar in found.ended] == times[:2]
    assert found.ended[1].values == {"cvd": (3.0,) * 4, "ofi": (1.0,)}
    assert (found.ended[1].close, found.ended[1].volume, found.ended[1].trades) == (None, 0.0, 0)
    assert found.going_on
    assert found.going_on.start_ms == times[2]


def test_metrics_without_prices_and_bars_of_an_older_version_are_not_decided_on(
    results: Path,
) -> None:
    repository = ParquetResults(results)
    day = Stretch(INSTRUMENT, 60, START, START + DAY)
    old: list[Row] = [(*row[:6], None) for row in repository.read(OHLC, day)]
    repository.write(day, {OHLC: old})
    other = Stretch(INSTRUMENT, 30, START, START + DAY)
    repository.write(other, {METRIC_VALUES: [(START, "ofi", "value", 1.0)]})
    assert "older version, without the number of trades" in decide(results, 0, 1, *RARE).output
    done = decide(results, 0, 1, *RARE, *asked("ofi"), "--window-seconds", "30")
    assert done.exit_code == 1
    assert "no prices are kept beside its metrics; keep bars of 30 s" in done.output


def test_where_nothing_is_kept_that_is_one_line_which_says_what_there_is(
    results: Path, tmp_path: Path
) -> None:
    done = decide(results, 0, DAYS, *RARE, "--window-seconds", "30")
    assert done.exit_code == 1
    assert done.exception
    assert str(done.exception) == (
        f"{results}: nothing is kept of BTC-USDT in bars of 30 s from 2025-06-09 00:00:00 to "
        "2025-06-12 00:00:00; there are BTC-USDT 2025-06-09 to 2025-06-11 in bars of 60 s"
    )
    missing = decide(tmp_path / "nothing", 0, DAYS, *RARE)
    assert str(missing.exception).endswith("; it has no results")
    assert not (tmp_path / "nothing").exists()


def test_a_strategy_that_fails_is_named_and_days_before_are_kept(results: Path) -> None:
    done = decide(results, 0, DAYS, "--strategy", "late=test_kept_decisions:FailingLate")
    assert done.exit_code == 1
    assert "late: the strategy failed at bar" in str(done.exception)
    assert {row[0] // DAY for row in kept(results, ALERTS, 0, DAYS)} == {START // DAY}


@dataclass
class FailingLate:
    """Fail on the second day."""

    def on_bar(self, bar: Bar) -> Sequence[Alert]:
        if bar.start_ms >= START + DAY:
            raise RuntimeError("no more")
        return [Alert(instrument=bar.instrument, time_ms=bar.end_ms, text="well")]


@dataclass
class Stopping:
    """Press Ctrl+C, once."""

    is_done = False

    def on_bar(self, bar: Bar) -> Sequence[Alert]:
        if not self.is_done:
            self.is_done = True
            os.kill(os.getpid(), signal.SIGINT)
        return [Alert(instrument=bar.instrument, time_ms=bar.end_ms, text="well")]


def test_stopped_it_ends_after_the_day_in_hand(results: Path) -> None:
    done = decide(results, 0, DAYS, "--strategy", "s=test_kept_decisions:Stopping")
    assert done.exit_code == 130
    assert "days: 1 decided on, 2 left" in done.output
    assert {row[0] // DAY for row in kept(results, ALERTS, 0, DAYS)} == {START // DAY}


def test_one_command_at_a_time_decides_on_results(results: Path) -> None:
    lock = OutputLock(results, LOCK_NAME)
    done = decide(results, 0, DAYS, *RARE)
    lock.release()
    assert done.exit_code == 1
    assert f"pid {os.getpid()}, decide on it" in str(done.exception)
    assert decide(results, 0, DAYS, *RARE).exit_code == 0
    assert not (results / LOCK_NAME).exists()


def test_the_tables_can_be_asked_for_settings(results: Path) -> None:
    assert decide(results, 0, 1, *RARE).exit_code == 0
    with closing(sqlite3.connect(results / "results.sqlite")) as connection:
        query = "SELECT settings ->> 'every', count(*) FROM alerts GROUP BY settings"
        assert connection.execute(query).fetchall() == [("7", len(kept(results, ALERTS, 0, 1)))]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "needs a strategy"),
        (("--strategy", "order-flow"), "order-flow has no method on_bar"),
        ((*RARE, "--window-seconds", "7"), "a window must divide it"),
        ((*RARE, "--metric", "nothing"), "there is no metric of this name"),
        ((*RARE, "--set", "evry=3"), "did you mean every"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(
    results: Path, words: Sequence[str], why: str
) -> None:
    done = decide(results, 0, DAYS, *words)
    assert why in str(done.exception)
    assert everything(results) == {"alerts": [], "signals": []}
