"""A process for each job: whatever becomes of it, its worker lives and knows why."""

import sys
import threading
from typing import Any

import pytest
from places import PROJECT

from replay import child
from replay.child import run_child


def outcome(code: str, seconds: float = 60, stopped: threading.Event | None = None) -> Any:
    return run_child([sys.executable, "-c", code], "/", '{"a": 1}', seconds, stopped)


def test_it_is_sent_a_line_and_what_it_prints_is_returned() -> None:
    said = outcome("import json; print(json.dumps({'state': 'done', 'sent': input()}))")
    assert said == {"state": "done", "sent": '{"a": 1}'}


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL"),
        ("import sys; sys.exit('Error: the reason')", "Error: the reason"),
        ("import os; os._exit(3)", "ended with code 3 and said nothing"),
        ("print('no JSON')", "ended with code 0 and said nothing"),
        ("print([1])", "ended with code 0 and said nothing"),
        ("import sys; print('{}'); print('why', file=sys.stderr); sys.exit(1)", "why"),
    ],
)
def test_one_that_dies_has_failed_with_a_reason(code: str, why: str) -> None:
    said = outcome(code)
    assert said["state"] == "failed"
    assert why in said["error"]


def test_its_end_is_not_noticed_by_looking_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "SECONDS_PER_LOOK", 250)
    assert outcome("import time; time.sleep(0.2); print('{}')") == {}


def test_one_that_reads_no_more_is_waited_for() -> None:
    assert outcome("import os, time; os.close(0); time.sleep(0.2); print('{}')") == {}


def test_one_that_takes_too_long_is_killed() -> None:
    said = outcome("import sys; sys.stdin.read()", seconds=0.3)
    assert said == {"state": "failed", "error": "took longer than 0.3 s"}


def test_one_is_killed_when_all_are_stopped() -> None:
    stopped = threading.Event()
    threading.Timer(0.2, stopped.set).start()
    assert outcome("import sys; sys.stdin.read()", stopped=stopped) == {"state": "stopped"}


def test_a_program_that_is_not_there_is_said() -> None:
    said = run_child(["/nowhere/python"], "/", "{}", 1)
    assert said["state"] == "failed"
    assert "/nowhere/python cannot be started" in said["error"]


def test_a_job_may_take_no_more_memory_than_its_limit() -> None:
    code = "from replay.job_process import limit_memory as limit; limit(600); bytearray(700 << 20)"
    said = run_child([sys.executable, "-c", code], str(PROJECT), "{}", 60)
    assert said["error"] == "MemoryError"
    more = code.replace("700", "100") + "; print('{}')"
    assert run_child([sys.executable, "-c", more], str(PROJECT), "{}", 60) == {}
