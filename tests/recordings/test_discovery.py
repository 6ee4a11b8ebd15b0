import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from recording_factory import (
    DAY,
    START,
    BookRow,
    TradeRow,
    book_rows,
    change,
    insert,
    trade_rows,
    write_recording,
)

from db_interpreter import DBInterpreter
from orderflow.errors import NothingToReplayError, RecordingError, UsageError
from recordings.discovery import Recording, find_recording, is_named_for

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
        "btc-usdt-25-06-09",
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
    assert len(list(interpreter.stream())) == 1
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


def test_a_name_in_the_wrong_case_is_near(tmp_path: Path) -> None:
    recording_of(tmp_path / "ETH-USDT.db")
    recording_of(tmp_path / "BTC-USDT.db")
    assert "found there: BTC-USDT (2025-06-09), ETH-USDT" in error_of(tmp_path, "btc-usdt")


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
