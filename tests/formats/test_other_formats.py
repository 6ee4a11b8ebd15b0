"""hftbacktest, LOBSTER, a collector's lines and DBN: what is odd in them, and what is refused."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import dbn_writers
import pytest
import zstandard
from archive_writers import (
    BOTH,
    BUY,
    CLEAR,
    DEPTH,
    MIDNIGHT,
    SELL,
    SNAPSHOT,
    TRADE,
    Event,
    gzipped,
    lines,
    npy,
    zipped,
)
from databento_dbn import F_LAST, F_MAYBE_BAD_BOOK, Action, MBOMsg, Side, TradeMsg
from recorded_market import (
    START,
    Market,
    SentRow,
    reliable_rows,
    replayed_books,
    replayed_trades,
)
from test_okx_archive import SAMPLES, needs_samples

from formats.importing import Imported, ImportOptions, import_file
from formats.sources import SourceError

NS = START * 1_000_000


def imported(path: Path, **options: object) -> Imported:
    return import_file(path, ImportOptions(path.parent / "in", **options))  # type: ignore[arg-type]


# -- hftbacktest


def npz(folder: Path, *events: Event, instrument: str = "X-Y") -> Imported:
    path = zipped(folder / "data.npz", {"data.npy": npy(events)})
    return imported(path, instrument=instrument)


def event(flags: int, price: float, size: float = 1.0, ms: int = 0, local: int = 0) -> Event:
    return flags, NS + ms * 1_000_000, NS + ms * 1_000_000 + local, price, size


def test_events_that_are_there_twice_are_taken_once(tmp_path: Path) -> None:
    exchange, local = 1 << 31, 1 << 30
    done = npz(
        tmp_path,
        event(exchange | DEPTH | BUY, 9.0), event(local | DEPTH | BUY, 9.0, local=7),
        event(exchange | TRADE | SELL, 9.0, ms=1), event(local | TRADE | SELL, 9.0, ms=1, local=7),
    )  # fmt: skip
    found = done.instruments["X-Y"]
    assert (found.book_rows, found.trades) == (1, 1)


def test_a_clear_of_one_side_deletes_up_to_its_price(tmp_path: Path) -> None:
    done = npz(
        tmp_path,
        event(BOTH | CLEAR, 0.0),
        *(event(BOTH | SNAPSHOT | BUY, price) for price in (9.0, 8.0, 7.0)),
        event(BOTH | SNAPSHOT | SELL, 11.0),
        event(BOTH | CLEAR | BUY, 8.0, ms=5),
        event(BOTH | SNAPSHOT | BUY, 8.5, ms=5),
    )
    assert replayed_books(done.recording, "X-Y")[-1] == (
        START + 5, [[8.5, 1.0], [7.0, 1.0]], [[11.0, 1.0]],
    )  # fmt: skip


def test_a_snapshot_level_without_a_side_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"a level of a snapshot without a side, as hftbacktest"):
        npz(tmp_path, event(BOTH | CLEAR, 0.0), event(BOTH | SNAPSHOT, 9.0))


def test_events_of_single_orders_and_arrays_of_other_fields_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="which is of single orders"):
        npz(tmp_path, event(BOTH | BUY | 10, 9.0))
    other = npy([]).replace(b"'order_id'", b"'orders__'")
    with pytest.raises(SourceError, match="not of hftbacktest's events"):
        imported(zipped(tmp_path / "o.npz", {"data.npy": other}), instrument="X")


@pytest.mark.parametrize("change", [-100, -64, 70])
def test_an_array_that_has_not_what_its_header_says_is_said(change: int, tmp_path: Path) -> None:
    data = npy([event(BOTH | DEPTH | BUY, 9.0, ms=ms) for ms in range(9)])
    (tmp_path / "x.npy").write_bytes(data[:change] if change < 0 else data + bytes(change))
    done = imported(tmp_path / "x.npy", instrument="X-Y")
    assert done.state == "cut"
    assert "its header says 576" in done.why


def test_events_of_neither_side_are_counted(tmp_path: Path) -> None:
    done = npz(tmp_path, event(DEPTH | BUY, 9.0), event(BOTH | DEPTH | BUY, 8.0))
    assert (done.rows, done.counts) == (1, {"events_of_neither_side_left_out": 1})


# -- LOBSTER


def lobster(folder: Path, messages: list[str], books: list[str]) -> Imported:
    name = "AAPL_2025-06-08_34200000_57600000_{}_2.csv"
    (folder / name.format("orderbook")).write_bytes(lines(books))
    (folder / name.format("message")).write_bytes(lines(messages, "\r\n"))
    return imported(folder / name.format("message"))


BOOKS = "110000,5,90000,6,9999999999,0,-9999999999,0"


def test_an_execution_of_a_resting_sell_is_a_buy_and_empty_levels_are_none(tmp_path: Path) -> None:
    second = (START - MIDNIGHT) // 1000
    messages = [
        f"{second}.017459617,1,7,5,110000,-1", f"{second}.5,4,7,3,110000,-1",
        f"{second}.5,5,8,2,100000,1", f"{second + 1},7,0,0,-1,-1",
    ]  # fmt: skip
    done = lobster(tmp_path, messages, [BOOKS] * 4)
    book = ([[9.0, 6.0]], [[11.0, 5.0]])
    assert replayed_books(done.recording, "AAPL") == [
        (START + ms, *book) for ms in (17, 500, 500, 1000)
    ]
    assert replayed_trades(done.recording, "AAPL") == [
        (START + 500, 11.0, 3.0, "buy", "line 2"), (START + 500, 10.0, 2.0, "sell", "line 3"),
    ]  # fmt: skip


def test_the_other_file_of_lobster_is_read_with_the_first_and_missed(tmp_path: Path) -> None:
    done = lobster(tmp_path, ["72000.0,1,7,5,110000,-1"], [BOOKS, BOOKS])
    assert done.state == "cut"
    assert "goes on after its last message" in done.why
    books = next(tmp_path.glob("*orderbook*"))
    assert imported(books).state == "part of another"
    books.unlink()
    done.recording.unlink()
    with pytest.raises(SourceError, match="is not beside it"):
        imported(next(tmp_path.glob("*message*")))


def test_books_that_end_before_the_messages_are_said_and_damage_of_theirs(tmp_path: Path) -> None:
    done = lobster(tmp_path, ["72000.0,1,7,5,110000,-1"] * 3, [BOOKS, BOOKS])
    assert (done.state, done.rows) == ("cut", 2)
    assert "ends before line 3" in done.why
    for kind in ("message", "orderbook"):
        path = next(tmp_path.glob(f"*{kind}*.csv"))
        gzipped(path.with_name(f"{path.name}.gz"), path.read_bytes())
    damaged = next(tmp_path.glob("*orderbook*.gz"))
    damaged.write_bytes(damaged.read_bytes()[:-4])
    done = imported(next(tmp_path.glob("*message*.gz")))
    assert (done.state, "its gzip stream does not end" in done.why) == ("cut", True)


def test_messages_with_other_books_are_another_import(tmp_path: Path) -> None:
    assert lobster(tmp_path, ["72000.0,1,7,5,110000,-1"], [BOOKS]).state == "imported"
    assert lobster(tmp_path, ["72000.0,1,7,5,110000,-1"], [BOOKS]).state == "already imported"
    with pytest.raises(SourceError, match="is there already, of another file of the name"):
        lobster(tmp_path, ["72000.0,1,7,5,110000,-1"], [BOOKS.replace("110000", "120000")])


def test_of_a_message_with_a_bad_number_the_rest_is_kept(tmp_path: Path) -> None:
    messages = ["72000.0,4,7,5,110000,-1", "72000.1,4,7,x,110000,-1", "72000.2,4,7,6,110000,-1"]
    done = lobster(tmp_path, messages, [BOOKS, BOOKS, "110000,?,90000,6,9999999999,0,1,0"])
    found = done.instruments["AAPL"]
    assert (done.unreadable, found.book_rows, found.trades) == (2, 3, 3)
    assert [trade[2] for trade in replayed_trades(done.recording, "AAPL")] == [5.0, 6.0]


def test_a_price_below_zero_has_its_own_digits(tmp_path: Path) -> None:
    done = lobster(tmp_path, ["72000.0,4,7,5,-370500,-1"], [BOOKS])
    with closing(sqlite3.connect(done.recording)) as connection:
        assert connection.execute("SELECT price FROM trades").fetchall() == [("-37.0500",)]


# -- a collector


def collected(folder: Path, *messages: dict[str, object]) -> Imported:
    texts = [f"{NS + number} {json.dumps(message)}" for number, message in enumerate(messages)]
    return imported(gzipped(folder / "x.gz", lines(texts)))


def update(first: int, last: int, price: str, **more: object) -> dict[str, object]:
    data = {"e": "depthUpdate", "E": START + last, "s": "BTCUSDT", "U": first, "u": last}
    return {"data": data | {"b": [[price, "1"]], "a": []} | more}


def test_a_snapshot_among_updates_stands_where_the_exchange_says(tmp_path: Path) -> None:
    snapshot = {"lastUpdateId": 15, "bids": [["5", "1"]], "asks": [["20", "1"]]}
    done = collected(
        tmp_path,
        update(1, 10, "1"), update(11, 20, "2"), snapshot, update(21, 30, "3"),
    )  # fmt: skip
    last = replayed_books(done.recording, "BTCUSDT")[-1]
    assert last[1:] == ([[5.0, 1.0], [3.0, 1.0], [2.0, 1.0]], [[20.0, 1.0]])
    assert done.instruments["BTCUSDT"].counts["sequence_gaps"] == 0


def test_updates_that_a_snapshot_has_already_are_left_out(tmp_path: Path) -> None:
    snapshot = {"lastUpdateId": 15, "bids": [["5", "1"]], "asks": [["20", "1"]]}
    done = collected(
        tmp_path, snapshot, update(1, 10, "1"), update(11, 20, "2"), update(30, 40, "3")
    )
    assert done.counts["updates_before_the_snapshot"] == 1
    assert done.instruments["BTCUSDT"].counts["sequence_gaps"] == 1


def test_futures_are_followed_by_pu(tmp_path: Path) -> None:
    done = collected(tmp_path, update(1, 10, "1", pu=0), update(15, 20, "2", pu=10, T=START + 3))
    assert done.instruments["BTCUSDT"].counts["sequence_gaps"] == 0
    assert [book[0] for book in replayed_books(done.recording, "BTCUSDT")] == [START + 10] * 2


def test_of_trades_and_aggregates_of_the_same_one_is_taken(tmp_path: Path) -> None:
    trade = {"s": "BTCUSDT", "p": "9.0", "q": "1", "T": START, "m": False}
    done = collected(
        tmp_path, {"data": {"e": "trade", "t": 1, **trade}},
        {"data": {"e": "aggTrade", "a": 1, **trade}}, {"data": {"e": "ticker"}},
    )  # fmt: skip
    assert replayed_trades(done.recording, "BTCUSDT") == [(START, 9.0, 1.0, "buy", "1")]
    assert done.counts["messages_left_out"] == 2


def test_lines_of_two_instruments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="lines of BTCUSDT and of ETHUSDT; import a file of each"):
        collected(tmp_path, update(1, 10, "1"), update(11, 20, "2", s="ETHUSDT"))


@pytest.mark.parametrize("change", [{"u": 2**63}, {"U": "x"}, {"E": 1e30}])
def test_a_message_with_an_id_or_time_that_is_none_is_counted(
    change: dict[str, object], tmp_path: Path
) -> None:
    done = collected(tmp_path, update(1, 10, "1"), update(11, 20, "2", **change))
    assert (done.unreadable, done.rows) == (1, 2)


def test_a_trade_that_does_not_say_who_made_it_is_counted(tmp_path: Path) -> None:
    trade = {"e": "trade", "s": "X", "p": "9.0", "q": "1", "T": START, "t": 1}
    done = collected(tmp_path, {**trade, "m": True}, {**trade, "m": "false"})
    assert (done.unreadable, done.rows) == (1, 1)


def test_of_updates_of_another_exchange_it_is_said_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no row to import: 2 messages left out"):
        collected(tmp_path, {"topic": "orderbook.50.X"}, {"topic": "orderbook.50.X"})


# -- Databento


def test_a_dbn_of_another_schema_is_said(tmp_path: Path) -> None:
    market = Market("ESH1", [SentRow(START, True, [], [])], [])
    path = dbn_writers.dbn_file(tmp_path, market, "ohlcv-1s", [])
    with pytest.raises(SourceError, match="schema ohlcv-1s has no book and no trades"):
        imported(path)


def test_an_order_partly_cancelled_keeps_the_rest(tmp_path: Path) -> None:
    def order(action: Action, size: int, number: int) -> bytes:
        at = NS + number * 1_000_000
        return bytes(
            MBOMsg(1, dbn_writers.ID, at, 7, 9 * 10**9, size, action, Side.BID, at, F_LAST)
        )

    market = Market("ESH1", [SentRow(START, True, [], [])], [])
    records = [order(Action.ADD, 5, 0), order(Action.CANCEL, 2, 1), order(Action.FILL, 3, 2)]
    done = imported(dbn_writers.dbn_file(tmp_path, market, "mbo", records))
    books = replayed_books(done.recording, "ESH1")
    assert [book[1] for book in books] == [[[9.0, 5.0]], [[9.0, 3.0]], [[9.0, 3.0]]]


def test_an_id_stands_for_another_symbol_on_another_day(tmp_path: Path) -> None:
    day = 86_400_000_000_000
    spans = {"OLD": [(9, 10, 7), (10, 11, 8)], "NEW": [(9, 10, 8), (10, 11, 7)]}
    records = [
        bytes(TradeMsg(1, number, at, 9_000_000_000, 1, Action.TRADE, Side.BID, 0, at))
        for number, at in ((7, NS), (8, NS), (7, NS + day), (8, NS + day), (9, NS))
    ]
    done = imported(dbn_writers.dbn_of_days(tmp_path, "trades", spans, records))
    with closing(sqlite3.connect(done.recording)) as connection:
        told = connection.execute("SELECT instrument FROM trades ORDER BY id").fetchall()
    assert told == [("OLD",), ("NEW",), ("NEW",), ("OLD",), ("id-9",)]


def test_a_trade_that_ends_a_message_ends_its_row(tmp_path: Path) -> None:
    market = Market("ESH1", [SentRow(START, True, [], [])], [])

    def order(action: Action, ms: int, flags: int) -> bytes:
        at = NS + ms * 1_000_000
        return bytes(
            MBOMsg(1, dbn_writers.ID, at, 1, 9_000_000_000, 5, action, Side.BID, at, flags)
        )

    records = [
        order(Action.ADD, 0, 0),
        order(Action.TRADE, 1, F_LAST),
        order(Action.TRADE, 2, F_LAST),
    ]
    done = imported(dbn_writers.dbn_file(tmp_path, market, "mbo", records))
    assert replayed_books(done.recording, "ESH1") == [(START + 1, [[9.0, 5.0]], [])]
    assert done.instruments["ESH1"].trades == 2


def test_rows_that_databento_has_lost_make_the_book_unreliable(tmp_path: Path) -> None:
    def order(action: Action, number: int, flags: int) -> bytes:
        at = NS + number * 1_000_000
        return bytes(
            MBOMsg(1, dbn_writers.ID, at, number, 9_000_000_000, 5, action, Side.BID, at, flags)
        )

    flags = [F_LAST, F_LAST, F_LAST | F_MAYBE_BAD_BOOK, F_LAST, F_LAST]
    actions = [Action.CLEAR, *[Action.ADD] * 3, Action.CLEAR]
    records = [order(*each) for each in zip(actions, range(5), flags, strict=True)]
    market = Market("ESH1", [SentRow(START, True, [], [])], [])
    done = imported(dbn_writers.dbn_file(tmp_path, market, "mbo", records))
    assert done.counts == {"gaps_said_by_databento": 1}
    found = reliable_rows(done.recording, "ESH1")
    assert found == [True, True, True, False, False, True]


def trade_record(price: int = 9_000_000_000) -> bytes:
    return bytes(TradeMsg(1, dbn_writers.ID, NS, price, 1, Action.TRADE, Side.BID, 0, NS))


def test_a_record_of_another_schema_is_left_out(tmp_path: Path) -> None:
    rows = [SentRow(START, True, [("9", "1")], [("11", "1")])]
    path = dbn_writers.dbn_mbp(tmp_path, Market("ESH1", rows, []))
    whole = zstandard.decompress(path.read_bytes(), 1 << 20)
    path.write_bytes(zstandard.compress(whole + trade_record()))
    done = imported(path)
    assert (done.rows, done.counts) == (1, {"messages_left_out": 1})


def test_damage_at_which_the_library_panics_is_said(tmp_path: Path) -> None:
    short = bytes([5]) + trade_record()[1:20]
    path = dbn_writers.dbn_of_days(
        tmp_path, "trades", {"X": [(9, 10, dbn_writers.ID)]}, [trade_record(), short]
    )
    with pytest.raises(SourceError, match="damaged"):
        imported(path)


def test_a_dbn_that_is_cut_is_said(tmp_path: Path) -> None:
    market = Market("ESH1", [SentRow(START, True, [("9", "1")], [("11", "1")])] * 3, [])
    path = dbn_writers.dbn_mbp(tmp_path, market)
    whole = zstandard.decompress(path.read_bytes(), 1 << 20)
    path.write_bytes(zstandard.compress(whole[:-100]))
    done = imported(path)
    assert (done.state, done.rows) == ("cut", 2)


def test_a_dbn_that_announces_gigabytes_of_metadata_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.dbn").write_bytes(b"DBN\x01\xff\xff\xff\xff" + bytes(99))
    with pytest.raises(SourceError, match="its metadata have 4,294,967,295 bytes"):
        imported(tmp_path / "x.dbn")


@needs_samples
@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*")), ids=lambda path: path.name)
def test_every_sample_is_imported_and_replays(path: Path, tmp_path: Path) -> None:
    if path.name == "README.md":
        pytest.skip("no sample")
    done = import_file(path, ImportOptions(tmp_path / "in"))
    assert done.state == "imported"
    assert (done.rows > 0, done.unreadable) == (True, 0)
    for name, found in done.instruments.items():
        assert len(replayed_trades(done.recording, name)) == found.trades
        assert len(replayed_books(done.recording, name)) == found.book_rows
