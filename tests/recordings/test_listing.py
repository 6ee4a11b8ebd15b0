"""What `list` finds out about recordings."""

import os
from pathlib import Path

import pytest
from recording_factory import (
    BY_TIMESTAMP,
    START,
    BookRow,
    book_rows,
    change,
    settle,
    trade_rows,
    write_recording,
)

from orderflow.errors import NothingToReplayError
from recordings.listing import list_recordings

LEVELS = '[["100", "1"], ["99", "1"], ["98", "1"]]'
ABOVE = '[["101", "1"], ["102", "1"], ["103", "1"]]'


def test_a_file_is_listed_with_its_tables_rows_spans_and_indexes(tmp_path: Path) -> None:
    path = write_recording(
        tmp_path / "BTC-USDT_2025-06-09.db",
        book_rows([START, START + 5, None]),
        trade_rows([START + 1, START + 9]),
    )
    change(path, "CREATE INDEX trades_0 ON trades(timestamp)")
    ((recording),) = list_recordings(tmp_path).recordings
    assert (recording.instrument, recording.path) == ("BTC-USDT", path)
    book, trades = recording.tables
    assert (book.name, book.rows, book.first_ms, book.last_ms) == ("book", 3, START, START + 5)
    assert (trades.rows, trades.first_ms, trades.last_ms) == (2, START + 1, START + 9)
    assert (book.indexed, trades.indexed) == (False, True)
    assert (book.kind, book.levels, trades.kind, trades.levels) == ("incremental", 2, None, None)


@pytest.mark.parametrize("index", [(), BY_TIMESTAMP])
def test_full_snapshots_and_actions_are_told_apart_from_updates(
    tmp_path: Path, index: tuple[str, ...]
) -> None:
    rows = [BookRow(None, START + n, LEVELS, ABOVE) for n in range(9)]
    path = write_recording(tmp_path / "A-B.db", rows, index=index)
    (book,) = list_recordings(path).recordings[0].tables
    assert (book.kind, book.levels, book.rows) == ("snapshot", 6, 9)
    change(path, "ALTER TABLE book ADD COLUMN action", "UPDATE book SET action = 'update'")
    (book,) = list_recordings(path).recordings[0].tables
    assert book.kind == "action"


def test_the_instruments_of_a_file_of_many_are_listed_one_by_one(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "many.db", book_rows([START]), None, instrument="A-B")
    with_trades = write_recording(
        tmp_path / "trades.db", None, trade_rows([START] * 3), instrument="C-D"
    )
    found = list_recordings(tmp_path).recordings
    assert [(r.path, r.instrument, [t.name for t in r.tables]) for r in found] == [
        (path, "A-B", ["book"]),
        (with_trades, "C-D", ["trades"]),
    ]
    assert found[1].tables[0].rows == 3


def test_a_file_without_a_name_of_an_instrument_is_listed_without_one(tmp_path: Path) -> None:
    write_recording(tmp_path / "mine.db", book_rows([None, "n/a"]))
    ((recording),) = list_recordings(tmp_path).recordings
    assert recording.instrument is None
    (book,) = recording.tables
    assert (book.rows, book.first_ms, book.last_ms) == (2, None, None)


def test_only_one_instrument_is_listed_where_it_is_named_in_any_case(tmp_path: Path) -> None:
    for name in ("BTC-USDT", "ETH-USDT", "eth-usdt"):
        write_recording(tmp_path / f"{name}.db", book_rows([START]))
    for asked in ("BTC-USDT", "btc-usdt"):
        assert [r.instrument for r in list_recordings(tmp_path, asked).recordings] == ["BTC-USDT"]


def test_names_near_the_one_that_is_not_there_are_said(tmp_path: Path) -> None:
    for name in ("ETH-EUR", "BTC-USDT"):
        write_recording(tmp_path / f"{name}.db", book_rows([START]))
    with pytest.raises(NothingToReplayError) as caught:
        list_recordings(tmp_path, "BTC-USDC")
    assert str(caught.value) == (
        f"no recording of BTC-USDC under {tmp_path}; nearest are BTC-USDT, ETH-EUR"
    )


def test_what_is_no_recording_or_damaged_is_listed_as_such(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"not a database" * 100)
    (tmp_path / "b.db").touch()
    (tmp_path / "c").symlink_to(tmp_path / "nowhere")
    cut = write_recording(tmp_path / "BTC-USDT.db", book_rows([START]))
    os.truncate(cut, cut.stat().st_size - 1)
    settle(cut)
    listing = list_recordings(tmp_path)
    assert [Path(error.path).name for error in listing.left_out] == ["c", "a.db", "b.db"]
    assert str(listing.recordings[0].tables[0].damage).startswith("cut short, it has")


def test_an_empty_directory_is_said(tmp_path: Path) -> None:
    with pytest.raises(NothingToReplayError, match="no database file under"):
        list_recordings(tmp_path)
