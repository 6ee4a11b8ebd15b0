"""Faults on request: what a client sees of each, and what the log says of it, are the same."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from zlib import crc32

import orjson
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType
from publishers import Desk, desk, received
from stores import START

from exchanges.checksums import okx_checksum
from exchanges.levels import Level
from orderflow.errors import OutputError, UsageError
from simulator.connections import Hub
from simulator.fault_specs import parse_faults
from simulator.faults import make_faults
from simulator.okx_venue import OkxVenue
from simulator.venue import Settings

PATH = "/ws/v5/public"
BIDS, ASKS = [("100.0", "1")], [("100.5", "3")]
Test = Callable[[Desk], Awaitable[None]]


def run(
    test: Test, tmp_path: Path, *faults: str, settings: Settings | None = None
) -> list[dict[str, Any]]:
    """Run a test on a book of row 1, at 0 ms, and return what the log of the faults has."""
    tmp_path.mkdir(exist_ok=True)
    log = tmp_path / "faults.jsonl"

    async def within() -> None:
        store = tmp_path / "store"
        async with desk("okx", store, faults=faults, fault_log=log, settings=settings) as here:
            await here.book(0, BIDS, ASKS, snapshot=True)
            await test(here)
            happened = (await status(here))["happened"]
        assert happened == logged(log)

    asyncio.run(within())
    return logged(log)


def logged(log: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in log.read_bytes().splitlines()]


async def status(here: Desk) -> dict[str, Any]:
    faults: dict[str, Any] = orjson.loads((await here.get("/status"))[1])["faults"]
    return faults


async def follow(here: Desk, channel: str = "books", answers: int = 2) -> ClientWebSocketResponse:
    socket = await here.connect(PATH)
    arg = {"channel": channel, "instId": "BTC-USDT"}
    await socket.send_json({"op": "subscribe", "args": [arg]})
    await received(socket, answers)
    return socket


async def books(here: Desk, sizes: Sequence[int], at: int = 100) -> None:
    """Store rows that each change the best bid's size, 100 ms apart."""
    for number, size in enumerate(sizes):
        await here.book(at + 100 * number, [("100.0", str(size))])


async def data(socket: ClientWebSocketResponse, count: int) -> list[dict[str, Any]]:
    return [frame["data"][0] for frame in await received(socket, count)]


def ids(frames: Sequence[dict[str, Any]]) -> list[tuple[int, int]]:
    return [(frame["prevSeqId"], frame["seqId"]) for frame in frames]


@pytest.mark.parametrize("when", ["+0.1", "#4", "2025-06-09T00:00:00.300"])
def test_the_row_of_a_gap_is_missing_and_the_next_one_names_it(tmp_path: Path, when: str) -> None:
    async def test(here: Desk) -> None:
        sockets = [await follow(here), await follow(here)]
        await books(here, [2, 3, 4, 5])
        seen.extend([ids(await data(socket, 3)) for socket in sockets])

    seen: list[list[tuple[int, int]]] = []
    (entry,) = run(test, tmp_path, f"gap@{when}")
    row = 3 if when == "+0.1" else 4
    assert seen[0] == seen[1] == [(2 * n - 2, 2 * n) for n in (2, 3, 4, 5) if n != row]
    assert entry.items() >= {
        "exchange": "okx", "kind": "gap", "asked": f"gap@{when}", "instrument": "BTC-USDT",
        "row_id": 2 * row, "stream_ms": START + 100 * (row - 1), "clients": 2,
    }.items()  # fmt: skip


def test_a_fault_waits_for_a_row_that_is_sent_to_somebody(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        await books(here, [2, 3])
        assert (await status(here))["waiting"] == ["gap@+0"]
        socket = await follow(here)
        await here.book(400, [("100.0", "3")])  # changes nothing
        await here.trade(450, "1", 100.0, 1.0, "buy")
        await books(here, [4, 5], at=500)
        (frame,) = await data(socket, 1)
        assert frame["prevSeqId"] == frame["seqId"] - 2

    (entry,) = run(test, tmp_path, "gap@+0")
    assert entry["stream_ms"] == START + 500


def test_a_bad_checksum_is_sent_once_with_the_right_levels(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await follow(here)
        await books(here, [2, 3, 4])
        for size, frame in zip("234", await data(socket, 3), strict=True):
            right = okx_checksum([Level("100.0", size)], [Level("100.5", "3")])
            assert frame["bids"][0][1] == size
            if frame["checksum"] != right:
                wrong.append(frame["seqId"])

    wrong: list[int] = []
    checked = Settings(okx_checksums=True)
    (entry,) = run(test, tmp_path, "bad-checksum@#3", settings=checked)
    assert wrong == [entry["row_id"]] == [6]


def test_of_todays_okx_a_bad_checksum_is_one_that_is_not_0(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await follow(here)
        await books(here, [2, 3, 4])
        assert [frame["checksum"] != 0 for frame in await data(socket, 3)] == [False, True, False]

    run(test, tmp_path, "bad-checksum@#3")


def test_a_disconnect_cuts_every_socket_without_a_goodbye(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        sockets = [await follow(here), await follow(here), await here.connect(PATH)]
        await books(here, [2, 3])
        (frame,) = await data(sockets[0], 1)
        assert frame["seqId"] == 4
        await sockets[1].receive_str()
        for socket in sockets:
            assert (await socket.receive(timeout=20)).type == WSMsgType.CLOSED
            assert socket.close_code == 1006
        again = await here.connect(PATH)
        arg = {"channel": "books", "instId": "BTC-USDT"}
        await again.send_json({"op": "subscribe", "args": [arg]})
        (_, snapshot) = await received(again, 2)
        assert snapshot["data"][0]["bids"][0][1] == "3"
        closed = orjson.loads((await here.get("/status"))[1])["clients_closed"]
        assert closed == {"fault": 3}

    (entry,) = run(test, tmp_path, "disconnect@#3")
    assert (entry["clients"], entry["row_id"]) == (3, 6)


def test_a_reset_lets_ids_begin_anew_and_names_the_right_one_before(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await follow(here)
        await books(here, [2, 3, 4, 5])
        assert ids(await data(socket, 4)) == [(2, 4), (4, 6), (6, 2), (2, 4)]
        _, body = await here.get("/api/v5/market/books?instId=BTC-USDT")
        assert orjson.loads(body)["data"][0]["seqId"] == 4

    (entry,) = run(test, tmp_path, "reset@#4")
    assert (entry["row_id"], entry["stream_ms"]) == (2, START + 300)


def test_a_reset_on_a_row_without_a_change_shows_with_the_next_change(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await follow(here)
        await here.book(100, [("100.0", "1")])
        await books(here, [2, 3], at=200)
        assert ids(await data(socket, 2)) == [(2, 4), (4, 6)]

    (entry,) = run(test, tmp_path, "reset@#2")
    assert entry["row_id"] == 4


def test_a_fault_after_a_reset_still_finds_its_row(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await follow(here)
        await books(here, [2, 3, 4, 5])
        assert ids(await data(socket, 3)) == [(2, 4), (4, 2), (4, 6)]

    assert [e["row_id"] for e in run(test, tmp_path, "gap@#4", "reset@#3")] == [2, 4]


def test_all_frames_are_delayed_and_keep_their_order(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await follow(here)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await books(here, range(2, 42))
        sizes = [frame["bids"][0][1] for frame in await data(socket, 40)]
        assert loop.time() - began >= 0.1  # whatever the machine does, no frame leaves sooner
        assert sizes == [str(size) for size in range(2, 42)]

    (entry,) = run(test, tmp_path, "delay:100")
    assert (entry["kind"], entry["asked"]) == ("delay", "delay:100")


def test_acks_are_slow_and_come_before_the_snapshot_all_the_same(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket, gone = await here.connect(PATH), await here.connect(PATH)
        arg = {"channel": "books", "instId": "BTC-USDT"}
        began = asyncio.get_running_loop().time()
        for client in (gone, socket):
            await client.send_json({"op": "subscribe", "args": [arg]})
        await gone.close()
        ack, snapshot = await received(socket, 2)
        assert asyncio.get_running_loop().time() - began >= 0.1
        assert (ack["event"], snapshot["action"]) == ("subscribe", "snapshot")
        here_status = orjson.loads((await here.get("/status"))[1])
        assert list(here_status["subscriptions"].values()) == [1]

    run(test, tmp_path, "slow-ack:100")


def test_what_is_sent_twice_is_what_the_log_says_and_the_same_in_another_run(
    tmp_path: Path,
) -> None:
    async def test(here: Desk) -> None:
        socket = await follow(here)
        await books(here, range(2, 202))
        twice = len((await status(here))["happened"])
        seen = [frame["seqId"] for frame in await data(socket, 200 + twice)]
        repeated.append([a for a, b in pairwise(seen) if a == b])

    repeated: list[list[int]] = []
    rows = [[e["row_id"] for e in run(test, tmp_path / name, "duplicate:0.2")] for name in "ab"]
    assert repeated[0] == rows[0] == rows[1]
    assert 15 < len(rows[0]) < 80


def test_a_frame_that_changes_places_is_in_the_log(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await follow(here)
        await books(here, range(2, 52))
        seen = [frame["seqId"] for frame in await data(socket, 49)]  # the last one may be held
        late.extend([b for a, b in pairwise(seen) if b < a])

    late: list[int] = []
    rows = [entry["row_id"] for entry in run(test, tmp_path, "reorder:0.3")]
    assert late == rows
    assert len(late) > 5


def test_one_who_comes_while_a_frame_is_held_back_does_not_get_it(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        first = await follow(here)
        await here.book(100, [("100.0", "2")])
        second = await follow(here)
        await here.book(200, [("100.0", "3")])
        assert ids(await data(first, 2)) == [(4, 6), (2, 4)]
        assert ids(await data(second, 1)) == [(4, 6)]
        await second.send_str("ping")
        assert await received(second) == ["pong"]

    (entry,) = run(test, tmp_path, "reorder:1")
    assert (entry["row_id"], entry["clients"]) == (4, 1)


def test_one_who_has_left_the_channel_does_not_get_a_frame_that_was_held_back(
    tmp_path: Path,
) -> None:
    async def test(here: Desk) -> None:
        first, second = await follow(here), await follow(here)
        await here.book(100, [("100.0", "2")])
        arg = {"channel": "books", "instId": "BTC-USDT"}
        await second.send_json({"op": "unsubscribe", "args": [arg]})
        await received(second)
        await here.book(200, [("100.0", "3")])
        assert ids(await data(first, 2)) == [(4, 6), (2, 4)]
        await second.send_str("ping")
        assert await received(second) == ["pong"]

    (entry,) = run(test, tmp_path, "reorder:1")
    assert entry["clients"] == 1


def test_one_who_waits_for_the_first_book_gets_it_and_the_fault_comes_after(
    tmp_path: Path,
) -> None:
    async def within() -> None:
        async with desk("okx", tmp_path, faults=["gap@+0"]) as here:
            await here.trade(0, "1", 1.0, 1.0, "buy")
            socket = await follow(here, answers=1)
            await here.book(100, BIDS, ASKS, snapshot=True)
            await books(here, [2, 3], at=200)
            assert ids(await data(socket, 2)) == [(-1, 4), (6, 8)]

    asyncio.run(within())


def test_random_faults_are_the_same_in_another_run(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        for number in range(120):
            if not here.publisher.venue.hub.connections:
                await follow(here)
            await here.book(1000 * (number + 1), [("100.0", str(number + 2))])

    runs = [run(test, tmp_path / f"{n}", f"random:{seed}:10") for n, seed in enumerate((1, 1, 2))]
    facts = [[(e["kind"], e["row_id"], e["stream_ms"]) for e in entries] for entries in runs]
    assert facts[0] == facts[1] != facts[2]
    assert {kind for kind, *_ in facts[0]} == {"gap", "disconnect", "reset"}
    assert 10 < len(facts[0]) < 40


def test_random_faults_that_nobody_would_see_are_passed_over(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        for number in range(60):
            await here.book(1000 * (number + 1), [("100.0", str(number + 2))])
        there = await status(here)
        assert there["passed_over"] > 3
        assert there["waiting"] == []

    assert run(test, tmp_path, "random:1:10") == []


def run_on(exchange: str, test: Test, tmp_path: Path, *faults: str) -> list[dict[str, Any]]:
    """Run a test on another exchange, with a book of 12 levels a side."""
    bids, asks = (
        [(f"{100 - n}.0", "1") for n in range(12)],
        [(f"{101 + n}.0", "1") for n in range(12)],
    )
    log = tmp_path / "faults.jsonl"

    async def within() -> None:
        async with desk(exchange, tmp_path / "store", faults=faults, fault_log=log) as here:
            await here.book(0, bids, asks, snapshot=True)
            await test(here)

    asyncio.run(within())
    return logged(log)


async def kraken_checksums(here: Desk) -> ClientWebSocketResponse:
    socket = await here.connect("/v2")
    params = {"channel": "book", "symbol": ["BTC/USDT"], "depth": 25}
    await socket.send_json({"method": "subscribe", "params": params})
    await received(socket, 3)
    return socket


def kraken_checksum(sizes: dict[str, str]) -> int:
    """Compute Kraken's checksum of the book of `run_on` with other sizes of some bids."""
    ten = [(f"{101 + n}.0", "1") for n in range(10)]
    ten += [(f"{100 - n}.0", sizes.get(f"{100 - n}.0", "1")) for n in range(10)]
    text = "".join(f"{price.replace('.', '')}{size}00000000" for price, size in ten)
    return crc32(text.encode())


def test_kraken_shows_a_gap_by_the_next_checksum_so_it_waits_for_a_row_of_the_best_levels(
    tmp_path: Path,
) -> None:
    async def test(here: Desk) -> None:
        socket = await kraken_checksums(here)
        await here.book(100, [("89.0", "5")])  # the twelfth: no checksum has it
        await here.book(200, [("99.0", "2")])
        await here.book(300, [("98.0", "3")])
        below, after = await data(socket, 2)
        assert below["bids"][0]["price"] == 89
        assert after["bids"][0]["price"] == 98
        assert after["checksum"] == kraken_checksum({"99.0": "2", "98.0": "3"})
        assert after["checksum"] != kraken_checksum({"98.0": "3"})  # what the client has

    (entry,) = run_on("kraken", test, tmp_path, "gap@+0")
    assert entry["stream_ms"] == START + 200


def test_a_bad_checksum_of_kraken_is_one(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        socket = await kraken_checksums(here)
        await here.book(100, [("99.0", "2")])
        await here.book(200, [("99.0", "3")])
        sums = [frame["checksum"] for frame in await data(socket, 2)]
        right = [kraken_checksum({"99.0": size}) for size in "23"]
        assert [a == b for a, b in zip(sums, right, strict=True)] == [False, True]

    (entry,) = run_on("kraken", test, tmp_path, "bad-checksum@+0")
    assert entry["stream_ms"] == START + 100


@pytest.mark.thorough
def test_a_gap_on_binance_is_in_every_stream_of_changes_joined_or_not(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        fast = await here.connect("/ws/btcusdt@depth@100ms")
        slow = await here.connect("/ws/btcusdt@depth")
        await slow.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})
        await received(slow)
        await here.book(100, [("99.0", "2")])
        await here.book(200, [("99.0", "3")])
        (event,) = await received(fast)
        assert (event["U"], event["u"]) == (5, 6)
        await asyncio.sleep(1.5)  # the slow stream would have sent both rows by now
        await here.book(300, [("99.0", "4")])
        (event,) = await received(slow)
        assert (event["U"], event["u"]) == (7, 8)

    (entry,) = run_on("binance", test, tmp_path, "gap@+0")
    assert (entry["row_id"], entry["clients"]) == (4, 2)


def test_one_who_follows_a_joined_stream_alone_is_disconnected_too(tmp_path: Path) -> None:
    async def test(here: Desk) -> None:
        slow = await here.connect("/ws/btcusdt@depth")
        await slow.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})
        await received(slow)
        await here.book(100, [("99.0", "2")])
        assert (await slow.receive(timeout=20)).type == WSMsgType.CLOSED

    (entry,) = run_on("binance", test, tmp_path, "disconnect@+0")
    assert entry["clients"] == 1


@pytest.mark.parametrize("size", ["3", "2"], ids=["a change", "no change"])
def test_a_reset_on_binance_cuts_every_socket_and_ids_begin_anew_for_who_comes_again(
    tmp_path: Path, size: str
) -> None:
    async def test(here: Desk) -> None:
        sockets = [
            await here.connect(f"/ws/btcusdt@{stream}") for stream in ("depth@100ms", "trade")
        ]
        await here.book(100, [("99.0", "2")])
        assert [event["u"] for event in await received(sockets[0])] == [4]
        await here.book(200, [("99.0", size)])
        for socket in sockets:
            assert (await socket.receive(timeout=20)).type == WSMsgType.CLOSED
        again = await here.connect("/ws/btcusdt@depth@100ms")
        snapshot = orjson.loads((await here.get("/api/v3/depth?symbol=BTCUSDT"))[1])
        assert snapshot["lastUpdateId"] == 2
        assert snapshot["bids"][1] == ["99.00000000", f"{size}.00000000"]
        await here.book(300, [("99.0", "4")])
        (event,) = await received(again)
        assert (event["U"], event["u"]) == (3, 4)

    (entry,) = run_on("binance", test, tmp_path, "reset@#3")
    assert (entry["row_id"], entry["clients"]) == (2, 2)


@pytest.mark.parametrize("when", ["2025-06-09", "#1"])
def test_a_fault_of_the_past_is_said_to_never_happen(tmp_path: Path, when: str) -> None:
    async def test(here: Desk) -> None:
        await follow(here)
        await books(here, [2])
        there = await status(here)
        assert there["never"] == [f"gap@{when}"]
        assert there["waiting"] == ["gap@#9"]
        (said,) = here.said
        assert f"gap@{when} never happens: BTC-USDT was past it already" in said

    assert run(test, tmp_path, f"gap@{when}", "gap@#9") == []


@pytest.mark.parametrize(
    ("text", "exchange", "message"),
    [
        ("gap", "okx", "the faults are gap@T"),
        ("gap:5", "okx", "the faults are gap@T"),
        ("flood@+1", "okx", "the faults are gap@T"),
        ("gap@#", "okx", "# is followed by the number of a row; found '#'"),
        ("gap@+x", "okx", "a number from 0 to 1,000,000,000 is wanted; found 'x'"),
        ("gap@noon", "okx", "'noon' is not a time"),
        ("delay:-1", "okx", "a number from 0 to 600,000 is wanted; found '-1'"),
        ("duplicate:nan", "okx", "a number from 0 to 1 is wanted; found 'nan'"),
        ("random:", "okx", "has a seed and a rate above 0"),
        ("random:7:0", "okx", "has a seed and a rate above 0"),
        ("reset@+1", "kraken", "kraken's books have no ids"),
        ("bad-checksum@+1", "binance", "binance sends no checksums"),
    ],
)
def test_what_is_no_fault_is_refused(text: str, exchange: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_faults([text], exchange, checksums=True)
    assert message in str(caught.value)
    assert text in str(caught.value)


def test_random_faults_are_those_that_an_exchange_can_have() -> None:
    def kinds(exchange: str, *, checksums: bool = True) -> set[str]:
        draw = parse_faults(["random:1"], exchange, checksums=checksums).draw
        return set(draw.kinds) if draw else set()

    assert kinds("okx") == {"gap", "bad-checksum", "disconnect", "reset"}
    assert kinds("okx", checksums=False) == {"gap", "disconnect", "reset"}
    assert kinds("binance") == {"gap", "disconnect", "reset"}
    assert kinds("kraken") == {"gap", "bad-checksum", "disconnect"}


def test_without_faults_nothing_stands_between_a_row_and_its_clients(tmp_path: Path) -> None:
    venue = OkxVenue(Hub(), Settings())
    assert make_faults([], venue, None, lambda _: None) is None
    assert venue.hub.deliver == Hub().deliver
    assert venue.hub.make_connection == Hub().make_connection
    with pytest.raises(OutputError, match="cannot be written"):
        make_faults(["gap@+1"], venue, tmp_path, lambda _: None)
