"""Bars of any part of a run: what the page answers, and what it makes of torn and hostile files."""

from __future__ import annotations

import math
import os
import struct
import threading
import time as clock
from pathlib import Path
from random import Random
from typing import Any

import pytest
from bar_files import grown
from flask.testing import FlaskClient
from flow_files import START_MS
from hypothesis import given
from hypothesis import strategies as st
from page_fixtures import put as put_json
from page_fixtures import put_run, status

from app import make_app
from orderflow.array_file import unpack
from orderflow.block_file import ENTRIES_PER_BLOCK, pack_block
from page import bar_range
from page.bar_files import BarFile, Found
from page.bar_range import Question, answer_of
from page.contents import Bars, Metrics
from replay.bar_files import BOOK_COLUMNS, TRADE_COLUMNS

MINUTE = 60_000
COUNT = 3000
COLUMNS = ("time", "close", "cvd_close")


def traded(count: int, first: int = 0) -> list[tuple[float, ...]]:
    """Return bars of trades, one a minute; each third minute has none."""
    made: list[tuple[float, ...]] = []
    draw, cvd = Random(3), 0.0
    for number in range(first, first + count):
        if number % 3 == 2:
            continue
        o, c = 100 + draw.randrange(50) / 10, 100 + draw.randrange(50) / 10
        buy, sell = draw.randrange(9) / 4, draw.randrange(9) / 4
        cvd += buy - sell
        high, low = max(o, c) + 1, min(o, c) - 1
        sides = (buy, sell, 0.0, -sell, buy, (o + c) / 2)
        sums = (cvd - buy + sell, cvd + buy, cvd - sell, cvd)
        made.append((START_MS + number * MINUTE, o, high, low, c, buy + sell, *sides, *sums))
    return made


def sampled(count: int) -> list[tuple[float, ...]]:
    draw = Random(4)
    return [
        (START_MS + number * MINUTE, *(draw.randrange(-9, 9) / 10 for _ in range(4)), 5, 6, 4, 5)
        for number in range(count)
    ]


def put(directory: Path, name: str, data: bytes) -> Path:
    path = directory / name
    path.write_bytes(data)
    return path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    put(tmp_path, "trade_bars.bin", grown("trade_bars", traded(COUNT)))
    put(tmp_path, "book_bars.bin", grown("book_bars", sampled(COUNT)))
    return tmp_path


def columns_of(answer: bytes) -> tuple[dict[str, Any], dict[str, list[float]]]:
    header, arrays = unpack(answer)
    return header, {name: list(memoryview(a.data).cast("d")) for name, a in arrays.items()}


def ask(directory: Path, low: int, high: int, most: int = 1000) -> Any:
    """Ask for minutes `[low, high)`."""
    ranges = bar_range.BarRanges(directory)
    answer = ranges.answer(Question(START_MS + low * MINUTE, START_MS + high * MINUTE, most), None)
    return None if answer is None else columns_of(answer)


@pytest.mark.parametrize(("low", "high"), [(0, 700), (255, 257), (1000, 1900), (2500, 9999)])
def test_bars_of_any_part_are_those_of_the_run(directory: Path, low: int, high: int) -> None:
    header, found = ask(directory, low, high)
    span = START_MS + low * MINUTE, START_MS + high * MINUTE
    want = [bar for bar in traded(COUNT) if span[0] <= bar[0] < span[1]]
    for place, name in enumerate(TRADE_COLUMNS[:12]):
        assert found[name] == [bar[place] for bar in want]
    book = [bar for bar in sampled(COUNT) if span[0] <= bar[0] < span[1]]
    assert found["metric_time"] == [bar[0] for bar in book]
    assert found["metric_obi_close"] == [bar[4] for bar in book]
    closes = {bar[0]: bar[15] for bar in traded(COUNT)}
    for time, cvd in zip(found["metric_time"], found["metric_cvd"], strict=True):
        # A window without a trade has the CVD of the one before.
        assert cvd == closes.get(time, closes.get(time - MINUTE))
    assert (header["joined"], header["bars"]) == (1, len(want))
    assert header["total"] == len(traded(COUNT))
    assert (header["begin"], header["run"]) == (START_MS, "one")


def test_more_bars_than_are_drawn_are_joined_as_longer_windows_would_have_them(
    directory: Path,
) -> None:
    header, found = ask(directory, 0, COUNT, 100)
    assert header["joined"] == 50
    assert header["bars"] == len(traded(COUNT))
    step = 50 * MINUTE
    groups: dict[float, list[tuple[float, ...]]] = {}
    for bar in traded(COUNT):
        groups.setdefault(bar[0] // step * step, []).append(bar)
    assert found["time"] == list(groups)
    for place, bars in enumerate(groups.values()):
        assert found["open"][place] == bars[0][1]
        assert found["high"][place] == max(bar[2] for bar in bars)
        assert found["low"][place] == min(bar[3] for bar in bars)
        assert found["close"][place] == bars[-1][4]
        assert found["volume"][place] == pytest.approx(sum(bar[5] for bar in bars))
        delta, low, high = 0.0, math.inf, -math.inf
        for bar in bars:
            low, high = min(low, delta + bar[9]), max(high, delta + bar[10])
            delta += bar[6] - bar[7]
        assert (found["min_delta"][place], found["max_delta"][place]) == (low, high)
    assert found["metric_obi_high"][0] == max(bar[2] for bar in sampled(50))
    assert sum(found["volume"]) == pytest.approx(sum(bar[5] for bar in traded(COUNT)))


def test_no_more_is_read_than_bounded_and_the_answer_says_where_it_begins(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("page.bar_files.MOST_READ", 2 * ENTRIES_PER_BLOCK)
    header, found = ask(directory, 0, COUNT)
    assert header["from"] == found["metric_time"][0] > START_MS
    assert len(found["metric_time"]) <= 2 * ENTRIES_PER_BLOCK
    assert found["metric_time"][-1] == START_MS + (COUNT - 1) * MINUTE


def test_the_newest_bars_come_from_the_other_files() -> None:
    bars = traded(30)
    columns = [list(column) for column in zip(*bars[-8:], strict=True)]
    newest = Bars([int(time) for time in columns[0]], *columns[1:6])
    half: list[float | None] = [0.5] * 8
    metrics = Metrics(newest.times, half, half, half, half, [7.0] * 8)
    known = dict(zip(TRADE_COLUMNS, zip(*bars[:15], strict=True), strict=True))
    file = Found(
        {"run": "r", "window_ms": MINUTE},
        {name: list(values) for name, values in known.items()},
        int(bars[0][0]),
        int(bars[14][0]),
        15,
    )
    header, found = columns_of(answer_of(Question(0, 10**14), file, Found(), newest, metrics))
    assert found["time"] == [bar[0] for bar in bars]
    assert found["close"] == [bar[4] for bar in bars]
    assert math.isnan(found["buy"][-1])
    assert header["total"] == 20
    assert found["metric_cvd"][-1] == 7.0
    assert found["metric_obi_close"][-1] == 0.5


def test_what_results_do_not_say_of_a_bar_is_no_number_and_the_rest_is_shown(
    tmp_path: Path,
) -> None:
    unknown = [(*bar[:6], *[math.nan] * 6, *bar[12:]) for bar in traded(700)]
    put(tmp_path, "trade_bars.bin", grown("trade_bars", unknown))
    for most, joined in ((1000, 1), (400, 2)):
        header, told = ask(tmp_path, 0, 700, most)
        assert header["joined"] == joined
        assert math.fsum(told["volume"]) == math.fsum(bar[5] for bar in unknown)
        assert told["cvd_close"][-1] == unknown[-1][-1]
        for name in ("buy", "sell", "other", "min_delta", "max_delta", "vwap"):
            assert all(map(math.isnan, told[name]))


def test_a_time_in_which_nothing_traded_has_no_bars_of_trades(directory: Path) -> None:
    header, found = ask(directory, 2, 3)
    assert (header["bars"], found["time"], found["min_delta"]) == (0, [], [])
    assert found["metric_time"] == [START_MS + 2 * MINUTE]


def test_a_time_in_which_there_is_nothing_has_no_bars(directory: Path) -> None:
    header, found = ask(directory, COUNT, COUNT + 10)
    assert header["bars"] == 0
    assert not any(found.values())


def test_what_no_file_holds_of_a_run_in_progress_is_not_known() -> None:
    trades = [bar for bar in traded(600) if (bar[0] - START_MS) % (30 * MINUTE) == 0]
    book = sampled(600)

    def file_of(names: tuple[str, ...], bars: list[tuple[float, ...]]) -> Found:
        columns = dict(zip(names, map(list, zip(*bars, strict=True)), strict=True))
        header = {"run": "r", "window_ms": MINUTE}
        return Found(header, columns, int(bars[0][0]), int(bars[-1][0]), len(bars))

    traded_file, book_file = file_of(TRADE_COLUMNS, trades[:4]), file_of(BOOK_COLUMNS, book[:256])
    prices = [list(column) for column in zip(*trades, strict=True)]
    newest = Bars([int(time) for time in prices[0]], *prices[1:6])
    obi: list[float | None] = [0.5] * 100
    metrics = Metrics([int(bar[0]) for bar in book[500:]], obi, obi, obi, obi, [7.0] * 100)
    answer = answer_of(Question(0, 10**14), traded_file, book_file, newest, metrics)
    _, found = columns_of(answer)
    minutes = [int(time - START_MS) // MINUTE for time in found["metric_time"]]
    assert minutes == [*range(256), *range(270, 500, 30), *range(500, 600)]
    cvd = dict(zip(minutes, found["metric_cvd"], strict=True))
    assert {minute for minute in minutes if math.isnan(cvd[minute])} == {
        minute for minute in minutes if 120 <= minute < 500
    }
    assert cvd[119] == trades[3][15]
    closes = dict(zip(minutes, found["metric_obi_close"], strict=True))
    assert {minute for minute in minutes if math.isnan(closes[minute])} == {*range(270, 500, 30)}


def test_a_torn_tail_is_not_read_and_no_word_is_lost_on_it(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = directory / "book_bars.bin"
    whole = path.read_bytes()
    full = COUNT // ENTRIES_PER_BLOCK
    tail = len(pack_block(sampled(COUNT)[full * ENTRIES_PER_BLOCK :]))
    for length in (1, 7, 8, 9, 100, tail - 8, tail - 1):
        path.write_bytes(whole[: len(whole) - tail + length])
        _, found = ask(directory, 0, COUNT, 1000)
        assert found["metric_time"][-1] >= START_MS + (COUNT - COUNT % 5 - 5) * MINUTE
        file = BarFile(path, "book_bars", ("time", "obi_close"))
        read = file.read(0, 10**14)
        assert len(read.times) == full * ENTRIES_PER_BLOCK
        assert file.problem is None
    path.write_bytes(whole[:-8] + bytes(8))  # of its length, and not what was written
    read = BarFile(path, "book_bars", ("time",)).read(0, 10**14)
    assert len(read.times) == full * ENTRIES_PER_BLOCK
    assert caplog.text == ""


def test_a_damaged_block_is_left_out_and_said_once(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = directory / "trade_bars.bin"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    ranges = bar_range.BarRanges(directory)
    for most in (900, 901):
        asked = Question(START_MS, START_MS + COUNT * MINUTE, most)
        assert ranges.answer(asked, None) is not None
    assert [name for name, _, _ in ranges.problems()] == ["trade_bars.bin"]
    assert caplog.text.count("checksum") == 1
    file = BarFile(path, "trade_bars", COLUMNS)
    assert len(file.read(0, 10**14).times) == len(traded(COUNT)) - ENTRIES_PER_BLOCK


GOOD = grown("trade_bars", traded(700))
HEAD = 8 + int.from_bytes(GOOD[4:8], "little")


def with_value(value: float, column: int) -> bytes:
    bars = [list(bar) for bar in traded(30)]
    bars[5][column] = value
    return grown("trade_bars", bars)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"OFR1",
        b"OFR1\xff\xff\xff\xff",
        b"\x00" * 100_000,
        GOOD[: HEAD - 1],
        b"PK" + GOOD[2:],
        grown("book_bars", sampled(10)),
        grown("trade_bars", traded(10), schema=2),
        GOOD.replace(b'"block":256', b'"block":257'),
        GOOD.replace(b'"vwap"', b'"wvap"'),
        GOOD.replace(b'"open"', b'"time"'),
        GOOD[:HEAD] + struct.pack("<II", 2**31, 0) + bytes(100),
        with_value(math.nan, 4),
        with_value(math.inf, 4),
        with_value(-1e300, 7),
        with_value(-1.0, 0),
        with_value(1e18, 0),
        grown("trade_bars", traded(30)[::-1]),
        grown("trade_bars", traded(30) * 2),
        grown("trade_bars", [*traded(700), *traded(100)]),
    ],
)
def test_a_foreign_or_hostile_file_gives_no_number_that_was_not_checked(
    tmp_path: Path, data: bytes
) -> None:
    file = BarFile(put(tmp_path, "x.bin", data), "trade_bars", COLUMNS)
    found = file.read(0, 10**14)
    assert found.times in ([], [bar[0] for bar in traded(700)][: len(found.times)])
    assert all(map(math.isfinite, found.columns.get("close", ())))


@given(st.data())
def test_no_flipped_bytes_break_the_reader(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    raw = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    path = put(tmp_path_factory.getbasetemp(), "flipped.bin", bytes(raw[:cut]))
    found = BarFile(path, "trade_bars", COLUMNS).read(START_MS, START_MS + 900 * MINUTE)
    assert set(found.times) <= {bar[0] for bar in traded(700)}


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.bin")
    (tmp_path / "folder.bin").mkdir()
    for name in ("pipe.bin", "folder.bin", "nothing.bin"):
        file = BarFile(tmp_path / name, "trade_bars", COLUMNS)
        assert file.read(0, 10**14) == Found()
        assert (file.problem is None) is (name == "nothing.bin")


# -- the address


@pytest.fixture
def client(directory: Path) -> FlaskClient:
    put_run(directory, 5)
    put_json(directory, "status_data.json", status(window_seconds=60))
    client: FlaskClient = make_app(directory).server.test_client()
    return client


def test_the_address_answers_with_an_array_file(client: FlaskClient, directory: Path) -> None:
    answer = client.get(f"/range?from={START_MS}&to={START_MS + 60 * MINUTE}&most=500")
    assert (answer.status_code, answer.content_type) == (200, "application/octet-stream")
    assert columns_of(answer.data)[0]["bars"] == 40
    for name in ("trade_bars.bin", "book_bars.bin"):
        (directory / name).unlink()
    assert client.get("/range?from=1&to=2").status_code == 204


@pytest.mark.parametrize(
    "query",
    [
        "", "from=1", "to=1", "from=2&to=1", "from=1&to=1", "from=-1&to=5", "from=1&to=nan",
        "from=1&to=1e9", f"from=1&to={10**15}", "from=1&to=" + "9" * 400, "from=1&to=5&most=0",
        "from=1&to=5&most=1001", "from=1&to=5&most=-1", "from=1&to=5&most=", "from=٣&to=5",
    ],
)  # fmt: skip
def test_a_question_that_is_none_is_refused_in_a_line(client: FlaskClient, query: str) -> None:
    answer = client.get(f"/range?{query}")
    assert (answer.status_code, answer.content_type) == (400, "text/plain")
    assert answer.text.count("\n") == 1


def test_the_page_tells_of_a_file_that_cannot_be_read(client: FlaskClient, directory: Path) -> None:
    put(directory, "trade_bars.bin", b"PK" * 100)
    client.get(f"/range?from={START_MS}&to={START_MS + MINUTE}")
    poll = {
        "output": "seen.data",
        "outputs": {"id": "seen", "property": "data"},
        "inputs": [{"id": "poll", "property": "n_intervals", "value": 1}],
        "state": [{"id": "seen", "property": "data", "value": ""}],
        "changedPropIds": ["poll.n_intervals"],
    }
    answer = client.post("/_dash-update-component", json=poll)
    assert "trade_bars.bin" in answer.text


def test_many_questions_at_once_leave_threads_for_others(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()
    made = bar_range.BarRanges._made

    def slow(*given: Any) -> Any:
        begun.release()
        go_on.wait(20)
        return made(*given)

    monkeypatch.setattr(bar_range.BarRanges, "_made", slow)
    codes: list[int] = []

    def ask_for(number: int) -> None:
        codes.append(client.get(f"/range?from={number}&to={10**13}").status_code)

    threads = [threading.Thread(target=ask_for, args=(number,)) for number in range(1, 5)]
    threads[0].start()
    assert begun.acquire(timeout=20)
    for thread in threads[1:]:
        thread.start()
    deadline = clock.monotonic() + 20
    while codes.count(202) < 2 and clock.monotonic() < deadline:
        clock.sleep(0.01)
    go_on.set()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200, 200, 202, 202]
