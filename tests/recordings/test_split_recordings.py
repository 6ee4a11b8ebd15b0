"""A recording cut into files, in whatever order its rows lie, is the same recording."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import PROJECT
from recording_factory import (
    BY_TIMESTAMP,
    START,
    BookRow,
    TradeRow,
    book_rows,
    change,
    events,
    expected_events,
    random_times,
    shuffled_within,
    small_batches,
    split,
    trade_rows,
    write_recording,
)

from db_interpreter import ReadCounts

CLEAN = ReadCounts()


def write_parts(
    directory: Path, book: Sequence[Sequence[BookRow]], trades: Sequence[Sequence[TradeRow]]
) -> list[Path]:
    """Write part after part of the two tables, each into a file of its own."""
    number = max(len(book), len(trades))
    books = [*book, *[[]] * (number - len(book))]
    all_trades = [*trades, *[[]] * (number - len(trades))]
    return [
        write_recording(directory / f"{place}.db", rows, traded)
        for place, (rows, traded) in enumerate(zip(books, all_trades, strict=True))
    ]


@pytest.mark.parametrize("cuts", [[], [1], [250, 499], [100, 100, 300], [120, 121, 122, 380]])
def test_any_split_of_book_and_trades_is_the_same_stream(tmp_path: Path, cuts: list[int]) -> None:
    book, trades = book_rows(random_times(1, 500)), trade_rows(random_times(2, 500))
    other_cuts = [500 - cut for cut in cuts]
    paths = write_parts(tmp_path, split(book, cuts), split(trades, other_cuts))
    with small_batches(16, 16):
        assert events(paths) == (expected_events(book, trades), CLEAN)


@pytest.mark.parametrize("cuts", [[5], [3, 6], [1, 2, 3, 4], [0, 9, 10]])
def test_a_split_inside_one_timestamp_keeps_equal_rows_and_trades(
    tmp_path: Path, cuts: list[int]
) -> None:
    # Equal in all but their ids: only that the files touch tells them from repeats.
    book = [BookRow(number, START, "[]", "[]") for number in range(10)]
    trades = [TradeRow(number, START) for number in range(10)]
    paths = write_parts(tmp_path, split(book, cuts), split(trades, cuts))
    assert events(paths) == (expected_events(book, trades), CLEAN)


def test_a_recording_in_a_directory_of_files_may_have_them_in_any_order(tmp_path: Path) -> None:
    book = book_rows(random_times(3, 300))
    paths = write_parts(tmp_path, split(book, [80, 160, 240]), [])
    expected = expected_events(book, [])
    assert events([paths[2], paths[0], paths[3], paths[1]])[0] == expected


@pytest.mark.parametrize("batch", [3, 64])
def test_what_a_later_file_repeats_of_an_earlier_one_is_skipped_and_counted(
    tmp_path: Path, batch: int
) -> None:
    # Beginning and ending within a timestamp would leave in doubt what is a repeat.
    times = [START + number // 2 for number in range(300)]
    book = book_rows(times)
    trades = [row._replace(trade_id=None) for row in trade_rows(times)]
    parts = [slice(0, 140), slice(100, 220), slice(180, 300)]
    paths = write_parts(tmp_path, [book[p] for p in parts], [trades[p] for p in parts])
    with small_batches(batch, batch):
        found, counts = events(paths)
    assert found == expected_events(book, trades)
    assert (counts.repeated_rows, counts.repeated_trades) == (80, 80)
    assert (counts.late_rows, counts.late_trades) == (0, 0)


def test_a_file_within_another_is_repeated_as_a_whole(tmp_path: Path) -> None:
    book = book_rows(range(START, START + 100))
    paths = write_parts(tmp_path, [book, book[20:60]], [])
    found, counts = events(paths)
    assert found == expected_events(book, [])
    assert counts.repeated_rows == 40


def test_the_same_file_twice_is_used_once(tmp_path: Path) -> None:
    book, trades = book_rows(random_times(4, 200)), trade_rows(random_times(5, 200))
    (path,) = write_parts(tmp_path, [book], [trades])
    found, counts = events([path, path])
    assert found == expected_events(book, trades)
    assert (counts.repeated_rows, counts.repeated_trades) == (200, 200)


def test_trades_repeated_by_a_file_that_only_touches_are_known_by_their_id(tmp_path: Path) -> None:
    trades = trade_rows([START, START + 1, START + 1])
    paths = write_parts(tmp_path, [], [trades, trades[1:]])
    found, counts = events(paths)
    assert found == expected_events([], trades)
    assert counts.repeated_trades == 2


def test_files_of_different_units_of_time_follow_one_another(tmp_path: Path) -> None:
    book = book_rows(range(START, START + 100_000, 1000))
    paths = write_parts(tmp_path, split(book, [50]), [])
    change(paths[1], "UPDATE book SET timestamp = timestamp / 1000")
    assert events(paths) == (expected_events(book, []), CLEAN)


moments = st.lists(st.integers(START, START + 25), max_size=40).map(sorted)
cuts_of = st.lists(st.integers(0, 40), max_size=4)


@pytest.mark.thorough
@settings(max_examples=60, deadline=None)
@given(
    book_times=moments,
    trade_times=moments,
    book_cuts=cuts_of,
    trade_cuts=cuts_of,
    kinds=st.integers(1, 3),
    batch=st.integers(1, 9),
    reorder=st.integers(1, 9),
    seed=st.integers(0, 1000),
    index=st.sampled_from([(), BY_TIMESTAMP]),
    settled=st.booleans(),
    window=st.tuples(st.integers(START, START + 25), st.integers(START, START + 26)),
)
def test_any_split_order_and_index_equal_a_brute_force_join(
    book_times: list[int],
    trade_times: list[int],
    book_cuts: list[int],
    trade_cuts: list[int],
    kinds: int,
    batch: int,
    reorder: int,
    seed: int,
    index: tuple[str, ...],
    settled: bool,
    window: tuple[int, int],
) -> None:
    # Few kinds of rows, so that many are equal and must yet not be taken for repeats.
    book = [row._replace(bids=str((row.id or 0) % kinds)) for row in book_rows(book_times)]
    trades = [
        row._replace(price=float((row.id or 0) % kinds + 1), trade_id=None)
        for row in trade_rows(trade_times)
    ]
    books = split(book, [min(cut, len(book)) for cut in book_cuts])
    traded = split(trades, [min(cut, len(trades)) for cut in trade_cuts])
    with TemporaryDirectory() as directory, small_batches(batch, reorder):
        paths = [
            write_recording(
                Path(directory) / f"{part}.db",
                shuffled_within(books[part] if part < len(books) else [], reorder, seed),
                shuffled_within(traded[part] if part < len(traded) else [], reorder, seed),
                index=index,
                id_column="id INTEGER, ",
                settled=settled,
            )
            for part in range(max(len(books), len(traded)))
        ]
        low, high = window
        assert events(paths) == (expected_events(book, trades), CLEAN)
        bounded = events(paths, start_ms=low, end_ms=high)
    assert bounded == (expected_events(book, trades, low, high), CLEAN)


# -- memory

MEASURE = """
import sys
from pathlib import Path
from recordings.discovery import find_recording
from replay.run import Replay, ReplayOptions
from replay.run_files import RunFiles
path = Path(sys.argv[1])
options = ReplayOptions("BTC-USDT", 0, 10**14)
recording = find_recording("BTC-USDT", path.parent, 0, 10**14)
run = Replay(options, recording, RunFiles(path.parent / "out"))
run.run()
rows, trades = run.processor.rows, run.processor.trades
# Not getrusage: its peak begins with that of the process this one was forked from.
status = Path("/proc/self/status").read_text()
print(rows, trades, int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


def peak_memory(path: Path) -> tuple[int, int, int]:
    """Replay a recording in a process of its own; return rows, trades and its peak in MB."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, path],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    rows, trades, peak = map(int, done.stdout.split())
    return rows, trades, peak


@pytest.mark.thorough
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_recording_of_300_000_rows_is_replayed_in_bounded_memory(tmp_path: Path) -> None:
    side = "[" + ", ".join(['["30243.5", "0.25"]'] * 15) + "]"
    path = write_recording(tmp_path / "BTC-USDT.db")
    numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 299999) "
    change(
        path,
        numbers
        + f"INSERT INTO book(timestamp, bids, asks) SELECT {START} + i, '{side}', '[]' FROM n",
        numbers + "INSERT INTO trades(timestamp, price, size, side) "
        f"SELECT {START} + i / 3, 100.0, 1.0, 'buy' FROM n",
    )
    assert path.stat().st_size > 90e6
    rows, trades, peak = peak_memory(path)
    assert (rows, trades) == (300_000, 300_000)
    assert peak < 150


@pytest.mark.thorough
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_rows_of_megabytes_are_replayed_in_bounded_memory(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "BTC-USDT.db")
    numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 39) "
    bids, asks = (
        "[" + ",".join(f'["{first + place}.5","1"]' for place in range(100_000)) + "]"
        for first in (10**6, 10**7)
    )
    values = f"{START} + i, '{bids}', '{asks}'"
    change(path, f"{numbers}INSERT INTO book(timestamp, bids, asks) SELECT {values} FROM n")
    found, _, peak = peak_memory(path)
    assert found == 40
    assert peak < 160
