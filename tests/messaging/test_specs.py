"""The text of `--notify`: what it can be, what it imports, and how another broker is added."""

import re
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from notice_brokers import until
from places import PROJECT

from messaging.notification import CHECK_SECONDS, Channel, Listener, Notifier
from messaging.specs import FORMS, KINDS, open_listener, open_notifier, zmq_endpoint
from orderflow.errors import UsageError

WRONG = {
    "": "no such way of notices",
    "zeromq:ipc:///x": "no such way of notices",
    "None": "no such way of notices",
    "pipe": "`simulator run` hands out",
    "pipe:-1": "`simulator run` hands out",
    "pipe:99999": "descriptor 99999 is not open here",
    "zmq": "the endpoint is ipc:///PATH or tcp://HOST:PORT",
    "zmq:ipc://x": "the endpoint is ipc:///PATH or tcp://HOST:PORT",
    "redis": "redis://, rediss://, unix://",
    "redis:unix://x/y": "begins with a slash",
    "redis://host:no": "Port could not be cast",
}


@pytest.mark.parametrize("spec", WRONG)
@pytest.mark.parametrize("make", [open_notifier, open_listener])
def test_a_wrong_spec_is_refused_with_the_forms(
    make: Callable[[str, Path], object], spec: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=re.escape(WRONG[spec])) as caught:
        make(spec, tmp_path)
    assert str(caught.value).endswith(f"; it is one of {FORMS}")
    assert caught.value.value == spec


def test_file_takes_nothing_more(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="takes nothing more; found '/x'"):
        open_listener("file:/x", tmp_path)


def test_none_and_a_writer_of_files_start_no_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    for opened in (open_notifier("none", tmp_path), open_notifier("file", tmp_path),
                   open_listener("none", tmp_path)):  # fmt: skip
        assert threading.active_count() == before
        opened.close()


@pytest.mark.parametrize("spec", ["none", "redis://host", "zmq:ipc://x"])
def test_the_notifier_takes_zmq_alone(spec: str) -> None:
    with pytest.raises(UsageError, match=re.escape(repr(spec))):
        zmq_endpoint(spec)


def test_a_broker_is_imported_only_when_asked_for() -> None:
    code = (
        "import sys, messaging.watch; from pathlib import Path; "
        "from messaging.specs import *; store = Path(); "
        "open_notifier('file', store); open_listener('none', store); "
        "print({'asyncio', 'redis', 'watchfiles', 'zmq'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT
    )
    assert done.stdout == "set()\n"


class DatagramChannel:
    """A broker of a page: readers have a socket each in a folder, writers send to all of them."""

    def __init__(self, folder: str) -> None:
        if not Path(folder).is_dir():
            msg = f"{folder!r} is no directory"
            raise ValueError(msg)
        self._folder = Path(folder)
        self._socket: socket.socket | None = None

    def publish(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            for reader in self._folder.iterdir():
                with suppress(BlockingIOError, ConnectionRefusedError):
                    sender.sendto(b"!", str(reader))

    def listen(self, notice: Callable[[], None], closing: threading.Event) -> None:
        self._socket = receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        receiver.bind(str(self._folder / f"{id(self)}"))
        receiver.settimeout(CHECK_SECONDS)
        while not closing.is_set():
            with suppress(TimeoutError):
                receiver.recv(1)
                notice()

    def close(self) -> None:
        if self._socket:
            Path(self._socket.getsockname()).unlink()
            self._socket.close()
            self._socket = None


def noticed(notifier: Notifier, listener: Listener) -> Callable[[], bool]:
    def once() -> bool:
        notifier.notify()
        return listener.wait_blocking(0.05)

    return once


def test_another_broker_is_a_class_and_a_line(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("toy")

    def make(argument: str, _store: Path) -> Channel:
        return DatagramChannel(argument)

    monkeypatch.setitem(KINDS, "datagram", make)
    spec = f"datagram:{folder}"
    with (
        closing(open_notifier(spec, folder)) as notifier,
        closing(open_listener(spec, folder)) as one,
        closing(open_listener(spec, folder)) as two,
    ):
        until(noticed(notifier, one))
        until(noticed(notifier, two))
    assert list(folder.iterdir()) == []
    with pytest.raises(UsageError, match="is no directory"):
        open_listener("datagram:/nowhere", folder)


class FakeQueue:
    """What the documented channel uses of pika, with one queue in memory."""

    waiting = threading.Semaphore(0)
    is_open = True
    method = types.SimpleNamespace(queue="q")

    def __init__(self, *_: object) -> None:
        self.closed = 0

    def channel(self) -> "FakeQueue":
        return self

    def exchange_declare(self, exchange: str, exchange_type: str) -> None:
        assert exchange_type == "fanout"

    def queue_declare(self, _name: str, *, exclusive: bool, arguments: object) -> "FakeQueue":
        return self

    def queue_bind(self, queue: str, exchange: str) -> None:
        assert queue == "q"

    def basic_publish(self, exchange: str, routing_key: str, body: bytes) -> None:
        self.waiting.release()

    def consume(
        self, _queue: str, *, auto_ack: bool, inactivity_timeout: float
    ) -> Iterator[tuple[object, object, object]]:
        while True:
            yield self.waiting.acquire(timeout=inactivity_timeout), None, None

    def close(self) -> None:
        self.closed += 1


def test_the_page_of_code_for_amqp_works_as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (PROJECT / "docs" / "simulator.md").read_text().split("### Another broker")[1]
    code = page.split("```python\n")[1].split("```")[0]
    pika = types.SimpleNamespace(URLParameters=str, BlockingConnection=FakeQueue)
    monkeypatch.setitem(sys.modules, "pika", pika)
    names: dict[str, Callable[[str], Channel]] = {}
    exec(code, names)  # noqa: S102 (the page's own)
    channel = names["AmqpChannel"]
    with (
        closing(Notifier(channel("amqp://host/"))) as notifier,
        closing(Listener(channel("amqp://host/"))) as listener,
    ):
        until(noticed(notifier, listener))
