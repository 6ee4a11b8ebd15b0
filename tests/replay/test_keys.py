"""Keys of the terminal order a run, and the terminal is given back as it was."""

import json
import os
import pty
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from places import PROJECT
from recording_factory import book_rows, random_times, trade_rows, write_recording

from replay.keys import KeyOrders, keys_in, terminal_keys
from replay.player import Player
from replay.run_orders import Order


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        (b"", []),
        (b" ", ["space"]),
        (b"+=-_", ["+", "+", "-", "-"]),
        (b"\x1b[C\x1bOCn", ["row"] * 3),
        (b"\x1b[1;2Cb", ["bar", "bar"]),
        (b"\x1b[A\x1bqx\r\n\xff ", ["space"]),
        (b"\x1b[D", []),
    ],
)
def test_the_names_of_keys(typed: bytes, keys: list[str]) -> None:
    assert list(keys_in(typed)) == keys


def orders(typed: bytes, **settings: Any) -> list[Order]:
    read, write = os.pipe()
    os.write(write, typed)
    player = Player(0, 10, 1000, lambda: None, **settings)
    found = KeyOrders(read, player).take()
    os.close(read)
    os.close(write)
    return found


def test_what_keys_order() -> None:
    assert orders(b" ") == [Order("pause")]
    assert orders(b"  ", paused=True) == [Order("resume"), Order("pause")]
    assert orders(b"nb ") == [Order("row"), Order("bar"), Order("resume")]
    assert orders(b"++-", speed=4.0) == [Order("speed", speed) for speed in (8.0, 16.0, 8.0)]
    assert orders(b"-", speed=0.01) == [Order("speed", 0.01)]
    assert orders(b"+-", speed=1e6) == [Order("speed", None), Order("speed", 64.0)]


def test_a_terminal_that_is_gone_orders_nothing_more() -> None:
    read, write = os.pipe()
    keys = KeyOrders(read, Player(0, 10, 1000, lambda: None))
    os.close(write)
    assert keys.take() == []
    os.close(read)
    assert keys.take() == []


def test_without_a_terminal_there_are_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        Path(os.devnull).open() as nothing,
        monkeypatch.context() as patched,
    ):
        patched.setattr(sys, "stdin", nothing)
        with terminal_keys(Player(0, 10, 1000, lambda: None)) as has_keys:
            assert not has_keys


def test_a_run_obeys_the_terminal_it_was_started_in(tmp_path: Path) -> None:
    times = random_times(1, 50)
    path = write_recording(tmp_path / "BTC-USDT.db", book_rows(times), trade_rows(times))
    main, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    command = [sys.executable, "main.py", "BTC-USDT", "2025-06-09", "2025-06-10", "--start-paused"]
    command += ["--data-dir", str(path), "--output-dir", str(tmp_path / "out"), "--no-ui"]
    # A session of its own whose terminal it is, as a shell would start it.
    begin = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    begin += "os.execv(sys.argv[1], sys.argv[1:])"
    with subprocess.Popen(
        [sys.executable, "-c", begin, *command],
        cwd=PROJECT,
        stdin=terminal,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:

        def wait_for(holds: Callable[[dict[str, Any]], bool]) -> None:
            deadline = time.monotonic() + 120
            status: dict[str, Any] = {}
            while time.monotonic() < deadline and process.poll() is None:
                found = tmp_path / "out" / "status_data.json"
                status = json.loads(found.read_bytes()) if found.exists() else {}
                if status and holds(status):
                    return
                time.sleep(0.05)
            raise AssertionError(status)

        wait_for(lambda status: bool(status["paused"]))
        for rows in (1, 2):
            os.write(main, b"\x1b[C")
            wait_for(lambda status, rows=rows: status["rows"] == rows)  # type: ignore[misc]
        os.write(main, b"-")
        wait_for(lambda status: status["speed"] == 64.0)
        os.write(main, b"+" * 20 + b" ")
        _, said = process.communicate(timeout=120)
    assert process.returncode == 0
    assert b"keys: space pauses and goes on" in said
    assert termios.tcgetattr(terminal) == before
    assert json.loads((tmp_path / "out" / "status_data.json").read_bytes())["rows"] == 50
    os.close(main)
    os.close(terminal)
