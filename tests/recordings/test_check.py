"""What `check` finds in a recording, and that it says nothing of one that is whole."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from places import REAL_DATA
from recording_factory import (
    BY_TIMESTAMP,
    START,
    BookRow,
    TradeRow,
    change,
    query,
    settle,
    trade_rows,
    write_recording,
)

from orderflow.errors import RecordingError
from orderflow.issues import losses
from recordings.check import CheckedFile, check_file

PAGE = 4096


def deep(side: int) -> str:
    return str([[str(side + n / 10), "1"] for n in range(1, 16)]).replace("'", '"')


def whole_book(count: int = 60, step: int = 100) -> list[BookRow]:
    """Make a snapshot of 15 levels a side and updates of one."""
    first = BookRow(1, START, deep(100), deep(200))
    bids, asks = (f'[["{price}", "2"], ["{price + 0.1}", "0"]]' for price in (100.1, 200.1))
    return [first] + [
        BookRow(n, START + (n - 1) * step, *((bids, "[]") if n % 2 else ("[]", asks)))
        for n in range(2, count + 1)
    ]


def checked(
    path: Path,
    book: Sequence[BookRow] | None = None,
    trades: Sequence[TradeRow] | None = None,
    *statements: str,
    index: tuple[str, ...] = (),
) -> CheckedFile:
    book = whole_book() if book is None else book
    trades = trade_rows(range(START, START + 900, 10)) if trades is None else trades
    write_recording(path / "A-B.db", book, trades, index=index)
    return check_file(change(path / "A-B.db", *statements))


def found(file: CheckedFile) -> dict[str, int]:
    assert file.damage == []
    (recording,) = file.recordings
    assert file.has_losses is bool(losses(recording.issues.counts()))
    return {kind: count for kind, count in recording.issues.counts().items() if count}


@pytest.mark.parametrize("index", [(), BY_TIMESTAMP])
def test_a_whole_recording_has_no_issue(tmp_path: Path, index: tuple[str, ...]) -> None:
    file = checked(tmp_path, index=index)
    assert found(file) == {}
    (recording,) = file.recordings
    assert (recording.instrument, recording.book_rows, recording.trades) == ("A-B", 60, 90)
    assert (recording.first_ms, recording.last_ms) == (START, START + 5900)
    assert recording.book_mode == "incremental"


def test_nothing_is_changed(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "A-B.db", whole_book(), index=BY_TIMESTAMP)
    before = path.read_bytes(), path.stat().st_mtime_ns
    check_file(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_book_that_does_not_begin_with_a_snapshot_is_found(tmp_path: Path) -> None:
    assert found(checked(tmp_path, whole_book()[1:])) == {"unproven_rows": 59}


def test_a_silence_is_found_with_its_time(tmp_path: Path) -> None:
    book = whole_book(100)
    late = [row._replace(timestamp=row.timestamp + 600_000) for row in book[50:]]
    file = checked(tmp_path, book[:50] + late)
    assert found(file) == {"silences": 1}
    (issue,) = file.recordings[0].issues.spans()
    assert (issue.start, issue.end) == (START + 4900, START + 605_000)


def test_gaps_in_the_sequence_are_found(tmp_path: Path) -> None:
    file = checked(
        tmp_path,
        None,
        None,
        "ALTER TABLE book ADD COLUMN seq_id",
        "ALTER TABLE book ADD COLUMN prev_seq_id",
        "UPDATE book SET seq_id = id, prev_seq_id = CASE id WHEN 1 THEN -1 ELSE id - 1 END",
        "DELETE FROM book WHERE id = 30",
    )
    assert found(file) == {"sequence_gaps": 1, "unreliable_rows": 30}


def test_levels_sides_and_times_that_cannot_be_read_are_found(tmp_path: Path) -> None:
    file = checked(
        tmp_path,
        None,
        None,
        """UPDATE book SET bids = '[["x", "1"], ["1", "-1"], ["100", "1"]]' WHERE id = 20""",
        "UPDATE book SET asks = 'nonsense' WHERE id = 30",
        "UPDATE book SET timestamp = 'n/a' WHERE id = 60",
        "UPDATE trades SET price = 'x' WHERE id = 5",
        "UPDATE trades SET timestamp = NULL WHERE id IN (6, 7)",
        "UPDATE trades SET side = 'long' WHERE id = 8",
    )
    assert found(file) == {
        "rows_skipped": 2,
        "levels_rejected": 2,
        "trades_skipped": 3,
        "unknown_sides": 1,
        "unreliable_rows": 30,
    }


def test_rows_too_far_out_of_order_are_found(tmp_path: Path) -> None:
    trades = trade_rows([START + n for n in range(40_000)] + [START - 1])
    assert found(checked(tmp_path, None, trades)) == {"late_trades": 1}


def test_repeated_trades_are_said_and_cost_nothing(tmp_path: Path) -> None:
    trades = trade_rows([START, START])
    file = checked(tmp_path, None, [trades[0], trades[0]._replace(id=2)])
    assert found(file) == {"repeated_trades": 1}
    assert not file.has_losses


def test_a_table_without_rows_is_said(tmp_path: Path) -> None:
    assert found(checked(tmp_path, [], [])) == {"no_book": 1, "no_trades": 1}


def test_only_the_instrument_named_is_checked(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "many.db", whole_book(), instrument="A-B")
    change(
        path,
        "INSERT INTO book(instrument, timestamp, bids) SELECT 'C-D', timestamp, bids FROM book",
        "INSERT INTO trades(instrument, timestamp, price, size, side) "
        f"VALUES ('A-B', {START}, 1.0, 1.0, 'buy')",
    )
    assert not check_file(path, "A-B").has_losses
    both = check_file(path)
    assert [recording.instrument for recording in both.recordings] == ["A-B", "C-D"]
    assert both.has_losses


# -- the file itself


def damage_of(path: Path) -> str:
    file = check_file(path)
    assert file.has_losses
    assert all(str(path) in line for line in file.damage)
    return "\n".join(file.damage)


def test_a_cut_file_is_damaged(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "A-B.db", whole_book())
    os.truncate(path, path.stat().st_size - 1)
    settle(path)
    assert "cut short, it has" in damage_of(path)


def test_an_index_that_is_not_the_tables_is_damaged(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "A-B.db", whole_book(), index=BY_TIMESTAMP)
    ((root,),) = query(path, "SELECT rootpage FROM sqlite_master WHERE name = 'book_0'")
    content = bytearray(path.read_bytes())
    start = (root - 1) * PAGE
    assert content[start + 3 : start + 5] == (60).to_bytes(2, "big")
    content[start + 3 : start + 5] = (58).to_bytes(2, "big")
    path.write_bytes(content)
    settle(path)
    assert "wrong # of entries in index book_0" in damage_of(path)


def test_a_page_that_makes_no_sense_is_damage_and_the_rest_is_checked(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "A-B.db", whole_book(), [TradeRow(1, START)])
    ((root,),) = query(path, "SELECT rootpage FROM sqlite_master WHERE name = 'book'")
    content = bytearray(path.read_bytes())
    content[(root - 1) * PAGE : root * PAGE] = b"\xff" * PAGE
    path.write_bytes(content)
    settle(path)
    assert "cannot be read further (database disk image is malformed)" in damage_of(path)
    assert check_file(path).recordings[0].trades == 1


def test_a_file_that_is_no_database_is_damaged_and_one_of_another_kind_is_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "A-B.db"
    path.write_bytes(b"hello" * 1000)
    assert "not a readable SQLite recording (file is not a database)" in damage_of(path)
    path.write_bytes(b"")
    change(path, "CREATE TABLE other(x)")
    with pytest.raises(RecordingError, match="neither a table book nor a table trades"):
        check_file(path)


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="needs the real recordings")
@pytest.mark.parametrize("name", ["okx_v5_202205", "binance_spot_nexousdt_202407"])
def test_the_real_recordings_have_lost_nothing(name: str) -> None:
    assert not check_file(REAL_DATA / f"{name}.db").has_losses
