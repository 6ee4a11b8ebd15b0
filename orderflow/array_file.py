"""Read and write `OFR1` files: named arrays of numbers with a JSON header.

The format is in docs/flow-files.md. Nothing in a file is trusted: `unpack` refuses what does not
fit the header, and a header that does not fit the format.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import orjson

from orderflow.errors import ArrayFileError

MAGIC = b"OFR1"
SCHEMA = 1
MAX_HEADER_BYTES = 65_536
MAX_FILE_BYTES = 16 * 1024 * 1024
"""No file of a run is longer; a reader need not take in more."""
ALIGNMENT = 8
ITEM_BYTES = {"uint8": 1, "uint16": 2, "uint32": 4, "float64": 8}
MAX_ARRAYS = 64


@dataclass(frozen=True)
class Array:
    """Numbers of one kind: `data` are their bytes, little-endian, row by row where 2 sizes."""

    dtype: str
    shape: Sequence[int]
    data: bytes | bytearray | memoryview


def pack(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> bytes:
    """Return the bytes of a file; `schema` and `arrays` are added to the header.

    Raise `ValueError` for an array whose bytes are not those of its shape, or a header too long.
    """
    if sys.byteorder != "little":
        msg = "arrays are little-endian, and this machine is not"
        raise ValueError(msg)
    listed, parts, offset = [], [], 0
    for name, array in arrays.items():
        count = len(memoryview(array.data).cast("B"))
        if count != prod(array.shape) * ITEM_BYTES[array.dtype]:
            msg = f"{name}: {count} bytes for {array.dtype} of {list(array.shape)}"
            raise ValueError(msg)
        shape = list(array.shape)
        listed.append({"name": name, "dtype": array.dtype, "shape": shape, "offset": offset})
        parts += [array.data, bytes(-count % ALIGNMENT)]
        offset += count + -count % ALIGNMENT
    text = orjson.dumps({"schema": SCHEMA, **header, "arrays": listed})
    text += b" " * (-len(text) % ALIGNMENT)
    if len(text) > MAX_HEADER_BYTES:
        msg = f"a header has at most {MAX_HEADER_BYTES} bytes; found {len(text)}"
        raise ValueError(msg)
    return b"".join([MAGIC, len(text).to_bytes(4, "little"), text, *parts])


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the header and the arrays of a file, whose bytes are parts of `data`.

    Raise `ArrayFileError` for what is no whole file of this schema.
    """
    header, start = _read_header(data)
    listed = header["arrays"]
    if not isinstance(listed, list) or len(listed) > MAX_ARRAYS:
        raise ArrayFileError(f"its header lists no arrays, or more than {MAX_ARRAYS}", "header")
    arrays: dict[str, Array] = {}
    offset, view = 0, memoryview(data)[start:]
    for entry in listed:
        name, dtype, shape = _checked(entry, offset)
        if name in arrays:
            raise ArrayFileError(f"its header lists {name!r} twice", "header")
        count = prod(shape) * ITEM_BYTES[dtype]
        arrays[name] = Array(dtype, shape, view[offset : offset + count])
        offset += count + -count % ALIGNMENT
    if offset != len(view):
        raise ArrayFileError(f"its arrays have {offset:,} bytes; found {len(view):,}", "length")
    return header, arrays


def _read_header(data: bytes) -> tuple[dict[str, Any], int]:
    if data[:4] != MAGIC:
        raise ArrayFileError(f"it does not begin with {MAGIC.decode()}", "kind")
    if len(data) > MAX_FILE_BYTES:
        raise ArrayFileError(
            f"it has {len(data):,} bytes, at most {MAX_FILE_BYTES:,} are read", "length"
        )
    length = int.from_bytes(data[4:8], "little")
    start = 8 + length
    if length > MAX_HEADER_BYTES or length % ALIGNMENT or start > len(data):
        raise ArrayFileError(f"its header cannot have {length:,} bytes", "header")
    try:
        header = orjson.loads(data[8:start])
    except orjson.JSONDecodeError as error:
        raise ArrayFileError(f"its header is not JSON ({error})", "header") from error
    if not isinstance(header, dict) or "arrays" not in header:
        raise ArrayFileError("its header lists no arrays", "header")
    if header.get("schema") != SCHEMA:
        raise ArrayFileError(f"schema {header.get('schema')!r}; known is {SCHEMA}", "schema")
    return header, start


def _checked(entry: object, offset: int) -> tuple[str, str, tuple[int, ...]]:
    """Return name, dtype and shape of a listed array that may lie at `offset`."""
    if not isinstance(entry, dict):
        raise ArrayFileError("its header lists something that is no array", "header")
    name, dtype, shape = entry.get("name"), entry.get("dtype"), entry.get("shape")
    if not isinstance(name, str) or dtype not in ITEM_BYTES or not isinstance(shape, list):
        raise ArrayFileError(f"its header lists {name!r} of {dtype!r} and {shape!r}", "header")
    sizes = tuple(size for size in shape if type(size) is int and 0 <= size <= MAX_FILE_BYTES)
    if len(sizes) != len(shape) or not 1 <= len(shape) <= 2 or entry.get("offset") != offset:
        raise ArrayFileError(f"its array {name!r} lies elsewhere than it says", "header")
    return name, str(dtype), sizes
