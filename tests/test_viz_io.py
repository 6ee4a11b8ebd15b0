import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from places import PROJECT

import viz_io
from orderflow.errors import OutputError
from replay.run_files import RunFiles


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DATA_FILE", "DEPTH_FILE", "METRICS_FILE"):
        monkeypatch.setattr(viz_io, name, tmp_path / getattr(viz_io, name).name)
    return tmp_path


def read(path: Path) -> Any:
    return json.loads(path.read_bytes())


class TestFunctions:
    def test_ohlc_bars_are_appended_replaced_and_cleared(self, files: Path) -> None:
        viz_io.add_ohlc_bar(1000, 1.0, 2.0, 0.5, 1.5, 10.0)
        viz_io.upsert_ohlc_bar(1000, 1.0, 3.0, 0.5, 2.5, 11.0)
        viz_io.upsert_ohlc_bar(
            timestamp=2000, open_price=2, high_price=2, low_price=2, close_price=2, volume=1
        )
        assert read(files / "ohlc_data.json") == [
            [1000, 1.0, 3.0, 0.5, 2.5, 11.0],
            [2000, 2, 2, 2, 2, 1],
        ]
        viz_io.upsert_ohlc_bar(1000, 9.0, 9.0, 9.0, 9.0, 9.0)
        assert read(files / "ohlc_data.json")[0] == [1000, 9.0, 9.0, 9.0, 9.0, 9.0]
        viz_io.clear_data()
        assert read(files / "ohlc_data.json") == []

    def test_metric_bars_have_5_9_or_13_fields(self, files: Path) -> None:
        viz_io.add_metric_bar(timestamp=1, obi_open=0.1, obi_high=0.2, obi_low=0, obi_close=0.1)
        viz_io.add_metric_bar(2, 0.1, 0.2, 0.0, 0.1, (1, 2, 3, 4))
        viz_io.upsert_metric_bar(2, 0.1, 0.2, 0.0, 0.1, (1, 2, 3, 4), (5, 6, 7, 8))
        bars = read(files / "metrics_data.json")
        assert [len(bar) for bar in bars] == [5, 13]
        assert bars[1] == [2, 0.1, 0.2, 0.0, 0.1, 1, 2, 3, 4, 5, 6, 7, 8]
        with pytest.raises(OutputError, match="5, 9 or 13 fields"):
            viz_io.add_metric_bar(3, 0, 0, 0, 0, (1, 2))
        with pytest.raises(OutputError, match="5, 9 or 13 fields"):
            viz_io.add_metric_bar(3, 0, 0, 0, 0, (), (1, 2, 3, 4))
        viz_io.clear_metrics()
        assert read(files / "metrics_data.json") == []

    def test_only_the_last_bars_are_kept(
        self, files: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert viz_io.MAX_BARS == 1000
        monkeypatch.setattr(viz_io, "MAX_BARS", 3)
        for timestamp in range(5):
            viz_io.add_ohlc_bar(timestamp, 1, 1, 1, 1, 1)
        assert [bar[0] for bar in read(files / "ohlc_data.json")] == [2, 3, 4]

    def test_depth_is_replaced(self, files: Path) -> None:
        viz_io.set_depth_data([[10.0, 1.5]], [[11.0, 2.0], [12.0, 3.0]])
        assert read(files / "depth_data.json") == {
            "bids": [[10.0, 1.5]],
            "asks": [[11.0, 2.0], [12.0, 3.0]],
        }

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
    def test_nan_and_infinity_are_never_written(self, files: Path, bad: float) -> None:
        with pytest.raises(OutputError, match="must be finite; found"):
            viz_io.add_ohlc_bar(1, bad, 1, 1, 1, 1)
        with pytest.raises(OutputError, match="must be finite"):
            viz_io.add_metric_bar(1, 0, 0, 0, 0, (1, 1, 1, bad))
        with pytest.raises(OutputError, match="must be finite"):
            viz_io.set_depth_data([[1.0, bad]], [])
        assert list(files.iterdir()) == []

    def test_a_file_that_holds_no_bars_is_begun_anew_and_said(
        self, files: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (files / "ohlc_data.json").write_text("[[1,2")
        viz_io.add_ohlc_bar(5, 1, 1, 1, 1, 1)
        assert read(files / "ohlc_data.json") == [[5, 1, 1, 1, 1, 1]]
        assert "held no bars" in caplog.text


class TestAtomicWrite:
    def test_mode_is_what_a_plain_open_would_make(self, files: Path) -> None:
        before = os.umask(0o027)
        try:
            viz_io.clear_data()
        finally:
            os.umask(before)
        assert stat.S_IMODE((files / "ohlc_data.json").stat().st_mode) == 0o640

    def test_a_link_in_the_place_of_the_file_is_replaced_not_followed(self, files: Path) -> None:
        victim = files / "victim"
        victim.write_text("precious")
        (files / "ohlc_data.json").symlink_to(victim)
        viz_io.clear_data()
        assert victim.read_text() == "precious"
        assert not (files / "ohlc_data.json").is_symlink()

    def test_a_failed_write_leaves_the_old_file_and_no_temporary(
        self, files: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        viz_io.add_ohlc_bar(1, 1, 1, 1, 1, 1)

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="No space left"):
            viz_io.clear_data()
        assert [path.name for path in files.iterdir()] == ["ohlc_data.json"]
        assert len(read(files / "ohlc_data.json")) == 1


def publish(files: RunFiles, number: int, *, durable: bool = False) -> None:
    bars = [[number, 1.0, 1.0, 1.0, 1.0, 1.0]]
    files.publish(bars, bars, ([[1.0, 2.0]], []), {"number": number}, {}, durable=durable)


class TestRunFiles:
    def test_a_new_run_clears_the_files_of_the_one_before(self, tmp_path: Path) -> None:
        (tmp_path / "ohlc_data.json").write_text("[[1,2,3,4,5,6]]")
        files = RunFiles(tmp_path)
        files.clear({"state": "running"}, {"issues": []})
        assert read(tmp_path / "data_issues.json") == {"issues": []}
        assert read(tmp_path / "ohlc_data.json") == []
        assert read(tmp_path / "metrics_data.json") == []
        assert read(tmp_path / "depth_data.json") == {"bids": [], "asks": []}
        assert read(tmp_path / "status_data.json") == {"state": "running"}
        files.close()

    def test_a_second_run_into_the_directory_is_refused_with_the_pid_of_the_first(
        self, tmp_path: Path
    ) -> None:
        first = RunFiles(tmp_path)
        with pytest.raises(OutputError, match=f"in use by another run, pid {os.getpid()};"):
            RunFiles(tmp_path)
        first.close()
        first.close()
        RunFiles(tmp_path).close()
        assert list(tmp_path.iterdir()) == []

    def test_an_unusable_directory_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match=r"cannot be written to .*--output-dir"):
            RunFiles(tmp_path / "file" / "below")

    def test_a_file_is_written_at_most_ten_times_a_second(self, tmp_path: Path) -> None:
        now = 100.0
        files = RunFiles(tmp_path, clock=lambda: now)
        due = [files.is_due]
        publish(files, 1)
        for step in (0.099, 0.002):
            now += step
            due.append(files.is_due)
        assert due == [True, False, True]
        files.close()

    def test_an_unchanged_file_is_not_touched(self, tmp_path: Path) -> None:
        files = RunFiles(tmp_path)
        publish(files, 1)
        before = (tmp_path / "ohlc_data.json").stat().st_ino
        files.publish([[1, 1.0, 1.0, 1.0, 1.0, 1.0]], [], ([], []), {"number": 2}, {})
        assert (tmp_path / "ohlc_data.json").stat().st_ino == before
        assert read(tmp_path / "status_data.json") == {"number": 2}
        publish(files, 2, durable=True)
        assert (tmp_path / "ohlc_data.json").stat().st_ino != before
        files.close()

    def test_a_lost_directory_is_said_once_and_tried_again(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        directory = tmp_path / "out"
        files = RunFiles(directory)
        publish(files, 1)
        directory.rename(tmp_path / "gone")
        publish(files, 2)
        publish(files, 3)
        failures = [files.failure]
        assert caplog.text.count("cannot be written") == 1
        (tmp_path / "gone").rename(directory)
        publish(files, 4)
        failures.append(files.failure)
        assert [failure is None for failure in failures] == [False, True]
        assert read(directory / "status_data.json") == {"number": 4}
        files.close()

    def test_temporaries_of_dead_processes_go_and_those_of_living_ones_stay(
        self, tmp_path: Path
    ) -> None:
        with subprocess.Popen([sys.executable, "-c", ""]) as ended:
            ended.wait()
        dead = tmp_path / f".ohlc_data.json.{ended.pid}.0123456789ab.tmp"
        own = tmp_path / f".ohlc_data.json.{os.getpid()}.0123456789ab.tmp"
        living = tmp_path / f".ohlc_data.json.{os.getppid()}.0123456789ab.tmp"
        foreign = tmp_path / ".something.tmp"
        for path in (dead, own, living, foreign):
            path.write_text("x")
        RunFiles(tmp_path).close()
        assert sorted(tmp_path.iterdir()) == sorted([living, foreign])


WRITER = """
    import sys
    from pathlib import Path
    from replay.run_files import RunFiles
    files = RunFiles(Path(sys.argv[1]))
    number = 0
    while True:
        number += 1
        bars = [[number + i, 1.5, 2.5, 0.5, 1.5, 10.25] for i in range(1000)]
        files.publish(bars, bars, (bars[:50], bars[:50]), {"number": number, "pad": "x" * 5000}, {})
        if number == 1:
            print("ready", flush=True)
"""


def kill_and_read(tmp_path: Path, kills: int) -> tuple[int, int]:
    """Kill a writer at random points while reading; return how many reads, and how many torn."""
    reads = torn = 0
    code = textwrap.dedent(WRITER)
    for kill in range(kills):
        command = [sys.executable, "-c", code, str(tmp_path)]
        with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            until = time.monotonic() + 0.005 + (kill * 7919 % 100) / 2000
            while time.monotonic() < until:
                for path in tmp_path.glob("*_data.json"):
                    reads += 1
                    try:
                        orjson.loads(path.read_bytes())
                    except orjson.JSONDecodeError:
                        torn += 1
            writer.send_signal(signal.SIGKILL)
        for path in tmp_path.glob("*_data.json"):
            reads += 1
            orjson.loads(path.read_bytes())
    RunFiles(tmp_path).close()
    return reads, torn


def left_over(tmp_path: Path) -> list[str]:
    paths = (
        viz_io.DATA_FILE,
        viz_io.DEPTH_FILE,
        viz_io.METRICS_FILE,
        viz_io.ISSUES_FILE,
        viz_io.STATUS_FILE,
    )
    names = {path.name for path in paths}
    return [path.name for path in tmp_path.iterdir() if path.name not in names]


def test_a_reader_never_sees_a_part_of_a_file_whatever_is_killed_when(tmp_path: Path) -> None:
    _, torn = kill_and_read(tmp_path, 5)
    assert torn == 0
    assert left_over(tmp_path) == []


@pytest.mark.slow
def test_200_kills_tear_nothing_and_leave_nothing(tmp_path: Path) -> None:
    reads, torn = kill_and_read(tmp_path, 200)
    print(f"{reads} reads, {torn} torn, over 200 kills")  # noqa: T201 (the figure for the notes)
    assert torn == 0
    assert left_over(tmp_path) == []
