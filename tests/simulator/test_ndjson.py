"""`GET /replay` of a real server to a real client: what is in the store, or a broken answer."""

import asyncio
import http.client
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from email.message import Message
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import orjson
import pytest
import zstandard
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import INSTRUMENT, START, batches, content

from simulator import segments
from simulator.ndjson import Replay, parse_time, takes_zstd
from simulator.segments import LIVE, SEALED, first_seqs
from simulator.storage import StoreWriter
from simulator.stored_rows import Fetch

PACKED = {"Accept-Encoding": "gzip, zstd"}
DEADLINE = 30.0


class Answer(NamedTuple):
    status: int
    headers: Message
    body: bytes


class Server:
    """A server of its own, in a thread, that has nothing but `/replay`."""

    def __init__(self, store: Path, stall_seconds: float) -> None:
        self.port = 0
        self.replay: Replay | None = None
        self._store, self._stall_seconds = store, stall_seconds
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._started.wait(DEADLINE)

    async def _serve(self) -> None:
        self.replay = Replay(self._store, stall_seconds=self._stall_seconds)
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        self.replay.add_to(app)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self._started.set()
        await self._end.wait()
        await runner.cleanup()

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(DEADLINE)
        assert not self._thread.is_alive()

    def count(self, name: str) -> int:
        assert self.replay is not None
        return self.replay.counts[name]

    def wait_for(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < until
            time.sleep(0.01)

    def ask(
        self, headers: dict[str, str] | None = None, method: str = "GET", **said: Any
    ) -> Answer:
        named = {name.removesuffix("_"): value for name, value in said.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        with closing(connection):
            connection.request(method, f"/replay?{urlencode(named)}", headers=headers or {})
            with connection.getresponse() as response:
                return Answer(response.status, response.headers, response.read())

    def get(self, headers: dict[str, str] | None = None, **said: Any) -> bytes:
        status, found, body = self.ask(headers, **said)
        assert status == 200, body
        if found["Content-Encoding"] == "zstd":
            assert headers
            return unpacked(body)
        return body

    def refused(self, **said: Any) -> tuple[int, str]:
        answer = self.ask(**said)
        return answer.status, json.loads(answer.body)["error"]

    def stalled(self) -> socket.socket:
        """Ask for everything, and take only the beginning of it."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", self.port))
        client.sendall(b"GET /replay HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
        return client


def assert_broken_off(client: socket.socket) -> bytes:
    """Read on to a broken connection; return what came before it."""
    answer = b""
    try:
        while piece := client.recv(1 << 20):
            answer += piece
    except ConnectionResetError:
        client.close()
        return answer
    pytest.fail("the connection was ended as if the answer were whole")


@contextmanager
def served(store: Path, stall_seconds: float = 300.0) -> Iterator[Server]:
    server = Server(store, stall_seconds)
    try:
        yield server
    finally:
        server.close()


def unpacked(body: bytes) -> bytes:
    return zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True).read()


def write(store: Path, times: list[int], *, instrument: str = INSTRUMENT, levels: int = 3) -> None:
    """Store a fetch of rows, in ms after START."""
    with StoreWriter(store, instrument) as writer:
        number = writer.last_seq
        fetch = Fetch(instrument, "recording", START + number, START + 86_400_000)
        writer.begin(fetch, snapshot=True, shift_ms=7)
        for ms in times:
            number += 1
            writer.append(START + ms, content(number, levels))


def seal_all(store: Path) -> None:
    for first_seq in first_seqs(store / INSTRUMENT, LIVE):
        segments.seal(store / INSTRUMENT, first_seq)


def rows_of(body: bytes) -> list[bytes]:
    return [line for line in body.splitlines() if not line.startswith(b'{"kind":"head"')]


def stored(store: Path, start: int = 0, end: int = 1 << 60) -> list[bytes]:
    found = [line for rows in batches(store) for line in rows.lines]
    return [line for line in found if start <= orjson.loads(line)["ts"] < end]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write sealed segments and a live one, the later fetch beginning before the first one ends."""
    store = tmp_path_factory.mktemp("mixed")
    write(store, [n // 3 for n in range(2000)])
    write(store, [400 + n // 50 * 20 for n in range(900)])
    seal_all(store)
    write(store, [500 + n for n in range(1000)])
    return store


@pytest.fixture(scope="module")
def server(mixed: Path) -> Iterator[Server]:
    with served(mixed) as server:
        yield server


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Write more than the buffers of a connection hold."""
    write(tmp_path, list(range(400)), levels=3000)
    seal_all(tmp_path)
    return tmp_path


moments = st.none() | st.integers(-1, 1600).map(lambda ms: START + ms)


@settings(deadline=None)
@given(start=moments, end=moments, packed=st.booleans())
def test_an_answer_has_the_rows_of_the_range_in_the_order_of_the_store(
    mixed: Path, server: Server, start: int | None, end: int | None, packed: bool
) -> None:
    said: dict[str, Any] = {
        name: ms for name, ms in (("from_", start), ("to_", end)) if ms is not None
    }
    if start is not None and end is not None and start >= end:
        assert server.refused(**said)[0] == 400
        return
    found = server.get(PACKED if packed else None, **said)
    assert rows_of(found) == stored(mixed, start or 0, end or 1 << 60)


def test_the_head_of_each_segment_comes_before_its_rows(mixed: Path, server: Server) -> None:
    heads = dict.fromkeys(rows.head.line().rstrip() for rows in batches(mixed))
    for headers in (None, PACKED):
        lines = server.get(headers, from_=START + 550).splitlines()
        assert [line for line in lines if line in heads] == list(heads)
        for head, row in pairwise(lines):
            if head in heads:
                assert orjson.loads(head)["shift_ms"] == 7
                assert orjson.loads(head)["first_seq"] <= orjson.loads(row)["seq"]
        assert lines[0] in heads


def test_zstd_is_sent_as_stored_and_to_those_alone_who_take_it(large: Path) -> None:
    with served(large) as server:
        response = server.ask(PACKED)
        path = segments.segment_path(large / INSTRUMENT, 1, SEALED)
        assert response.body == path.read_bytes()
        assert response.headers["Content-Encoding"] == "zstd"
        assert response.headers["Content-Type"] == "application/x-ndjson"
        for accepted in ("", "gzip, br", "zstd;q=0", "*"):
            response = server.ask({"Accept-Encoding": accepted})
            assert response.headers["Content-Encoding"] is None
            assert response.headers["Vary"] == "Accept-Encoding"
            assert response.body == unpacked(path.read_bytes())


def test_an_accepted_encoding_is_read_as_http_has_it() -> None:
    for accepted in ("zstd", "gzip, ZSTD", "zstd;q=0.5", "br , zstd ; q=1.0", "zstd;q=0.001"):
        assert takes_zstd(accepted)
    for accepted in ("", "gzip", "zstd;q=0", "zstd; q = 0.000", "xzstd", "*", "identity"):
        assert not takes_zstd(accepted)


def test_an_empty_range_is_an_empty_answer(server: Server) -> None:
    for headers in (None, PACKED):
        response = server.ask(headers, from_=START + 9_000_000)
        assert (response.status, response.body) == (200, b"")
        assert response.headers["Content-Encoding"] is None


# -- what is asked for


def test_times_are_read_as_everywhere_and_rounded_up_to_ms() -> None:
    assert [
        parse_time("from", text)
        for text in (
            "2025-06-09", "20250609", "2025-06-09T00:00:00Z", "2025-06-09T02:00+02:00",
            str(START), f"{START}000", str(START // 1000), "0", "2025-06-09T00:00:00.000001",
            f"{START}000001",
        )
    ] == [START] * 7 + [0, START + 1, START + 1]  # fmt: skip


def test_what_cannot_be_meant_is_refused_with_a_sentence(server: Server, tmp_path: Path) -> None:
    for said, status, words in (
        ({"from_": "noon"}, 400, "from 'noon' is not a time: it must be a date like 2025-06-09"),
        ({"to_": "2025-13-01"}, 400, "a year has months 01 to 12; found 13"),
        ({"from_": START, "to_": START}, 400, f"from must be before to; found {START} and {START}"),
        ({"form": START}, 400, "takes instrument, from and to, each once; found 'form=174"),
        ({"instrument": "../x"}, 400, "an instrument has only letters"),
        ({"instrument": ""}, 400, "an instrument has only letters"),
        ({"instrument": "BTC-USDC"}, 404, "BTC-USDC is not stored here; there is BTC-USDT"),
    ):
        found = server.refused(**said)
        assert found[0] == status, said
        assert words in found[1]
    with served(tmp_path / "none") as empty:
        assert empty.refused() == (
            404, "nothing is stored here yet; ask again when a fetch has begun",
        )  # fmt: skip
        assert empty.refused(instrument="X")[1] == "X is not stored here; there is nothing yet"


def test_an_instrument_is_named_where_there_are_several(tmp_path: Path) -> None:
    for instrument in (INSTRUMENT, "ETH-USDT"):
        write(tmp_path, [1, 2], instrument=instrument)
    with served(tmp_path) as server:
        status, said = server.refused()
        assert status == 400
        assert said.endswith("say which with instrument=: BTC-USDT, ETH-USDT")
        for instrument in (INSTRUMENT, "ETH-USDT"):
            head = server.get(instrument=instrument).splitlines()[0]
            assert orjson.loads(head)["instrument"] == instrument


# -- a store that is written


@pytest.mark.parametrize("headers", [None, PACKED], ids=["plain", "zstd"])
def test_a_store_that_is_written_and_sealed_all_the_time_loses_and_doubles_no_row(
    tmp_path: Path, headers: dict[str, str] | None
) -> None:
    stop, last = threading.Event(), 0

    def write_on() -> None:
        with StoreWriter(tmp_path, INSTRUMENT, seal_bytes=40_000) as writer:
            fetch = Fetch(INSTRUMENT, "recording", START, START + 86_400_000)
            writer.begin(fetch, snapshot=True, shift_ms=0)
            while not stop.is_set() and writer.last_seq < 200_000:
                writer.append(START + writer.last_seq + 1, content(writer.last_seq + 1))

    thread = threading.Thread(target=write_on)
    thread.start()
    try:
        with served(tmp_path) as server:
            server.wait_for(lambda: len(first_seqs(tmp_path / INSTRUMENT, SEALED)) > 3)
            for turn in range(12):
                first = last // 2 + 1 if turn % 2 else 1
                rows = rows_of(server.get(headers, from_=START + first))
                numbers = [orjson.loads(row)["seq"] for row in rows]
                assert numbers == list(range(first, first + len(rows)))
                assert numbers[-1] >= last
                last = numbers[-1]
    finally:
        stop.set()
        thread.join()


# -- clients that behave badly


@pytest.mark.thorough
def test_clients_that_do_not_read_hold_up_nobody(large: Path) -> None:
    with served(large) as server:
        clients = [server.stalled() for _ in range(20)]
        for headers in (None, PACKED):
            assert rows_of(server.get(headers)) == stored(large)
        for client in clients:
            client.close()


def test_a_client_that_does_not_read_is_closed_and_counted(
    large: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with served(large, stall_seconds=0.2) as server:
        clients = [server.stalled() for _ in range(5)]
        server.wait_for(lambda: server.count("stalled") == 5)
        for client in clients:
            assert_broken_off(client)
        assert server.count("disconnected") == 0
    assert "/replay: took nothing for 0.2 s" in caplog.text
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.thorough
def test_a_client_that_goes_in_the_middle_leaves_nothing_behind(
    large: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with served(large) as server:
        clients = [server.stalled() for _ in range(5)]
        for client in clients:
            client.close()
        server.wait_for(lambda: server.count("disconnected") == 5)
        server.wait_for(lambda: not open_files(large))
        assert rows_of(server.get()) == stored(large)
        replay = server.replay
        server.wait_for(lambda: replay is not None and not replay._open)
    assert not [r for r in caplog.records if r.exc_info and r.levelno > logging.DEBUG]


def open_files(store: Path) -> list[Path]:
    """List what this process has open in a store."""
    links = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return [path for path in links if path.is_relative_to(store)]


def test_the_end_of_the_server_does_not_wait_for_a_client_that_does_not_read(large: Path) -> None:
    with served(large) as server:
        client = server.stalled()
        server.close()
        assert server.count("shutdown") == 1
        assert_broken_off(client)


def test_only_get_is_answered(server: Server) -> None:
    for method in ("HEAD", "POST"):
        assert server.ask(method=method).status == 405


# -- damage


def spoil(store: Path, place: int) -> None:
    """Turn round the bytes of one frame."""
    path = segments.segment_path(store / INSTRUMENT, 1, SEALED)
    offset = segments.Index.read(store / INSTRUMENT, 1).frames[place][2]
    packed = bytearray(path.read_bytes())
    packed[offset : offset + 20] = bytes(20)
    path.write_bytes(packed)


def test_damage_at_the_beginning_is_an_error_and_the_log_says_where(
    large: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(large, 0)
    with served(large) as server:
        assert server.refused() == (
            500, "the store can't be read; the log of this server says where and why",
        )  # fmt: skip
        assert server.count("damaged") == 1
    assert ".jsonl.zst is damaged at byte" in caplog.text


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_damage_in_the_middle_breaks_the_answer_off(
    large: Path, caplog: pytest.LogCaptureFixture, version: str
) -> None:
    spoil(large, 1)
    with served(large) as server, socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(f"GET /replay {version}\r\nHost: localhost\r\n\r\n".encode())
        answer = assert_broken_off(client)
        assert answer.startswith(f"{version} 200".encode())
        assert not answer.endswith(b"\r\n0\r\n\r\n")
        assert server.count("damaged") == 1
    assert "broken off: " in caplog.text
    assert ".jsonl.zst is damaged at byte" in caplog.text
    assert not [record for record in caplog.records if record.exc_info]


def test_damage_of_a_frame_that_is_sent_as_stored_is_seen_by_the_client(large: Path) -> None:
    spoil(large, 1)
    with served(large) as server, pytest.raises(zstandard.ZstdError):
        server.get(PACKED)
