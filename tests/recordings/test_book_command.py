"""`uv run -m recordings book`: a moment on the terminal, and as JSON."""

import json
from pathlib import Path

import pytest
from recording_factory import START, BookRow, TradeRow, write_recording
from test_commands import run

BOOK = [
    BookRow(1, START, '[["100.5", "2"], ["100", "1.25"]]', '[["101", "3"], ["102.25", "0.5"]]'),
    BookRow(2, START + 100, '[["100.5", "0"]]', "[]"),
    BookRow(3, START + 100, "[]", '[["100.75", "7"]]'),
    BookRow(4, START + 900, "[]", '[["100.75", "0"]]'),
]
TRADES = [
    TradeRow(1, START + 50, "a", 100.5, 2.0, "sell"),
    TradeRow(2, START + 100, "b", 101.0, 0.25, "buy"),
    TradeRow(3, START + 101, "c", 101.0, 9.0, None),
]
LADDER = """\
BTC-USDT  2025-06-09 00:00:00.100 UTC  row 3, 0 s old, not reliable: not proven by a snapshot
CVD -1.75  levels 1 bids, 3 asks

  ask 102.25 0.50
  ask 101.00 3.00
  ask 100.75 7.00
  spread 0.75, mid 100.375
  bid 100.00 1.25

trades, newest first:
  00:00:00.100 buy  101 x 0.25
  00:00:00.050 sell 100.5 x 2
"""


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ORDERFLOW_CACHE_DIR", str(tmp_path / "cache"))
    return write_recording(tmp_path / "BTC-USDT.db", BOOK, TRADES)


def book(recording: Path, time: str, *more: str) -> tuple[int, str, str]:
    return run(
        "book", "BTC-USDT", time, "--data-dir", recording, "--book-mode", "incremental", *more
    )


def test_the_ladder_and_the_trades_of_a_moment(recording: Path) -> None:
    assert book(recording, "2025-06-09T00:00:00.100") == (0, LADDER, "")
    assert book(recording, str(START + 100)) == (0, LADDER, "")


def test_as_json(recording: Path) -> None:
    code, out, err = book(recording, "2025-06-09T00:00:00.2Z", "--json", "--depth", "1")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found.pop("best") == [
        [START, 1, 100.5, 2.0, 101.0, 3.0],
        [START + 100, 2, 100.0, 1.25, 101.0, 3.0],
        [START + 100, 3, 100.0, 1.25, 100.75, 7.0],
    ]
    assert found == {
        "schema": 1,
        "instrument": "BTC-USDT",
        "time": START + 200,
        "row": 3,
        "row_time": START + 100,
        "bids": [[100.0, 1.25]],
        "asks": [[100.75, 7.0]],
        "bid_levels": 1,
        "ask_levels": 3,
        "reliable": False,
        "cvd": -1.75,
        "trades": [
            [START + 50, 100.5, 2.0, "sell"],
            [START + 100, 101.0, 0.25, "buy"],
            [START + 101, 101.0, 9.0, None],
        ],
    }


def test_before_the_first_row_there_is_no_book(recording: Path) -> None:
    code, out, _ = book(recording, "2025-06-08T23:59:59", "--from", "2025-06-08")
    assert code == 1
    assert out == ""
    path = recording.with_name("BTC-USDT-25-06-08.db")
    write_recording(path, [BookRow(1, START - 500, "[]", "[]")], [])
    code, out, _ = run("book", "BTC-USDT", str(START - 600), "--data-dir", path)
    assert code == 0
    assert "before the first row" in out
    assert "a side is empty" in out
    assert "no trades from the start on" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("noon",), "TIME 'noon' is not a time"),
        (("2025-06-09", "--from", "2025-06-10"), "--from must be at or before TIME"),
        (("2025-06-09", "--levels", "0"), "must be 1 to 10,000"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    recording: Path, arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = book(recording, *arguments)
    assert (code, out) == (2, "")
    assert said in err
