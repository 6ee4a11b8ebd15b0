"""hftbacktest's npz: what is in it, event by event, and back again as a recording."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from exports import (
    BUY,
    MINUTE,
    SELL,
    START,
    books_by_events,
    events_in,
    exported,
    recording_of,
)
from real_recordings import DATA, needs_recordings
from recorded_market import replayed_books, replayed_trades

from formats.importing import ImportOptions, import_file
from orderflow.errors import NothingToReplayError, UsageError
from recordings.writer import RecordingWriter

BOTH = 3 << 30
NAME = "X-USDT"


def write(path: Path, book: list[tuple[object, ...]], trades: list[tuple[object, ...]]) -> Path:
    """Write rows `(bids, asks, ms, action)` and trades `(price, size, side, ms)`."""
    path.parent.mkdir(exist_ok=True)
    with RecordingWriter(path, imported=True) as writer:
        writer.write_book([(NAME, *row, None, None, None) for row in book])
        writer.write_trades([(NAME, None, *trade, None) for trade in trades])
    return path


def of_small(tmp_path: Path) -> list[tuple[object, ...]]:
    """Export a book of two snapshots, with trades at the time of a row and between."""
    write(
        tmp_path / "in" / "X-USDT.db",
        [
            ('[["100","1"],["99","2"]]', '[["101","3"]]', START + 10, "snapshot"),
            ('[["100","0"]]', '[["102","4"]]', START + 20, "update"),
            ("[]", "[]", START + 25, "update"),
            ('[["98","5"]]', '[["103","6"]]', START + 30, "snapshot"),
        ],
        [
            ("100.5", "0.1", "buy", START + 5),
            ("100", "1", "sell", START + 20),
            ("98", "0.3", "buy", START + 30),
            ("99", "0.2", None, START + 40),
        ],
    )
    exported("hftbacktest", tmp_path / "in", tmp_path / "x.npz", instrument=NAME)
    return [(flags ^ BOTH, ns - START * 10**6, local - ns, price, size, *rest)
            for flags, ns, local, price, size, *rest in events_in(tmp_path / "x.npz")]  # fmt: skip


def test_each_level_and_trade_is_an_event_and_trades_come_first(tmp_path: Path) -> None:
    assert [event[:5] for event in of_small(tmp_path)] == [
        (2 | BUY, 5_000_000, 0, 100.5, 0.1),
        (3, 10_000_000, 0, 0.0, 0.0),
        (4 | BUY, 10_000_000, 0, 100.0, 1.0),
        (4 | BUY, 10_000_000, 0, 99.0, 2.0),
        (4 | SELL, 10_000_000, 0, 101.0, 3.0),
        (2 | SELL, 20_000_000, 0, 100.0, 1.0),
        (1 | BUY, 20_000_000, 0, 100.0, 0.0),
        (1 | SELL, 20_000_000, 0, 102.0, 4.0),
        (2 | BUY, 30_000_000, 0, 98.0, 0.3),
        (3, 30_000_000, 0, 0.0, 0.0),
        (4 | BUY, 30_000_000, 0, 98.0, 5.0),
        (4 | SELL, 30_000_000, 0, 103.0, 6.0),
        (2, 40_000_000, 0, 99.0, 0.2),
    ]


def test_what_the_format_has_no_use_for_is_zero(tmp_path: Path) -> None:
    assert {event[5:] for event in of_small(tmp_path)} == {(0, 0, 0.0)}


def test_a_range_begins_with_the_book_that_the_rows_before_it_made(tmp_path: Path) -> None:
    folder = recording_of(tmp_path / "in")
    whole, part = tmp_path / "whole.npz", tmp_path / "part.npz"
    exported("hftbacktest", folder, whole)
    done = exported("hftbacktest", folder, part, start=START + MINUTE)
    assert done.summary["opening_levels"] > 100
    first, *rest = books_by_events(events_in(part))
    after = [book for book in books_by_events(events_in(whole)) if book.ms >= START + MINUTE]
    before = [book for book in books_by_events(events_in(whole)) if book.ms < START + MINUTE]
    assert first == before[-1]._replace(ms=START + MINUTE)
    assert rest == after


@pytest.mark.thorough
def test_an_export_imported_again_gives_the_same_books_and_trades(tmp_path: Path) -> None:
    folder = recording_of(tmp_path / "in", rows=120)
    exported("hftbacktest", folder, tmp_path / "BTC-USDT_20250609.npz")
    check_round_trip(folder / "BTC-USDT.db", "BTC-USDT", tmp_path)


@needs_recordings
@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "instrument"),
    [("okx_v5_202205", "UNI-USD-SWAP"), ("okex_v5_202107_c1", "XMR-USDT-SWAP")],
)
def test_a_real_recording_comes_back_as_it_was(name: str, instrument: str, tmp_path: Path) -> None:
    path = DATA / f"{name}.db"
    exported(
        "hftbacktest", path, tmp_path / "BTC-USDT_20250609.npz", instrument=instrument, start=1,
        end=2 * 10**12,
    )  # fmt: skip
    check_round_trip(path, instrument, tmp_path)


def check_round_trip(path: Path, instrument: str, tmp_path: Path) -> None:
    """Check that an export has the book after each time, and the trades, of a recording."""
    npz = tmp_path / "BTC-USDT_20250609.npz"
    done = import_file(npz, ImportOptions(tmp_path / "again", instrument=instrument))
    # Rows of one time are one in the format, and rows without levels are none.
    before = {ms: (bids, asks) for ms, bids, asks in replayed_books(path, instrument)}
    after = {ms: (bids, asks) for ms, bids, asks in replayed_books(done.recording, instrument)}
    assert len(after) > 20
    assert {ms: before[ms] for ms in after} == after
    for ms in before.keys() - after.keys():
        assert with_levels(path, ms) == 0
    trades = [trade[:4] for trade in replayed_trades(path, instrument)]
    assert [trade[:4] for trade in replayed_trades(done.recording, instrument)] == trades
    assert len(trades) > 0


def with_levels(path: Path, ms: int) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        query = "SELECT count(*) FROM book WHERE timestamp = ? AND length(bids || asks) > 4"
        return int(connection.execute(query, (ms,)).fetchone()[0])


def test_rows_without_a_snapshot_are_told_of(tmp_path: Path) -> None:
    write(
        tmp_path / "in" / "X-USDT.db",
        [
            ('[["100","1"]]', '[["101","3"]]', START + 10, "update"),
            ("no levels", "[]", START + 20, "update"),
            ('[["99","1"],["98","x"]]', '[["99","1"]]', START + 30, "snapshot"),
        ],
        [],
    )
    done = exported("hftbacktest", tmp_path / "in", tmp_path / "x.npz", instrument=NAME)
    assert {kind: n for kind, n in done.summary["counts"].items() if n} == {
        "rows_skipped": 1, "levels_rejected": 1, "crossed_books": 1, "unproven_rows": 2,
        "no_trades": 1,
    }  # fmt: skip
    assert len(events_in(tmp_path / "x.npz")) == 5


def test_an_empty_range_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = recording_of(tmp_path / "in", rows=10)
    with pytest.raises(NothingToReplayError):
        exported("hftbacktest", folder, tmp_path / "x.npz", start=1, end=2)
    assert list(tmp_path.iterdir()) == [folder]


def test_hftbacktest_goes_by_the_name_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"hftbacktest reads files named \*\.npz; found --into"):
        exported("hftbacktest", tmp_path, tmp_path / "x.bin")
