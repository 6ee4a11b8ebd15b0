"""Frames: the tables of a recording as Arrow streams, and books as arrays."""

import threading
from pathlib import Path
from typing import Any

import pytest
from exports import MINUTE, START, exported, recording_of
from recorded_market import replayed_books
from recording_factory import BookRow, write_recording

pa = pytest.importorskip("pyarrow", reason="the group data is not installed")
pq = pytest.importorskip("pyarrow.parquet")

from formats.frames import Frames  # noqa: E402 (it imports pyarrow)
from orderflow.errors import RecordingError, UsageError  # noqa: E402
from recordings.writer import RecordingWriter  # noqa: E402

BEGIN, END = START + MINUTE, START + 4 * MINUTE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recording_of(tmp_path_factory.mktemp("recorded"), rows=600)


@pytest.fixture
def frames(folder: Path) -> Frames:
    return Frames(folder / "BTC-USDT.db", "BTC-USDT", start_ms=BEGIN, end_ms=END)


def test_frames_are_the_tables_of_an_export(folder: Path, frames: Frames) -> None:
    exported("parquet", folder, folder / "parquet", start=BEGIN, end=END)
    for name in ("trades", "books", "bars", "metrics", "footprint"):
        found = pa.table(getattr(frames, name)())
        assert found.equals(pq.read_table(folder / "parquet" / f"{name}.parquet"))
        assert len(found) > 0


@pytest.mark.thorough
def test_levels_make_the_book_at_every_row(folder: Path, frames: Frames) -> None:
    sides: dict[str, dict[float, float]] = {"bid": {}, "ask": {}}
    wanted = {ms: books for ms, *books in replayed_books(folder / "BTC-USDT.db", "BTC-USDT")}
    table = pa.table(frames.levels())
    rows = table.set_column(0, "ms", table.column(0).cast(pa.int64())).to_pylist()
    for number, row in enumerate(rows):
        if row["snapshot"] and (not number or rows[number - 1]["row"] != row["row"]):
            sides = {"bid": {}, "ask": {}}
        sides[row["side"]][row["price"]] = row["size"]
        last = number + 1 == len(rows) or rows[number + 1]["row"] != row["row"]
        if last and row["ms"] in wanted:
            books = [{p: s for p, s in side.items() if s} for side in sides.values()]
            assert books == [dict(map(tuple, side)) for side in wanted[row["ms"]]]  # type: ignore[arg-type]
    assert [rows[0]["ms"], rows[0]["row"], rows[0]["snapshot"]] == [BEGIN, 0, True]
    assert len({row["row"] for row in rows}) > 100


def test_an_empty_snapshot_is_a_row_of_its_own(tmp_path: Path) -> None:
    path = write_recording(
        tmp_path / "X-USDT.db",
        [
            BookRow(1, START, '[["100","1"]]', '[["101","1"]]'),
            BookRow(2, START + 1, '[["100","2"]]', "[]"),
            BookRow(3, START + 2),
        ],
        None,
    )
    from recording_factory import change  # noqa: PLC0415

    change(path, "ALTER TABLE book ADD COLUMN action", "UPDATE book SET action = 'update'",
           "UPDATE book SET action = 'snapshot' WHERE id = 3")  # fmt: skip
    found = [tuple(row.values())[1:] for row in pa.table(Frames(path).levels()).to_pylist()]
    assert found == [
        (0, False, "bid", 100.0, 1.0),
        (0, False, "ask", 101.0, 1.0),
        (1, False, "bid", 100.0, 2.0),
        (2, True, None, None, None),
    ]


def test_a_stream_may_be_read_on_in_another_thread(frames: Frames) -> None:
    whole = pa.table(frames.levels())
    reader = frames.levels().reader()
    found: list[Any] = [reader.read_next_batch()]
    thread = threading.Thread(target=lambda: found.extend(reader))
    thread.start()
    thread.join()
    assert len(found) > 1 or len(found[0]) == len(whole)
    assert pa.Table.from_batches(found).equals(whole)


def test_a_stream_that_nobody_reads_to_its_end_ends(frames: Frames) -> None:
    before = threading.active_count()
    batches = iter(frames.trades())
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_issues_are_known_at_the_end(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "X-USDT.db", [BookRow(1, START, "what?", "[]")], None)
    frame = Frames(path).metrics()
    found = [frame.issues]
    pa.table(frame)
    found.append(frame.issues)
    assert [issues and issues.counts()["rows_skipped"] for issues in found] == [None, 1]


def test_an_error_of_the_recording_is_raised(tmp_path: Path) -> None:
    with pytest.raises(RecordingError):
        list(Frames(tmp_path / "none.db").trades())


def test_books_are_arrays_of_rows_by_levels(frames: Frames) -> None:
    table = pa.table(frames.books(4))
    found = list(frames.book_arrays(4))
    assert sum(len(arrays.time) for arrays in found) == len(table)
    first = found[0]
    assert first.bid_price.shape == first.ask_size.shape == (len(first.time), 4)
    row = table.slice(0, 1).to_pylist()[0]
    assert first.bid_price[0].tolist() == [row[f"bid_price_{level}"] for level in range(4)]
    assert first.ask_size[0].tolist() == [row[f"ask_size_{level}"] for level in range(4)]
    assert first.time[0] == round(row["timestamp"].timestamp() * 1000)
    assert first.bid_price.base is not None  # a view of what was recorded, no copy


def test_files_of_several_instruments_are_refused_where_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "many.db"
    with RecordingWriter(path) as writer:
        for name in ("X", "Y"):
            writer.write_book([(name, '[["100","1"]]', '[["101","1"]]', START)])
    assert pa.table(Frames(path, "X").books()).num_rows == 1
    with pytest.raises(UsageError, match="several instruments, X, Y; name one"):
        list(Frames(path).book_arrays())
    with pytest.raises(pa.ArrowInvalid, match="several instruments, X, Y; name one"):
        pa.table(Frames(path).books())


def test_what_cannot_be_meant_is_refused_at_once(frames: Frames) -> None:
    with pytest.raises(UsageError, match="at least 1 level a side; found 0"):
        frames.books(0)
    with pytest.raises(UsageError, match="at least 1 level a side; found -1"):
        next(frames.book_arrays(-1))
    with pytest.raises(UsageError, match="book_mode is one of auto, incremental, snapshot"):
        Frames("x.db", book_mode="full")
