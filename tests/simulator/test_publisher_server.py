"""The publisher's server, asked by clients that do not behave."""

import asyncio
import logging
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import orjson
import pytest
from aiohttp import ClientConnectionError, ClientSession, WSMsgType
from publishers import Desk, desk, received
from stores import FETCH, INSTRUMENT, START, content

from orderflow.errors import PortTakenError, UsageError
from simulator import connections, server
from simulator.okx_venue import OkxVenue
from simulator.publisher import Publisher
from simulator.segments import StoreError
from simulator.server import Server, build_app, serving, tls_context
from simulator.storage import StoreWriter
from simulator.stored_rows import book_content
from simulator.venue import Settings
from simulator.venues import new_venue

PATH = "/ws/v5/public"
SUBSCRIBE = '{"op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"}]}'
WIDE = [(f"{100 + n / 100:.2f}", "1.23456789") for n in range(300)]
ANSWERS = [
    b"HTTP/1.0 400 Bad Request\r\n",
    b"HTTP/1.1 405 Method Not Allowed\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n",
]
HANDSHAKE = (
    f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()


def port_of(here: Desk) -> int:
    return int(here.url.rpartition(":")[2])


async def status(here: Desk) -> dict[str, object]:
    found: dict[str, object] = orjson.loads((await here.get("/status"))[1])
    return found


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 300_000])
def test_a_frame_of_any_length_is_read_by_a_client(size: int, tmp_path: Path) -> None:
    async def test() -> None:
        async with desk("okx", tmp_path) as here:
            client = await here.connect(PATH, max_msg_size=1 << 20)
            await client.send_str("ping")
            assert await received(client) == ["pong"]
            (connection,) = here.publisher.venue.hub.connections
            connection.answer(b"x" * size)
            assert await client.receive_str(timeout=20) == "x" * size

    asyncio.run(test())


def test_a_client_that_does_not_read_is_closed_and_nobody_else_misses_a_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST_BEHIND_BYTES", 50_000)

    async def test() -> None:
        async with desk("okx", tmp_path) as here:
            await here.book(0, WIDE, [("200", "1")], snapshot=True)
            stuck = socket.socket()
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.connect(("127.0.0.1", port_of(here)))
            stuck.sendall(HANDSHAKE)
            text = SUBSCRIBE.encode()
            stuck.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
            reader = await here.connect(PATH)
            await reader.send_str(SUBSCRIBE)
            await received(reader, 2)
            hub = here.publisher.venue.hub
            for number in range(1, 2000):
                await here.book(number, [(price, str(number)) for price, _ in WIDE])
                (frame,) = await received(reader)
                assert frame["data"][0]["bids"][0][1] == str(number)
                if hub.closed["slow"]:
                    break
            assert hub.closed == {"slow": 1}
            assert len(hub.connections) == 1
            assert (await status(here))["clients_closed"] == {"slow": 1}
            stuck.close()

    asyncio.run(test())


def test_a_client_that_reads_gets_every_frame_of_a_long_burst(tmp_path: Path) -> None:
    rows = 3_000  # 40 times what a client may leave unread

    async def test() -> None:
        async with desk("okx", tmp_path) as here:
            await here.book(0, WIDE, [("200", "1")], snapshot=True)
            reader = await here.connect(PATH, max_msg_size=1 << 20)
            await reader.send_str(SUBSCRIBE)
            await received(reader, 2)
            for number in range(1, rows):
                changed = [[price, str(number)] for price, _ in WIDE[:150]]
                here.writer.append(here.fetch.start_ms + number, update(changed))
            publishing = asyncio.ensure_future(here.publisher.look())
            for number in range(1, rows):
                (frame,) = await received(reader)
                assert frame["data"][0]["bids"][0][1] == str(number)
            await publishing
            assert not here.publisher.venue.hub.closed

    asyncio.run(test())


def update(bids: list[list[str]]) -> bytes:
    return book_content(orjson.dumps(bids), b"[]", snapshot=False, reliable=True)


def test_connections_without_a_request_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.05)

    async def test() -> None:
        async with desk("okx", tmp_path) as here:
            reader = await here.connect(PATH)
            for begun in (b"", b"GET / HT"):
                stream, writer = await asyncio.open_connection("127.0.0.1", port_of(here))
                writer.write(begun)
                assert await asyncio.wait_for(stream.read(), 20) == b""
                writer.close()
            await reader.send_str("ping")  # it has made its request, and stays
            assert await received(reader) == ["pong"]

    asyncio.run(test())


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00" + bytes(range(256)) + b"\r\n\r\n",
        b"GET /status HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n",
        HANDSHAKE + b"\x81\xff" + (1 << 63).to_bytes(8, "big") + b"\0\0\0\0",
        HANDSHAKE + b"\x83\x82\0\0\0\0hi",
        HANDSHAKE + b"\x81\x82\0\0\0\0\xff\xfe",
        HANDSHAKE + b"\x81\xff" + (10_000_000).to_bytes(8, "big") + b"\0\0\0\0" + b"x" * 200_000,
    ],
    ids=["noise", "long header", "huge body", "huge frame", "opcode 3", "no UTF-8", "10 MB"],
)
def test_what_no_client_sends_ends_in_a_close_and_no_traceback(
    tmp_path: Path, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def test() -> None:
        async with desk("okx", tmp_path) as here:
            stream, writer = await asyncio.open_connection("127.0.0.1", port_of(here))
            writer.write(sent)
            assert await asyncio.wait_for(stream.readline(), 20) in ANSWERS
            writer.close()
            while (await status(here))["clients"]:
                await asyncio.sleep(0.01)

    asyncio.run(test())
    assert [r for r in caplog.records if r.levelno > logging.INFO or r.exc_info] == []


@pytest.mark.thorough
def test_a_client_is_closed_when_neither_side_has_anything_to_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OkxVenue, "silence_seconds", 1.0)

    async def test() -> None:
        async with desk("okx", tmp_path) as here:
            await here.book(0, WIDE, snapshot=True)
            socket_ = await here.connect(PATH)
            await socket_.send_str(SUBSCRIBE)
            await received(socket_, 2)
            for number in range(25):  # it listens, and that is enough
                await here.book(100 + number, [("100", str(number + 1))])
                await received(socket_)
                await asyncio.sleep(0.1)
            assert (await status(here))["clients_closed"] == {}
            assert (await socket_.receive(timeout=20)).type == WSMsgType.CLOSE
            assert socket_.close_code == 4004
            assert (await status(here))["clients_closed"] == {"silent": 1}

    asyncio.run(test())


def test_stopping_says_goodbye_to_the_clients(tmp_path: Path) -> None:
    async def test() -> None:
        publisher = Publisher(new_venue("okx", Settings()), tmp_path)
        ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        found = Server(publisher, "127.0.0.1", 0)
        waiting = asyncio.ensure_future(found.run(lambda _host, port: ready.set_result(port)))
        async with ClientSession() as http:
            socket_ = await http.ws_connect(f"http://127.0.0.1:{await ready}{PATH}")
            found.stop()
            assert (await socket_.receive(timeout=20)).type == WSMsgType.CLOSE
            assert socket_.close_code == 1001
        await waiting

    asyncio.run(test())


def test_nobody_is_let_in_before_what_is_stored_has_been_read(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, INSTRUMENT) as writer:
        writer.begin(FETCH, snapshot=True, shift_ms=0)
        writer.append(START, content(1))
    publisher = Publisher(new_venue("okx", Settings()), tmp_path)
    found = Server(publisher, "127.0.0.1", 0)
    known: list[str] = []

    def ready(_host: str, _port: int) -> None:
        known.extend(publisher.symbols)
        found.stop()

    asyncio.run(found.run(ready))
    assert known == [INSTRUMENT]


def test_a_taken_port_is_said_with_its_number(tmp_path: Path) -> None:
    async def test() -> None:
        app = build_app(Publisher(new_venue("okx", Settings()), tmp_path))
        async with serving(app, "127.0.0.1", 0) as port:
            again = build_app(Publisher(new_venue("okx", Settings()), tmp_path))
            with pytest.raises(PortTakenError, match=f"port {port} of 127.0.0.1 is taken"):
                async with serving(again, "127.0.0.1", port):
                    pass

    asyncio.run(test())


def test_half_a_certificate_or_none_is_refused(tmp_path: Path) -> None:
    assert tls_context(None, None) is None
    with pytest.raises(UsageError, match="go together"):
        tls_context(tmp_path / "cert.pem", None)
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("nothing")
    with pytest.raises(UsageError, match="are no certificate"):
        tls_context(tmp_path / "cert.pem", tmp_path / "key.pem")


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_wss_with_a_certificate_of_ones_own(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        [*make, "-keyout", str(key), "-out", str(cert), *names], check=True, capture_output=True
    )

    async def test() -> None:
        app = build_app(Publisher(new_venue("okx", Settings()), tmp_path / "store"))
        trusting = ssl.create_default_context(cafile=str(cert))
        tls = tls_context(cert, key)
        async with serving(app, "127.0.0.1", 0, tls) as port, ClientSession() as http:
            url = f"https://localhost:{port}{PATH}"
            with pytest.raises(ClientConnectionError):
                await http.ws_connect(url)
            secure = await http.ws_connect(url, ssl=trusting)
            await secure.send_str("ping")
            assert await received(secure) == ["pong"]
            await secure.close()

    asyncio.run(test())


@pytest.mark.thorough
def test_a_client_that_only_reads_stays_and_one_on_whom_nothing_goes_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OkxVenue, "silence_seconds", 0.5)

    async def test() -> None:
        async with desk("okx", tmp_path) as here:
            await here.book(0, WIDE, snapshot=True)
            reader, silent = await here.connect(PATH), await here.connect(PATH)
            await reader.send_str(SUBSCRIBE)
            await received(reader, 2)
            for number in range(1, 31):
                await here.book(number, [("100", str(number))])
                await received(reader)
                await asyncio.sleep(0.05)
            assert (await silent.receive(timeout=20)).type == WSMsgType.CLOSE
            assert silent.close_code == 4004
            assert here.publisher.venue.hub.closed == {"silent": 1}
            assert (await reader.receive(timeout=20)).type == WSMsgType.CLOSE
            assert here.publisher.venue.hub.closed == {"silent": 2}

    asyncio.run(test())


def test_a_store_that_is_removed_is_said_and_another_one_is_published(tmp_path: Path) -> None:
    async def test() -> None:
        async with desk("okx", tmp_path / "store") as here:
            await here.book(0, WIDE, snapshot=True)
            reader = await here.connect(PATH)
            await reader.send_str(SUBSCRIBE)
            await received(reader, 2)
            shutil.rmtree(tmp_path / "store")
            await here.publisher.look()
            assert (await reader.receive(timeout=20)).type == WSMsgType.CLOSE
            assert "has been removed" in str((await status(here))["refused"])
            with pytest.raises(StoreError, match="removed while it was written"):
                await here.book(1, WIDE)

    asyncio.run(test())
