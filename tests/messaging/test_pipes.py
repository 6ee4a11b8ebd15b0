"""Pipes from the parent: what is full, broken or closed hurts nobody."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
from notice_brokers import PATIENCE, until
from places import PROJECT

from messaging.notification import Listener, Notifier
from messaging.pipes import PipeChannel, PipeForwarder


@pytest.fixture
def parent() -> Iterator[PipeForwarder]:
    with closing(PipeForwarder()) as parent:
        yield parent


def reader(parent: PipeForwarder) -> int:
    """Return a reader's end as a child has it."""
    with parent.reader_descriptor() as descriptor:
        return os.dup(descriptor)


def notice_until_noticed(parent: PipeForwarder, listener: Listener) -> None:
    with closing(Notifier(PipeChannel(parent.writer_descriptor))) as notifier:
        notifier.notify()
        assert listener.wait_blocking(PATIENCE)


def test_a_reader_that_does_not_read_holds_up_nobody(parent: PipeForwarder) -> None:
    reader(parent)
    with suppress(BlockingIOError):
        while True:  # until its pipe is full
            os.write(parent._readers[0], b"!" * 4096)
    with suppress(BlockingIOError):
        while True:
            os.write(parent._readers[0], b"!")
    writer = PipeChannel(parent.writer_descriptor)
    for _ in range(200_000):  # three times what both pipes hold
        writer.publish()
    with closing(Listener(PipeChannel(reader(parent)))) as listener:
        notice_until_noticed(parent, listener)


def test_a_reader_that_is_gone_is_forgotten(parent: PipeForwarder) -> None:
    os.close(reader(parent))
    with closing(Listener(PipeChannel(reader(parent)))) as listener:
        notice_until_noticed(parent, listener)
        until(lambda: len(parent._readers) == 1)


def test_two_readers_are_both_woken(parent: PipeForwarder) -> None:
    one, two = (Listener(PipeChannel(reader(parent))) for _ in range(2))
    with closing(one), closing(two):
        notice_until_noticed(parent, one)
        assert two.wait_blocking(PATIENCE)


def test_the_end_of_the_parent_is_said_and_leaves_polling(
    caplog: pytest.LogCaptureFixture,
) -> None:
    parent = PipeForwarder()
    with closing(Listener(PipeChannel(reader(parent)))) as listener:
        parent.close()
        until(lambda: bool(caplog.records))
        assert not asyncio.run(listener.wait(0.01))
    said = [record.getMessage() for record in caplog.records]
    assert said == ["no more notices: the parent has closed the pipe; polling goes on"]


def test_a_writer_whose_parent_is_gone_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    source, target = os.pipe()
    os.close(source)
    with closing(Notifier(PipeChannel(target), "pipe")) as notifier:
        for _ in range(3):
            notifier.notify()
        until(lambda: bool(caplog.records))
    assert len(caplog.records) == 1
    os.close(target)


@pytest.mark.parametrize("descriptor", [99_999, 10**30])
def test_a_descriptor_that_is_not_open_is_refused(descriptor: int) -> None:
    with pytest.raises(ValueError, match="is not open here"):
        PipeChannel(descriptor)


def test_a_file_is_no_pipe() -> None:
    with open(os.devnull) as file, pytest.raises(ValueError, match="is no pipe"):  # noqa: PTH123
        PipeChannel(file.fileno())


def test_the_threads_end_with_the_parent() -> None:
    PipeForwarder().close()
    assert "pipe-forwarder" not in {thread.name for thread in threading.enumerate()}


CHILD = """
from pathlib import Path
import sys
from messaging.specs import open_listener, open_notifier
listener = open_listener(sys.argv[1], Path())
print("ready", flush=True)
while listener.wait_blocking(60.0):
    print("noticed", flush=True)
"""


def test_notices_go_from_one_child_through_the_parent_to_another(parent: PipeForwarder) -> None:
    with parent.reader_descriptor() as descriptor:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, f"pipe:{descriptor}"],
            stdout=subprocess.PIPE, text=True, pass_fds=(descriptor,), cwd=PROJECT,
        )  # fmt: skip
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        teller = "from messaging.specs import *; open_notifier(sys.argv[1], Path()).close()"
        subprocess.run(
            [sys.executable, "-c", f"import sys; {teller}", f"pipe:{parent.writer_descriptor}"],
            check=True, pass_fds=(parent.writer_descriptor,), cwd=PROJECT,
        )  # fmt: skip
        assert child.stdout.readline() == "noticed\n"
        child.kill()
