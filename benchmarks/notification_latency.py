"""Measure how long a stored row waits until a reader has noticed it, by each way of notices.

    uv run -m benchmarks.notification_latency --seconds 30 --rate 100

A writer process appends rows of 1.2 kB with the time in them, and notifies after each; a reader
process waits, reads what is there, and takes the time. CPU is what each process takes of a core,
the one between them too, where there is one. All are on one machine, so its load shows.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.task import PROJECT
from messaging.pipes import PipeForwarder
from messaging.specs import open_listener, open_notifier
from messaging.watch import Watch

PAD = b" " * 1180 + b"\n"
END = b"end"


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write(spec: str, store: Path, rate: float, seconds: float, done: Connection) -> None:
    """Append a row each 1 / rate seconds."""
    began_cpu = time.process_time()
    with closing(open_notifier(spec, store)) as notifier:
        descriptor = os.open(store / "live", os.O_WRONLY | os.O_APPEND)
        began = time.monotonic()
        for number in range(int(rate * seconds)):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            os.write(descriptor, b"%d" % time.monotonic_ns() + PAD)
            notifier.notify()
        time.sleep(1.5)  # the last row is noticed before the end is
        os.write(descriptor, END + PAD)
        notifier.notify()
    done.send((time.process_time() - began_cpu) / seconds)


def read(spec: str, store: Path, poll_seconds: float, done: Connection) -> None:
    """Take the time of each row when it is read."""
    waits: list[float] = []
    began, began_cpu = time.monotonic(), time.process_time()

    class Ended(Exception):  # noqa: N818
        pass

    async def follow() -> None:
        with closing(open_listener(spec, store)) as listener, (store / "live").open("rb") as file:

            async def look() -> bool:
                found = False
                while (line := file.readline()).endswith(b"\n"):
                    found = True
                    if line.startswith(END):
                        raise Ended
                    waits.append((time.monotonic_ns() - int(line)) / 1e6)
                file.seek(-len(line), os.SEEK_CUR)
                return found

            await Watch(listener, poll_seconds).run(look)

    try:
        asyncio.run(follow())
    except Ended:
        used = (time.process_time() - began_cpu) / (time.monotonic() - began)
        done.send((waits, used))


@contextmanager
def process(command: list[str], ready: Callable[[], bool]) -> Iterator[int]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        while not ready():
            time.sleep(0.05)
        try:
            yield server.pid
        finally:
            server.kill()


@contextmanager
def way(name: str, folder: Path) -> Iterator[tuple[str, str, int | None]]:
    """Yield the writer's and the reader's text, and the pid between them."""
    with ExitStack() as stack:
        if name == "zmq":
            path = folder / "private" / "notices"
            spec = f"zmq:ipc://{path}"
            command = [sys.executable, "-m", "simulator", "notifier", spec]
            yield spec, spec, stack.enter_context(process(command, path.is_socket))
        elif name == "redis":
            path = folder / "redis.sock"
            command = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", ""]
            server = [*command, "--dir", str(folder)]
            spec = f"redis:unix://{path}"
            yield spec, spec, stack.enter_context(process(server, path.is_socket))
        elif name == "pipe":
            forwarder = stack.enter_context(closing(PipeForwarder()))
            reader = stack.enter_context(forwarder.reader_descriptor())
            yield f"pipe:{forwarder.writer_descriptor}", f"pipe:{reader}", os.getpid()
        else:
            spec = "file" if name == "file" else "none"
            yield spec, spec, None


def measure(name: str, rate: float, seconds: float, poll_seconds: float) -> None:
    # Forked, so that they inherit the pipes' descriptors.
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory(prefix="notices-") as folder_name:
        store = Path(folder_name) / "store"
        store.mkdir()
        (store / "live").touch()
        with way(name, Path(folder_name)) as (writer_spec, reader_spec, between):
            pipes = [context.Pipe() for _ in range(2)]
            reader = context.Process(
                target=read, args=(reader_spec, store, poll_seconds, pipes[0][1])
            )
            reader.start()
            time.sleep(1)
            before = cpu_seconds(between) if between else 0.0
            writer = context.Process(
                target=write, args=(writer_spec, store, rate, seconds, pipes[1][1])
            )
            writer.start()
            waits, reader_cpu = pipes[0][0].recv()
            after = cpu_seconds(between) if between else 0.0
            writer_cpu = pipes[1][0].recv()
            writer.join()
            reader.join()
    waits.sort()
    p50, p99, most = (waits[min(len(waits) - 1, int(q * len(waits)))] for q in (0.5, 0.99, 1))
    shown = f"{name} {poll_seconds:g} s" if name == "poll" else name
    print(f"| {shown} | {p50:.2f} | {p99:.2f} | {most:.1f} | {writer_cpu:.1%} | {reader_cpu:.1%} | "
          f"{(after - before) / seconds:.1%} | {len(waits)} |", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rate", type=float, default=100, help="rows a second")
    options = parser.parse_args()
    os.chdir(PROJECT)
    print(f"{options.rate:g} rows/s for {options.seconds:g} s; times in ms, CPU of one core")
    print("| way | p50 | p99 | most | writer | reader | between | rows |\n" + "|---" * 8 + "|")
    for poll_seconds in (1.0, 0.1):
        measure("poll", options.rate, options.seconds, poll_seconds)
    for name in ("pipe", "file", "zmq", "redis"):
        if name == "redis" and not shutil.which("redis-server"):
            print("redis-server is not installed")
        else:
            measure(name, options.rate, options.seconds, 1.0)


if __name__ == "__main__":
    main()
