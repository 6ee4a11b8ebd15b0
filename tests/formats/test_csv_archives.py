"""Tardis, Bybit and Binance: what is odd in their files becomes the right rows, or one line."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from archive_writers import gzipped, lines, zipped
from recorded_market import START, reliable_rows, replayed_books, replayed_trades

from db_interpreter import DBInterpreter
from formats.importing import Imported, ImportOptions, import_file
from formats.sources import SourceError

BOOK = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount"
Found = list[tuple[int, bool, object, object]]


def imported(path: Path, **options: object) -> Imported:
    return import_file(path, ImportOptions(path.parent / "in", **options))  # type: ignore[arg-type]


def rows_of(done: Imported) -> Found:
    (name,) = done.instruments
    return [
        (update.timestamp - START, update.snapshot, update.bids, update.asks)
        for update, _ in DBInterpreter(done.recording, name).stream()
        if update.bids is not None
    ]


def tardis(folder: Path, *rows: str, header: str = BOOK) -> Imported:
    return imported(gzipped(folder / "x.csv.gz", lines([header, *rows])))


def level(received: int, time: int, snapshot: str, side: str, price: str, size: str = "1") -> str:
    return (
        f"deribit,BTC-PERPETUAL,{START + time}000,{START}{received:03},{snapshot},"
        f"{side},{price},{size}"
    )


# -- Tardis


def test_levels_of_one_message_are_one_row_and_a_reconnect_replaces_the_book(
    tmp_path: Path,
) -> None:
    done = tardis(
        tmp_path,
        level(1, 0, "true", "ask", "11"), level(1, 0, "true", "bid", "9"),
        level(2, 5, "false", "bid", "9", "0"), level(2, 5, "false", "bid", "8"),
        level(3, 5, "false", "bid", "7"),
        level(9, 9, "true", "ask", "12"), level(9, 9, "true", "bid", "6"),
    )  # fmt: skip
    assert rows_of(done) == [
        (0, True, b'[["9","1"]]', b'[["11","1"]]'),
        (5, False, b'[["9","0"],["8","1"]]', b"[]"),
        (5, False, b'[["7","1"]]', b"[]"),
        (9, True, b'[["6","1"]]', b'[["12","1"]]'),
    ]


def test_a_snapshot_of_several_messages_is_one_and_repeated_levels_begin_another(
    tmp_path: Path,
) -> None:
    done = tardis(
        tmp_path,
        level(1, 0, "True", "ask", "11"), level(2, 0, "True", "bid", "9"),
        level(3, 4, "True", "ask", "11", "2"), level(4, 4, "True", "bid", "9", "2"),
    )  # fmt: skip
    assert [row[1] for row in rows_of(done)] == [True, False, True, False]


def test_of_steps_back_the_order_of_receipt_holds(tmp_path: Path) -> None:
    done = tardis(
        tmp_path,
        level(1, 0, "true", "ask", "11"), level(2, 50, "false", "ask", "12"),
        level(3, 20, "false", "ask", "12", "0"),
    )  # fmt: skip
    assert [row[0] for row in rows_of(done)] == [0, 50, 50]
    assert done.instruments["BTC-PERPETUAL"].counts["book_steps_back"] == 1


def test_columns_of_tardis_may_be_in_another_order(tmp_path: Path) -> None:
    header = "amount,price,side,is_snapshot,local_timestamp,timestamp,symbol,exchange"
    row = f"3,11,ask,true,{START}001,{START}000,X-Y,deribit"
    assert rows_of(tardis(tmp_path, row, header=header)) == [(0, True, b"[]", b'[["11","3"]]')]


def test_numbers_keep_their_text_whatever_it_is(tmp_path: Path) -> None:
    rows = level(1, 0, "true", "ask", "1.10e1", "NaN"), level(1, 0, "true", "bid", "9.500", "1e-05")
    done = tardis(tmp_path, *rows)
    assert rows_of(done) == [(0, True, b'[["9.500","1e-05"]]', b'[["1.10e1","NaN"]]')]
    assert replayed_books(done.recording, "BTC-PERPETUAL") == [(START, [[9.5, 1e-05]], [])]


def test_a_quote_in_a_field_cannot_break_out_of_a_level(tmp_path: Path) -> None:
    done = tardis(tmp_path, level(1, 0, "true", "bid", "9"), level(1, 0, "true", "bid", '1"],["2'))
    assert done.unreadable == 1


def test_empty_cells_of_a_snapshot_are_levels_that_are_not_there(tmp_path: Path) -> None:
    header = (
        "exchange,symbol,timestamp,local_timestamp,asks[0].price,asks[0].amount,bids[0].price,"
        "bids[0].amount,asks[1].price,asks[1].amount,bids[1].price,bids[1].amount"
    )
    done = tardis(tmp_path, f"x,X-Y,{START}000,{START}001,11,1,9,2,,,8,3", header=header)
    assert rows_of(done) == [(0, True, b'[["9","2"],["8","3"]]', b'[["11","1"]]')]
    assert "best 2 levels" in done.notes[0]


def test_an_unknown_side_stays_unknown_and_is_counted(tmp_path: Path) -> None:
    header = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"
    done = tardis(tmp_path, f"x,X-Y,{START}000,{START}001,,unknown,9,1", header=header)
    assert done.instruments["X-Y"].counts["unknown_sides"] == 1
    assert replayed_trades(done.recording, "X-Y") == [(START, 9.0, 1.0, "unknown", None)]


def test_a_file_of_quotes_given_as_a_book_is_said(tmp_path: Path) -> None:
    header = "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount"
    with pytest.raises(SourceError, match="is not recognised as a file to import: it begins with"):
        tardis(tmp_path, f"x,X-Y,{START}000,{START}001,1,11,9,2", header=header)


def test_a_message_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("formats.rows.MOST_LEVELS", 3)
    with pytest.raises(SourceError, match="a message of more than 3 levels on a side"):
        tardis(tmp_path, *(level(1, 0, "true", "bid", str(price)) for price in range(1, 9)))


# -- Bybit


def bybit(folder: Path, *messages: dict[str, object]) -> Imported:
    return imported(zipped(folder / "x.zip", {"x.data": lines(map(json.dumps, messages))}))


def depth(kind: str, time: int, last: int, **more: object) -> dict[str, object]:
    data = {"s": "XRPUSDT", "b": [["1.9531", "6203"]], "a": [], "u": last, "seq": 1}
    return {"topic": "orderbook.500.XRPUSDT", "type": kind, "ts": START + time, "data": data} | more


def test_older_books_of_bybit_lack_one_of_the_two_times(tmp_path: Path) -> None:
    done = bybit(
        tmp_path, depth("snapshot", 9, 7, cts=START + 3), depth("delta", 11, 8),
    )  # fmt: skip
    assert [row[:2] for row in rows_of(done)] == [(3, True), (11, False)]


def test_a_gap_in_bybits_ids_is_counted_and_a_restart_is_none(tmp_path: Path) -> None:
    messages = [("snapshot", 7), ("delta", 8), ("delta", 10), ("snapshot", 1), ("delta", 2)]
    done = bybit(tmp_path, *(depth(kind, n, last) for n, (kind, last) in enumerate(messages)))
    assert done.instruments["XRPUSDT"].counts["sequence_gaps"] == 1


def test_seconds_with_a_fraction_are_read_by_their_digits(tmp_path: Path) -> None:
    header = "timestamp,symbol,side,size,price,tickDirection,trdMatchID"
    row = "1784937600.0689,BTCUSDT,Sell,0.001,65000.5,ZeroMinusTick,a-b"
    done = imported(gzipped(tmp_path / "BTCUSDT2026-07-25.csv.gz", lines([header, row])))
    assert replayed_trades(done.recording, "BTCUSDT") == [
        (1_784_937_600_068, 65000.5, 0.001, "sell", "a-b")
    ]


def test_spot_trades_of_bybit_have_their_symbol_in_the_files_name(tmp_path: Path) -> None:
    text = lines(["id,timestamp,price,volume,side,rpi", f"1,{START},2.5,7,buy,0"])
    done = imported(gzipped(tmp_path / "BTCUSDT_2025-06-09.csv.gz", text))
    assert replayed_trades(done.recording, "BTCUSDT") == [(START, 2.5, 7.0, "buy", "1")]
    with pytest.raises(SourceError, match="name it with --instrument"):
        imported(gzipped(tmp_path / "y.csv.gz", text + b"2,1749427200000,2.5,7,buy,0\n"))


# -- Binance


@pytest.mark.parametrize("time", [str(START), f"{START}000"])
@pytest.mark.parametrize(("maker", "side"), [("True", "sell"), ("true", "sell"), ("FALSE", "buy")])
def test_spot_trades_are_in_ms_or_microseconds_and_sides_however_written(
    time: str, maker: str, side: str, tmp_path: Path
) -> None:
    path = zipped(tmp_path / "a.zip", {"BTCUSDT-trades-2026-01-01.csv": b""})
    row = f"77,30000.10,0.5,15000.05,{time},{maker},True"
    zipped(path, {"BTCUSDT-trades-2026-01-01.csv": lines([row], "\r\n")})
    done = imported(path)
    assert replayed_trades(done.recording, "BTCUSDT") == [(START, 30000.1, 0.5, side, "77")]


def test_futures_trades_and_aggregates_have_headers(tmp_path: Path) -> None:
    trades = lines(["id,price,qty,quote_qty,time,is_buyer_maker", f"1,9,2,18,{START},true"])
    header = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
    (tmp_path / "X-trades-2026-01-01.csv").write_bytes(trades)
    (tmp_path / "X-aggTrades-2026-01-01.csv").write_bytes(
        lines([header, f"5,9,2,1,3,{START},false"])
    )
    first, second = (
        imported(tmp_path / f"X-{kind}-2026-01-01.csv") for kind in ("trades", "aggTrades")
    )
    assert replayed_trades(first.recording, "X") == [(START, 9.0, 2.0, "sell", "1")]
    assert replayed_trades(second.recording, "X") == [(START, 9.0, 2.0, "buy", "5")]
    assert second.kind is not None
    assert "single trades" in second.kind.lost[0]


def test_aggregates_of_spot_have_no_header(tmp_path: Path) -> None:
    (tmp_path / "X-aggTrades-2026-01-01.csv").write_bytes(
        lines([f"5,9,2,1,3,{START}000,False,True"])
    )
    done = imported(tmp_path / "X-aggTrades-2026-01-01.csv")
    assert replayed_trades(done.recording, "X") == [(START, 9.0, 2.0, "buy", "5")]


def test_bookdepth_is_refused_by_name(tmp_path: Path) -> None:
    text = lines(["timestamp,percentage,depth,notional", "2026-01-01 00:00:08,-5.00,1.0,2.0"])
    with pytest.raises(SourceError, match="bookDepth is no order book"):
        imported(gzipped(tmp_path / "x.gz", text))


def test_bookticker_is_imported_only_where_that_is_asked_for(tmp_path: Path) -> None:
    header = (
        "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,"
        "event_time"
    )
    path = gzipped(tmp_path / "X-bookTicker-1.gz", lines([header, f"1,9,2,11,3,{START},{START}"]))
    with pytest.raises(SourceError, match="--best-only imports it all the same"):
        imported(path)
    done = imported(path, best_only=True)
    assert rows_of(done) == [(0, True, b'[["9","2"]]', b'[["11","3"]]')]


def test_the_snapshot_of_t_depth_and_its_gaps_are_known(tmp_path: Path) -> None:
    header = "symbol,timestamp,first_update_id,last_update_id,side,update_type,price,qty,pu"
    rows = [
        f"X,{START},1,5,b,snap,9,1,-1", f"X,{START},1,5,a,snap,11,1,-1",
        f"X,{START + 9},6,8,a,set,11,0,5", f"X,{START + 9},11,12,a,set,12,1,10",
    ]  # fmt: skip
    done = imported(gzipped(tmp_path / "x.gz", lines([header, *rows])))
    assert [row[:2] for row in rows_of(done)] == [(0, True), (9, False), (9, False)]
    assert done.instruments["X"].counts["sequence_gaps"] == 1
    assert done.notes == []
    late = imported(gzipped(tmp_path / "late.gz", lines([header, rows[2]])))
    assert "import the day before" in late.notes[0]


def test_a_level_of_a_snapshot_that_can_t_be_read_leaves_the_book_unproven(tmp_path: Path) -> None:
    header = "symbol,timestamp,first_update_id,last_update_id,side,update_type,price,qty,pu"
    rows = [
        f"X,{START},1,5,b,snap,9,1,-1", f"X,{START},1,5,?,snap,8,1,-1",
        f"X,{START},1,5,a,snap,11,1,-1", f"X,{START + 9},6,6,a,set,12,1,5",
    ]  # fmt: skip
    done = imported(gzipped(tmp_path / "x.gz", lines([header, *rows])))
    assert done.unreadable == 1
    assert reliable_rows(done.recording, "X") == [True, False, False]
    other = tardis(
        tmp_path,
        level(1, 0, "true", "ask", "11"), level(1, 0, "true", "bad", "9"),
        level(1, 0, "true", "bid", "8"), level(2, 5, "false", "bid", "7"),
        level(3, 6, "true", "ask", "11"), level(4, 7, "false", "bid", "7"),
    )  # fmt: skip
    assert reliable_rows(other.recording, "BTC-PERPETUAL") == [True, False, False, True, True]


def test_a_line_before_a_snapshot_may_have_been_a_level_of_it(tmp_path: Path) -> None:
    done = tardis(
        tmp_path, "nothing", level(1, 0, "true", "bid", "9"), level(2, 5, "false", "bid", "8"),
        "nothing", level(3, 9, "true", "bid", "9"), level(4, 9, "false", "ask", "11"),
    )  # fmt: skip
    assert done.unreadable == 2
    found = reliable_rows(done.recording, "BTC-PERPETUAL")
    assert found == [True, False, False, False, True, False, False]


@pytest.mark.parametrize("line", ["X-Y,2,buy,9,5,1,{}", "X-Y,2,buy,9,{}", "X-Y,2,buy,9"])
def test_a_line_with_more_or_fewer_fields_than_the_header_is_no_row(
    line: str, tmp_path: Path
) -> None:
    header = "instrument_name,trade_id,side,price,size,created_time"
    first = f"X-Y,1,sell,8,2,{START}"
    done = imported(gzipped(tmp_path / "x.gz", lines([header, first, line.format(START + 1)])))
    assert (done.unreadable, done.rows) == (1, 2)
    assert replayed_trades(done.recording, "X-Y") == [(START, 8.0, 2.0, "sell", "1")]


@pytest.mark.parametrize(("yes", "no"), [("1", "0"), ("TRUE", "FALSE")])
def test_true_and_false_are_known_however_they_are_written(
    yes: str, no: str, tmp_path: Path
) -> None:
    done = tardis(tmp_path, level(1, 0, yes, "bid", "9"), level(2, 5, no, "bid", "8"))
    assert [row[1] for row in rows_of(done)] == [True, False]
    header = "id,price,qty,quote_qty,time,is_buyer_maker"
    path = gzipped(
        tmp_path / "X-trades-2026.gz",
        lines([header, f"1,9,2,18,{START},{yes}", f"2,9,2,18,{START},{no}"]),
    )
    assert [trade[3] for trade in replayed_trades(imported(path).recording, "X")] == ["sell", "buy"]


def test_what_is_neither_true_nor_false_is_no_line(tmp_path: Path) -> None:
    done = tardis(tmp_path, level(1, 0, "true", "bid", "9"), level(2, 5, "yes", "bid", "8"))
    assert done.unreadable == 1
    assert reliable_rows(done.recording, "BTC-PERPETUAL") == [True, False]


@pytest.mark.parametrize("received", ["9" * 14, "9" * 20])
def test_a_time_beyond_what_a_recording_holds_is_none(received: str, tmp_path: Path) -> None:
    done = tardis(tmp_path, f"deribit,X,{START}000,{received},true,bid,9,1")
    with closing(sqlite3.connect(done.recording)) as connection:
        assert connection.execute("SELECT timestamp, received FROM book").fetchall() == [
            (START, None)
        ]


@pytest.mark.parametrize("last", [2**63, 2**64, -1, True])
def test_an_id_beyond_what_a_recording_holds_is_no_row(last: int, tmp_path: Path) -> None:
    done = bybit(
        tmp_path, depth("snapshot", 0, 7), depth("snapshot", 1, last), depth("delta", 2, 8)
    )
    assert (done.unreadable, done.rows) == (1, 3)
    assert reliable_rows(done.recording, "XRPUSDT") == [True, False, False]


def test_a_snapshot_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("formats.rows.MOST_LEVELS", 3)
    with pytest.raises(SourceError, match="a message of more than 3 levels on a side"):
        tardis(tmp_path, *(level(n, 0, "true", "bid", str(n)) for n in range(1, 9)))
