"""Whatever a socket brings, a reader says so in an `OrderflowError` and in nothing else."""

import copy
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson
import pytest
from exchange_samples import (
    kraken_v1_frames,
    kraken_v2_frames,
    needs_samples,
    okx_frames,
    spot_frames,
    usdm_frames,
)
from hypothesis import given
from hypothesis import strategies as st

from exchanges import binance, kraken, kraken_v1, okx
from exchanges.wire import Frame, FrameError
from orderflow.errors import OrderflowError

REQUEST_READERS: list[Callable[[Frame], Any]] = [
    okx.parse_request,
    binance.parse_request,
    kraken.parse_request,
    kraken_v1.parse_request,
]
MESSAGE_READERS: list[Callable[[Frame], Any]] = [
    okx.parse_message,
    binance.parse_message,
    kraken.parse_message,
    kraken_v1.parse_message,
    lambda frame: binance.parse_depth_answer(frame, "X"),
]
READERS = [*REQUEST_READERS, *MESSAGE_READERS]
WRITERS: list[Callable[[FrameError], bytes]] = [
    lambda error: okx.format_error(error, "x"),
    binance.format_error,
    lambda error: kraken.format_error(error, 0, 0),
    kraken_v1.format_error,
]

names = st.sampled_from(
    ["id", "op", "args", "channel", "instId", "event", "method", "params", "req_id", "reqid",
     "pair", "symbol", "depth", "subscription", "name", "data", "type", "bids", "asks", "b", "a",
     "e", "E", "action", "arg", "result", "error", "stream", "ts", "checksum", "success"]
)  # fmt: skip
words = st.sampled_from(
    ["subscribe", "SUBSCRIBE", "unsubscribe", "ping", "book", "books", "trade", "trades", "update",
     "snapshot", "depthUpdate", "aggTrade", "error", "BTC-USDT", "subscriptionStatus", "book-10"]
)  # fmt: skip
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), words,
              st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(names), inner, max_size=6)
    ),
    max_leaves=20,
)  # fmt: skip


def read(reader: Callable[[Frame], Any], frame: Frame) -> None:
    """Read a frame; an error of the project is answered, any other fails the test."""
    with suppress(OrderflowError):
        try:
            reader(frame)
        except FrameError as error:
            answer(reader, error)
            raise


def answer(reader: Callable[[Frame], Any], error: FrameError) -> None:
    if reader in REQUEST_READERS:
        assert orjson.loads(WRITERS[REQUEST_READERS.index(reader)](error))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "frame",
    [
        b"", "", b"\x00\xff\xfe", "\ud800", b"[" * 200_000, "[" * 60_000, b'{"a":' * 9_000,
        b"x" * 10_000_000, b'{"a":"' + b"x" * 10_000_000 + b'"}', b"null", b"7", b'"x"', b"NaN",
        b'{"id":1e999}', b'{"op":"\\ud800"}', b"9" * 60_000, b"[1,NaN,3,4]", b"-",
    ],
    ids=range(18),
)  # fmt: skip
def test_a_frame_that_is_nothing_is_refused(reader: Callable[[Frame], Any], frame: Frame) -> None:
    with pytest.raises(OrderflowError):
        reader(frame)
    read(reader, frame)


@given(values)
def test_frames_of_wrong_types_raise_nothing_else(value: Any) -> None:
    try:
        frame = orjson.dumps(value)
    except TypeError:
        return
    for reader in READERS:
        read(reader, frame)


@given(st.one_of(st.binary(max_size=60), st.text(max_size=60)))
def test_bytes_of_any_kind_raise_nothing_else(frame: Frame) -> None:
    for reader in READERS:
        read(reader, frame)


def spoil(value: Any, rng: random.Random) -> Any:
    """Put something else in place of one part of a value, anywhere inside."""
    wrong: list[Any] = [None, True, -1, 1e300, "", "x", "-1", "1e5", [], {}, [[]], 2**64 - 1]
    if isinstance(value, dict) and value and rng.random() < 0.8:
        name = rng.choice(list(value))
        return {**value, name: spoil(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        return [*value[:place], spoil(value[place], rng), *value[place + 1 :]]
    return copy.copy(rng.choice(wrong))


@needs_samples
@pytest.mark.parametrize(
    ("recorded", "reader"),
    [
        (okx_frames, okx.parse_message),
        (spot_frames, binance.parse_message),
        (usdm_frames, binance.parse_message),
        (kraken_v2_frames, kraken.parse_message),
        (kraken_v1_frames, kraken_v1.parse_message),
    ],
)
def test_recorded_frames_with_a_wrong_part_raise_nothing_else(
    recorded: Callable[[], list[bytes]], reader: Callable[[Frame], Any]
) -> None:
    rng = random.Random(7)
    frames = [orjson.loads(frame) for frame in recorded()]
    for _ in range(1500):
        read(reader, orjson.dumps(spoil(rng.choice(frames), rng)))


def test_an_answer_to_a_long_request_is_short() -> None:
    request = orjson.dumps({"op": "x" * 60_000})
    with pytest.raises(FrameError) as caught:
        okx.parse_request(request)
    assert len(okx.format_error(caught.value, "x")) < 500
    refused = okx.refusal(okx.Channel("y" * 60_000, "z" * 60_000), ())
    assert refused is not None
    assert len(okx.format_error(refused, "x")) < 500
