"""Turn one recorded side of a book row into JSON text in one line, its digits as recorded."""

import ast
import json
import re
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from level_parser import LITERAL_LIMIT_BYTES, parse_side
from orderflow.events import RawSide

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")
_LITERAL_TO_JSON = bytes.maketrans(b"'()", b'"[]')


def level_text(raw: RawSide) -> tuple[bytes, int]:
    """Return `(text, rejected)`: a side as a JSON array in one line, and its unusable levels.

    JSON comes out as it is, save that a line break, which JSON allows between values alone, becomes
    a blank. Anything else that `level_parser` understands is written anew with each price and size
    as the text of its recorded digits. There is no object in the result, so that no `"name":` of
    a stored line can be part of it.

    Raise `LevelFormatError` when `raw` cannot be read as an array of levels.
    """
    prices, _, rejected = parse_side(raw)
    if not prices and not rejected:
        return b"[]", 0
    encoded = raw.encode() if isinstance(raw, str) else raw
    if not isinstance(encoded, bytes):
        return _encode_levels(encoded or ()), rejected
    return (_one_line(encoded) if _is_json(encoded) else _encode_anew(encoded)), rejected


def _is_json(raw: bytes) -> bool:
    if b"{" in raw:
        return False
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError:
        return False
    return True


def _one_line(raw: bytes) -> bytes:
    return raw.translate(_ONE_LINE) if b"\n" in raw or b"\r" in raw else raw


def _encode_anew(raw: bytes) -> bytes:
    """Write text that is no plain JSON as JSON: the ways of `level_parser`, keeping digits."""
    ways: list[Callable[[bytes], Any]] = [_read_json, _read_literal]
    if b'"' not in raw and b"\\" not in raw:
        ways.insert(0, _read_quoted_literal)
    for read in ways:
        try:
            levels = read(raw)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return _encode_levels(levels)
    msg = f"levels that can be parsed must be readable here; found {raw[:60]!r}"
    raise AssertionError(msg)


def _read_json(raw: bytes) -> Any:
    return json.loads(raw, parse_int=str, parse_float=str, parse_constant=str)


def _read_quoted_literal(raw: bytes) -> Any:
    return _read_json(raw.translate(_LITERAL_TO_JSON))


def _read_literal(raw: bytes) -> Any:
    if len(raw) > LITERAL_LIMIT_BYTES:
        msg = f"literal of {len(raw)} bytes, limit {LITERAL_LIMIT_BYTES}"
        raise ValueError(msg)
    text = raw.decode().strip().replace("\r\n", "\n").replace("\r", "\n")
    lines = [line.encode() for line in text.split("\n")]

    def digits(node: ast.expr) -> str:
        return lines[node.lineno - 1][node.col_offset : node.end_col_offset].decode()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd escape in a recording is not this program's
        return _value_of(ast.parse(text, mode="eval").body, digits)


def _value_of(node: ast.expr, digits: Callable[[ast.expr], str]) -> Any:
    if isinstance(node, ast.List | ast.Tuple):
        return [_value_of(item, digits) for item in node.elts]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    value = ast.literal_eval(node)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    text = digits(node)
    return text if _NUMBER.fullmatch(text) else str(value)


def _encode_levels(levels: Iterable[object]) -> bytes:
    """Encode levels with each field as text; what is no level, and is rejected, as null."""
    fields = [
        [_field(field) for field in level] if isinstance(level, list | tuple) else None
        for level in levels
    ]
    return json.dumps(fields, separators=(",", ":")).encode()  # also takes half of a surrogate pair


def _field(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return None
