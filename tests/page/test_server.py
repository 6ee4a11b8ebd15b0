"""The answers of the real process: app.py is started, and spoken to over its socket."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page_fixtures import page, put_run
from places import PROJECT

from page import server as page_server

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is tested is the warning
POLL = {
    "output": "seen.data",
    "outputs": {"id": "seen", "property": "data"},
    "inputs": [{"id": "poll", "property": "n_intervals", "value": 1}],
    "changedPropIds": ["poll.n_intervals"],
    "state": [{"id": "seen", "property": "data", "value": ""}],
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("files")
    put_run(directory, 30)
    with page(directory) as (url, _):
        yield url.removeprefix("http://")


def ask(
    address: str, path: str = "/", body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection(address, timeout=10)
    method = "GET" if body is None else "POST"
    fields = {"Content-Type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    connection.request(method, path, body, fields)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, dict(answer.getheaders()), text


def poll(address: str, **changed: Any) -> tuple[int, dict[str, str], str]:
    return ask(address, "/_dash-update-component", json.dumps(POLL | changed).encode())


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost:8050", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]:8050", "::1"),
        ("Example.COM:80", "example.com"),
        ("", ""),
        ("localhost, evil.example", "localhost, evil.example"),
        ("[::1", "::1"),
    ],
)
def test_the_name_in_a_host_header(header: str, name: str) -> None:
    assert page_server.host_name(header) == name


def test_names_that_are_served() -> None:
    own = {"localhost", "127.0.0.1", "::1"}
    assert page_server.allowed_hosts("127.0.0.1", []) == own
    assert page_server.allowed_hosts(EVERYWHERE, []) == own
    assert page_server.allowed_hosts("::", ["Desk.lan:8050"]) == own | {"desk.lan"}
    assert page_server.allowed_hosts("192.168.1.5", []) == own | {"192.168.1.5"}


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("localhost", True),
        (EVERYWHERE, False),
        ("192.168.1.5", False),
        ("desk.lan", False),
    ],
)
def test_what_is_this_machine_alone(host: str, alone: bool) -> None:
    assert page_server.is_loopback(host) is alone


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8050", "127.0.0.1.evil.example"])
def test_a_foreign_host_gets_400(address: str, host: str) -> None:
    for path in ("/", "/_dash-layout", "/assets/page.css"):
        status, _, text = ask(address, path, Host=host)
        assert (status, text) == (400, "400: this name is not served here; see --allow-host\n")


def test_a_request_without_host_gets_400(address: str) -> None:
    name, _, port = address.partition(":")
    with socket.create_connection((name, int(port)), 10) as line:
        line.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.0 400 ")


@pytest.mark.parametrize("host", ["localhost", "localhost:9000", "[::1]:8050", "127.0.0.1"])
def test_this_machine_gets_the_page(address: str, host: str) -> None:
    assert ask(address, Host=host)[0] == 200


def test_scripts_come_from_this_server_alone(address: str) -> None:
    _, headers, text = ask(address)
    rules = dict(
        rule.strip().split(" ", 1) for rule in headers["Content-Security-Policy"].split(";")
    )
    assert rules["script-src"].startswith("'self'")
    assert "unsafe" not in rules["script-src"]
    assert rules["default-src"] == rules["frame-ancestors"] == "'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "http://" not in text
    assert "src=" in text
    assert 'src="http' not in text
    assert 'href="http' not in text


def test_a_body_over_64_kb_gets_413(address: str) -> None:
    fits = json.dumps(POLL).encode().ljust(64 * 1024)
    assert ask(address, "/_dash-update-component", fits)[0] == 200
    assert ask(address, "/_dash-update-component", fits + b" ")[0] == 413


def test_a_chunked_body_over_64_kb_gets_413(address: str) -> None:
    name, _, port = address.partition(":")
    with socket.create_connection((name, int(port)), 10) as line:
        line.sendall(
            b"POST /_dash-update-component HTTP/1.1\r\nHost: localhost\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n11000\r\n" + b" " * 0x11000 + b"\r\n0\r\n\r\n"
        )
        assert b" 413 " in line.recv(100)


def test_a_poll_brings_everything_and_the_next_one_nothing(address: str) -> None:
    status, headers, text = poll(address)
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    seen = json.loads(text)["response"]["seen"]["data"]
    state = [{"id": "seen", "property": "data", "value": seen}]
    status, headers, text = poll(address, state=state)
    assert (status, json.loads(text)) == (200, {"multi": True, "response": {}})
    assert len(text) + sum(len(name) + len(value) + 4 for name, value in headers.items()) < 160
    assert "Connection" not in headers  # it stays open for the next poll


MALFORMED = [
    {"output": "other.data"},
    {"outputs": []},
    {"outputs": {"id": "head", "property": "children"}},
    {"inputs": []},
    {"inputs": [{"id": "poll", "property": "n_intervals", "value": "1"}]},
    {"inputs": [{"id": {"a": 1}, "property": "n_intervals"}]},
    {"state": []},
    {"state": [{"id": "seen", "property": "data", "value": None}]},
    {"state": [{"id": "seen", "property": "data", "value": "<script>"}]},
    {"state": [{"id": "seen", "property": "data", "value": "a" * 101}]},
    {"changedPropIds": "poll"},
    {"changedPropIds": [1]},
]


@pytest.mark.parametrize("changed", MALFORMED)
def test_a_malformed_poll_gets_400(address: str, changed: dict[str, Any]) -> None:
    status, _, text = poll(address, **changed)
    assert (status, text) == (400, "400: not a poll of this page\n")


@pytest.mark.parametrize(
    "body", [b"", b"x", b"[]", b"null", b"\xff\xfe", b"[" * 60_000, b'{"output": "seen.data"}']
)
def test_what_is_no_poll_at_all_gets_400(address: str, body: bytes) -> None:
    status, _, text = ask(address, "/_dash-update-component", body)
    assert (status, text) == (400, "400: not a poll of this page\n")


@pytest.mark.parametrize(
    "path",
    [
        "/_dash-component-suites/none/such.js",
        "/_dash-component-suites/dash/../../../etc/passwd",
        "/assets/%2e%2e/app.py",
        "/assets/none.css",
        "/static/none",
    ],
)
def test_no_answer_shows_a_traceback_or_a_path(address: str, path: str) -> None:
    status, _, text = ask(address, path)
    assert status in {400, 404}
    assert "Traceback" not in text
    assert str(PROJECT) not in text


def test_no_part_of_the_page_names_the_directory(address: str) -> None:
    for path in ("/", "/_dash-layout", "/_dash-dependencies", "/_reload-hash"):
        assert str(PROJECT) not in ask(address, path)[2]
    assert "pytest" not in poll(address)[2]


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_app("--port", str(port), "--output-dir", str(tmp_path))
    assert done.returncode == 3
    assert done.stderr == (
        f"Error: port {port} of 127.0.0.1 is in use, perhaps by another page; "
        f"stop that one or choose another, such as --port {port + 1}\n"
    )


@pytest.mark.thorough
def test_a_host_that_is_no_address_is_one_clear_line() -> None:
    done = run_app("--host", "no such host", "--port", "0")
    assert done.returncode == 1
    assert "--host no such host is no address of this machine" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_directory_that_is_not_there_is_said_and_waited_for(tmp_path: Path) -> None:
    missing = tmp_path / "typo"
    command = [sys.executable, str(PROJECT / "app.py"), "--port", "0", "--output-dir", str(missing)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            assert process.stderr.readline() == (
                f"Warning: --output-dir {missing} does not exist; "
                "the page waits for a replay to make it\n"
            )
            address = process.stderr.readline().removeprefix("Page: http://").strip()
            told = poll(address)[2]
            assert "The output directory does not exist" in told
            assert "typo" not in told
            put_run(missing, 5)
            told = poll(address)[2]
            assert "does not exist" not in told
            assert "BTC-USDT" in told
        finally:
            process.kill()


@pytest.mark.thorough
def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = run_app("--output-dir", str(file), "--port", "0")
    assert done.returncode == 2
    assert done.stderr == f"Error: --output-dir must be a directory; found a file: {file}\n"


def test_help_has_a_short_name() -> None:
    done = run_app("-h")
    assert done.returncode == 0
    assert "--allow-host" in done.stdout


def run_app(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROJECT / "app.py"), *arguments]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )


def test_listening_beyond_this_machine_warns() -> None:
    warning = page_server.exposure_warning(EVERYWHERE, [])
    assert warning.startswith("Warning: --host 0.0.0.0 shows the page to every machine")
    assert "--allow-host NAME" in warning
    assert "It answers to desk.lan too." in page_server.exposure_warning(EVERYWHERE, ["desk.lan"])


@pytest.mark.thorough
def test_an_open_host_warns_on_the_terminal_and_serves_allowed_names(tmp_path: Path) -> None:
    command = [sys.executable, str(PROJECT / "app.py"), "--host", EVERYWHERE, "--port", "0"]
    command += ["--allow-host", "desk.lan", "--output-dir", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            assert process.stderr.readline().startswith("Warning: --host 0.0.0.0 shows")
            port = process.stderr.readline().rpartition(":")[2].strip()
            assert ask(f"127.0.0.1:{port}", Host="desk.lan")[0] == 200
            assert ask(f"127.0.0.1:{port}", Host="192.168.1.5")[0] == 400
        finally:
            process.kill()


def test_the_default_is_this_machine_alone(tmp_path: Path) -> None:
    with page(tmp_path) as (url, pid):
        assert url.startswith("http://127.0.0.1:")
        port = f"{int(url.rpartition(':')[2]):04X}"
        # /proc/net/tcp: local address as hex, least byte first; state 0A listens.
        tables = [Path(f"/proc/{pid}/net/{name}").read_text() for name in ("tcp", "tcp6")]
        listening = [
            line.split()[1]
            for line in "".join(tables).splitlines()
            if line.split()[3] == "0A" and line.split()[1].endswith(f":{port}")
        ]
        assert listening == [f"0100007F:{port}"]


PARENT = """
import subprocess, sys, time
page = subprocess.Popen([sys.executable, *sys.argv[1:]], stdin=subprocess.PIPE)
print(page.pid, flush=True)
time.sleep(600)
"""


def test_the_page_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    arguments = [str(PROJECT / "app.py"), "--exit-with-parent", "--port", "0"]
    command = [sys.executable, "-c", PARENT, *arguments, "--output-dir", str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stderr is not None
        pid = int(parent.stdout.readline())
        assert parent.stderr.readline().startswith("Page: ")
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert gone_within(pid, 2)
        assert parent.stderr.read() == ""


def gone_within(pid: int, seconds: float) -> bool:
    """Return whether a process that is not ours to wait for ends within its limit."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    return False


def test_ctrl_c_ends_quietly(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(PROJECT / "app.py"),
        "--port",
        "0",
        "--output-dir",
        str(tmp_path),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("Page: ")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr.read() == ""
