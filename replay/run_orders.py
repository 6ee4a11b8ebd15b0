"""Orders to a running replay: pause, resume, speed, one row, one bar, seek; and its control file.

Who wants something of a run writes `control.json` into its directory, as a whole: the process it is
meant for, and numbered orders. The run does those it has not done yet and says in its status how
far it has come. Why: docs/adr/0020-control.md.
"""

import logging
import os
import stat
from dataclasses import dataclass
from typing import Any

import orjson

from orderflow.speeds import is_speed
from viz_io import CONTROL_FILE

logger = logging.getLogger(__name__)

CONTROL_NAME = CONTROL_FILE.name
MAX_FILE_BYTES = 64 * 1024
MOST_ORDERS = 64
"""More in one file are not read."""
MOST_AHEAD = 10_000
"""A number further above those done would leave none for the orders after it."""

PAUSE, RESUME, SPEED, ROW, BAR, SEEK = KINDS = ("pause", "resume", "speed", "row", "bar", "seek")


@dataclass(frozen=True)
class Order:
    """What a run is to do. `speed` is None for as fast as possible; `time` is in ms, UTC."""

    do: str
    speed: float | None = None
    time: int = 0


class ControlFile:
    """The orders in the control file of an open directory, each handed out once.

    A file that is none, or not for this process, is left alone; that is said once.
    """

    def __init__(self, directory: int) -> None:
        self._directory = directory
        self._seen: tuple[int, int, int] | None = None
        self._warned = False
        self.done = 0
        """The highest number of the orders handed out."""

    def take(self) -> list[Order]:
        """Return the orders that are new, in their order."""
        try:
            raw = self._read_new()
            return [] if raw is None else self._new_orders(orjson.loads(raw))
        except (OSError, ValueError) as error:
            if not self._warned:
                self._warned = True
                logger.warning("%s: %s; it is left alone", CONTROL_NAME, error)
            return []

    def _read_new(self) -> bytes | None:
        """Return what is in the file; None where it was seen before, or there is none."""
        try:
            found = os.stat(CONTROL_NAME, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return None
        signature = found.st_ino, found.st_mtime_ns, found.st_size
        if signature == self._seen:
            return None
        self._seen = signature
        _require_regular(found)  # a directory that is opened would stay open
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(CONTROL_NAME, flags, dir_fd=self._directory)
        with open(descriptor, "rb") as file:  # noqa: PTH123 (a descriptor, no path)
            _require_regular(os.fstat(descriptor))
            raw = file.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            msg = f"it has more than {MAX_FILE_BYTES:,} bytes"
            raise ValueError(msg)
        return raw

    def _new_orders(self, document: Any) -> list[Order]:
        if not isinstance(document, dict) or not isinstance(document.get("orders"), list):
            msg = "it holds no orders"
            raise ValueError(msg)
        if document.get("pid") != os.getpid():
            return []
        given = document["orders"][:MOST_ORDERS]
        for order in given:  # none is done of a file that is not understood
            number = order.get("sequence") if isinstance(order, dict) else None
            if type(number) is not int or not 0 < number <= self.done + MOST_AHEAD:
                msg = f"an order has no number that could be the next: {order!r:.60}"
                raise ValueError(msg)
        new = []
        for order in given:
            if order["sequence"] > self.done:
                self.done = order["sequence"]
                new.append(parse_order(order))
        return [order for order in new if order]


def _require_regular(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        msg = "it is no regular file"
        raise ValueError(msg)


def parse_order(given: dict[str, Any]) -> Order | None:
    """Return what is asked for; None for what is no order."""
    match given:
        case {"do": "pause" | "resume" | "row" | "bar" as do}:
            return Order(do)
        case {"do": "speed", "speed": "max"}:
            return Order(SPEED)
        case {"do": "speed", "speed": speed} if is_speed(speed):
            return Order(SPEED, float(speed))
        case {"do": "seek", "time": int(ms)} if not isinstance(ms, bool) and 0 <= ms < 10**14:
            return Order(SEEK, time=ms)
    return None
