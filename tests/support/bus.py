"""Processes of a run for tests: `python bus.py ROLE JSON`, and what starts and watches them."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from places import PROJECT

sys.path.insert(0, str(PROJECT))

from messaging.sockets import ZmqContext
from orderflow.errors import OrderflowError
from trading.executor import OrderExecutor
from trading.gateway import TickProducer, new_start
from trading.messages import (
    Accepted,
    Alert,
    Answer,
    SignalType,
    TickEvent,
    TickKind,
    TradingSignal,
)
from trading.orders import Side
from trading.protocol import Endpoints
from trading.strategy_process import StrategyProcess

INSTRUMENT = "BTC-USDT"
PATIENCE = 60.0
FIRST_MS = 1_749_427_200_000


def make_ticks(run_id: str, count: int, per_ms: int = 3) -> Iterator[TickEvent]:
    """Make ticks of which several share a millisecond, with silences in between."""
    time_ms = FIRST_MS
    for number in range(1, count + 1):
        if number % per_ms == 0:
            time_ms += 1 + 7 * (number % 11 == 0)
        yield TickEvent(
            run_id, number, INSTRUMENT, TickKind.TRADE, time_ms, 100.0 + number % 7, 1.0
        )


class EveryNth:
    """Signal at every nth tick, but not all strategies at the same ones; one alert in a hundred."""

    def __init__(
        self,
        name: str,
        nth: int,
        sleep: float = 0.0,
        fail_at: int = 0,
        begun: Path | None = None,
    ) -> None:
        self._offset = sum(name.encode()) % nth
        self._nth = nth
        self._sleep = sleep
        self._fail_at = fail_at
        self._begun = begun

    def on_tick(self, tick: TickEvent) -> Sequence[TradingSignal | Alert]:
        if self._begun:
            self._begun.touch()
            self._begun = None
        if self._sleep:
            time.sleep(self._sleep)
        if tick.number == self._fail_at:
            msg = "out of ideas"
            raise RuntimeError(msg)
        made: list[TradingSignal | Alert] = []
        if tick.number % self._nth == self._offset:
            made.append(
                TradingSignal(
                    instrument=tick.instrument,
                    time_ms=tick.time_ms,
                    side=(Side.BUY, Side.SELL)[tick.number % 2],
                    order=SignalType.LIMIT,
                    price=Decimal(str(tick.price)),
                    quantity=Decimal(tick.number),
                )
            )
        if tick.number % (100 * self._nth) == self._offset:
            made.append(
                Alert(instrument=tick.instrument, time_ms=tick.time_ms, text=str(tick.number))
            )
        return made


@dataclass
class Journal:
    """A market that writes down what it is asked, and accepts everything."""

    entries: list[list[Any]] = field(default_factory=list)
    reached: int = 0
    new: list[Answer] = field(default_factory=list)

    def advance(self, to_ms: int) -> bool:
        assert to_ms > self.reached
        self.reached = to_ms
        return True

    def close_at(self, until_ms: int) -> None:
        pass

    def submit(self, signal: TradingSignal) -> None:
        assert signal.quantity is not None
        self.entries.append([signal.time_ms, signal.strategy, signal.number, int(signal.quantity)])
        self.new.append(
            Accepted(strategy=signal.strategy, signal=signal.number, time_ms=signal.time_ms)
        )

    def answers(self) -> Sequence[Answer]:
        taken, self.new = self.new, []
        return taken


def work(role: str, given: dict[str, Any]) -> dict[str, Any]:
    """Be one process of a run, and return its report."""
    endpoints = Endpoints(**given["endpoints"])
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    stopped = lambda: bool(stopping)  # noqa: E731
    with ZmqContext(Path(given["keys"]) if "keys" in given else None) as context:
        sys.stdout.write("up\n")
        sys.stdout.flush()
        if role == "gateway":
            start = new_start(INSTRUMENT, given["strategies"], **given["options"])
            producer = TickProducer(
                start, endpoints, context, speed=given.get("speed"), stopped=stopped
            )
            producer.run(make_ticks(start.run_id, given["ticks"]))
            return producer.report()
        if role == "executor":
            journal = Journal()
            alerts: list[str] = []
            executor = OrderExecutor(
                journal, endpoints, context, stopped=stopped,
                on_alert=lambda alert: alerts.append(alert.text),
            )  # fmt: skip
            executor.run()
            report = executor.report() | {"lost": executor.lost, "alerts_seen": len(alerts)}
            return report | {"entries": journal.entries}
        answers: list[object] = []
        more = given.get("sleep", 0.0), given.get("fail_at", 0), Path(given["begun"]) / role
        strategy = EveryNth(role, given["nth"], *more)
        process = StrategyProcess(
            role, strategy, INSTRUMENT, endpoints, context,
            stopped=stopped, on_answer=answers.append,
        )  # fmt: skip
        process.run()
        return process.report() | {"lost": process.lost, "answers_seen": len(answers)}


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody uses."""
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in taken]


class Cutter:
    """A way of tcp to `port` that can be cut: what is on it is lost, and it can be taken again."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._ways: list[socket.socket] = []
        self._loses = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> int:
        """Lose what comes for a while, then cut all connections there are; return how many."""
        self._loses = True
        time.sleep(0.1)
        ways, self._ways = self._ways, []
        for way in ways:
            with suppress(OSError):
                way.shutdown(socket.SHUT_RDWR)
        self._loses = False
        return len(ways)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._server.accept()
                there = socket.create_connection(("127.0.0.1", self._port))
                self._ways += [here, there]
                for source, target in ((here, there), (there, here)):
                    threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(4096):
                if not self._loses:
                    target.sendall(data)
        for way in (source, target):
            with suppress(OSError):
                way.shutdown(socket.SHUT_RDWR)
            way.close()


class Bus:
    """The processes of one run, in a directory of their own; all are killed at the end."""

    def __init__(self, strategies: Sequence[str] = ("a",), **given: Any) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="bus-")
        self.path = Path(self._directory.name)
        endpoints = Endpoints.in_directory(self.path / "s")
        self._given = {
            "endpoints": {n: getattr(endpoints, n) for n in Endpoints.__annotations__},
            "begun": str(self.path),
            "strategies": list(strategies),
            "options": {},
            "ticks": 2_000,
            "nth": 10,
        } | given
        self.names = ["gateway", "executor", *strategies]
        self.processes: dict[str, subprocess.Popen[str]] = {}

    def start(self, *names: str, **given: Any) -> None:
        """Start processes and wait until each is past its imports."""
        for name in names:
            self.processes[name] = subprocess.Popen(
                [sys.executable, __file__, name, json.dumps(self._given | given)],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT,
                env=os.environ | {"PYTHONPATH": str(PROJECT)},
            )  # fmt: skip
        for name in names:
            stdout = self.processes[name].stdout
            assert stdout is not None
            assert stdout.readline() == "up\n", self.processes[name].communicate()

    def has_begun(self, name: str) -> bool:
        """Return whether a strategy has had a tick."""
        return (self.path / name).exists()

    def end(self, name: str, patience: float = PATIENCE) -> tuple[int, dict[str, Any], str]:
        """Wait for a process; return its exit code, its report and what it said to stderr."""
        stdout, stderr = self.processes[name].communicate(timeout=patience)
        return self.processes[name].returncode, json.loads(stdout or "{}"), stderr

    def reports(self) -> dict[str, dict[str, Any]]:
        """Wait for all, and return their reports; fail unless all have ended well."""
        ended = {name: self.end(name) for name in self.processes}
        assert {name: code for name, (code, _, _) in ended.items() if code} == {}, ended
        return {name: report for name, (_, report, _) in ended.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        for process in self.processes.values():
            process.kill()
            process.communicate()
        self._directory.cleanup()


@contextmanager
def run_of(strategies: Sequence[str], **given: Any) -> Iterator[Bus]:
    """Start all processes of a run."""
    with Bus(strategies, **given) as bus:
        bus.start(*bus.names)
        yield bus


if __name__ == "__main__":
    try:
        sys.stdout.write(json.dumps(work(sys.argv[1], json.loads(sys.argv[2]))))
    except OrderflowError as error:
        sys.exit(f"Error: {error}")
