"""Rows whose levels compiled code parses as it reads them are those that are read as text."""

import os
import sqlite3
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from level_parser import parse_levels
from orderflow.errors import RecordingError
from orderflow.events import LostRows
from orderflow.parsed_rows import HEARTBEAT, READ, UNREADABLE, ParsedRows
from recordings import parsed_table, raw_rows
from recordings.book_decoder import is_heartbeat, marks_of
from recordings.parsed_table import BookReader, RowReader
from recordings.recorded_table import RecordedTable
from recordings.sqlite_library import addresses
from recordings.table_spec import BOOK, TRADES

pytestmark = pytest.mark.skipif(
    BookReader is None or addresses() is None, reason="nothing compiled can read SQLite here"
)
START = 1_749_427_200_000
REAL_DATA = Path(__file__).parents[3] / "shared" / "data"
SMALL = replace(BOOK, batch=40, reorder=24, max_value=3_000)
"""A spec of which a few hundred rows are many batches."""
PLAIN = '[["100.5","2","0","1"],["100.25","0.5","0","1"]]'
SIDES = (
    "[]", "", None, "[[]]", "no levels", 7, 1.5, b'[["1","2"]]', '[["nan","1"]]', '[["1","-2"]]',
    '[["0.1234567890123456789012345","2"]]', '[[1e2, 3]]', '[["1","2"]', "[" * 40, "\u0661",
    '[["1","2"]]\x00', "x" * 4_000,
)  # fmt: skip
TIMES = (
    None,
    START // 1000,
    str(START),
    START * 1_000_000,
    "2025-06-09T00:00:01Z",
    "soon",
    b"1",
    0.5,
)
ACTIONS = (
    "snapshot", "update", "partial", None, "Snapshot ", "else", b"update", 3,
    "snapshot\x00", "update\x00 no",
)  # fmt: skip
IDS = (None, -1, 5, 2**60, 2.0, 2.5, "7", "x")
TABLES = ("id INTEGER PRIMARY KEY, ", "id INTEGER, ", "")
INDEXES = (None, None, "timestamp", "instrument, timestamp")


def levels_text(draw: Random) -> str:
    levels = (
        f'["{draw.randrange(1, 10**6) / 100}","{draw.random():.6g}","0","1"]' for _ in "12345"
    )
    return f"[{','.join(levels)}]"


def odd_or(draw: Random, share: float, usual: Any, odd: Iterable[Any]) -> Any:
    return draw.choice(list(odd)) if draw.random() < share else usual


def write_odd_recording(path: Path, seed: int) -> None:
    """Write a recording that is odd in many ways, or in few, or not at all."""
    draw = Random(seed)
    share = draw.choice((0.0, 0.002, 0.05))
    jitter = draw.choice((0, 5, 30, 400, 3_000))
    marked = draw.random() < 0.5
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA encoding = '{draw.choice(('UTF-8', 'UTF-8', 'UTF-16'))}'")
        more = ", action, seq_id, prev_seq_id" if marked else ""
        kinds = f"{draw.choice(TABLES)}instrument TEXT, bids, asks, timestamp{more}"
        connection.execute(f"CREATE TABLE book({kinds})")
        if index := draw.choice(INDEXES):
            connection.execute(f"CREATE INDEX by_time ON book({index})")
        names = "instrument, bids, asks, timestamp" + more
        newest_first = draw.random() < 0.1
        for place in range(draw.choice((0, 1, 39, 40, 41, 300))):
            ms = START + (-10 if newest_first else 10) * place + draw.randrange(jitter + 1)
            row = [
                odd_or(draw, 0.1, "BTC-USDT", ["ETH-USDT"]),
                *(odd_or(draw, share, levels_text(draw), SIDES) for _ in range(2)),
                odd_or(draw, share / 3, ms, TIMES),
            ]
            if marked:
                odd = share if seed % 2 else 0.0
                row += [odd_or(draw, odd, "update", ACTIONS)]
                row += [odd_or(draw, odd, place + before, IDS) for before in (1, 0)]
            places = ",".join("?" * len(row))
            connection.execute(f"INSERT INTO book({names}) VALUES ({places})", row)
        connection.commit()
    os.utime(path, (0, 0))  # nobody writes it any more


def everything_of(table: RecordedTable, *, parsed: bool) -> tuple[dict[str, Any], set[type]]:
    """Read a table to its end; return all that is known then, and what rows came in."""
    rows: list[Any] = []
    kinds: set[type] = set()
    error = None
    try:
        for batch in table.parsed_batches() if parsed else table.batches():
            kinds.add(type(batch))
            rows += batch
    except RecordingError as failed:
        error = str(failed)
    known = {
        "positions": [row[:2] for row in rows],
        "levels": parse_levels(rows),
        "heartbeats": [is_heartbeat(row) for row in rows],
        "marks": marks_of(rows) if rows and len(rows[0]) > 4 else None,
        "lost": table.lost,
        "counts": (table.late, table.skipped),
        "error": error,
    }
    return known, kinds


@pytest.mark.parametrize("seed", range(100))
def test_an_odd_recording_gives_the_same_as_read_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    if seed % 3 == 0:  # so that bytes, and not rows, bound the lists and what is held back
        monkeypatch.setattr(parsed_table, "HELD_BYTES", 3_000)
        monkeypatch.setattr(parsed_table, "FEWEST_ROWS", 1)
        for module in (parsed_table, raw_rows):
            monkeypatch.setattr(module, "BATCH_BYTES", 4_000)
    path = tmp_path / "odd.db"
    write_odd_recording(path, seed)
    try:
        table = RecordedTable(path, SMALL, "BTC-USDT")
    except RecordingError:
        return  # refused before a row is read
    as_text, _ = everything_of(table, parsed=False)
    assert everything_of(table, parsed=True)[0] == as_text


@pytest.mark.thorough
@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the real recordings are not here")
@pytest.mark.parametrize("path", sorted(REAL_DATA.glob("*.db")), ids=lambda path: path.stem)
def test_a_real_recording_is_parsed_to_its_end(path: Path) -> None:
    table = RecordedTable(path, BOOK)
    if table.is_empty:
        pytest.skip("it has trades alone")
    parsed, kinds = everything_of(table, parsed=True)
    assert kinds == {ParsedRows}
    assert parsed == everything_of(table, parsed=False)[0]


def plain_recording(path: Path, rows: int = 200) -> RecordedTable:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE book(id INTEGER PRIMARY KEY, bids, asks, timestamp)")
        connection.execute("CREATE TABLE trades(price, size, side, timestamp, trade_id)")
        for place in range(rows):
            book = (PLAIN, PLAIN, START + place)
            connection.execute("INSERT INTO book(bids, asks, timestamp) VALUES (?, ?, ?)", book)
        connection.commit()
    os.utime(path, (0, 0))
    return RecordedTable(path, SMALL)


def test_rows_without_levels_are_told_from_those_that_cannot_be_read(tmp_path: Path) -> None:
    plain_recording(tmp_path / "a.db", rows=0)
    sides = ("", "[]", None, PLAIN, "no levels")
    pairs = [(bids, asks) for bids in sides for asks in sides]
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        rows = [(*pair, START + place) for place, pair in enumerate(pairs)]
        connection.executemany("INSERT INTO book(bids, asks, timestamp) VALUES (?, ?, ?)", rows)
        connection.commit()
    os.utime(tmp_path / "a.db", (0, 0))
    found = [*RecordedTable(tmp_path / "a.db", SMALL).parsed_batches()]
    states = [state for rows in found if isinstance(rows, ParsedRows) for state in rows.states]
    empty = {"", "[]", None}
    assert states == [
        UNREADABLE if "no levels" in pair else HEARTBEAT if empty.issuperset(pair) else READ
        for pair in pairs
    ]


def test_an_action_that_goes_on_after_a_nul_is_another(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    plain_recording(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE book ADD COLUMN action DEFAULT 'update'")
        connection.execute("UPDATE book SET action = ? WHERE id = 150", ("snapshot\x00x",))
        connection.commit()
    os.utime(path, (0, 0))
    table = RecordedTable(path, SMALL)
    assert everything_of(table, parsed=True)[0] == everything_of(table, parsed=False)[0]


def test_an_index_that_is_not_read_along_says_nothing_of_bad_times(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    plain_recording(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE INDEX by_time ON book(timestamp)")
        connection.execute("UPDATE book SET timestamp = timestamp * 1000 WHERE id = 120")
        connection.execute("UPDATE book SET timestamp = 'soon' WHERE id = 150")
        connection.commit()
    os.utime(path, (0, 0))
    table = RecordedTable(path, SMALL)
    as_text, _ = everything_of(table, parsed=False)
    assert as_text["lost"] == [LostRows("rows_skipped", START + 148, 1)]
    assert everything_of(table, parsed=True)[0] == as_text


def test_rows_come_in_the_lists_in_which_they_are_read_as_text(tmp_path: Path) -> None:
    table = plain_recording(tmp_path / "a.db")
    lengths = [len(rows) for rows in table.parsed_batches()]
    assert lengths == [len(rows) for rows in table.batches()] == [16, 40, 40, 40, 40, 24]


def test_after_an_odd_row_the_rest_is_read_as_text(tmp_path: Path) -> None:
    plain_recording(tmp_path / "a.db")
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.execute("UPDATE book SET timestamp = timestamp || '' WHERE id = 150")
        connection.commit()
    os.utime(tmp_path / "a.db", (0, 0))
    found, kinds = everything_of(RecordedTable(tmp_path / "a.db", SMALL), parsed=True)
    assert kinds == {ParsedRows, list}
    assert [order for _, order in found["positions"]] == [*range(1, 201)]


def test_rows_of_which_few_fill_a_list_are_read_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (parsed_table, raw_rows):
        monkeypatch.setattr(module, "BATCH_BYTES", 500)
    found, kinds = everything_of(plain_recording(tmp_path / "a.db"), parsed=True)
    assert (len(found["positions"]), kinds) == (200, {list})


@pytest.mark.parametrize(("levels", "kinds"), [(100_000, {ParsedRows}), (105_000, {list})])
def test_a_side_of_more_than_a_megabyte_is_read_as_text(
    tmp_path: Path, levels: int, kinds: set[type]
) -> None:
    path = tmp_path / "a.db"
    plain_recording(path, rows=20)
    side = f"[{','.join(['[1.25,50]'] * levels)}]"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE book SET bids = ? WHERE id = 15", (side,))
        connection.commit()
    os.utime(path, (0, 0))
    spec = replace(SMALL, max_value=4_000_000)
    found, read_as = everything_of(RecordedTable(path, spec), parsed=True)
    assert (len(found["positions"]), read_as) == (20, kinds)


def test_a_list_ends_with_the_row_that_fills_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (parsed_table, raw_rows):
        monkeypatch.setattr(module, "BATCH_BYTES", 2_500)
    path = tmp_path / "a.db"
    plain_recording(path, rows=0)
    large = f"[{','.join(['[100.5,2]'] * 130)}]"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE INDEX by_time ON book(timestamp)")
        sides = ["[]"] * 19 + [large] * 4
        rows = [(side, side, START + place) for place, side in enumerate(sides)]
        connection.executemany("INSERT INTO book(bids, asks, timestamp) VALUES (?, ?, ?)", rows)
        connection.commit()
    os.utime(path, (0, 0))
    table = RecordedTable(path, SMALL)
    lengths = [len(rows) for rows in table.parsed_batches()]
    assert lengths == [len(rows) for rows in table.batches()] == [20, 1, 1, 1]


def test_without_the_library_rows_are_read_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsed_table, "addresses", lambda: None)
    found, kinds = everything_of(plain_recording(tmp_path / "a.db"), parsed=True)
    assert (len(found["positions"]), kinds) == (200, {list})


def test_a_file_that_may_be_written_is_read_as_text(tmp_path: Path) -> None:
    table = plain_recording(tmp_path / "a.db")
    os.utime(tmp_path / "a.db")
    assert everything_of(table, parsed=True)[1] == {list}


def test_a_file_that_changes_while_it_is_read_is_said_to(tmp_path: Path) -> None:
    table = plain_recording(tmp_path / "a.db")
    read = []
    for parsed in (True, False):
        os.utime(tmp_path / "a.db", (0, 0))
        rows = table.parsed_batches() if parsed else table.batches()
        found = [*next(rows)]
        os.utime(tmp_path / "a.db", (1, 1))
        with pytest.raises(RecordingError, match="changed while it was read"):
            found.extend(row for batch in rows for row in batch)
        read.append(len(found))
    assert read == [40, 40]  # what had been read before comes all the same


def test_a_file_replaced_before_an_odd_row_is_said_to_have_changed(tmp_path: Path) -> None:
    path, other = tmp_path / "a.db", tmp_path / "b.db"
    plain_recording(other)
    table = plain_recording(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE book SET timestamp = timestamp || '' WHERE id = 50")
        connection.commit()
    os.utime(path, (0, 0))
    rows = table.parsed_batches()
    found = [*next(rows)]
    other.replace(path)
    with pytest.raises(RecordingError, match="changed while it was read"):
        found.extend(row for batch in rows for row in batch)
    assert [row[1] for row in found] == [*range(1, 41)]  # none of the other file's


def patch(path: Path, old: bytes, new: bytes) -> None:
    """Damage a file: put `new` in the place of the only `old`."""
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    os.utime(path, (0, 0))


def test_rows_end_where_keys_are_out_of_order_as_those_read_as_text_do(tmp_path: Path) -> None:
    table = plain_recording(tmp_path / "a.db")
    # Before the header of a record, which has 5 bytes and begins with a NULL for the id, is the id.
    patch(tmp_path / "a.db", b"\x81\x16\x05\x00", b"\x80\x03\x05\x00")  # 150 becomes 3
    as_text, _ = everything_of(table, parsed=False)
    assert "not in the order of their keys), after 149 rows" in as_text["error"]
    found, kinds = everything_of(table, parsed=True)
    assert found == as_text
    assert kinds == {ParsedRows}


@pytest.mark.parametrize("first", [1, -5])
def test_rows_end_where_damage_has_taken_a_key(tmp_path: Path, first: int) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        columns = "id INTEGER PRIMARY KEY, bids, asks, timestamp"
        connection.execute(f"CREATE TABLE book({columns}) WITHOUT ROWID")
        rows = [(key, "[]", "[]", START + key) for key in range(first, 20)]
        connection.executemany("INSERT INTO book VALUES (?, ?, ?, ?)", rows)
        connection.commit()
    patch(path, b"\x05\x09\x11\x11\x05", b"\x05\x00\x11\x11\x05")  # 1 becomes NULL
    table = RecordedTable(path, SMALL)
    as_text, _ = everything_of(table, parsed=False)
    assert f"not in the order of their keys), after {1 - first} rows" in as_text["error"]
    assert everything_of(table, parsed=True)[0] == as_text


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the open files")
def test_a_file_is_free_when_a_reading_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    rows = plain_recording(path).parsed_batches()
    next(rows)
    assert is_open(path)
    del rows
    assert not is_open(path)


def is_open(path: Path) -> bool:
    opened = (Path(f"/proc/self/fd/{number}") for number in range(1024))
    return any(file.exists() and file.samefile(path) for file in opened)


@pytest.mark.parametrize("seed", range(6))
def test_trades_are_the_values_that_the_module_gives(tmp_path: Path, seed: int) -> None:
    draw = Random(seed)
    path = tmp_path / "a.db"
    values = (
        1,
        -(2**63),
        2**63 - 1,
        0.1,
        -0.0,
        1e300,
        "",
        "buy",
        "é",
        "a\x00b",
        b"",
        b"\xff",
        None,
    )
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE trades(trade_id, price, size, side, timestamp)")
        for place in range(draw.choice((0, 1, 4_096, 4_097, 9_000))):
            row = [*draw.choices(values, k=4), START + place]
            connection.execute("INSERT INTO trades VALUES (?, ?, ?, ?, ?)", row)
        connection.commit()
    os.utime(path, (0, 0))
    table = RecordedTable(path, TRADES)
    as_module = list(table.batches())
    table.parses = True
    given = list(table.batches())
    assert given == as_module
    assert [type(value) for row in given[:1] for one in row for value in one] == [
        type(value) for row in as_module[:1] for one in row for value in one
    ]


def test_a_statement_that_cannot_be_prepared_reads_nothing(tmp_path: Path) -> None:
    plain_recording(tmp_path / "a.db")
    uri = f"{(tmp_path / 'a.db').as_uri()}?mode=ro".encode()
    found = addresses()
    assert found
    assert RowReader(found, uri, b"SELECT no FROM book", None, 100).read(10) is None
    assert RowReader(found, uri + b"x", b"SELECT 1", None, 100).read(10) is None
    reader = RowReader(found, uri, b"SELECT 1, 'a' UNION SELECT 2, x'00'", None, 100)
    assert reader.read(10) == [(1, b"a"), (2, b"\x00")]
    assert reader.read(10) == []
