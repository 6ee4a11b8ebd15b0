"""What a client's script says on its stdout: a JSON object a line. See `client_process`."""

import argparse
import json
import logging
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

_one_at_a_time = threading.Lock()


def say(kind: str, **fields: Any) -> None:
    """Write one line, with the time at which it was written."""
    line = json.dumps({"kind": kind, "at": time.time(), **fields})
    with _one_at_a_time:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def say_book(key: int | None, bids: Iterable[Sequence[Any]], asks: Iterable[Sequence[Any]]) -> None:
    """Say a book: `key` is its update id or its time in ms, levels are best first."""
    sides = ([[level[0], level[1]] for level in side] for side in (bids, asks))
    say("book", key=key, **dict(zip(("bids", "asks"), sides, strict=True)))


def say_trade(id_: str, price: float, size: float, side: str, time_ms: int) -> None:
    """Say a trade; the side is the taker's."""
    say("trade", id=id_, price=float(price), size=float(size), side=side, time_ms=time_ms)


class _SayLog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say("error", text=f"{record.levelname} {record.name}: {record.getMessage()}")


def begin(description: str | None) -> argparse.Namespace:
    """Read the arguments that all scripts have, and have every warning logged said as an error."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("client")
    parser.add_argument("--url", required=True, help="http://127.0.0.1:PORT")
    parser.add_argument("--symbol", required=True)
    parser.add_argument("--depth", type=int, help="subscribe to so many levels a side")
    parser.add_argument("--shown", type=int, help="say so many levels a side, all unless given")
    parser.add_argument("--speed-ms", type=int)
    logging.basicConfig(level=logging.WARNING, handlers=[_SayLog()])
    return parser.parse_args()


def websocket_url(url: str) -> str:
    """Return the `ws://` of an `http://`, the `wss://` of an `https://`."""
    return url.replace("http", "ws", 1)
