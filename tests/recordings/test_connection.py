"""How files are opened: never changed, never a committed row lost, and bad ones told by name."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import mkdtemp

import pytest
from recording_factory import (
    BY_TIMESTAMP,
    START,
    BookRow,
    TradeRow,
    book_rows,
    change,
    events,
    expected_events,
    insert,
    program,
    random_of,
    random_times,
    settle,
    shuffled_within,
    small_batches,
    times_of,
    trade_rows,
    without_privileges,
    write_recording,
)

from db_interpreter import DBInterpreter
from orderflow.errors import RecordingError
from orderflow.events import OrderbookUpdate, Trade
from recordings import connection as db_connection
from recordings.connection import MAX_BOOK_VALUE_BYTES, connect
from recordings.table_spec import BOOK_BATCH

Window = tuple[OrderbookUpdate, list[Trade]]

POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX users and signals")
INDEXES = [(), BY_TIMESTAMP]
PAGE = 4096

WRITER = """
import sqlite3, sys
path, mode = sys.argv[1:]
db = sqlite3.connect(path, isolation_level=None, timeout=0)
db.execute(f"PRAGMA journal_mode = {mode}")
db.execute("PRAGMA wal_autocheckpoint = 0")
for line in sys.stdin:
    try:
        db.execute(line)
        print("done", flush=True)
    except sqlite3.Error as error:
        print(error, flush=True)
"""


def append(first: int, rows: int) -> str:
    """Write the statement that appends rows, one a ms, to a book."""
    return (
        f"WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n "
        f"WHERE i < {first + rows - 1}) INSERT INTO book(timestamp, bids, asks) "
        f"SELECT {START} + i, '[]', '[]' FROM n"
    )


def contents(directory: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.iterdir()}


def refused(path: Path) -> str:
    with pytest.raises(RecordingError) as caught:
        events(path)
    assert caught.value.path == str(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def read_until_error(stream: Iterable[Window]) -> tuple[list[Window], RecordingError | None]:
    found: list[Window] = []
    try:
        found.extend(stream)
    except RecordingError as error:
        return found, error
    return found, None


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """Give a directory that other users may look into."""
    directory = Path(mkdtemp())
    directory.chmod(0o755)
    yield directory
    directory.chmod(0o755)
    shutil.rmtree(directory)


# -- paths


@pytest.mark.parametrize(
    "name",
    ["a%20b", "50%", "what?mode=rw", "a#b", "a b", "ü→漢", "a&immutable=1", "'; --", "a\udcffb"],
)
@pytest.mark.parametrize("settled", [True, False])
def test_a_path_may_have_any_characters(tmp_path: Path, name: str, settled: bool) -> None:
    directory = tmp_path / name
    directory.mkdir()
    path = write_recording(directory / "a.db", book_rows([START]), settled=settled)
    moved = path.rename(directory / f"{name}.db")
    assert times_of(events(moved)[0]) == [START]
    assert [entry.name for entry in directory.iterdir()] == [moved.name]


def test_a_relative_path_is_read_where_it_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_recording(tmp_path / "a.db", book_rows([START]))
    monkeypatch.chdir(tmp_path)
    assert times_of(events(Path("a.db"))[0]) == [START]
    assert times_of(events(Path("../" + tmp_path.name + "/a.db"))[0]) == [START]


# -- write-ahead logs


def test_rows_in_the_log_of_a_live_writer_are_read_while_it_writes_on(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.db")
    with program(WRITER, path, "WAL") as write:
        assert write(append(0, 1000)) == "done"
        assert write("PRAGMA wal_checkpoint(TRUNCATE)") == "done"
        assert write(append(1000, 500)) == "done"
        settle(path)
        assert (tmp_path / "a.db-wal").stat().st_size > 0
        with small_batches(100, 10):
            found = 0
            for number, (update, _) in enumerate(DBInterpreter(path).stream()):
                found += 1
                assert update.timestamp == START + number
                if number % 300 == 0 and number < 1500:
                    assert write(append(1500 + number // 3, 100)) == "done"
        assert found == 2000
        assert write("PRAGMA wal_checkpoint(TRUNCATE)") == "done"


def test_rows_in_the_log_of_a_dead_writer_are_read_and_the_log_is_left(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.db")
    with program(WRITER, path, "WAL") as write:
        assert write(append(0, 1000)) == "done"
        assert write("PRAGMA wal_checkpoint(TRUNCATE)") == "done"
        assert write(append(1000, 500)) == "done"
        settle(path)
    before = contents(tmp_path)
    assert len(events(path)[0]) == 1500
    after = contents(tmp_path)
    for name in ("a.db", "a.db-wal"):
        assert after[name] == before[name]


@POSIX
def test_a_log_that_cannot_be_read_where_it_lies_is_said(open_directory: Path) -> None:
    path = write_recording(open_directory / "a.db")
    with program(WRITER, path, "WAL") as write:
        assert write(append(0, 10)) == "done"
    (open_directory / "a.db-shm").unlink()
    for entry in open_directory.iterdir():
        entry.chmod(0o644)
    open_directory.chmod(0o555)
    with without_privileges():
        message = refused(path)
    assert "its write-ahead log a.db-wal cannot be read where it lies" in message
    assert message.endswith("copy both into a directory you may write to")


@POSIX
def test_a_fresh_file_that_needs_a_log_where_none_can_be_made_is_explained(
    open_directory: Path,
) -> None:
    path = write_recording(open_directory / "a.db", book_rows([START]))
    change(path, "PRAGMA journal_mode = WAL")
    path.touch()
    open_directory.chmod(0o555)
    with without_privileges():
        assert refused(path) == (
            f"{path}: it keeps a write-ahead log, which can only be looked for by making a.db-shm "
            f"beside it, and {open_directory} may not be written to; run again when the file has "
            "been unchanged for 60 s, or copy it into a directory you may write to"
        )
        assert not list(open_directory.glob("a.db-*"))


# -- settled files


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_a_settled_file_is_read_without_a_trace(tmp_path: Path, mode: str) -> None:
    path = write_recording(tmp_path / "a.db", book_rows([START]), trade_rows([START]))
    change(path, f"PRAGMA journal_mode = {mode}")
    before = contents(tmp_path)
    assert set(before) == {"a.db"}
    assert len(events(path)[0]) == 1
    assert contents(tmp_path) == before
    with closing(connect(path)[0]):
        assert contents(tmp_path) == before


@POSIX
@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_a_settled_file_is_read_from_a_read_only_directory(open_directory: Path, mode: str) -> None:
    path = write_recording(open_directory / "a.db", book_rows([START]))
    change(path, f"PRAGMA journal_mode = {mode}")
    open_directory.chmod(0o555)
    with without_privileges():
        assert times_of(events(path)[0]) == [START]


@pytest.mark.parametrize(
    ("sidecar", "content", "immutable"),
    [
        (None, b"", True),
        ("-wal", b"", True),
        ("-wal", b"x", False),
        ("-journal", b"", False),
        ("-shm", b"x", True),
    ],
)
def test_a_file_is_taken_as_immutable_only_when_nobody_writes(
    tmp_path: Path, sidecar: str | None, content: bytes, immutable: bool
) -> None:
    path = write_recording(tmp_path / "a.db", book_rows([START]))
    if sidecar:
        (tmp_path / f"a.db{sidecar}").write_bytes(content)
    connection, taken = connect(path)
    connection.close()
    assert taken is immutable
    path.touch()
    connection, taken = connect(path)
    connection.close()
    assert not taken


def test_a_connection_refuses_to_write(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.db", book_rows([START]), settled=False)
    with closing(connect(path)[0]) as connection, pytest.raises(sqlite3.OperationalError):
        connection.execute("DELETE FROM book")
    with closing(connect(path)[0]) as connection:
        assert connection.execute("PRAGMA mmap_size").fetchall() in ([], [(0,)])


@pytest.mark.parametrize("how", ["append", "replace", "remove"])
def test_a_settled_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path, how: str) -> None:
    path = write_recording(tmp_path / "a.db", book_rows(range(START, START + 3 * BOOK_BATCH)))
    stream = DBInterpreter(path).stream()
    next(stream)
    if how == "append":
        change(path, append(10**6, 1))
    elif how == "replace":
        write_recording(tmp_path / "b.db", book_rows([START])).replace(path)
    else:
        path.unlink()
    found, error = read_until_error(stream)
    assert "changed while it was read; run again" in str(error)
    assert len(found) < 3 * BOOK_BATCH


def test_a_settled_file_that_changes_before_its_last_look_is_an_error(tmp_path: Path) -> None:
    rows = book_rows(range(START, START + 10))
    path = write_recording(tmp_path / "a.db", rows, index=BY_TIMESTAMP)
    stream = DBInterpreter(path).stream()
    next(stream)
    change(path, append(20, 1))
    found, error = read_until_error(stream)
    assert [update.timestamp for update, _ in found] == list(range(START + 1, START + 10))
    assert "changed while it was read" in str(error)


# -- rollback journals


HOT_WRITER = """
import os, signal, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode = DELETE")
db.execute("PRAGMA cache_size = 1")
db.execute("PRAGMA cache_spill = 1")
db.execute("BEGIN")
db.execute(sys.argv[2])
os.kill(os.getpid(), signal.SIGKILL)
"""


def die_in_a_transaction(path: Path) -> None:
    """Let a writer be killed when part of its transaction is in the file and can be rolled back."""
    rewrite = "UPDATE book SET bids = hex(randomblob(500)), asks = hex(randomblob(500))"
    done = subprocess.run([sys.executable, "-c", HOT_WRITER, path, rewrite], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.with_name(path.name + "-journal").stat().st_size > 0


@POSIX
@pytest.mark.parametrize("settled", [True, False])
def test_a_hot_journal_is_refused_by_name_and_left_alone(tmp_path: Path, settled: bool) -> None:
    path = write_recording(tmp_path / "a.db", book_rows(range(START, START + 2000)))
    die_in_a_transaction(path)
    if settled:
        settle(path)
    before = contents(tmp_path)
    message = refused(path)
    assert "its recorder died in the middle of a write and left the hot journal" in message
    assert "a.db-journal; open the file once with the sqlite3 program" in message
    assert contents(tmp_path) == before
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM book").fetchone() == (2000,)
    assert times_of(events(path)[0]) == list(range(START, START + 2000))


@POSIX
def test_a_recorder_that_dies_while_its_file_is_read_is_told_with_how_far_it_got(
    tmp_path: Path,
) -> None:
    rows = book_rows(range(START, START + 2000))
    path = write_recording(tmp_path / "a.db", rows, settled=False)
    with small_batches(100, 10):
        stream = DBInterpreter(path).stream()
        next(stream)
        die_in_a_transaction(path)
        found, error = read_until_error(stream)
    assert re.search(r"died in the middle .*-journal; .*, after 100 rows", str(error))
    assert len(found) == 99


@pytest.mark.parametrize("mode", ["PERSIST", "TRUNCATE"])
def test_a_journal_left_cold_does_not_matter(tmp_path: Path, mode: str) -> None:
    path = write_recording(tmp_path / "a.db", book_rows([START]))
    change(path, f"PRAGMA journal_mode = {mode}", append(1, 3))
    before = contents(tmp_path)
    assert set(before) == {"a.db", "a.db-journal"}
    assert len(events(path)[0]) == 4
    assert contents(tmp_path) == before


@pytest.mark.parametrize("size", [2, 3_000_000])
@pytest.mark.parametrize("index", INDEXES)
def test_a_live_writer_with_a_rollback_journal_is_not_held_up(
    tmp_path: Path, index: tuple[str, ...], size: int
) -> None:
    # With rows of megabytes a batch ends by its bytes, in the middle of a page.
    side = "[" + " " * (size - 2) + "]"
    rows = [BookRow(number, START + number, side, "[]") for number in range(12)]
    path = write_recording(tmp_path / "a.db", rows, index=index, settled=False)
    with program(WRITER, path, "DELETE") as write, small_batches(4, 1):
        found = 0
        for number, _ in enumerate(DBInterpreter(path).stream()):
            found += 1
            if number < 12:
                assert write(append(12 + number, 1)) == "done"
    assert found == 24


def test_a_file_locked_for_long_is_told_as_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_connection, "LOCK_SECONDS", 0.01)
    path = write_recording(tmp_path / "a.db", book_rows([START]), settled=False)
    with program(WRITER, path, "DELETE") as write:
        assert write("BEGIN EXCLUSIVE") == "done"
        assert "locked by another program for more than 0.01 s" in refused(path)
        assert write("ROLLBACK") == "done"
        assert times_of(events(path)[0]) == [START]


# -- files that are no recordings


@pytest.mark.parametrize(
    "content", [b"hello", b"\x00" * 5000, b"SQLite format 3\x00" + b"x" * 5000]
)
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.db").write_bytes(content)
    assert "not a readable SQLite recording (" in refused(tmp_path / "a.db")


def test_a_file_that_is_no_database_is_not_blamed_on_its_sidecars(tmp_path: Path) -> None:
    for suffix in ("", "-wal"):
        (tmp_path / f"a.db{suffix}").write_bytes(b"hello" * 1000)
    assert "not a readable SQLite recording (file is not a database)" in refused(tmp_path / "a.db")


def test_an_empty_file_is_no_recording(tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()
    assert "neither a table book nor a table trades" in refused(tmp_path / "a.db")


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    message = refused(tmp_path / "a.db")
    assert message.endswith(
        "cannot be read (No such file or directory); check that it exists and is readable"
    )


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path).endswith("a directory, not a SQLite recording")


@POSIX
def test_an_unreadable_file_is_refused(open_directory: Path) -> None:
    path = write_recording(open_directory / "a.db", book_rows([START]))
    path.chmod(0)
    with without_privileges():
        assert refused(path).endswith("no permission to read it; ask its owner for it")


# -- damaged files


def pages_of(path: Path) -> list[int]:
    """Find the pages of a book's rows, in the order of the rows, by what is written in them."""
    places = {
        int(mark[1]): mark.start() // PAGE
        for mark in re.finditer(rb"mark-(\d+)-", path.read_bytes())
    }
    return list(dict.fromkeys(places[row] for row in sorted(places)))


def marked_recording(path: Path, rows: int = 6000) -> Path:
    book = [
        BookRow(number, START + 1000 * number, f"mark-{number:05}-" + "x" * 200)
        for number in range(1, rows + 1)
    ]
    return write_recording(path, book, trade_rows(range(START + 1000, START + 1000 * rows, 5000)))


def damage(path: Path, page: int) -> None:
    content = bytearray(path.read_bytes())
    content[page * PAGE : (page + 1) * PAGE] = b"\xff" * PAGE
    path.write_bytes(content)
    settle(path)


@pytest.mark.parametrize("live", [True, False])
def test_a_corrupt_page_in_mid_file_ends_with_how_far_it_got_after_what_came_before(
    tmp_path: Path, live: bool
) -> None:
    path = marked_recording(tmp_path / "a.db")
    pages = pages_of(path)
    broken = pages[len(pages) // 2]
    damage(path, broken)
    if live:
        path.touch()
    found, error = read_until_error(DBInterpreter(path).stream())
    ids = [update.id for update, _ in found if update.id]
    intact = re.findall(rb"mark-(\d+)-", path.read_bytes())
    first_lost = min(set(range(1, 6001)) - set(map(int, intact)))
    assert ids == list(range(1, first_lost))
    assert sum(len(trades) for _, trades in found) == 1200
    assert "cannot be read further (database disk image is malformed)" in str(error)
    assert f"after {first_lost - 1} rows of table book, up to 2025-06-09 00:" in str(error)
    assert str(error).endswith("copy the file again or recover it with sqlite3 .recover")


def test_damage_before_the_end_of_the_range_is_told_though_a_later_file_reaches_past_it(
    tmp_path: Path,
) -> None:
    path = marked_recording(tmp_path / "a.db")
    later = START + 6001 * 1000
    other = write_recording(
        tmp_path / "b.db", book_rows(range(later, later + 9)), trade_rows([later, later + 8])
    )
    damage(path, pages_of(path)[100])
    found, error = read_until_error(DBInterpreter([path, other], end_ms=later + 5).stream())
    assert f"{path}: cannot be read further" in str(error)
    assert [update.timestamp for update, _ in found[-5:]] == list(range(later, later + 5))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_file_gives_what_is_left_of_it(tmp_path: Path, share: float) -> None:
    path = marked_recording(tmp_path / "a.db")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    settle(path)
    found, error = read_until_error(DBInterpreter(path).stream())
    assert f"{path}: cannot be read further" in str(error)
    ids = [update.id for update, _ in found if update.id]
    assert ids == list(range(1, len(ids) + 1))


@pytest.mark.parametrize("index", INDEXES)
@pytest.mark.parametrize("seed", range(12))
def test_random_damage_never_ends_in_anything_but_rows_or_an_error_by_name(
    tmp_path: Path, seed: int, index: tuple[str, ...]
) -> None:
    times = random_times(seed, 800)
    path = write_recording(
        tmp_path / "a.db", book_rows(times), trade_rows(times), instrument="A-B", index=index
    )
    content = bytearray(path.read_bytes())
    draw = random_of(seed)
    for _ in range(draw.choice((1, 5, 40, 400))):
        content[draw.randrange(100, len(content))] = draw.randrange(256)
    path.write_bytes(content)
    settle(path)
    try:
        stream = DBInterpreter(path, "A-B").stream()
    except RecordingError as refused_at_once:
        told: RecordingError | None = refused_at_once
    else:
        told = read_until_error(stream)[1]
    assert told is None or str(path) in str(told)


# -- large values


def with_large_value(path: Path, row: int, size: int = MAX_BOOK_VALUE_BYTES + 1) -> Path:
    return change(path, f"UPDATE book SET bids = CAST(zeroblob({size}) AS TEXT) WHERE id = {row}")


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("index", [(), BY_TIMESTAMP, ("timestamp, bids",), ("timestamp, seq_id",)])
@pytest.mark.parametrize("large", [[1], [24], [1, 2, 12, 13, 24], list(range(1, 8))])
def test_a_row_with_a_value_over_8_mb_is_skipped_and_counted_and_the_rest_read(
    tmp_path: Path, large: list[int], index: tuple[str, ...], settled: bool
) -> None:
    # Six rows a timestamp: an index on more than it makes SQLite read and sort them together.
    rows = [row._replace(id=None) for row in book_rows(START + n // 6 for n in range(24))]
    path = write_recording(tmp_path / "a.db", [], None)
    change(
        path,
        "ALTER TABLE book ADD COLUMN seq_id",
        *(f"CREATE INDEX book_{n} ON book({on})" for n, on in enumerate(index) if "bids" not in on),
    )
    with closing(sqlite3.connect(path)) as connection:
        insert(connection, "book", rows)
        sql = f"UPDATE book SET bids = zeroblob({MAX_BOOK_VALUE_BYTES + 1}) WHERE id = ?"
        connection.executemany(sql, [(row,) for row in large])
        connection.commit()
    if settled:
        settle(path)
    with small_batches(8, 8):
        found, counts = events(path)
    kept = [row._replace(id=n) for n, row in enumerate(rows, 1) if n not in large]
    assert found == expected_events(kept, [])
    assert counts.rows_skipped == len(large)


def test_rows_out_of_order_around_a_large_value_are_put_right(tmp_path: Path) -> None:
    rows = shuffled_within(book_rows(random_times(1, 400)), 100)
    path = write_recording(tmp_path / "a.db", rows, None, id_column="id INTEGER, ")
    large = [rows[place].id for place in (0, 150, 151, 399)]
    change(path, *(f"UPDATE book SET bids = zeroblob(9000000) WHERE id = {row}" for row in large))
    with small_batches(50, 100):
        found, counts = events(path)
    assert found == expected_events([row for row in rows if row.id not in large], [])
    assert (counts.rows_skipped, counts.late_rows) == (4, 0)


def test_a_value_of_exactly_8_mb_is_read_and_other_columns_do_not_matter(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.db", book_rows([START]), trade_rows([START]))
    with_large_value(path, 1, MAX_BOOK_VALUE_BYTES)
    change(
        path,
        *(f"ALTER TABLE {table} ADD COLUMN raw" for table in ("book", "trades")),
        "UPDATE book SET raw = zeroblob(9000000)",
        "UPDATE trades SET raw = zeroblob(9000000)",
    )
    ((_, bids, _, trades),) = events(path)[0]
    assert (len(bids), len(trades)) == (MAX_BOOK_VALUE_BYTES, 1)


@pytest.mark.parametrize("column", ["trade_id", "price", "size", "side"])
@pytest.mark.parametrize("index", INDEXES)
def test_a_trade_with_a_huge_value_is_skipped_and_counted(
    tmp_path: Path, column: str, index: tuple[str, ...]
) -> None:
    path = write_recording(
        tmp_path / "a.db", None, trade_rows(range(START, START + 9)), index=index
    )
    change(path, f"UPDATE trades SET {column} = zeroblob(9000000) WHERE id IN (1, 5, 9)")
    found, counts = events(path)
    assert len(found[0].trades) == 6
    assert counts.trades_skipped == 3


@pytest.mark.parametrize("index", INDEXES)
def test_a_huge_value_for_a_time_costs_only_its_row(tmp_path: Path, index: tuple[str, ...]) -> None:
    path = write_recording(tmp_path / "a.db", book_rows(range(START, START + 9)), index=index)
    huge = "'x' || CAST(zeroblob(9000000) AS TEXT)"
    change(path, f"UPDATE book SET timestamp = {huge} WHERE id = 5")
    found, counts = events(path)
    assert (len(found), counts.rows_skipped) == (8, 1)


def test_trades_of_a_schema_with_long_statements_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    comment = "-- " + "why " * 3000
    write_recording(path, None, [TradeRow(1, START)], table_end=f" {comment}\n)")
    assert len(events(path)[0]) == 1
