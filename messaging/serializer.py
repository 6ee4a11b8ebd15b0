"""Messages to bytes and back: plain msgpack maps, checked on the way in, never pickle.

A message is a `msgspec.Struct` tagged with its `type`, with an integer `v` for its schema version,
and `forbid_unknown_fields`. Any msgpack library of any language reads what is written: enums are
their values, decimals text, aware datetimes timestamps (extension -1). Why msgspec:
docs/adr/0016-messages-in-msgpack-maps.md.
"""

import types
from collections.abc import Callable
from datetime import datetime
from operator import attrgetter
from typing import Any, Generic, TypeVar, Union, get_args, get_origin

import msgspec

from orderflow.errors import OrderflowError

MAX_BYTES = 64 << 20
"""Longest message that is decoded."""
SHOWN_BYTES = 16
_V = b"\xa1v"
"""The key `v` as msgpack has it."""

Message = TypeVar("Message", bound=msgspec.Struct)


class MessageError(OrderflowError):
    """Report a message that cannot be written or read.

    `type` is the message's, None where it is not known. `reason` says what is wrong; `size` is the
    number of bytes that were found, 0 for a message to be written.
    """

    def __init__(self, reason: str, type: str | None = None, size: int = 0) -> None:
        what = f"message {type!r}" if type else "message"
        found = f" ({size:,} bytes)" if size else ""
        super().__init__(f"{what}{found}: {reason}")
        self.reason = reason
        self.type = type
        self.size = size


class SchemaVersionError(MessageError):
    """Report a message of schema version `found`, where those up to `known` are understood."""

    def __init__(self, type: str | None, found: object, known: int, size: int) -> None:
        super().__init__(
            f"its schema version is 1 to {known} here; found {found!r}; run the same version of "
            "the program on both sides",
            type,
            size,
        )
        self.found = found
        self.known = known


class Serializer(Generic[Message]):
    """Write and read messages of the given types, all of one schema `version` and older."""

    def __init__(self, kinds: tuple[type[Message], ...], version: int) -> None:
        self._version = version
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Union[kinds])  # noqa: UP007
        self._datetimes = {kind: _datetimes_of(kind) for kind in kinds}

    def encode(self, message: Message) -> bytes:
        """Return a message as a msgpack map; raise `MessageError` where it cannot be one."""
        kind = type(message)
        names = self._datetimes.get(kind)
        tag = str(kind.__struct_config__.tag)
        if names is None:
            raise MessageError("its type is none of those that are sent here", tag)
        for name, moment_of in names:
            moment = moment_of(message)
            # msgspec would write a naive one as text, and another time zone would read it.
            if isinstance(moment, datetime) and moment.utcoffset() is None:
                reason = f"a time has a time zone; found {moment.isoformat()} in {name}"
                raise MessageError(reason, tag)
        try:
            return self._encoder.encode(message)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise MessageError(f"it cannot be written: {error}", tag) from error

    def decode(self, data: bytes) -> Message:
        """Return the message in `data`.

        Raise `SchemaVersionError` for another version, and `MessageError` for anything else that
        is no message: bytes that are no msgpack, missing, unknown or wrong fields.
        """
        size = len(data)
        if size > MAX_BYTES:
            raise MessageError(f"a message has at most {MAX_BYTES:,} bytes", size=size)
        try:
            # Decoding alone would give a message without `v` the version of today.
            if _V in data:
                message: Message = self._decoder.decode(data)
                return message
            reason = "it has no `v`"
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            reason = str(error)
        raise self._error(data, reason)

    def _error(self, data: bytes, reason: str) -> MessageError:
        """Return what is wrong with data, as far as the rest of it says more than `reason`."""
        try:
            head = msgspec.msgpack.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError, TypeError):
            begins = data[:SHOWN_BYTES].hex(" ")
            return MessageError(f"{reason}; it begins with {begins}", size=len(data))
        if not isinstance(head, dict):
            return MessageError(f"it is a map; found {type(head).__name__}", size=len(data))
        tag = head.get("type")
        tag = tag if isinstance(tag, str) else None
        version = head.get("v", self._version)
        if type(version) is not int or not 1 <= version <= self._version:
            return SchemaVersionError(tag, version, self._version, len(data))
        return MessageError(reason, tag, len(data))


def _datetimes_of(kind: type[msgspec.Struct]) -> list[tuple[str, Callable[[Any], Any]]]:
    """Return names and getters of the fields that may hold a datetime."""
    fields = msgspec.structs.fields(kind)
    return [(f.name, attrgetter(f.name)) for f in fields if datetime in _alternatives(f.type)]


def _alternatives(annotation: Any) -> set[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        return {a for arg in get_args(annotation) for a in _alternatives(arg)}
    metadata = getattr(annotation, "__metadata__", None)
    return _alternatives(annotation.__origin__) if metadata else {annotation}
