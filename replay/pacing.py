"""Hand out events at the recorded pace, or N times it."""

import time
from collections.abc import Callable, Iterable, Iterator

from orderflow.errors import UsageError
from orderflow.events import OrderbookUpdate, Trade
from orderflow.speeds import FASTEST, SLOWEST, is_speed

HEARTBEAT_SECONDS = 0.5
"""While waiting for the recorded pace, `idle` is called at least so often."""


def parse_speed(text: str) -> float | None:
    """Parse `--speed`: None for `max`, else a number from `SLOWEST` to `FASTEST`.

    Raise `UsageError` for anything else: slower, a run would never seem to move.
    """
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not is_speed(speed):
        msg = (
            f"--speed must be max or a number from {SLOWEST:g} to {FASTEST:,.0f}, such as 1 or "
            f"600; found {text!r}"
        )
        raise UsageError(msg)
    return speed


def paced(
    events: Iterable[tuple[OrderbookUpdate, list[Trade]]],
    speed: float,
    start_ms: int,
    idle: Callable[[], None],
) -> Iterator[tuple[OrderbookUpdate | None, list[Trade]]]:
    """Yield updates and trades one by one, each when its time has come.

    The clock starts with the first event from `start_ms` on, and runs `speed` times as fast as the
    recording; what lies before warms up the book and is not waited for. `idle` is called at least
    once per event and every `HEARTBEAT_SECONDS`; what it raises ends the waiting.
    """
    pace = Pace(speed, idle)
    for update, trades in events:
        if update.timestamp >= start_ms:
            pace.wait_for(update.timestamp)
        else:
            idle()
        yield update, []
        for trade in trades:
            pace.wait_for(trade[5])
            yield None, [trade]


class Pace:
    """Wait for recorded times, `speed` times as fast as they were; the first one is now.

    `idle` is called at least once a time and every `HEARTBEAT_SECONDS`; what it raises ends it.
    """

    def __init__(self, speed: float, idle: Callable[[], None]) -> None:
        self._speed = speed
        self._idle = idle
        self._origin: tuple[int, float] | None = None

    def wait_for(self, timestamp: int) -> None:
        """Sleep until the recorded time has come, calling `idle` now and then."""
        if self._origin is None:
            self._origin = timestamp, time.monotonic()
        first, began = self._origin
        due = began + (timestamp - first) / 1000 / self._speed
        while True:
            self._idle()
            left = due - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, HEARTBEAT_SECONDS))
