"""The processes of `benchmarks.trading`: `python -m benchmarks.trading_ways ROLE JSON`.

Each prints one line of JSON at its end. Times between processes are of the machine's monotonic
clock, which all of them share.
"""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import zmq

from db_interpreter import DBInterpreter
from messaging.sockets import ZmqContext
from trading.executor import OrderExecutor
from trading.gateway import TickProducer, new_start
from trading.messages import (
    SERIALIZER,
    Alert,
    Answer,
    SignalType,
    TickEvent,
    TickKind,
    TradingSignal,
    Window,
)
from trading.orders import Side
from trading.paper_market import PaperMarket
from trading.protocol import Endpoints, windows
from trading.report import run_strategies
from trading.rules import Rules
from trading.sessions import Strategy
from trading.strategy import make_strategy
from trading.strategy_process import StrategyProcess
from trading.ticks import TickMaker

INSTRUMENT = "BTC-USDT"
PATIENCE_MS = 60_000
ONE = Decimal(1)
PAUSE_SECONDS = 0.002
"""Between one tick and the next where the time is taken that a signal needs."""

Given = dict[str, Any]


class Stamp:
    """Answer each tick that bears a time with a signal that bears it too."""

    def on_tick(self, tick: TickEvent) -> Sequence[TradingSignal | Alert]:
        if not tick.cvd:
            return ()
        signal = TradingSignal(
            instrument=tick.instrument, time_ms=tick.time_ms, side=Side.BUY, mid=tick.cvd,
            order=SignalType.MARKET, quantity=ONE,
        )  # fmt: skip
        return (signal,)


class Arrivals:
    """A market that notes how long signals were on their way, in seconds."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def advance(self, to_ms: int) -> bool:
        return True

    def close_at(self, until_ms: int) -> None:
        pass

    def submit(self, signal: TradingSignal) -> None:
        self.seconds.append(time.monotonic() - (signal.mid or 0))

    def answers(self) -> Sequence[Answer]:
        return ()


def strategy_of(name: str) -> Strategy:
    return Stamp() if name == "stamp" else make_strategy(name)


def recorded(path: str) -> DBInterpreter:
    return DBInterpreter(Path(path), INSTRUMENT)


def stamped(run_id: str, count: int) -> Iterator[TickEvent]:
    """Yield ticks in pairs: one with the time in it, and at once one that ends its window."""
    for number in range(1, 2 * count, 2):
        time.sleep(PAUSE_SECONDS)
        for later, stamp in enumerate((time.monotonic(), 0.0)):
            ms = 1000 * (number + later)
            yield TickEvent(run_id, number + later, INSTRUMENT, TickKind.TRADE, ms, 1.0, cvd=stamp)


class Timed:
    """Note when the first and the last of what it hands on was asked for."""

    def __init__(self, ticks: Iterable[TickEvent]) -> None:
        self._ticks = ticks
        self.count = 0
        self.began = self.ended = 0.0

    def __iter__(self) -> Iterator[TickEvent]:
        self.began = time.monotonic()
        for tick in self._ticks:
            self.count += 1
            yield tick
        self.ended = time.monotonic()


# -- the roles


def gateway(given: Given) -> Given:
    """Publish a recording, or stamped ticks; seconds are until the executor has done all."""
    start = new_start(INSTRUMENT, [given["strategy"]], **given["options"])
    with ZmqContext() as context:
        producer = TickProducer(start, Endpoints(**given["endpoints"]), context)
        if given["strategy"] == "stamp":
            ticks: Iterable[TickEvent] = stamped(start.run_id, given["count"])
        else:
            maker = TickMaker(start.run_id, INSTRUMENT)
            ticks = maker.ticks(recorded(given["path"]).batches(), producer.idle)
        timed = Timed(ticks)
        producer.run(timed)
        return {"ticks": timed.count, "seconds": time.monotonic() - timed.began}


def strategy(given: Given) -> Given:
    with ZmqContext() as context:
        name = given["strategy"]
        endpoints = Endpoints(**given["endpoints"])
        process = StrategyProcess(name, strategy_of(name), INSTRUMENT, endpoints, context)
        process.run()
        return {"lost": process.lost, **process.report()}


def executor(given: Given) -> Given:
    arrivals = Arrivals()
    is_stamped = given["strategy"] == "stamp"
    market = None if is_stamped else PaperMarket(
        recorded(given["path"]).batches(), INSTRUMENT, Rules(accept_unreliable=True)
    )  # fmt: skip
    with ZmqContext() as context:
        executor = OrderExecutor(market or arrivals, Endpoints(**given["endpoints"]), context)
        executor.run()
        fills = len(market.engine.fills) if market else 0
        return {"lost": executor.lost, "fills": fills, "seconds": arrivals.seconds}


def in_process(given: Given) -> Given:
    """Run a strategy on a recording without sockets, report included."""
    began = time.monotonic()
    report = run_strategies(
        lambda: recorded(given["path"]).batches(), INSTRUMENT,
        {given["strategy"]: strategy_of(given["strategy"])}, Rules(accept_unreliable=True),
        **given["options"],
    )  # fmt: skip
    return {
        "ticks": report.counts["ticks"], "fills": len(report.fills),
        "seconds": time.monotonic() - began,
    }  # fmt: skip


def frames_of(path: str, window_ms: int) -> tuple[list[bytes], int]:
    """Return the frames a gateway would publish, and how many ticks are in them."""
    ticks = TickMaker("0" * 16, INSTRUMENT).ticks(recorded(path).batches())
    frames, count = [], 0
    for number, (until, some) in enumerate(windows(ticks, window_ms), 1):
        window = Window("0" * 16, number, until, some)
        frames.append(b"ticks/BTC-USDT\0" + SERIALIZER.encode(window))
        count += len(some)
    return frames, count


def bare_send(given: Given) -> Given:
    """Publish the frames of a recording, made before, when a subscriber is there."""
    frames, ticks = frames_of(given["path"], given["options"]["window_ms"])
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.xpub_nodrop = True
        socket.sndtimeo = PATIENCE_MS
        socket.bind(given["endpoints"]["ticks"])
        socket.recv()
        for frame in frames:
            socket.send(frame)
        socket.send(b"ticks/end")
    return {"ticks": ticks, "bytes": sum(map(len, frames)), "frames": len(frames)}


def bare_receive(given: Given) -> Given:
    """Receive them; seconds are from the first to the last."""
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.rcvtimeo = PATIENCE_MS
        socket.subscribe(b"ticks/")
        socket.connect(given["endpoints"]["ticks"])
        count = 0
        socket.recv()
        began = time.monotonic()
        while socket.recv() != b"ticks/end":
            count += 1
        return {"seconds": time.monotonic() - began}


def bare_ping(given: Given) -> Given:
    """Send ticks by PUB and take the answers by PULL; return the seconds of each round trip."""
    tick = next(stamped("0" * 16, 1))
    data = b"ticks/BTC-USDT\0" + SERIALIZER.encode(Window("0" * 16, 1, 1, (tick,)))
    seconds = []
    with (
        zmq.Context() as context,
        context.socket(zmq.XPUB) as out,
        context.socket(zmq.PULL) as back,
    ):
        out.bind(given["endpoints"]["ticks"])
        back.bind(given["endpoints"]["signals"])
        back.rcvtimeo = PATIENCE_MS
        out.recv()
        for _ in range(given["count"]):
            time.sleep(PAUSE_SECONDS)
            began = time.monotonic()
            out.send(data)
            back.recv()
            seconds.append(time.monotonic() - began)
        out.send(b"ticks/end")
    return {"seconds": seconds}


def bare_pong(given: Given) -> Given:
    """Answer what is published with the same bytes."""
    with (
        zmq.Context() as context,
        context.socket(zmq.SUB) as socket,
        context.socket(zmq.PUSH) as back,
    ):
        socket.subscribe(b"ticks/")
        socket.connect(given["endpoints"]["ticks"])
        back.connect(given["endpoints"]["signals"])
        socket.rcvtimeo = PATIENCE_MS
        while (frame := socket.recv()) != b"ticks/end":
            back.send(frame)
    return {}


ROLES = {
    role.__name__.replace("_", "-"): role
    for role in (
        gateway, strategy, executor, in_process, bare_send, bare_receive, bare_ping, bare_pong,
    )
}  # fmt: skip

if __name__ == "__main__":
    print(json.dumps(ROLES[sys.argv[1]](json.loads(sys.argv[2]))))
