"""The files of all bars of a run, where the others keep the newest thousand."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from bar_files import read_bars
from recording_factory import START
from truth_runs import snapshot, update, write

from db_interpreter import DBInterpreter
from metrics_calculator import join_metric_bars
from ohlc_processor import OHLCProcessor
from orderflow.block_file import ENTRIES_PER_BLOCK, block_bytes
from recordings.discovery import find_recording
from replay.bar_files import BOOK_COLUMNS, TRADE_COLUMNS, BarFiles
from replay.run import FINISHED, Replay, ReplayOptions
from replay.run_files import RunFiles
from replay.run_orders import PAUSE, RESUME, SEEK, SPEED, Order
from viz_io import ALL_BARS_FILES, BOOK_BARS_FILE, MAX_BARS, TRADE_BARS_FILE

NAMES = [path.name for path in ALL_BARS_FILES]
SECONDS = 1500


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A row a second and most seconds a trade, so that 1000 bars are not all."""
    draw = Random(1)
    rows = [snapshot(0), *(update(at * 1000 + draw.randrange(1000)) for at in range(1, SECONDS))]
    trades = [
        (START + at * 1000 + 7, f"{at}", 1000.0 + at % 9, draw.randrange(1, 9) / 4, side)
        for at in range(SECONDS)
        if (side := draw.choice(("buy", "sell", "?", None)))
    ]
    return write(tmp_path_factory.mktemp("data") / "BTC-USDT.db", rows, trades)


def run(recording: Path, out: Path, script: Any = None, **options: Any) -> dict[str, Any]:
    """Replay in bars of a second; return the bars of both files."""
    chosen = ReplayOptions("BTC-USDT", START, START + 10**8, 1, **options)
    files = RunFiles(out)
    replay = Replay(chosen, find_recording("BTC-USDT", recording, START, START + 10**8), files)
    if script:
        replay.player.obey(script)
    assert replay.run() == FINISHED
    files.close()
    return {name: read_bars(out / name)[1] for name in NAMES if (out / name).exists()}


def test_they_have_all_bars_and_the_newest_are_those_of_the_other_files(
    recording: Path, tmp_path: Path
) -> None:
    found = run(recording, tmp_path)
    traded, sampled = found[TRADE_BARS_FILE.name], found[BOOK_BARS_FILE.name]
    processor = OHLCProcessor(1, max_bars=10**6)
    for batch, trades in DBInterpreter(recording).batches():
        processor.process_rows(batch)
        processor.process_trades(trades)
    processor.finalize()
    assert [list(bar[:6]) for bar in traded] == processor.bars()
    assert len(traded) > MAX_BARS
    cvd = [[bar[0], *bar[12:]] for bar in traded]
    assert join_metric_bars([list(bar) for bar in sampled], cvd) == processor.metric_bars()
    newest = json.loads((tmp_path / "ohlc_data.json").read_bytes())
    assert [list(bar[:6]) for bar in traded[-MAX_BARS:]] == newest
    for bar in traded:
        volume, buy, sell, other = bar[5:9]
        assert volume == pytest.approx(buy + sell + other)
        assert bar[15] - bar[12] == pytest.approx(buy - sell, abs=1e-9)


def test_they_say_what_they_are_and_whose(recording: Path, tmp_path: Path) -> None:
    run(recording, tmp_path)
    headers = [read_bars(tmp_path / name)[0] for name in NAMES]
    assert [header["kind"] for header in headers] == ["trade_bars", "book_bars"]
    assert [tuple(header["columns"]) for header in headers] == [TRADE_COLUMNS, BOOK_COLUMNS]
    assert {(h["instrument"], h["window_ms"], h["schema"]) for h in headers} == {
        ("BTC-USDT", 1000, 1)
    }
    assert len({header["run"] for header in headers}) == 1


def test_a_run_without_flow_has_none_and_removes_those_of_the_run_before(
    recording: Path, tmp_path: Path
) -> None:
    assert len(run(recording, tmp_path)) == 2
    assert run(recording, tmp_path, flow=False) == {}


class Script:
    """Orders, one list a look; then as fast as possible to the end."""

    def __init__(self, *steps: list[Order]) -> None:
        self._steps = [*steps, [Order(SPEED, None), Order(RESUME)]]

    def take(self) -> list[Order]:
        return self._steps.pop(0) if self._steps else []


def seek(seconds: int) -> list[Order]:
    return [Order(SEEK, time=START + seconds * 1000)]


@pytest.mark.parametrize(
    "steps",
    [
        ([Order(PAUSE)], seek(900), *[[]] * 9, seek(100), *[[]] * 9),
        (seek(1200), *[[]] * 9, seek(1100), *[[]] * 9, seek(0), seek(700), *[[]] * 9),
    ],
)
def test_a_run_that_goes_there_and_back_has_the_files_of_a_straight_one(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: Any
) -> None:
    monkeypatch.setattr("replay.player.LOOK_SECONDS", 0.01)
    straight = run(recording, tmp_path / "straight")
    assert run(recording, tmp_path / "out", Script(*steps), start_paused=True) == straight
    sizes = [[(tmp_path / out / n).stat().st_size for n in NAMES] for out in ("straight", "out")]
    assert sizes[0] == sizes[1]


def bars(first: int, count: int) -> list[tuple[float, ...]]:
    return [tuple(float(n + place) for place in range(16)) for n in range(first, first + count)]


class Given:
    """A processor that has closed the bars it is given."""

    flow = True

    def __init__(self) -> None:
        self.closed: list[tuple[float, ...]] = []

    def take_closed(self) -> Any:
        taken, self.closed = self.closed, []
        return taken, []


@pytest.fixture
def given() -> Given:
    return Given()


def test_a_block_is_written_when_it_is_full_and_the_rest_at_the_end(
    tmp_path: Path, given: Any
) -> None:
    files = RunFiles(tmp_path)
    written = BarFiles(files, {"run": "r"})
    path = tmp_path / TRADE_BARS_FILE.name
    sizes = []
    for number in range(2 * ENTRIES_PER_BLOCK + 3):
        given.closed = bars(number, 1)
        written.add_closed(given)
        sizes.append(path.stat().st_size if path.exists() else 0)
    assert len(set(sizes)) == 3  # one write for each block, whatever comes between
    assert sizes[-1] - sizes[ENTRIES_PER_BLOCK] == block_bytes(ENTRIES_PER_BLOCK, 16)
    written.finish(given)
    assert read_bars(path)[1] == bars(0, 2 * ENTRIES_PER_BLOCK + 3)
    files.close()


def test_bars_that_cannot_be_written_wait_and_what_was_torn_is_written_over(
    tmp_path: Path, given: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = RunFiles(tmp_path)
    written = BarFiles(files, {"run": "r"})
    path = tmp_path / TRADE_BARS_FILE.name
    given.closed = bars(0, 300)
    written.add_closed(given)

    def torn(directory: int, name: str, data: bytes, size: int) -> None:
        with path.open("r+b") as file:
            file.seek(size)
            file.write(data[: len(data) // 2] + b"longer" * len(data))
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("replay.run_files.append_in", torn)
        given.closed = bars(300, 300)
        written.add_closed(given)
    failure = files.failure
    given.closed = bars(600, 40)
    written.finish(given)
    assert (failure is None, files.failure is None) == (False, True)
    assert read_bars(path)[1] == bars(0, 640)
    files.close()


def test_bars_that_can_never_be_written_do_not_fill_the_memory_and_fail_the_run(
    tmp_path: Path, given: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files = RunFiles(tmp_path)
    written = BarFiles(files, {"run": "r"})
    monkeypatch.setattr("replay.bar_files.MOST_WAITING", 2 * ENTRIES_PER_BLOCK)
    path = tmp_path / TRADE_BARS_FILE.name
    given.closed = bars(0, 300)
    written.add_closed(given)
    path.rename(tmp_path / "moved")
    for number in range(300, 2000, 100):
        given.closed = bars(number, 100)
        written.add_closed(given)
    (tmp_path / "moved").rename(path)
    written.finish(given)
    assert files.failure is not None
    assert caplog.text.count("bars are missing from it") == 1
    assert read_bars(path)[1] == bars(0, ENTRIES_PER_BLOCK)
    files.close()


def test_the_file_ends_whole_where_a_run_is_stopped(recording: Path, tmp_path: Path) -> None:
    options = ReplayOptions("BTC-USDT", START, START + 10**8, 1, speed=2000)
    files = RunFiles(tmp_path)
    found = find_recording("BTC-USDT", recording, START, START + 10**8)

    def look(replay: Replay) -> None:
        if replay.processor.bars_made > 300:
            replay.stop()

    replay = Replay(options, found, files, look)
    replay.run()
    files.close()
    traded = read_bars(tmp_path / TRADE_BARS_FILE.name)[1]
    assert len(traded) == replay.processor.bars_made
    assert [list(bar[:6]) for bar in traded[-MAX_BARS:]] == replay.processor.bars()
