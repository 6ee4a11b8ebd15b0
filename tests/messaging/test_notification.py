"""Notices wake readers, and neither a broken channel nor a flood of them hurts anybody."""

import asyncio
import signal
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from notice_brokers import BROKERS, PATIENCE, Broker, needs_redis, running, until

from messaging.notification import Listener, Notifier, _Spell

ALL = [pytest.param(kind, marks=needs_redis if kind == "redis" else ()) for kind in BROKERS]
RETURNING = [param for param in ALL if param.values[0] != "pipe"]  # a pipe dies for good
WITH_PROCESS = [param for param in ALL if param.values[0] in ("zmq", "redis")]


class Toy:
    """A channel in the hands of the test."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.publishing = threading.Semaphore(0)
        self.published = 0
        self.listens = 0
        self.closes = 0
        self.notice: Callable[[], None] | None = None

    def publish(self) -> None:
        self.publishing.release()
        self.gate.wait()
        if self.error:
            raise self.error
        self.published += 1

    def listen(self, notice: Callable[[], None], closing: threading.Event) -> None:
        self.listens += 1
        self.notice = notice
        while not closing.wait(0.005):
            if self.error:
                raise self.error

    def close(self) -> None:
        self.closes += 1


def ring(toy: Toy, times: int = 1) -> None:
    until(lambda: toy.notice is not None)
    assert toy.notice is not None
    for _ in range(times):
        toy.notice()


class TestNotifier:
    def test_calls_while_one_is_being_sent_are_joined_and_the_last_is_not_lost(self) -> None:
        toy = Toy()
        toy.gate.clear()
        with closing(Notifier(toy)) as notifier:
            notifier.notify()
            toy.publishing.acquire()
            for _ in range(1000):
                notifier.notify()
            toy.gate.set()
            until(lambda: toy.published == 2)
            notifier.notify()
            until(lambda: toy.published == 3)

    def test_notify_never_waits_for_the_channel(self) -> None:
        toy = Toy()
        toy.gate.clear()
        notifier = Notifier(toy)
        for _ in range(3):
            notifier.notify()  # would hang here
        assert toy.published == 0
        toy.gate.set()
        notifier.close()

    @pytest.mark.parametrize("error", [OSError("gone"), ValueError("a bug"), RuntimeError()])
    def test_whatever_the_channel_raises_a_notice_waits_until_it_works_again(
        self, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        toy = Toy()
        toy.error = error
        with closing(Notifier(toy, "a toy")) as notifier:
            notifier.notify()
            for _ in range(3):
                assert toy.publishing.acquire(timeout=PATIENCE)
            toy.error = None
            until(lambda: toy.published == 1)
        said = [record.getMessage() for record in caplog.records]
        assert said == [
            f"no notices by a toy ({str(error) or 'RuntimeError'}); "
            "polling goes on, and it is tried again"
        ]
        assert toy.closes >= 3  # before each new try

    def test_a_second_spell_is_said_again(self, caplog: pytest.LogCaptureFixture) -> None:
        toy = Toy()
        with closing(Notifier(toy)) as notifier:
            for spell in range(2):
                toy.error = OSError("gone")
                notifier.notify()
                until(lambda spell=spell: len(caplog.records) == spell + 1)  # type: ignore[misc]
                toy.error = None
                until(lambda spell=spell: toy.published == spell + 1)  # type: ignore[misc]

    def test_close_sends_what_has_just_been_notified(self) -> None:
        toy = Toy()
        notifier = Notifier(toy)
        notifier.notify()
        notifier.close()
        assert toy.published >= 1
        assert toy.closes == 1

    def test_close_of_a_broken_one_ends_it(self) -> None:
        toy = Toy()
        toy.error = OSError("gone")
        notifier = Notifier(toy)
        notifier.notify()
        notifier.close()
        notifier.notify()
        assert "notifier" not in {thread.name for thread in threading.enumerate()}

    def test_without_a_channel_it_does_nothing(self) -> None:
        notifier = Notifier()
        notifier.notify()
        notifier.close()


class TestListener:
    def test_a_flood_while_the_reader_is_busy_is_one_notice_and_one_call_of_the_loop(self) -> None:
        toy = Toy()

        async def read() -> tuple[int, bool, bool]:
            loop = asyncio.get_running_loop()
            calls = []
            call = loop.call_soon_threadsafe
            loop.call_soon_threadsafe = (  # type: ignore[method-assign]
                lambda *given, **named: calls.append(given) or call(*given, **named)  # type: ignore[func-returns-value]
            )
            with closing(Listener(toy)) as listener:
                waiting = asyncio.create_task(listener.wait(PATIENCE))
                await asyncio.sleep(0)  # it waits
                ring(toy, 10_000)  # and the loop is held up
                first = await waiting
                return len(calls), first, await listener.wait(0)

        assert asyncio.run(read()) == (1, True, False)

    def test_notices_before_the_wait_are_one_and_end_the_next_wait_alone(self) -> None:
        toy = Toy()
        with closing(Listener(toy)) as listener:
            ring(toy, 10_000)

            async def waits() -> list[bool]:
                return [await listener.wait(0.01) for _ in range(3)]

            assert asyncio.run(waits()) == [True, False, False]

    def test_the_time_is_over_without_a_notice_and_not_before(self) -> None:
        async def wait() -> float:
            began = time.monotonic()
            assert not await Listener().wait(0.05)
            return time.monotonic() - began

        assert asyncio.run(wait()) >= 0.05

    def test_other_tasks_run_however_often_notices_come(self) -> None:
        toy = Toy()

        async def read() -> int:
            turns = 0

            async def other() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            task = asyncio.create_task(other())
            with closing(Listener(toy)) as listener:
                for _ in range(10):
                    ring(toy)
                    assert await listener.wait(PATIENCE)
            task.cancel()
            return turns

        assert asyncio.run(read()) >= 10

    def test_a_wait_that_is_cancelled_takes_no_notice_with_it(self) -> None:
        toy = Toy()

        async def read() -> bool:
            with closing(Listener(toy)) as listener:
                waiting = asyncio.create_task(listener.wait(PATIENCE))
                await asyncio.sleep(0)
                ring(toy)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                return await listener.wait(0)

        assert asyncio.run(read())

    @pytest.mark.parametrize("error", [OSError("gone"), ValueError("a bug")])
    def test_a_broken_channel_is_waited_out_said_once_and_used_again(
        self, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        toy = Toy()
        toy.error = error

        async def read() -> None:
            with closing(Listener(toy, "a toy")) as listener:
                while toy.listens < 3:
                    assert not await listener.wait(0.01)
                toy.error = None
                while not await listener.wait(0.01):
                    ring(toy)
                ring(toy)
                assert await listener.wait(PATIENCE)

        asyncio.run(read())
        said = [record.getMessage() for record in caplog.records]
        assert said == [f"no notices by a toy ({error}); polling goes on, and it is tried again"]

    def test_pauses_between_the_tries_grow_up_to_a_second(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        toy = Toy()
        toy.error = OSError("gone")
        listener = Listener(toy)
        listener.close()
        pauses: list[float] = []

        def wait(seconds: float) -> bool:
            pauses.append(seconds)
            return len(pauses) > 8

        monkeypatch.setattr(listener._closing, "wait", wait)  # its thread has ended
        monkeypatch.setattr(toy, "listen", lambda *_: toy.publish())
        listener._listen(toy, _Spell("a toy"))
        assert pauses == [0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]

    def test_close_ends_the_thread_and_waiting_goes_on(self) -> None:
        toy = Toy()
        listener = Listener(toy)
        listener.close()
        assert "listener" not in {thread.name for thread in threading.enumerate()}
        assert asyncio.run(listener.wait(0.01)) is False

    def test_a_plain_loop_waits_for_a_notice_or_the_time(self) -> None:
        toy = Toy()
        with closing(Listener(toy)) as listener:
            assert not listener.wait_blocking(0.01)
            threading.Timer(0.05, lambda: ring(toy)).start()
            assert listener.wait_blocking(PATIENCE)
            assert not listener.wait_blocking(0.0)

    def test_idle_is_called_while_a_plain_loop_waits_and_may_end_it(self) -> None:
        class Stop(Exception):  # noqa: N818
            pass

        calls = 0

        def idle() -> None:
            nonlocal calls
            calls += 1
            if calls == 3:
                raise Stop

        with pytest.raises(Stop):
            Listener().wait_blocking(PATIENCE, idle)


@pytest.fixture
def directory() -> Iterator[Path]:
    """Make a directory with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="notices-") as name:
        yield Path(name)


@pytest.fixture
def broker(request: pytest.FixtureRequest, directory: Path) -> Iterator[Broker]:
    with running(request.param, directory) as broker:
        yield broker


def each(kinds: Sequence[object]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("broker", kinds, indirect=True)


async def settle(broker: Broker, notifier: Notifier, listener: Listener) -> None:
    """Notify until both sides are connected, then take what is still on the way."""
    give_up = time.monotonic() + PATIENCE
    noticed = False
    while not noticed:
        assert time.monotonic() < give_up, "no notice ever came"
        broker.write()
        notifier.notify()
        noticed = await listener.wait(0.1)
    while await listener.wait(0.3):
        assert time.monotonic() < give_up


@each(ALL)
def test_a_notice_wakes_a_reader_and_silence_does_not(broker: Broker) -> None:
    async def run() -> None:
        with closing(broker.notifier()) as notifier, closing(broker.listener()) as listener:
            await settle(broker, notifier, listener)
            for _ in range(5):
                waiting = asyncio.create_task(listener.wait(PATIENCE))
                await asyncio.sleep(0.01)
                assert not waiting.done()
                broker.write()
                notifier.notify()
                assert await waiting
                while await listener.wait(0.1):
                    pass

    asyncio.run(run())


@each(ALL)
@pytest.mark.thorough
def test_a_notice_that_comes_right_after_another_wakes_too(broker: Broker) -> None:
    async def run() -> None:
        with closing(broker.notifier()) as notifier, closing(broker.listener()) as listener:
            await settle(broker, notifier, listener)
            for _ in range(500):
                broker.write()
                notifier.notify()
                assert await listener.wait(PATIENCE)

    asyncio.run(run())


@pytest.mark.thorough
@each(RETURNING)
def test_while_the_broker_is_dead_polling_goes_on_and_back_again_it_wakes(broker: Broker) -> None:
    async def run() -> None:
        with closing(broker.notifier()) as notifier, closing(broker.listener()) as listener:
            for _ in range(3):
                await settle(broker, notifier, listener)
                broker.kill()
                while await listener.wait(0.05):  # a last one, or the store's end
                    pass
                for _ in range(50):
                    notifier.notify()
                    assert not await listener.wait(0.01)
                broker.start()
            await settle(broker, notifier, listener)

    asyncio.run(run())


@pytest.mark.thorough
@each(RETURNING)
def test_a_broker_that_is_not_there_yet_is_found_later(broker: Broker) -> None:
    broker.kill()

    async def run() -> None:
        with closing(broker.notifier()) as notifier, closing(broker.listener()) as listener:
            notifier.notify()
            assert not await listener.wait(0.1)
            broker.start()
            await settle(broker, notifier, listener)

    asyncio.run(run())


@pytest.mark.thorough
@each(ALL)
def test_a_flood_costs_a_busy_reader_a_few_wakes_and_no_memory(broker: Broker) -> None:
    flood = 10_000

    async def run() -> tuple[int, int]:
        with closing(broker.notifier()) as notifier, closing(broker.listener()) as listener:
            await settle(broker, notifier, listener)
            tracemalloc.start()
            channel = broker.channel()  # a notifier would join them before they are sent
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(flood):
                broker.write()
                channel.publish()
            grown = tracemalloc.get_traced_memory()[0] - before
            tracemalloc.stop()
            wakes = 0
            while await listener.wait(1.0):
                wakes += 1
            channel.close()
            return wakes, grown

    wakes, grown = asyncio.run(run())
    assert 1 <= wakes <= flood // 50  # joined, by how much depends on the machine's other work
    assert grown < 1_000_000


@pytest.mark.thorough
@each(WITH_PROCESS)
def test_a_broker_that_hangs_holds_up_neither_writer_nor_reader(broker: Broker) -> None:
    async def run() -> None:
        with closing(broker.notifier()) as notifier, closing(broker.listener()) as listener:
            await settle(broker, notifier, listener)
            broker.send_signal(signal.SIGSTOP)
            for _ in range(10_000):  # minutes, if each waited for an answer
                notifier.notify()
            while await listener.wait(0.05):
                pass
            assert not await listener.wait(0.05)
            broker.send_signal(signal.SIGCONT)
            await settle(broker, notifier, listener)

    asyncio.run(run())
