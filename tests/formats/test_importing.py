"""A file becomes a recording of its own: whole, once, with all that is odd in it counted."""

import hashlib
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from archive_writers import gzipped, lines, okx_books, okx_lines, okx_trades, tar_gz, tardis_books
from recorded_market import (
    START,
    Market,
    SentRow,
    books_of,
    made_up,
    replayed_books,
    replayed_trades,
    trades_of,
)

from db_interpreter import DBInterpreter
from formats.importing import Imported, ImportOptions, import_file
from formats.sources import SourceError
from orderflow.errors import OutputError
from recordings.check import check_file
from recordings.discovery import find_recording
from recordings.import_notes import read_notes
from recordings.search import instrument_of


def row(time: int, bid: str, size: str = "1", *, snapshot: bool = False) -> SentRow:
    return SentRow(START + time, snapshot, [(bid, size)], [("200", "5")])


def written(folder: Path, rows: Sequence[SentRow], name: str = "x") -> Path:
    return gzipped(folder / f"{name}.gz", lines(okx_lines(Market("BTC-USDT", list(rows), []))))


def imported(path: Path, into: Path) -> Imported:
    return import_file(path, ImportOptions(into))


def counts(done: Imported) -> dict[str, int]:
    (found,) = done.instruments.values()
    return dict(found.counts)


@pytest.fixture
def market(tmp_path: Path) -> Market:
    return made_up(tmp_path, 2)


def test_a_second_import_adds_nothing_under_whatever_name(market: Market, tmp_path: Path) -> None:
    path = okx_books(tmp_path, market)
    first = imported(path, tmp_path / "in")
    before = first.recording.read_bytes()
    copy = path.rename(tmp_path / "another-name.tar.gz")
    again = imported(copy, tmp_path / "in")
    assert (again.state, again.recording) == ("already imported", first.recording)
    assert [entry.name for entry in (tmp_path / "in").iterdir()] == [first.recording.name]
    assert first.recording.read_bytes() == before


def test_books_and_trades_of_several_files_are_one_replay(market: Market, tmp_path: Path) -> None:
    for write in (okx_books, okx_trades):
        imported(write(tmp_path, market), tmp_path / "in")
    found = find_recording(market.instrument, tmp_path / "in", START, START + 86_400_000)
    assert [len(found.books), len(found.trades)] == [1, 1]


def test_parts_of_a_day_that_overlap_are_joined(market: Market, tmp_path: Path) -> None:
    half = len(market.rows) // 2
    first, second = market.rows[: half + 9], market.rows[half:]
    for number, rows in enumerate((first, second)):
        imported(written(tmp_path, rows, f"part{number}"), tmp_path / "in")
    files = sorted((tmp_path / "in").iterdir())
    merged = [u.timestamp for u, _ in DBInterpreter(files, "BTC-USDT").stream()]
    assert merged == [sent.timestamp for sent in market.rows]


def test_a_file_cut_short_is_kept_as_far_as_it_goes_until_the_whole_one_comes(
    market: Market, tmp_path: Path
) -> None:
    rows = [row._replace(timestamp=row.timestamp + n) for n in range(25) for row in market.rows]
    path = written(tmp_path, rows)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    cut = imported(path, tmp_path / "in")
    assert cut.state == "cut"
    assert 0 < cut.rows < len(rows)
    assert "cut short" in cut.why
    path.write_bytes(whole)
    done = imported(path, tmp_path / "in")
    assert (done.state, done.recording, done.rows) == ("imported", cut.recording, len(rows))


def test_another_file_of_the_same_name_does_not_replace_the_first(tmp_path: Path) -> None:
    first = imported(written(tmp_path, [row(0, "100", snapshot=True)]), tmp_path / "in")
    before = first.recording.read_bytes()
    with pytest.raises(SourceError, match=r"is there already, of another file of the name x\.gz"):
        imported(written(tmp_path, [row(0, "101", snapshot=True)]), tmp_path / "in")
    assert first.recording.read_bytes() == before


def test_the_text_of_prices_and_sizes_is_what_was_read(tmp_path: Path) -> None:
    rows = [SentRow(START, True, [("0.00001772000", "1.50")], [("1772.000", "3")])]
    path = imported(written(tmp_path, rows), tmp_path / "in").recording
    header = "instrument_name,trade_id,side,price,size,created_time"
    trade = f"BTC-USDT,1,buy,30236.0,1.772e-05,{START}"
    trades = gzipped(tmp_path / "t.gz", lines([header, trade]))
    told = imported(trades, tmp_path / "in").recording
    (update,) = [u for u, _ in DBInterpreter(path, "BTC-USDT").stream()]
    assert update.bids == b'[["0.00001772000","1.50","0","2"]]'
    assert sqlite3.connect(told).execute("SELECT price, size FROM trades").fetchall() == [
        ("30236.0", "1.772e-05")
    ]
    assert replayed_trades(told, "BTC-USDT") == [(START, 30236.0, 1.772e-05, "buy", "1")]


def test_a_row_that_steps_back_is_applied_where_it_stands_and_counted(tmp_path: Path) -> None:
    rows = [row(0, "100", snapshot=True), row(50, "101"), row(20, "101", "0"), row(60, "102")]
    done = imported(written(tmp_path, rows), tmp_path / "in")
    assert counts(done)["book_steps_back"] == 1
    assert done.instruments["BTC-USDT"].longest_step_back_ms == 30
    times = [START, START + 50, START + 50, START + 60]
    sent = [sent._replace(timestamp=time) for sent, time in zip(rows, times, strict=True)]
    assert replayed_books(done.recording, "BTC-USDT") == books_of(sent)


def test_rows_far_out_of_order_keep_their_times(tmp_path: Path) -> None:
    rows = [row(3_600_000, "100", snapshot=True), row(0, "101"), row(10, "102")]
    done = imported(written(tmp_path, rows), tmp_path / "in")
    assert counts(done)["unordered_rows"] == 1
    read = [u.timestamp - START for u, _ in DBInterpreter(done.recording, "BTC-USDT").stream()]
    assert read == [0, 10, 3_600_000]


def test_a_snapshot_is_compared_with_the_book_before_it(tmp_path: Path) -> None:
    proven = SentRow(START + 30, True, [("100", "1"), ("101", "2")], [("200", "5")])
    rows = [row(0, "100", snapshot=True), row(10, "101", "2"), proven]
    assert counts(imported(written(tmp_path, rows, "a"), tmp_path / "in")) == {
        "snapshots": 2,
        "snapshots_compared": 1,
    }
    lost = [rows[0], proven._replace(bids=[("101", "2"), ("99", "1")], asks=[("200", "6")])]
    assert counts(imported(written(tmp_path, lost, "b"), tmp_path / "in")) == {
        "snapshots": 2,
        "snapshots_compared": 1,
        "snapshots_differing": 1,
        "levels_differing": 4,  # 99 and 101 that came, 100 that went, the size at 200
    }


def test_lines_that_cannot_be_read_are_counted_here_and_by_a_replay(tmp_path: Path) -> None:
    good = okx_lines(Market("BTC-USDT", [row(0, "100", snapshot=True), row(5, "101")], []))
    bad = [good[0], '{"instId": broken', good[1][:40], good[1]]
    done = imported(gzipped(tmp_path / "x.gz", lines(bad)), tmp_path / "in")
    assert (done.unreadable, done.first_unreadable) == (2, '{"instId": broken')
    (checked,) = check_file(done.recording, "BTC-USDT").recordings
    found = checked.issues.counts()
    assert found["rows_skipped"] == 2
    assert found["unreliable_rows"] > 0


def test_several_instruments_of_one_file_stay_apart(tmp_path: Path) -> None:
    names = ["BTC-USD-250627", "BTC-USD-250926", "BTC-USD-250627-90000-C"]
    markets = [made_up(tmp_path, 2 + n, instrument=name) for n, name in enumerate(names)]
    told = [zip(market.rows, okx_lines(market), strict=True) for market in markets]
    texts = sorted(
        ((sent.timestamp, text) for of_one in told for sent, text in of_one),
        key=lambda found: found[0],
    )
    chain = tar_gz(tmp_path / "c.tar.gz", {"c.data": lines(text for _, text in texts)})
    done = imported(chain, tmp_path / "in")
    assert sorted(done.instruments) == sorted(names)
    for market in markets:
        assert replayed_books(done.recording, market.instrument) == books_of(market.rows)
    with pytest.raises(SourceError, match="has several instruments"):
        import_file(chain, ImportOptions(tmp_path / "other", instrument="X"))


def test_the_recordings_name_is_no_instruments(market: Market, tmp_path: Path) -> None:
    done = imported(okx_books(tmp_path, market), tmp_path / "in")
    assert instrument_of(done.recording.stem) is None


def test_notes_say_where_a_recording_is_from(market: Market, tmp_path: Path) -> None:
    path = tardis_books(tmp_path, market)
    values = {"BTC-USDT": "0.01", "ETH-USDT": "0.1"}
    done = import_file(path, ImportOptions(tmp_path / "in", contract_values=values))
    notes = read_notes(done.recording)
    assert notes is not None
    assert notes["source"] == path.name
    assert notes["state"] == "imported"
    assert notes["contract_values"] == '{"BTC-USDT":"0.01"}'
    assert '"format":"tardis"' in notes["report"]


def test_a_checksum_beside_the_file_must_be_its_own(market: Market, tmp_path: Path) -> None:
    path = okx_trades(tmp_path, market)
    beside = path.with_name(f"{path.name}.CHECKSUM")
    beside.write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    assert imported(path, tmp_path / "a").state == "imported"
    beside.write_text(f"{'0' * 64}  {path.name}\n")
    with pytest.raises(SourceError, match=r"is not what .*CHECKSUM says"):
        imported(path, tmp_path / "b")


def test_the_name_given_is_the_instruments(market: Market, tmp_path: Path) -> None:
    path = okx_trades(tmp_path, market)
    done = import_file(path, ImportOptions(tmp_path / "in", instrument="XBT-USDT"))
    assert list(done.instruments) == ["XBT-USDT"]
    assert replayed_trades(done.recording, "XBT-USDT") == trades_of(market)


def test_a_name_that_could_be_a_path_is_refused(market: Market, tmp_path: Path) -> None:
    evil = replace(market, instrument="BTC;USDT")
    path = gzipped(tmp_path / "x.gz", lines(okx_lines(evil)))
    with pytest.raises(SourceError, match="name it with --instrument"):
        imported(path, tmp_path / "in")


def test_a_folder_that_cannot_be_made_is_said(market: Market, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("")
    with pytest.raises(OutputError, match="can't be"):
        imported(okx_trades(tmp_path, market), tmp_path / "in" / "x")


def test_what_is_stopped_leaves_nothing_behind(market: Market, tmp_path: Path) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_file(okx_books(tmp_path, market), ImportOptions(tmp_path / "in"), stop)
    assert list((tmp_path / "in").iterdir()) == []


def test_a_line_that_is_none_may_have_been_of_any_instrument_of_the_file(tmp_path: Path) -> None:
    both = [replace(Market("", [row(0, "100", snapshot=True)], []), instrument=n) for n in "AB"]
    first, second = (okx_lines(market)[0] for market in both)
    rows = [first, second, second[:50], first, second[:60], second.replace("snapshot", "update")]
    done = imported(gzipped(tmp_path / "x.gz", lines(rows)), tmp_path / "in")
    assert done.unreadable == 2
    with closing(sqlite3.connect(done.recording)) as connection:
        told = connection.execute("SELECT instrument, bids LIKE 'unreadable: %' FROM book")
        assert told.fetchall() == [
            ("A", 0), ("B", 0), ("A", 1), ("B", 1), ("A", 0), ("A", 1), ("B", 0),
        ]  # fmt: skip


def test_a_side_that_is_not_there_is_no_empty_side(tmp_path: Path) -> None:
    text = okx_lines(Market("BTC-USDT", [row(0, "100", snapshot=True)], []))[0]
    lacks = text.replace('"bids"', '"bid"')
    done = imported(gzipped(tmp_path / "x.gz", lines([text, lacks])), tmp_path / "in")
    assert done.unreadable == 1


@pytest.mark.parametrize("levels", ["[]", '["1","1","1"]'])
def test_a_line_of_more_levels_than_a_book_has_is_refused(levels: str, tmp_path: Path) -> None:
    text = okx_lines(Market("BTC-USDT", [row(0, "100", snapshot=True)], []))[0]
    deep = text.replace('["200","5","1"]', ",".join([levels] * 400_000))
    path = gzipped(tmp_path / "x.gz", lines([text, deep]))
    with pytest.raises(SourceError, match="a message of more than 100,000 levels"):
        imported(path, tmp_path / "in")


def test_a_file_of_more_instruments_than_there_are_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("formats.importing.MOST_INSTRUMENTS", 3)
    header = "instrument_name,trade_id,side,price,size,created_time"
    rows = (f"X-{number},1,buy,9,1,{START}" for number in range(4))
    with pytest.raises(SourceError, match="has more than 3 instruments"):
        imported(gzipped(tmp_path / "x.gz", lines([header, *rows])), tmp_path / "in")


def test_a_last_line_without_an_end_is_said_of_a_file_that_is_not_packed(tmp_path: Path) -> None:
    header = "instrument_name,trade_id,side,price,size,created_time"
    text = lines([header, f"X-Y,1,buy,9,1,{START}"])
    for name, data in (("whole.csv", text), ("cut.csv", text.removesuffix(b"\n"))):
        (tmp_path / name).write_bytes(data)
    packed = gzipped(tmp_path / "packed.gz", text.removesuffix(b"\n"))
    for path, said in ((tmp_path / "whole.csv", 0), (tmp_path / "cut.csv", 1), (packed, 0)):
        notes = imported(path, tmp_path / path.stem).notes
        assert len([note for note in notes if "the last line has no end" in note]) == said


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    path = written(tmp_path, [row(0, "100", snapshot=True)])
    (tmp_path / "in").mkdir()
    for name in ("x.gz.CHECKSUM", "in/other.db"):
        os.mkfifo(tmp_path / name)
    assert imported(path, tmp_path / "in").state == "imported"


def test_a_name_that_is_too_long_is_said(tmp_path: Path) -> None:
    path = written(tmp_path, [row(0, "100", snapshot=True)], "x" * 246)
    with pytest.raises(OutputError, match="File name too long"):
        imported(path, tmp_path / "in")


def test_a_book_that_never_ends_to_grow_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("formats.rows.MOST_IN_BOOK", 3)
    rows = [row(0, "100", snapshot=True), row(1, "101"), row(2, "102")]
    with pytest.raises(SourceError, match="a book of more than 3 levels"):
        imported(written(tmp_path, rows), tmp_path / "in")


def test_what_is_cut_even_shorter_does_not_replace_what_there_is(tmp_path: Path) -> None:
    path = written(tmp_path, [row(n, "100", snapshot=True) for n in range(9)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    first = imported(path, tmp_path / "in")
    path.write_bytes(whole[:-20])
    with pytest.raises(SourceError, match=r"is of the first \d+ bytes of x\.gz, and here are \d+"):
        imported(path, tmp_path / "in")
    assert first.rows == 9
    path.write_bytes(whole)
    assert imported(path, tmp_path / "in").state == "imported"
