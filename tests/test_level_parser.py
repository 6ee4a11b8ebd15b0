import json
import random
from fractions import Fraction
from math import isfinite, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import hostile_side_texts, side_texts

from level_parser import normalize_levels, parse_levels_including_zeros, parse_side
from orderflow.errors import LevelFormatError
from orderflow.events import OrderbookLevel


@pytest.mark.parametrize(
    "text",
    [
        '[["30243.5","1.5","0","6"],["30244","0","0","0"]]',
        '[["30243.5","1.5","6"],["30244","0","0"]]',
        '[["30243.5","1.5"],["30244","0"]]',
        '[["30243.50", "1.50"], ["30244.0", "0.0"]]',
        "[[30243.5, 1.5], [30244, 0]]",
        "[[3.02435e4,15e-1],[30244,-0.0]]",
        "[['30243.5', '1.5', '0', '6'], ['30244', '0', '0', '0']]",
        "[('30243.5', 1.5), (30244, 0)]",
        "(('30243.5', 1.5,), (30244, 0,),)",
        '[["30243.5",1.5],["30244","0","0","0","more","fields"]]',
        '[["\\u0033\\u0030243.5"," 1.5 "],[" 30244\\n","0"]]',
        ' [ [ "30243.5" , "1.5" ] , [ "30244" , "0" ] ] ',
    ],
)
@pytest.mark.parametrize("kind", [str, str.encode])
def test_one_side_in_every_way_recorders_write_it(text: str, kind: type) -> None:
    assert parse_levels_including_zeros(kind(text)) == [(30243.5, 1.5), (30244.0, 0.0)]
    assert normalize_levels(kind(text)) == [(30243.5, 1.5)]
    assert parse_side(kind(text))[2] == 0


@pytest.mark.parametrize("empty", [None, "", b"", "[]", b"[]", "null", "None", "()", "  ", "[ ]"])
def test_null_empty_text_and_empty_array_are_empty_sides(empty: bytes | str | None) -> None:
    assert parse_side(empty) == ([], [], 0)


@pytest.mark.parametrize(
    "bad",
    [
        '"x"', "{}", "1", "true", "null", "[]", "[1]", '["1"]', '["1",null]', '["a","1"]',
        '["1",true]', "[true,1]", '["1","-1"]', "[1,-1]", "[-1,1]", "[0,1]", '["0.000","1"]',
        '["nan","1"]', '["1","NaN"]', '["inf","1"]', '["1","Infinity"]', '["1_0","1"]',
        '["\u0661","1"]', '["1,2","3"]', '["1 2","3"]', '["","3"]', '["1","[2]"]', "[[1],2]",
        "[1,{}]", "[1e400,1]", '["1e400","1"]', f"[{10**400},1]", f'["{10**400}","1"]',
        f"[1,{10**400}]", "[NaN,1]", "[1,Infinity]", "[-Infinity,1]", '"12"', '["0x10","1"]',
    ],
)  # fmt: skip
def test_one_bad_level_costs_that_level(bad: str) -> None:
    text = f'[["100","1"],{bad},["101","2"]]'
    prices, sizes, rejected = parse_side(text)
    assert (prices, sizes, rejected) == ([100, 101], [1, 2], 1)


@pytest.mark.parametrize(
    "text",
    [
        "{", "[[1,2]", "[[1,2]]]", "[[1 2]]", '{"a":1}', '"text"', "7", "true", "nonsense",
        '[["1,"2"]]', '[5["","2"]]', '[["1","2"]5]', "[[1,2],", "__import__('os')",
        "[" * 100_000, "[" * 100_000 + "]" * 100_000, "(" * 90_000, "[" + "-" * 90_000 + "1]",
        "[" + "1+" * 40_000 + "1]", "\x00", "[[1,2]]\x00", "{" * 100_000, "[[1,'" + "\\" * 9_999,
    ],
)  # fmt: skip
def test_what_is_no_array_of_levels_is_refused_by_name(text: str) -> None:
    with pytest.raises(
        LevelFormatError, match=r"levels must be a JSON array \[\[price, size\], …\]"
    ):
        parse_side(text)


def test_text_beyond_unicode_is_refused() -> None:
    with pytest.raises(LevelFormatError):
        parse_side(b'[["1","2"],["\xff","1"]]')
    with pytest.raises(LevelFormatError, match="Unicode"):
        parse_side("[['\ud800', 1]]")


def test_a_long_literal_is_not_given_to_the_slow_reader() -> None:
    levels = "[" + ", ".join(["('1.5', None or 2)"] * 20_000) + "]"
    with pytest.raises(LevelFormatError):
        parse_side(levels)


def test_levels_given_as_sequences() -> None:
    levels = [OrderbookLevel(100.0, 1.0), OrderbookLevel(nan, 1.0), (101, "2", "x"), [102]]
    assert parse_side(levels) == ([100.0, 101.0], [1.0, 2.0], 2)


def test_numbers_are_correctly_rounded() -> None:
    rng = random.Random(5)
    digits = "".join(rng.choices("0123456789", k=1_000_000))
    texts = [
        f"{rng.choice('123456789')}{digits[i : i + rng.randint(1, 22)]}."
        f"{digits[i + 30 : i + 30 + rng.randint(1, 22)]}"
        for i in range(0, 900_000, 100)
    ]
    for quote in '"', "":
        side = "[" + ",".join(f"[{quote}{text}{quote},1]" for text in texts) + "]"
        quoted = "[" + ",".join(f'["{text}","{text}"]' for text in texts) + "]"
        for prices in (parse_side(side)[0], parse_side(quoted)[0], parse_side(quoted)[1]):
            for text, price in zip(texts, prices, strict=True):
                exact = Fraction(text)
                assert price == float(exact)


@given(side_texts())
def test_what_recorders_write_agrees_with_the_json_module(text: bytes) -> None:
    try:
        levels = json.loads(text)
    except ValueError:
        levels = json.loads(text.replace(b"'", b'"'))
    expected = [(float(level[0]), float(level[1])) for level in levels]
    assert parse_levels_including_zeros(text) == expected


@given(hostile_side_texts())
def test_hostile_text_ends_in_finite_levels_or_the_one_error(text: bytes) -> None:
    try:
        prices, sizes, rejected = parse_side(text)
    except LevelFormatError:
        return
    assert len(prices) == len(sizes)
    assert rejected >= 0
    assert all(isfinite(price) and price > 0 for price in prices)
    assert all(isfinite(size) and size >= 0 for size in sizes)


HOSTILE: list[object] = [
    None, True, "nan", "inf", -1, "-0", "1e5", 1e308, "1e400", 10**400, "", "0", 0, "abc", "1_0",
    [], {}, [1], "1.5.2", " 7 ", float("nan"), float("inf"),
]  # fmt: skip


def _random_level(rng: random.Random) -> object:
    if rng.random() < 0.1:
        return rng.choice(HOSTILE)
    fields: list[object] = [
        rng.choice(HOSTILE)
        if rng.random() < 0.1
        else f"{rng.random() * 10 ** rng.randint(-9, 9):.{rng.randint(0, 12)}f}"
        for _ in range(rng.randint(2, 4))
    ]
    return [
        float(f)
        if isinstance(f, str) and rng.random() < 0.05 and f[:1].isdigit() and f.count(".") < 2
        else f
        for f in fields
    ]


def test_20_000_texts_accepted_and_rejected_make_up_what_was_given() -> None:
    rng = random.Random(20_000)
    accepted = refused = 0
    for number in range(20_000):
        given_levels = [_random_level(rng) for _ in range(rng.randint(0, 8))]
        if number % 4 == 3:
            text = repr(given_levels).replace("inf", "1e999").replace("nan", "1e999")
        else:
            text = json.dumps(given_levels)
        prices, _, rejected = parse_side(text)
        assert len(prices) + rejected == len(given_levels), text
        accepted, refused = accepted + len(prices), refused + rejected
    assert accepted > 20_000
    assert refused > 10_000


@given(st.lists(st.tuples(st.sampled_from(["1", "2.5", "0.1"]), st.sampled_from(["0", "3"]))))
def test_normalised_levels_are_the_parsed_ones_with_a_size(levels: list[tuple[str, str]]) -> None:
    text = json.dumps(levels)
    assert normalize_levels(text) == [
        level for level in parse_levels_including_zeros(text) if level[1] > 0
    ]
