import csv
import sqlite3
from contextlib import closing

import orjson
import pytest
from exchange_samples import needs_samples, okx_frames
from hypothesis import given
from hypothesis import strategies as st
from real_recordings import DATA, needs_recordings

from exchanges import okx
from exchanges.checksums import okx_checksum
from exchanges.depth import Changes, DepthView, TextBook, write_sides
from exchanges.level_form import write_levels
from exchanges.levels import Level, read_side
from exchanges.messages import Acknowledged, BookMessage, Notice, Other, Refused, TradeMessage
from exchanges.sequence import OkxSequence, Step
from exchanges.wire import FrameError, RequestId
from orderflow.instruments import Instrument

BOOKS = okx.Channel("books", "BTC-USDT")


@needs_samples
def test_recorded_frames_parse_and_are_written_again_as_they_were() -> None:
    kinds = set()
    for frame in okx_frames():
        messages = okx.parse_message(frame)
        first = messages[0]
        kinds.add(type(first))
        channel = orjson.loads(frame)["arg"]
        channel = okx.Channel(channel["channel"], channel["instId"])
        if isinstance(first, BookMessage):
            assert first.time_us is not None
            written = okx.format_book(
                channel,
                write_sides(Changes(first.bids, first.asks), okx.LEVEL_FORM),
                action="snapshot" if first.snapshot else "update",
                time_ms=first.time_us // 1000,
                seq_id=first.last_id,
                prev_seq_id=first.previous_id,
                checksum=first.checksum,
            )
            assert written == frame
        elif isinstance(first, TradeMessage):
            trades = [message for message in messages if isinstance(message, TradeMessage)]
            assert okx.format_trades(channel, trades) == frame
        elif isinstance(first, Acknowledged):
            assert first == Acknowledged("subscribe", channel.channel, channel.instrument)
        else:
            assert first == Other("tickers")
    assert kinds == {BookMessage, TradeMessage, Acknowledged, Other}


@needs_samples
def test_recorded_checksums_match_through_the_text_book() -> None:
    book, matches = TextBook(), 0
    for frame in okx_frames():
        for message in okx.parse_message(frame):
            if isinstance(message, BookMessage):
                book.apply(message.bids, message.asks, snapshot=message.snapshot)
                _, bids, asks = book.view(25)
                assert okx_checksum(bids, asks) == message.checksum
                matches += 1
    assert matches > 20


@needs_recordings
@pytest.mark.parametrize("stem", ["okx_v5_202205", "okex_v5_202107_c1", "okx_v5_202202"])
def test_the_checksum_of_every_recorded_row_is_the_oracles(stem: str) -> None:
    with (DATA / f"{stem}.oracle.csv").open() as file:
        oracle = {int(line["book_id"]): line for line in csv.DictReader(file)}
    books: dict[str, TextBook] = {}
    with closing(sqlite3.connect(f"file:{DATA / stem}.db?mode=ro", uri=True)) as connection:
        for row, name, raw_bids, raw_asks in connection.execute(
            "SELECT id, instrument, bids, asks FROM book ORDER BY id"
        ):
            (bids, no_bids), (asks, no_asks) = read_side(raw_bids), read_side(raw_asks)
            assert no_bids == no_asks == 0
            book = books.setdefault(name, TextBook())
            book.apply(bids, asks, snapshot=oracle[row]["action"] != "update")
            view = book.view(25)
            assert okx_checksum(view.bids, view.asks) == int(oracle[row]["exchange_checksum"])


@needs_recordings
def test_recorded_sides_are_written_as_they_were_recorded() -> None:
    with closing(sqlite3.connect(f"file:{DATA}/okx_v5_202205.db?mode=ro", uri=True)) as connection:
        for (raw,) in connection.execute("SELECT bids FROM book"):
            assert write_levels(read_side(raw)[0], okx.LEVEL_FORM).decode() == raw


def test_a_book_of_today_is_written_as_the_exchange_does() -> None:
    view = DepthView(400, (Level("100.5", "2", "3"),), (Level("101", "1"),))
    sides = write_sides(view, okx.LEVEL_FORM)
    frame = okx.format_book(
        BOOKS, sides, action="snapshot", time_ms=1700000000123, seq_id=7,
        prev_seq_id=okx.FIRST_PREVIOUS_ID,
    )  # fmt: skip
    assert frame == (
        b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"snapshot","data":[{'
        b'"asks":[["101","1","0","1"]],"bids":[["100.5","2","0","3"]],"ts":"1700000000123",'
        b'"checksum":0,"seqId":7,"prevSeqId":-1}]}'
    )


def test_acks_and_errors_are_written_as_the_exchange_does() -> None:
    assert okx.format_ack("subscribe", BOOKS, "a4d3ae55") == (
        b'{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"a4d3ae55"}'
    )
    refused = okx.refusal(okx.Channel("books", "NOPE-JPY"), {"BTC-USDT"})
    assert refused is not None
    assert orjson.loads(okx.format_error(refused, "78d58071")) == {
        "event": "error",
        "msg": "Wrong URL or channel:books,instId:NOPE-JPY doesn't exist. Please use the correct "
        "URL, channel and parameters referring to API document.",
        "code": "60018",
        "connId": "78d58071",
    }
    assert okx.refusal(BOOKS, {"BTC-USDT"}) is None
    for name, code in (("tickers", "60018"), ("books-l2-tbt", "60011")):
        refused = okx.refusal(okx.Channel(name, "BTC-USDT"), {"BTC-USDT"})
        assert refused is not None
        assert refused.code == code


@pytest.mark.parametrize("space", ["", " "])
def test_the_sides_of_a_frame_come_back_character_for_character(space: str) -> None:
    bids, asks = '[["1.50","2.0","0","1"]]', f'[["1.60",{space}"3e0","0","2"]]'
    frame = f'{{"data":[{{"asks":{space}{asks},"bids" :{bids},"ts":"1"}}]}}'
    assert okx.sides_as_sent(frame) == okx.sides_as_sent(frame.encode()) == (bids, asks)


@pytest.mark.parametrize("more", ["", '"bids":[],"bids":[],'])
def test_a_frame_whose_sides_are_not_one_each_is_refused(more: str) -> None:
    with pytest.raises(FrameError, match=r"a book frame has bids once; found [02] times"):
        okx.sides_as_sent(f'{{"data":[{{{more}"asks":[]}}]}}')


def test_a_notice_comes_with_its_code() -> None:
    frame = '{"event":"notice","code":"64008","msg":"closing soon","connId":"a4d3ae55"}'
    assert okx.parse_message(frame) == [Notice(okx.CLOSING_SOON, "closing soon")]


@given(st.one_of(st.none(), st.integers(0, 2**63), st.text(max_size=64)))
def test_the_id_comes_back_as_sent_of_the_type_sent(request_id: RequestId) -> None:
    try:
        sent = orjson.dumps({"id": request_id, "op": "subscribe", "args": [
            {"channel": "books", "instId": "BTC-USDT"}]})  # fmt: skip
    except TypeError:  # a lone surrogate is no JSON
        return
    request = okx.parse_request(sent)
    assert request == okx.Request("subscribe", (BOOKS,), request_id)
    answer = orjson.loads(okx.format_ack("subscribe", BOOKS, "x", request_id))
    assert answer.get("id") == request_id
    assert type(answer.get("id")) is type(request_id)


def test_a_ping_is_the_text_ping() -> None:
    assert okx.parse_request("ping") == okx.parse_request(b"ping") == okx.Ping()
    assert okx.parse_message("pong") == [Other("pong")]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("{", "60012"),
        ("[]", "60012"),
        ('{"op":"order"}', "60012"),
        ('{"op":"login"}', "60009"),
        ('{"op":"subscribe"}', "60012"),
        ('{"op":"subscribe","args":[]}', "60012"),
        ('{"op":"subscribe","args":["spot/depth5:BTC-USDT"]}', "60012"),
        ('{"op":"subscribe","args":[{"channel":"books","instId":7}]}', "60012"),
    ],
)
def test_a_request_that_is_none_has_the_exchanges_code(frame: str, code: str) -> None:
    with pytest.raises(FrameError) as caught:
        okx.parse_request(frame)
    assert caught.value.code == code
    assert orjson.loads(okx.format_error(caught.value, "x"))["code"] == code


def test_an_error_of_the_exchange_is_told_in_its_words() -> None:
    assert okx.parse_message('{"event":"error","code":"60012","msg":"no","connId":"x"}') == [
        Refused("60012", "no")
    ]


def book(snapshot: bool, seq: int | None, previous: int | None, levels: bool = True) -> BookMessage:
    sides = (Level("1", "1"),) if levels else ()
    return BookMessage("X", snapshot, sides, (), 0, last_id=seq, previous_id=previous)


def test_the_sequence_is_followed_by_the_exchanges_rule() -> None:
    sequence = OkxSequence()
    steps = [
        (book(False, 3, 2), Step.WAITING),
        (book(True, 10, -1), Step.START),
        (book(False, 15, 10), Step.NEXT),
        (book(False, 15, 15, levels=False), Step.KEEP_ALIVE),
        (book(False, 3, 15), Step.RESET),
        (book(False, 5, 3), Step.NEXT),
        (book(False, 9, 8), Step.GAP),
        (book(False, 10, 9), Step.WAITING),
        (book(True, 12, None), Step.START),
        (book(False, 13, 12), Step.NEXT),
    ]
    assert [sequence.follow(message) for message, _ in steps] == [step for _, step in steps]


def test_instruments_are_told_by_type_and_underlying() -> None:
    instruments = [
        Instrument("BTC-USDT", "0.1", "0.00000001"),
        Instrument("BTC-USDT-SWAP", "0.1", "0.01", "0.01"),
        Instrument("BTC-USD-220527", "0.1", "1", "100"),
    ]
    spot = orjson.loads(okx.format_instruments(instruments, "SPOT"))
    assert spot["code"] == "0"
    assert [i["instId"] for i in spot["data"]] == ["BTC-USDT"]
    assert spot["data"][0]["baseCcy"] == "BTC"
    assert spot["data"][0]["lotSz"] == "0.00000001"
    swap = orjson.loads(okx.format_instruments(instruments, "SWAP"))["data"][0]
    assert (swap["settleCcy"], swap["ctValCcy"], swap["ctType"]) == ("USDT", "BTC", "linear")
    future = orjson.loads(okx.format_instruments(instruments, "FUTURES", "BTC-USD"))["data"][0]
    assert (future["settleCcy"], future["ctValCcy"], future["ctVal"]) == ("BTC", "USD", "100")
    for kind in ("OPTION", "MARGIN", None):
        assert orjson.loads(okx.format_instruments(instruments, kind))["data"] == []
