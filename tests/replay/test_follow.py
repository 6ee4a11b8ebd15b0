"""Following a recording gives what a plain replay of it gives, and is in nobody's way."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from live_writer import DAY, START, Market, Recorder, Step, market_plan, name_of_day
from places import PROJECT
from replay_follower import SECONDS, Follower, wait_until, what_is_said

from replay.follow import FollowReplay
from replay.run import ReplayOptions
from replay.run_files import RunFiles


@pytest.fixture
def follow(tmp_path: Path) -> Iterator[Callable[..., Follower]]:
    """Start a follower of `tmp_path / "data"`; end it with the test."""
    started = []

    def start(*more: str, days: int = 30, **env: str) -> Follower:
        (tmp_path / "data").mkdir(exist_ok=True)
        until = time.strftime("%Y-%m-%d", time.gmtime((START + days * DAY) / 1000))
        span = ("BTC-USDT", "2025-06-09", until)
        started.append(Follower(tmp_path / "data", tmp_path / "out", *more, span=span, **env))
        return started[-1]

    yield start
    for follower in started:
        follower.kill()


def start_writer(plan: list[Step], directory: Path) -> subprocess.Popen[str]:
    directory.mkdir(exist_ok=True)
    file = directory.with_name("plan.json")
    file.write_text(json.dumps(plan))
    script = PROJECT / "tests" / "support" / "live_writer.py"
    return subprocess.Popen(
        [sys.executable, str(script), str(file), str(directory)], stdout=subprocess.PIPE, text=True
    )


def rows_of(plan: list[Step]) -> dict[str, int]:
    """Count what a plan commits."""
    commits = [step for step in plan if step["do"] == "commit"]
    return {
        "rows": sum(len(step["book"]) for step in commits),
        "trades": sum(len(step["trades"]) for step in commits),
    }


def check_beside_writer(follower: Follower, plan: list[Step]) -> None:
    """Write the plan beside the follower; all must be as a plain replay has it afterwards."""
    with start_writer(plan, follower.data) as writer:
        assert writer.wait(timeout=10 * SECONDS) == 0  # it never waits for a lock
    follower.wait_for(**rows_of(plan), behind_ms=0)
    summary = follower.stop()
    bars, plain = follower.plain()
    assert what_is_said(summary) == what_is_said(plain)
    assert follower.bars() == bars


@pytest.mark.thorough
@pytest.mark.parametrize("seed", [0, 1])
def test_beside_a_writer_over_midnight_the_files_are_those_of_a_plain_replay(
    follow: Callable[..., Follower], seed: int
) -> None:
    env = {"ORDERFLOW_PURE_PYTHON": "1"} if seed % 2 else {}
    check_beside_writer(follow(**env), market_plan(seed, commits=24))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 112))
def test_beside_a_busier_writer_the_files_are_those_of_a_plain_replay(
    follow: Callable[..., Follower], seed: int
) -> None:
    check_beside_writer(follow(), market_plan(seed, commits=150))


@pytest.mark.slow
def test_three_minutes_beside_a_recorder_give_the_files_of_a_plain_replay(
    follow: Callable[..., Follower],
) -> None:
    check_beside_writer(follow(), market_plan(1, commits=720, pauses=(0.25,)))


@pytest.mark.thorough
def test_it_ends_as_finished_when_rows_from_the_end_on_are_there(
    follow: Callable[..., Follower],
) -> None:
    plan = market_plan(5, commits=24)
    follower = follow(days=1)
    with start_writer(plan, follower.data) as writer:
        code, summary = follower.wait_for_end()
        assert writer.wait(timeout=SECONDS) == 0
    bars, plain = follower.plain()
    assert (code, summary["state"]) == (0, "finished")
    assert what_is_said(summary) == what_is_said(plain)
    assert follower.bars() == bars


def write_day(directory: Path, day: int = 0, *, commits: int = 3) -> Recorder:
    """Begin a recording with a snapshot, and a few updates and trades."""
    directory.mkdir(exist_ok=True)
    market, recorder = Market(1), Recorder(directory)
    recorder.open(name_of_day(day))
    recorder.commit([market.snapshot(day * DAY)], [market.trade(day * DAY + 1)])
    for number in range(1, commits):
        at = day * DAY + number * 1000
        recorder.commit([market.update(at)], [market.trade(at + 5)])
    return recorder


@pytest.mark.thorough
def test_a_finished_recording_of_the_past_is_replayed_and_ends_at_once(
    tmp_path: Path, follow: Callable[..., Follower]
) -> None:
    write_day(tmp_path / "data").close("delete")
    path = tmp_path / "data" / name_of_day(0)
    os.utime(path, (path.stat().st_mtime - 3600,) * 2)
    follower = follow(days=1)
    code, summary = follower.wait_for_end()
    assert (code, summary["state"], summary["rows"]) == (0, "finished", 3)
    assert summary["unchecked"] == []
    assert follower.bars() == follower.plain()[0]


@pytest.mark.thorough
def test_it_waits_for_a_recording_that_is_not_there_and_says_so_once(
    follow: Callable[..., Follower],
) -> None:
    follower = follow()
    wait_until(lambda: bool(follower.status.get("waiting_for")), "it says what it waits for")
    assert not follower.status["live"]
    recorder = write_day(follower.data)
    follower.wait_for(rows=3, trades=3, live=True, behind_ms=0, waiting_for=None)
    recorder.close("plain")
    follower.stop()
    assert follower.stderr.count("Waiting for it; Ctrl+C ends.") == 1


@pytest.mark.thorough
def test_a_writer_killed_in_the_middle_of_a_transaction_goes_on_where_it_was(
    follow: Callable[..., Follower],
) -> None:
    market = Market(3)
    first: list[Step] = [
        {"do": "open", "name": name_of_day(0)},
        {"do": "commit", "book": [market.snapshot(0)], "trades": [market.trade(10)]},
        {"do": "hang", "book": [market.update(100)] * 50, "trades": [market.trade(100)]},
    ]
    follower = follow()
    with start_writer(first, follower.data) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == "hangs\n"
        follower.wait_for(rows=1, trades=1, behind_ms=0, live=True)
        writer.kill()
    again: list[Step] = [
        {"do": "open", "name": name_of_day(0)},
        {"do": "commit", "book": [market.snapshot(700)], "trades": [market.trade(800)]},
        {"do": "commit", "book": [market.update(2000)], "trades": []},
        {"do": "close", "how": "plain"},
    ]
    with start_writer(again, follower.data) as writer:
        assert writer.wait(timeout=SECONDS) == 0
    follower.wait_for(rows=3, trades=2, behind_ms=0)
    summary = follower.stop()
    bars, plain = follower.plain()
    assert what_is_said(summary) == what_is_said(plain)
    assert follower.bars() == bars


def replace(path: Path) -> None:
    other = path.with_name("other.tmp")
    other.write_bytes(path.read_bytes())
    other.replace(path)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (Path.unlink, "has been deleted or moved"),
        (lambda path: path.rename(path.with_suffix(".old")), "has been deleted or moved"),
        (replace, "has been replaced by another file"),
        (lambda path: os.truncate(path, 4096), "has become smaller"),
    ],
)
def test_a_file_that_is_taken_away_ends_the_run_with_what_was_read(
    tmp_path: Path, follow: Callable[..., Follower], harm: Callable[[Path], Any], said: str
) -> None:
    write_day(tmp_path / "data").close("delete")
    follower = follow()
    follower.wait_for(rows=3, live=True)
    harm(tmp_path / "data" / name_of_day(0))
    code, summary = follower.wait_for_end()
    assert (code, summary["state"], summary["rows"], summary["trades"]) == (1, "failed", 3, 3)
    assert f"{name_of_day(0)}: {said}" in summary["reason"]
    assert "Error: " in follower.stderr
    assert len(json.loads(follower.bars()[0])) == 3


@pytest.mark.thorough
def test_rows_that_are_rewritten_behind_it_end_the_run(
    tmp_path: Path, follow: Callable[..., Follower]
) -> None:
    write_day(tmp_path / "data").close("delete")
    follower = follow()
    follower.wait_for(rows=3, live=True)
    with closing(sqlite3.connect(tmp_path / "data" / name_of_day(0))) as db, db:
        db.execute("DELETE FROM book WHERE id > 1")
    code, summary = follower.wait_for_end()
    assert (code, "have been changed or deleted since" in summary["reason"]) == (1, True)


@pytest.mark.thorough
def test_a_row_that_comes_too_late_is_counted(
    tmp_path: Path, follow: Callable[..., Follower]
) -> None:
    recorder = write_day(tmp_path / "data", commits=8)
    follower = follow()
    follower.wait_for(rows=8, trades=8, behind_ms=0)
    market = Market(9)
    recorder.commit([market.update(3500)], [market.trade(2500), market.trade(2600)])
    recorder.commit([market.update(9000)], [market.trade(9000)])
    follower.wait_for(rows=9, trades=9, behind_ms=0)
    summary = follower.stop()
    assert (summary["counts"]["late_rows"], summary["counts"]["late_trades"]) == (1, 2)
    assert not summary["reliable"]
    assert "3 rows and trades came too late" in follower.stderr
    recorder.close("plain")


@pytest.mark.thorough
def test_a_row_under_a_key_that_was_left_out_before_is_read(
    tmp_path: Path, follow: Callable[..., Follower]
) -> None:
    recorder = write_day(tmp_path / "data")
    with closing(sqlite3.connect(tmp_path / "data" / name_of_day(0))) as db:
        columns = "instrument, trade_id, price, size, side, timestamp"

        def add(key: int, at: int) -> None:
            values = (key, "BTC-USDT", f"k{key}", 1000.0, 1.0, "buy", START + at)
            with db:
                db.execute(f"INSERT INTO trades(id, {columns}) VALUES(?, ?, ?, ?, ?, ?, ?)", values)

        add(50, 3000)
        follower = follow()
        follower.wait_for(trades=4, live=True)
        add(40, 9000)
        follower.wait_for(trades=5)
    recorder.close("plain")
    follower.stop()


@pytest.mark.thorough
def test_a_trades_table_that_is_quiet_does_not_stop_the_bars_of_the_book(
    tmp_path: Path, follow: Callable[..., Follower]
) -> None:
    market, recorder = Market(2), Recorder(tmp_path / "data")
    follower = follow()
    recorder.open(name_of_day(0))
    recorder.commit([market.snapshot(0)], [market.trade(5)])
    recorder.commit([market.update(60_000)], [])
    follower.wait_for(rows=2, trades=1, behind_ms=0)
    recorder.commit([market.update(61_000)], [market.trade(6000)])  # much later than the book's
    follower.wait_for(rows=3, trades=2, behind_ms=0)
    recorder.close("plain")
    assert follower.stop()["counts"]["late_trades"] == 0
    assert follower.bars() == follower.plain()[0]


@pytest.mark.thorough
def test_a_recorder_that_keeps_a_rollback_journal_is_followed_too(
    tmp_path: Path, follow: Callable[..., Follower]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    market, recorder = Market(2), Recorder(data)
    recorder.open(name_of_day(0), journal="delete")
    recorder.commit([market.snapshot(0)], [market.trade(5)])
    recorder.begin([market.update(1000)], [])  # which locks readers out as soon as it commits
    follower = follow()
    follower.wait_for(rows=1, live=True)
    with closing(sqlite3.connect(data / name_of_day(0), timeout=SECONDS)) as other:
        recorder.end()
        other.execute("BEGIN EXCLUSIVE")
        wait_until(lambda: follower.status["written"] / 1000 > time.time() - 1, "it goes on")
        other.execute("ROLLBACK")
    follower.wait_for(rows=2, behind_ms=0)
    recorder.close("plain")
    follower.stop()


@pytest.mark.thorough
def test_it_leaves_no_trace_beside_a_file_that_its_recorder_has_closed(
    tmp_path: Path, follow: Callable[..., Follower]
) -> None:
    recorder = write_day(tmp_path / "data")
    follower = follow()
    follower.wait_for(rows=3, live=True)
    recorder.close("delete")  # which needs that nobody has the file open
    follower.wait_for(rows=3, live=True, behind_ms=0)
    follower.stop()
    assert [path.name for path in (tmp_path / "data").iterdir()] == [name_of_day(0)]


@pytest.mark.thorough
def test_what_the_recorder_says_it_lost_is_in_the_status(
    tmp_path: Path, follow: Callable[..., Follower]
) -> None:
    recorder = write_day(tmp_path / "data")
    follower = follow()
    follower.wait_for(rows=3, live=True, recorder_losses={})
    with closing(sqlite3.connect(tmp_path / "data" / name_of_day(0))) as db, db:
        db.execute(
            "CREATE TABLE recorder_events(id INTEGER PRIMARY KEY, kind TEXT, instrument TEXT, "
            "began INTEGER, ended INTEGER, count INTEGER, detail TEXT, row_after INTEGER)"
        )
        rows = [("gap", "BTC-USDT", 5), ("gap", "BTC-USDT", 9), ("disconnect", None, 7)]
        rows += [("gap", "ETH-USDT", 5), ("gap", "BTC-USDT", -DAY)]  # another's, and before START
        rows += [("made_snapshot", "BTC-USDT", 5), ("recording", None, 5)]  # nothing is lost by it
        db.executemany(
            "INSERT INTO recorder_events(kind, instrument, began, ended) VALUES(?, ?, ?, ?)",
            [(kind, name, START + at, START + at + 1) for kind, name, at in rows],
        )
        # Recorded from times of long ago: what counts are the times of the rows.
        db.execute(
            "INSERT INTO recorder_events(kind, began, ended, row_after) VALUES('killed', ?, ?, ?)",
            (START + 900 * DAY, START + 900 * DAY, START + 7),
        )
    losses = {"gap": 2, "disconnect": 1, "killed": 1}
    follower.wait_for(recorder_losses=losses)
    recorder.close("plain")
    follower.stop()
    assert follower.plain()[1]["recorder_losses"] == losses


@pytest.mark.parametrize(
    "more", [("--demo",), ("--speed", "10"), ("--jobs", "2")], ids=lambda more: more[0]
)
def test_what_does_not_go_with_it_is_refused(
    follow: Callable[..., Follower], more: tuple[str, ...]
) -> None:
    follower = follow(*more)
    _, stderr = follower._process.communicate(timeout=SECONDS)
    assert follower._process.returncode == 2
    assert "--follow cannot go with that" in stderr
    assert more[0] in stderr


@pytest.mark.thorough
def test_commits_beside_it_are_never_held_up(
    tmp_path: Path, follow: Callable[..., Follower]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    recorder, market, draw = Recorder(data), Market(4), Random(4)
    recorder.open(name_of_day(0))
    follower = follow()
    rows = 0
    for number in range(300):  # each fails at once where anybody holds a lock
        count = draw.randrange(1, 40)
        book = [market.update(number * 250 + i) for i in range(count)]
        recorder.commit(book if number else [market.snapshot(0), *book[1:]], [])
        rows += count
        if number % 50 == 49:
            recorder.checkpoint()
        time.sleep(0.005)
    follower.wait_for(rows=rows, behind_ms=0)
    recorder.close("delete")
    follower.stop()


def follow_here(
    data: Path, act: Callable[[FollowReplay, int], None], *, days: int = 1
) -> dict[str, Any]:
    """Follow in this process; call `act` with the run and a number in place of each wait."""
    files = RunFiles(data.with_name("out"))
    options = ReplayOptions("BTC-USDT", START, START + days * DAY, follow=True)
    waits = count()
    run = FollowReplay(options, data, "auto", files, wait=lambda _: act(run, next(waits)))
    run.run()
    files.close()
    return run.summary()


PATIENT_MAIN = f"""import sys
sys.path.insert(0, {str(PROJECT)!r})
import main, replay.follow
replay.follow.POLL_SECONDS = 3600.0
main.app()
"""


class PatientFollower(Follower):
    """One that looks again only when it gets a notice."""

    def _command(self, out: Path) -> list[str]:
        python, _, *arguments = super()._command(out)
        return [python, "-c", PATIENT_MAIN, *arguments]


def test_a_notice_makes_it_look(tmp_path: Path) -> None:
    data, market = tmp_path / "data", Market(1)
    data.mkdir()
    span = ("BTC-USDT", "2025-06-09", "2025-06-10")
    follower = PatientFollower(data, tmp_path / "out", "--notify", "file", span=span)
    try:
        follower.wait_for(state="running")
        recorder = Recorder(data)
        recorder.open(name_of_day(0))
        recorder.commit([market.snapshot(0)], [market.trade(1)])
        seconds = count(1)

        def commits_until_it_reads() -> bool:
            at = 1000 * next(seconds)
            recorder.commit([market.update(at)], [market.trade(at + 1)])
            return bool(follower.status["rows"] > 3)

        wait_until(commits_until_it_reads, "no notice made it look")
        recorder.close("plain")
    finally:
        follower.kill()


def test_what_is_held_back_counts_when_it_is_stopped(tmp_path: Path) -> None:
    write_day(tmp_path / "data").close("plain")
    said = follow_here(tmp_path / "data", lambda run, _: run.stop())
    assert (said["state"], said["rows"], said["trades"]) == ("stopped", 3, 3)
    assert said["unchecked"] == [name_of_day(0)]


def test_a_file_that_another_has_followed_is_left_alone_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recordings.live_recording.SETTLED_SECONDS", -1.0)
    data = tmp_path / "data"
    for day in range(3):
        write_day(data, day).close("delete")

    def act(run: FollowReplay, number: int) -> None:
        if number == 0:
            return
        (data / name_of_day(0)).unlink(missing_ok=True)  # as one that keeps the last days would
        if number == 2:
            run.stop()

    monkeypatch.setattr("recordings.hold_back.GRACE_SECONDS", 0.0)
    said = follow_here(data, act, days=9)
    assert (said["state"], said["rows"], said["trades"]) == ("stopped", 9, 9)
    assert said["counts"]["sequence_gaps"] == 0


def test_a_row_that_appears_where_nobody_looks_is_counted_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recordings.live_table.MOST_HOLES", 0)
    data = tmp_path / "data"
    write_day(data).close("delete")
    path = data / name_of_day(0)

    def act(_: FollowReplay, number: int) -> None:
        if number == 0:
            with closing(sqlite3.connect(path)) as db, db:
                db.execute("INSERT INTO trades(id, price, size, timestamp) VALUES(-5, 1, 1, 1)")
                db.execute("UPDATE trades SET instrument = 'BTC-USDT' WHERE id = -5")
            os.utime(path, (path.stat().st_mtime - 3600,) * 2)

    said = follow_here(data, act)
    assert (said["state"], said["trades"], said["counts"]["late_trades"]) == ("finished", 3, 1)
    assert said["unchecked"] == []
