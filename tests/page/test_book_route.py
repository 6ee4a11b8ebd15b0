"""`GET /book`: moments of the run shown, from a process of its own, bounded and without paths."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask import Flask
from recording_factory import START, book_rows, random_times, trade_rows, write_recording
from straight import straight_moments

from page import book_route
from page.book_route import BookRoute, add_book_route, parse_question
from page.run_status import RunStatus
from recordings.discovery import find_recording

DAY = 86_400_000
TIMES = random_times(1, 300)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a directory with the status of a run over a small recording."""
    monkeypatch.setenv("ORDERFLOW_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    write_recording(tmp_path / "data" / "BTC-USDT.db", book_rows(TIMES), trade_rows(TIMES))
    out = tmp_path / "out"
    out.mkdir()
    put_status(out, tmp_path / "data")
    return out


def put_status(out: Path, data: Path, **changed: Any) -> None:
    status = {
        "schema": 1, "state": "finished", "instrument": "BTC-USDT", "start": START,
        "end": START + DAY, "data_dir": str(data), "asked_book_mode": "incremental",
        "uncross": False,
    }  # fmt: skip
    (out / "new").write_bytes(orjson.dumps(status | changed))
    (out / "new").rename(out / "status_data.json")


@pytest.fixture
def route(directory: Path) -> Iterator[BookRoute]:
    made = BookRoute(RunStatus(directory))
    yield made
    made._end()


def answered(route: BookRoute, **asked: str) -> dict[str, Any]:
    """Ask until checkpoints are made."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        code, body = route.answer(asked)
        if code not in (202, 503):
            assert code == 200, body
            return body
    msg = "no answer"
    raise AssertionError(msg)


def test_a_run_of_files_elsewhere_is_asked_about_these(directory: Path, tmp_path: Path) -> None:
    moved = (tmp_path / "data" / "BTC-USDT.db").rename(tmp_path / "BTC-USDT-25-06-09.db")
    put_status(directory, tmp_path / "data", files=[str(moved)])
    route = BookRoute(RunStatus(directory))
    try:
        assert answered(route, time=str(TIMES[150]))["bids"]
    finally:
        route._end()


def test_an_answer_is_the_moment_of_a_straight_replay(route: BookRoute, tmp_path: Path) -> None:
    recording = find_recording("BTC-USDT", tmp_path / "data", START, START + DAY, "incremental")
    at = TIMES[150]
    want = straight_moments(recording, START, [at])[at]
    want |= {"schema": 1, "instrument": "BTC-USDT", "start": START, "end": START + DAY, "time": at}
    got = answered(route, time=str(at), levels="10000")
    assert got == orjson.loads(orjson.dumps(want))
    few = answered(route, row=str(got["row"]), levels="2", trades="3")
    assert few["bids"] == got["bids"][:2]
    assert few["trades"] == got["trades"][-3:]


def test_the_next_run_is_asked_for_as_what_it_is(
    route: BookRoute, directory: Path, tmp_path: Path
) -> None:
    assert answered(route, time=str(TIMES[-2]))["trades"] != []
    put_status(directory, tmp_path / "data", start=TIMES[150])
    later = answered(route, time=str(TIMES[150] - 1))
    assert (later["start"], later["trades"]) == (TIMES[150], [])


def test_a_process_that_was_killed_is_started_again(route: BookRoute) -> None:
    before = answered(route, time=str(TIMES[9]))
    process = route._process
    assert process is not None
    os.kill(process._process.pid, signal.SIGKILL)
    code, body = route.answer({"time": str(TIMES[9])})
    assert (code, body) == (503, {"error": "the process for moments has ended; ask again"})
    assert answered(route, time=str(TIMES[9])) == before


def test_the_process_ends_when_the_page_lets_go_of_it(route: BookRoute) -> None:
    answered(route, time=str(TIMES[9]))
    process = route._process
    assert process is not None
    stdin = process._process.stdin
    assert stdin is not None
    stdin.close()  # as the system does for a page that was killed
    assert process._process.wait(timeout=60) == 0


def test_a_process_that_does_not_answer_is_ended(
    route: BookRoute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_route, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(book_route, "command_for", lambda _: ["sleep", "1000"])
    assert route.answer({"time": "1"})[0] == 503
    assert route._process is None


def test_no_more_threads_wait_than_the_page_can_spare(
    route: BookRoute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_route, "ANSWER_SECONDS", 30)
    monkeypatch.setattr(book_route, "command_for", lambda _: ["sleep", "1000"])
    monkeypatch.setattr(book_route, "WAIT_SECONDS", 30)
    threads = [threading.Thread(target=route.answer, args=({"time": "1"},)) for _ in range(2)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while route._waiting._value > 0:
        assert time.monotonic() < deadline
    assert route.answer({"time": "1"}) == (503, {"error": "busy with other moments; ask again"})
    monkeypatch.setattr(book_route, "command_for", lambda _: ["false"])
    while threads[0].is_alive() or threads[1].is_alive():
        assert time.monotonic() < deadline
        process = route._process
        if process is not None:
            process._process.kill()
        for thread in threads:
            thread.join(0.05)


@pytest.mark.parametrize("missing", ["data_dir", "instrument", "start"])
def test_without_a_run_whose_recording_is_known_there_is_no_book(
    directory: Path, missing: str, tmp_path: Path
) -> None:
    put_status(directory, tmp_path / "data", **{missing: None})
    assert BookRoute(RunStatus(directory)).answer({"time": "1"})[0] == 404
    assert BookRoute(RunStatus(tmp_path / "nowhere")).answer({"time": "1"})[0] == 404


def test_a_recording_that_is_gone_is_said_without_its_path(
    route: BookRoute, directory: Path, tmp_path: Path
) -> None:
    put_status(directory, tmp_path / "gone")
    code, body = route.answer({"time": str(TIMES[0])})
    assert code == 404
    assert str(tmp_path) not in str(body)


@pytest.mark.parametrize(
    "asked",
    [
        {}, {"time": ""}, {"time": "1.5"}, {"time": "-1"}, {"time": "1", "row": "1"},
        {"time": "9" * 16}, {"time": "1", "levels": "0"}, {"time": "1", "levels": "10001"},
        {"row": "1", "trades": "1001"}, {"time": "1", "more": "1"}, {"time": "\u0661"},
        {"time": "1 "}, {"time": "0x1"}, {"row": "1e3"},
    ],
)  # fmt: skip
def test_other_parameters_are_refused(asked: dict[str, str]) -> None:
    assert parse_question(asked) is None


def test_the_route_answers_json_that_nobody_keeps(directory: Path) -> None:
    server = Flask("test")
    add_book_route(server, RunStatus(directory))
    answer = server.test_client().get("/book?time=no")
    assert (answer.status_code, answer.content_type) == (400, "application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    assert server.test_client().post("/book?time=1").status_code == 405
