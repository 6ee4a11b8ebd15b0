import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientWebSocketResponse
from publishers import Desk, desk, received
from stores import FETCH, START

from exchanges.checksums import okx_checksum
from exchanges.levels import Level
from simulator.venue import Settings

PATH = "/ws/v5/public"
BIDS = [("100.0", "1"), ("99.5", "2", "0", "7")]
ASKS = [("100.5", "3")]


def ask(channel: str, instrument: str = "BTC-USDT", operation: str = "subscribe") -> str:
    arg = {"channel": channel, "instId": instrument}
    return orjson.dumps({"id": "7", "op": operation, "args": [arg]}).decode()


async def subscribed(here: Desk, channel: str, answers: int = 2) -> ClientWebSocketResponse:
    socket = await here.connect(PATH)
    await socket.send_str(ask(channel))
    await received(socket, answers)
    return socket


def run(test: Callable[[Desk], Awaitable[None]], store: Path, **settings: Any) -> None:
    async def within() -> None:
        async with desk("okx", store, **settings) as here:
            await here.book(0, BIDS, ASKS, snapshot=True)
            await test(here)

    asyncio.run(within())


def test_the_ack_comes_before_the_snapshot_and_the_updates_follow_it(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await here.connect(PATH)
        await socket.send_str(ask("books"))
        ack, snapshot = await received(socket, 2)
        assert ack["event"] == "subscribe"
        assert ack["id"] == "7"
        assert snapshot["action"] == "snapshot"
        book = snapshot["data"][0]
        assert book["bids"] == [["100.0", "1", "0", "1"], ["99.5", "2", "0", "7"]]
        assert book["asks"] == [["100.5", "3", "0", "1"]]
        assert (book["seqId"], book["prevSeqId"], book["checksum"]) == (2, -1, 0)
        await here.book(100, [("100.0", "0"), ("99.9", "4")], [])
        (update,) = await received(socket)
        change = update["data"][0]
        assert update["action"] == "update"
        assert change["bids"] == [["100.0", "0", "0", "0"], ["99.9", "4", "0", "1"]]
        assert (change["seqId"], change["prevSeqId"], change["ts"]) == (4, 2, str(START + 100))

    run(test, tmp_path)


def test_a_late_joiner_gets_the_book_of_this_moment(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        first = await subscribed(here, "books")
        await here.book(100, [("100.0", "5")])
        await received(first)
        second = await here.connect(PATH)
        await second.send_str(ask("books"))
        book = (await received(second, 2))[1]["data"][0]
        assert book["bids"][0][:2] == ["100.0", "5"]
        await here.book(200, [("100.0", "6")])
        (one,), (two,) = await received(first), await received(second)
        assert one == two
        assert two["data"][0]["prevSeqId"] == book["seqId"]

    run(test, tmp_path)


def test_subscribing_twice_is_one_subscription(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await subscribed(here, "books")
        await socket.send_str(ask("books"))
        assert (await received(socket))[0]["event"] == "subscribe"
        await here.book(100, [("100.0", "5")])
        await here.book(200, [("100.0", "6")])
        sizes = [frame["data"][0]["bids"][0][1] for frame in await received(socket, 2)]
        assert sizes == ["5", "6"]

    run(test, tmp_path)


def test_a_row_after_lost_rows_shows_a_gap_and_a_snapshot_makes_up_for_them(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await subscribed(here, "books")
        await here.book(100, [("100.0", "5")], lost=[("sequence_gaps", 1, 0)])
        await here.book(200, [("100.0", "6")], ASKS, snapshot=True, lost=[("rows_late", 1, 0)])
        gap, joined = [frame["data"][0] for frame in await received(socket, 2)]
        assert gap["prevSeqId"] not in (2, gap["seqId"])
        assert joined["prevSeqId"] == gap["seqId"]
        assert joined["bids"] == [["99.5", "0", "0", "0"], ["100.0", "6", "0", "1"]]

    run(test, tmp_path)


def test_what_changes_nothing_within_the_depth_is_not_sent(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await subscribed(here, "books5")
        await here.book(50, [(str(90 + n), "1") for n in range(10)])
        await received(socket)
        await here.book(100, [("90", "2")])
        await here.book(200, [("101", "2")], [("100.5", "0"), ("102", "1")])
        (frame,) = await received(socket)
        assert frame["data"][0]["bids"][0][:2] == ["101", "2"]
        assert len(frame["data"][0]["bids"]) == 5
        assert "action" not in frame

    run(test, tmp_path)


def test_trades_go_out_and_those_without_a_side_are_counted(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await subscribed(here, "trades", 1)
        await here.trade(1, "17", 100.5, 0.1, "buy")
        await here.trade(2, "18", 100.5, 0.1, None)
        await here.trade(3, "19", 100.0, 0.00001, "sell")
        first, second = [frame["data"][0] for frame in await received(socket, 2)]
        assert first == {
            "instId": "BTC-USDT", "tradeId": "17", "px": "100.5", "sz": "0.1", "side": "buy",
            "ts": str(START + 1), "count": "1", "seqId": 4,
        }  # fmt: skip
        assert (second["tradeId"], second["sz"]) == ("19", "0.00001")
        status = orjson.loads((await here.get("/status"))[1])
        assert status["instruments"]["BTC-USDT"]["counts"]["trades_without_side"] == 1

    run(test, tmp_path)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (ask("books", "NO-SUCH"), "60018"),
        (ask("candle1m"), "60018"),
        (ask("books-l2-tbt"), "60011"),
        ("{", "60012"),
        (b"\x00\xff", "60012"),
        ("x" * 100_000, "60012"),
    ],
)
def test_what_okx_refuses_gets_its_error_and_the_socket_stays(
    tmp_path: Path, frame: str | bytes, code: str
) -> None:
    async def test(here: Desk) -> None:
        socket = await here.connect(PATH)
        await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))
        (error,) = await received(socket)
        assert (error["event"], error["code"]) == ("error", code)
        await socket.send_str("ping")
        assert await received(socket) == ["pong"]

    run(test, tmp_path)


def test_more_requests_than_okx_allows_are_refused(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await here.connect(PATH)
        for _ in range(481):
            await socket.send_str(ask("trades"))
        answers = await received(socket, 481)
        assert [a["event"] for a in answers] == ["subscribe"] * 480 + ["error"]
        assert answers[-1]["code"] == "60014"

    run(test, tmp_path)


def test_one_who_subscribes_before_the_first_book_gets_it_when_it_comes(tmp_path: Path) -> None:
    async def within() -> None:
        async with desk("okx", tmp_path) as here:
            await here.trade(0, "1", 1.0, 1.0, "buy")
            socket = await here.connect(PATH)
            await socket.send_str(ask("books"))
            await received(socket)
            await here.book(100, BIDS, ASKS, snapshot=True)
            await here.book(200, [("100.0", "9")])
            first, second = await received(socket, 2)
            assert first["action"] == "snapshot"
            assert second["data"][0]["prevSeqId"] == first["data"][0]["seqId"]

    asyncio.run(within())


def test_a_client_that_has_unsubscribed_gets_no_more(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await subscribed(here, "books")
        await socket.send_str(ask("books", operation="unsubscribe"))
        assert (await received(socket))[0]["event"] == "unsubscribe"
        await here.book(100, [("100.0", "5")])
        await socket.send_str("ping")
        assert await received(socket) == ["pong"]

    run(test, tmp_path)


def test_the_checksum_of_before_june_2026_is_sent_on_request(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await here.connect(PATH)
        await socket.send_str(ask("books"))
        book = (await received(socket, 2))[1]["data"][0]
        bids = [Level("100.0", "1"), Level("99.5", "2")]
        assert book["checksum"] == okx_checksum(bids, [Level("100.5", "3")])

    run(test, tmp_path, settings=Settings(okx_checksums=True))


def test_rest_lists_the_instruments_and_has_the_book(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        _, body = await here.get("/api/v5/public/instruments?instType=SPOT")
        (found,) = orjson.loads(body)["data"]
        assert (found["instId"], found["tickSz"], found["lotSz"]) == ("BTC-USDT", "0.1", "1")
        _, body = await here.get("/api/v5/public/instruments?instType=OPTION&uly=BTC-USD")
        assert orjson.loads(body) == {"code": "0", "msg": "", "data": []}
        _, body = await here.get("/api/v5/market/books?instId=BTC-USDT&sz=1")
        assert orjson.loads(body)["data"][0]["bids"] == [["100.0", "1", "0", "1"]]
        _, body = await here.get("/api/v5/market/books?instId=NO-SUCH")
        assert orjson.loads(body)["code"] == "51001"

    run(test, tmp_path)


def test_a_request_for_another_host_is_refused(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        path = "/api/v5/public/instruments?instType=SPOT"
        assert (await here.get(path, headers={"Host": "evil.example"}))[0] == 421
        assert (await here.get(path, headers={"Host": "www.okx.com"}))[0] == 200

    run(test, tmp_path)


def test_an_instrument_whose_name_has_no_form_here_is_refused_alone(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        other = replace(FETCH, instrument="BTCUSDT")
        async with desk("okx", tmp_path, fetch=other) as there:
            await there.book(0, BIDS, ASKS, snapshot=True)
        while await here.publisher.look():
            pass
        _, body = await here.get("/api/v5/public/instruments?instType=SPOT")
        assert [found["instId"] for found in orjson.loads(body)["data"]] == ["BTC-USDT"]
        status = orjson.loads((await here.get("/status"))[1])
        assert "a name is BASE-QUOTE" in status["refused"]["BTCUSDT"]
        _, body = await here.get("/api/v5/market/books?instId=BTCUSDT")
        assert orjson.loads(body)["code"] == "51001"

    run(test, tmp_path)
