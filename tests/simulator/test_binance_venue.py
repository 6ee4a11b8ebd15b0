import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType
from publishers import Desk, desk, received
from stores import FETCH, START

from simulator.publisher import Publisher
from simulator.server import Server
from simulator.venue import Settings
from simulator.venues import new_venue

BIDS = [("100.0", "1"), ("99.5", "2")]
ASKS = [("100.5", "3")]
DEPTH = "btcusdt@depth@100ms"


def ask(method: str, *params: str | bool, request_id: int | str | None = 1) -> str:
    return orjson.dumps({"method": method, "params": params, "id": request_id}).decode()


async def asked(socket: ClientWebSocketResponse, method: str, *params: str | bool) -> Any:
    await socket.send_str(ask(method, *params))
    (answer,) = await received(socket)
    return answer["result"]


def run(test: Callable[[Desk], Awaitable[None]], store: Path, **settings: Any) -> None:
    async def within() -> None:
        async with desk("binance", store, **settings) as here:
            await here.book(0, BIDS, ASKS, snapshot=True)
            await test(here)

    asyncio.run(within())


def run_usdm(
    test: Callable[[Desk], Awaitable[None]], store: Path, contract: str | None = "0.01"
) -> None:
    async def within() -> None:
        fetch = replace(FETCH, instrument="BTC-USDT-SWAP")
        values = {"BTC-USDT-SWAP": contract} if contract else {}
        async with desk("binance-usdm", store, fetch=fetch, contract_values=values) as here:
            await here.book(0, BIDS, ASKS, snapshot=True)
            await test(here)

    asyncio.run(within())


@pytest.mark.parametrize(
    ("path", "wrapped"),
    [
        (f"/ws/{DEPTH}", False),
        (f"/ws/btcusdt@trade/{DEPTH}", False),
        (f"/stream/ws/{DEPTH}", False),
        (f"/stream?streams=btcusdt@trade/{DEPTH}", True),
    ],
)
def test_streams_of_the_url_are_followed_from_the_start(
    tmp_path: Path, path: str, *, wrapped: bool
) -> None:
    async def test(here: Desk) -> None:
        socket = await here.connect(path)
        assert DEPTH in await asked(socket, "LIST_SUBSCRIPTIONS")
        await here.book(100, [("100.0", "0"), ("99.9", "4")])
        (frame,) = await received(socket)
        event = {
            "e": "depthUpdate", "E": START + 100, "s": "BTCUSDT", "U": 3, "u": 4,
            "b": [["100.00000000", "0.00000000"], ["99.90000000", "4.00000000"]], "a": [],
        }  # fmt: skip
        assert frame == ({"stream": DEPTH, "data": event} if wrapped else event)

    run(test, tmp_path)


@pytest.mark.parametrize("path", ["/ws", "/ws/0", "/stream/ws/0", "/stream"])
def test_streams_are_subscribed_to_by_requests_and_ids_come_back_as_sent(
    tmp_path: Path, path: str
) -> None:
    async def test(here: Desk) -> None:
        socket = await here.connect(path)
        for request_id in (7, "0d9f3c1e-6f0e-4b8a-9d8e-1f2a3b4c5d6e", None):
            await socket.send_str(ask("SUBSCRIBE", DEPTH, request_id=request_id))
            assert await received(socket) == [{"result": None, "id": request_id}]
        await here.book(100, [("100.0", "5")])
        await here.book(200, [("100.0", "6")])
        frames = await received(socket, 2)
        events = [frame["data"] if path == "/stream" else frame for frame in frames]
        assert [event["b"][0][1][0] for event in events] == ["5", "6"]  # once, not three times

    run(test, tmp_path)


def test_wrapped_and_raw_clients_get_the_same_events_and_properties_change_the_form(
    tmp_path: Path,
) -> None:
    async def test(here: Desk) -> None:
        raw = await here.connect(f"/ws/{DEPTH}")
        wrapped = await here.connect(f"/stream?streams={DEPTH}")
        assert await asked(raw, "GET_PROPERTY", "combined") is False
        assert await asked(wrapped, "GET_PROPERTY", "combined") is True
        await here.book(100, [("100.0", "5")])
        (event,), (frame,) = await received(raw), await received(wrapped)
        assert frame == {"stream": DEPTH, "data": event}
        assert await asked(raw, "SET_PROPERTY", "combined", True) is None
        await here.book(200, [("100.0", "6")])
        assert await received(raw) == await received(wrapped)

    run(test, tmp_path)


def test_one_who_has_unsubscribed_gets_no_more(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await here.connect(f"/ws/{DEPTH}/btcusdt@nosuch")
        assert await asked(socket, "UNSUBSCRIBE", DEPTH) is None
        await here.book(100, [("100.0", "5")])
        assert await asked(socket, "LIST_SUBSCRIPTIONS") == ["btcusdt@nosuch"]
        assert here.publisher.status()["subscriptions"] == {}

    run(test, tmp_path)


def test_a_symbol_may_be_subscribed_to_before_it_is_there(tmp_path: Path) -> None:
    async def within() -> None:
        async with desk("binance", tmp_path) as here:
            socket = await here.connect(f"/ws/{DEPTH}")
            assert await asked(socket, "LIST_SUBSCRIPTIONS") == [DEPTH]
            await here.book(0, BIDS, ASKS, snapshot=True)
            await here.book(100, [("100.0", "5")])
            (event,) = await received(socket)
            assert (event["U"], event["u"]) == (1, 4)

    asyncio.run(within())


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        ("{", {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}),
        (b"\x00\xff", {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}),
        ("[]", {"code": 2, "msg": "Invalid request: expected an object"}),
        (ask("GET_PROPERTY", "colour"), {"code": 0, "msg": "Unknown property"}),
        (ask("SET_PROPERTY", "colour", True), {"code": 0, "msg": "Unknown property"}),
        (
            ask("SUBSCRIBE", *(f"s{n}@trade" for n in range(1025))),
            {"code": 2, "msg": "Invalid request: too many parameters"},
        ),
    ],
)
def test_what_binance_refuses_gets_its_error_and_the_socket_stays(
    tmp_path: Path, frame: str | bytes, error: dict[str, Any]
) -> None:
    async def test(here: Desk) -> None:
        socket = await here.connect("/ws")
        await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))
        assert (await received(socket))[0]["error"] == error
        assert await asked(socket, "LIST_SUBSCRIPTIONS") == []

    run(test, tmp_path)


def test_a_connection_has_at_most_1024_streams(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await here.connect("/ws")
        await asked(socket, "SUBSCRIBE", *(f"s{n}@trade" for n in range(1000)))
        await socket.send_str(ask("SUBSCRIBE", *(f"t{n}@trade" for n in range(25))))
        (answer,) = await received(socket)
        assert answer == {"error": {"code": 4, "msg": "Too many subscriptions"}, "id": 1}
        assert len(await asked(socket, "LIST_SUBSCRIPTIONS")) == 1000

    run(test, tmp_path)


def test_streams_that_nobody_follows_any_more_are_forgotten(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await here.connect("/ws")
        await asked(socket, "SUBSCRIBE", *(f"s{n}@trade" for n in range(1000)))
        venue = here.publisher.venue
        assert len(venue.topics) == 1000
        await socket.close()
        while here.publisher.status()["clients"]:
            await asyncio.sleep(0.01)
        assert not venue.topics
        assert not vars(venue)["_feeds"]

    run(test, tmp_path)


@pytest.mark.parametrize(("limits", "closed"), [(True, True), (False, False)])
def test_more_messages_a_second_than_allowed_end_the_connection(
    tmp_path: Path, *, limits: bool, closed: bool
) -> None:
    async def test(here: Desk) -> None:
        socket = await here.connect("/ws")
        for _ in range(30):
            await socket.send_str(ask("LIST_SUBSCRIPTIONS"))
        messages = [await socket.receive(timeout=20) for _ in range(6)]
        assert (messages[-1].type is WSMsgType.CLOSE) is closed
        if closed:
            assert (messages[-1].data, messages[-1].extra) == (1008, "Too many requests")
            assert here.publisher.status()["clients_closed"] == {"limit": 1}

    run(test, tmp_path, settings=Settings(limits=limits))


def test_spot_says_that_it_goes_before_it_closes_and_usdm_does_not(tmp_path: Path) -> None:
    async def last_frames(exchange: str) -> list[Any]:
        publisher = Publisher(new_venue(exchange, Settings()), tmp_path)
        server = Server(publisher, "127.0.0.1", 0)
        ports: asyncio.Queue[int] = asyncio.Queue()
        running = asyncio.ensure_future(server.run(lambda _host, port: ports.put_nowait(port)))
        async with ClientSession() as http:
            socket = await http.ws_connect(f"http://127.0.0.1:{await ports.get()}/ws")
            await asked(socket, "LIST_SUBSCRIPTIONS")
            server.stop()
            frames = [message.json() async for message in socket]
            assert socket.close_code == 1001
        await running
        return frames

    (shutdown,) = asyncio.run(last_frames("binance"))
    assert (shutdown["e"], set(shutdown)) == ("serverShutdown", {"e", "E"})
    assert asyncio.run(last_frames("binance-usdm")) == []


def test_pictures_of_the_best_levels_go_out_where_these_change(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await here.connect("/ws/btcusdt@depth5@100ms/btcusdt@bookTicker")
        await asked(socket, "LIST_SUBSCRIPTIONS")
        await here.book(100, [(str(90 + n), "1") for n in range(9)])
        await here.book(200, [("90", "2")])
        await here.book(300, [("98", "2")])
        await here.book(400, [("100.0", "7")])
        pictures = await received(socket, 4)
        assert [len(picture.get("bids", "")) for picture in pictures] == [5, 5, 5, 0]
        assert pictures[1]["bids"][2] == ["98.00000000", "2.00000000"]
        assert pictures[1]["lastUpdateId"] == 8
        assert pictures[3] == {
            "u": 10, "s": "BTCUSDT", "b": "100.00000000", "B": "7.00000000",
            "a": "100.50000000", "A": "3.00000000",
        }  # fmt: skip

    run(test, tmp_path)


def test_slow_pictures_have_the_book_of_the_end_of_the_interval(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await here.connect("/ws/btcusdt@depth5")
        await asked(socket, "LIST_SUBSCRIPTIONS")
        await here.book(100, [("100.0", "5")])
        await here.book(200, [("100.0", "6")])
        (picture,) = await received(socket)
        assert picture["bids"][0] == ["100.00000000", "6.00000000"]
        assert picture["lastUpdateId"] == 6

    run(test, tmp_path)


def test_trades_go_out_and_those_without_an_integer_id_are_counted(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await here.connect("/ws/btcusdt@trade/btcusdt@aggTrade")
        await asked(socket, "LIST_SUBSCRIPTIONS")
        await here.trade(1, "x17", 100.5, 0.1, "buy")
        await here.trade(2, "18", 100.5, 0.25, "sell")
        trade, aggregated = await received(socket, 2)
        assert trade == {
            "e": "trade", "E": START + 2, "s": "BTCUSDT", "t": 18, "p": "100.50000000",
            "q": "0.25000000", "T": START + 2, "m": True, "M": True,
        }  # fmt: skip
        assert (aggregated["e"], aggregated["a"], aggregated["f"]) == ("aggTrade", 18, 18)
        status = here.publisher.status()
        assert status["instruments"]["BTC-USDT"]["counts"]["trades_unmappable"] == 1

    run(test, tmp_path)


def test_usdm_has_sizes_in_base_currency_and_its_own_forms(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await here.connect("/public/ws/btcusdt@depth@100ms/btcusdt@depth5@100ms")
        market = await here.connect("/market/stream?streams=btcusdt@aggTrade/btcusdt@bookTicker")
        for one in (socket, market):
            await asked(one, "LIST_SUBSCRIPTIONS")
        await here.book(100, [("100.0", "12")])
        event, picture = await received(socket, 2)
        assert event == {
            "e": "depthUpdate", "E": START + 100, "T": START + 100, "s": "BTCUSDT",
            "U": 3, "u": 4, "pu": 2, "b": [["100.0", "0.12"]], "a": [],
        }  # fmt: skip
        assert (picture["e"], picture["b"]) == (
            "depthUpdate",
            [["100.0", "0.12"], ["99.5", "0.02"]],
        )
        await here.trade(200, "5", 100.5, 3.0, "buy")
        ticker, trade = [frame["data"] for frame in await received(market, 2)]
        assert (ticker["e"], ticker["B"], ticker["A"]) == ("bookTicker", "0.12", "0.03")
        assert (trade["q"], trade["m"]) == ("0.03", False)
        status, body = await here.get("/fapi/v1/depth?symbol=BTCUSDT&limit=5")
        assert status == 200
        assert orjson.loads(body) == {
            "lastUpdateId": 4, "E": START + 100, "T": START + 100,
            "bids": [["100.0", "0.12"], ["99.5", "0.02"]], "asks": [["100.5", "0.03"]],
        }  # fmt: skip
        (listed,) = orjson.loads((await here.get("/fapi/v1/exchangeInfo"))[1])["symbols"]
        assert (listed["symbol"], listed["contractType"]) == ("BTCUSDT", "PERPETUAL")
        assert listed["filters"][1]["stepSize"] == "0.01"

    run_usdm(test, tmp_path)


def test_usdm_wants_to_know_what_a_contract_is_worth(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        refused = here.publisher.status()["refused"]["BTC-USDT-SWAP"]
        assert "--contract-value BTC-USDT-SWAP=N" in refused
        assert (await here.get("/fapi/v1/depth?symbol=BTCUSDT"))[0] == 400

    run_usdm(test, tmp_path, contract=None)


@pytest.mark.parametrize(
    ("exchange", "instrument"), [("binance", "BTC-USDT-SWAP"), ("binance-usdm", "BTC-USDT")]
)
def test_an_instrument_of_the_other_exchange_is_refused(
    tmp_path: Path, exchange: str, instrument: str
) -> None:
    async def within() -> None:
        fetch = replace(FETCH, instrument=instrument)
        async with desk(exchange, tmp_path, fetch=fetch) as here:
            await here.book(0, BIDS, ASKS, snapshot=True)
            assert "publish it as OKX" in here.publisher.status()["refused"][instrument]

    asyncio.run(within())


def test_rest_has_the_instruments_of_this_exchange_alone(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        symbols = {}
        for root in ("/api/v3", "/fapi/v1", "/dapi/v1"):
            assert (await here.get(f"{root}/ping")) == (200, b"{}")
            assert orjson.loads((await here.get(f"{root}/time"))[1])["serverTime"] > START
            symbols[root] = orjson.loads((await here.get(f"{root}/exchangeInfo"))[1])["symbols"]
        (found,) = symbols["/api/v3"]
        assert symbols["/fapi/v1"] == symbols["/dapi/v1"] == []
        assert found["filters"][0]["tickSize"] == "0.10000000"
        for query in ("symbol=BTCUSDT", 'symbols=["BTCUSDT"]'):
            body = (await here.get(f"/api/v3/exchangeInfo?{query}"))[1]
            assert orjson.loads(body)["symbols"] == [found]

    run(test, tmp_path)


def test_rest_answers_carry_the_used_weight_and_the_date(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        used = []
        for path in ("time", "depth?symbol=BTCUSDT&limit=5000", "depth?symbol=BTCUSDT"):
            async with here.http.get(f"{here.url}/api/v3/{path}") as response:
                used.append(int(response.headers["X-MBX-USED-WEIGHT"]))
                assert parsedate_to_datetime(response.headers["Date"])
        # A minute may end in between, and the count begins anew.
        assert used[1] - used[0] in (250, 250 - used[0])
        assert used[2] - used[1] in (5, 5 - used[1])

    run(test, tmp_path)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/v3/depth", 400, -1102),
        ("/api/v3/depth?symbol=NOSUCH", 400, -1121),
        ("/api/v3/depth?symbol=BTCUSDT&limit=x", 400, -1100),
        ("/api/v3/exchangeInfo?symbol=NOSUCH", 400, -1121),
        ("/api/v3/exchangeInfo?symbols=BTCUSDT", 400, -1100),
        ("/fapi/v1/depth?symbol=BTCUSDT", 400, -1121),
        ("/fapi/v1/nosuch", 404, -5000),
    ],
)
def test_rest_refuses_in_the_words_of_binance(
    tmp_path: Path, path: str, status: int, code: int
) -> None:
    async def test(here: Desk) -> None:
        found, body = await here.get(path)
        assert (found, orjson.loads(body)["code"]) == (status, code)

    run(test, tmp_path)


def test_an_unknown_path_of_spot_is_not_found(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        status, body = await here.get("/api/v3/nosuch")
        assert (status, b"404 Not Found" in body) == (404, True)

    run(test, tmp_path)


def test_more_weight_than_allowed_in_a_minute_is_refused(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        path = "/api/v3/depth?symbol=BTCUSDT&limit=5000"
        answers = [await here.get(path) for _ in range(50)]  # over two minutes at most
        statuses = [status for status, _ in answers]
        assert statuses[:24] == [200] * 24
        assert 429 in statuses
        assert orjson.loads(answers[statuses.index(429)][1])["code"] == -1003

    run(test, tmp_path)
