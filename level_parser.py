"""Turn recorded `bids`/`asks` values into prices and sizes.

A side is the text (or blob) of a JSON array, or of a Python literal, of levels
`[price, size, …]`: numbers or numeric strings, two fields or more, in any order. JSON is tried
first. A level that is not usable is rejected and counted, and the rest of its side is used; a
side that is no array at all raises `LevelFormatError`.

Prices and sizes are correctly rounded: each is the double nearest to the decimal digits, so
`30243.5`, `"30243.50"` and `3.02435e4` are one price.
"""

import ast
import json
import re
import warnings
from array import array
from collections.abc import Iterable, Sequence
from itertools import repeat
from math import inf
from typing import Any

import orjson

from orderflow.compiled import fastest
from orderflow.errors import LevelFormatError
from orderflow.events import LevelSequence, ParsedLevels, RawSide
from orderflow.parsed_rows import READ, UNREADABLE

ParsedSide = tuple[list[float], list[float], int]
Row = tuple[Any, ...]
Columns = tuple[
    "array[int]", "array[int]", "array[float]", "array[float]", "array[int]", "array[int]"
]

LITERAL_LIMIT_BYTES = 100_000
"""Longest text tried as a general Python literal: `ast` needs about 100 ms for this much."""

EXACT_INTEGERS = 2**53
"""From here on an integer may differ from the nearest double."""

# The way OKX writes a side: every field of every level a quoted decimal, without sign or exponent.
# Such text is by far the most common; it is read as one flat array (see `_parse_quoted`).
_DECIMAL = b"0123456789."
_UNQUOTED = bytes.maketrans(b'[]"', b"   ")
_QUOTED_LEVEL = re.compile(rb'\[""(?:, ?"")+\]')
_EMPTY_STRING = re.compile(b'""').search  # faster than `in` among so many quotes
_KNOWN_SHAPES = 4096
_KNOWN_SHAPE_BYTES = 4096
# What other sides of plain numbers and numeric strings are written with. Text beyond it may hold
# `true`, `"nan"`, `"1_0"`, digits of other scripts or escapes, which `float` takes and a level
# must not; such text takes the strict way.
_PLAIN = b'0123456789.,-+eE[]" \t\r\n'
_LITERAL_TO_JSON = bytes.maketrans(b"'()", b'"[]')


def parse_side(raw: RawSide) -> ParsedSide:
    """Parse one side of a row into parallel lists, without an object per level.

    Return `(prices, sizes, rejected)`: prices are finite and positive in quote currency, sizes
    finite and not negative (0 deletes) in the unit recorded, whole numbers perhaps as int;
    `rejected` counts the levels that are neither. `len(prices) + rejected` is the number of levels
    given, and the order is kept. `None`, empty text, `null` and `[]` are empty sides.

    Raise `LevelFormatError` when `raw` cannot be read as an array of levels.
    """
    if isinstance(raw, str):
        raw = _encode(raw)
    if not raw:
        return [], [], 0
    if not isinstance(raw, bytes):
        return _as_lists(raw) if isinstance(raw, ParsedLevels) else _parse_strictly(raw)
    return _parse_quoted(raw) or _parse_plain(raw) or _parse_strictly(_decode(raw))


def _as_lists(levels: ParsedLevels) -> ParsedSide:
    if levels.rejected < 0:
        msg = "levels must be an array [[price, size], …]; these were no such when they were parsed"
        raise LevelFormatError(msg, "")
    return list(levels.prices), list(levels.sizes), levels.rejected


def _parse_quoted(raw: bytes) -> ParsedSide | None:
    """Parse text in which every field is a quoted decimal; return None for any other.

    Its shape, which is what is left without the digits, shows that each level is an array with
    nothing but decimals in its strings. Then quotes and brackets can be replaced by blanks, and
    the text read as one flat array of numbers: half the work of a list for each level and a string
    for each number. The parser refuses what is no number, such as an empty field or two numbers
    in one field.
    """
    shape = raw.translate(None, _DECIMAL)
    fields = _shapes.get(shape)
    if fields is None:
        fields = _fields_per_level(shape)
    # An empty string would let a number outside of the levels take its index.
    if not fields or _EMPTY_STRING(raw):
        return None
    try:
        numbers = orjson.loads(b"[" + raw.translate(_UNQUOTED) + b"]")
    except orjson.JSONDecodeError:
        return None  # "007" and ".5" are for `float`
    prices = numbers[::fields]
    if not all(prices) or max(prices) >= EXACT_INTEGERS:
        return None
    return prices, numbers[1::fields], 0


def _fields_per_level(shape: bytes) -> int:
    """Return how many fields each level has, or 0 when the text is not of quoted decimals."""
    level = shape[1 : shape.find(b"]") + 1]
    fields = 0
    if _QUOTED_LEVEL.fullmatch(level):
        levels = shape.count(b"]") - 1
        separator = b", " if b"], [" in shape else b","
        # The length first, or a hostile text makes the join as long as its square.
        length = 2 + levels * len(level) + (levels - 1) * len(separator)
        if length == len(shape) and shape == b"[" + separator.join([level] * levels) + b"]":
            fields = level.count(b",") + 1
    if len(_shapes) < _KNOWN_SHAPES and len(shape) < _KNOWN_SHAPE_BYTES:
        _shapes[shape] = fields
    return fields


_shapes: dict[bytes, int] = {}


def _parse_plain(raw: bytes) -> ParsedSide | None:
    """Parse JSON of plain numbers and numeric strings; return None for anything doubtful."""
    if raw.translate(None, _PLAIN):
        return None
    try:
        levels = orjson.loads(raw)
        # `list.__getitem__`, not an index: a level `"12"` must not be read as ["1", "2"].
        prices = list(map(float, map(list.__getitem__, levels, repeat(0))))
        sizes = [float(level[1]) for level in levels]
    except (TypeError, ValueError, IndexError):
        return None
    # The letters of `nan` are not in `_PLAIN`, so checking min and max is enough.
    if prices and not (min(prices) > 0.0 and max(prices) < inf > max(sizes) and min(sizes) >= 0.0):
        return None
    return prices, sizes, 0


def parse_levels_including_zeros(raw: RawSide) -> list[tuple[float, float]]:
    """Parse one side into `(price, size)` pairs, keeping size 0, which deletes a level.

    The order is that of `raw`. Units and errors as in `parse_side`; levels that are not usable
    are left out, and not counted here.
    """
    prices, sizes, _ = parse_side(raw)
    return list(zip(prices, sizes, strict=True))


def python_parse_levels(rows: Sequence[Row]) -> Columns:
    """Return the levels of recorded rows `(ms, order, bids, asks, …)` in columns.

    They are: how many levels each row has, how many of them bids, the prices and the sizes of all,
    bids first; how many levels of each row were rejected; and what became of it, as in
    `orderflow.parsed_rows`. A row of which a side cannot be read has none.
    """
    counts, bid_levels, rejected = array("i"), array("i"), array("i")
    prices, sizes, states = array("d"), array("d"), array("B")
    for row in rows:
        try:
            bids, asks = parse_side(row[2]), parse_side(row[3])
            states.append(READ)
        except LevelFormatError:
            bids = asks = [], [], 0
            states.append(UNREADABLE)
        counts.append(len(bids[0]) + len(asks[0]))
        bid_levels.append(len(bids[0]))
        rejected.append(bids[2] + asks[2])
        for side in (bids, asks):
            prices.extend(side[0])
            sizes.extend(side[1])
    return counts, bid_levels, prices, sizes, rejected, states


parse_levels = fastest(
    "parse_levels",
    python_parse_levels,
    parse_side=parse_side,
    LevelFormatError=LevelFormatError,
)


def normalize_levels(raw: RawSide) -> list[tuple[float, float]]:
    """Parse one side into the `(price, size)` pairs with a size above 0.

    For rows that hold the whole book; an update's deletions are left out too. The order is that
    of `raw`. Units and errors as in `parse_side`; levels that are not usable are left out, and not
    counted here.
    """
    return [(price, size) for price, size in parse_levels_including_zeros(raw) if size > 0.0]


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        msg = f"levels must be text in Unicode; found {text[:60]!r}"
        raise LevelFormatError(msg, text[:60]) from error


def _decode(raw: bytes) -> LevelSequence:
    """Read an array out of `raw`: as JSON, as a literal, as JSON with NaN and such."""
    if not raw.strip():
        return []
    for read in (orjson.loads, _read_quoted_literal, _read_lenient_json, _read_literal):
        try:
            value = read(raw)
        # Deep nesting ends in RecursionError or MemoryError, everything else in ValueError.
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        if value is None:
            return []
        if isinstance(value, list | tuple):
            return value
        break
    msg = f"levels must be a JSON array [[price, size], …]; found {raw[:60]!r}"
    raise LevelFormatError(msg, raw[:60])


def _read_quoted_literal(raw: bytes) -> object:
    """Read what `str()` makes of lists and tuples, at the speed of JSON.

    Where there is neither a double quote nor a backslash, every `'` opens or closes a string, so
    that changing the quotes changes nothing else. A bracket changed inside a string does no harm:
    such a string is no number either way.
    """
    if b'"' in raw or b"\\" in raw:
        msg = "not a plainly quoted literal"
        raise ValueError(msg)
    return orjson.loads(raw.translate(_LITERAL_TO_JSON))


def _read_lenient_json(raw: bytes) -> object:
    """Read JSON with NaN, Infinity and numbers beyond a double, to reject only their levels."""
    return json.loads(raw.decode(), parse_int=float)


def _read_literal(raw: bytes) -> object:
    if len(raw) > LITERAL_LIMIT_BYTES:
        msg = f"literal of {len(raw)} bytes, limit {LITERAL_LIMIT_BYTES}"
        raise ValueError(msg)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd escape in a recording is not this program's
        return ast.literal_eval(raw.decode().strip())


def _parse_strictly(levels: Iterable[object]) -> ParsedSide:
    """Check level by level, so that only the bad ones are rejected."""
    prices: list[float] = []
    sizes: list[float] = []
    rejected = 0
    for level in levels:
        if isinstance(level, list | tuple) and len(level) >= 2:
            price, size = to_number(level[0]), to_number(level[1])
            if 0.0 < price < inf and 0.0 <= size < inf:
                prices.append(price)
                sizes.append(size)
                continue
        rejected += 1
    return prices, sizes, rejected


def to_number(value: object) -> float:
    """Return the double nearest to what a number or numeric text says, or NaN if it says none.

    Text must be ASCII and without underscores; booleans are no numbers. Beyond the range of a
    double the result is infinite.
    """
    if isinstance(value, str) and value.isascii() and "_" not in value:
        try:
            return float(value)
        except ValueError:
            return float("nan")
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return inf
    return float("nan")
