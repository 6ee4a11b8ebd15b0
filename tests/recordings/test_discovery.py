import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import mkdtemp

import pytest
from recording_factory import (
    DAY,
    START,
    BookRow,
    TradeRow,
    book_rows,
    change,
    insert,
    settle,
    trade_rows,
    without_privileges,
    write_recording,
)

from db_interpreter import DBInterpreter
from orderflow.errors import NothingToReplayError, RecordingError, UsageError
from recordings.discovery import Recording, find_recording
from recordings.search import is_named_for

POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX users")
SNAPSHOT = '[["100", "1"], ["99", "1"], ["98", "1"], ["97", "1"], ["96", "1"]]'


def recording_of(path: Path, first_ms: int = START, instrument: str | None = None) -> Path:
    """Write a recording of two book rows and two trades, a minute apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = [first_ms, first_ms + 60_000]
    return write_recording(path, book_rows(times), trade_rows(times), instrument=instrument)


def recording_of_many(path: Path, *instruments: str, first_ms: int = START) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_recording(path, instrument="NOTHING")
    with closing(sqlite3.connect(path)) as connection:
        for number, name in enumerate(instruments):
            insert(connection, "book", [BookRow(None, first_ms + number)], name)
            insert(connection, "trades", [TradeRow(None, first_ms + number)], name)
        connection.commit()
    return path


def find(directory: Path, instrument: str = "BTC-USDT", days: int = 1) -> Recording:
    return find_recording(instrument, directory, START, START + days * DAY)


def files_of(recording: Recording) -> list[str]:
    return sorted({table.path.name for table in (*recording.books, *recording.trades)})


def error_of(directory: Path, instrument: str = "BTC-USDT") -> str:
    with pytest.raises(NothingToReplayError) as caught:
        find(directory, instrument)
    return str(caught.value)


# -- which files are an instrument's


@pytest.mark.parametrize(
    "stem",
    [
        "BTC-USDT",
        "BTC-USDT-25-06-09",
        "BTC-USDT_25-06-09",
        "BTC-USDT.25-06-09",
        "BTC-USDT-2025-06-09",
        "BTC-USDT_2025-06-09",
        "BTC-USDT-20250609",
        "BTC-USDT_20250609",
    ],
)
def test_a_file_named_for_the_instrument_and_perhaps_a_date_is_taken(
    tmp_path: Path, stem: str
) -> None:
    recording_of(tmp_path / f"{stem}.db")
    assert files_of(find(tmp_path)) == [f"{stem}.db"]


@pytest.mark.parametrize(
    "stem",
    [
        "BTC-USDT-SWAP",
        "BTC-USDT-SWAP-25-06-09",
        "BTC-USDT-SWAP_2025-06-09",
        "BTC-USDT-250609",
        "BTC-USDT-25-06",
        "BTC-USDT-25-06-09-1",
        "BTC-USDT25-06-09",
        "XBTC-USDT-25-06-09",
        "BTC-USD",
        "BTC_USDT-25-06-09",
    ],
)
def test_a_file_of_another_name_is_not_taken(tmp_path: Path, stem: str) -> None:
    recording_of(tmp_path / f"{stem}.db")
    assert "no recording of BTC-USDT" in error_of(tmp_path) or "no recording under" in error_of(
        tmp_path
    )


def test_spot_and_swap_in_one_directory_keep_apart(tmp_path: Path) -> None:
    recording_of(tmp_path / "BTC-USDT-25-06-09.db")
    recording_of(tmp_path / "BTC-USDT-SWAP-25-06-09.db")
    assert files_of(find(tmp_path)) == ["BTC-USDT-25-06-09.db"]
    assert files_of(find(tmp_path, "BTC-USDT-SWAP")) == ["BTC-USDT-SWAP-25-06-09.db"]


def test_a_future_is_not_a_dated_file_of_its_underlying(tmp_path: Path) -> None:
    recording_of(tmp_path / "BTC-USD-220527.db")
    recording_of(tmp_path / "BTC-USD-220527-25-06-09.db", START + 1)
    recording_of(tmp_path / "BTC-USD-25-06-09.db")
    assert files_of(find(tmp_path, "BTC-USD")) == ["BTC-USD-25-06-09.db"]
    assert files_of(find(tmp_path, "BTC-USD-220527")) == [
        "BTC-USD-220527-25-06-09.db",
        "BTC-USD-220527.db",
    ]


@pytest.mark.parametrize("suffix", [".db", ".sqlite", ".sqlite3"])
def test_directories_are_searched_to_the_bottom_and_for_every_suffix(
    tmp_path: Path, suffix: str
) -> None:
    recording_of(tmp_path / "2025" / "06" / "x.db" / f"BTC-USDT{suffix}")
    recording_of(tmp_path / "BTC-USDT-25-06-09.txt")
    assert files_of(find(tmp_path)) == [f"BTC-USDT{suffix}"]


def test_a_name_is_matched_as_it_is_and_never_as_a_pattern() -> None:
    assert is_named_for("A.B-25-06-09", "A.B")
    assert not is_named_for("AxB-25-06-09", "A.B")


def test_a_name_that_is_no_instruments_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="an instrument has only letters, digits"):
        find(tmp_path, "../x")


# -- upper and lower case


@pytest.mark.parametrize(
    ("asked", "stem"), [("btc-usdt", "BTC-USDT_25-06-09"), ("BTC-USDT", "btc-usdt_2025-06-09")]
)
def test_a_name_in_another_case_finds_the_files_of_the_recorded_one_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, asked: str, stem: str
) -> None:
    recording_of(tmp_path / f"{stem}.db")
    recording_of(tmp_path / "BTC-USDT-SWAP.db")
    assert files_of(find(tmp_path, asked)) == [f"{stem}.db"]
    assert caplog.messages == [f"no recording of {asked}; {stem[:8]} is replayed"]


def test_a_name_in_another_case_finds_the_rows_of_the_recorded_one(tmp_path: Path) -> None:
    recording_of_many(tmp_path / "many.db", "BTC-USDT", "ETH-USDT")
    found = find(tmp_path, "Btc-Usdt")
    assert len(list(DBInterpreter.of_tables(found.books, found.trades).stream())) == 1


def test_a_name_as_recorded_goes_before_one_in_another_case(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recording_of_many(tmp_path / "many.db", "btc-usdt", "BTC-USDT")
    found = find(tmp_path, "btc-usdt")
    assert [table.first_ms for table in found.books] == [START]
    assert caplog.messages == []


def test_of_two_names_that_differ_in_case_alone_one_has_to_be_named(tmp_path: Path) -> None:
    recording_of_many(tmp_path / "many.db", "Btc-Usdt")
    recording_of(tmp_path / "BTC-USDT.db")
    assert error_of(tmp_path, "btc-usdt") == (
        f"no recording of btc-usdt under {tmp_path}, but of BTC-USDT and Btc-Usdt; write the one "
        "you mean as it is recorded"
    )


# -- one file in place of a directory


@pytest.mark.parametrize("name", ["BTC-USDT_2025-06-09.db", "mine.db", "mine.backup"])
def test_a_file_in_place_of_a_directory_is_the_only_one_used(tmp_path: Path, name: str) -> None:
    path = recording_of(tmp_path / name)
    recording_of(tmp_path / "BTC-USDT.db")
    assert files_of(find(path)) == [name]


def test_a_file_of_another_instrument_is_not_taken_though_it_is_named(tmp_path: Path) -> None:
    path = recording_of(tmp_path / "ETH-USDT.db")
    assert error_of(path) == (
        f"no recording of BTC-USDT under {path}; found there: ETH-USDT (2025-06-09)"
    )
    many = recording_of_many(tmp_path / "many.db", "XRP-EUR")
    assert "found there: XRP-EUR (2025-06-09)" in error_of(many)


def test_a_named_file_that_is_no_recording_is_an_error_with_the_tables_in_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE orders(x)")
        connection.execute("CREATE TABLE quotes(x)")
    with pytest.raises(RecordingError, match=r"neither a table book .* found orders, quotes$"):
        find(path)
    empty = tmp_path / "empty.db"
    empty.touch()
    with pytest.raises(RecordingError, match=r"nor a table trades; found no table at all$"):
        find(empty)


# -- what cannot be looked into


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """Give a directory that other users may look into, and take it back whatever it holds."""
    directory = Path(mkdtemp())
    directory.chmod(0o755)
    yield directory
    for path in [directory, *directory.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(directory)


def refused(directory: Path, days: int = 1) -> RecordingError:
    with pytest.raises(RecordingError) as caught:
        find(directory, days=days)
    return caught.value


def make_unreadable(path: Path) -> Path:
    path.chmod(0)
    return path


@POSIX
@pytest.mark.parametrize("mode", [0, 0o444])
def test_a_folder_that_may_not_be_read_fails_by_name(open_directory: Path, mode: int) -> None:
    recording_of(open_directory / "BTC-USDT.db")
    closed = open_directory / "06" / "closed"
    recording_of(closed / "BTC-USDT_2025-06-09.db")
    closed.chmod(mode)
    with without_privileges():
        error = refused(open_directory)
    assert error.path.startswith(str(closed))
    assert str(error).startswith(f"{error.path}: may not be read (Permission denied), and the")
    assert str(error).endswith("make it readable, or name another directory with --data-dir")


@POSIX
def test_a_folder_that_may_not_be_read_is_named_where_nothing_else_is_found(
    open_directory: Path,
) -> None:
    closed = open_directory / "closed"
    recording_of(closed / "BTC-USDT.db")
    make_unreadable(closed)
    with without_privileges():
        assert f"{closed}: may not be read" in str(refused(open_directory))
        assert f"{closed}: may not be read" in str(refused(closed))
        error = refused(closed / "BTC-USDT.db")
    assert f"{closed}/BTC-USDT.db: may not be read (Permission denied)" in str(error)


@POSIX
def test_a_folder_that_may_not_be_read_is_only_said_where_the_range_is_covered(
    open_directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    times = [START + 59_000, START + DAY // 2, START + DAY - 60_000]
    write_recording(open_directory / "BTC-USDT_1.db", book_rows(times[:2]))
    write_recording(
        open_directory / "BTC-USDT_2025-06-09.db", book_rows(times[:2]), trade_rows([times[1]])
    )
    write_recording(open_directory / "BTC-USDT_2025-06-10.db", book_rows(times[1:]), None)
    closed = open_directory / "closed"
    closed.mkdir()
    make_unreadable(closed)
    with without_privileges():
        assert len(find(open_directory).books) == 2
        assert caplog.messages == [f"{closed}: may not be read (Permission denied); left out"]
        assert "do not cover the range" in str(refused(open_directory, days=2))
    (open_directory / "BTC-USDT_2025-06-10.db").unlink()
    with without_privileges():
        assert "do not cover the range" in str(refused(open_directory))


@pytest.mark.parametrize("missing", ["first", "middle", "trades"])
def test_what_is_hidden_may_be_what_the_range_lacks(tmp_path: Path, missing: str) -> None:
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    hour = DAY // 24
    times = [START + hour * n for n in range(24)] + [START + DAY - 1]
    parts = {"first": [times[0], times[8]], "middle": times[8:17:8], "last": [times[16], times[24]]}
    for number, (name, part) in enumerate(parts.items()):
        if name != missing:
            path = tmp_path / f"BTC-USDT_2025060{number}.db"
            trades = [] if missing == "trades" else trade_rows(part)
            write_recording(path, book_rows(part), trades)
    assert "gone: a link that leads nowhere (No such file" in str(refused(tmp_path))


@POSIX
def test_a_file_of_many_that_may_not_be_read_fails_by_name(open_directory: Path) -> None:
    recording_of(open_directory / "BTC-USDT.db")
    make_unreadable(recording_of(open_directory / "ETH-USDT.db"))
    with without_privileges():
        assert files_of(find(open_directory)) == ["BTC-USDT.db"]
    many = make_unreadable(recording_of_many(open_directory / "many.db", "BTC-USDT"))
    with without_privileges():
        assert f"{many}: no permission to read it" in str(refused(open_directory))


def test_links_that_lead_nowhere_or_in_a_circle_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recording_of(tmp_path / "BTC-USDT.db")
    (tmp_path / "late.db").symlink_to(tmp_path / "gone.db")
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    (tmp_path / "notes.txt").symlink_to(tmp_path / "gone.txt")
    message = str(refused(tmp_path))
    assert f"{tmp_path}/itself: a link that leads nowhere (Too many levels" in message
    assert ", and 1 more like it, " in message
    assert len(caplog.messages) == 2


def test_linked_folders_are_searched_once_and_circles_do_no_harm(tmp_path: Path) -> None:
    data = tmp_path / "data"
    recording_of(tmp_path / "elsewhere" / "BTC-USDT.db")
    data.mkdir()
    for name in ("one", "two"):
        (data / name).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(data)
    assert len(find(data).books) == 1


@POSIX
def test_a_file_systems_own_folders_do_not_matter(open_directory: Path) -> None:
    recording_of(open_directory / "BTC-USDT.db")
    for name in ("lost+found", ".Trash-0"):
        (open_directory / name).mkdir(mode=0)
    with without_privileges():
        assert files_of(find(open_directory)) == ["BTC-USDT.db"]


def test_a_damaged_file_is_used_up_to_where_the_next_one_begins(tmp_path: Path) -> None:
    for day in range(3):
        recording_of(tmp_path / f"BTC-USDT_2025-06-0{day}.db", START + (2 * day - 2) * DAY)
    cut = tmp_path / "BTC-USDT_2025-06-01.db"
    os.truncate(cut, cut.stat().st_size - 1)
    settle(cut)
    # Its rows end in the first minute, and what is lost may lie anywhere in the two days after.
    later = find_recording("BTC-USDT", tmp_path, START + DAY, START + 3 * DAY)
    assert cut.name in {table.path.name for table in later.trades}
    after = find_recording("BTC-USDT", tmp_path, START + 2 * DAY + 1, START + 3 * DAY)
    assert cut.name not in {table.path.name for table in after.trades}


# -- recordings of many instruments


@pytest.mark.parametrize(
    "stem", ["recording", "okx_v5_202205", "2025-06-09", "20250609", "25-06-09", "OKX-2025-06-09"]
)
def test_a_recording_of_many_belongs_to_the_instruments_in_it(tmp_path: Path, stem: str) -> None:
    recording_of_many(tmp_path / f"{stem}.db", "BTC-USDT", "BTC-USDT-SWAP", "ETH-USDT")
    found = find(tmp_path)
    assert files_of(found) == [f"{stem}.db"]
    interpreter = DBInterpreter.of_tables(found.books, found.trades)
    assert [(u.timestamp, len(t)) for u, t in interpreter.stream()] == [(START, 1)]
    assert "ETH-USDT (2025-06-09)" in error_of(tmp_path, "ETH-USDC")


def test_a_recording_of_many_is_read_beside_the_instruments_own_files(tmp_path: Path) -> None:
    recording_of_many(tmp_path / "all.db", "BTC-USDT", "ETH-USDT")
    recording_of(tmp_path / "BTC-USDT-25-06-09.db", START + 3_600_000)
    assert files_of(find(tmp_path)) == ["BTC-USDT-25-06-09.db", "all.db"]
    assert files_of(find(tmp_path, "ETH-USDT")) == ["all.db"]


def test_files_of_others_that_cannot_be_read_do_not_matter(tmp_path: Path) -> None:
    recording_of(tmp_path / "BTC-USDT.db")
    (tmp_path / "ETH-USDT.db").write_bytes(b"not a database" * 100)
    (tmp_path / "many.db").write_bytes(b"not a database" * 100)
    write_recording(tmp_path / "untitled.db", book_rows([START]))
    assert files_of(find(tmp_path)) == ["BTC-USDT.db"]


def test_an_own_file_that_cannot_be_read_is_an_error_by_name(tmp_path: Path) -> None:
    recording_of(tmp_path / "BTC-USDT-25-06-09.db")
    (tmp_path / "BTC-USDT-25-06-10.db").write_bytes(b"not a database" * 100)
    with pytest.raises(RecordingError, match=r"BTC-USDT-25-06-10\.db: not a readable SQLite"):
        find(tmp_path)


# -- which of them a range needs


def test_only_the_files_of_the_range_are_read(tmp_path: Path) -> None:
    for day in range(-2, 4):
        moment = START + day * DAY + 3_600_000
        write_recording(
            tmp_path / f"BTC-USDT-{day + 10:08}.db",
            [BookRow(1, moment, SNAPSHOT, SNAPSHOT.replace("9", "10"))],
            trade_rows([moment]),
        )
    found = find(tmp_path, days=2)
    assert [table.first_ms for table in found.trades] == [
        START + day * DAY + 3_600_000 for day in (0, 1)
    ]
    assert (found.first_ms, found.last_ms) == (START + 3_600_000, START + DAY + 3_600_000)


def test_a_day_that_begins_with_updates_takes_the_day_before_along(tmp_path: Path) -> None:
    for day in (-1, 0):
        recording_of(tmp_path / f"BTC-USDT-{day + 10:08}.db", START + day * DAY)
    found = find(tmp_path)
    assert [table.first_ms for table in found.books] == [START - DAY, START]
    assert [table.first_ms for table in found.trades] == [START]


def test_the_end_of_the_range_is_not_in_it(tmp_path: Path) -> None:
    recording_of(tmp_path / "BTC-USDT.db", START + DAY)
    assert error_of(tmp_path) == (
        f"no row of BTC-USDT in the range; the recordings under {tmp_path} have "
        "2025-06-10T00:00 to 2025-06-10T00:01 UTC"
    )


def test_a_table_without_one_usable_time_is_read_so_that_its_rows_are_counted(
    tmp_path: Path,
) -> None:
    write_recording(tmp_path / "BTC-USDT.db", book_rows([START]), trade_rows([None, "n/a"]))
    found = find(tmp_path)
    interpreter = DBInterpreter.of_tables(found.books, found.trades)
    windows = interpreter.stream()
    assert next(windows)[0].timestamp == START
    with pytest.raises(RecordingError, match="no row of table trades has a usable timestamp"):
        next(windows)
    assert interpreter.counts.trades_skipped == 2


# -- what is said when nothing is found


def test_the_message_says_where_it_looked_and_what_is_there_nearest_first(tmp_path: Path) -> None:
    recording_of(tmp_path / "ETH-USDT-25-06-09.db")
    recording_of(tmp_path / "BTC-USDT-SWAP-25-06-09.db")
    recording_of(tmp_path / "BTC-USDT-SWAP-25-06-11.db", START + 2 * DAY)
    recording_of_many(tmp_path / "many.db", "BTC-USDC", "XRP-EUR", first_ms=START - DAY)
    assert error_of(tmp_path) == (
        f"no recording of BTC-USDT under {tmp_path}; found there: BTC-USDC (2025-06-08), "
        "BTC-USDT-SWAP (2025-06-09 to 2025-06-11), ETH-USDT (2025-06-09), XRP-EUR (2025-06-08)"
    )


def test_of_many_instruments_the_nearest_ten_are_listed(tmp_path: Path) -> None:
    recording_of_many(tmp_path / "many.db", *(f"COIN{number}-EUR" for number in range(30)))
    message = error_of(tmp_path, "COIN7-EUR-SWAP")
    assert "found there: COIN7-EUR (2025-06-09), " in message
    assert message.count("(2025-06-09)") == 10
    assert message.endswith(" and 20 more")


def test_without_a_data_directory_the_message_names_it(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    assert error_of(missing).startswith(f"no data directory {missing}; name the one with your")


def test_a_directory_without_recordings_is_said_with_what_was_seen(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"not a database" * 100)
    assert error_of(tmp_path).startswith(f"no recording under {tmp_path} (1 database files seen)")


def test_a_directory_of_other_files_alone_is_said_with_the_importer(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"x")
    assert error_of(tmp_path).startswith(
        f"no recording under {tmp_path} (0 database files seen; "
        "uv run -m formats import FILE… --into DIR takes archives, other files here: 1)"
    )


def test_recordings_without_rows_or_dates_are_listed_all_the_same(tmp_path: Path) -> None:
    write_recording(tmp_path / "BTC-USDC.db")
    write_recording(tmp_path / "BTC-EUR.db", book_rows([None, "n/a"]))
    assert "BTC-USDC (no dates), BTC-EUR (no dates)" in error_of(tmp_path)
    assert "have no rows" in error_of(tmp_path, "BTC-USDC")


def test_a_damaged_recording_of_many_that_may_be_the_instruments_is_not_passed_over(
    tmp_path: Path,
) -> None:
    many = recording_of_many(tmp_path / "many.db", *(f"C{n}-EUR" for n in range(2000)))
    damage = bytearray(many.read_bytes())
    damage[3 * 4096 : 20 * 4096] = b"\xff" * (17 * 4096)
    many.write_bytes(damage)
    found = find(tmp_path)
    assert files_of(found) == ["many.db"]
    with pytest.raises(RecordingError, match=r"many\.db: cannot be read further"):
        list(DBInterpreter.of_tables(found.books, found.trades).stream())


def test_instruments_without_usable_times_have_no_dates(tmp_path: Path) -> None:
    change(
        recording_of_many(tmp_path / "many.db", "A-EUR"),
        "UPDATE book SET timestamp = NULL",
        "UPDATE trades SET timestamp = 'n/a'",
    )
    assert "A-EUR (no dates)" in error_of(tmp_path)
