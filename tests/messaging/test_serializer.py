"""Messages come back as they were, any msgpack library reads them, anything else is refused."""

import contextlib
import random
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import messages
import msgpack  # type: ignore[import-untyped]
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messaging import serializer
from messaging.serializer import MessageError, SchemaVersionError, Serializer
from trading.messages import (
    MESSAGES,
    SERIALIZER,
    VERSION,
    AnyMessage,
    Hello,
    Role,
    TickEvent,
    TradingSignal,
)

NOW = datetime(2025, 6, 9, 12, 30, 15, 123456, UTC)
HELLO = Hello(Role.STRATEGY, "a", "1f", 7, NOW)


def plain(message: AnyMessage, **changed: Any) -> dict[str, Any]:
    """Return what the library msgpack reads of a message, with some of it changed."""
    read: dict[str, Any] = msgpack.unpackb(SERIALIZER.encode(message), timestamp=3)
    return {name: value for name, value in (read | changed).items() if value is not Ellipsis}


def refused(content: Any, kind: type[MessageError] = MessageError) -> MessageError:
    data = content if isinstance(content, bytes) else msgpack.packb(content, datetime=True)
    with pytest.raises(kind) as caught:
        SERIALIZER.decode(data)
    assert caught.value.size == len(data)
    return caught.value


@pytest.mark.parametrize("kind", MESSAGES)
@given(data=st.data())
def test_every_message_comes_back_as_it_was(kind: type[AnyMessage], data: st.DataObject) -> None:
    message = data.draw(messages.messages_of(kind))
    assert SERIALIZER.decode(SERIALIZER.encode(message)) == message


@given(messages.any_message)
def test_another_library_reads_a_plain_map_and_what_it_writes_is_read(message: AnyMessage) -> None:
    read = plain(message)
    assert read["type"] == type(message).__struct_config__.tag
    assert read["v"] == VERSION
    assert set(read) - {"type"} == set(message.__struct_fields__)
    assert SERIALIZER.decode(msgpack.packb(read, datetime=True)) == message


def test_enums_are_values_decimals_text_and_times_timestamps() -> None:
    assert plain(HELLO)["sent_at"] == NOW
    assert plain(HELLO)["role"] == "strategy"
    raw = msgpack.unpackb(SERIALIZER.encode(HELLO))
    assert isinstance(raw["sent_at"], msgpack.Timestamp)
    assert plain(messages.buy(5, quantity=Decimal("0.10")))["quantity"] == "0.10"


def test_a_time_of_any_zone_comes_back_exact_to_the_microsecond() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=5, minutes=45)))
    hello = msgspec.structs.replace(HELLO, sent_at=there)
    back = SERIALIZER.decode(SERIALIZER.encode(hello))
    assert isinstance(back, Hello)
    assert back.sent_at - there == timedelta(0)


def test_a_naive_time_is_refused_on_both_sides() -> None:
    naive = msgspec.structs.replace(HELLO, sent_at=NOW.replace(tzinfo=None))
    with pytest.raises(MessageError, match=r"has a time zone; found 2025-06-09.* in sent_at"):
        SERIALIZER.encode(naive)
    assert "timezone" in refused(plain(HELLO, sent_at="2025-06-09T12:00:00")).reason


@pytest.mark.parametrize(
    "changed",
    [{"name": ...}, {"extra": 1}, {"role": "boss"}, {"pid": "7"}, {"pid": -1}, {"pid": None},
     {"name": "x" * 101}, {"sent_at": 5}],
)  # fmt: skip
def test_missing_foreign_and_wrong_fields_are_refused(changed: dict[str, Any]) -> None:
    error = refused(plain(HELLO, **changed))
    assert error.type == "hello"
    assert next(iter(changed)) in error.reason or "boss" in error.reason


@pytest.mark.parametrize("kind", MESSAGES)
@settings(max_examples=10)
@given(data=st.data())
def test_of_no_message_a_field_is_missing_foreign_or_of_an_unknown_enum_value(
    kind: type[AnyMessage], data: st.DataObject
) -> None:
    read = plain(data.draw(messages.messages_of(kind)))
    assert "foreign" in refused(read | {"foreign": 1}).reason
    for field in msgspec.structs.fields(kind):
        left = {name: value for name, value in read.items() if name != field.name}
        if field.required:
            assert field.name in refused(left).reason
        if isinstance(getattr(message_of(read), field.name), Enum):
            assert "no such" in refused(left | {field.name: "no such"}).reason


def message_of(content: dict[str, Any]) -> AnyMessage:
    return SERIALIZER.decode(msgpack.packb(content, datetime=True))


@pytest.mark.parametrize("version", [0, 2, -1, "1", None, 1.0, True])
def test_another_schema_version_is_refused_as_such(version: Any) -> None:
    error = refused(plain(HELLO, v=version), SchemaVersionError)
    assert isinstance(error, SchemaVersionError)
    assert (error.found, error.known, error.type) == (version, VERSION, "hello")
    assert "same version of the program" in str(error)


def test_a_newer_message_is_refused_for_its_version_and_not_for_its_new_fields() -> None:
    assert isinstance(refused(plain(HELLO, v=2, extra=1)), SchemaVersionError)


def test_a_message_without_version_or_type_is_refused() -> None:
    assert "has no `v`" in str(refused(plain(HELLO, v=...)))
    assert refused(plain(HELLO, type=...)).type is None
    assert refused(plain(HELLO, type="order")).type == "order"


def test_a_message_of_an_older_version_is_read() -> None:
    class Old(msgspec.Struct, tag_field="type", tag="m", forbid_unknown_fields=True):
        v: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1

    class New(msgspec.Struct, tag_field="type", tag="m", forbid_unknown_fields=True):
        v: Annotated[int, msgspec.Meta(ge=1, le=2)] = 2
        added: int = 5

    old, new = Serializer((Old,), 1), Serializer((New,), 2)
    assert new.decode(old.encode(Old())) == New(v=1)
    with pytest.raises(SchemaVersionError):
        old.decode(new.encode(New()))


@pytest.mark.parametrize(
    "changed",
    [{"price": None}, {"order": "market"}, {"quantity": "0"}, {"quantity": "NaN"}, {"side": None},
     {"price": "-1"}, {"price": "Infinity"}, {"reference": 3}, {"quantity": "1e15"},
     {"price": "ten"}, {"order": "cancel"}],
)  # fmt: skip
def test_a_signal_that_cannot_be_meant_is_refused(changed: dict[str, Any]) -> None:
    limit = plain(messages.buy(5, order="limit", price=Decimal(9)), order="limit")
    assert isinstance(SERIALIZER.decode(msgpack.packb(limit)), TradingSignal)
    assert refused(limit | changed).type == "signal"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["price", "size", "best_bid", "obi", "cvd"])
def test_numbers_of_a_tick_are_finite(name: str, number: float) -> None:
    error = refused(plain(messages.tick(1, 5)) | {name: number})
    assert name in error.reason


@given(messages.any_message, st.data())
def test_what_is_cut_short_is_refused(message: AnyMessage, data: st.DataObject) -> None:
    written = SERIALIZER.encode(message)
    refused(written[: data.draw(st.integers(0, len(written) - 1))])


@given(messages.any_message, st.integers(0, 10**6), st.integers(0, 255))
def test_a_wrong_byte_gives_a_message_or_the_error(
    message: AnyMessage, place: int, byte: int
) -> None:
    written = bytearray(SERIALIZER.encode(message))
    written[place % len(written)] = byte
    with contextlib.suppress(MessageError):
        SERIALIZER.decode(bytes(written))


@given(st.binary(max_size=60))
def test_noise_is_refused(noise: bytes) -> None:
    assert "message" in str(refused(noise))


@pytest.mark.parametrize("first", [b"", b"\x91", b"\xdf\xff\xff\xff\xff", b"\xc6\x7f\xff\xff\xff"])
def test_eight_megabytes_of_noise_are_refused(first: bytes) -> None:
    noise = first + random.Random(1).randbytes(8 << 20)
    refused(noise)
    refused(b"\x91" * (8 << 20))
    refused(b"\x81\xa1v" * (1 << 20))


def test_a_message_over_the_limit_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serializer, "MAX_BYTES", 10)
    assert "at most 10 bytes" in str(refused(SERIALIZER.encode(HELLO)))


@pytest.mark.parametrize(
    ("name", "value"), [("name", "\ud800"), ("pid", 1 << 70), ("instance", object()),
                        ("sent_at", datetime.min.replace(tzinfo=timezone(timedelta(hours=5))))]
)  # fmt: skip
def test_what_cannot_be_written_is_said(name: str, value: object) -> None:
    with pytest.raises(MessageError, match=r"hello.*cannot be written"):
        SERIALIZER.encode(msgspec.structs.replace(HELLO, **{name: value}))


def test_a_type_that_is_not_sent_here_is_refused() -> None:
    small: Serializer[TickEvent] = Serializer((TickEvent,), VERSION)
    with pytest.raises(MessageError, match="none of those"):
        small.encode(HELLO)  # type: ignore[arg-type]


def test_nothing_is_ever_unpickled() -> None:
    bomb = b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins\x94\x8c\x04exit\x94"
    refused(bomb)
