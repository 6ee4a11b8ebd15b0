import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from kraken_follower import KrakenFollower, Top
from publishers import Desk, desk, received
from stores import FETCH

from simulator.venue import Settings

SYMBOLS = {1: "XBT/USDT", 2: "BTC/USDT"}
PATHS = {1: "/", 2: "/v2"}
BIDS = [("100.0", "1"), ("99.5", "2")]
ASKS = [("100.5", "3")]


def ask(channel: str = "book", symbol: str = "BTC/USDT", **params: Any) -> str:
    params = {"channel": channel, "symbol": [symbol], **params}
    return orjson.dumps({"method": "subscribe", "params": params, "req_id": 7}).decode()


def leave(channel: str = "book", symbol: str = "BTC/USDT", **params: Any) -> str:
    return ask(channel, symbol, **params).replace('"subscribe"', '"unsubscribe"')


def ask_v1(name: str = "book", pair: str = "XBT/USDT", event: str = "subscribe", **of: Any) -> str:
    fields = {"event": event, "pair": [pair], "subscription": {"name": name, **of}, "reqid": 7}
    return orjson.dumps(fields).decode()


async def greeted(here: Desk, path: str = "/v2") -> ClientWebSocketResponse:
    socket = await here.connect(path)
    await received(socket)
    return socket


async def subscribed(
    here: Desk, request: str, answers: int = 2, path: str = "/v2"
) -> ClientWebSocketResponse:
    socket = await greeted(here, path)
    await socket.send_str(request)
    await received(socket, answers)
    return socket


def run(test: Callable[[Desk], Awaitable[None]], store: Path, **settings: Any) -> None:
    async def within() -> None:
        async with desk("kraken", store, **settings) as here:
            await here.book(0, BIDS, ASKS, snapshot=True)
            await test(here)

    asyncio.run(within())


async def status(here: Desk) -> Any:
    return orjson.loads((await here.get("/status"))[1])


def test_the_status_comes_first_then_the_ack_then_the_snapshot_then_updates(
    tmp_path: Path,
) -> None:
    async def test(here: Desk) -> None:
        socket = await here.connect("/v2")
        (hello,) = await received(socket)
        assert (hello["channel"], hello["data"][0]["system"]) == ("status", "online")
        await socket.send_str(ask(depth=25))
        ack, snapshot = await received(socket, 2)
        times = {"time_in": ack["time_in"], "time_out": ack["time_out"]}
        assert ack == {
            "method": "subscribe", "success": True, "req_id": 7, **times,
            "result": {"channel": "book", "depth": 25, "snapshot": True, "symbol": "BTC/USDT"},
        }  # fmt: skip
        assert snapshot["type"] == "snapshot"
        await here.book(100, [("100.0", "0"), ("99.9", "4")], [])
        update = await socket.receive_str(timeout=20)
        assert update.startswith(
            '{"channel":"book","type":"update","data":[{"symbol":"BTC/USDT",'
            '"bids":[{"price":100.0,"qty":0.00000000},{"price":99.9,"qty":4.00000000}],"asks":[],'
        )
        assert update.endswith('"timestamp":"2025-06-09T00:00:00.100000Z"}]}')

    run(test, tmp_path)


def test_v1_greets_acks_and_sends_its_arrays(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await here.connect("/ws")
        (hello,) = await received(socket)
        assert (hello["event"], hello["status"]) == ("systemStatus", "online")
        await socket.send_str(ask_v1())
        ack, snapshot = await received(socket, 2)
        number = ack["channelID"]
        assert ack == {
            "channelID": number, "channelName": "book-10", "event": "subscriptionStatus",
            "pair": "XBT/USDT", "reqid": 7, "status": "subscribed",
            "subscription": {"depth": 10, "name": "book"},
        }  # fmt: skip
        assert snapshot == [
            number,
            {
                "as": [["100.50000", "3.00000000", "1749427200.000000"]],
                "bs": [
                    ["100.00000", "1.00000000", "1749427200.000000"],
                    ["99.50000", "2.00000000", "1749427200.000000"],
                ],
            },
            "book-10",
            "XBT/USDT",
        ]
        await here.book(100, [("99.5", "0")], [("100.5", "4")])
        (update,) = await received(socket)
        assert [list(part) for part in update[1:-2]] == [["a"], ["b", "c"]]

    run(test, tmp_path)


def test_a_v1_channel_of_a_pair_has_one_number_whoever_asks(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        numbers = []
        for depth in (10, 25, 10):
            socket = await greeted(here, "/")
            await socket.send_str(ask_v1(depth=depth))
            numbers.append((await received(socket, 2))[0]["channelID"])
        assert numbers[0] == numbers[2] != numbers[1]

    run(test, tmp_path)


@pytest.mark.parametrize("path", ["/v2", "/"])
def test_subscribing_twice_is_one_subscription_and_disturbs_nothing(
    tmp_path: Path, path: str
) -> None:
    async def test(here: Desk) -> None:
        request = ask() if path == "/v2" else ask_v1()
        socket = await subscribed(here, request, path=path)
        await socket.send_str(request)
        (no,) = await received(socket)
        assert "Already subscribed" in (no.get("error"), no.get("errorMessage"))
        assert 7 in (no.get("req_id"), no.get("reqid"))
        await here.book(100, [("100.0", "5")])
        await here.book(200, [("100.0", "6")])
        for size in ("5.00000000", "6.00000000"):
            assert size in await socket.receive_str(timeout=20)

    run(test, tmp_path)


def test_one_client_may_follow_two_depths_and_leave_one_of_them(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        levels = [(f"{90 - n}.0", "1") for n in range(20)]
        await here.book(50, levels)
        socket = await subscribed(here, ask(depth=10))
        await socket.send_str(ask(depth=25))
        _, snapshot = await received(socket, 2)
        assert len(snapshot["data"][0]["bids"]) == 22
        await here.book(100, [("90.0", "2")])
        await here.book(200, [("72.0", "2")])
        both = [await received(socket) for _ in range(3)]
        assert [frame["data"][0]["bids"][0]["price"] for (frame,) in both] == [90, 90, 72]
        await socket.send_str(leave(depth=10))
        (ack,) = await received(socket)
        assert (ack["method"], ack["success"], ack["result"]["depth"]) == ("unsubscribe", True, 10)
        await here.book(300, [("90.0", "3")])
        await here.book(400, [("90.0", "4")])
        sizes = [frame["data"][0]["bids"][0]["qty"] for frame in await received(socket, 2)]
        assert sizes == [3, 4]

    run(test, tmp_path)


def test_a_v1_client_that_has_unsubscribed_gets_no_more(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await subscribed(here, ask_v1(), path="/")
        await socket.send_str(ask_v1(event="unsubscribe"))
        assert (await received(socket))[0]["status"] == "unsubscribed"
        await here.book(100, [("100.0", "5")])
        await socket.send_str('{"event":"ping"}')
        assert await received(socket) == [{"event": "pong"}]

    run(test, tmp_path)


def test_without_a_snapshot_the_updates_alone_are_sent(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await greeted(here)
        await socket.send_str(ask(snapshot=False))
        (ack,) = await received(socket)
        assert ack["result"]["snapshot"] is False
        await here.book(100, [("100.0", "5")])
        (update,) = await received(socket)
        assert (update["type"], len(update["data"][0]["bids"])) == ("update", 1)

    run(test, tmp_path)


def test_one_who_subscribes_before_the_first_book_gets_it_when_it_comes(tmp_path: Path) -> None:
    async def within() -> None:
        async with desk("kraken", tmp_path) as here:
            await here.trade(0, "1", 1.0, 1.0, "buy")
            socket = await subscribed(here, ask(), 1)
            await here.book(100, [("100.25", "1")], [("101", "1")], snapshot=True)
            await here.book(200, [("100.25", "9")])
            first, second = await received(socket, 2)
            assert (first["type"], second["type"]) == ("snapshot", "update")
            assert second["data"][0]["bids"] == [{"price": 100.25, "qty": 9}]
            counts = (await status(here))["instruments"]["BTC-USDT"]["counts"]
            assert "decimals_beyond_scale" not in counts

    asyncio.run(within())


@pytest.mark.parametrize("version", [1, 2])
def test_a_late_joiner_gets_the_book_of_this_moment(tmp_path: Path, version: int) -> None:
    async def test(here: Desk) -> None:
        followers = []
        for size in range(3):
            socket = await greeted(here, PATHS[version])
            followers.append(KrakenFollower(socket, SYMBOLS[version], 10, version=version))
            await followers[-1].subscribe()
            await here.book(100 + size, [("100.0", f"{5 + size}")])
            for follower in followers:
                await follower.catch_up()
                assert follower.book()[0][0] == (Decimal(100), Decimal(5 + size))
                assert follower.book() == followers[0].book()
                assert all(follower.checked)
        late = KrakenFollower(
            await greeted(here, PATHS[version]), SYMBOLS[version], 10, version=version
        )
        await late.subscribe()
        assert late.book() == followers[0].book()

    run(test, tmp_path)


def test_what_changes_nothing_within_the_depth_is_not_sent(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        await here.book(50, [(f"{90 - n}.0", "1") for n in range(20)])
        socket = await subscribed(here, ask(depth=10))
        await here.book(100, [("75.0", "2")])
        await here.book(200, [("100.0", "1")])
        await here.book(300)
        await here.book(400, [("100.0", "8")])
        (frame,) = await received(socket)
        assert frame["data"][0]["bids"] == [{"price": 100, "qty": 8}]

    run(test, tmp_path)


def test_rows_that_were_lost_leave_no_trace_in_the_stream_but_are_counted(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await greeted(here)
        follower = KrakenFollower(socket, "BTC/USDT", 10, version=2)
        await follower.subscribe()
        await here.book(100, [("100.0", "5")], lost=[("sequence_gaps", 3, 0)])
        await follower.catch_up()
        assert follower.checked == [True, True]
        counts = (await status(here))["instruments"]["BTC-USDT"]["counts"]
        assert counts["lost_rows"] == 3

    run(test, tmp_path)


def test_a_fault_makes_the_checksum_of_one_row_wrong(tmp_path: Path) -> None:
    wrong = Settings()

    async def test(here: Desk) -> None:
        followers = []
        for version in (1, 2):
            socket = await greeted(here, PATHS[version])
            followers.append(KrakenFollower(socket, SYMBOLS[version], 10, version=version))
            await followers[-1].subscribe()
        await here.book(100, [("100.0", "5")])
        wrong.bad_checksum = True
        await here.book(200, [("100.0", "6")])
        wrong.bad_checksum = False
        await here.book(300, [("100.0", "7")])
        for follower in followers:
            await follower.catch_up()
            assert follower.checked[-3:] == [True, False, True]

    run(test, tmp_path, settings=wrong)


def test_trades_have_integers_as_ids_on_v2_and_none_on_v1(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        new = await subscribed(here, ask("trade"), 1)
        old = await subscribed(here, ask_v1("trade"), 1, "/")
        await here.trade(1, "17", 100.5, 0.1, "buy")
        await here.trade(2, "a-18", 100.0, 0.2, "sell")
        await here.trade(3, "19", 100.0, 0.00001, "sell")
        first, second = [frame["data"][0] for frame in await received(new, 2)]
        assert first == {
            "symbol": "BTC/USDT", "side": "buy", "price": 100.5, "qty": 0.1,
            "ord_type": "market", "trade_id": 17, "timestamp": "2025-06-09T00:00:00.001000Z",
        }  # fmt: skip
        assert (second["trade_id"], second["qty"]) == (19, 0.00001)
        trades = [frame[1][0] for frame in await received(old, 3)]
        assert [trade[3] for trade in trades] == ["b", "s", "s"]
        assert trades[1][:2] == ["100.00000", "0.20000000"]
        counts = (await status(here))["instruments"]["BTC-USDT"]["counts"]
        assert counts["trades_unmappable"] == 1

    run(test, tmp_path)


def test_the_last_trades_are_sent_to_v1_clients_and_on_v2_on_request(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        for number in range(60):
            await here.trade(number, str(number), 100.0, 1.0, "buy")
        await here.trade(60, "x", 100.0, 1.0, "buy")
        socket = await greeted(here)
        await socket.send_str(ask("trade", snapshot=True))
        _, snapshot = await received(socket, 2)
        assert snapshot["type"] == "snapshot"
        assert [trade["trade_id"] for trade in snapshot["data"]] == list(range(10, 60))
        socket = await greeted(here, "/")
        await socket.send_str(ask_v1("trade"))
        _, (_, trades, *_) = await received(socket, 2)
        assert len(trades) == 50

    run(test, tmp_path)


def test_a_heartbeat_is_sent_each_second_in_which_nothing_else_was(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        venue = here.publisher.venue
        idle = await greeted(here)
        new, old = await subscribed(here, ask()), await subscribed(here, ask_v1(), path="/")
        venue.second()
        venue.second()
        await here.book(100, [("100.0", "5")])
        venue.second()
        venue.second()
        kinds = [frame.get("channel") for frame in await received(new, 3)]
        assert kinds == ["heartbeat", "book", "heartbeat"]
        beat, _, again = await received(old, 3)
        assert beat == again == {"event": "heartbeat"}
        await idle.send_str('{"method":"ping"}')
        (pong,) = await received(idle)
        assert (pong["method"], "req_id" in pong) == ("pong", False)

    run(test, tmp_path)


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (ask(symbol="XBT/USDT"), "Currency pair not supported XBT/USDT"),
        (leave(symbol="NO/SUCH"), "Currency pair not supported NO/SUCH"),
        (ask("ticker"), "Subscription name invalid"),
        (ask(depth=50), "Subscription depth not supported"),
        ('{"method":"login"}', "Unsupported event"),
        ('{"method":"subscribe","params":{"channel":"book","symbol":"A/B"}}',
         "Symbol field must be an array"),
        ("{", "Malformed request"),
        (b"\x00\xff", "Malformed request"),
        ("x" * 100_000, "Malformed request"),
    ],
)  # fmt: skip
def test_what_v2_refuses_gets_its_error_and_the_socket_stays(
    tmp_path: Path, frame: str | bytes, text: str
) -> None:
    async def test(here: Desk) -> None:
        socket = await greeted(here)
        await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))
        (error,) = await received(socket)
        assert (error["error"], error["success"]) == (text, False)
        await socket.send_str('{"method":"ping","req_id":3}')
        assert (await received(socket))[0]["req_id"] == 3

    run(test, tmp_path)


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (ask_v1(pair="BTC/USDT"), "Currency pair not supported BTC/USDT"),
        (ask_v1(pair="NO/SUCH", event="unsubscribe"), "Currency pair not supported NO/SUCH"),
        (ask_v1("spread"), "Subscription name invalid"),
        (ask_v1(depth=50), "Subscription depth not supported"),
        ("[]", "Malformed request"),
        (b"\x00\xff", "Malformed request"),
    ],
)
def test_what_v1_refuses_gets_its_error_and_the_socket_stays(
    tmp_path: Path, frame: str | bytes, text: str
) -> None:
    async def test(here: Desk) -> None:
        socket = await greeted(here, "/")
        await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))
        (error,) = await received(socket)
        assert (error["errorMessage"], error["status"]) == (text, "error")
        await socket.send_str('{"event":"ping","reqid":3}')
        assert await received(socket) == [{"event": "pong", "reqid": 3}]

    run(test, tmp_path)


def test_rest_has_pairs_assets_time_status_and_the_book(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        async def result(path: str) -> Any:
            said = orjson.loads((await here.get(f"/0/public/{path}"))[1])
            return said.get("result", said["error"])

        pairs = await result("AssetPairs?pair=BTC/USDT")
        assert list(pairs) == ["BTC/USDT"]
        assert (pairs["BTC/USDT"]["pair_decimals"], pairs["BTC/USDT"]["lot_decimals"]) == (1, 8)
        assert (await result("AssetPairs"))["XBTUSDT"]["wsname"] == "XBT/USDT"
        assert await result("AssetPairs?pair=NO/SUCH") == ["EQuery:Unknown asset pair"]
        assert set(await result("Assets")) == {"XXBT", "USDT"}
        assert (await result("SystemStatus"))["status"] == "online"
        assert (await result("Time"))["unixtime"] > 0
        book = (await result("Depth?pair=XBTUSDT&count=1"))["XBTUSDT"]
        assert book["bids"] == [["100.00000", "1.00000000", 1_749_427_200]]
        assert await result("Depth?pair=NO/SUCH") == ["EQuery:Unknown asset pair"]
        assert await result("Depth?pair=XBTUSDT&count=0") == ["EGeneral:Invalid arguments"]

    run(test, tmp_path)


def test_more_decimals_than_were_seen_close_who_follows_and_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(here: Desk) -> None:
        follows, idle = await subscribed(here, ask()), await greeted(here)
        await here.book(100, [("99.25", "0.0000000001")])
        message = await follows.receive(timeout=20)
        assert message.type is WSMsgType.CLOSE
        reason = str(message.extra)
        assert "2 decimals of prices and 10 of sizes now, 1 and 8 before" in reason
        await idle.send_str('{"method":"ping"}')
        assert (await received(idle))[0]["method"] == "pong"
        await here.book(200, [("99.125", "1")])
        follower = KrakenFollower(await greeted(here), "BTC/USDT", 10, version=2)
        await follower.subscribe()
        await here.book(300, [("99.5", "7")])
        await follower.catch_up()
        assert follower.checked == [True, True]
        pairs = orjson.loads((await here.get("/0/public/AssetPairs?pair=BTC/USDT"))[1])["result"]
        assert pairs["BTC/USDT"]["pair_decimals"] == 3
        said = await status(here)
        assert said["instruments"]["BTC-USDT"]["counts"]["decimals_beyond_scale"] == 2
        assert said["clients_closed"] == {"decimals": 1}

    run(test, tmp_path)
    assert caplog.text.count("clients are closed: BTC/USDT has") == 1


def test_an_instrument_that_is_gone_is_refused_until_it_is_taken_in_again(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await subscribed(here, ask(depth=25))
        venue, market = here.publisher.venue, here.publisher.markets["BTC-USDT"]
        venue.remove(market)
        await socket.send_str(ask(depth=10))
        assert (await received(socket))[0]["error"] == "Currency pair not supported BTC/USDT"
        assert orjson.loads((await here.get("/0/public/AssetPairs"))[1])["result"] == {}
        venue.add(market)
        again = await subscribed(here, ask(depth=25))
        await here.book(100, [("100.0", "5")])
        assert (await received(again))[0]["data"][0]["bids"] == [{"price": 100, "qty": 5}]

    run(test, tmp_path)


@pytest.mark.parametrize("name", ["BTC-USDT-SWAP", "XBT-USDT"])
def test_what_has_no_name_of_its_own_on_kraken_is_refused_with_a_reason(
    tmp_path: Path, name: str
) -> None:
    async def test(here: Desk) -> None:
        fetch = type(FETCH)(name, "recording", FETCH.start_ms, FETCH.end_ms)
        async with desk("kraken", here.store, fetch=fetch) as other:
            await other.book(0, BIDS, ASKS, snapshot=True)
            said = await status(other)
        assert name in said["refused"][name]
        assert said["instruments"]["BTC-USDT"]["symbol"] == "BTC/USDT"

    run(test, tmp_path)


# Rows are made of few and small draws, so that a failure shrinks to a few of them.
ticks = st.integers(0, 299)
sizes = st.sampled_from(["0", "0", "0.0", "1", "0.125", "70", "3.00000001"])
changes = st.tuples(
    st.just("change"),
    st.lists(st.tuples(st.sampled_from("ba"), ticks, sizes), max_size=8),
)
snapshots = st.tuples(
    st.just("snapshot"),
    st.tuples(st.integers(0, 150), st.integers(-5, 5), st.sampled_from(["1", "2.5"])),
)
sweeps = st.tuples(st.just("sweep"), st.tuples(st.sampled_from("ba"), st.integers(1, 120)))
flips = st.tuples(st.just("flip"), st.sampled_from("ba"))
steps = st.lists(st.one_of(changes, snapshots, sweeps, flips), max_size=10)


def price(tick: int) -> str:
    return f"{85 + tick / 10:.1f}"


class Book:
    """Rows for the store, and the book that they make, by brute force."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[Decimal, Decimal]] = {"b": {}, "a": {}}

    def row(self, kind: str, what: Any) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Apply a step and return the row that says it."""
        if kind == "snapshot":
            count, gap, size = what
            self.sides = {"b": {}, "a": {}}
            levels = [("b", 149 - gap - n, size) for n in range(count)]
            levels += [("a", 150 + n, size) for n in range(count)]
        elif kind == "change":
            levels = what
        elif kind == "sweep":
            side, count = what
            best = sorted(self.sides[side], reverse=side == "b")[:count]
            levels = [(side, round((at - 85) * 10), "0") for at in best]
        else:  # the best level goes to the other side
            best = sorted(self.sides[what], reverse=what == "b")[:1]
            other = "a" if what == "b" else "b"
            levels = [(what, round((at - 85) * 10), "0") for at in best]
            levels += [(other, round((at - 85) * 10), "9") for at in best]
        for side, tick, size in levels:
            self.sides[side].pop(Decimal(price(tick)), None)
            if Decimal(size):
                self.sides[side][Decimal(price(tick))] = Decimal(size)
        bids, asks = (
            [(price(tick), size) for side, tick, size in levels if side == name] for name in "ba"
        )
        return bids, asks

    def top(self, depth: int) -> Top:
        """Return the best levels of each side."""
        bids, asks = self.sides["b"], self.sides["a"]
        return (
            [(at, bids[at]) for at in sorted(bids, reverse=True)[:depth]],
            [(at, asks[at]) for at in sorted(asks)[:depth]],
        )


@given(steps, st.lists(st.integers(0, 10), min_size=4, max_size=4))
@hypothesis_settings(max_examples=25, deadline=None)
def test_clients_that_cut_after_each_level_keep_the_book_and_every_checksum_is_right(
    steps: list[tuple[str, Any]], joins: list[int]
) -> None:
    steps = [("snapshot", (120, 0, "1")), *steps]

    async def within(store: Path) -> None:
        book = Book()
        waiting = list(zip(joins, ((2, 10), (2, 100), (1, 10), (1, 100)), strict=True))
        followers: list[KrakenFollower] = []
        async with desk("kraken", store) as here:
            for number, (kind, what) in enumerate(steps):
                await here.book(number, *book.row(kind, what), snapshot=kind == "snapshot")
                for at, (version, depth) in waiting:
                    if min(at, len(steps) - 1) == number:
                        socket = await here.connect(PATHS[version])
                        follower = KrakenFollower(socket, SYMBOLS[version], depth, version=version)
                        await follower.subscribe()
                        followers.append(follower)
                for follower in followers:
                    await follower.catch_up()
                    assert follower.book() == book.top(follower.depth)
                    assert all(follower.checked)
        assert len(followers) == 4

    with TemporaryDirectory() as directory:
        asyncio.run(within(Path(directory)))


def test_inserts_before_deletes_would_break_a_book_of_ten_levels(tmp_path: Path) -> None:
    async def within() -> None:
        book = Book()
        async with desk("kraken", tmp_path) as here:
            await here.book(0, *book.row("snapshot", (20, 0, "1")), snapshot=True)
            followers = []
            for inserts_first in (False, True):
                socket = await here.connect("/v2")
                follower = KrakenFollower(
                    socket, "BTC/USDT", 10, version=2, inserts_first=inserts_first
                )
                await follower.subscribe()
                followers.append(follower)
            await here.book(1, *book.row("change", [("b", 140, "0"), ("b", 145, "0")]))
            await here.book(2, *book.row("change", [("b", 148, "0"), ("b", 145, "5")]))
            right, wrong = followers
            for follower in followers:
                await follower.catch_up()
            assert right.book() == book.top(10)
            assert all(right.checked)
            assert wrong.book() != book.top(10)
            assert not all(wrong.checked)

    asyncio.run(within())
