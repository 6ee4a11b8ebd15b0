"""Every way of notices for tests, with its processes, to be killed and started again."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from places import PROJECT
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from messaging.notification import Channel, Listener, Notifier
from messaging.pipes import PipeChannel, PipeForwarder
from messaging.specs import KINDS, open_listener, open_notifier

PATIENCE = 30.0
"""Seconds for what takes milliseconds, on a machine that is busy with something else."""

REDIS = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(REDIS is None, reason="redis-server is not installed")


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, and fail where it never does."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, "it never came true"
        time.sleep(0.005)


class Broker:
    """One way of notices; `directory` is short enough for a socket's path."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = directory / "store"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def spec(self) -> str:
        raise NotImplementedError

    def start(self) -> None:
        """Start, or start again, and wait until it answers."""

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def send_signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()

    def notifier(self) -> Notifier:
        return open_notifier(self.spec, self.store)

    def listener(self) -> Listener:
        return open_listener(self.spec, self.store)

    def channel(self) -> Channel:
        kind, _, argument = self.spec.partition(":")
        return KINDS[kind](argument, self.store)

    def write(self) -> None:
        """Do what a writer does before it notifies."""


class ZmqBroker(Broker):
    @property
    def spec(self) -> str:
        return f"zmq:ipc://{self.directory}/private/notices"

    def start(self) -> None:
        self.process = relay_process(self.spec)


class RedisBroker(Broker):
    @property
    def spec(self) -> str:
        return f"redis:unix://{self.directory}/redis.sock"

    def start(self) -> None:
        assert REDIS is not None
        socket = self.directory / "redis.sock"
        socket.unlink(missing_ok=True)
        command = [REDIS, "--port", "0", "--unixsocket", str(socket), "--save", ""]
        self.process = subprocess.Popen(
            [*command, "--dir", str(self.directory)], stdout=subprocess.DEVNULL
        )

        def answers() -> bool:
            with Redis(retry=Retry(NoBackoff(), 0), unix_socket_path=str(socket)) as client:
                try:
                    return bool(client.ping())
                except RedisError:
                    return False

        until(answers)


class FileBroker(Broker):
    """The file system: its death is that of the store, which somebody removes."""

    @property
    def spec(self) -> str:
        return "file"

    def start(self) -> None:
        (self.store / "BTC-USDT").mkdir(parents=True)

    def kill(self) -> None:
        shutil.rmtree(self.store)

    def write(self) -> None:
        if self.store.is_dir():
            with (self.store / "BTC-USDT" / "1.jsonl").open("ab") as file:
                file.write(b"{}\n")


class PipeBroker(Broker):
    """A parent that forwards; with it dies what it has handed out."""

    def start(self) -> None:
        self.parent = PipeForwarder()

    def kill(self) -> None:
        self.parent.close()

    def close(self) -> None:
        self.parent.close()

    def channel(self) -> Channel:
        return PipeChannel(self.parent.writer_descriptor)

    def notifier(self) -> Notifier:
        return Notifier(self.channel(), "pipe")

    def listener(self) -> Listener:
        with self.parent.reader_descriptor() as descriptor:
            return Listener(PipeChannel(os.dup(descriptor)), "pipe")  # as a child has its own


def relay_process(spec: str) -> "subprocess.Popen[bytes]":
    """Start `simulator notifier`, and wait until it is bound."""
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", "notifier", spec], stderr=subprocess.PIPE, cwd=PROJECT
    )
    assert process.stderr is not None
    line = process.stderr.readline().decode()
    process.stderr.close()
    assert line.startswith("passing on notices"), line
    return process


BROKERS = {"zmq": ZmqBroker, "redis": RedisBroker, "file": FileBroker, "pipe": PipeBroker}


@contextmanager
def running(kind: str, directory: Path) -> Iterator[Broker]:
    broker = BROKERS[kind](directory)
    broker.start()
    try:
        yield broker
    finally:
        broker.close()
