"""A whole exchange on a desk: one fetcher, a publisher for each exchange, and a look at them."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from simulator.connections import Hub
from simulator.notices import Notices
from simulator.store_reader import instruments_in
from simulator.supervisor import FAILED, FINISHED, Command, Say, Worker, end_all
from simulator.venue import Settings
from simulator.venues import VENUES

LOOK_SECONDS = 0.5
_ANSWER_SECONDS = 2.0


@dataclass
class Plan:
    """What to run. `fetch` and `publish` are the arguments of the commands, without store and port.

    `faults` are the arguments of a publisher alone, by exchange.
    """

    instrument: str
    store: Path
    host: str
    ports: Mapping[str, int]
    fetch: Sequence[str]
    publish: Sequence[str] = ()
    faults: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notify: str = "none"
    tls: bool = False
    exit_at_end: bool = False


class Stand:
    """One publisher of a desk, as its `/status` shows it; `status` is the last answer."""

    def __init__(self, exchange: str, plan: Plan, notices: Notices, say: Say) -> None:
        self.exchange = exchange
        self.status: dict[str, Any] = {}
        self.frames_per_second = 0.0
        self.has_no_form = False
        self._plan, self._notices, self._say = plan, notices, say
        self._is_announced = False
        self._asked_at = 0.0
        self.worker = Worker(exchange, self._command, say, ends=False)

    @property
    def port(self) -> int:
        """Return the port it listens on, or will."""
        # One that was free is kept over a restart: clients come back to where they were.
        port: int = self.worker.ready.get("port", self._plan.ports[self.exchange])
        return port

    @property
    def instrument(self) -> dict[str, Any]:
        """Return what it says of the plan's instrument; nothing before it is published."""
        found: dict[str, Any] = self.status.get("instruments", {}).get(self._plan.instrument, {})
        return found if found.get("symbol") else {}

    def has_sent(self, last_seq: int) -> bool:
        """Return whether the rows up to `last_seq` are sent, and taken by the clients' sockets."""
        read = self.instrument.get("last_seq", 0)
        # Of what has been read some may not be sent yet, unless it is the end.
        is_sent = read >= last_seq and self.instrument["ended"]
        return is_sent and not self.status["most_behind_bytes"]

    @contextmanager
    def _command(self) -> Iterator[Command]:
        plan = self._plan
        where = ["--store", str(plan.store), "--host", plan.host, "--port", str(self.port)]
        faults = plan.faults.get(self.exchange, ())
        arguments = ["publish", self.exchange, *where, *plan.publish, *faults]
        with self._notices.for_reader() as told:
            yield Command([*arguments, *told.arguments], told.descriptors)

    async def look(self, http: aiohttp.ClientSession) -> None:
        """Ask for its status, and say once that it serves the instrument, or that it can't."""
        if not self.worker.ready or self.worker.is_over:
            return
        try:
            # It is our own process at that port, whatever its certificate is made out to.
            async with http.get(f"{self._base()}/status", ssl=False) as response:
                status = orjson.loads(await response.read())
        except (aiohttp.ClientError, OSError, TimeoutError, orjson.JSONDecodeError):
            return  # it is being started again, or busy; the worker says what becomes of it
        self._take(status)

    def _base(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._plan.host, self._plan.host)  # noqa: S104
        at = f"[{host}]" if ":" in host else host
        return f"http{'s' if self._plan.tls else ''}://{at}:{self.port}"

    def _take(self, status: dict[str, Any]) -> None:
        now, sent_before = time.monotonic(), self.status.get("frames_sent", 0)
        if self._asked_at:
            new = max(0, status["frames_sent"] - sent_before)  # a new process counts from 0
            self.frames_per_second = new / (now - self._asked_at)
        self._asked_at, self.status = now, status
        if self._is_announced:
            return
        if self.instrument:
            self._is_announced = True
            venue = VENUES[self.exchange](Hub(), Settings())
            lines = venue.addresses(self._plan.host, self.port, tls=self._plan.tls)
            self._say("\n".join(f"{line}  {self.instrument['symbol']}" for line in lines))
        elif self._plan.instrument in status["refused"]:  # it has said why
            self.has_no_form = True
            self.worker.stop()


class Desk:
    """All processes of a plan, from `run` to `stop`."""

    def __init__(self, plan: Plan, exchanges: Sequence[str], say: Say) -> None:
        self.plan = plan
        self._say = say
        self._notices = Notices(plan.notify)
        self.stands = [Stand(exchange, plan, self._notices, say) for exchange in exchanges]
        self.fetch = Worker("fetch", self._fetch, say, ends=True)
        relay = self._notices.relay
        self.others = (
            []
            if relay is None
            else [Worker("notifier", lambda: nullcontext(Command(relay)), say, ends=False)]
        )
        self.began = time.monotonic()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()
        self._end_is_said = False

    @property
    def workers(self) -> list[Worker]:
        """Return all processes."""
        return [*self.others, self.fetch, *(stand.worker for stand in self.stands)]

    def stop(self) -> None:
        """End `run`; from a signal handler too."""
        self._stopped.set()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)

    async def run(self, show: Callable[[], None]) -> int:
        """Run all until `stop`, or until nothing is left to do; return the exit code.

        `show` is called after each look at the processes.
        """
        self._loop = asyncio.get_running_loop()
        keeping = [asyncio.ensure_future(worker.keep()) for worker in self.workers]
        looking = asyncio.ensure_future(self._look_until_the_end(show, keeping))
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait({looking, stopped}, return_when=asyncio.FIRST_COMPLETED)
            return looking.result() if looking.done() else 0
        finally:
            looking.cancel()
            stopped.cancel()
            await asyncio.gather(looking, stopped, return_exceptions=True)
            await end_all(self.workers, keeping)
            self._notices.close()

    async def _look_until_the_end(
        self, show: Callable[[], None], keeping: Sequence[asyncio.Task[None]]
    ) -> int:
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            while (code := self._code_at_the_end()) is None:
                for task in keeping:
                    if task.done():
                        task.result()  # raises what was wrong with the program, if anything
                show()
                await asyncio.sleep(LOOK_SECONDS)
                await asyncio.gather(*(stand.look(http) for stand in self.stands))
        return code

    @contextmanager
    def _fetch(self) -> Iterator[Command]:
        arguments = ["fetch", *self.plan.fetch, "--store", str(self.plan.store)]
        with self._notices.for_writer() as told:
            yield Command([*arguments, *told.arguments], told.descriptors)

    def _code_at_the_end(self) -> int | None:
        """Return the exit code where there is nothing left to run for, None where there is."""
        serving = [stand for stand in self.stands if not stand.worker.is_over]
        if not serving:
            codes = [s.worker.code for s in self.stands if s.worker.state == FAILED]
            return max(filter(None, codes), default=1)
        if self.fetch.state not in (FINISHED, FAILED):
            return None
        failed = self.fetch.state == FAILED
        if failed and self.plan.instrument not in instruments_in(self.plan.store):
            return self.fetch.code or 1
        last_seq = self.fetch.ready.get("last_seq", 1)
        if not (failed or all(stand.has_sent(last_seq) for stand in serving)):
            return None
        if self.plan.exit_at_end:
            return self.fetch.code
        self._say_end(failed=failed)
        return None

    def _say_end(self, *, failed: bool) -> None:
        if self._end_is_said:
            return
        self._end_is_said = True
        what = "fetching has failed" if failed else "all rows are fetched and sent"
        self._say(f"{what}; the last book is served until Ctrl+C")
