import orjson
import pytest
from exchange_samples import needs_samples, spot_depth, spot_frames, usdm_depth, usdm_frames
from hypothesis import given
from hypothesis import strategies as st

from exchanges import binance, binance_rest
from exchanges.binance import Endpoint, Scale, Stream
from exchanges.decimals import decimals_of
from exchanges.depth import Changes, DepthView, TextBook
from exchanges.levels import Level
from exchanges.messages import Acknowledged, BookMessage, Other, Refused, TradeMessage
from exchanges.sequence import BinanceSequence, Step
from exchanges.symbols import binance_symbol
from exchanges.wire import FrameError, RequestId, UnmappableError
from orderflow.instruments import Instrument

SPOT = Scale(8, 8)
AKRO = Scale(5, 0)
ETH = Instrument("ETH-USDT", "0.01", "0.0001")
SWAP = Instrument("BTC-USDT-SWAP", "0.1", "1", "0.01")


def write_again(frame: bytes, message: object, scale: Scale, *, usdm: bool) -> bytes:
    if isinstance(message, BookMessage):
        assert message.time_us is not None
        assert message.first_id is not None
        assert message.last_id is not None
        return binance.format_depth_update(
            message.symbol,
            Changes(message.bids, message.asks),
            scale,
            time_ms=message.time_us // 1000,
            first_id=message.first_id,
            last_id=message.last_id,
            previous_id=message.previous_id,
        )
    assert isinstance(message, TradeMessage)
    return binance.format_trade(message, scale, usdm=usdm, aggregated=True)


@needs_samples
@pytest.mark.parametrize("usdm", [False, True])
def test_recorded_frames_parse_and_are_written_again_as_they_were(usdm: bool) -> None:
    kinds = set()
    for frame in usdm_frames() if usdm else spot_frames():
        (message,) = binance.parse_message(frame)
        kinds.add(type(message))
        if isinstance(message, Other):
            continue
        recorded = orjson.loads(frame)
        written = write_again(frame, message, AKRO if usdm else SPOT, usdm=usdm)
        again = orjson.loads(binance.wrap(recorded["stream"], written))
        for both in (recorded["data"], again["data"]):
            # Not told by a trade: when the event was sent, and how many trades it joins.
            if both["e"] == "aggTrade" or usdm:
                ours = ("E", "T") if both["e"] == "depthUpdate" else ("E", "a", "f", "l")
                for name in ours:
                    del both[name]
        assert again == recorded
        assert list(again["data"]) == list(recorded["data"])
    assert kinds == {BookMessage, TradeMessage, Other}


@needs_samples
@pytest.mark.parametrize("usdm", [False, True])
def test_the_recorded_stream_joins_its_rest_snapshot_by_the_exchanges_rule(usdm: bool) -> None:
    snapshot = binance.parse_depth_answer(usdm_depth() if usdm else spot_depth(), "X")
    assert snapshot.last_id is not None
    sequence = BinanceSequence(usdm=usdm)
    updates = [
        message
        for frame in (usdm_frames() if usdm else spot_frames())
        for message in binance.parse_message(frame)
        if isinstance(message, BookMessage)
    ]
    assert sequence.follow(updates[0]) == Step.WAITING
    sequence.start(snapshot.last_id)
    steps = [sequence.follow(update) for update in updates]
    # Spot: the first ends in the snapshot's id, and is in it. USD-M: the second does, and counts.
    assert steps == [Step.OLD, *[Step.NEXT] * (len(updates) - 1)]
    sequence.start(snapshot.last_id)
    without_one = [sequence.follow(update) for update in (*updates[:5], *updates[6:])]
    assert without_one[5:7] == [Step.GAP, Step.WAITING]


@needs_samples
def test_the_recorded_stream_agrees_with_the_recorded_best() -> None:
    snapshot = binance.parse_depth_answer(spot_depth(), "NKNUSDT")
    book = TextBook()
    book.apply(snapshot.bids, snapshot.asks, snapshot=True)
    known: dict[int, tuple[object, ...]] = {}
    for frame in spot_frames():
        data = orjson.loads(frame)["data"]
        if "B" in data:
            known[data["u"]] = tuple(data[name] for name in ("b", "B", "a", "A"))
        for message in binance.parse_message(frame):
            if isinstance(message, BookMessage) and message.last_id != snapshot.last_id:
                book.apply(message.bids, message.asks)
                assert message.last_id is not None
                view = book.view(1)
                if message.last_id in known:
                    expected = (*view.bids[0][:2], *view.asks[0][:2])
                    assert known.pop(message.last_id) == expected


def update(first: int, last: int, previous: int | None = None) -> BookMessage:
    return BookMessage("X", False, (), (), 0, first_id=first, last_id=last, previous_id=previous)


def test_spot_ids_must_be_contiguous_after_the_first() -> None:
    sequence = BinanceSequence()
    sequence.start(10)
    assert sequence.follow(update(5, 10)) == Step.OLD
    assert sequence.follow(update(9, 12)) == Step.NEXT
    assert sequence.follow(update(13, 13)) == Step.NEXT
    assert sequence.follow(update(13, 13)) == Step.OLD
    assert sequence.follow(update(13, 15)) == Step.GAP
    sequence.start(20)
    assert sequence.follow(update(22, 23)) == Step.GAP


def test_usdm_ids_must_chain_by_the_previous_one() -> None:
    sequence = BinanceSequence(usdm=True)
    sequence.start(10)
    assert sequence.follow(update(5, 9, 4)) == Step.OLD
    assert sequence.follow(update(8, 10, 9)) == Step.NEXT
    assert sequence.follow(update(14, 15, 10)) == Step.NEXT
    assert sequence.follow(update(18, 19, 17)) == Step.GAP
    sequence.start(30)
    assert sequence.follow(update(33, 34, 30)) == Step.NEXT
    sequence.start(30)
    assert sequence.follow(update(33, 34, 32)) == Step.GAP


@pytest.mark.parametrize(
    ("path", "streams", "endpoint"),
    [
        ("/ws", "", Endpoint(False, ())),
        ("/ws/0", "", Endpoint(False, ())),
        ("/stream/ws/1", "", Endpoint(False, ())),
        ("/ws/a@depth/a@trade", "", Endpoint(False, ("a@depth", "a@trade"))),
        ("/stream", "a@depth/b@trade/a@depth", Endpoint(True, ("a@depth", "b@trade"))),
        ("/public/ws/0", "", Endpoint(False, ())),
        ("/market/stream", "a@aggTrade", Endpoint(True, ("a@aggTrade",))),
        ("/", "", None),
        ("/api/v3/depth", "", None),
        ("/stream/x", "", None),
    ],
)  # fmt: skip
def test_paths_mean_what_clients_mean(path: str, streams: str, endpoint: Endpoint | None) -> None:
    assert binance.parse_path(path, streams) == endpoint


def test_streams_are_known_by_their_names() -> None:
    def stream(name: str, usdm: bool = False) -> Stream | None:
        return binance.parse_stream(name, usdm=usdm)

    assert stream("ethusdt@depth@100ms") == Stream(
        "ethusdt@depth@100ms", "ETHUSDT", "depth", speed_ms=100
    )
    assert stream("ethusdt@depth") == Stream("ethusdt@depth", "ETHUSDT", "depth", speed_ms=1000)
    assert stream("ethusdt@depth", True) == Stream("ethusdt@depth", "ETHUSDT", "depth", None, 250)
    assert stream("ethusdt@depth20") == Stream("ethusdt@depth20", "ETHUSDT", "depth", 20, 1000)
    assert stream("btcusdt_220527@trade") == Stream(
        "btcusdt_220527@trade", "BTCUSDT_220527", "trade"
    )
    for name in ("ETHUSDT@depth", "ethusdt@kline_1m", "!ticker@arr", "ethusdt@depth@7ms", "", "@"):
        assert stream(name) is None


@given(st.one_of(st.none(), st.integers(0, 2**63), st.uuids().map(str)))
def test_the_id_comes_back_as_sent_of_the_type_sent(request_id: RequestId) -> None:
    sent = orjson.dumps({"method": "SUBSCRIBE", "params": ["a@depth", "a@depth"], "id": request_id})
    request = binance.parse_request(sent)
    assert request.params == ("a@depth",)
    answer = orjson.loads(binance.format_result(None, request.request_id))
    assert answer == {"result": None, "id": request_id}
    assert type(answer["id"]) is type(request_id)


def test_the_subscriptions_are_listed() -> None:
    request = binance.parse_request('{"method":"LIST_SUBSCRIPTIONS","id":3}')
    assert request == binance.Request("LIST_SUBSCRIPTIONS", (), 3)
    assert binance.format_result(["a@depth"], 3) == b'{"result":["a@depth"],"id":3}'
    combined = binance.parse_request('{"method":"SET_PROPERTY","params":["combined",true],"id":5}')
    assert combined.params == ("combined", True)


@pytest.mark.parametrize(
    ("frame", "code", "request_id"),
    [
        ("{", 3, None),
        ("[]", 2, None),
        ('{"id":7}', 2, 7),
        ('{"method":"SUBSCRIBE","params":["a"],"id":1.5}', 2, None),
        ('{"method":"BUY","id":"x"}', 2, "x"),
        ('{"method":"SUBSCRIBE","id":1}', 2, 1),
        ('{"method":"SUBSCRIBE","params":[7],"id":1}', 2, 1),
        ('{"method":"SET_PROPERTY","params":["combined","yes"],"id":1}', 1, 1),
    ],
)
def test_a_request_that_is_none_has_the_exchanges_code(
    frame: str, code: int, request_id: RequestId
) -> None:
    with pytest.raises(FrameError) as caught:
        binance.parse_request(frame)
    answer = orjson.loads(binance.format_error(caught.value))
    assert answer["error"]["code"] == code
    assert answer.get("id") == request_id


def test_more_streams_than_a_connection_may_have_are_refused() -> None:
    names = [f"a{number}@depth" for number in range(1025)]
    with pytest.raises(FrameError, match="too many parameters"):
        binance.parse_request(orjson.dumps({"method": "SUBSCRIBE", "params": names, "id": 1}))


def test_answers_are_told_from_events() -> None:
    assert binance.parse_message('{"result":null,"id":1}') == [Acknowledged("", request_id=1)]
    assert binance.parse_message('{"error":{"code":2,"msg":"no"},"id":"x"}') == [
        Refused("2", "no", "x")
    ]


def test_spot_writes_eight_decimals_and_usdm_those_of_the_symbol() -> None:
    changes = Changes((Level("2683.8", "0"),), (Level("2684", "1.5"),))
    assert binance.format_depth_update(
        "ETHUSDT", changes, binance.scale_of(ETH, usdm=False), time_ms=5, first_id=1, last_id=2
    ) == (
        b'{"e":"depthUpdate","E":5,"s":"ETHUSDT","U":1,"u":2,'
        b'"b":[["2683.80000000","0.00000000"]],"a":[["2684.00000000","1.50000000"]]}'
    )
    assert binance.format_depth_update(
        "BTCUSDT", changes, binance.scale_of(SWAP, usdm=True), time_ms=5, first_id=1, last_id=2,
        previous_id=0,
    ) == (
        b'{"e":"depthUpdate","E":5,"T":5,"s":"BTCUSDT","U":1,"u":2,"pu":0,'
        b'"b":[["2683.8","0.00"]],"a":[["2684.0","1.50"]]}'
    )  # fmt: skip


def test_the_buyer_is_the_maker_when_the_taker_sold() -> None:
    trade = TradeMessage("ETHUSDT", "7", "1", "2", "sell", 5000)
    written = binance.format_trade(trade, SPOT, usdm=False, aggregated=False)
    assert written == (
        b'{"e":"trade","E":5,"s":"ETHUSDT","t":7,"p":"1.00000000","q":"2.00000000","T":5,"m":true,'
        b'"M":true}'
    )
    assert binance.parse_message(written) == [
        TradeMessage("ETHUSDT", "7", "1.00000000", "2.00000000", "sell", 5000)
    ]
    with pytest.raises(UnmappableError, match=r"Binance spot has integers .* as trade ids"):
        binance.format_trade(
            TradeMessage("X", "a-1", "1", "2", "buy", 0), SPOT, usdm=False, aggregated=False
        )


def test_the_best_is_told_only_where_there_is_one() -> None:
    view = DepthView(1, (Level("1", "2"),), (Level("3", "4"),))
    assert binance.format_book_ticker("X", view, Scale(1, 0), 9) == (
        b'{"u":9,"s":"X","b":"1.0","B":"2","a":"3.0","A":"4"}'
    )
    assert binance.format_book_ticker("X", DepthView(1, view.bids, ()), SPOT, 9) is None


def test_rest_depth_is_read_as_it_was_written() -> None:
    view = DepthView(100, (Level("1.00000000", "2.00000000"),), ())
    for usdm_time_ms in (None, 1700000000000):
        answer = binance_rest.format_depth(view, ETH, 77, usdm_time_ms=usdm_time_ms)
        snapshot = binance.parse_depth_answer(answer, "ETHUSDT")
        assert snapshot.last_id == 77
        assert snapshot.time_us == (None if usdm_time_ms is None else 1000 * usdm_time_ms)
        assert [level.price.rstrip("0") for level in snapshot.bids] == ["1."]


@pytest.mark.parametrize(
    ("text", "usdm", "limit"),
    [(None, False, 100), (None, True, 500), ("9999", False, 5000), ("0", False, 100),
     ("50", True, 50)],
)  # fmt: skip
def test_a_depth_limit_is_what_the_venue_makes_of_it(
    text: str | None, usdm: bool, limit: int
) -> None:
    assert binance_rest.parse_depth_limit(text, usdm=usdm) == limit


@pytest.mark.parametrize(("text", "usdm", "code"), [("x", False, -1100), ("7", True, -4021)])
def test_a_depth_limit_that_is_none_has_the_exchanges_code(
    text: str, usdm: bool, code: int
) -> None:
    with pytest.raises(FrameError) as caught:
        binance_rest.parse_depth_limit(text, usdm=usdm)
    assert orjson.loads(binance_rest.format_rest_error(caught.value))["code"] == code


def test_exchange_info_has_the_price_filter_first() -> None:
    info = orjson.loads(binance_rest.format_exchange_info([ETH], 5, usdm=False))
    (symbol,) = info["symbols"]
    assert symbol["symbol"] == binance_symbol(ETH) == "ETHUSDT"
    assert symbol["filters"][0]["tickSize"] == "0.01000000"
    (swap,) = orjson.loads(binance_rest.format_exchange_info([SWAP], 5, usdm=True))["symbols"]
    assert (swap["symbol"], swap["contractType"]) == ("BTCUSDT", "PERPETUAL")
    assert swap["filters"][1]["stepSize"] == "0.01"
    assert swap["quantityPrecision"] == decimals_of("0.01")
    with pytest.raises(UnmappableError, match="Binance spot has spot pairs alone"):
        binance_rest.format_exchange_info([SWAP], 5, usdm=False)
