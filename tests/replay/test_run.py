import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from recording_factory import BY_TIMESTAMP, DAY, START, book_rows, trade_rows, write_recording

from recordings import windows
from recordings.discovery import find_recording
from replay.run import FAILED, STOPPED, Replay, ReplayOptions
from replay.run_files import RunFiles
from replay.worker import PENDING_TASKS, Worker


@pytest.mark.parametrize("beside", [False, True])
class TestWorker:
    def test_tasks_run_one_after_another_and_all_before_the_block_is_left(
        self, beside: bool
    ) -> None:
        done: list[tuple[int, str]] = []
        with Worker(threaded=beside) as worker:
            for number in range(50):
                worker.run(lambda n: done.append((n, threading.current_thread().name)), number)
        assert [number for number, _ in done] == list(range(50))
        assert ({name for _, name in done} == {threading.current_thread().name}) is not beside

    def test_what_a_task_raises_comes_out_and_later_tasks_are_left(self, beside: bool) -> None:
        done: list[int] = []

        def task(number: int) -> None:
            if number == 3:
                msg = "the third"
                raise ValueError(msg)
            done.append(number)

        def run_all() -> None:
            with Worker(threaded=beside) as worker:
                for number in range(50):
                    worker.run(task, number)

        with pytest.raises(ValueError, match="the third"):
            run_all()
        assert done == [0, 1, 2]

    def test_an_interruption_waits_for_the_task_in_hand_alone(self, beside: bool) -> None:
        done: list[int] = []

        def task(number: int) -> None:
            time.sleep(0.1)
            done.append(number)

        def interrupted() -> None:
            with Worker(threaded=beside) as worker:
                for number in range(PENDING_TASKS):
                    worker.run(task, number)
                time.sleep(0.05)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert done == ([0] if beside else list(range(PENDING_TASKS)))

    def test_no_more_tasks_are_in_hand_than_are_allowed(self, beside: bool) -> None:
        given, most = [0], [0]

        def task() -> None:
            most[0] = max(most[0], given[0])
            given[0] -= 1

        with Worker(threaded=beside) as worker:
            for _ in range(200):
                given[0] += 1  # one at most is being given beside those being processed
                worker.run(task)
        assert 1 <= most[0] <= PENDING_TASKS + 1


@pytest.fixture
def replay(tmp_path: Path) -> Iterator[Replay]:
    write_recording(tmp_path / "BTC-USDT.db", book_rows(range(START, START + 10)))
    files = RunFiles(tmp_path / "out")
    found = find_recording("BTC-USDT", tmp_path, START, START + DAY)
    yield Replay(ReplayOptions("BTC-USDT", START, START + DAY), found, files)
    files.close()


def test_a_run_that_is_stopped_has_rows_and_trades_up_to_one_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Rows are few and trades many: rows must not run ahead.
    monkeypatch.setattr(windows, "WINDOW_TRADES", 50)
    path = tmp_path / "BTC-USDT.db"
    write_recording(
        path,
        book_rows(range(START, START + 100_000, 1000)),
        trade_rows(range(START, START + 100_000, 10)),
        index=BY_TIMESTAMP,
    )
    files = RunFiles(tmp_path / "out")
    found = find_recording("BTC-USDT", tmp_path, START, START + DAY)
    run = Replay(ReplayOptions("BTC-USDT", START, START + DAY), found, files)
    processor, process_trades = run.processor, run.processor.process_trades

    def stop_on_the_way(trades: list[Any]) -> None:
        process_trades(trades)
        run.stop()

    monkeypatch.setattr(processor, "process_trades", stop_on_the_way)
    assert run.run() == STOPPED
    files.close()
    assert processor.silences.span is not None
    assert processor.trade_span is not None
    assert abs(processor.silences.span[1] - processor.trade_span[1]) <= 1000
    assert 0 < run.progress < 0.6


def test_a_bug_in_the_processing_ends_the_run_as_failed(
    replay: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any) -> None:
        msg = "a bug"
        raise RuntimeError(msg)

    monkeypatch.setattr(replay.processor, "process_trades", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        replay.run()
    status = json.loads((tmp_path / "out" / "status_data.json").read_bytes())
    assert (status["state"], status["rows"]) == (FAILED, 10)
    assert "a bug" in status["reason"]
