"""Progress on a terminal of any width, which may change meanwhile."""

import fcntl
import os
import pty
import select
import struct
import termios
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import orderflow.command
import replay.terminal
from replay.terminal import Progress, WaitingLine, progress_line


class Terminal:
    """A terminal of a size that can change, as standard error."""

    def __init__(self, columns: int) -> None:
        self._ours, theirs = pty.openpty()
        self.stream = open(theirs, "w")  # noqa: PTH123, SIM115
        self.resize(columns)

    def resize(self, columns: int) -> None:
        size = struct.pack("HHHH", 24, columns, 0, 0)
        fcntl.ioctl(self.stream.fileno(), termios.TIOCSWINSZ, size)

    def painted(self, wait: float = 10.0) -> list[str]:
        """Return what was shown since the last call, line by line, each painted over the last."""
        ready, _, _ = select.select([self._ours], [], [], wait)
        text = os.read(self._ours, 100_000).decode() if ready else ""
        assert "\n" not in text
        return [line for line in text.replace("\x1b[K", "").split("\r") if line]

    def close(self) -> None:
        self.stream.close()
        os.close(self._ours)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    made = Terminal(100)
    # Not sys.stderr: pytest sets that anew between a fixture and its test.
    for module in (replay.terminal, orderflow.command):
        monkeypatch.setattr(module, "sys", SimpleNamespace(stderr=made.stream))
    monkeypatch.setenv("TERM", "xterm")
    yield made
    made.close()


def run(
    share: float = 0.45, rate: float = 309_000.4, seconds: float = 100.0, **liveness: Any
) -> Any:
    told = {"live": False, "behind_ms": None, "waiting_for": None} | liveness
    return SimpleNamespace(
        progress=share,
        rows_per_second=rate,
        seconds=seconds,
        processor=SimpleNamespace(rows=12_000, warm_up_rows=345),
        liveness=lambda: told,
    )


@pytest.mark.parametrize(
    ("liveness", "line"),
    [
        ({"live": True, "behind_ms": 300}, "live, 0.3 s behind, 12,345 rows"),
        ({"live": True}, "live, 12,345 rows"),
        ({"waiting_for": "no recording"}, "waiting for a recording"),
    ],
)
def test_a_followed_recording_shows_how_far_behind_it_the_run_is(
    terminal: Terminal, liveness: dict[str, Any], line: str
) -> None:
    with Progress(shown=True) as progress:
        progress.show(run(**liveness))
        assert terminal.painted() == [line]


def test_what_is_waited_for_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    waiting = WaitingLine(shown=True)
    for _ in range(3):
        waiting.show(run(waiting_for="no recording of X under D"))
    said = "Nothing to replay yet: no recording of X under D. Waiting for it; Ctrl+C ends.\n"
    assert capsys.readouterr().err == said


def test_progress_is_the_share_the_speed_and_the_time_left(terminal: Terminal) -> None:
    with Progress(shown=True) as progress:
        progress.show(run())
        assert terminal.painted() == [" 45 %  309k rows/s  2 min 2 s left"]
    assert terminal.painted() == []


def test_progress_survives_a_resize_of_the_terminal(terminal: Terminal) -> None:
    """Nothing wraps, and what was painted before fits into 40 columns too."""
    with Progress(shown=True) as progress:
        for columns in (100, 40, 30, 12, 200):
            terminal.resize(columns)
            progress.show(run(seconds=90_000))
            (line,) = terminal.painted()
            assert line == " 45 %  309k rows/s  1 d 6 h left"[: columns - 1]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("rate", [0.0, 9_999.4, 10_000.0, 1_309_000.0])
@pytest.mark.parametrize("seconds", [0.0, 59.0, 86_399.0, 8_639_900.0])
def test_the_line_is_shorter_than_40_columns(share: float, rate: float, seconds: float) -> None:
    assert len(progress_line(share, rate, seconds)) < 40


def test_no_time_is_left_when_nothing_is_known_or_all_is_done() -> None:
    assert progress_line(0.0, 9_999.4, 5.0) == "  0 %  9,999 rows/s"
    assert progress_line(1.0, 10_000.0, 5.0) == "100 %  10k rows/s"


@pytest.mark.parametrize("shown", [False, True])
def test_nothing_is_shown_where_it_is_not_wanted_or_not_understood(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, shown: bool
) -> None:
    if shown:
        monkeypatch.setenv("TERM", "dumb")
    with Progress(shown=shown) as progress:
        progress.show(run())
    assert terminal.painted(wait=0.1) == []
