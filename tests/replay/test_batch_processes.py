"""Batches by real processes: on one machine, on a dask cluster, and killed in the middle."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from batches import (
    NAMES,
    Inline,
    damage,
    files_of,
    finish,
    path_of,
    rows_of,
    start_batch,
    write_market,
)
from recording_factory import DAY, START

from formats.jobs_table import JobRow, JobsTable
from formats.results import DATABASE_NAME
from formats.results_database import DatabaseResults
from replay import schedulers
from replay.batch import BatchOptions, Storage
from replay.schedulers import SchedulerError, open_scheduler

pytest.importorskip("pyarrow", reason="results are Parquet files: uv sync --group data")
pytest.importorskip("distributed", reason="a cluster needs dask: uv sync --group batch")
psutil: Any = pytest.importorskip("psutil", reason="comes with dask")

pytestmark = pytest.mark.thorough
DAYS = 1
DEADLINE_SECONDS = 120


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day of two instruments: two jobs, most of which is the start of a process."""
    return write_market(tmp_path_factory.mktemp("market") / "data", DAYS, 1_000)


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a batch that nothing happens to, made in this process."""
    results = tmp_path_factory.mktemp("undisturbed") / "results"
    with closing(Storage(results, BatchOptions())) as storage:
        todo = storage.plan(NAMES, data, START, START + DAYS * DAY)
        assert storage.run(todo, Inline())
    return results


def until(ready: Callable[[], Any]) -> Any:
    """Wait for something and return it."""
    end = time.monotonic() + DEADLINE_SECONDS
    while not (found := ready()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)
    return found


def jobs_under(process: "subprocess.Popen[str]") -> list[Any]:
    """Return the processes of jobs that a batch has started, itself or by its workers."""
    found = []
    with suppress(psutil.Error):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.Error):
                if child.cmdline()[-2:] == schedulers.COMMAND[-2:]:
                    found.append(child)
    return found


def has_jobs_or_has_ended(process: "subprocess.Popen[str]") -> bool:
    return bool(jobs_under(process)) or process.poll() is not None


def rows(results: Path) -> list[JobRow]:
    return list(JobsTable(DatabaseResults(results / DATABASE_NAME)).all().values())


def states(results: Path) -> list[str]:
    if not (results / DATABASE_NAME).exists():
        return []
    return [row.state for row in rows(results)]


def same(results: Path, other: Path) -> None:
    assert files_of(results) == files_of(other)
    for name in ("BTC-USDT", "ETH-USDT"):
        assert rows_of(results, DAYS, name) == rows_of(other, DAYS, name)


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """Start a scheduler and a worker as a user would, in another folder; give the address."""
    dask = [sys.executable, "-m", "dask"]
    quiet: dict[str, Any] = {"cwd": folder, "stdout": subprocess.DEVNULL}
    words = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    with subprocess.Popen([*dask, *words], **quiet, stderr=subprocess.PIPE, text=True) as scheduler:
        assert scheduler.stderr is not None
        lines = iter(scheduler.stderr.readline, "")
        found = (re.search(r"tcp://[\d.]+:\d+", line) for line in lines)
        address = next(match[0] for match in found if match)
        words = ["worker", address, "--nthreads", "2", "--no-nanny", "--no-dashboard"]
        with subprocess.Popen([*dask, *words], **quiet, stderr=subprocess.DEVNULL) as workers:
            try:
                yield address
            finally:
                # Not asked to stop: a worker that is, while its scheduler says that it closes, may
                # cancel its own end half way and stay for good (distributed 2026.8).
                workers.kill()
                scheduler.kill()


def test_a_cluster_by_address_makes_the_same_files(
    data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    with cluster(tmp_path) as address:
        results = tmp_path / "results"
        code, summary = finish(start_batch(data, results, DAYS, "--scheduler", address))
    assert (code, summary["done"]) == (0, 2 * DAYS)
    same(results, undisturbed)


def test_a_scheduler_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedulers, "CONNECT_SECONDS", 0.5)
    with pytest.raises(SchedulerError, match=r"answers at tcp://127\.0\.0\.1:9; start one"):
        open_scheduler("tcp://127.0.0.1:9", None)


def test_a_cluster_of_this_machine_makes_the_same_files_though_a_worker_is_killed(
    data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    process = start_batch(data, tmp_path, DAYS, "--scheduler", "local", "--workers", "2")
    job = until(lambda: jobs_under(process))[0]
    worker = job.parent()
    assert worker.pid != process.pid
    worker.kill()
    until(lambda: not job.is_running() or job.status() == "zombie")  # it ends with its worker
    code, summary = finish(process)
    assert (code, summary["done"], summary["failed"]) == (0, 2 * DAYS, [])
    assert {row.attempts for row in rows(tmp_path)} == {1}
    same(tmp_path, undisturbed)


def test_a_driver_that_is_killed_costs_what_was_in_hand(
    data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    process = start_batch(data, tmp_path, DAYS)
    until(lambda: "done" in states(tmp_path))
    job = until(lambda: jobs_under(process))[0]
    process.kill()
    process.communicate()
    until(lambda: not job.is_running() or job.status() == "zombie")
    code, summary = finish(start_batch(data, tmp_path, DAYS, "--workers", "2"))
    assert code == 0
    assert summary["skipped"] >= 1
    assert summary["skipped"] + summary["done"] == 2 * DAYS
    same(tmp_path, undisturbed)


SCHEDULERS = ["none", pytest.param("local", marks=pytest.mark.slow)]


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_ctrl_c_ends_a_batch_without_a_traceback_and_says_how_far_it_came(
    data: Path, tmp_path: Path, scheduler: str
) -> None:
    process = start_batch(data, tmp_path, DAYS, "--workers", "2", "--scheduler", scheduler)
    until(lambda: jobs_under(process))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all its processes
    out, err = process.communicate(timeout=DEADLINE_SECONDS)
    summary = json.loads(out)
    assert (process.returncode, summary["state"], summary["failed"]) == (130, "stopped", [])
    assert "Traceback" not in err
    assert "failed" not in states(tmp_path)


GREEDY = """
import time
from metrics.volume_metrics import TradeCount

class Sleeps(TradeCount):
    def add_trades(self, trades):
        time.sleep(3600)

class Eats(TradeCount):
    def add_trades(self, trades):
        self.eaten = bytearray(1 << 30)
"""


@pytest.mark.parametrize(
    ("option", "why"),
    [
        (("--metric", "greedy:Sleeps", "--time-limit", "1"), "took longer than 1 s"),
        (("--metric", "greedy:Eats", "--memory-mb", "512"), "needs more memory than 512 MB"),
    ],
    ids=["time", "memory"],
)
def test_a_job_over_its_limits_fails_twice_and_says_which(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: tuple[str, ...],
    why: str,
) -> None:
    (tmp_path / "greedy.py").write_text(GREEDY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    results = tmp_path / "results"
    code, summary = finish(start_batch(data, results, 1, *option, names=("BTC-USDT",)))
    (failed,) = summary["failed"]
    assert (code, failed["attempts"], failed["error"]) == (1, 2, why)


@pytest.mark.slow
def test_kills_at_random_change_nothing_and_poison_fails_alone(tmp_path: Path) -> None:
    days = 20
    data = write_market(tmp_path / "data", days, 6_000)
    poison = path_of(data, "ETH-USDT", 7)
    damage(poison)
    well = tmp_path / "well"
    code, summary = finish(start_batch(data, well, days, "--workers", "2"))
    assert (code, summary["done"], len(summary["failed"])) == (1, 2 * days - 1, 1)
    results, draw, kills = tmp_path / "results", random.Random(12), 0
    while kills < 10:
        process = start_batch(data, results, days, "--scheduler", "local", "--workers", "2")
        while process.poll() is None and kills < 10:
            until(partial(has_jobs_or_has_ended, process))
            time.sleep(draw.random())
            found = jobs_under(process)
            if not found:
                continue
            kills += 1
            if draw.random() < 0.4:
                process.kill()
            else:
                with suppress(psutil.Error):
                    found[0].parent().kill()
        process.kill()
        process.communicate()
        done = {row.day for row in rows(results) if row.state == "done"}
        assert all(row.state != "failed" or row.day == "2025-06-16" for row in rows(results)), done
        if len(done) == days and kills < 10:  # all is done: begin again, in another place
            results = tmp_path / f"results_{kills}"
    code, summary = finish(start_batch(data, results, days, "--workers", "2"))
    assert (code, [(f["instrument"], f["day"]) for f in summary["failed"]]) == (
        1,
        [("ETH-USDT", "2025-06-16")],
    )
    assert str(poison) in summary["failed"][0]["error"]
    assert files_of(results) == files_of(well)
