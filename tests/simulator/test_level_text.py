"""Levels in the store are the recorded text, or say the same with the recorded digits."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from level_parser import parse_side
from orderflow.errors import LevelFormatError
from simulator.level_text import level_text


@pytest.mark.parametrize(
    "text",
    [
        b'[["30243.50", "0.10", "0", "4"]]',
        b"[[30243.50,1e-3],[1,2]]",
        b' [ ["1","2"] ] ',
        b"[]",
        b'[["007",".5"]]',
        b'[["x","1"],["1","2"]]',
        '[["1","2","ü"]]'.encode(),
    ],
)
def test_json_stays_as_it_was_recorded(text: bytes) -> None:
    assert level_text(text)[0] == text
    assert level_text(text.decode())[0] == text


def test_a_line_break_of_json_becomes_a_blank() -> None:
    assert level_text(b'[["1",\n"2"],\r\n["3","4"]]')[0] == b'[["1", "2"],  ["3","4"]]'


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"[('30243.50', '0.10')]", b'[["30243.50","0.10"]]'),
        (b"[(30243.50, 0.10, None)]", b'[["30243.50","0.10",null]]'),
        (b"((30243.50, 1e-9),)", b'[["30243.50","1e-9"]]'),
        (b"[[1.10, 2],]", b'[["1.10","2"]]'),
        (b"[(\"1.10\",\n '2.0'), (3.0,\r\n 4_0)]", b'[["1.10","2.0"],["3.0","40"]]'),
        (b'[[NaN, 1], [1.10, "2"]]', b'[["NaN","1"],["1.10","2"]]'),
        (b'[{"asks": 1}, ["1.0", "2"]]', b'[null,["1.0","2"]]'),
        ([(1.5, 2.0), ["3", 4]], b'[["1.5","2.0"],["3","4"]]'),
        (None, b"[]"),
        (b"", b"[]"),
        (b"null", b"[]"),
    ],
)
def test_anything_else_is_written_anew_with_its_digits(raw: object, text: bytes) -> None:
    assert level_text(raw)[0] == text  # type: ignore[arg-type]


def test_unusable_levels_are_counted() -> None:
    assert level_text(b'[["x","1"],["1","2"],["-1","2"]]')[1] == 2


@pytest.mark.parametrize("raw", [b"{}", b"[[1,2]", b"12", b"\xff"])
def test_what_is_no_array_of_levels_is_an_error(raw: bytes) -> None:
    with pytest.raises(LevelFormatError):
        level_text(raw)


FIELDS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(0, 10**20),
    st.floats(),
    st.text(max_size=4),
    st.decimals(0, 10**9, places=4).map(str),
    st.sampled_from(["1_0", "nan", "1e5", "٣", ',"asks":[', "\n", "'", '"']),
)
LEVELS = st.lists(
    st.one_of(st.lists(FIELDS, max_size=4), st.lists(FIELDS, max_size=3).map(tuple), FIELDS),
    max_size=4,
)


@given(LEVELS, st.sampled_from(["json", "indented", "literal"]))
def test_it_says_what_was_recorded_in_one_line_without_an_object(
    levels: list[object], written: str
) -> None:
    text = str(levels) if written == "literal" else json.dumps(levels)
    raw = json.dumps(levels, indent=1).encode() if written == "indented" else text.encode()
    try:
        said = parse_side(raw)
    except LevelFormatError:
        with pytest.raises(LevelFormatError):
            level_text(raw)
        return
    stored, rejected = level_text(raw)
    assert parse_side(stored) == said
    assert rejected == said[2]
    assert b"\n" not in stored
    assert isinstance(orjson.loads(stored), list)
    assert b',"asks":' not in stored
