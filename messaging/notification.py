"""Notices: one process tells others that there is something to read, and nothing more.

Polling is the base and always runs: a notice carries no data and only ends the waiting early, so
one that is lost, repeated or late costs time alone. How notices travel is a `Channel`'s business;
`Notifier` and `Listener` make of any channel, each in a thread of its own, something that neither
blocks nor fails. docs/simulator.md shows how to add a channel.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

logger = logging.getLogger(__name__)

GAP_SECONDS = 0.001
"""Notices of one writer that come closer than this are joined into one."""
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.05, 1.0
IDLE_SECONDS = 0.5
"""While a plain loop waits, `idle` is called at least so often."""
CHECK_SECONDS = 0.2
"""A channel that listens looks at `closing` at least so often."""
CLOSE_SECONDS = 3.0


class Channel(Protocol):
    """A way for notices. Its methods are called from one thread, may block, and raise anything.

    What is raised is logged, and the call made again after a pause, until the channel is closed.
    """

    def publish(self) -> None:
        """Send one notice to whoever listens; connect first where that has not been done."""

    def listen(self, notice: Callable[[], None], closing: threading.Event) -> None:
        """Connect, and call `notice` whenever notices have come, until `closing` is set.

        Look at `closing` every `CHECK_SECONDS`. Return earlier only if no notice can ever come.
        """

    def close(self) -> None:
        """Let go of every connection; `publish` and `listen` may be called again afterwards."""


class Notifier:
    """The writer's side: `notify()` after something has been written.

    Without a channel it does nothing. `name` is what the log calls the channel.
    """

    def __init__(self, channel: Channel | None = None, name: str = "") -> None:
        self._wanted = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        if channel is not None:
            self._thread = threading.Thread(
                target=self._send, args=(channel, _Spell(name)), name="notifier", daemon=True
            )
            self._thread.start()

    def notify(self) -> None:
        """Say that there is something to read; never block, never raise.

        What is written before the call is noticed by a notice after it, unless the channel loses
        it: calls in quick succession are joined, and while the channel is broken one is kept.
        """
        # The check alone costs a tenth of setting it, and most calls find it set.
        if not self._wanted.is_set():
            self._wanted.set()

    def close(self) -> None:
        """Send the last notice, if the channel takes it, and end the thread."""
        self._closing.set()
        self._wanted.set()
        if self._thread:
            self._thread.join(CLOSE_SECONDS)

    def _send(self, channel: Channel, spell: "_Spell") -> None:
        pause = GAP_SECONDS
        while not self._closing.wait(pause):
            self._wanted.wait()
            pause = self._send_one(channel, spell)
        if self._wanted.is_set():
            self._send_one(channel, spell)
        _close(channel)

    def _send_one(self, channel: Channel, spell: "_Spell") -> float:
        """Send a notice; return how many seconds to wait before the next one."""
        self._wanted.clear()  # before sending: what is written from here on needs another notice
        try:
            channel.publish()
        except Exception as error:  # noqa: BLE001 (whatever a broker does: logged, and tried again)
            self._wanted.set()
            _close(channel)
            return spell.failed(error)
        spell.worked()
        return GAP_SECONDS


class Listener:
    """The reader's side: wait for a notice, or for the time to be over.

    Without a channel it waits for the time alone, and so it does while the channel is broken. Any
    number of notices that come while nobody waits are one. One task or thread may wait at a time.
    """

    def __init__(self, channel: Channel | None = None, name: str = "") -> None:
        self._changed = threading.Condition()
        self._noticed = False
        self._wake: Callable[[], object] | None = None
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        if channel is not None:
            self._thread = threading.Thread(
                target=self._listen, args=(channel, _Spell(name)), name="listener", daemon=True
            )
            self._thread.start()

    async def wait(self, seconds: float) -> bool:
        """Return True as soon as a notice has come since the last call, False after `seconds`."""
        import asyncio  # noqa: PLC0415 (30 ms, which those who never wait here need not spend)

        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        with self._changed:
            if self._noticed:
                woken.set()
            else:
                self._wake = lambda: loop.call_soon_threadsafe(woken.set)
        try:
            await asyncio.sleep(0)  # other tasks get their turn, however often notices come
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await woken.wait()
        finally:
            with self._changed:
                self._wake = None
        return self._take()

    def wait_blocking(self, seconds: float, idle: Callable[[], None] = lambda: None) -> bool:
        """Do what `wait` does in a plain loop; call `idle` at once and every `IDLE_SECONDS`."""
        until = time.monotonic() + seconds
        while True:
            idle()
            left = until - time.monotonic()
            with self._changed:
                self._changed.wait_for(lambda: self._noticed, max(0.0, min(left, IDLE_SECONDS)))
                if self._noticed or left <= 0:
                    return self._take()

    def close(self) -> None:
        """End the thread and let go of the channel; waiting goes on to work, without notices."""
        self._closing.set()
        if self._thread:
            self._thread.join(CLOSE_SECONDS)

    def _take(self) -> bool:
        with self._changed:
            noticed, self._noticed = self._noticed, False
        return noticed

    def _notice(self) -> None:
        with self._changed:
            self._noticed = True
            self._changed.notify_all()
            wake, self._wake = self._wake, None  # once: a flood must not fill the event loop
            if wake:
                wake()

    def _listen(self, channel: Channel, spell: "_Spell") -> None:
        pause = 0.0
        while not self._closing.wait(pause):
            began = time.monotonic()
            try:
                channel.listen(self._notice, self._closing)
                break
            except Exception as error:  # noqa: BLE001 (whatever a broker does: logged, tried again)
                if time.monotonic() - began > LAST_PAUSE_SECONDS:
                    spell.worked()
                pause = spell.failed(error)
            _close(channel)
        _close(channel)


def _close(channel: Channel) -> None:
    try:
        channel.close()
    except Exception as error:  # noqa: BLE001 (a broken channel may not even close: logged)
        logger.info("a channel of notices could not be closed: %r", error)


class _Spell:
    """A time in which a channel is broken: logged once, with growing pauses between the tries."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pause = 0.0

    def failed(self, error: Exception) -> float:
        """Return how many seconds to wait before the next try."""
        if not self._pause:
            logger.warning(
                "no notices by %s (%s); polling goes on, and it is tried again",
                self._name,
                str(error) or type(error).__name__,
            )
        self._pause = min(max(2 * self._pause, FIRST_PAUSE_SECONDS), LAST_PAUSE_SECONDS)
        return self._pause

    def worked(self) -> None:
        """End the spell, if there was one."""
        self._pause = 0.0
