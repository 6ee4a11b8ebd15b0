import json
import logging
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from page_fixtures import book, grow_older, market, put, put_run, status

from page import files as page_files
from page.contents import parse_bars
from page.files import PageFiles, WatchedFile, of_json
from viz_io import DATA_FILE, ISSUES_FILE, STATUS_FILE

BARS = [[1000, 1.0, 2.0, 0.5, 1.5, 10], [2000, 1.5, 1.5, 1.0, 1.0, 3.25]]


def test_no_files_are_no_problem(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = PageFiles(tmp_path / "not there").refresh()
    assert data.bars.content is None
    assert data.problems() == []
    assert caplog.records == []


def test_a_run_is_read(tmp_path: Path) -> None:
    put_run(tmp_path, 300)
    data = PageFiles(tmp_path).refresh()
    assert data.bars.content is not None
    assert data.bars.content.times[-1] == market(300)[0][-1][0]
    assert data.metrics.content is not None
    assert len(data.metrics.content.cvd_closes) == 300
    assert data.depth.content is not None
    assert [list(level) for level in data.depth.content.bids] == book(market(300)[0][-1][4])["bids"]
    assert data.status.content is not None
    assert not data.stale


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    put_run(tmp_path, 5)
    files = PageFiles(tmp_path)
    first = files.refresh().bars
    assert files.refresh().bars is first
    put(tmp_path, DATA_FILE.name, BARS)
    assert files.refresh().bars.version != first.version


def test_the_same_content_in_a_new_file_is_a_new_version(tmp_path: Path) -> None:
    files = PageFiles(tmp_path)
    put(tmp_path, DATA_FILE.name, BARS)
    first = files.refresh().bars.version
    put(tmp_path, DATA_FILE.name, BARS)
    assert files.refresh().bars.version != first


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (json.dumps(BARS)[:-9], "it is not JSON"),
        ("", "it is not JSON"),
        ("[[1, 2, 3, 4, NaN, 6]]", "it is not JSON"),
        ("[" * 5000, "it is not JSON"),
        ('{"foreign": true}', "it holds an object, not an array of bars"),
        ("\x00\x01", "it is not JSON"),
    ],
)
def test_the_last_good_content_stays(tmp_path: Path, raw: str, problem: str) -> None:
    files = PageFiles(tmp_path)
    put(tmp_path, DATA_FILE.name, BARS)
    good = files.refresh().bars
    put(tmp_path, DATA_FILE.name, raw)
    now = files.refresh().bars
    assert (now.content, now.version) == (good.content, good.version)
    assert (now.problem or "").startswith(problem)
    put(tmp_path, DATA_FILE.name, BARS)
    assert files.refresh().bars.problem is None


def test_a_file_that_goes_keeps_its_picture(tmp_path: Path) -> None:
    files = PageFiles(tmp_path)
    put(tmp_path, DATA_FILE.name, BARS)
    good = files.refresh().bars
    (tmp_path / DATA_FILE.name).unlink()
    now = files.refresh().bars
    assert now.content == good.content
    assert now.missing
    put(tmp_path, DATA_FILE.name, BARS)
    assert not files.refresh().bars.missing


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (Path.mkdir, "a directory"),
        (os.mkfifo, "a FIFO"),
        (make_socket, "a socket"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
    ],
)
def test_what_is_no_file_is_a_problem_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], kind: str
) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket has little room
    files = PageFiles(Path())
    put(tmp_path, DATA_FILE.name, BARS)
    good = files.refresh().bars
    Path(DATA_FILE.name).rename("kept")
    make(Path(DATA_FILE.name))
    now = files.refresh().bars
    assert (now.content, now.problem) == (good.content, f"it is {kind}, not a regular file")
    if kind == "a directory":
        Path(DATA_FILE.name).rmdir()
    Path("kept").replace(DATA_FILE.name)
    assert files.refresh().bars.problem is None


def test_a_file_that_becomes_a_fifo_while_it_is_opened_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "really", BARS)
    looked_at = (tmp_path / "really").stat()
    os.mkfifo(tmp_path / DATA_FILE.name)
    monkeypatch.setattr(Path, "stat", lambda _: looked_at)
    found: list[str | None] = []
    file = WatchedFile(tmp_path / DATA_FILE.name, of_json(parse_bars))
    reader = threading.Thread(target=lambda: found.append(file.refresh().problem), daemon=True)
    reader.start()
    reader.join(10)
    assert found == ["it is a FIFO, not a regular file"]


def test_a_link_to_a_file_is_read(tmp_path: Path) -> None:
    put(tmp_path, "really", BARS)
    (tmp_path / DATA_FILE.name).symlink_to("really")
    assert PageFiles(tmp_path).refresh().bars.content == parse_bars(BARS)


def test_a_file_that_may_be_read_again_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, DATA_FILE.name, BARS)
    files = PageFiles(tmp_path)

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("page.files.os.open", refuse)
        assert files.refresh().bars.problem == "Permission denied"
    assert files.refresh().bars.content == parse_bars(BARS)


def test_issues_are_read_and_go_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = PageFiles(tmp_path)
    put_run(tmp_path, 5, issues=[("silences", 1000, 2000, 1)])
    found = files.refresh()
    assert found.issues.content is not None
    assert [span.kind for span in found.issues.content.spans] == ["silences"]
    (tmp_path / ISSUES_FILE.name).unlink()
    found = files.refresh()
    assert (found.issues.content, found.problems()) == (None, [])
    assert caplog.records == []


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert PageFiles(tmp_path / "typo").refresh().no_directory
    assert not PageFiles(tmp_path).refresh().no_directory


def test_a_file_that_never_ends_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_files, "MAX_FILE_BYTES", 100)
    put(tmp_path, DATA_FILE.name, " " * 101)
    assert PageFiles(tmp_path).refresh().bars.problem == "it has 101 bytes, at most 100 are read"


def test_each_kind_of_problem_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = PageFiles(tmp_path)
    with caplog.at_level(logging.WARNING, "page"):
        for tick in range(5):
            put(tmp_path, DATA_FILE.name, "[[" + " " * tick)
            files.refresh()
            files.refresh()
            put(tmp_path, DATA_FILE.name, BARS)
            files.refresh()
            put(tmp_path, DATA_FILE.name, [[tick]])
            files.refresh()
    kinds = [record.getMessage() for record in caplog.records]
    assert len(kinds) == 2
    assert kinds[0].startswith("ohlc_data.json: it is not JSON")
    assert kinds[1].startswith("ohlc_data.json: bar 0 has 1 fields")


def test_a_running_run_grows_stale(tmp_path: Path) -> None:
    put_run(tmp_path, 5)
    files = PageFiles(tmp_path)
    assert not files.refresh().stale
    grow_older(tmp_path / STATUS_FILE.name, 6)
    assert files.refresh().stale
    put(tmp_path, STATUS_FILE.name, status(state="finished"))
    grow_older(tmp_path / STATUS_FILE.name, 6)
    assert not files.refresh().stale


def test_nothing_is_ever_written(tmp_path: Path) -> None:
    put_run(tmp_path, 5)
    before = {entry.name: entry.stat().st_mtime_ns for entry in tmp_path.iterdir()}
    PageFiles(tmp_path).refresh()
    assert {entry.name: entry.stat().st_mtime_ns for entry in tmp_path.iterdir()} == before
