"""Which day's file a row or an event goes into."""

import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

from recordings.day_files import LINGER_MS, DayFiles
from recordings.recorder_rows import BookRow, RecorderEvent, TradeRow, day_of

DAY_MS = 86_400_000
START = 20_000 * DAY_MS
NAME = "BTC-USDT"


def trade(number: int, timestamp: int) -> TradeRow:
    return TradeRow(
        NAME, str(number), "1", "1", "buy", timestamp, 1, None, number, day_of(timestamp)
    )


def missed(before: int, after: int) -> RecorderEvent:
    return RecorderEvent("trades_missed", NAME, 1, 1, row_before=before, row_after=after)


def kinds(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        sql = "SELECT kind FROM recorder_events WHERE kind != 'recording' ORDER BY id"
        return [kind for (kind,) in connection.execute(sql)]


def test_a_loss_stands_in_the_file_of_the_rows_around_it(tmp_path: Path) -> None:
    files = DayFiles(tmp_path, NAME, 0, lambda _text: None)
    today, ahead = START + 1000, START + 2 * DAY_MS
    files.write([trade(1, today), trade(2, ahead)], 1)
    files.write([missed(today, today + 1), trade(4, today + 1)], 2)
    files.write([RecorderEvent("malformed_frames", NAME, 2, 2)], 3)
    files.close(4)
    first, future = files.paths
    assert kinds(first) == ["trades_missed", "malformed_frames"]
    assert kinds(future) == []


def test_a_row_dated_days_ahead_does_not_close_the_file_of_today(tmp_path: Path) -> None:
    files = DayFiles(tmp_path, NAME, 0, lambda _text: None)
    files.write([trade(1, START), trade(2, START + 2 * DAY_MS), trade(3, START + 1)], 1)
    today, future = files.paths
    files.tick(1 + LINGER_MS)
    assert today.with_name(f"{today.name}-wal").exists()
    assert not future.with_name(f"{future.name}-wal").exists()
    files.write([trade(4, START + DAY_MS)], 2 + LINGER_MS)
    files.tick(2 + 2 * LINGER_MS)
    assert not today.with_name(f"{today.name}-wal").exists()
    files.close(3 + 2 * LINGER_MS)


def test_a_reader_that_looks_again_and_again_does_not_keep_the_log(tmp_path: Path) -> None:
    files = DayFiles(tmp_path, NAME, 0, lambda _text: None)
    files.write([trade(1, START)], 1)
    (path,) = files.paths
    looking, done = Event(), Event()

    def look() -> None:
        while not done.is_set():
            uri = f"{path.as_uri()}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection:
                connection.execute("SELECT count(*) FROM trades").fetchone()
                looking.set()
                done.wait(0.02)
            done.wait(0.01)

    reader = Thread(target=look)
    reader.start()
    try:
        assert looking.wait(10)
        files.close(2)
    finally:
        done.set()
        reader.join()
    assert [found.suffix for found in tmp_path.iterdir() if found.stem == path.stem] == [".db"]


def test_book_rows_and_trades_go_into_the_files_of_their_days(tmp_path: Path) -> None:
    files = DayFiles(tmp_path, NAME, 0, lambda _text: None)
    late = START + DAY_MS - 1
    row = BookRow(NAME, "[]", "[]", START + DAY_MS, "update", 1, 0, 1, day_of(START + DAY_MS))
    files.write([trade(1, late), row, trade(2, late)], 1)
    files.close(2)
    counts = []
    for path in files.paths:
        with closing(sqlite3.connect(path)) as connection:
            counts.append(
                [
                    connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                    for table in ("book", "trades")
                ]
            )
    assert counts == [[0, 2], [1, 0]]
