import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from places import PROJECT

from orderflow.errors import OutputError
from replay.output_lock import LOCK_NAME
from replay.run_files import RunFiles
from viz_io import DATA_FILE, DEPTH_FILE, ISSUES_FILE, METRICS_FILE, STATUS_FILE


def read(path: Path) -> Any:
    return json.loads(path.read_bytes())


def publish(files: RunFiles, number: int, *, durable: bool = False) -> None:
    bars = [[number, 1.0, 1.0, 1.0, 1.0, 1.0]]
    files.publish(bars, bars, ([[1.0, 2.0]], []), {"number": number}, {}, durable=durable)


def test_a_new_run_clears_the_files_of_the_one_before(tmp_path: Path) -> None:
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
    tmp_path: Path,
) -> None:
    first = RunFiles(tmp_path)
    with pytest.raises(OutputError, match=f"in use by another run, pid {os.getpid()};"):
        RunFiles(tmp_path)
    first.close()
    first.close()
    RunFiles(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_an_unusable_directory_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot be written to .*--output-dir"):
        RunFiles(tmp_path / "file" / "below")


def test_a_file_is_written_at_most_ten_times_a_second(tmp_path: Path) -> None:
    now = 100.0
    files = RunFiles(tmp_path, clock=lambda: now)
    due = [files.is_due]
    publish(files, 1)
    for step in (0.099, 0.002):
        now += step
        due.append(files.is_due)
    assert due == [True, False, True]
    files.close()


def test_a_disk_that_stalls_does_not_make_the_run_look_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    files = RunFiles(tmp_path, clock=lambda: now[0])

    def stall(*_: object, **__: object) -> None:
        now[0] += 0.3

    monkeypatch.setattr("replay.run_files.replace_file_in", stall)
    publish(files, 1)
    now[0] += 2.001
    assert files.is_due  # the page takes a run for dead after 5 s
    files.close()


def test_it_is_told_what_each_write_has_cost(tmp_path: Path) -> None:
    files = RunFiles(tmp_path)
    for number in (1, 2, 2):
        publish(files, number)
    told = files.monitoring()
    assert told["files"]["status_data.json"]["count"] == 2
    assert (
        told["files"]["status_data.json"]["bytes"] == (tmp_path / "status_data.json").stat().st_size
    )
    assert (
        0 < told["files"]["ohlc_data.json"]["mean_ms"] <= told["files"]["ohlc_data.json"]["most_ms"]
    )
    assert told["failed"] == 0
    (tmp_path / LOCK_NAME).unlink()
    publish(files, 3)
    assert files.monitoring()["failed"] == 1
    files.close()


def test_an_unchanged_file_is_not_touched(tmp_path: Path) -> None:
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
    tmp_path: Path, caplog: pytest.LogCaptureFixture
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


def test_temporaries_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
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


def test_nothing_is_written_into_a_directory_that_took_the_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "out"
    files = RunFiles(directory)
    publish(files, 1)
    directory.rename(tmp_path / "moved")
    other = RunFiles(directory)
    other.clear({"number": 100}, {"issues": []})
    publish(files, 2, durable=True)
    assert files.failure is not None
    assert files.failure.strerror == f"another run, pid {os.getpid()}, has taken it over"
    assert caplog.text.count("has taken it over); will try again") == 1
    assert read(directory / "status_data.json") == {"number": 100}
    assert read(tmp_path / "moved" / "status_data.json") == {"number": 1}
    files.close()
    other.close()


def test_nothing_is_written_without_the_lock(tmp_path: Path) -> None:
    files = RunFiles(tmp_path)
    publish(files, 1)
    (tmp_path / ".orderflow.lock").unlink()
    publish(files, 2)
    assert read(tmp_path / "status_data.json") == {"number": 1}
    other = RunFiles(tmp_path)
    files.close()
    with pytest.raises(OutputError, match="in use by another run"):
        RunFiles(tmp_path)
    other.close()


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
    paths = DATA_FILE, DEPTH_FILE, METRICS_FILE, ISSUES_FILE, STATUS_FILE
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
