"""The relay of ZeroMQ owns its endpoint alone, and passes on notices from any to any."""

import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from notice_brokers import PATIENCE, relay_process, until
from places import PROJECT

from messaging.endpoints import EndpointError, check_endpoint
from messaging.notification import Listener, Notifier
from messaging.zmq_channel import ZmqChannel, relay


@pytest.fixture
def directory() -> Iterator[Path]:
    """Make a directory with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="notices-") as name:
        yield Path(name)


@pytest.fixture
def processes() -> Iterator[list["subprocess.Popen[bytes]"]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def refused(spec: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "simulator", "notifier", spec],
        capture_output=True, text=True, check=False, timeout=60, cwd=PROJECT,
    )  # fmt: skip
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    return done.stderr


def passes_on(endpoint: str, readers: int = 1, writers: int = 1) -> None:
    """Fail unless each writer wakes each reader."""
    listeners = [Listener(ZmqChannel(endpoint)) for _ in range(readers)]
    for _ in range(writers):
        with closing(Notifier(ZmqChannel(endpoint))) as notifier:
            for listener in listeners:

                def noticed(listener: Listener = listener) -> bool:
                    notifier.notify()
                    return listener.wait_blocking(0.05)

                until(noticed)
    for listener in listeners:
        listener.close()


@pytest.mark.thorough
def test_a_second_notifier_is_refused_and_the_first_goes_on(
    directory: Path, processes: list["subprocess.Popen[bytes]"]
) -> None:
    endpoint = f"ipc://{directory}/notices"
    processes.append(relay_process(f"zmq:{endpoint}"))
    said = refused(f"zmq:{endpoint}")
    assert f"another notifier, pid {processes[0].pid}, is bound to it" in said
    passes_on(endpoint, readers=2, writers=2)


@pytest.mark.thorough
def test_a_socket_left_by_a_killed_notifier_is_no_hindrance(
    directory: Path, processes: list["subprocess.Popen[bytes]"]
) -> None:
    endpoint = f"ipc://{directory}/notices"
    for _ in range(2):
        processes.append(relay_process(f"zmq:{endpoint}"))
        passes_on(endpoint)
        processes[-1].kill()
        processes[-1].wait()
        assert (directory / "notices").is_socket()


def test_the_socket_and_the_folder_it_makes_are_the_users_alone(
    directory: Path, processes: list["subprocess.Popen[bytes]"]
) -> None:
    processes.append(relay_process(f"zmq:ipc://{directory}/a/notices"))
    assert (directory / "a").stat().st_mode & 0o777 == 0o700
    assert (directory / "a" / "notices").stat().st_mode & 0o077 == 0


@pytest.mark.thorough
def test_a_folder_that_others_may_write_to_is_refused(directory: Path) -> None:
    directory.chmod(0o777)
    assert f"others may write to {directory}" in refused(f"zmq:ipc://{directory}/notices")
    assert list(directory.iterdir()) == []


@pytest.mark.thorough
def test_a_folder_that_cannot_be_made_is_one_line(directory: Path) -> None:
    (directory / "file").touch()
    assert "name a socket in a directory of your own" in refused(
        f"zmq:ipc://{directory}/file/notices"
    )


@pytest.mark.thorough
def test_tcp_serves_as_well_and_a_taken_port_is_said(
    processes: list["subprocess.Popen[bytes]"],
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        assert f"{endpoint}: another program is bound to it" in refused(f"zmq:{endpoint}")
    processes.append(relay_process(f"zmq:{endpoint}"))
    passes_on(endpoint)


def test_a_host_that_is_not_ours_is_said() -> None:
    with pytest.raises(EndpointError, match="cannot be bound to"):
        relay("tcp://192.0.2.1:5555", lambda: None, lambda: True)


@pytest.mark.thorough
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_notifier(directory: Path, number: int, code: int) -> None:
    process = relay_process(f"zmq:ipc://{directory}/notices")
    process.send_signal(number)
    assert process.wait(PATIENCE) == code


@pytest.mark.thorough
def test_another_server_at_the_endpoint_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        channel = ZmqChannel(f"tcp://127.0.0.1:{other.getsockname()[1]}")
        with closing(Notifier(channel, "zmq")) as notifier:
            notifier.notify()
            until(lambda: bool(caplog.records))
    assert "no answer from tcp://127.0.0.1" in caplog.text


@pytest.mark.parametrize(
    "endpoint",
    ["", "ipc://", "ipc://relative/path", "ipc:///", "ipc:///dir/", "tcp://host", "tcp://:5555",
     "tcp://a/b:1", "inproc://x", "/run/x", "ipc:///" + "x" * 107],
)  # fmt: skip
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match=r"endpoint is ipc|has at most 107 bytes"):
        check_endpoint(endpoint)


@pytest.mark.parametrize("endpoint", ["ipc:///a/b", "tcp://127.0.0.1:5555", "tcp://[::1]:5555"])
def test_endpoints_are_accepted(endpoint: str) -> None:
    check_endpoint(endpoint)
