"""Notices through pipes: the parent of all processes hands each a descriptor, and forwards bytes.

A pipe that is full already says what there is to say, so nothing waits for room in one.
"""

import contextlib
import logging
import os
import select
import stat
import threading
from collections.abc import Callable, Iterator

from messaging.notification import CHECK_SECONDS

logger = logging.getLogger(__name__)

NOTICE = b"!"
READ_BYTES = 1 << 16
"""As much as a pipe holds, on Linux."""


class PipeChannel:
    """Notices through `descriptor`, inherited from the parent: to write for a writer, or to read.

    Raise `ValueError` where that is no open pipe.
    """

    def __init__(self, descriptor: int) -> None:
        try:
            kind = os.fstat(descriptor).st_mode
        except (OSError, OverflowError):
            msg = f"descriptor {descriptor} is not open here; the parent must pass it on"
            raise ValueError(msg) from None
        if not stat.S_ISFIFO(kind):
            msg = f"descriptor {descriptor} is no pipe"
            raise ValueError(msg)
        self._descriptor = descriptor

    def publish(self) -> None:
        """Write a byte, unless the pipe is full."""
        os.set_blocking(self._descriptor, False)
        with contextlib.suppress(BlockingIOError):
            os.write(self._descriptor, NOTICE)

    def listen(self, notice: Callable[[], None], closing: threading.Event) -> None:
        """Take what is in the pipe, until its other end is closed."""
        for found in _read_pipe(self._descriptor, closing):
            if not found:
                logger.warning("no more notices: the parent has closed the pipe; polling goes on")
                return
            notice()

    def close(self) -> None:
        """Leave the descriptor open: it is the process's, and can't be had again."""


def _read_pipe(descriptor: int, closing: threading.Event) -> Iterator[bytes]:
    """Yield what comes through a pipe, empty at its end, until `closing` is set."""
    poll = select.poll()  # unlike select.select() it takes any number
    poll.register(descriptor, select.POLLIN)
    while not closing.is_set():
        if poll.poll(CHECK_SECONDS * 1000):
            yield os.read(descriptor, READ_BYTES)


class PipeForwarder:
    """The parent's part: read notices from the writers' pipe, and write one to each reader's.

    `writer_descriptor` is for writers to inherit, any number of them; `reader_descriptor` makes
    one for a reader. A reader that does not read, or is gone, holds up nobody.
    """

    def __init__(self) -> None:
        self._source, self.writer_descriptor = os.pipe()
        os.set_blocking(self.writer_descriptor, False)
        self._readers: list[int] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._forward, name="pipe-forwarder", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def reader_descriptor(self) -> Iterator[int]:
        """Lend a descriptor for one reader, to be started within the block.

        The parent's own copy is closed after it, so that the end of the reader shows.
        """
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        with self._lock:
            self._readers.append(writer)
        try:
            yield reader
        finally:
            os.close(reader)

    def close(self) -> None:
        """Close all pipes; readers go on by polling."""
        self._closing.set()
        os.write(self.writer_descriptor, NOTICE)
        self._thread.join()
        for descriptor in (self._source, self.writer_descriptor, *self._readers):
            os.close(descriptor)
        self._readers.clear()

    def _forward(self) -> None:
        for _ in _read_pipe(self._source, self._closing):
            if self._closing.is_set():  # by the byte of `close`
                return
            with self._lock:
                for reader in self._readers.copy():
                    self._write(reader)

    def _write(self, reader: int) -> None:
        try:
            os.write(reader, NOTICE)
        except BlockingIOError:
            return  # full: it has been told
        except BrokenPipeError:
            self._readers.remove(reader)
            os.close(reader)
