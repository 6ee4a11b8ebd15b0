import json
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderflow.array_file import ITEM_BYTES, MAX_FILE_BYTES, Array, pack, unpack
from orderflow.errors import ArrayFileError

TYPE_CODES = {"uint8": "B", "uint16": "H", "uint32": "I", "float64": "d"}


def column(dtype: str, values: list[Any]) -> Array:
    return Array(dtype, [len(values)], array(TYPE_CODES[dtype], values).tobytes())


def sample() -> bytes:
    grid = Array("uint16", [2, 3], array("H", range(6)).tobytes())
    return pack({"kind": "x"}, {"time": column("float64", [1.5, 2.5]), "cells": grid})


@st.composite
def arrays(draw: st.DrawFn) -> Array:
    dtype = draw(st.sampled_from(sorted(ITEM_BYTES)))
    count = draw(st.integers(0, 9))
    size = ITEM_BYTES[dtype] * count
    return Array(dtype, [count], draw(st.binary(min_size=size, max_size=size)))


@given(st.dictionaries(st.text(max_size=5), arrays(), max_size=5))
def test_what_was_packed_comes_out_again(given: dict[str, Array]) -> None:
    data = pack({"kind": "x", "run": "é"}, given)
    header, found = unpack(data)
    assert header["schema"] == 1
    assert (header["kind"], header["run"]) == ("x", "é")
    assert list(found) == list(given)
    assert [bytes(a.data) for a in found.values()] == [bytes(a.data) for a in given.values()]
    assert [list(a.shape) for a in found.values()] == [list(a.shape) for a in given.values()]
    assert [entry["offset"] % 8 for entry in header["arrays"]] == [0] * len(given)


def test_the_layout_is_the_documented_one() -> None:
    data = sample()
    assert data[:4] == b"OFR1"
    length = int.from_bytes(data[4:8], "little")
    assert length % 8 == 0
    assert json.loads(data[8 : 8 + length])["arrays"] == [
        {"name": "time", "dtype": "float64", "shape": [2], "offset": 0},
        {"name": "cells", "dtype": "uint16", "shape": [2, 3], "offset": 16},
    ]
    assert data[8 + length :] == array("d", [1.5, 2.5]).tobytes() + array(
        "H", range(6)
    ).tobytes() + bytes(4)


@given(st.integers(0, len(sample()) - 1))
def test_a_file_cut_short_is_refused(length: int) -> None:
    with pytest.raises(ArrayFileError):
        unpack(sample()[:length])


def test_a_file_with_something_behind_it_is_refused() -> None:
    with pytest.raises(ArrayFileError, match="its arrays have 32 bytes; found 40"):
        unpack(sample() + bytes(8))


@given(st.integers(0, len(sample()) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_changes_values_alone(at: int, change: int) -> None:
    data = bytearray(sample())
    data[at] ^= change
    try:
        _, found = unpack(bytes(data))
    except ArrayFileError:
        return
    assert sum(len(array.data) for array in found.values()) <= len(data)


def with_header(text: bytes) -> bytes:
    text += b" " * (-len(text) % 8)
    return b"OFR1" + len(text).to_bytes(4, "little") + text


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "kind"),
        (b"PK\3\4" + bytes(100), "kind"),
        (b"OFR1" + (1 << 20).to_bytes(4, "little") + bytes(1 << 20), "header"),
        (b"OFR1" + bytes(MAX_FILE_BYTES), "length"),
        (with_header(b"[]"), "header"),
        (with_header(b"{}"), "header"),
        (with_header(b'{"arrays":[]}'), "schema"),
        (with_header(b'{"schema":2,"arrays":[]}'), "schema"),
        (with_header(b'{"schema":1,"arrays":7}'), "header"),
        (with_header(b'{"schema":1,"arrays":[7]}'), "header"),
        (with_header(b'{"schema":1,"arrays":[{"name":"a","dtype":"f","shape":[]}]}'), "header"),
    ],
)
def test_what_is_no_file_of_this_schema_is_refused(data: bytes, kind: str) -> None:
    with pytest.raises(ArrayFileError) as refused:
        unpack(data)
    assert refused.value.kind == kind


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 7), ("dtype", "int8"), ("dtype", None), ("shape", [-1]), ("shape", [True]),
        ("shape", [2.0]), ("shape", [1 << 40]), ("shape", [1, 1, 2]), ("shape", "2"),
        ("offset", 8), ("offset", None), ("shape", [1 << 20, 1 << 20]),
    ],
)  # fmt: skip
def test_an_array_that_does_not_fit_is_refused(field: str, value: object) -> None:
    entry = {"name": "a", "dtype": "float64", "shape": [2], "offset": 0, field: value}
    text = json.dumps({"schema": 1, "arrays": [entry]}).encode()
    with pytest.raises(ArrayFileError):
        unpack(with_header(text) + bytes(16))


def test_the_same_name_twice_is_refused() -> None:
    entry = {"name": "a", "dtype": "float64", "shape": [0], "offset": 0}
    text = json.dumps({"schema": 1, "arrays": [entry, entry]}).encode()
    with pytest.raises(ArrayFileError, match="lists 'a' twice"):
        unpack(with_header(text))


def test_an_array_that_is_not_its_shape_is_not_packed() -> None:
    with pytest.raises(ValueError, match="16 bytes for float64 of"):
        pack({}, {"a": Array("float64", [3], bytes(16))})
