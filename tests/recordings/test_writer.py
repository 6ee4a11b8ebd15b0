"""What the writer writes is a recording that the readers understand, or nothing at all."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from db_interpreter import DBInterpreter
from orderflow.errors import OutputError
from recordings.writer import NotWrittenError, RecordingWriter

START = 1_749_427_200_000
BOOK = [
    ("X-Y", '[["10","1"]]', '[["11","2"]]', START),
    ("X-Y", "[]", '[["11","0"]]', START + 100),
]
TRADES = [("X-Y", "1", 10.5, 0.25, "buy", START + 50), ("X-Y", "2", 10.0, 1.0, "sell", START + 150)]


def rows(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def write(path: Path, **options: bool) -> None:
    with RecordingWriter(path, **options) as writer:
        writer.write_book(BOOK)
        writer.write_trades(TRADES)


def test_a_written_recording_is_read_back(tmp_path: Path) -> None:
    write(tmp_path / "X-Y.db")
    read = list(DBInterpreter(tmp_path / "X-Y.db", "X-Y").stream())
    assert [update.timestamp for update, _ in read] == [START, START + 100]
    assert [[trade[1] for trade in trades] for _, trades in read] == [["1"], ["2"]]
    assert [path.name for path in tmp_path.iterdir()] == ["X-Y.db"]


def test_ids_count_the_rows_as_they_were_given(tmp_path: Path) -> None:
    write(tmp_path / "x.db")
    assert rows(tmp_path / "x.db", "SELECT * FROM book") == [
        (1, *BOOK[0]),
        (2, *BOOK[1]),
    ]
    assert rows(tmp_path / "x.db", "SELECT * FROM trades") == [(1, *TRADES[0]), (2, *TRADES[1])]
    assert rows(tmp_path / "x.db", "SELECT name FROM sqlite_master WHERE type = 'index'") == []


def test_sequence_columns_come_after_the_others(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "x.db", sequenced=True) as writer:
        writer.write_book([(*BOOK[0], "snapshot", 7, -1), (*BOOK[1], "update", 9, 7)])
    columns = rows(tmp_path / "x.db", "SELECT name, type FROM pragma_table_info('book')")
    assert columns == [
        ("id", "INTEGER"),
        ("instrument", "TEXT"),
        ("bids", "TEXT"),
        ("asks", "TEXT"),
        ("timestamp", "INTEGER"),
        ("action", "TEXT"),
        ("seq_id", "INTEGER"),
        ("prev_seq_id", "INTEGER"),
    ]
    assert rows(tmp_path / "x.db", "SELECT action, seq_id, prev_seq_id FROM book") == [
        ("snapshot", 7, -1),
        ("update", 9, 7),
    ]


def test_an_index_is_on_the_time_of_both_tables(tmp_path: Path) -> None:
    write(tmp_path / "x.db", index=True)
    assert rows(tmp_path / "x.db", "SELECT sql FROM sqlite_master WHERE type = 'index'") == [
        ("CREATE INDEX book_timestamp ON book(timestamp)",),
        ("CREATE INDEX trades_timestamp ON trades(timestamp)",),
    ]


def test_the_file_appears_when_it_is_whole_and_not_before(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "x.db") as writer:
        writer.write_book(BOOK)
        assert not (tmp_path / "x.db").exists()
    assert (tmp_path / "x.db").exists()


def test_the_file_is_on_the_disk_before_it_has_its_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, bool]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        is_directory = os.path.samestat(os.fstat(descriptor), tmp_path.stat())
        seen.append((is_directory, (tmp_path / "x.db").exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write(tmp_path / "x.db")
    assert seen == [(False, False), (True, True)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_exception_leaves_nothing_behind(tmp_path: Path, error: type[BaseException]) -> None:
    def failing() -> Any:
        yield BOOK[0]
        raise error

    with pytest.raises(error), RecordingWriter(tmp_path / "x.db") as writer:
        writer.write_book(failing())
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_replaced(tmp_path: Path) -> None:
    write(tmp_path / "x.db")
    before = (tmp_path / "x.db").read_bytes()
    with pytest.raises(NotWrittenError, match="exists already") as caught:
        write(tmp_path / "x.db")
    assert caught.value.path == tmp_path / "x.db"
    assert (tmp_path / "x.db").read_bytes() == before


def test_an_imported_one_that_is_there_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    first, second = (RecordingWriter(tmp_path / "x.db", imported=True) for _ in range(2))
    first.__enter__()
    with second:
        second.write_notes({"source": "second"})
    with pytest.raises(NotWrittenError, match="written by another process meanwhile"):
        first.__exit__(None, None, None)
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        assert connection.execute("SELECT value FROM import_notes").fetchall() == [("second",)]
    assert [path.name for path in tmp_path.iterdir()] == ["x.db"]


def test_where_there_are_no_hard_links_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", fail)
    with RecordingWriter(tmp_path / "x.db", imported=True) as writer:
        writer.write_notes({"source": "x"})
    assert [path.name for path in tmp_path.iterdir()] == ["x.db"]


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"x\.db can't be written: .*No such file"):
        write(tmp_path / "none" / "x.db")


def test_a_failing_rename_is_said_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(NotWrittenError, match="No space left on device"):
        write(tmp_path / "x.db")
    assert list(tmp_path.iterdir()) == []


def test_it_is_written_to_inside_its_block_alone(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "x.db")
    with pytest.raises(ValueError, match="inside its `with` block"):
        writer.write_book(BOOK)
