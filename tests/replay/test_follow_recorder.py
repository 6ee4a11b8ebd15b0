"""Following beside the real recorder, which records the simulator, gives what a replay gives."""

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from desk_runs import DeskRun, desk_run, wait_until
from places import PROJECT
from real_recordings import DATA, needs_recordings
from replay_follower import Follower, what_is_said

from orderflow.times import parse_moment
from synthetic_market import NORMAL, write_recording

PATIENCE = 60.0


class Source(NamedTuple):
    """A recording, and how fast it is played; without a `file` it is made up, over a midnight."""

    instrument: str
    span: tuple[str, str]
    speed: str
    file: Path | None = None
    minutes: int = 1
    """So long before midnight it begins, and as long after it ends."""

    def path(self, directory: Path) -> Path:
        if self.file:
            return self.file
        path = directory / "source.db"
        midnight = parse_moment("", "2025-06-10T00:00")
        around = 60_000 * self.minutes
        write_recording(path, self.instrument, midnight - around, midnight + around, density=NORMAL)
        return path


OVER_MIDNIGHT = Source("BTC-USDT", ("2025-06-09", "2025-06-11"), "5")
LONG_OVER_MIDNIGHT = OVER_MIDNIGHT._replace(minutes=8)
REAL = Source(
    "ETH-USDT", ("2024-08-08", "2024-08-10"), "3.5", DATA / "binance_spot_ethusdt_20240808.db"
)


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
        return connection.execute(sql).fetchall()


def rows_in(directory: Path) -> dict[str, int]:
    """Count what a recorder's files hold, as the status of a replay does."""
    files = sorted(directory.glob("*.db"))
    return {
        name: sum(query(path, f"SELECT count(*) FROM {table}")[0][0] for path in files)
        for name, table in (("rows", "book"), ("trades", "trades"))
    }


def losses_in(directory: Path) -> list[str]:
    kinds = "('recording', 'made_snapshot', 'clock_drift', 'duplicates')"
    sql = f"SELECT kind FROM recorder_events WHERE kind NOT IN {kinds}"
    return [kind for path in sorted(directory.glob("*.db")) for (kind,) in query(path, sql)]


@contextmanager
def recorder(instrument: str, port: int, into: Path) -> Iterator["subprocess.Popen[str]"]:
    url = f"ws://127.0.0.1:{port}/ws/v5/public"
    words = ["record", "okx", instrument, "--url", url, "--data-dir", into, "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "recordings", *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=PROJECT,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def follower(source: Source, data: Path, out: Path) -> Iterator[Follower]:
    found = Follower(data, out, span=(source.instrument, *source.span))
    try:
        yield found
    finally:
        found.kill()


def wait_for_end(run: DeskRun, record: "subprocess.Popen[str]", source: Source) -> None:
    """Wait until all is fetched and sent, in at most 20 minutes."""

    def is_over() -> bool:
        assert record.poll() is None
        return "all rows are fetched and sent" in run.text

    wait_until(is_over, 1200.0)


def check_beside_recorder(source: Source, directory: Path, kills: int) -> None:
    """Record the simulator and follow; all must be as a plain replay has it afterwards."""
    path, into = source.path(directory), directory / "into"
    into.mkdir()
    last = "SELECT max(timestamp) FROM book"
    newest = query(path, f"{last} WHERE instrument = '{source.instrument}'")
    arguments = (source.instrument, *source.span, "--data-dir", path, "--exchange", "okx")
    with (
        follower(source, into, directory / "out") as following,
        desk_run(*arguments, "--speed", source.speed) as run,
    ):
        port = run.port("okx")
        for _ in range(kills):
            before = rows_in(into)["rows"]
            with recorder(source.instrument, port, into) as record:
                wait_until(lambda before=before: rows_in(into)["rows"] > before + 100)  # type: ignore[misc]
                record.kill()
        with recorder(source.instrument, port, into) as record:
            wait_for_end(run, record, source)
            wait_until(lambda: query(max(into.glob("*.db")), last) == newest)
            record.send_signal(signal.SIGINT)
            out, _ = record.communicate(timeout=PATIENCE)
        assert record.returncode == 130
        said = json.loads(out)["instruments"][source.instrument]["losses"]
        assert set(said) - {"trades_missed"} == ({"killed"} if kills else set())
        lost = [kind for kind in losses_in(into) if kind != "trades_missed"]
        assert lost == ["killed"] * kills
        following.wait_for(**rows_in(into), behind_ms=0)
        summary = following.stop()
        assert summary["recorder_losses"].get("killed", 0) == kills
        bars, plain = following.plain()
        assert what_is_said(summary) == what_is_said(plain)
        assert following.bars() == bars
    assert {path.suffix for path in into.iterdir()} == {".db", ".lock"}


@pytest.mark.parametrize(
    ("source", "kills"),
    [
        pytest.param(OVER_MIDNIGHT, 1, marks=pytest.mark.thorough, id="over midnight"),
        pytest.param(LONG_OVER_MIDNIGHT, 3, marks=pytest.mark.slow, id="minutes over midnight"),
        pytest.param(REAL, 3, marks=[pytest.mark.slow, needs_recordings], id="a real recording"),
    ],
)
def test_beside_a_recorder_that_is_killed_the_files_are_those_of_a_plain_replay(
    tmp_path: Path, source: Source, kills: int
) -> None:
    check_beside_recorder(source, tmp_path, kills)
