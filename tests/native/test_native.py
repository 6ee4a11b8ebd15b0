import os
import sqlite3
import subprocess
import sys
from math import fsum, inf
from random import Random
from typing import Any

import pytest
from compiled_twins import compiled_twins
from hostile_rows import HOSTILE_NUMBERS, HOSTILE_SIDES, hostile_row
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from places import PROJECT, REAL_DATA

from level_parser import parse_side
from metrics_calculator import python_sample_bars
from orderbook_manager import PythonOrderbookManager
from orderflow.errors import OrderflowError

native = compiled_twins()

Books = tuple[PythonOrderbookManager, Any]


def both(depth: int = 50, *, uncross: bool = False) -> Books:
    return (
        PythonOrderbookManager(depth, uncross=uncross),
        native.OrderbookManager(depth, uncross=uncross),
    )


def apply_to_both(books: Books, bids: Any, asks: Any, snapshot: bool = False) -> Any:
    python, compiled = books
    expected = python.update(bids, asks, snapshot)
    assert compiled.update(bids, asks, snapshot) == expected, (bids, asks)
    assert_same_counts(books, bids, asks)
    return expected


def apply_rows_to_both(books: Books, rows: list[tuple[Any, Any, bool]]) -> Any:
    python, compiled = books
    given = [(n, 0, bids, asks) for n, (bids, asks, _) in enumerate(rows)]
    marks = [snapshot for _, _, snapshot in rows]
    expected = python.update_rows(given, marks)
    outcome = compiled.update_rows(given, marks)
    samples = outcome.samples
    assert type(outcome) is type(expected)
    assert outcome._replace(samples=list(samples)) == expected, rows
    part = samples[len(samples) // 2 :]
    assert native.sample_bars(part, 2, []) == python_sample_bars(list(part), 2, []), rows
    assert_same_counts(books, rows)
    return expected


def quote_rows_of_both(books: Books, rows: list[tuple[Any, Any, bool]]) -> None:
    python, compiled = books
    given = [(n, 0, bids, asks) for n, (bids, asks, _) in enumerate(rows)]
    marks = [snapshot for _, _, snapshot in rows]
    assert compiled.quote_rows(given, marks) == python.quote_rows(given, marks), rows
    assert_same_counts(books, rows)


def assert_same_counts(books: Books, *given: Any) -> None:
    python, compiled = books
    for name in ("levels_rejected", "rows_skipped", "crossed_books", "level_counts", "is_empty"):
        assert getattr(compiled, name) == getattr(python, name), (name, given)


def assert_same_levels(books: Books, *counts: int) -> None:
    python, compiled = books
    for count in counts:
        assert compiled.top_levels(count) == python.top_levels(count)


def side(levels: Any) -> bytes:
    return str([list(level) for level in levels]).encode()


def compare_sequence(random: Random) -> None:
    depth = random.choice((1, 2, 5, 20, 50, 50, 300))
    books = both(depth, uncross=random.random() < 0.4)
    for _ in range(random.randrange(1, 25)):
        if random.random() < 0.4:
            apply_to_both(books, *hostile_row(random))
        else:
            several = random.choice((apply_rows_to_both, quote_rows_of_both))
            several(books, [hostile_row(random) for _ in range(random.randrange(6))])
        assert_same_levels(books, depth)
        if random.random() < 0.02:
            for book in books:
                book.clear()
    assert_same_levels(books, 0, 1, 10**6)


def many(times: int) -> settings:
    return settings(
        max_examples=times * settings().max_examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


@many(3)
@given(st.randoms(use_true_random=False, note_method_calls=False))
def test_hostile_rows_leave_the_same_book(random: Random) -> None:
    compare_sequence(Random(random.getrandbits(64)))


@pytest.mark.slow
def test_ten_thousand_hostile_sequences_leave_the_same_books() -> None:
    for seed in range(10_000):
        compare_sequence(Random(seed))


FIELDS = st.one_of(
    st.sampled_from(HOSTILE_NUMBERS),
    st.floats(min_value=0, allow_nan=False).map(repr),
    st.decimals(min_value=0, max_value=10**9, allow_nan=False, places=9).map(str),
    st.text(alphabet='0123456789.,-+eE[]" \t', max_size=12),
)
SIDES = st.one_of(
    st.lists(st.lists(st.tuples(FIELDS, st.booleans()), max_size=5), max_size=6).map(
        lambda levels: (
            "["
            + ",".join(
                "[" + ",".join(f'"{text}"' if quoted else text for text, quoted in level) + "]"
                for level in levels
            )
            + "]"
        ).encode()
    ),
    st.binary(max_size=40),
    st.sampled_from(HOSTILE_SIDES),
)


@pytest.mark.thorough
@many(10)
@given(st.lists(st.tuples(SIDES, SIDES, st.booleans()), max_size=5), st.booleans())
def test_any_text_is_read_alike(rows: list[Any], uncross: bool) -> None:
    books = both(2, uncross=uncross)
    for row in rows:
        apply_to_both(books, *row)
        assert_same_levels(books, 3)


@pytest.mark.parametrize("raw", HOSTILE_SIDES, ids=lambda raw: repr(raw)[:24])
def test_each_odd_side_is_read_alike_on_either_side(raw: Any) -> None:
    books = both(3)
    apply_to_both(books, raw, b'[["2000","1"]]')
    apply_to_both(books, b'[["0.5","1"]]', raw)
    assert_same_levels(books, 5)


def random_decimal(random: Random) -> str:
    digits = random.randrange(1, 22)
    text = str(random.randrange(10 ** (digits - 1), 10**digits))
    point = random.randrange(len(text) + 1)
    number = text[:point].lstrip("0") or "0"
    if text[point:]:
        number += "." + "0" * random.choice((0, 0, 0, 1, 5)) + text[point:]
    if random.random() < 0.1:
        number += f"e{random.randrange(-300, 280)}"
    return number


def assert_decimals_are_floats(count: int, seed: int) -> None:
    random = Random(seed)
    for _ in range(count // 1000):
        texts = [random_decimal(random) for _ in range(1000)]
        quotes = [random.choice(('"', "")) for _ in texts]
        blank = random.choice(("", " "))
        levels = [
            f"[{q}{a}{q},{blank}{q}{b}{q}]"
            for a, b, q in zip(texts, reversed(texts), quotes, strict=True)
        ]
        expected = [float(text) for text in texts]
        read = native.parse_plain_side(f"[{','.join(levels)}]".encode())
        assert read == (expected, expected[::-1])


def test_random_decimals_are_read_as_float_reads_them() -> None:
    assert_decimals_are_floats(20_000, 1)


@pytest.mark.slow
def test_a_million_random_decimals_are_read_as_float_reads_them() -> None:
    assert_decimals_are_floats(1_000_000, 2)


@pytest.mark.parametrize("digits", range(1, 24))
def test_a_number_of_any_length_ends_where_it_ends(digits: int) -> None:
    # Near the end of the text, in its middle, and around the 8 and 16 bytes looked at together.
    for point in range(digits + 1):
        text = "1" * point + "." + "2" * (digits - point) if 0 < point < digits else "3" * digits
        for level in (f"[{text},{text}]", f'["{text}","{text}"]', f'[{text}, "{text}","0",{text}]'):
            raw = f"[{level},{level}]".encode()
            prices, sizes, _ = parse_side(raw)
            assert native.parse_plain_side(raw) == (
                list(map(float, prices)),
                list(map(float, sizes)),
            )


def test_what_is_not_plain_is_left_to_python() -> None:
    odd = (
        b'["1","-0"]', b'["0","1"]', b"[1,2,[3]]", b'["1","1e400"]', b"[01,2]", b"[1,02]", b"[1]",
        b'[" 1","2"]', b'[1,"2]', b"[1.2.3,1]", b"[1.,2]", b"[1,2.]", b"[1,.2]", b"[1,2,]", b"[]",
        b'["1","2","x"]', b"[1,2,05]", b"[1,2e]", b"[1e,2]", b"1", b'"12"', b"", b"[1 2]",
        b"[-1,2]", b"[1,-2]",
    )  # fmt: skip
    plain = b'["104999.3","0.003422192","0","1"]'
    for level in odd:  # near the end and far from it, where text is read in another way
        for raw in (b"[" + level + b"]", b"[" + level + b"," + plain + b"," + plain + b"]"):
            if raw != b"[]":
                assert native.parse_plain_side(raw) is None, raw
    for raw in (b"null", b"{}", b"[[1,2]", b"[[1,2]],", b"[[1,2]]x", b"[[1,2]]\x00", b" ", b"[,]"):
        assert native.parse_plain_side(raw) is None, raw
    assert native.parse_plain_side(b"") == native.parse_plain_side(b" [ ] ") == ([], [])


def test_sums_of_sizes_far_apart_are_still_rounded_once() -> None:
    sizes = [1e16, 1.0, 1e-16, 1e300, 1e-300, 3.0, 1e284, 5e-324, 0.1, 0.2, 0.3, 2.0**53, 2.0**-53]
    random = Random(3)
    for _ in range(200):
        chosen = random.choices(sizes, k=random.randrange(1, 12))
        bids = side((100 - i, size) for i, size in enumerate(chosen))
        sums = apply_to_both(both(9), bids, b"[[200,1]]")
        assert sums == (fsum(chosen[:9]), 1.0)


def test_a_sum_beyond_a_double_is_infinite() -> None:
    assert apply_to_both(both(), b"[[1,1e308],[2,1e308]]", b"[[3,1]]") == (inf, 1.0)


@pytest.mark.parametrize(
    "order",
    [
        pytest.param("best first", marks=pytest.mark.slow),
        pytest.param("worst first", marks=pytest.mark.slow),
        pytest.param("shuffled", marks=pytest.mark.thorough),
    ],
)
@pytest.mark.parametrize("depth", [1, 50, 5000])
def test_large_books_keep_every_level(depth: int, order: str) -> None:
    random = Random(depth)
    ticks = list(range(20_000))
    if order == "shuffled":
        random.shuffle(ticks)
    elif order == "worst first":
        ticks.reverse()
    books = both(depth)
    bids = side((30_000.5 - tick / 2, 1 + tick % 7) for tick in ticks)
    asks = side((30_001 + tick / 2, 1 + tick % 5) for tick in ticks)
    apply_to_both(books, bids, asks, True)
    for first in range(0, 20_000, 1000):  # the best go, so that the window is refilled each time
        gone = range(first, first + 900)
        bids = side((30_000.5 - tick / 2, 0) for tick in gone)
        apply_to_both(books, bids, side((30_001 + tick / 2, 0) for tick in gone))
        assert_same_levels(books, depth, 200, 7000)
    assert books[1].level_counts == (2000, 2000)


def test_a_row_of_many_unsorted_levels_does_not_stall() -> None:
    prices = Random(4).sample(range(1, 10**7), 60_000)
    books = both(50)
    apply_to_both(books, side((price, 1) for price in prices), b"[[10000001,1]]")
    assert_same_levels(books, 1000)
    apply_to_both(books, b"[[1,1]]", b"[[2,1]]", True)
    assert books[1].level_counts == (1, 1)


def test_the_last_of_equal_prices_in_a_row_wins() -> None:
    books = both(2)
    apply_to_both(books, b'[["1.0",1],[1,2],["1e0",3]]', b"[[2,1],[3,1],[2,0]]")
    assert books[1].top_levels(9) == ([[1.0, 3.0]], [[3.0, 1.0]])


def test_a_row_that_cannot_be_read_changes_nothing_on_either_side() -> None:
    books = both()
    apply_to_both(books, b"[[1,1]]", b"[[2,1]]")
    assert apply_to_both(books, b"[[1,9]]", b"{}", True) is None
    assert books[1].top_levels(1) == ([[1.0, 1.0]], [[2.0, 1.0]])
    assert books[1].rows_skipped == 1


def test_what_is_no_side_at_all_raises_alike_and_changes_nothing() -> None:
    no_side: Any = 5
    for book in both():
        with pytest.raises(TypeError):
            book.update(b"[[1,1]]", no_side)
        assert book.is_empty


def test_rows_before_one_that_is_no_side_at_all_are_applied() -> None:
    no_side: Any = 5
    for book in both():
        rows = [(1, 0, b"[[1,1]]", b"[[2,1]]"), (2, 0, no_side, b""), (3, 0, b"[[1,9]]", b"")]
        with pytest.raises(TypeError):
            book.update_rows(rows, [False] * 3)
        assert book.top_levels(1) == ([[1.0, 1.0]], [[2.0, 1.0]])
        for apply in (book.update_rows, book.quote_rows):
            with pytest.raises(ValueError, match=r"snapshot|shorter|longer"):
                apply([], [True])


def test_uncrossing_reaches_past_the_window() -> None:
    books = both(1, uncross=True)
    asks = side((1000 + tick, 1) for tick in range(500))
    apply_to_both(books, b"[[1,1]]", asks, True)
    apply_to_both(books, b"[[1400,7],[1399,5]]", b"[[1300,3]]")
    assert books[1].level_counts == (3, 100)
    assert_same_levels(books, 1000)


def test_the_depth_is_refused_as_in_python() -> None:
    for book in (PythonOrderbookManager, native.OrderbookManager):
        with pytest.raises(OrderflowError, match=r"^depth is at least 1 level a side; found 0$"):
            book(0)


def test_both_classes_have_the_same_members() -> None:
    def members(book: type) -> set[str]:
        return {name for name in dir(book()) if not name.startswith("_")}

    assert members(native.OrderbookManager) == members(PythonOrderbookManager)
    assert native.OrderbookManager.engine == "compiled"


@pytest.mark.parametrize(("value", "engine"), [("1", "python"), ("0", "compiled")])
def test_the_environment_chooses_the_class(value: str, engine: str) -> None:
    code = "import orderbook_manager; print(orderbook_manager.OrderbookManager.engine)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT, env=os.environ | {"ORDERFLOW_PURE_PYTHON": value},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout.strip() == engine


def recorded_instruments() -> list[tuple[str, str]]:
    found = []
    for path in sorted(REAL_DATA.glob("*.db")):
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        for (name,) in connection.execute("SELECT DISTINCT instrument FROM book ORDER BY 1"):
            found.append((path.name, name))
        connection.close()
    return found or [("", "")]


@pytest.mark.thorough
@pytest.mark.parametrize("uncross", [False, True])
@pytest.mark.parametrize(("file", "instrument"), recorded_instruments())
def test_real_recordings_give_the_same_figures(file: str, instrument: str, uncross: bool) -> None:
    if not file:
        pytest.skip("no real recordings in ../shared/data")
    connection = sqlite3.connect(f"{(REAL_DATA / file).as_uri()}?mode=ro", uri=True)
    connection.text_factory = bytes
    rows = connection.execute(
        "SELECT bids, asks FROM book WHERE instrument = ? ORDER BY timestamp, id", [instrument]
    ).fetchall()
    connection.close()
    books = both(50, uncross=uncross)
    for bids, asks in rows:
        apply_to_both(books, bids, asks)
        assert_same_levels(books, 25)
    assert_same_levels(books, 10**6)
