"""Run real clients of exchanges against publishers that are fed from a recording.

Every client is a process: it may hang or leak, and says what it sees as lines of JSON.
"""

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.request import urlopen

from places import PROJECT, REAL_DATA
from real_clients import Client
from recorded_books import (
    Comparison,
    RecordedBooks,
    book_rows,
    compare,
    stored_lines,
)

SIMULATOR = (sys.executable, "-m", "simulator")
DEADLINE_SECONDS = 300.0
POLL_SECONDS = "0.01"


class Source(NamedTuple):
    """A recording in the real data, and how many times its pace it is published."""

    file: str
    instrument: str
    speed: float

    @property
    def database(self) -> Path:
        return REAL_DATA / f"{self.file}.db"


@dataclass
class Seen:
    """What a client has said so far, each with the time `at` which it was said."""

    ready: bool = False
    books: list[dict[str, Any]] = field(default_factory=list)
    trades: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def keys(self) -> set[int]:
        return {book["key"] for book in self.books}

    def take(self, line: str) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            self.errors.append(f"printed: {line.strip()}")
            return
        match said["kind"]:
            case "ready":
                self.ready = True
            case "book":
                self.books.append(said)
            case "trade":
                self.trades.append(said)
            case _:
                self.errors.append(said["text"])


class ClientProcess:
    """A client's script while it runs; what it says is read by a thread."""

    def __init__(
        self, client: Client, command: list[str], log: Path, environment: dict[str, str]
    ) -> None:
        self.client, self.seen, self._log = client, Seen(), log
        with log.open("w") as stderr:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.seen.take(line)

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        ended_before = self.has_ended
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        if ended_before or not self.seen.ready:
            tail = self._log.read_text()[-2000:]
            self.seen.errors.append(f"ended with {self._process.returncode}: {tail}")


def wait_for(condition: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> bool:
    """Return whether the condition came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of the project until the block ends."""
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=PROJECT, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def publisher(
    venue: str,
    store: Path,
    instrument: str,
    *options: str,
    certificate: Path | None = None,
    program: Sequence[str] = SIMULATOR,
) -> Iterator[str]:
    """Run a publisher over TLS where there is a certificate, and yield its URL.

    What is in the store of the instrument is there to be had by then.
    """
    port = free_port()
    where = ["--store", str(store), "--host", "127.0.0.1", "--port", str(port)]
    tls = (
        ["--tls-cert", str(certificate), "--tls-key", str(certificate.with_suffix(".key"))]
        if certificate
        else []
    )
    if venue == "binance-usdm":  # the recordings have sizes in base currency
        options = (*options, "--contract-value", f"{instrument}=1")
    command = [*program, "publish", venue, *where, "--poll-seconds", POLL_SECONDS, *tls, *options]
    url = f"{'https' if certificate else 'http'}://127.0.0.1:{port}"
    log = store.parent / f"publisher-{port}.log"
    with running(command, log) as process:

        def has_it_all() -> bool:
            said = status(url, certificate)
            stored = said.get("instruments", {}).get(instrument, {})
            refused = instrument in said.get("refused", {})
            return bool(stored.get("symbol")) or refused or process.poll() is not None

        assert wait_for(has_it_all), log.read_text()
        assert process.poll() is None, log.read_text()
        assert instrument not in status(url, certificate)["refused"], log.read_text()
        yield url


def status(url: str, certificate: Path | None = None) -> dict[str, Any]:
    """Return what a publisher says of itself; nothing while it does not answer."""
    context = ssl.create_default_context(cafile=certificate) if certificate else None
    try:
        with urlopen(f"{url}/status", timeout=5, context=context) as answer:  # noqa: S310
            return dict(json.load(answer))
    except OSError:
        return {}


class Feed:
    """A recording, all of its rows as the fetcher stores them, and a store that grows by them."""

    def __init__(self, source: Source, directory: Path, database: Path | None = None) -> None:
        self.source, self.directory = source, directory
        self.recorded = RecordedBooks(source.database, source.instrument)
        self._data = directory / "data"
        self._data.mkdir()
        (self._data / f"{source.file}.db").symlink_to(database or source.database)
        subprocess.run(
            self._fetch_command(directory / "whole", "max"),
            cwd=PROJECT, check=True, capture_output=True,
        )  # fmt: skip
        self._head, *self._lines = stored_lines(directory / "whole", source.instrument)
        self._books = book_rows(self._lines)
        assert [time for _, time in self._books] == self.recorded.times

    def _fetch_command(self, store: Path, speed: str) -> list[str]:
        days = [datetime.fromtimestamp(self.recorded.times[i] / 1000, UTC) for i in (0, -1)]
        dates = [days[0].date().isoformat(), (days[1] + timedelta(days=1)).date().isoformat()]
        where = ["--data-dir", str(self._data), "--store", str(store), "--speed", speed]
        return [*SIMULATOR, "fetch", self.source.instrument, *dates, *where]

    def begin(self, share: float) -> Path:
        """Return a new store that has the first `share` of the rows: a fetch that was killed."""
        last = self._books[int(share * (len(self._books) - 1))][0]
        store = self.directory / f"from-{share}"
        segment = store / self.source.instrument / f"{1:020d}.jsonl"
        segment.parent.mkdir(parents=True)
        segment.write_bytes(b"\n".join([self._head, *self._lines[:last], b""]))
        return store

    def go_on(self, store: Path) -> list[str]:
        """Return the command that stores the rest at the recording's pace times its speed."""
        return self._fetch_command(store, str(self.source.speed))

    def rows_by_id(self) -> dict[int, list[int]]:
        """Return the row of each id: a publisher's ids are twice the numbers of the stored rows."""
        return {2 * seq: [row] for row, (seq, _) in enumerate(self._books)}

    def row_of(self, fault: dict[str, Any]) -> int:
        """Return the row that a fault has happened to."""
        return self.recorded.rows_at()[fault["stream_ms"]][0]

    def rows_after_reset(self, fault: dict[str, Any]) -> dict[int, list[int]]:
        """Return the rows of each id when ids have begun anew with a row."""
        first = self.row_of(fault)
        gone = 2 * self._books[first][0] - fault["row_id"]
        rows = self.rows_by_id()
        for row, (seq, _) in list(enumerate(self._books))[first:]:
            rows.setdefault(2 * seq - gone, []).append(row)
        return rows

    def compare(
        self, seen: Seen, client: Client, rows: dict[int, list[int]] | None = None
    ) -> Comparison:
        """Hold what a client has seen to the recording, `rows` being those of each update id."""
        if not client.by_id:
            rows = self.recorded.rows_at()
        elif rows is None:
            rows = self.rows_by_id()
        # ccxt gives a book of Kraken no time until the first update after the snapshot.
        keyed = [book for book in seen.books if book["key"] is not None]
        return compare(keyed, self.recorded, rows, client.depth)


class Following:
    """Clients that follow a recording at this moment."""

    def __init__(self, processes: list[ClientProcess], url: str) -> None:
        self.processes, self._url = processes, url

    @property
    def seen(self) -> dict[str, Seen]:
        return {process.client.name: process.seen for process in self.processes}

    def wait_for_all(self, enough: Callable[[Seen], bool]) -> None:
        """Wait until every client has seen enough or has ended; its test finds what is missing."""
        self._wait(lambda process: enough(process.seen))

    def wait_for_books(self) -> None:
        """Wait until every client has seen as many books as it is to be followed for, and more."""
        self._wait(lambda process: len(process.seen.keys) > 1.1 * process.client.least_books)

    def _wait(self, enough: Callable[[ClientProcess], bool]) -> None:
        wait_for(lambda: all(enough(process) or process.has_ended for process in self.processes))

    def faults(self) -> list[dict[str, Any]]:
        """Return the faults that the publisher of the clients without TLS has had so far."""
        happened: list[dict[str, Any]] = status(self._url)["faults"]["happened"]
        return happened


@contextmanager
def following(
    feed: Feed,
    venue: str,
    clients: Iterable[Client],
    share: float,
    *options: str,
    certificate: Path | None = None,
    program: Sequence[str] = SIMULATOR,
) -> Iterator[Following]:
    """Have clients follow a recording from a share of it on, all at once.

    Those with TLS follow a publisher of their own. The recording goes on when all are ready to
    subscribe.
    """
    store, logs = feed.begin(share), feed.directory
    clients = list(clients)
    with ExitStack() as stack:
        urls = {
            tls: stack.enter_context(
                publisher(
                    venue,
                    store,
                    feed.source.instrument,
                    *options,
                    certificate=certificate if tls else None,
                    program=program,
                )
            )
            for tls in {client.tls for client in clients}
        }
        processes = [
            stack.enter_context(
                ClientProcess(
                    client,
                    client.command(urls[client.tls], feed.source.instrument),
                    logs / f"{client.name}-{share}.log",
                    tls_environment(certificate),
                )
            )
            for client in clients
        ]
        run = Following(processes, urls.get(False, ""))
        run.wait_for_all(lambda seen: seen.ready)
        stack.enter_context(running(feed.go_on(store), logs / f"fetch-{share}.log"))
        yield run


def tls_environment(certificate: Path | None) -> dict[str, str]:
    """Return this environment, with the certificate trusted."""
    trusted = {name: str(certificate) for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")}
    return dict(os.environ) | (trusted if certificate else {})


def make_certificate(directory: Path) -> Path:
    """Make a certificate for this machine, signed by itself, and its key beside it."""
    certificate = directory / "local.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    files = ["-keyout", str(certificate.with_suffix(".key")), "-out", str(certificate)]
    subprocess.run(
        [shutil.which("openssl") or "openssl", "req", *kind, "-days", "7", *subject, *files],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate
