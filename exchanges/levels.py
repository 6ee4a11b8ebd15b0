"""Price levels as text, read out of what a recording or an exchange wrote."""

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

from exchanges.decimals import DecimalError, is_zero, multiply, plain
from orderflow.errors import LevelFormatError
from orderflow.events import RawSide

UNKNOWN_ORDERS = "1"
"""Number of orders written for a level where the source did not record one."""


# Levels as exchanges write them are read without a look at each: three times as fast.
_PLAIN = r"\d{1,30}(?:\.\d{1,18})?"
_FORM = rf'\["(?!0+(?:\.0+)?")(C{_PLAIN})","(C{_PLAIN})"(?:,"\d{{1,18}}","(C\d{{1,18}})")?\]'
_ONE = _FORM.replace("(C", "(?:")
_CANONICAL = re.compile(rf"\[{_ONE}(?:,{_ONE})*\]", re.ASCII).fullmatch
_LEVELS = re.compile(_FORM.replace("(C", "("), re.ASCII).findall


class Level(NamedTuple):
    """One price level in plain decimals as recorded; size 0 deletes.

    `orders` is how many orders rest there, as text, None where the source does not say.
    """

    price: str
    size: str
    orders: str | None = None


def read_side(raw: RawSide) -> tuple[list[Level], int]:
    """Read one side of a book row into levels with their own digits, and count the unusable ones.

    A side is JSON text `[[price, size, …], …]`, or levels; numbers without quotes keep the digits
    they were written with. Fields beyond two: `[px, sz, orders]` and `[px, sz, "0", orders]`, as
    OKX writes them. None and empty text are empty sides. Raise `LevelFormatError` for anything
    that is no array.
    """
    text = raw.decode(errors="replace") if isinstance(raw, bytes) else raw
    if isinstance(text, str) and _CANONICAL(text):
        return [Level(price, size, orders or None) for price, size, orders in _LEVELS(text)], 0
    levels: list[Level] = []
    rejected = 0
    for fields in _fields(raw):
        level = _level(fields)
        if level is None:
            rejected += 1
        else:
            levels.append(level)
    return levels, rejected


def _level(fields: Any) -> Level | None:
    if not isinstance(fields, list | tuple) or len(fields) < 2:
        return None
    try:
        price, size = plain(fields[0]), plain(fields[1])
    except DecimalError:
        return None
    if is_zero(price):
        return None
    orders = str(fields[3] if len(fields) > 3 else fields[2]) if len(fields) > 2 else None
    return Level(price, size, orders if orders and orders.isascii() and orders.isdigit() else None)


def _fields(raw: RawSide) -> Iterable[Any]:
    if raw is None:
        return ()
    if not isinstance(raw, str | bytes):
        return raw
    if not raw.strip():
        return ()
    try:
        value = orjson.loads(raw)
        if _has_bare_numbers(value):
            text = raw if isinstance(raw, str) else raw.decode()
            value = json.loads(text, parse_float=str, parse_int=str)
    except (ValueError, RecursionError) as error:
        msg = f"levels must be a JSON array [[price, size], …]; found {raw[:60]!r}"
        raise LevelFormatError(msg, raw[:60]) from error
    if value is None:
        return ()
    if not isinstance(value, list):
        msg = f"levels must be a JSON array [[price, size], …]; found {raw[:60]!r}"
        raise LevelFormatError(msg, raw[:60])
    return value


def _has_bare_numbers(levels: Any) -> bool:
    if not isinstance(levels, list):
        return False
    return any(
        isinstance(field, int | float)
        for level in levels
        if isinstance(level, list)
        for field in level[:2]
    )


def in_base_currency(levels: Iterable[Level], contract_value: str) -> tuple[Level, ...]:
    """Return levels whose sizes are contracts of `contract_value` with sizes in base currency."""
    return tuple(level._replace(size=multiply(level.size, contract_value)) for level in levels)
