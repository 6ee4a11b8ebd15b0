import json
import re
from email.utils import formatdate
from typing import Any

import orjson
import pytest
from exchange_samples import (
    kraken_v1_frames,
    kraken_v1_trade_frames,
    kraken_v2_frames,
    needs_samples,
)
from hypothesis import given
from hypothesis import strategies as st

from exchanges import kraken, kraken_rest, kraken_v1
from exchanges.depth import Changes, DepthView, write_sides
from exchanges.kraken import Scale
from exchanges.levels import Level
from exchanges.messages import Acknowledged, BookMessage, Other, Refused, TradeMessage
from exchanges.sequence import KrakenSequence, Step
from exchanges.wire import FrameError, UnmappableError
from orderflow.instruments import Instrument

V2_SCALE = Scale(1, 8)
V1_SCALE = Scale(5, 8)
BTC = Instrument("BTC-USD", "0.1", "0.00000001")
ETH = Instrument("ETH-USDT", "0.01", "0.0001")
NOW = 1690730998343415


@needs_samples
def test_every_recorded_v2_checksum_matches() -> None:
    sequence = KrakenSequence(10, *V2_SCALE)
    messages = [message for frame in kraken_v2_frames() for message in kraken.parse_message(frame)]
    books = [message for message in messages if isinstance(message, BookMessage)]
    assert [sequence.follow(book) for book in books] == [
        Step.START,
        *[Step.NEXT] * (len(books) - 1),
    ]
    assert len(books) == 313


@needs_samples
def test_a_dropped_update_is_a_gap_until_the_next_snapshot() -> None:
    sequence = KrakenSequence(10, *V2_SCALE)
    frames = kraken_v2_frames()
    steps = []
    for frame in (*frames[:2], *frames[3:60], frames[0]):
        (message,) = kraken.parse_message(frame)
        assert isinstance(message, BookMessage)
        steps.append(sequence.follow(message))
    gap = steps.index(Step.GAP)
    assert steps[gap + 1 :] == [*[Step.WAITING] * (len(steps) - gap - 2), Step.START]


@needs_samples
def test_recorded_v2_frames_are_written_again_with_the_same_values() -> None:
    for frame in kraken_v2_frames():
        (message,) = kraken.parse_message(frame)
        assert isinstance(message, BookMessage)
        assert message.checksum is not None
        recorded = json.loads(frame)
        # The snapshot of the recording is older than its `timestamp`.
        recorded["data"][0].setdefault("timestamp", "1970-01-01T00:00:00.000000Z")
        again = kraken.format_book(
            message.symbol,
            write_sides(Changes(message.bids, message.asks), kraken.level_form(V2_SCALE)),
            snapshot=message.snapshot,
            checksum=message.checksum,
            time_us=message.time_us or 0,
        )
        assert json.loads(again) == recorded


@needs_samples
def test_every_recorded_v1_checksum_matches() -> None:
    sequence = KrakenSequence(10, *V1_SCALE)
    messages = [
        message for frame in kraken_v1_frames() for message in kraken_v1.parse_message(frame)
    ]
    books = [message for message in messages if isinstance(message, BookMessage)]
    assert all(book.checksum is not None for book in books[1:])
    assert [sequence.follow(book) for book in books] == [
        Step.START,
        *[Step.NEXT] * (len(books) - 1),
    ]
    assert Other("systemStatus") in messages
    assert Acknowledged("subscribe", "book-10", "XBT/USD") in messages


@needs_samples
def test_recorded_v1_frames_are_written_again_as_they_were_but_for_the_levels_times() -> None:
    for frame in kraken_v1_frames():
        (message,) = kraken_v1.parse_message(frame)
        if not isinstance(message, BookMessage):
            continue
        time_us = message.time_us or 0
        form = kraken_v1.level_form(V1_SCALE, time_us)
        sides = write_sides(Changes(message.bids, message.asks), form)
        if message.snapshot:
            again = kraken_v1.format_snapshot(336, "book-10", "XBT/USD", sides)
        else:
            again = kraken_v1.format_update(
                336, "book-10", "XBT/USD", sides, checksum=message.checksum or 0
            )
        without_times = re.sub(rb',"\d{10}\.\d{6}"(,"r")?', b"", frame)
        assert re.sub(rb',"\d{10}\.\d{6}"', b"", again) == without_times


@needs_samples
def test_recorded_v1_trades_are_read_and_written_again() -> None:
    trades = 0
    for frame in kraken_v1_trade_frames():
        messages = kraken_v1.parse_message(frame)
        found = [message for message in messages if isinstance(message, TradeMessage)]
        if found:
            again = kraken_v1.format_trades(
                int(frame[1 : frame.index(b",")]), found[0].symbol, found, Scale(5, 8)
            )
            assert again == frame.replace(b'"l"', b'"m"')
            trades += len(found)
    assert trades > 3


def test_the_published_wire_keeps_trailing_zeros_and_has_no_exponent() -> None:
    view = DepthView(10, (Level("0.03134", "12.9606584"),), (Level("1e3"[:1], "0.0000001"),))
    frame = kraken.format_book(
        "ETH/BTC",
        write_sides(view, kraken.level_form(Scale(6, 8))),
        snapshot=True,
        checksum=3619791617,
        time_us=NOW,
    )
    assert frame == (
        b'{"channel":"book","type":"snapshot","data":[{"symbol":"ETH/BTC",'
        b'"bids":[{"price":0.031340,"qty":12.96065840}],'
        b'"asks":[{"price":1.000000,"qty":0.00000010}],'
        b'"checksum":3619791617,"timestamp":"2023-07-30T15:29:58.343415Z"}]}'
    )
    (message,) = kraken.parse_message(frame)
    assert isinstance(message, BookMessage)
    assert message.bids == (Level("0.031340", "12.96065840"),)
    assert message.time_us == NOW


def subscription(**params: Any) -> bytes:
    return orjson.dumps({"method": "subscribe", "params": params, "req_id": 4})


def test_a_subscription_is_acked_as_the_exchange_does() -> None:
    request = kraken.parse_request(
        subscription(channel="book", symbol=["BTC/USD", "BTC/USD"], depth=25)
    )
    assert request == kraken.Request("subscribe", "book", ("BTC/USD",), 25, True, 4)
    assert isinstance(request, kraken.Request)
    assert kraken.format_ack(request, "BTC/USD", NOW, NOW + 1) == (
        b'{"method":"subscribe","result":{"channel":"book","depth":25,"snapshot":true,'
        b'"symbol":"BTC/USD"},"success":true,"time_in":"2023-07-30T15:29:58.343415Z",'
        b'"time_out":"2023-07-30T15:29:58.343416Z","req_id":4}'
    )
    no = kraken.format_error(kraken.unknown_symbol("XBT/USD"), NOW, NOW, symbol="XBT/USD")
    assert no == (
        b'{"error":"Currency pair not supported XBT/USD","method":"subscribe","success":false,'
        b'"symbol":"XBT/USD","time_in":"2023-07-30T15:29:58.343415Z",'
        b'"time_out":"2023-07-30T15:29:58.343415Z"}'
    )
    assert kraken.parse_message(no) == [Refused("", "Currency pair not supported XBT/USD")]


@given(st.one_of(st.none(), st.integers(0, 2**63)))
def test_a_ping_is_answered_with_its_id_if_it_had_one(request_id: int | None) -> None:
    sent = {"method": "ping"} if request_id is None else {"method": "ping", "req_id": request_id}
    ping = kraken.parse_request(orjson.dumps(sent))
    assert isinstance(ping, kraken.Ping)
    pong = orjson.loads(kraken.format_pong(ping, NOW, NOW))
    assert ("req_id" in pong) == (request_id is not None)
    assert pong.get("req_id") == request_id
    sent = {"event": "ping"} if request_id is None else {"event": "ping", "reqid": request_id}
    old_ping = kraken_v1.parse_request(orjson.dumps(sent))
    assert isinstance(old_ping, kraken_v1.Ping)
    assert orjson.loads(kraken_v1.format_pong(old_ping)) == {**sent, "event": "pong"}


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (b"{", "Malformed request"),
        (b"[]", "Malformed request"),
        (b'{"method":"subscribe","req_id":4}', "Malformed request"),
        (b'{"method":"ping","req_id":"4"}', "Malformed request"),
        (b'{"method":"add_order","req_id":4}', "Unsupported event"),
        (subscription(channel="level3", symbol=["X"]), "Subscription name invalid"),
        (subscription(channel="book", symbol=["X"], depth=27), "Subscription depth not supported"),
        (subscription(channel="book", symbol=["X"], depth=[]), "Subscription depth not supported"),
        (subscription(channel="book", symbol="X"), "Symbol field must be an array"),
        (subscription(channel="trade"), "Symbol field must be an array"),
        (subscription(channel="book", symbol=[]), "Malformed request"),
        (subscription(channel="book", symbol=["X"], snapshot=1), "Malformed request"),
    ],
)  # fmt: skip
def test_a_request_that_is_none_is_refused_in_the_exchanges_words(frame: bytes, text: str) -> None:
    with pytest.raises(FrameError) as caught:
        kraken.parse_request(frame)
    answer = orjson.loads(kraken.format_error(caught.value, NOW, NOW))
    assert answer["error"] == text
    assert answer["success"] is False


def test_v1_subscriptions_are_acked_and_refused_as_the_exchange_does() -> None:
    request = kraken_v1.parse_request(
        '{"event":"subscribe","pair":["XBT/USD"],"subscription":{"name":"book"}}'
    )
    assert isinstance(request, kraken_v1.Request)
    assert kraken_v1.format_ack(request, "XBT/USD", 336) == (
        b'{"channelID":336,"channelName":"book-10","event":"subscriptionStatus","pair":"XBT/USD",'
        b'"status":"subscribed","subscription":{"depth":10,"name":"book"}}'
    )
    with pytest.raises(FrameError) as caught:
        kraken_v1.parse_request(
            '{"event":"subscribe","pair":["XBT/USD"],"subscription":{"name":"book","depth":42}}'
        )
    frame = kraken_v1.format_error(caught.value, pair="XBT/USD")
    assert kraken_v1.parse_message(frame) == [Refused("", "Subscription depth not supported")]


def test_a_two_sided_v1_update_has_two_parts_and_the_checksum_in_the_last() -> None:
    changes = Changes((Level("27117.4", "0"),), (Level("27129.4", "0.5"),))
    frame = kraken_v1.format_update(
        7,
        "book-10",
        "XBT/USD",
        write_sides(changes, kraken_v1.level_form(V1_SCALE, 1_500_000)),
        checksum=3139033408,
    )
    assert frame == (
        b'[7,{"a":[["27129.40000","0.50000000","1.500000"]]},'
        b'{"b":[["27117.40000","0.00000000","1.500000"]],"c":"3139033408"},"book-10","XBT/USD"]'
    )
    (message,) = kraken_v1.parse_message(frame)
    assert isinstance(message, BookMessage)
    assert message.bids == (Level("27117.40000", "0.00000000"),)
    assert message.asks == (Level("27129.40000", "0.50000000"),)
    assert (message.checksum, message.time_us) == (3139033408, 1_500_000)


def test_trades_need_an_integer_id() -> None:
    trade = TradeMessage("BTC/USD", "12", "1.5", "2", "buy", NOW)
    assert kraken.format_trades("BTC/USD", [trade], V2_SCALE) == (
        b'{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy",'
        b'"price":1.5,"qty":2.00000000,"ord_type":"market","trade_id":12,'
        b'"timestamp":"2023-07-30T15:29:58.343415Z"}]}'
    )
    with pytest.raises(UnmappableError, match="Kraken has integers"):
        kraken.format_trades("X", [TradeMessage("X", "12a", "1", "2", "buy", 0)], V2_SCALE)


def test_a_greeting_says_the_exchange_is_online() -> None:
    status = orjson.loads(kraken.format_status(7))
    assert status["data"][0]["connection_id"] == 7
    assert kraken.parse_message(kraken.format_status(7)) == [Other("status")]
    assert kraken.parse_message(kraken.HEARTBEAT) == [Other("heartbeat")]
    assert kraken_v1.parse_message(kraken_v1.format_status(7)) == [Other("systemStatus")]


def test_asset_pairs_have_the_key_they_were_asked_by() -> None:
    asked = orjson.loads(kraken_rest.format_asset_pairs([BTC, ETH], "ETH/USDT"))["result"]
    assert list(asked) == ["ETH/USDT"]
    assert (asked["ETH/USDT"]["pair_decimals"], asked["ETH/USDT"]["lot_decimals"]) == (2, 8)
    everything = orjson.loads(kraken_rest.format_asset_pairs([BTC, ETH]))["result"]
    assert {key: pair["wsname"] for key, pair in everything.items()} == {
        "XXBTZUSD": "XBT/USD",
        "ETHUSDT": "ETH/USDT",
    }
    assets = orjson.loads(kraken_rest.format_assets([BTC]))["result"]
    assert {key: asset["altname"] for key, asset in assets.items()} == {
        "XXBT": "XBT",
        "ZUSD": "USD",
    }
    with pytest.raises(FrameError, match="EQuery:Unknown asset pair"):
        kraken_rest.format_asset_pairs([BTC], "NOPE/USD")


@pytest.mark.parametrize("asked", ["XXBTZUSD", "XBTUSD", "XBT/USD", "BTC/USD"])
def test_a_pair_is_found_under_each_of_its_names(asked: str) -> None:
    assert kraken_rest.find_pair([BTC, ETH], asked) == BTC


def test_a_book_by_rest_has_the_key_it_was_asked_by_and_times_in_seconds() -> None:
    view = DepthView(1, (Level("1.5", "2"),), (Level("1.6", "0.1"),))
    assert orjson.loads(kraken_rest.format_depth("ETH/USDT", view, Scale(5, 8), 1_500)) == {
        "error": [],
        "result": {
            "ETH/USDT": {
                "asks": [["1.60000", "0.10000000", 1]],
                "bids": [["1.50000", "2.00000000", 1]],
            }
        },
    }


@given(st.integers(0, 4_102_444_799))
def test_the_time_of_the_server_is_written_as_rfc_1123_with_two_digits_of_the_year(
    seconds: int,
) -> None:
    said = orjson.loads(kraken_rest.format_time(seconds))["result"]
    assert said["unixtime"] == seconds
    written = re.sub(r" \d\d(\d\d) ", r" \1 ", formatdate(seconds, usegmt=True))
    assert said["rfc1123"] == written.replace("GMT", "+0000")


def test_the_system_status_has_its_time_in_seconds() -> None:
    assert orjson.loads(kraken_rest.format_system_status(1_688_669_520))["result"] == {
        "status": "online",
        "timestamp": "2023-07-06T18:52:00Z",
    }


def test_trades_are_subscribed_without_a_snapshot_unless_one_is_asked_for() -> None:
    for params, wanted in (({}, False), ({"snapshot": True}, True)):
        request = kraken.parse_request(subscription(channel="trade", symbol=["X"], **params))
        assert isinstance(request, kraken.Request)
        assert request.snapshot is wanted


def test_sizes_of_more_than_eight_decimals_keep_the_checksum_whole() -> None:
    fine = Instrument("FUN-BTC", "0.000000001", "0.0000000001")
    assert kraken.scale_of(fine) == (9, 10)
    assert kraken.scale_of(ETH) == (2, 8)
    assert kraken_v1.scale_of(ETH) == (5, 8)
