"""The oracle of the clients' tests: it is right, and what is held to it can fail."""

import csv
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from places import REAL_DATA
from real_recordings import needs_recordings
from recorded_books import Book, RecordedBooks, RecordedTrade, Side, compare, wrong_trades

INSTRUMENT = "BTC-USDT"
ROWS = (  # time, bids, asks
    (1, '[["10.0","1"],["9","2"]]', '[["11","1"]]'),
    (2, '[["10","0"]]', '[["12","3.50"]]'),
    (2, "[]", '[["11","0"]]'),
    (3, '[["10","4"]]', "[]"),
)


@pytest.fixture
def recorded(tmp_path: Path) -> RecordedBooks:
    with closing(sqlite3.connect(tmp_path / "recording.db")) as connection:
        connection.execute(
            "CREATE TABLE book(id INTEGER PRIMARY KEY, instrument, bids, asks, timestamp)"
        )
        connection.execute(
            "CREATE TABLE trades(id, trade_id, price, size, side, timestamp, instrument)"
        )
        insert = "INSERT INTO book(instrument, timestamp, bids, asks) VALUES (?, ?, ?, ?)"
        connection.executemany(insert, [(INSTRUMENT, *row) for row in ROWS])
        connection.commit()
    return RecordedBooks(tmp_path / "recording.db", INSTRUMENT)


def shown(key: int, bids: list[list[Any]], asks: list[list[Any]]) -> dict[str, Any]:
    return {"key": key, "bids": bids, "asks": asks}


FIRST = shown(1, [["10", "1"], ["9", "2"]], [["11", "1.0"]])
SECOND = shown(2, [[9.0, 2.0]], [[11.0, 1.0], [12.0, 3.5]])
THIRD = shown(2, [["9", "2"]], [["12", "3.5"]])
LAST = shown(3, [[10.0, 4.0], [9.0, 2.0]], [[12.0, 3.5]])


def test_right_books_are_found_right_each_at_its_row(recorded: RecordedBooks) -> None:
    found = compare([FIRST, SECOND, SECOND, THIRD, LAST], recorded, recorded.rows_at(), 10)
    assert found.wrong == []
    assert found.right == [0, 1, 1, 2, 3]


@pytest.mark.parametrize(
    "book",
    [
        pytest.param(FIRST | {"asks": []}, id="a side is missing"),
        pytest.param(FIRST | {"bids": [["10", "1"]]}, id="a level is missing"),
        pytest.param(FIRST | {"bids": [["9", "2"], ["10", "1"]]}, id="not best first"),
        pytest.param(FIRST | {"asks": [["11", "1.00000001"]]}, id="a size differs as text"),
        pytest.param(LAST | {"asks": [[12.0, 3.5000000000001]]}, id="a size differs as a double"),
        pytest.param(FIRST | {"asks": [["11.1", "1"]]}, id="a price differs"),
        pytest.param(FIRST | {"asks": [["11", "1"], ["12", "3.5"]]}, id="a level is of later"),
        pytest.param(FIRST | {"key": 3}, id="the book of another row"),
        pytest.param(FIRST | {"key": 7}, id="no row has this key"),
    ],
)
def test_any_other_book_is_found_wrong(recorded: RecordedBooks, book: dict[str, Any]) -> None:
    assert len(compare([book], recorded, recorded.rows_at(), 10).wrong) == 1


def test_a_book_that_goes_back_is_found_wrong(recorded: RecordedBooks) -> None:
    rows = recorded.rows_at()
    assert len(compare([THIRD, SECOND], recorded, rows, 10).wrong) == 1
    assert len(compare([LAST, FIRST], recorded, rows, 10).wrong) == 1


def test_a_client_of_a_depth_has_just_this_depth(recorded: RecordedBooks) -> None:
    rows = recorded.rows_at()
    cut = FIRST | {"bids": [["10", "1"]]}
    assert compare([cut], recorded, rows, 1).wrong == []
    assert len(compare([FIRST], recorded, rows, 1).wrong) == 1


@pytest.mark.parametrize(
    ("trades", "wrong"),
    [
        ("abc", 0),
        ("b", 0),
        ("", 0),
        ("ac", 1),  # b was left out
        ("abb", 1),
        ("abx", 1),
    ],
)
def test_trades_that_are_lost_doubled_or_unknown_are_found(trades: str, wrong: int) -> None:
    recorded = [RecordedTrade(name, 1.0, 2.0, "buy", 3) for name in "abc"]
    said = [RecordedTrade(name, 1.0, 2.0, "buy", 3)._asdict() for name in trades]
    assert len(wrong_trades(said, recorded)) == wrong


def exchange_checksum(book: Book) -> int:
    """Return OKX's checksum: CRC32 of the best 25 levels, a bid and an ask in turns, signed."""
    fields = [
        f"{price:f}:{size:f}"
        for level in range(25)
        for side in book
        for price, size in _at(side, level)
    ]
    checksum = zlib.crc32(":".join(fields).encode())
    return checksum - (1 << 32) if checksum >> 31 else checksum


def _at(side: Side, level: int) -> Side:
    return side[level : level + 1]


@needs_recordings
@pytest.mark.parametrize(
    ("file", "instrument"),
    [
        ("okex_v5_202107_c1", "ONT-USDT"),
        ("okx_v5_202202", "ELON-USDT"),
        ("okx_v5_202205", "BTC-USDT"),
    ],
)
def test_the_oracle_has_the_exchange_s_own_checksum_after_every_row(
    file: str, instrument: str
) -> None:
    recorded = RecordedBooks(REAL_DATA / f"{file}.db", instrument)
    with (REAL_DATA / f"{file}.oracle.csv").open() as oracle:
        expected = [
            int(row["exchange_checksum"])
            for row in csv.DictReader(oracle)
            if row["instrument"] == instrument
        ]
    books = recorded.after(range(len(recorded.times)), 25)
    assert [exchange_checksum(book) for book in books.values()] == expected
