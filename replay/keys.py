"""Take orders for a run from the keys of the terminal it was started in."""

import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Iterator

from orderflow.speeds import FASTEST, SLOWEST
from replay.player import Player
from replay.run_orders import BAR, PAUSE, RESUME, ROW, SPEED, Order

HELP = "keys: space pauses and goes on, + and - change the speed, → is one row, b one bar"
MAX_BYTES = 256
"""What a held key has typed beyond this is forgotten."""
STEP = 2.0
FIRST_SPEED = 64.0
"""What `-` makes of a run that goes as fast as possible."""
_KEYS = {
    b" ": "space", b"+": "+", b"=": "+", b"-": "-", b"_": "-", b"b": "bar",
    b"\x1b[C": "row", b"\x1bOC": "row", b"n": "row", b"\x1b[1;2C": "bar",
}  # fmt: skip


class KeyOrders:
    """The orders that keys stand for, typed on `descriptor`; other keys stand for none."""

    def __init__(self, descriptor: int, player: Player) -> None:
        self._descriptor = descriptor
        self._player = player
        self._is_open = True

    def take(self) -> list[Order]:
        """Return the orders typed since the last time."""
        if not self._is_open or not select.select([self._descriptor], [], [], 0)[0]:
            return []
        try:
            typed = os.read(self._descriptor, MAX_BYTES)
        except OSError:
            typed = b""
        self._is_open = bool(typed)
        paused, speed = self._player.paused, self._player.speed
        orders = []
        for key in keys_in(typed):
            if key == "space":
                paused = not paused
                orders.append(Order(PAUSE if paused else RESUME))
            elif key in "+-":
                speed = _next_speed(speed, key)
                orders.append(Order(SPEED, speed))
            else:
                paused = True
                orders.append(Order(ROW if key == "row" else BAR))
        return orders


def _next_speed(speed: float | None, key: str) -> float | None:
    if speed is None:
        return FIRST_SPEED if key == "-" else None
    changed = speed * STEP if key == "+" else speed / STEP
    return None if changed > FASTEST else max(changed, SLOWEST)


def keys_in(typed: bytes) -> Iterator[str]:
    """Yield the names of the keys in what was typed: space, +, -, row or bar."""
    while typed:
        found = next((key for key in _KEYS if typed.startswith(key)), typed[:1])
        if found in _KEYS:
            yield _KEYS[found]
        typed = typed[len(found) :]


@contextlib.contextmanager
def terminal_keys(player: Player) -> Iterator[bool]:
    """Let keys order the run while the block runs, and say whether there are any to type on.

    There are where standard input is a terminal that this process is in the foreground of: a run in
    the background would be stopped for reading. Ctrl+C stays what it is.
    """
    descriptor = _terminal()
    if descriptor is None:
        yield False
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor, termios.TCSANOW)
        player.obey(KeyOrders(descriptor, player))
        yield True
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)


def _terminal() -> int | None:
    try:
        descriptor = sys.stdin.fileno()
        in_front = os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp()
    except (OSError, ValueError, AttributeError):  # closed, or no file at all
        return None
    return descriptor if in_front else None
