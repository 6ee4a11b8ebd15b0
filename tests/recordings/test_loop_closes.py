"""The loop: recording, store, publisher, recorder, recording; the books and trades are equal."""

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from places import PROJECT
from real_recordings import DATA, needs_recordings
from scripted_okx import PATIENCE, until

from exchanges.depth import TextBook
from exchanges.levels import Level, read_side
from orderflow.times import parse_moment
from synthetic_market import QUIET, write_recording

INSTRUMENT = "BTC-USDT"
DEPTH = 400


@contextmanager
def started(*arguments: object) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-m", *map(str, arguments)], stderr=subprocess.PIPE, text=True, cwd=PROJECT
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def publisher(store: Path, *options: object) -> Iterator[str]:
    """Publish a store; give back the URL."""
    how = ("--store", store, "--port", 0, "--poll-seconds", 0.02)
    with started("simulator", "publish", "okx", *how, *options) as process:
        assert process.stderr is not None
        yield process.stderr.readline().split()[1]


def query(path: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
        return connection.execute(sql, values).fetchall()


def last_time(directory: Path) -> int:
    found = [
        query(path, "SELECT max(timestamp) FROM (SELECT timestamp FROM book UNION ALL "
              "SELECT timestamp FROM trades)")[0][0] or 0
        for path in directory.glob("*.db")
    ]  # fmt: skip
    return max(found, default=0)


Row = tuple[int, str, str, bool]


def rows_of(paths: list[Path], instrument: str) -> Iterator[Row]:
    for path in paths:
        columns = {name for _, name, *_ in query(path, "PRAGMA table_info(book)")}
        action = "action = 'snapshot'" if "action" in columns else "0"
        sql = f"SELECT timestamp, bids, asks, {action} FROM book WHERE instrument = ? "
        for row in query(path, f"{sql} ORDER BY timestamp, id", instrument):
            yield cast(Row, row)


def books(rows: Iterator[Row]) -> dict[int, tuple[list[tuple[float, float]], ...]]:
    """Rebuild the book after the last row of each time, to the depth of the channel."""
    book = TextBook()
    found: dict[int, tuple[list[tuple[float, float]], ...]] = {}
    for timestamp, bids, asks, snapshot in rows:
        book.apply(read_side(bids)[0], read_side(asks)[0], snapshot=bool(snapshot))
        view = book.view(DEPTH)
        found[timestamp] = (numbers(view.bids), numbers(view.asks))
    return found


def numbers(levels: tuple[Level, ...]) -> list[tuple[float, float]]:
    return [(float(level.price), float(level.size)) for level in levels]


def trades_of(paths: list[Path], instrument: str) -> list[tuple[Any, ...]]:
    sql = (
        "SELECT trade_id, CAST(price AS REAL), CAST(size AS REAL), side, timestamp FROM trades "
        "WHERE instrument = ? ORDER BY timestamp, id"
    )
    found = [row for path in paths for row in query(path, sql, instrument)]
    return [(str(trade_id), *rest) for trade_id, *rest in found]


def losses(paths: list[Path]) -> list[tuple[str, int]]:
    kinds = "('recording', 'made_snapshot', 'clock_drift', 'duplicates')"
    sql = f"SELECT kind, count FROM recorder_events WHERE kind NOT IN {kinds} ORDER BY id"
    return [row for path in paths for row in query(path, sql)]


def whole_lines(path: Path) -> bytes:
    return path.read_bytes().rpartition(b"\n")[0]


def close_loop(
    source: Path,
    tmp_path: Path,
    instrument: str,
    span: tuple[str, str],
    speed: str,
    *publishing: object,
) -> list[Path]:
    """Take a recording through the loop; return the files that the recorder wrote.

    `publishing` are more options of the publisher.
    """
    store, into = tmp_path / "store", tmp_path / "into"
    end = query(source, "SELECT max(timestamp) FROM book WHERE instrument = ?", instrument)[0][0]
    common = ("--data-dir", source, "--store", store, "--speed", speed)
    fetch = ("simulator", "fetch", instrument, *span, *common)
    # Or all would be over before somebody listens. The next one goes on from there, at its pace.
    with started(*fetch):  # until a row is whole: one of 5,000 levels is seen while it is written
        until(lambda: any(b'"book"' in whole_lines(path) for path in store.glob("*/*.jsonl")))
    with (
        publisher(store, *publishing) as url,
        started("recordings", "record", "okx", instrument, "--url", url, "--data-dir",
                into) as record,
    ):  # fmt: skip
        until(lambda: last_time(into))
        with started(*fetch) as rest:
            assert rest.wait() == 0
        until(lambda: last_time(into) >= end, "the end did not come")
        record.send_signal(signal.SIGINT)
        assert record.wait(PATIENCE) == 130
    return sorted(into.glob("*.db"))


def check_equal(source: Path, recorded: list[Path], instrument: str, least: int) -> None:
    was, now = books(rows_of([source], instrument)), books(rows_of(recorded, instrument))
    common = was.keys() & now.keys()
    assert len(common) >= least
    assert [ms for ms in sorted(common) if was[ms] != now[ms]] == []
    traded = trades_of(recorded, instrument)
    assert traded
    wanted = trades_of([source], instrument)
    wanted = wanted[wanted.index(traded[0]) :]
    have = set(traded)
    missing = [trade for trade in wanted if trade not in have]
    assert traded == [trade for trade in wanted if trade in have]
    # On a busy machine the publisher may close a recorder that is slow; then that is counted.
    assert len(missing) == sum(n for kind, n in losses(recorded) if kind == "trades_missed")


@pytest.fixture(scope="module")
def midnight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / f"{INSTRUMENT}.db"
    start, end = (parse_moment("", t) for t in ("2025-06-09T23:59:00", "2025-06-10T00:01:00"))
    write_recording(path, INSTRUMENT, start, end, density=QUIET)
    return path


SPAN = ("2025-06-09", "2025-06-11")


@pytest.mark.thorough
def test_what_is_recorded_of_the_simulator_over_midnight_equals_its_source(
    midnight: Path, tmp_path: Path
) -> None:
    recorded = close_loop(midnight, tmp_path, INSTRUMENT, SPAN, "20")
    assert [path.stem[-8:] for path in recorded] == ["25-06-09", "25-06-10"]
    check_equal(midnight, recorded, INSTRUMENT, least=300)
    assert losses(recorded) == []


@needs_recordings
@pytest.mark.parametrize(
    ("stem", "instrument", "speed", "least"),
    [
        pytest.param(
            *("binance_spot_ethusdt_20240808", "ETH-USDT", "20", 5000), marks=pytest.mark.slow
        ),
        pytest.param(
            *("binance_usdm_btcusdt_20240718", "BTC-USDT-SWAP", "20", 5000), marks=pytest.mark.slow
        ),
        pytest.param(*("okx_v5_202205", "BTC-USDT", "1", 30), marks=pytest.mark.thorough),
    ],
)
def test_what_is_recorded_of_a_real_recording_equals_it(
    stem: str, instrument: str, speed: str, least: int, tmp_path: Path
) -> None:
    source = DATA / f"{stem}.db"
    recorded = close_loop(source, tmp_path, instrument, ("2022-01-01", "2025-01-01"), speed)
    check_equal(source, recorded, instrument, least)


@pytest.mark.thorough
def test_three_gaps_and_a_disconnect_are_listed_and_nothing_else(
    midnight: Path, tmp_path: Path
) -> None:
    # Seconds of the source: at 10 times its pace the recorder has 2.5 s for each.
    faults = ("gap@+20", "gap@+45", "gap@+70", "disconnect@+95")
    log = tmp_path / "faults.jsonl"
    options = [option for fault in faults for option in ("--fault", fault)]
    recorded = close_loop(midnight, tmp_path, INSTRUMENT, SPAN, "10", *options, "--fault-log", log)
    assert [json.loads(line)["asked"] for line in log.read_text().splitlines()] == list(faults)
    found = [loss for loss in losses(recorded) if loss[0] != "trades_missed"]
    assert found == [("sequence_gap", 1)] * 3 + [("disconnected", 1)]
    counts = subprocess.run(
        [sys.executable, "main.py", INSTRUMENT, *SPAN, "--data-dir", tmp_path / "into", "--no-ui",
         "--output-dir", tmp_path / "out", "--json"],
        capture_output=True, text=True, check=True, cwd=PROJECT,
    ).stdout  # fmt: skip
    assert '"sequence_gaps":3,' in counts
