"""Whatever is ordered of a run, every event is processed once, and the files are the same."""

import json
import os
from pathlib import Path
from random import Random

import pytest
from recording_factory import START, book_rows, random_times, trade_rows, write_recording

from orderflow.events import BookBatch, Trade
from recordings.discovery import Recording, find_recording
from replay import player as player_module
from replay.player import Player, SoughtBackError
from replay.run import FINISHED, STOPPED, Replay, ReplayOptions
from replay.run_files import RunFiles
from replay.run_orders import BAR, PAUSE, RESUME, ROW, SEEK, SPEED, Order, parse_order

FILES = ("ohlc_data.json", "metrics_data.json", "depth_data.json", "data_issues.json")


class Script:
    """Orders given one list a look; the last step may stop the run."""

    def __init__(self, *steps: list[Order]) -> None:
        self.steps = list(steps)

    def take(self) -> list[Order]:
        return self.steps.pop(0) if self.steps else []


class Stop(Exception):  # noqa: N818 (no error: carried out of the loop)
    pass


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player_module, "LOOK_SECONDS", 0.0)


def rows_at(*times: int) -> BookBatch:
    return BookBatch(
        [(time, n, b"[]", b"[]") for n, time in enumerate(times)], [False] * len(times)
    )


def trades_at(*times: int) -> list[Trade]:
    return [(n, None, 1.0, 1.0, "buy", time) for n, time in enumerate(times)]


def handed_out(player: Player, batch: BookBatch, trades: list[Trade]) -> list[tuple[str, int]]:
    """Return what a player hands out until it waits: it is ended when no orders are left."""
    found: list[tuple[str, int]] = []
    try:
        for rows, given in player.events(batch, trades):
            found += [("row", row[0]) for row in (rows.rows if rows else [])]
            found += [("trade", trade[5]) for trade in given]
    except Stop:
        found.append(("waits", player.position or 0))
    return found


def player_of(script: Script, *, paused: bool = True, speed: float | None = None) -> Player:
    waited = [0]

    def idle() -> None:
        waited[0] = 0 if script.steps else waited[0] + 1
        if waited[0] > 20:
            raise Stop

    made = Player(100, 10_000, 1000, idle, paused=paused, speed=speed)
    made.obey(script)
    return made


BATCH, TRADES = rows_at(50, 100, 200, 200, 1200), trades_at(60, 150, 200, 999, 1500)
ALL = [
    ("row", 50), ("trade", 60), ("row", 100), ("trade", 150), ("row", 200), ("row", 200),
    ("trade", 200), ("trade", 999), ("row", 1200), ("trade", 1500),
]  # fmt: skip


class TestPlayer:
    def test_rows_come_before_trades_of_their_millisecond(self) -> None:
        assert handed_out(player_of(Script(), paused=False), BATCH, TRADES) == ALL

    def test_a_paused_run_has_warmed_up_its_book_and_waits_before_the_first_event(self) -> None:
        assert handed_out(player_of(Script()), BATCH, TRADES) == [*ALL[:2], ("waits", 0)]

    @pytest.mark.parametrize(("rows", "events"), [(1, 3), (2, 5), (3, 6), (4, 9)])
    def test_a_row_is_one_row_with_the_trades_before_it(self, rows: int, events: int) -> None:
        script = Script(*[[Order(ROW)]] * rows)
        assert handed_out(player_of(script), BATCH, TRADES)[:-1] == ALL[:events]

    def test_a_bar_goes_to_the_end_of_the_bar_in_progress(self) -> None:
        found = handed_out(player_of(Script([Order(BAR)])), BATCH, TRADES)
        assert found == [*ALL[:8], ("waits", 999)]

    def test_two_bars_ordered_at_once_are_two(self) -> None:
        assert handed_out(player_of(Script([Order(BAR), Order(BAR)])), BATCH, TRADES) == ALL

    @pytest.mark.parametrize(("time", "events"), [(100, 3), (199, 4), (200, 7), (1499, 9)])
    def test_a_seek_processes_all_at_or_before_its_time(self, time: int, events: int) -> None:
        found = handed_out(player_of(Script([Order(SEEK, time=time)])), BATCH, TRADES)
        assert found == [*ALL[:events], ("waits", time)]

    def test_a_seek_back_says_so_and_then_goes_there(self) -> None:
        script = Script([Order(SEEK, time=999)], *[[]] * 12, [Order(SEEK, time=150), Order(ROW)])
        played = player_of(script)
        with pytest.raises(SoughtBackError):
            handed_out(played, BATCH, TRADES)
        assert played.seeking == 150
        assert handed_out(played, BATCH, TRADES)[:-1] == ALL[:5]

    def test_pause_and_resume_lose_no_event(self) -> None:
        script = Script(*[[Order(do)] for do in (PAUSE, RESUME) * 30])
        assert handed_out(player_of(script, paused=False), BATCH, TRADES) == ALL

    def test_a_list_is_free_while_nothing_has_to_be_waited_for(self) -> None:
        assert player_of(Script(), paused=False).is_free(BATCH, TRADES)
        assert not player_of(Script()).is_free(BATCH, TRADES)
        assert not player_of(Script(), paused=False, speed=1.0).is_free(BATCH, TRADES)
        assert player_of(Script()).is_free(rows_at(1, 99), [])
        assert player_of(Script([Order(SEEK, time=1500)])).is_free(BATCH, TRADES)
        assert not player_of(Script([Order(SEEK, time=1499)])).is_free(BATCH, TRADES)

    def test_the_pace_is_that_of_the_recording_times_the_speed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = [0.0]
        monkeypatch.setattr("replay.player.time.monotonic", lambda: clock[0])
        monkeypatch.setattr(player_module, "LOOK_SECONDS", 0.05)

        def sleep(seconds: float) -> None:
            clock[0] += seconds

        monkeypatch.setattr("replay.player.time.sleep", sleep)
        played = Player(0, 100_000, 1000, lambda: None, speed=2.0)
        when = [round(clock[0], 3) for _ in played.events(rows_at(1000, 1500, 5000, 5000), [])]
        assert when == [0.0, 0.25, 2.0, 2.0]


@pytest.mark.parametrize(
    "given",
    [
        {}, {"do": "fly"}, {"do": "speed"}, {"do": "speed", "speed": 0}, {"do": "seek"},
        {"do": "speed", "speed": "fast"}, {"do": "speed", "speed": 1e7}, {"do": ["pause"]},
        {"do": "speed", "speed": True}, {"do": "seek", "time": 1.5}, {"do": "seek", "time": -1},
        {"do": "seek", "time": True}, {"do": "speed", "speed": float("nan")},
    ],
)  # fmt: skip
def test_what_is_no_order_is_none(given: dict[str, object]) -> None:
    assert parse_order(given) is None


# -- runs


def recording_in(tmp_path: Path) -> Recording:
    times = random_times(1, 600, step=90)
    path = write_recording(tmp_path / "BTC-USDT.db", book_rows(times), trade_rows(times))
    return find_recording("BTC-USDT", path, START, START + 86_400_000)


def files_of(
    recording: Recording, out: Path, script: Script | None = None, *, paused: bool = False
) -> dict[str, bytes]:
    options = ReplayOptions(
        "BTC-USDT", START, START + 86_400_000, window_seconds=2, start_paused=paused
    )
    files = RunFiles(out)
    run = Replay(options, recording, files)
    if script:
        run.player.obey(script)
    assert run.run() == FINISHED
    files.close()
    return {name: (out / name).read_bytes() for name in FILES}


@pytest.mark.parametrize("seed", range(8))
def test_the_files_are_those_of_an_undisturbed_run(tmp_path: Path, seed: int) -> None:
    recording, draw = recording_in(tmp_path), Random(seed)
    steps: list[list[Order]] = []
    for _ in range(120):
        steps.append(
            draw.choice(
                (
                    [],
                    [Order(PAUSE)],
                    [Order(RESUME)],
                    [Order(ROW)],
                    [Order(BAR), Order(ROW)],
                    [Order(SEEK, time=START + draw.randrange(-5000, 20_000))],
                    [Order(SPEED, draw.choice((None, 1e6, 5e4)))],
                )
            )
        )
        steps += [[]] * draw.randrange(4)
    steps += [[Order(SPEED, None), Order(RESUME)]] * 3
    want = files_of(recording, tmp_path / "plain")
    assert files_of(recording, tmp_path / "ordered", Script(*steps), paused=True) == want


class ThereAndBack:
    """Order a seek, and when the run is there the next one."""

    def __init__(self, player: Player, *times: int) -> None:
        self.times = list(times)
        self._player = player
        self._ordered: int | None = None

    def take(self) -> list[Order]:
        is_there = self._player.seeking is None and self._player.position == self._ordered
        if not (is_there and self.times):
            return []
        self._ordered = self.times.pop(0)
        return [Order(SEEK, time=self._ordered)]


def read_files(directory: Path) -> dict[str, object]:
    return {name: json.loads((directory / name).read_bytes()) for name in FILES[:3]}


@pytest.mark.thorough
def test_at_a_moment_sought_the_files_are_those_of_a_run_that_ends_there(tmp_path: Path) -> None:
    recording = recording_in(tmp_path)
    for time in (START + 13_000, START + 9000, START):  # on, back, to the start
        until = find_recording("BTC-USDT", tmp_path / "BTC-USDT.db", START, time + 1)
        options = ReplayOptions("BTC-USDT", START, time + 1, window_seconds=2)
        files = RunFiles(tmp_path / "until")
        Replay(options, until, files).run()
        files.close()
        shown: dict[str, object] = {}

        def look(run: Replay, time: int = time, shown: dict[str, object] = shown) -> None:
            if run.player.position == time and run.player.seeking is None:
                shown.update(
                    {n: json.loads((tmp_path / "out" / n).read_bytes()) for n in FILES[:3]}
                )
                run.stop()

        files = RunFiles(tmp_path / "out")
        options = ReplayOptions(
            "BTC-USDT", START, START + 86_400_000, window_seconds=2, start_paused=True
        )
        run = Replay(options, recording, files, look)
        there_and_back = ThereAndBack(run.player, START + 12_000, time)
        run.player.obey(there_and_back)
        assert run.run() == STOPPED
        assert there_and_back.times == []
        files.close()
        assert shown == read_files(tmp_path / "until")


def test_a_paused_run_waits_at_its_end_and_can_go_back(tmp_path: Path) -> None:
    recording = recording_in(tmp_path)
    want = files_of(recording, tmp_path / "plain")
    end = [Order(SEEK, time=START + 86_399_999)]
    back = [Order(SEEK, time=START + 1000)]
    script = Script(end, *[[]] * 200, back, *[[]] * 200, end, *[[]] * 200, [Order(RESUME)])
    assert files_of(recording, tmp_path / "out", script, paused=True) == want
    assert script.steps == []


def test_a_run_takes_orders_from_its_control_file_and_says_how_far_it_is(tmp_path: Path) -> None:
    recording, out = recording_in(tmp_path), tmp_path / "out"
    told: list[tuple[object, ...]] = []
    rounds = iter(
        [
            [{"sequence": 1, "do": "row"}],
            [{"sequence": 1, "do": "row"}, {"sequence": 2, "do": "row"}],
            [{"sequence": 2, "do": "row"}, {"sequence": 5, "do": "speed", "speed": 250}],
            [{"sequence": 6, "do": "seek", "time": START + 5000}],
            [{"sequence": 7, "do": "speed", "speed": "max"}, {"sequence": 8, "do": "resume"}],
        ]
    )
    written: list[int] = [0]

    def look(run: Replay) -> None:
        status = run.status()
        is_settled = status["control"] == written[0] and status["seeking"] is None
        orders = next(rounds, None) if is_settled and status["paused"] else None
        if is_settled:
            told.append((status["control"], status["rows"], status["paused"], status["speed"]))
        if orders:
            written[0] = int(str(orders[-1]["sequence"]))
            document = {"schema": 1, "pid": os.getpid(), "orders": orders}
            (out / "new").write_text(json.dumps(document))
            (out / "new").rename(out / "control.json")

    out.mkdir()
    (out / "control.json").write_text('{"pid": 0, "orders": []}')
    files = RunFiles(out)
    options = ReplayOptions("BTC-USDT", START, START + 86_400_000, start_paused=True)
    assert Replay(options, recording, files, look).run() == FINISHED
    files.close()
    known = list(dict.fromkeys(told))
    assert (0, 0, True, "max") in known
    assert (1, 1, True, "max") in known
    assert (2, 2, True, "max") in known
    assert (5, 2, True, 250.0) in known
    assert json.loads((out / "status_data.json").read_bytes())["control"] == 8
