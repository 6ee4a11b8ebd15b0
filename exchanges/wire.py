"""Read frames that may hold anything, and say what is wrong with them in one kind of error."""

import json
from typing import Any

import orjson

from orderflow.errors import OrderflowError

REQUEST_LIMIT_BYTES = 65_536
"""Longest frame taken from a client: the 64 kB that OKX allows for the arguments of a request."""
MESSAGE_LIMIT_BYTES = 4_194_304
"""Longest frame taken from an exchange; a snapshot of 5,000 levels a side has about 300 kB."""
_SHOWN = 80

Frame = bytes | str
RequestId = int | str | None
"""The id of a request, sent back as it came, of the type it came as; None where there was none."""


class FrameError(OrderflowError):
    """Report a frame that is not what its exchange speaks.

    `code` is the exchange's own code for it, empty where it has none, `text` the exchange's own
    words, and `request_id` the id of the request, None where it had none or it was not usable.
    """

    def __init__(
        self, message: str, *, code: str = "", text: str = "", request_id: RequestId = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.text = text or message
        self.request_id = request_id


class UnmappableError(OrderflowError):
    """Report what a venue has no honest form for; `venue` names it, `value` is what was given."""

    def __init__(self, message: str, venue: str, value: object) -> None:
        super().__init__(message)
        self.venue = venue
        self.value = value


def shown(value: object) -> str:
    """Return the beginning of a value as text, for an error message."""
    if isinstance(value, str | bytes):
        value = value[:_SHOWN]
    elif isinstance(value, list | dict):
        return f"{'an array' if isinstance(value, list) else 'an object'} of {len(value)}"
    return repr(value)[: 2 * _SHOWN]


def load(frame: Frame, limit: int) -> Any:
    """Return the JSON value of a frame; raise `FrameError` for anything else, and beyond `limit`.

    `limit` is in bytes of UTF-8, and of a text frame at least in characters. Numbers become int
    and float.
    """
    _check_length(frame, limit)
    try:
        return orjson.loads(frame)
    except (ValueError, RecursionError) as error:
        raise _not_json(frame, error) from error


def load_with_decimals(frame: Frame, limit: int) -> Any:
    """Return the JSON value of a frame with every number as the text it was written as.

    Errors as in `load`. For exchanges that write prices as bare numbers.
    """
    _check_length(frame, limit)
    try:
        text = frame if isinstance(frame, str) else frame.decode()
        return json.loads(text, parse_float=str, parse_int=str, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _not_json(frame, error) from error


def _refuse_constant(name: str) -> None:
    msg = f"{name} is no JSON"
    raise ValueError(msg)


def _check_length(frame: Frame, limit: int) -> None:
    if len(frame) > limit:
        msg = f"a frame has at most {limit:,} bytes; found {len(frame):,}"
        raise FrameError(msg)


def _not_json(frame: Frame, error: Exception) -> FrameError:
    msg = f"a frame must be JSON ({str(error)[:_SHOWN]}); found {shown(frame)}"
    return FrameError(msg)


def as_object(value: object, what: str) -> dict[str, Any]:
    """Return `value`, an object; raise `FrameError` that says `what` must be one."""
    if isinstance(value, dict):
        return value
    msg = f"{what} must be an object; found {shown(value)}"
    raise FrameError(msg)


def as_array(value: object, what: str) -> list[Any]:
    """Return `value`, an array; raise `FrameError` that says `what` must be one."""
    if isinstance(value, list):
        return value
    msg = f"{what} must be an array; found {shown(value)}"
    raise FrameError(msg)


def as_text(value: object, what: str) -> str:
    """Return `value`, a text; raise `FrameError` that says `what` must be one."""
    if isinstance(value, str):
        return value
    msg = f"{what} must be text; found {shown(value)}"
    raise FrameError(msg)


def as_integer(value: object, what: str) -> int:
    """Return `value`, an integer or the text of one; raise `FrameError` for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and len(value) <= 20 and value.isascii():
        digits = value.removeprefix("-")
        if digits.isdigit():
            return int(value)
    msg = f"{what} must be an integer; found {shown(value)}"
    raise FrameError(msg)


def optional_integer(value: object, what: str) -> int | None:
    """Return `value` as `as_integer` does, and None for None."""
    return None if value is None else as_integer(value, what)


def is_request_id(value: object) -> bool:
    """Return whether a value can be sent back as the id of a request: an integer or short text."""
    if isinstance(value, str):
        return len(value) <= 64
    return isinstance(value, int) and not isinstance(value, bool)
