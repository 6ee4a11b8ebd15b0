"""The files of the order flow that a run writes beside its bars."""

import json
from pathlib import Path
from typing import Any

import pytest
from recording_factory import START
from truth_runs import replay, snapshot, trade, update, write

from ohlc_processor import OHLCProcessor
from orderbook_manager import OrderbookManager
from orderflow.array_file import unpack
from orderflow.events import BookBatch
from recordings.discovery import find_recording
from replay.flow_files import FlowFiles
from replay.run import Replay, ReplayOptions
from replay.run_files import RunFiles
from viz_io import BEST_FILE, FLOW_FILES, FOOTPRINT_FILE, HEATMAP_FILES, TRADES_FILE

NAMES = {path.name for path in FLOW_FILES}
HEATMAPS = {path.name for path in HEATMAP_FILES}
TRADED = {FOOTPRINT_FILE.name, TRADES_FILE.name}


def header(path: Path) -> dict[str, Any]:
    return unpack(path.read_bytes())[0]


def run(path: Path, out: Path, **options: Any) -> set[str]:
    """Replay the first ten seconds of a file; return the names of the files written."""
    chosen = ReplayOptions("BTC-USDT", START, START + 10_000, **options)
    files = RunFiles(out)
    Replay(chosen, find_recording("BTC-USDT", path, START, START + 10_000), files).run()
    files.close()
    return {path.name for path in out.iterdir()}


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    rows = [snapshot(0), *(update(at) for at in range(100, 9_000, 100))]
    return write(tmp_path / "BTC-USDT.db", rows, [trade(at, at) for at in range(50, 9_000, 500)])


def test_a_run_writes_them_all_and_names_itself_in_each(recording: Path, tmp_path: Path) -> None:
    assert run(recording, tmp_path / "out", flow=True) >= NAMES
    headers = {name: header(tmp_path / "out" / name) for name in NAMES}
    assert {h["instrument"] for h in headers.values()} == {"BTC-USDT"}
    assert len({h["run"] for h in headers.values()}) == 1
    assert {h["schema"] for h in headers.values()} == {1}
    assert {h["kind"] for h in headers.values()} == {"heatmap", "footprint", "trades", "best"}
    assert [headers[path.name]["level"] for path in HEATMAP_FILES] == [0, 1, 2, 3, 4]
    assert [headers[path.name]["columns"] for path in HEATMAP_FILES] == [36, 9, 3, 1, 1]
    first = headers["trades_data.bin"]["run"]
    run(recording, tmp_path / "out", flow=True)
    assert header(tmp_path / "out" / "trades_data.bin")["run"] != first


def test_the_other_files_are_the_same_with_and_without(recording: Path, tmp_path: Path) -> None:
    written = []
    for flow in (True, False):
        out = tmp_path / f"out{flow}"
        run(recording, out, flow=flow)
        found = {path.name: path.read_bytes() for path in out.glob("*.json")}
        status = json.loads(found.pop("status_data.json"))
        for changing in ("seconds", "rows_per_second", "written", "monitoring"):
            del status[changing]
        written.append((found, status))
    assert written[0] == written[1]


def test_a_run_without_them_removes_those_of_the_run_before(
    recording: Path, tmp_path: Path
) -> None:
    run(recording, tmp_path / "out", flow=True)
    assert not run(recording, tmp_path / "out", flow=False) & NAMES


def test_where_the_book_is_not_compiled_there_is_no_heatmap_unless_asked_for(
    recording: Path, tmp_path: Path
) -> None:
    written = run(recording, tmp_path / "out")
    assert written >= NAMES - HEATMAPS
    assert (written >= HEATMAPS) is (OrderbookManager.engine == "compiled")
    assert unpack((tmp_path / "out" / BEST_FILE.name).read_bytes())[1]["time"].shape == (1,)


@pytest.mark.parametrize("speed", [None, 1e6])
def test_they_are_the_same_at_any_pace(
    recording: Path, tmp_path: Path, speed: float | None
) -> None:
    found = []
    for number, pace in enumerate((None, speed)):
        out = tmp_path / f"out{number}"
        run(recording, out, flow=True, speed=pace)
        files = {name: unpack((out / name).read_bytes()) for name in sorted(NAMES)}
        for fields, _ in files.values():
            del fields["run"], fields["tick_refined"]  # trades may come before the first column
        found.append(
            {
                n: (h, {a: bytes(v.data) for a, v in arrays.items()})
                for n, (h, arrays) in files.items()
            }
        )
    assert found[0] == found[1]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Written:
    """A directory's files whose writes are counted."""

    def __init__(self, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        self.clock = Clock()
        self.files = RunFiles(out)
        self.flow = FlowFiles(self.files, "X", clock=self.clock)
        self.processor = OHLCProcessor(flow=True, heatmap=True)
        write = self.files.write_flow

        def counted(contents: dict[str, bytes]) -> None:
            self.names += contents
            write(contents)

        monkeypatch.setattr(self.files, "write_flow", counted)

    def publish(self, now: float, *, row: bool = True, last: bool = False) -> set[str]:
        """Add a row, or a trade, and publish; return what was written."""
        at = START + round(now * 1000)
        if row:
            batch = BookBatch([(at, 0, b'[["99","%d"]]' % at, b'[["101","1"]]')], [False])
            self.processor.process_rows(batch)
        else:
            self.processor.process_trades([(0, None, 100.0, 1.0, "buy", at)])
        self.clock.now = now
        self.names.clear()
        self.flow.publish(self.processor, last=last)
        return {*self.names}


def test_a_file_is_written_at_most_twice_a_second_and_coarse_ones_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Written(tmp_path, monkeypatch)
    times = [written.publish(tenth / 10) for tenth in range(160)]
    counts = {name: sum(name in names for names in times) for name in NAMES}
    assert counts == {
        **{path.name: count for path, count in zip(HEATMAP_FILES, (32, 16, 8, 4, 2), strict=True)},
        BEST_FILE.name: 32,
        FOOTPRINT_FILE.name: 2,  # the tick is in it, which the first column's end tells
        TRADES_FILE.name: 2,
    }
    written.files.close()


def test_only_what_has_changed_is_written_and_all_of_it_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Written(tmp_path, monkeypatch)
    assert written.publish(0.0) == NAMES
    written.publish(9.0, row=False)
    assert written.publish(10.0, row=False) == TRADED
    assert written.publish(10.2, row=False) == set()
    assert written.publish(10.3, last=True) >= {*HEATMAPS, BEST_FILE.name}
    assert written.publish(10.4, row=False, last=True) == TRADED
    written.files.close()


def test_a_write_that_failed_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    written = Written(tmp_path, monkeypatch)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("replay.run_files.replace_file_in", fail)
        written.publish(0.0)
    failures = [written.files.failure]
    assert written.publish(0.6, row=False) >= TRADED
    failures.append(written.files.failure)
    assert [failure is None for failure in failures] == [False, True]
    assert caplog.text.count("No space left") == 1
    assert (tmp_path / TRADES_FILE.name).exists()
    written.files.close()


def test_a_damaged_recording_has_the_flow_of_what_was_read(tmp_path: Path) -> None:
    rows = [snapshot(0), *(update(at) for at in range(100, 2_000, 100))]
    path = write(tmp_path / "BTC-USDT.db", rows)
    assert replay(path, end=1).status["state"] == "finished"


def test_no_file_is_longer_than_a_reader_takes(tmp_path: Path) -> None:
    bounds = 1024 * (400 * 2 + 4 * 8 + 2), 20_000 * 25, 131_072 * 32 + 1000 * 92 + 8192 * 32
    assert max(bounds) + 65_536 < 16 * 1024 * 1024
