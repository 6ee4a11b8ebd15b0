"""The recorder against a server over real sockets: every row as sent, every loss said and dated."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from places import PROJECT
from scripted_okx import INSTRUMENT, MIDNIGHT, ScriptedOkx, recording, until

from orderflow.issues import losses
from recordings.writer import RecordingWriter

FILE = f"{INSTRUMENT}-25-06-09.db"


def read(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def book_rows(path: Path) -> list[tuple[Any, ...]]:
    return read(path, "SELECT bids, asks, timestamp, action, seq_id, prev_seq_id FROM book")


def trades(path: Path) -> list[tuple[Any, ...]]:
    return read(path, "SELECT trade_id, price, size, side, timestamp FROM trades")


def events(path: Path) -> list[tuple[str, int]]:
    found = read(path, "SELECT kind, count FROM recorder_events ORDER BY id")
    return [(kind, count) for kind, count in found if kind not in ("recording", "clock_drift")]


def sent_row(frame: str) -> tuple[Any, ...]:
    """Return what a book frame says, by another reader than the recorder's."""
    said = orjson.loads(frame)
    (data,) = said["data"]
    bids, asks = (orjson.dumps(data[side]).decode() for side in ("bids", "asks"))
    return bids, asks, int(data["ts"]), said["action"], data["seqId"], data["prevSeqId"]


def sent_trade(frame: str) -> tuple[Any, ...]:
    (data,) = orjson.loads(frame)["data"]
    return data["tradeId"], data["px"], data["sz"], data["side"], int(data["ts"])


def test_rows_and_trades_are_recorded_as_sent(tmp_path: Path) -> None:
    with ScriptedOkx() as server:
        first = server.market.snapshot()
        with recording(server, tmp_path) as running:
            sent = [server.update() for _ in range(40)]
            sent += [server.keep_alive()]
            traded = [server.trade() for _ in range(20)]
            until(lambda: running.caught_up(server.market))
            server.send("pong")
            last = server.update()
            until(lambda: running.caught_up(server.market))
    path = tmp_path / FILE
    assert book_rows(path) == list(map(sent_row, [first, *sent, last]))
    assert trades(path) == list(map(sent_trade, traded))
    assert events(path) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == [f".{INSTRUMENT}.recorder.lock", FILE]


def test_a_gap_is_kept_said_and_ended_by_a_new_snapshot(tmp_path: Path) -> None:
    with ScriptedOkx() as server, recording(server, tmp_path) as running:
        server.update()
        until(lambda: running.caught_up(server.market))
        server.lose_update()
        after = server.update()
        until(lambda: running.caught_up(server.market), "no snapshot came")
        server.update()
        until(lambda: running.caught_up(server.market))
        asked = [(r["op"], [arg["channel"] for arg in r["args"]]) for r in server.requests]
    assert asked[1:] == [("unsubscribe", ["books"]), ("subscribe", ["books"])]
    path = tmp_path / FILE
    assert sent_row(after) in book_rows(path)
    assert [action for _, _, _, action, *_ in book_rows(path)].count("snapshot") == 2
    assert events(path) == [("sequence_gap", 1)]
    began, ended, before, ends_with = read(
        path,
        "SELECT began, ended, row_before, row_after FROM recorder_events "
        "WHERE kind = 'sequence_gap'",
    )[0]
    assert began <= ended
    assert before < ends_with
    assert any("sequence gaps: an update follows 1006" in said for said in running.said)
    assert replayed_issues(tmp_path) == {"sequence_gaps": 1, "unreliable_rows": 1}
    done = run("recordings", "check", path)
    assert done.returncode == 1
    assert f"{path}: the recorder lost: 1 sequence gaps, " in done.stdout


def test_each_gap_is_counted_until_the_snapshot_comes(tmp_path: Path) -> None:
    with ScriptedOkx() as server, recording(server, tmp_path) as running:
        server.acks = False
        for _ in range(3):
            server.lose_update()
            server.update()
            server.update()
        until(lambda: running.recorder.instruments[INSTRUMENT].last_id == server.market.seq_id)
    assert events(tmp_path / FILE) == [("sequence_gap", 3)]
    assert replayed_issues(tmp_path)["sequence_gaps"] == 3


def test_a_reset_of_the_sequence_is_no_gap(tmp_path: Path) -> None:
    with ScriptedOkx() as server, recording(server, tmp_path) as running:
        server.update()
        server.update(new_id=7)
        server.update()
        until(lambda: running.caught_up(server.market))
    assert events(tmp_path / FILE) == [("sequence_reset", 1)]
    assert replayed_issues(tmp_path) == {}


def test_what_comes_twice_is_recorded_once_and_counted(tmp_path: Path) -> None:
    with ScriptedOkx() as server, recording(server, tmp_path) as running:
        first = server.market.snapshot()
        updates = [server.update() for _ in range(3)]
        for again in (*updates, updates[0]):
            server.send(again)
        traded = server.trade()
        server.send(traded)
        updates.append(server.update())
        until(lambda: running.caught_up(server.market))
    assert book_rows(tmp_path / FILE) == list(map(sent_row, [first, *updates]))
    assert trades(tmp_path / FILE) == [sent_trade(traded)]
    assert events(tmp_path / FILE) == [("duplicates", 5)]
    assert replayed_issues(tmp_path) == {}


def test_trade_ids_that_step_are_trades_missed_unless_a_message_sums_them_up(
    tmp_path: Path,
) -> None:
    with ScriptedOkx() as server, recording(server, tmp_path) as running:
        server.trade()
        server.trade(count=4)
        server.market.trade_id += 5
        server.trade()
        server.update()
        until(lambda: running.caught_up(server.market))
    assert events(tmp_path / FILE) == [("trades_missed", 5)]
    assert f"{INSTRUMENT}: 5 trades missed, between 505 and 511" in running.said


@pytest.mark.thorough
def test_after_a_disconnect_it_connects_again_and_says_how_long_it_was_gone(
    tmp_path: Path,
) -> None:
    with ScriptedOkx() as server, recording(server, tmp_path) as running:
        server.update()
        until(lambda: running.caught_up(server.market))
        server.accepts = False
        server.drop()
        until(lambda: sum("503" in said for said in running.said) >= 3, "no further tries")
        for _ in range(3):
            server.lose_update()
        server.accepts = True
        until(lambda: running.caught_up(server.market), "did not connect again")
        server.update()
        until(lambda: running.caught_up(server.market))
    assert events(tmp_path / FILE) == [("disconnected", 1)]
    ((began, ended, detail),) = read(
        tmp_path / FILE,
        "SELECT began, ended, detail FROM recorder_events WHERE kind = 'disconnected'",
    )
    assert ended > began
    assert detail == "the exchange closed the connection, code 1012"
    assert [r[3] for r in book_rows(tmp_path / FILE)] == ["snapshot", "update"] * 2
    assert replayed_issues(tmp_path) == {}


def test_a_connection_that_is_going_to_be_closed_is_replaced_before_it_is(tmp_path: Path) -> None:
    with ScriptedOkx() as server:
        first = server.market.snapshot()
        with recording(server, tmp_path) as running:
            sent = [server.update() for _ in range(5)]
            server.send('{"event":"notice","code":"64008","msg":"soon","connId":"c0"}')
            traded = []
            while server.connections < 2 or server.subscribed() != 1:
                sent.append(server.update())
                traded.append(server.trade())
            sent += [server.update() for _ in range(5)]
            until(lambda: running.caught_up(server.market))
    assert server.connections == 2
    assert book_rows(tmp_path / FILE) == list(map(sent_row, [first, *sent]))
    assert trades(tmp_path / FILE) == list(map(sent_trade, traded))
    assert [kind for kind, _ in events(tmp_path / FILE) if kind != "duplicates"] == []


def test_a_connection_that_lags_behind_its_successor_is_read_to_the_end(tmp_path: Path) -> None:
    with ScriptedOkx() as server:
        first = server.market.snapshot()
        with recording(server, tmp_path) as running:
            server.late = []
            server.send('{"event":"notice","code":"64008","msg":"soon","connId":"c0"}')
            sent = [server.update() for _ in range(5)]
            until(lambda: server.subscribed() == 2, "no second connection")
            sent += [server.update() for _ in range(200)]
            assert server.connections == 2
            server.catch_up()
            until(lambda: server.subscribed() == 1, "the first connection stayed")
            sent.append(server.update())
            until(lambda: running.caught_up(server.market))
    assert book_rows(tmp_path / FILE) == list(map(sent_row, [first, *sent]))
    assert [kind for kind, _ in events(tmp_path / FILE) if kind != "duplicates"] == []


@pytest.mark.thorough
def test_a_silent_exchange_is_pinged_and_one_that_does_not_answer_is_left(tmp_path: Path) -> None:
    waits = {"idle_seconds": 0.05, "pong_seconds": 2.0}
    with ScriptedOkx() as server, recording(server, tmp_path, **waits):
        until(lambda: server.pings >= 3, "no pings")
        assert server.connections == 1
        server.pongs = False
        until(lambda: server.connections == 2, "it waited for ever")


def test_an_instrument_that_does_not_exist_is_said_and_the_others_go_on(tmp_path: Path) -> None:
    with ScriptedOkx() as server, recording(server, tmp_path, "NOPE-JPY") as running:
        until(lambda: running.recorder.refused)
        server.update()
        until(lambda: running.caught_up(server.market))
    assert list(running.recorder.refused) == ["NOPE-JPY"]
    assert "doesn't exist" in running.recorder.refused["NOPE-JPY"]
    assert len(book_rows(tmp_path / FILE)) == 2
    assert events(tmp_path / FILE) == []


def test_a_checksum_that_differs_is_a_loss_and_one_that_fits_is_none(tmp_path: Path) -> None:
    with ScriptedOkx() as server, recording(server, tmp_path) as running:
        server.market.with_checksum = True
        for _ in range(10):
            server.update()
        until(lambda: running.caught_up(server.market))
        frame = server.market.update()
        wrong = orjson.loads(frame)
        wrong["data"][0]["checksum"] += 1
        server.send(orjson.dumps(wrong).decode())
        until(lambda: running.recorder.instruments[INSTRUMENT].last_id == server.market.seq_id)
        until(lambda: running.caught_up(server.market), "no snapshot came")
    assert events(tmp_path / FILE) == [("checksum_mismatch", 1)]


HOSTILE = (
    b"\x00\xff" * 10,
    "no JSON",
    "[1, 2]",
    "[" * 5000,
    '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"bids":[["a","b"]],'
    '"asks":[],"ts":"1"}]}',
    '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"bids":[],"bids":[],'
    '"asks":[],"ts":"1","seqId":1,"prevSeqId":1}]}',
    '{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT"}]}',
    '{"arg":{"channel":"trades","instId":"X"},"data":[{"instId":"../X","tradeId":"1","px":"1",'
    '"sz":"1","side":"buy","ts":"1"}]}',
    '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"bids":[],"asks":[],'
    '"ts":"-5","seqId":1,"prevSeqId":1}]}',
    '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"bids":[],"asks":[],'
    '"ts":"1749470400000","seqId":18446744073709551615,"prevSeqId":1}]}',
    '{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"1",'
    '"px":"1","sz":"1","side":"buy","ts":"99999999999999999"}]}',
)


def test_frames_that_make_no_sense_are_counted_and_harm_nothing(tmp_path: Path) -> None:
    with ScriptedOkx() as server:
        first = server.market.snapshot()
        with recording(server, tmp_path) as running:
            for frame in HOSTILE:
                server.send(frame)
            last = server.update()
            until(lambda: running.caught_up(server.market))
            assert server.connections == 1
    assert book_rows(tmp_path / FILE) == [sent_row(first), sent_row(last)]
    assert events(tmp_path / FILE) == [("malformed_frames", len(HOSTILE))]
    assert [p.name for p in tmp_path.glob("*.db")] == [FILE]


def test_a_frame_beyond_all_measure_ends_the_connection_and_not_the_recording(
    tmp_path: Path,
) -> None:
    with ScriptedOkx() as server, recording(server, tmp_path) as running:
        server.send("x" * 5_000_000)
        until(lambda: server.connections == 2, "it did not connect again")
        until(lambda: running.caught_up(server.market))
    assert events(tmp_path / FILE) == [("disconnected", 1)]


def test_a_connection_of_nothing_but_nonsense_is_given_up(tmp_path: Path) -> None:
    with ScriptedOkx() as server, recording(server, tmp_path) as running:
        for _ in range(100):
            server.send("nonsense")
        until(lambda: server.connections == 2, "it did not connect again")
        until(lambda: running.caught_up(server.market))
    found = events(tmp_path / FILE)
    assert sorted(kind for kind, _ in found) == ["disconnected", "malformed_frames"]
    assert ("malformed_frames", 100) in found


def test_rows_that_the_disk_is_too_slow_for_are_dropped_counted_and_a_snapshot_follows(
    tmp_path: Path,
) -> None:
    with ScriptedOkx() as server, recording(server, tmp_path, queue_bytes=60_000) as running:
        sent = [server.update() for _ in range(400)]
        until(lambda: running.caught_up(server.market))
        until(lambda: running.writer.has_room)
        server.update()
        until(lambda: len(server.requests) >= 3, "no snapshot was asked for")
        until(lambda: running.caught_up(server.market))
        until(lambda: running.writer.has_room)
    found = events(tmp_path / FILE)
    dropped = sum(count for kind, count in found if kind == "rows_dropped")
    rows = [row for row in book_rows(tmp_path / FILE) if row[3] == "update"]
    assert dropped > 0
    assert len(rows) + dropped == len(sent) + 1
    assert any("rows are dropped" in said for said in running.said)


class TestDays:
    @pytest.mark.thorough
    def test_the_file_of_a_new_day_stands_alone_and_the_bars_are_those_of_one_file(
        self, tmp_path: Path
    ) -> None:
        two, one = tmp_path / "two", tmp_path / "one"
        with ScriptedOkx(now=MIDNIGHT - 30_000) as server:
            frames = [server.market.snapshot()]
            with recording(server, two) as running:
                for n in range(400):
                    frames.append(server.update(step_ms=137 if n % 5 else 0))
                    if n % 3 == 0:
                        frames.append(server.trade())
                until(lambda: running.caught_up(server.market))
        first, second = sorted(two.glob("*.db"))
        assert [first.stem, second.stem] == [f"{INSTRUMENT}-25-06-09", f"{INSTRUMENT}-25-06-10"]
        assert not list(two.glob("*-wal")) + list(two.glob("*-shm")) + list(two.glob("*-journal"))
        assert events(second) == [("made_snapshot", 1)]
        (made, *_), (last, *_) = book_rows(second), reversed(book_rows(first))
        assert made[2:] == (last[2], "snapshot", last[4], -1)
        as_one_file(one / f"{INSTRUMENT}.db", frames)
        for more in ((), ("--jobs", "2")):
            assert bars(two, "2025-06-09", "2025-06-11", *more) == bars(
                one, "2025-06-09", "2025-06-11"
            )
        alone = tmp_path / "alone"
        alone.mkdir()
        second.rename(alone / second.name)
        days = ("2025-06-10", "2025-06-11")
        assert bars(alone, *days) == bars(one, *days)
        assert replayed_issues(alone, *days) == {}

    def test_a_book_that_is_lost_at_midnight_makes_no_snapshot(self, tmp_path: Path) -> None:
        with ScriptedOkx(now=MIDNIGHT - 250) as server, recording(server, tmp_path) as running:
            server.acks = False
            server.lose_update()
            server.update()
            server.update()
            until(lambda: running.recorder.instruments[INSTRUMENT].last_id == server.market.seq_id)
        first, second = sorted(tmp_path.glob("*.db"))
        assert [row[3] for row in book_rows(second)] == ["update"] * len(book_rows(second))
        assert [kind for kind, _ in events(second)] == ["sequence_gap"]
        assert events(first) == []

    def test_a_closed_file_has_an_index_and_is_listed_as_in_order(self, tmp_path: Path) -> None:
        with ScriptedOkx() as server, recording(server, tmp_path) as running:
            server.update()
            server.trade()
            until(lambda: running.caught_up(server.market))
        done = run("recordings", "list", "--data-dir", tmp_path)
        assert done.returncode == 0
        assert done.stdout.count("in time order by an index") == 2

    def test_started_again_on_the_same_day_it_goes_on_in_the_file(self, tmp_path: Path) -> None:
        with ScriptedOkx() as server:
            for _ in range(2):
                with recording(server, tmp_path) as running:
                    server.update()
                    server.trade()
                    until(lambda: running.caught_up(server.market))
                server.market.trade_id += 2
        path = tmp_path / FILE
        assert [row[3] for row in book_rows(path)] == ["snapshot", "update"] * 2
        assert events(path) == [("paused", 1), ("trades_missed", 2)]
        spells = read(path, "SELECT began, ended FROM recorder_events WHERE kind = 'recording'")
        assert len(spells) == 2
        assert all(began <= ended for began, ended in spells)
        assert replayed_issues(tmp_path) == {}


def as_one_file(path: Path, frames: list[str]) -> None:
    path.parent.mkdir()
    with RecordingWriter(path, sequenced=True) as writer:
        for frame in frames:
            if "tradeId" in frame:
                number, price, size, side, ms = sent_trade(frame)
                writer.write_trades([(INSTRUMENT, number, float(price), float(size), side, ms)])
            else:
                bids, asks, ms, *rest = sent_row(frame)
                writer.write_book([(INSTRUMENT, bids, asks, ms, *rest)])


def run(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    program = ["main.py"] if module == "main" else ["-m", module]
    return subprocess.run(
        [sys.executable, *program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
    )


def bars(data_dir: Path, start: str, end: str, *more: str) -> list[bytes]:
    out = data_dir / "out"
    common = ("--data-dir", data_dir, "--output-dir", out, "--no-ui", "--window-seconds", "5")
    done = run("main", INSTRUMENT, start, end, *common, *more)
    assert done.returncode == 0, done.stderr
    names = ("ohlc_data.json", "metrics_data.json", "depth_data.json", "data_issues.json")
    return [(out / name).read_bytes() for name in names]


def replayed_issues(
    data_dir: Path, start: str = "2025-06-09", end: str = "2025-06-11"
) -> dict[str, int]:
    """Return the losses that a replay finds, but for a table that is empty."""
    common = ("--data-dir", data_dir, "--output-dir", data_dir / "out", "--no-ui", "--json")
    done = run("main", INSTRUMENT, start, end, *common)
    assert done.returncode == 0, done.stderr
    found = losses(orjson.loads(done.stdout)["counts"])
    return {kind: count for kind, count in found.items() if kind != "no_trades"}
