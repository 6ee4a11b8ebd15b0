"""What ZeroMQ loses, takes over or waits for in silence by default, our sockets do not."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
import zmq.auth
from notice_brokers import PATIENCE, until
from places import PROJECT

from messaging import sockets
from messaging.endpoints import EndpointTakenError, stays_here
from messaging.keys import make_keys
from messaging.sockets import (
    TopicError,
    Waiter,
    ZmqContext,
    ZmqPublisher,
    ZmqPuller,
    ZmqPusher,
    ZmqSubscriber,
)
from orderflow.errors import OutputError, UsageError

WAIT_MS = int(PATIENCE * 1000)
LOOPBACK = "tcp://127.0.0.1:0"
EVERYWHERE = "tcp://0.0.0.0:0"

HOLD = """
import sys, time
from messaging.sockets import ZmqContext, ZmqPuller
with ZmqContext() as context:
    puller = ZmqPuller(sys.argv[1], context, "gateway")
    print("bound", flush=True)
    time.sleep(300)
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    """Make a directory with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="bus-") as name:
        yield Path(name)


@pytest.fixture
def context() -> Iterator[ZmqContext]:
    with ZmqContext() as context:
        yield context


@pytest.fixture(params=["ipc", "tcp"])
def endpoint(request: pytest.FixtureRequest, directory: Path) -> str:
    return LOOPBACK if request.param == "tcp" else f"ipc://{directory}/bus/ticks"


def wait_for_subscribers(publisher: ZmqPublisher, count: int) -> list[str]:
    seen: list[str] = []

    def all_there() -> bool:
        seen.extend(publisher.subscriptions())
        return len(seen) >= count

    until(all_there)
    return seen


def received(subscriber: ZmqSubscriber, count: int) -> list[bytes]:
    messages = [subscriber.receive(WAIT_MS) for _ in range(count)]
    return [message[1] for message in messages if message]


def test_a_publisher_sees_each_subscriber_and_loses_nothing_then(
    endpoint: str, context: ZmqContext
) -> None:
    publisher = ZmqPublisher(endpoint, context)
    subscribers = [ZmqSubscriber(publisher.endpoint, ["a"], context) for _ in range(3)]
    assert wait_for_subscribers(publisher, 3) == ["a", "a", "a"]
    for number in range(500):
        assert publisher.publish("a", b"%d" % number)
    for subscriber in subscribers:
        assert received(subscriber, 500) == [b"%d" % number for number in range(500)]
        assert subscriber.receive() is None


def test_a_topic_is_not_the_beginning_of_another(endpoint: str, context: ZmqContext) -> None:
    publisher = ZmqPublisher(endpoint, context)
    subscriber = ZmqSubscriber(publisher.endpoint, ["BTC-USDT"], context)
    wait_for_subscribers(publisher, 1)
    for topic in ("BTC-USDT-SWAP", "BTC-USD", "BTC-USDT"):
        publisher.publish(topic, topic.encode())
    assert subscriber.receive(WAIT_MS) == ("BTC-USDT", b"BTC-USDT")


def test_a_message_may_hold_separators_and_nothing(context: ZmqContext) -> None:
    publisher = ZmqPublisher(LOOPBACK, context)
    subscriber = ZmqSubscriber(publisher.endpoint, ["a"], context)
    wait_for_subscribers(publisher, 1)
    for data in (b"", b"\0", b"x\0y"):
        publisher.publish("a", data)
    assert received(subscriber, 3) == [b"", b"\0", b"x\0y"]


def test_what_a_subscriber_has_no_room_for_is_said_and_not_dropped(
    endpoint: str, context: ZmqContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "HIGH_WATER_MARK", 10)
    publisher = ZmqPublisher(endpoint, context)
    subscriber = ZmqSubscriber(publisher.endpoint, ["a"], context)
    wait_for_subscribers(publisher, 1)
    sent = 0
    while publisher.publish("a", b"%d" % sent + bytes(100_000), timeout_ms=1 if sent else 0):
        sent += 1
    numbers = [data.rstrip(b"\0") for data in received(subscriber, sent)]
    assert numbers == [b"%d" % number for number in range(sent)]
    assert publisher.publish("a", b"room again", timeout_ms=WAIT_MS)
    assert received(subscriber, 1) == [b"room again"]


def test_nobody_there_is_no_reason_to_wait_for_ever(
    endpoint: str, context: ZmqContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "HIGH_WATER_MARK", 10)
    nowhere = endpoint.replace(":0", ":9")
    pusher = ZmqPusher(nowhere, context)
    assert [pusher.push(b"x", timeout_ms=1) for _ in range(12)] == [True] * 10 + [False] * 2
    subscriber = ZmqSubscriber(nowhere, ["a"], context)
    assert subscriber.receive(1) is None
    assert not Waiter(subscriber).wait(1)


def test_what_is_pushed_before_the_puller_is_there_arrives(
    directory: Path, context: ZmqContext
) -> None:
    endpoint = f"ipc://{directory}/signals"
    pusher = ZmqPusher(endpoint, context)
    assert pusher.push(b"early")
    puller = ZmqPuller(endpoint, context)
    assert Waiter(puller).wait(WAIT_MS)
    assert puller.receive() == b"early"
    assert puller.receive() is None


def test_what_was_sent_arrives_although_the_sender_has_gone(endpoint: str) -> None:
    with ZmqContext() as here:
        puller = ZmqPuller(endpoint, here)
        with ZmqContext() as there:
            pusher = ZmqPusher(puller.endpoint, there)
            for number in range(500):
                assert pusher.push(b"%d" % number, WAIT_MS)
        assert [puller.receive(WAIT_MS) for _ in range(500)] == [b"%d" % n for n in range(500)]


def test_closing_ends_without_a_peer_and_leaves_no_file(directory: Path) -> None:
    with ZmqContext() as context:
        ZmqPuller(f"ipc://{directory}/signals", context)
        pusher = ZmqPusher(f"ipc://{directory}/nobody", context)
        assert pusher.push(b"for nobody")
        assert {path.name for path in directory.iterdir()} == {"signals", "signals.lock"}
    assert list(directory.iterdir()) == []


def test_a_subscriber_has_nothing_to_wait_for_when_it_is_closed(
    endpoint: str, context: ZmqContext
) -> None:
    assert ZmqSubscriber(endpoint, ["a"], context).socket.linger == 0


def test_an_error_closes_the_sockets_all_the_same(directory: Path) -> None:
    endpoint = f"ipc://{directory}/signals"
    with pytest.raises(KeyError), ZmqContext() as context:  # noqa: PT012
        ZmqPuller(endpoint, context)
        raise KeyError
    with ZmqContext() as context:
        ZmqPuller(endpoint, context)


def test_the_folder_and_the_socket_are_the_owners_alone(
    directory: Path, context: ZmqContext
) -> None:
    before = os.umask(0o022)
    os.umask(before)
    ZmqPublisher(f"ipc://{directory}/new/ticks", context)
    assert (directory / "new").stat().st_mode & 0o777 == 0o700
    assert (directory / "new" / "ticks").stat().st_mode & 0o077 == 0
    after = os.umask(before)
    assert after == before


def test_a_second_owner_is_refused_with_the_pid_of_the_first(directory: Path) -> None:
    endpoint = f"ipc://{directory}/ticks"
    for _ in range(2):  # what a killed one leaves is no hindrance
        first = subprocess.Popen(
            [sys.executable, "-c", HOLD, endpoint], stdout=subprocess.PIPE, cwd=PROJECT
        )
        try:
            assert first.stdout
            assert first.stdout.readline() == b"bound\n"
            with ZmqContext() as context, pytest.raises(EndpointTakenError) as caught:
                ZmqPublisher(endpoint, context, "gateway")
            assert f"another gateway, pid {first.pid}, is bound to it" in str(caught.value)
            assert caught.value.pid == str(first.pid)
            with ZmqContext() as context:
                assert ZmqPusher(endpoint, context).push(b"still the first one's")
        finally:
            first.send_signal(signal.SIGKILL)
            first.wait()
            assert first.stdout
            first.stdout.close()


def test_a_taken_port_is_said(context: ZmqContext) -> None:
    taken = ZmqPuller(LOOPBACK, context).endpoint
    with pytest.raises(EndpointTakenError, match="another program is bound to it"):
        ZmqPuller(taken, context)


@pytest.mark.parametrize(
    "endpoint",
    ["tcp://0.0.0.0:5555", "tcp://192.168.1.2:5555", "tcp://[::]:5555", "tcp://example.org:5555",
     "tcp://*:5555"],
)  # fmt: skip
def test_others_may_not_reach_a_socket_without_keys(endpoint: str, context: ZmqContext) -> None:
    for make in (ZmqPublisher, ZmqPuller, ZmqPusher):
        with pytest.raises(UsageError, match="or give keys with --keys DIR") as caught:
            make(endpoint, context)
        assert caught.value.value == endpoint
    assert not stays_here(endpoint)


@pytest.mark.parametrize(
    "endpoint", ["ipc:///a/b", "tcp://127.0.0.1:1", "tcp://127.9.9.9:1", "tcp://[::1]:1",
                 "tcp://localhost:1"]
)  # fmt: skip
def test_this_machine_needs_no_keys(endpoint: str) -> None:
    assert stays_here(endpoint)


def test_what_is_no_endpoint_is_a_wrong_argument(context: ZmqContext) -> None:
    with pytest.raises(UsageError, match="the endpoint is ipc"):
        ZmqPusher("5555", context)


@pytest.mark.parametrize("topic", ["", "a\0b"])
def test_what_is_no_topic_is_refused(topic: str, context: ZmqContext) -> None:
    with pytest.raises(TopicError):
        ZmqSubscriber(LOOPBACK, [topic], context)


def test_a_frame_without_a_topic_is_refused(context: ZmqContext) -> None:
    with zmq.Context() as other, other.socket(zmq.PUB) as publisher:
        port = publisher.bind_to_random_port("tcp://127.0.0.1")
        subscriber = ZmqSubscriber(f"tcp://127.0.0.1:{port}", ["a"], context)
        subscriber.socket.subscribe(b"")

        def something_came() -> bool:
            publisher.send(b"no topic")
            return Waiter(subscriber).wait(5)

        until(something_came)
        with pytest.raises(TopicError, match="no topic"):
            subscriber.receive()


def test_a_message_that_is_too_long_cuts_off_its_sender_alone(
    context: ZmqContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "MAX_BYTES", 1000)
    puller = ZmqPuller(LOOPBACK, context)
    monkeypatch.undo()
    bad, good = ZmqPusher(puller.endpoint, context), ZmqPusher(puller.endpoint, context)
    bad.push(bytes(2000), WAIT_MS)
    good.push(b"fine", WAIT_MS)
    assert puller.receive(WAIT_MS) == b"fine"


# -- keys


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys") / "run"
    make_keys(directory)
    return directory


def test_with_keys_messages_go_both_ways_beyond_loopback(keys: Path) -> None:
    with ZmqContext(keys) as here, ZmqContext(keys) as there:
        publisher, puller = ZmqPublisher(EVERYWHERE, here), ZmqPuller(EVERYWHERE, here)
        ticks, signals = (f"tcp://127.0.0.1:{s.endpoint[14:]}" for s in (publisher, puller))
        subscriber, pusher = ZmqSubscriber(ticks, ["a"], there), ZmqPusher(signals, there)
        wait_for_subscribers(publisher, 1)
        publisher.publish("a", b"tick")
        assert received(subscriber, 1) == [b"tick"]
        pusher.push(b"signal")
        assert puller.receive(WAIT_MS) == b"signal"


@pytest.mark.parametrize("stranger", ["plain", "unknown key", "wrong server"])
def test_strangers_stay_out(stranger: str, keys: Path, tmp_path: Path) -> None:
    make_keys(tmp_path / "others")
    if stranger == "unknown key":  # who knows the server's public key, and has a pair of his own
        (tmp_path / "others" / "server.key").write_bytes((keys / "server.key").read_bytes())
    theirs = None if stranger == "plain" else tmp_path / "others"
    with ZmqContext(keys) as here, ZmqContext(theirs) as there, ZmqContext(keys) as friend:
        puller = ZmqPuller(LOOPBACK, here)
        failures = zmq.Event.HANDSHAKE_FAILED_AUTH | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
        failures |= zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
        monitor = puller.socket.get_monitor_socket(failures)
        assert ZmqPusher(puller.endpoint, there).push(b"stranger")
        assert monitor.poll(WAIT_MS)  # it was refused
        puller.socket.disable_monitor()
        monitor.close()
        assert ZmqPusher(puller.endpoint, friend).push(b"friend")
        assert puller.receive(WAIT_MS) == b"friend"
        assert puller.receive(50) is None


def test_keys_are_their_owners_alone_and_never_overwritten(keys: Path) -> None:
    assert keys.stat().st_mode & 0o777 == 0o700
    for path in keys.glob("*.key_secret"):
        assert path.stat().st_mode & 0o777 == 0o600
    before = (keys / "server.key").read_bytes()
    with pytest.raises(OutputError, match="has keys already"):
        make_keys(keys)
    assert (keys / "server.key").read_bytes() == before


def test_keys_that_cannot_be_written_or_read_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        make_keys(tmp_path / "file" / "keys")
    for make in (ZmqPuller, ZmqPusher):
        with (
            pytest.raises(UsageError, match="make keys with `trading keys DIR`") as caught,
            ZmqContext(tmp_path / "none") as context,
        ):
            make(LOOPBACK, context)
        assert caught.value.name == "--keys"
