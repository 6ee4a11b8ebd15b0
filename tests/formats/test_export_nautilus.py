"""A catalog of NautilusTrader, read with pyarrow alone: layout, schemas, numbers."""

from pathlib import Path
from typing import Any

import pytest
from exports import START, BookAt, Side, change, exported, recording_of
from recorded_market import replayed_books, replayed_trades
from recording_factory import BookRow, TradeRow, write_recording

pa = pytest.importorskip("pyarrow", reason="the group data is not installed")
pq = pytest.importorskip("pyarrow.parquet")

UNIT = 10**16
DELTA = ("action", "side", "price", "size", "flags", "sequence", "ts_event")


def rows_in(folder: Path, kind: str, instrument: str = "BTC-USDT") -> list[dict[str, Any]]:
    (path,) = (folder / "data" / kind / f"{instrument}.OKX").glob("*.parquet")
    rows: list[dict[str, Any]] = pq.ParquetFile(path).read().to_pylist()
    return rows


def number(raw: bytes) -> float:
    return int.from_bytes(raw, "little") / UNIT


def of_small(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    write_recording(
        folder / "X-USDT.db",
        [
            BookRow(1, START, '[["100","1"],["99.5","2.25"]]', '[["101","3"]]'),
            BookRow(2, START + 1, '[["100","0"]]', '[["102","4"]]'),
            BookRow(3, START + 2, "[]", "[]"),
        ],
        [
            TradeRow(1, START + 1, "a1", 100.0, 0.5, "sell"),
            TradeRow(2, START + 1, None, 100.0, 0.0, "buy"),
            TradeRow(3, START + 2, None, 100.125, 0.25, None),
        ],
    )
    done = exported("nautilus", folder, folder / "catalog", instrument="X-USDT")
    assert "1 trades of size 0 or beyond what a price or size may be, left out" in done.notes
    return folder / "catalog"


def test_deltas_are_as_nautilus_wants_them(tmp_path: Path) -> None:
    rows = rows_in(of_small(tmp_path), "order_book_delta", "X-USDT")
    found = [tuple(number(row[n]) if n in ("price", "size") else row[n] for n in DELTA)
             for row in rows]  # fmt: skip
    ns = START * 1_000_000
    assert found == [
        (2, 1, 100.0, 1.0, 0, 1, ns),
        (2, 1, 99.5, 2.25, 0, 1, ns),
        (2, 2, 101.0, 3.0, 128, 1, ns),
        (3, 1, 100.0, 0.0, 0, 2, ns + 1_000_000),
        (2, 2, 102.0, 4.0, 128, 2, ns + 1_000_000),
    ]
    assert all(row["ts_init"] == row["ts_event"] and row["order_id"] == 0 for row in rows)


def test_trades_and_the_metadata_are_as_nautilus_wants_them(tmp_path: Path) -> None:
    folder = of_small(tmp_path)
    rows = rows_in(folder, "trade_tick", "X-USDT")
    assert [(number(row["price"]), number(row["size"]), row["aggressor_side"], row["trade_id"])
            for row in rows] == [(100.0, 0.5, 2, "a1"), (100.125, 0.25, 0, "3")]  # fmt: skip
    for kind in ("trade_tick", "order_book_delta"):
        (path,) = (folder / "data" / kind / "X-USDT.OKX").glob("*.parquet")
        schema = pq.ParquetFile(path).schema_arrow
        assert schema.metadata == {
            b"instrument_id": b"X-USDT.OKX", b"price_precision": b"3", b"size_precision": b"2",
        }  # fmt: skip
        assert not any(field.nullable for field in schema)
        assert schema.field("price").type == pa.binary(16)
        assert path.name.startswith("2025-06-09T00-00-00-00")
    (instrument,) = rows_in(folder, "currency_pair", "X-USDT")
    assert (instrument["price_increment"], instrument["size_increment"]) == ("0.001", "0.01")
    assert instrument["price_precision"] == 3


def test_the_deltas_make_the_book_at_every_row(tmp_path: Path) -> None:
    folder = recording_of(tmp_path / "in", rows=200)
    exported("nautilus", folder, folder / "catalog")
    sides: tuple[Side, Side] = ({}, {})
    found = []
    for row in rows_in(folder / "catalog", "order_book_delta"):
        if row["action"] == 4:
            sides[0].clear()
            sides[1].clear()
        else:
            change(sides[row["side"] - 1], number(row["price"]), number(row["size"]))
        if row["flags"] & 128:
            found.append(BookAt(row["ts_event"] // 10**6, dict(sides[0]), dict(sides[1])))
    path = folder / "BTC-USDT.db"
    wanted: dict[int, Any] = {
        ms: ({p: s for p, s in bids}, {p: s for p, s in asks})  # noqa: C416 (pairs are lists)
        for ms, bids, asks in replayed_books(path, "BTC-USDT")
    }
    assert len(found) > 190
    for ms, *books in found:
        assert tuple(books) == wanted[ms]
    trades = rows_in(folder / "catalog", "trade_tick")
    assert [
        (row["ts_event"] // 10**6, number(row["price"]), number(row["size"])) for row in trades
    ] == [trade[:3] for trade in replayed_trades(path, "BTC-USDT")]


def test_a_name_that_says_nothing_has_no_instrument(tmp_path: Path) -> None:
    folder = recording_of(tmp_path / "in", rows=20, instrument="BTCUSDT")
    done = exported("nautilus", folder, folder / "catalog", instrument="BTCUSDT")
    assert any(note.startswith("no instrument is written: BTCUSDT") for note in done.notes)
    assert {path.name for path in (folder / "catalog" / "data").iterdir()} <= {
        "order_book_delta", "trade_tick",
    }  # fmt: skip
