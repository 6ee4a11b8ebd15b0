from pathlib import Path
from typing import Any

import pytest
from recording_factory import DAY, START, BookRow, write_recording

from db_interpreter import DBInterpreter
from ohlc_processor import OHLCProcessor
from recordings.book_decoder import UNREADABLE_ID, BookDecoder
from recordings.row_order import Row


def row(action: Any = None, seq_id: Any = None, prev_seq_id: Any = None) -> Row:
    return 1, 1, b"[[9,1]]", b"[[10,1]]", action, seq_id, prev_seq_id


def snapshots_of(*rows: Row, mode: str = "incremental") -> list[bool]:
    return list(BookDecoder(mode, begins_with_snapshot=False).decode(rows).snapshots)


def test_an_action_decides_and_without_one_the_id_before_or_the_kind_of_the_recording() -> None:
    rows = [row(b" Snapshot ", 1, 5), row(b"partial"), row(b"update", 7, -1), row(None, 8, -1)]
    assert snapshots_of(*rows, row()) == [True, True, False, True, False]
    assert snapshots_of(*rows, row(), mode="snapshot") == [True, True, False, True, True]
    assert snapshots_of(row(None, None, -1)) == [True]


@pytest.mark.parametrize("nothing", [b"", b"[]"])
def test_a_heartbeat_among_full_snapshots_does_not_empty_the_book(nothing: bytes) -> None:
    full = (1, 1, b"[[9,1]]", b"[[10,1]]")
    one_sided = (1, 1, b"[[9,1]]", b"[]")
    rows = [full, (2, 2, nothing, nothing), one_sided]
    assert snapshots_of(*rows, mode="snapshot") == [True, False, True]


@pytest.mark.parametrize(
    ("raw", "number"),
    [(b"12", 12), (12.0, 12), (b"12.0", 12), (None, None), (b"x", UNREADABLE_ID), (0.5, -2)],
)
def test_ids_are_read_as_whatever_they_were_recorded(raw: Any, number: int | None) -> None:
    batch = BookDecoder("incremental", begins_with_snapshot=False).decode([row(b"update", 11, raw)])
    assert batch.prev_seq_ids is not None
    assert list(batch.prev_seq_ids) == [number]


def test_rows_of_files_with_and_without_marks_may_come_together() -> None:
    batch = BookDecoder("incremental", begins_with_snapshot=True).decode(
        [(1, 1, b"[]", b"[]"), row(b"update", 3, 2)]
    )
    assert batch.snapshots == [True, False]
    assert batch.seq_ids is not None
    assert list(batch.seq_ids) == [None, 3]
    assert {len(one) for one in batch.rows} == {4}


def test_where_no_row_has_an_id_there_is_no_column_of_them() -> None:
    batch = BookDecoder("incremental", begins_with_snapshot=False).decode([row(b"update")])
    assert batch.seq_ids is batch.prev_seq_ids is None


# -- through the reader


def levels(count: int, price: int, step: int) -> str:
    return str([[price + step * i, 1] for i in range(count)])


def book(start: int, sides: list[tuple[str, str]]) -> list[BookRow]:
    return [
        BookRow(number + 1, start + 100 * number, bids, asks)
        for number, (bids, asks) in enumerate(sides)
    ]


SNAPSHOT = levels(20, 100, -1), levels(20, 101, 1)
UPDATES = [("[[100, 2]]", "[]"), ("[]", "[[101, 2]]")] * 10


def processed(*paths: Path) -> OHLCProcessor:
    processor = OHLCProcessor()
    for update, trades in DBInterpreter(list(paths)).stream():
        processor.update_orderbook(update)
        processor.process_trades(trades)
    return processor


def test_a_later_file_that_begins_with_a_snapshot_replaces_the_book(tmp_path: Path) -> None:
    first = write_recording(tmp_path / "1.db", book(START, [SNAPSHOT, *UPDATES]), None)
    smaller = levels(12, 100, -1), levels(12, 101, 1)
    later = write_recording(tmp_path / "2.db", book(START + DAY, [smaller, *UPDATES]), None)
    assert (
        processed(first, later).book.level_counts == processed(later).book.level_counts == (12, 12)
    )


def test_a_later_file_that_does_not_goes_on_with_the_book(tmp_path: Path) -> None:
    first = write_recording(tmp_path / "1.db", book(START, [SNAPSHOT, *UPDATES]), None)
    later = write_recording(tmp_path / "2.db", book(START + DAY, UPDATES), None)
    assert processed(first, later).book.level_counts == (20, 20)


def test_each_file_is_of_its_own_kind(tmp_path: Path) -> None:
    full = [(levels(5, 100 + n, -1), levels(5, 101 + n, 1)) for n in range(40)]
    snapshots = write_recording(tmp_path / "1.db", book(START, full), None)
    updates = write_recording(tmp_path / "2.db", book(START + DAY, [SNAPSHOT, *UPDATES]), None)
    both = processed(snapshots, updates)
    assert both.book.level_counts == (20, 20)
    assert both.issues.counts()["crossed_books"] == 0
    turned = write_recording(tmp_path / "3.db", book(START + 2 * DAY, full), None)
    assert processed(updates, turned).book.level_counts == (5, 5)
    assert processed(updates, turned).issues.counts()["crossed_books"] == 0


@pytest.mark.parametrize("kind", ["stream", "batches"])
def test_full_snapshots_are_taken_for_that_by_who_streams_them(tmp_path: Path, kind: str) -> None:
    full = [(levels(5, 100 + n, -1), levels(5, 101 + n, 1)) for n in range(600)]
    path = write_recording(tmp_path / "1.db", book(START, full), None)
    processor = OHLCProcessor()
    if kind == "stream":
        processor = processed(path)
    else:
        for batch, _ in DBInterpreter(path).batches():
            processor.process_rows(batch)
    assert processor.book.level_counts == (5, 5)
    assert processor.issues.spans() == []
    assert processor.reliable
