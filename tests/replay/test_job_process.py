"""The process of a job: what it loads, and how many threads work in it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from batches import path_of, write_market
from places import PROJECT
from recording_factory import START

from replay.job import Job

pytest.importorskip("pyarrow", reason="results are Parquet files: uv sync --group data")

BEGIN = """
import json, os, sys, threading
from pathlib import Path
from orderflow import startup
startup.begin()
from replay import job_process
"""
SAY_THREADS = """
started, start = [], threading.Thread.start
threading.Thread.start = lambda thread: (started.append(thread.name), start(thread))
def end(code):
    tasks = Path("/proc/self/task").glob("*/comm")  # none on macOS
    names = [task.read_text().strip() for task in tasks]
    print(json.dumps({"code": code, "started": started, "names": names}), flush=True)
    leave(code)
leave, os._exit = os._exit, end
job_process.main()
"""


def said_by(code: str, spec: str = "") -> Any:
    """Return the lines of JSON that a process prints."""
    command = [sys.executable, "-c", BEGIN + code]
    # Its stdin stays open: a job ends with it.
    with subprocess.Popen(
        command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(spec + "\n")
        process.stdin.flush()
        return [json.loads(line) for line in process.stdout]


@pytest.mark.thorough
def test_a_job_works_in_one_thread(tmp_path: Path) -> None:
    data = write_market(tmp_path / "data", 1, 5_000, ("BTC-USDT",))
    files = (str(path_of(data, "BTC-USDT", 0)),)
    into = str(tmp_path / "results")
    job = Job("BTC-USDT", START, files, True, into, 60, 50, "auto", False, 1024, ("ofi",))
    for _ in range(2):  # the second time there are results to be read
        outcome, threads = said_by(SAY_THREADS, job.as_line())
        assert (outcome["state"], outcome["rows"], threads["code"]) == ("done", 5_000, 0)
        assert threads["started"] == ["end-with-parent"]  # which waits for the end of stdin
        # Of the libraries, the allocator of Arrow has one that sleeps.
        assert len([name for name in threads["names"] if name != "jemalloc_bg_thd"]) <= 2


def test_a_job_begins_without_what_only_commands_need() -> None:
    code = "print(json.dumps([n for n in ('typer', 'replay.schedulers') if n in sys.modules]))"
    assert said_by(code) == [[]]
