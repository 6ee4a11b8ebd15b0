"""The page beside a replay: its port, its process, and what is said when it ends."""

import logging
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from orderflow.errors import PortTakenError
from replay import page_process
from replay.page_process import PageProcess, check_port

STAND_IN = """
import sys
if sys.argv[-2:] == ["--allow-host", "fail"]:
    sys.exit(5)
sys.stdin.read()
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PageProcess]:
    """A process in the page's place: it ends with its stdin, as the page does."""
    program = tmp_path / "page.py"
    program.write_text(STAND_IN)
    monkeypatch.setattr(page_process, "APP", program)
    made = PageProcess(tmp_path, "127.0.0.1", 8050)
    yield made
    made.close()


@pytest.mark.parametrize("listening", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 (for a moment)
def test_a_taken_port_is_refused_with_its_number_and_a_free_one_is_not(listening: str) -> None:
    with socket.create_server((listening, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"port {port} of 127.0.0.1 is in use") as caught:
            check_port("127.0.0.1", port)
        assert (caught.value.host, caught.value.port) == ("127.0.0.1", port)
    check_port("127.0.0.1", port)


def test_a_port_that_was_just_left_is_free() -> None:
    """Connections of the page before may linger for a minute; the page listens all the same."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            server.accept()[0].close()
    check_port("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_another_fault_of_the_address_is_left_to_the_page_to_say(host: str) -> None:
    check_port(host, 8050)


def test_the_page_ends_with_the_pipe_and_not_by_ctrl_c_on_the_terminal(page: PageProcess) -> None:
    assert page._process is not None
    assert os.getsid(page._process.pid) == page._process.pid
    assert page.is_up
    page.close()
    assert page._process.returncode == 0


def test_an_end_of_the_page_is_said_once(
    page: PageProcess, caplog: pytest.LogCaptureFixture
) -> None:
    assert page._process is not None
    page.check()
    assert caplog.text == ""
    page._process.kill()
    page._process.wait()
    for _ in range(2):
        page.check()
    page.keep()
    assert caplog.record_tuples == [
        (
            "replay.page_process",
            logging.WARNING,
            f"the page has ended (exit code {-signal.SIGKILL}); the replay goes on",
        )
    ]


def test_after_the_replay_nothing_goes_on_without_the_page(
    page: PageProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failing = PageProcess(tmp_path, "127.0.0.1", 8050, ["fail"])
    failing.keep()
    assert caplog.messages == ["the page has ended (exit code 5)"]
    failing.close()
