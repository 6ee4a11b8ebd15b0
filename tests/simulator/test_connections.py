"""What is sent in a burst goes out in one piece, in its order, and nobody notices."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from aiohttp import web

from simulator import connections
from simulator.connections import Connection, Hub, Topic, text_frame


class Written:
    """A transport that keeps what is written to it; `unread` bytes stay with it."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.unread = 0
        self.aborted = False

    def write(self, piece: bytes) -> None:
        self.pieces.append(piece)

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


def connect(hub: Hub, *topics: Topic) -> tuple[Connection, Written]:
    request: Any = type("Request", (), {"transport": Written()})
    connection = Connection(cast("web.WebSocketResponse", None), request, hub)
    hub.add(connection)
    for topic in topics:
        topic.add(connection)
    return connection, request.transport


def frames(*payloads: bytes) -> bytes:
    return b"".join(map(text_frame, payloads))


def test_a_burst_is_one_piece_for_each_client_in_the_order_of_all_that_it_follows() -> None:
    hub = Hub()
    book, trades = Topic("book", hub), Topic("trades", hub)
    (both, at_both), (one, at_one) = connect(hub, trades, book), connect(hub, book)
    _, at_nothing = connect(hub)
    with hub.burst():
        book.publish(b"book 1")
        trades.publish(b"trade 2")
        book.publish(b"book 3")
        assert at_both.pieces == []
    assert at_both.pieces == [frames(b"book 1", b"trade 2", b"book 3")]
    assert at_one.pieces == [frames(b"book 1", b"book 3")]
    assert at_nothing.pieces == []
    assert (both.sent, one.sent, hub.frames_sent) == (3, 2, 5)
    assert hub.bytes_sent == len(at_both.pieces[0]) + len(at_one.pieces[0])
    book.publish(b"book 4")
    assert at_one.pieces[1:] == [frames(b"book 4")]


def test_a_piece_is_written_when_there_is_enough_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "JOINED_BYTES", 20)
    hub = Hub()
    topic = Topic("book", hub)
    _, written = connect(hub, topic)
    with hub.burst():
        for payload in (b"12345678", b"abcdefgh", b"x"):
            topic.publish(payload)
        assert written.pieces == [frames(b"12345678", b"abcdefgh")]
    assert written.pieces[1:] == [frames(b"x")]


@pytest.mark.parametrize(
    "act",
    [
        lambda connection: connection.answer(b"later"),
        lambda connection: connection.close(1000, "bye", "test"),
    ],
    ids=["answer", "close"],
)
def test_what_was_sent_before_an_answer_or_a_close_goes_out_before_it(
    act: Callable[[Connection], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncio.ensure_future", lambda _: None)
    hub = Hub()
    topic = Topic("book", hub)
    connection, written = connect(hub, topic)
    connection.socket = cast("Any", type("Socket", (), {"close": lambda **_: None}))
    with hub.burst():
        topic.publish(b"before")
        act(connection)
        assert written.pieces[0] == frames(b"before")
    assert b"".join(written.pieces).count(b"before") == 1


def test_a_burst_that_fails_leaves_nothing_behind() -> None:
    hub = Hub()
    topic = Topic("book", hub)
    _, written = connect(hub, topic)

    def fail() -> None:
        with hub.burst():
            topic.publish(b"1")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    topic.publish(b"2")
    assert written.pieces == [frames(b"1"), frames(b"2")]


def test_one_who_is_too_far_behind_is_closed_and_the_others_get_the_burst() -> None:
    hub = Hub()
    topic = Topic("book", hub)
    (_, stuck), (_, reading) = connect(hub, topic), connect(hub, topic)
    stuck.unread = connections.MOST_BEHIND_BYTES
    with hub.burst():
        topic.publish(b"1")
    assert (stuck.aborted, stuck.pieces, hub.closed) == (True, [], {"slow": 1})
    assert reading.pieces == [frames(b"1")]


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_a_long_burst_asks_for_a_pause_where_somebody_is_far_behind(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "JOINED_BYTES", 20)
    hub = Hub()
    topic = Topic("book", hub)
    _, written = connect(hub, topic)
    written.unread = int(share * connections.MOST_BEHIND_BYTES)
    with hub.burst():
        topic.publish(b"a few rows")
    assert not hub.wants_pause
    with hub.burst():
        topic.publish(b"so many rows")
        topic.publish(b"that they are a piece")
    assert hub.wants_pause is (share > 0.5)
    assert hub.is_calm() is (share < 0.5)
