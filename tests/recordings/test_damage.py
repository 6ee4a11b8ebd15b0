"""Damage that SQLite itself says nothing about must not pass in silence, and nothing else must."""

import os
import pickle
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from recording_factory import (
    BY_TIMESTAMP,
    START,
    Event,
    book_rows,
    change,
    expected_events,
    query,
    random_of,
    settle,
    trade_rows,
    write_recording,
)

from db_interpreter import DBInterpreter
from orderflow.errors import RecordingError
from recordings.recorded_table import RecordedTable
from recordings.table_spec import BOOK, TRADES

PAGE = 4096
ADVICE = "what could be read is used, copy the file again or recover it with sqlite3 .recover"
INDEXES = [(), BY_TIMESTAMP]


def read(path: Path, end_ms: int | None = None) -> tuple[list[Event], str | None]:
    """Read all there is; return it with what ended it, if anything did."""
    found: list[Event] = []
    error = None
    try:
        for update, trades in DBInterpreter(path, end_ms=end_ms).stream():
            rows = [trade[1:] for trade in trades]
            found.append(Event(update.timestamp, update.bids, update.asks, rows))
    except RecordingError as caught:
        error = caught
    return found, None if error is None else str(error)


def cut(path: Path, size: int, *, live: bool = False) -> Path:
    with path.open("r+b") as file:
        file.truncate(size)
    if not live:
        settle(path)
    return path


def add_to_end(path: Path, content: bytes) -> Path:
    with path.open("ab") as file:
        file.write(content)
    settle(path)
    return path


def patch(path: Path, offset: int, content: bytes) -> Path:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)
    settle(path)
    return path


def page_of(path: Path, name: str) -> int:
    """Return the number of the root page of a table or index, from 0."""
    number: int = query(path, f"SELECT rootpage FROM sqlite_master WHERE name = '{name}'")[0][0]
    return number - 1


def with_index_out_of_order(path: Path, table: str = "book") -> Path:
    """Swap the first two entries of a table's index, which has one page."""
    start = page_of(path, f"{table}_0") * PAGE
    content = path.read_bytes()
    assert content[start] == 10, "the index must be one leaf"
    first, second = content[start + 8 : start + 10], content[start + 10 : start + 12]
    return patch(path, start + 8, second + first)


# -- the length of a file


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("lost", [1, 700, PAGE - 1])
@pytest.mark.parametrize("index", INDEXES)
def test_a_file_cut_inside_its_last_page_gives_what_is_left_and_fails(
    tmp_path: Path, index: tuple[str, ...], lost: int, live: bool
) -> None:
    path = write_recording(tmp_path / "a.db", book_rows([START]), trade_rows([START] * 775))
    change(path, *(f"CREATE INDEX trades_0 ON trades({on})" for on in index))
    size = path.stat().st_size
    cut(path, size - lost, live=live)
    found, error = read(path)
    assert f"cut short, it has {size - lost:,} bytes and its header counts" in str(error)
    assert f"{size // PAGE} pages of 4,096 bytes" in str(error)
    assert "copy the file again or recover it with sqlite3 .recover" in str(error)
    assert found[0].timestamp == START


@pytest.mark.parametrize("live", [False, True])
def test_a_file_that_lost_whole_pages_gives_what_is_left_and_fails(
    tmp_path: Path, live: bool
) -> None:
    path = write_recording(tmp_path / "a.db", book_rows([START]), trade_rows([START] * 775))
    cut(path, path.stat().st_size - 2 * PAGE, live=live)
    found, error = read(path)
    assert "cut short, its" in str(error)
    assert "bytes are fewer pages than its header counts" in str(error)
    assert 0 < len(found[0].trades) < 775


def test_a_cut_file_fails_though_the_range_ends_before_what_is_lost(tmp_path: Path) -> None:
    # Which rows are lost nobody knows: an index may be read to its end and lack some.
    times = range(START, START + 700)
    path = write_recording(tmp_path / "a.db", book_rows(times), trade_rows(times))
    cut(path, path.stat().st_size - 1)
    found, error = read(path, end_ms=START + 10)
    assert len(found) == 10
    assert f"{path}: rows may be missing (cut short" in str(error)
    assert str(error).endswith(ADVICE)


@pytest.mark.parametrize("page_size", [512, 65536])
def test_the_length_is_counted_in_pages_of_any_size(tmp_path: Path, page_size: int) -> None:
    path = write_recording(tmp_path / "a.db", book_rows([START]))
    change(path, f"PRAGMA page_size = {page_size}", "VACUUM")
    assert read(path)[1] is None
    cut(path, path.stat().st_size - 1)
    assert f"pages of {page_size:,} bytes" in str(read(path)[1])


def test_a_count_of_pages_that_an_old_writer_left_is_not_believed(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.db", book_rows([START]))
    size = path.stat().st_size
    # Writers before SQLite 3.7 moved the change counter on, and not the count beside it.
    patch(path, 24, (7).to_bytes(4, "big") + (99).to_bytes(4, "big"))
    assert read(path)[1] is None
    cut(path, size - 1)
    assert "cut short" in str(read(path)[1])


def test_what_follows_the_last_page_fails_and_zeros_do_not(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.db", book_rows([START]))
    size = path.stat().st_size
    add_to_end(path, bytes(3 * PAGE))
    found, error = read(path)
    assert (len(found), error) == (1, None)
    add_to_end(path, b"x")
    found, error = read(path)
    assert f"longer than it says, it has {size + 3 * PAGE + 1:,} bytes and" in str(error)
    assert len(found) == 1


WRITER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
db.execute(f"PRAGMA journal_mode = {sys.argv[2]}")
db.execute("PRAGMA synchronous = OFF")
db.execute("PRAGMA wal_autocheckpoint = 5")
for number in range(400):
    db.execute("INSERT INTO book(timestamp, bids, asks) VALUES (?, ?, '[]')", (number, "x" * 3000))
    if number % 50 == 0 and sys.argv[2] == "WAL":
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
"""


@pytest.mark.parametrize("mode", ["DELETE", "PERSIST", "WAL"])
def test_a_file_that_grows_under_a_recorder_is_never_taken_for_cut(
    tmp_path: Path, mode: str
) -> None:
    path = write_recording(tmp_path / "a.db", settled=False)
    with subprocess.Popen([sys.executable, "-c", WRITER, path, mode]) as writer:
        looks = [RecordedTable(path, BOOK).damage]
        while writer.poll() is None:
            looks.append(RecordedTable(path, BOOK).damage)
    assert writer.returncode == 0
    assert set(looks) == {None}
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM book").fetchone() == (400,)


# -- the order of an index


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("unit", [1, 1000])
@pytest.mark.parametrize("table", ["book", "trades"])
def test_an_index_out_of_order_fails_whether_the_file_is_settled_or_not(
    tmp_path: Path, table: str, unit: int, live: bool
) -> None:
    times = [(START + n) * unit for n in range(90)]
    path = write_recording(
        tmp_path / "a.db", book_rows(times), trade_rows(times), index=BY_TIMESTAMP
    )
    with_index_out_of_order(path, table)
    if live:
        path.touch()
    error = read(path)[1]
    assert "cannot be read further (its rows are not in the order of their keys)" in str(error)
    assert f"rows of table {table}, up to 2025-06-09 00:00:00 UTC" in str(error)


def test_order_is_checked_from_one_batch_to_the_next(tmp_path: Path) -> None:
    times = range(START, START + 5000)
    path = write_recording(tmp_path / "a.db", book_rows(times), None, index=BY_TIMESTAMP)
    content = path.read_bytes()
    pages = [content[start : start + PAGE] for start in range(0, len(content), PAGE)]
    leaves = [n for n, page in enumerate(pages) if page[0] == 10]
    # Leaves hold the entries in order; a swap shows only where one follows the other.
    for batch in (1, 7, 2048):
        pages[leaves[3]], pages[leaves[4]] = pages[leaves[4]], pages[leaves[3]]
        path.write_bytes(b"".join(pages))
        settle(path)
        table = RecordedTable(path, replace(BOOK, batch=batch))
        with pytest.raises(RecordingError, match="not in the order of their keys"):
            list(table.batches())
        pages[leaves[3]], pages[leaves[4]] = pages[leaves[4]], pages[leaves[3]]


def test_rows_out_of_the_order_of_their_ids_fail(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.db", book_rows(range(START, START + 30)), None)
    start = page_of(path, "book") * PAGE
    content = path.read_bytes()
    first, second = content[start + 8 : start + 10], content[start + 10 : start + 12]
    patch(path, start + 8, second + first)
    assert "not in the order of their keys" in str(read(path)[1])


def test_an_index_in_order_is_no_damage_where_times_are_no_integers(tmp_path: Path) -> None:
    for times in (
        [f"2025-06-09T00:00:{n:02}Z" for n in range(60)],
        [START + n / 4 for n in range(60)],
        [START // 1000 + n // 7 for n in range(60)],
        [None, "n/a", *range(START, START + 60)],
    ):
        path = tmp_path / "a.db"
        path.unlink(missing_ok=True)
        write_recording(path, book_rows(times), index=BY_TIMESTAMP, time_type="")
        found, error = read(path)
        assert error is None
        assert len(found) == 60


# -- an index in order that is not the table's


def times_far_apart(count: int = 90) -> list[int]:
    return [START + 1000 * n for n in range(count)]


def entry_of(path: Path, number: int) -> int:
    """Return the offset of an entry in the one page of the book's index."""
    start = page_of(path, "book_0") * PAGE
    content = path.read_bytes()
    assert content[start] == 10, "the index must be one leaf"
    at = start + 8 + 2 * number
    return start + int.from_bytes(content[at : at + 2], "big")


def with_last_byte_of_entry(path: Path, number: int, change: int) -> Path:
    """Change the key of the row to which an entry of the book's index belongs."""
    begin = entry_of(path, number)
    end = begin + 1 + path.read_bytes()[begin]
    return patch(path, end - 1, bytes([path.read_bytes()[end - 1] ^ change]))


@pytest.mark.parametrize("instrument", [None, "A-B"])
@pytest.mark.parametrize("change", [1, 2, 127])
def test_an_index_entry_of_another_row_fails(
    tmp_path: Path, change: int, instrument: str | None
) -> None:
    rows = book_rows(times_far_apart())
    path = write_recording(tmp_path / "a.db", rows, None, index=BY_TIMESTAMP, instrument=instrument)
    with_last_byte_of_entry(path, 50, change)
    found, error = read(path)
    assert error is not None
    assert found[:50] == expected_events(rows, [])[:50]


@pytest.mark.parametrize("instrument", [None, "A-B"])
@pytest.mark.parametrize("on", ["timestamp", "instrument, timestamp"])
def test_an_index_that_lacks_rows_fails(tmp_path: Path, on: str, instrument: str | None) -> None:
    if "instrument" in on and not instrument:
        return
    path = write_recording(
        tmp_path / "a.db", book_rows(times_far_apart()), None, index=(on,), instrument=instrument
    )
    start = page_of(path, "book_0") * PAGE
    patch(path, start + 3, (88).to_bytes(2, "big"))
    with pytest.raises(RecordingError, match="rows may be missing"):
        list(DBInterpreter(path, instrument).stream())


def test_an_index_with_another_time_gives_each_row_its_own(tmp_path: Path) -> None:
    rows = book_rows(times_far_apart())
    path = write_recording(tmp_path / "a.db", rows, None, index=BY_TIMESTAMP)
    begin = entry_of(path, 50)
    # The last byte but one is of the time, which then still lies between its neighbours'.
    end = begin + 1 + path.read_bytes()[begin]
    patch(path, end - 2, bytes([path.read_bytes()[end - 2] ^ 1]))
    found, _ = read(path)
    assert found == expected_events(rows, [])


@pytest.mark.parametrize("instrument", [None, "A-B"])
@pytest.mark.parametrize("seed", range(40))
def test_a_flipped_bit_in_an_index_costs_no_row_in_silence(
    tmp_path: Path, seed: int, instrument: str | None
) -> None:
    rows = book_rows([START + n // 3 for n in range(400)])
    path = write_recording(tmp_path / "a.db", rows, None, index=BY_TIMESTAMP, instrument=instrument)
    draw = random_of(seed)
    leaves = [n for n in range(path.stat().st_size // PAGE) if _kind_of_page(path, n) == 10]
    at = draw.choice(leaves) * PAGE + draw.randrange(PAGE)
    patch(path, at, bytes([path.read_bytes()[at] ^ 1 << draw.randrange(8)]))
    found, error = read(path)
    assert error is not None or found == expected_events(rows, [])


# -- damage that is met while a table is looked at


@pytest.mark.parametrize("live", [False, True])
def test_a_damaged_index_fails_and_the_table_is_read_without_it(tmp_path: Path, live: bool) -> None:
    times = range(START, START + 90)
    book, trades = book_rows(times), trade_rows(times)
    path = write_recording(tmp_path / "a.db", book, trades, index=BY_TIMESTAMP)
    patch(path, page_of(path, "book_0") * PAGE, b"\xff" * PAGE)
    if live:
        path.touch()
    found, error = read(path)
    assert found == expected_events(book, trades)
    assert error == (f"{path}: rows may be missing (database disk image is malformed); {ADVICE}")


def test_a_damaged_end_fails_though_the_range_does_not_reach_it(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.db", None, trade_rows(range(START, START + 3000)))
    leaves = [n for n in range(path.stat().st_size // PAGE) if _kind_of_page(path, n) == 13]
    patch(path, leaves[-1] * PAGE, b"\xff" * PAGE)
    found, error = read(path, end_ms=START + 5)
    assert [len(event.trades) for event in found] == [5]
    assert "rows may be missing (database disk image is malformed)" in str(error)


def _kind_of_page(path: Path, page: int) -> int:
    """Return 13 for a leaf of a table, 10 for one of an index; see SQLite's file format."""
    return path.read_bytes()[page * PAGE] if page else 0


def test_a_table_that_damage_makes_look_empty_is_not_passed_over(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.db", book_rows([START]), trade_rows([START] * 5))
    # The number of rows in the only page of the table.
    start = page_of(path, "trades") * PAGE
    patch(path, start + 3, b"\x00\x00")
    cut(path, path.stat().st_size - 1)
    assert not RecordedTable(path, TRADES).is_empty
    assert "cut short" in str(read(path)[1])


@pytest.mark.parametrize("index", INDEXES)
@pytest.mark.parametrize("seed", range(6))
def test_a_file_cut_anywhere_never_passes_for_whole(
    tmp_path: Path, seed: int, index: tuple[str, ...]
) -> None:
    times = range(START, START + 500)
    path = write_recording(tmp_path / "a.db", book_rows(times), trade_rows(times), index=index)
    cut(path, random_of(seed).randrange(1, path.stat().st_size), live=bool(seed % 2))
    assert str(path) in str(read(path)[1])


def test_a_damaged_table_can_be_given_to_another_process(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.db", book_rows([START]))
    cut(path, path.stat().st_size - 1)
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).damage)"
    table = pickle.dumps(RecordedTable(path, BOOK))
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=table,
        capture_output=True,
        check=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.stdout.startswith(b"cut short")
