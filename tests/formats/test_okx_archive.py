"""OKX's archive: lines of books by whichever reader, trades by the names of their columns."""

import csv
from pathlib import Path

import pytest
from archive_writers import gzipped, lines
from hypothesis import given
from hypothesis import strategies as st
from places import PROJECT
from real_recordings import DATA, needs_recordings
from recorded_market import START, replayed_trades

from db_interpreter import DBInterpreter
from exchanges.checksums import okx_checksum
from exchanges.depth import TextBook
from formats.importing import ImportOptions, import_file
from formats.okx_archive import python_read_block, read_block, read_line
from formats.sources import SourceError

GOOD = (
    b'{"instId":"BTC-USDT","action":"update","ts":"1749427200000",'
    b'"asks":[["105000.1","0","0"],["105002","1.50","12"]],"bids":[]}'
)
ROW = (
    "BTC-USDT", "[]", '[["105000.1","0","0","0"],["105002","1.50","0","12"]]', 1_749_427_200_000,
    "update", None, None, None,
)  # fmt: skip
SAMPLES = PROJECT.parent / "shared" / "samples" / "imports"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"no samples in {SAMPLES}")


@pytest.mark.parametrize("read", [python_read_block, read_block])
def test_a_line_becomes_a_row_with_four_fields_a_level(read: object) -> None:
    assert read(GOOD + b"\n\n" + GOOD) == [ROW, ROW]  # type: ignore[operator]


@pytest.mark.parametrize(
    "line",
    [
        GOOD.replace(b",", b", ").replace(b":", b": "),
        GOOD.replace(b'"1749427200000"', b"1749427200000"),
        GOOD.replace(b'"1749427200000"', b'"1749427200000000"'),
        GOOD.replace(b'"instId"', b'"checksum":7,"instId"'),
        b'{"bids":[],' + GOOD[1:].replace(b',"bids":[]', b""),
        GOOD + b"\r",
    ],
)
def test_a_line_written_otherwise_is_the_same_row(line: bytes) -> None:
    assert read_block(line) == [ROW]


@pytest.mark.parametrize(
    "line",
    [
        b"{}", b"[]", b"nonsense", GOOD[:50], GOOD.replace(b"update", b"other"),
        GOOD.replace(b'"1749427200000"', b'"soon"'), GOOD.replace(b'"0","0"]', b"0,0]"),
        GOOD.replace(b'"BTC-USDT"', b"7"), GOOD.replace(b'"bids":[]', b'"bids":7'),
    ],
)  # fmt: skip
def test_a_line_that_is_no_row_comes_back(line: bytes) -> None:
    assert read_block(line) == [line] == python_read_block(line)


@given(
    st.lists(
        st.builds(
            lambda text, at, new, cut: (text[:at] + new + text[at + cut :]).replace(b"\n", b""),
            st.just(GOOD), st.integers(0, len(GOOD)), st.sampled_from(
                [b"", b'"', b"0", b"]", b"[", b",", b"e5", b"-", b" ", b"\\", b"\xff", b"\r"]
            ), st.integers(0, 3),
        ),
        max_size=4,
    )
)  # fmt: skip
def test_the_compiled_reader_reads_what_python_reads(texts: list[bytes]) -> None:
    block = b"\n".join(texts)
    assert read_block(block) == python_read_block(block)


def test_the_general_reader_agrees_with_the_fast_ones() -> None:
    assert read_line(GOOD) == ROW


# -- trades


def trades(folder: Path, header: str, *rows: str, end: str = "\n") -> Path:
    return gzipped(folder / "BTC-USDT-trades-2025-06-09.csv.gz", lines([header, *rows], end))


def told(path: Path, folder: Path, name: str = "BTC-USDT") -> list[tuple[object, ...]]:
    done = import_file(path, ImportOptions(folder / "in"))
    return replayed_trades(done.recording, name)


def test_columns_are_found_by_their_names_and_windows_ends_are_read(tmp_path: Path) -> None:
    header = "created_time,size,extra,price,side,trade_id,instrument_name,source"
    row = f"{START},1.5e-05,,30236.0,Sell,77,ETH-USDT,0"
    path = trades(tmp_path, header, row, end="\r\n")
    assert told(path, tmp_path, "ETH-USDT") == [(START, 30236.0, 1.5e-05, "sell", "77")]


def test_the_old_header_in_two_languages_is_read_and_the_name_is_the_files(tmp_path: Path) -> None:
    header = "trade_id/撮合id,side/交易方向,size/数量,price/价格,created_time/成交时间"
    path = tmp_path / "BTC-USDT-trades-2021-09-01.csv"
    path.write_bytes(f"{header}\n5,BUY,0.1,47000,{START}\n".encode("gbk"))
    assert told(path, tmp_path) == [(START, 47000.0, 0.1, "buy", "5")]


def test_a_missing_header_is_said(tmp_path: Path) -> None:
    path = trades(tmp_path, f"BTC-USDT,1,buy,30236.0,1,{START}")
    with pytest.raises(SourceError, match=r"is not recognised .* A header may be missing"):
        told(path, tmp_path)


def test_a_line_without_a_price_or_a_time_is_counted_and_a_replay_counts_it_too(
    tmp_path: Path,
) -> None:
    header = "instrument_name,trade_id,side,price,size,created_time"
    good = f"BTC-USDT,1,buy,30236.0,1,{START}"
    path = trades(tmp_path, header, good, "BTC-USDT,2,buy,,1,5", "BTC-USDT,3,buy,1,1,soon", "x")
    done = import_file(path, ImportOptions(tmp_path / "in"))
    assert (done.unreadable, done.instruments["BTC-USDT"].trades) == (3, 4)
    assert len(replayed_trades(done.recording, "BTC-USDT")) == 1


def test_a_size_that_is_no_number_stays_for_the_replay_to_count(tmp_path: Path) -> None:
    header = "instrument_name,trade_id,side,price,size,created_time"
    path = trades(tmp_path, header, f"BTC-USDT,1,buy,30236.0,NaN,{START}")
    done = import_file(path, ImportOptions(tmp_path / "in"))
    assert done.instruments["BTC-USDT"].trades == 1
    assert replayed_trades(done.recording, "BTC-USDT") == []


@needs_recordings
@needs_samples
def test_the_sample_has_the_books_that_the_exchanges_checksums_prove(tmp_path: Path) -> None:
    (path,) = SAMPLES.glob("BTC-USDT-L2orderbook*.tar.gz")
    done = import_file(path, ImportOptions(tmp_path))
    with (DATA / "okx_v5_202205.oracle.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["instrument"] == "BTC-USDT"]
    book, found = TextBook(), []
    for update, _ in DBInterpreter(done.recording, "BTC-USDT").stream():
        book.read(update.bids, update.asks, snapshot=update.snapshot)
        view = book.view(25)
        found.append(okx_checksum(view.bids, view.asks))
    assert found == [int(row["exchange_checksum"]) for row in rows]
