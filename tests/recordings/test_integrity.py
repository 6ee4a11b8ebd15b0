"""What only a look at the whole file shows fails a run, and costs its recorder nothing."""

import pickle
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from recording_factory import START, book_rows, query, settle, trade_rows, write_recording

from db_interpreter import DBInterpreter
from orderflow.errors import RecordingError
from recordings import integrity
from recordings.integrity import IntegrityCheck
from recordings.recorded_table import open_tables

PAGE = 4096
TIMES = range(START, START + 900)


def recording(path: Path) -> Path:
    return write_recording(path / "a.db", book_rows(TIMES), trade_rows(TIMES))


def with_root_replaced(path: Path, *, live: bool = False) -> Path:
    """Put a leaf of the book in place of its root: a smaller book, and sound as far as it goes."""
    ((root,),) = query(path, "SELECT rootpage FROM sqlite_master WHERE name = 'book'")
    content = bytearray(path.read_bytes())
    pages = [content[start : start + PAGE] for start in range(0, len(content), PAGE)]
    leaf = next(page for page in pages[1:] if page[0] == 13 and b"151.5" in page)
    content[(root - 1) * PAGE : root * PAGE] = leaf
    path.write_bytes(content)
    if not live:
        settle(path)
    return path


def read(path: Path) -> tuple[int, str | None]:
    """Return how many book rows there were, and what ended them."""
    rows = 0
    error = None
    try:
        for update, _ in DBInterpreter(path).stream():
            rows += update.bids is not None
    except RecordingError as caught:
        error = caught
    return rows, None if error is None else str(error)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that has an entry for each check of a whole file."""
    made: list[int] = []

    def counted(connection: sqlite3.Connection, most: int) -> Iterator[str]:
        made.append(most)
        yield from faults(connection, most)

    faults = integrity.integrity_faults
    monkeypatch.setattr(integrity, "integrity_faults", counted)
    return made


@pytest.mark.parametrize("live", [False, True])
def test_a_part_of_a_table_that_nothing_leads_to_any_more_fails(tmp_path: Path, live: bool) -> None:
    path = with_root_replaced(recording(tmp_path), live=live)
    rows, error = read(path)
    assert 0 < rows < 900
    assert str(error).startswith(f"{path}: rows may be missing (")
    assert "what could be read is used, copy the file again or recover it" in str(error)


def test_without_a_thread_a_file_is_checked_alike_when_it_was_read(
    tmp_path: Path, looks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_root_replaced(recording(tmp_path))
    monkeypatch.setattr(integrity, "Thread", pytest.fail)
    monkeypatch.setattr(integrity, "MOST_LIVE_BYTES", 0)
    book, trades = open_tables(path, None)
    reader = DBInterpreter.of_tables([book], [trades], threaded=False)
    assert next(reader.batches())[0]
    assert looks == []
    for _ in range(2):
        with pytest.raises(RecordingError, match="rows may be missing"):
            list(reader.batches())
        assert looks == [1]


def test_the_verdict_comes_though_the_range_ends_before_the_file(tmp_path: Path) -> None:
    path = with_root_replaced(recording(tmp_path))
    with pytest.raises(RecordingError, match="rows may be missing"):
        list(DBInterpreter(path, end_ms=START + 60).stream())


@pytest.mark.parametrize("live", [False, True])
def test_a_file_is_checked_once_for_both_tables(
    tmp_path: Path, looks: list[int], live: bool
) -> None:
    path = recording(tmp_path)
    if live:
        path.touch()
    assert read(path) == (900, None)
    assert looks == [1]


def test_a_large_file_that_may_be_live_is_left_to_its_recorder(
    tmp_path: Path, looks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recording(tmp_path)
    path.touch()
    monkeypatch.setattr(integrity, "MOST_LIVE_BYTES", path.stat().st_size - 1)
    assert read(path) == (900, None)
    assert looks == []


def test_a_file_that_is_written_to_is_left_to_its_recorder(
    tmp_path: Path, looks: list[int]
) -> None:
    path = recording(tmp_path)
    path.touch()
    windows = DBInterpreter(path).stream()
    next(windows)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"INSERT INTO book(timestamp) VALUES ({START + 10_000})")
        connection.commit()
    assert len(list(windows)) >= 899
    assert looks == []


def test_a_reader_that_stops_does_not_wait_for_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_root_replaced(recording(tmp_path))
    monkeypatch.setattr(IntegrityCheck, "verdict", lambda _: pytest.fail("waited"))
    windows = DBInterpreter(path).stream()
    next(windows)
    windows.close()  # type: ignore[attr-defined]


def test_a_check_that_cannot_be_made_is_no_damage(tmp_path: Path) -> None:
    path = recording(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        connection.create_collation("mine", lambda a, b: (a > b) - (a < b))
        connection.execute("CREATE TABLE other(x TEXT COLLATE mine)")
        connection.execute("INSERT INTO other VALUES ('a'), ('b')")
        connection.execute("CREATE INDEX other_x ON other(x)")
        connection.commit()
    settle(path)
    assert read(path) == (900, None)


def test_a_check_that_has_begun_can_be_given_to_another_process(tmp_path: Path) -> None:
    path = with_root_replaced(recording(tmp_path))
    book, _ = open_tables(path, None)
    list(book.source()._read())
    copy = pickle.loads(pickle.dumps(book))  # noqa: S301 (our own)
    source = copy.source()
    list(source._read())
    assert "rows may be missing" in str(source.verdict())
