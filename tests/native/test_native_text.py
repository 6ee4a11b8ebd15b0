"""The compiled book of levels as text and reader of stored rows, beside the Python ones."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from compiled_twins import compiled_twins
from hostile_rows import damaged, hostile_row
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from exchanges import binance, kraken, kraken_v1, okx
from exchanges.depth import PythonTextBook, TextBook
from exchanges.level_form import LevelForm
from exchanges.levels import Level
from simulator import stored_rows
from simulator.stored_rows import book_content, python_parse_row, row_line, trade_content

native = compiled_twins()

Books = tuple[PythonTextBook, Any]
FORMS = (
    okx.LEVEL_FORM,
    kraken.level_form(kraken.Scale(2, 8)),
    kraken_v1.level_form(kraken.Scale(5, 8), 1_500_000),
    LevelForm(b'["', b'","', None, b'"]', *binance.Scale(8, 8)),
)
ODD_PRICES = ("0", "0.0", "0.00", "1e2", "-5", "007", "100.", ".5", "nan", "1_0", "", "1" * 20)
# One more digit than 64 bits hold, and more than a price of this world has.
LONG_PRICES = (
    "9" * 19,
    "1" + "0" * 19 + ".5",
    "1" * 30,
    "1" * 31,
    f"0.{'0' * 17}1",
    f"1.{'1' * 19}",
)
ODD_SIZES = ("0.0", "00", "1e-3", "000.50", "-1", "", "9" * 30 + ".5", "9" * 31, f"0.{'5' * 19}")
ODD_ENDS = (
    ',"0"', ',"0","7","8"', ',"x","7"', ',"0","x"', ',"0",""', f',"0","{"9" * 19}"', ",7", ",null",
)  # fmt: skip


def text_level(random: Random, middle: int) -> str:
    """Write a level, mostly as an exchange does, on few prices that meet again."""
    tick = random.randrange(-20, 20)
    price = f"{middle + tick / 10:.{random.choice((1, 1, 1, 1, 2, 3))}f}"
    size = random.choice(("0", "0", "1", "2.5", "2.50", "7"))
    end = random.choice(("", f',"{random.randrange(3)}"', *3 * (f',"0","{random.randrange(3)}"',)))
    odd = random.random()
    if odd < 0.01:
        price = random.choice(ODD_PRICES)
    elif odd < 0.012:
        price = random.choice(LONG_PRICES)
    elif odd < 0.02:
        size = random.choice(ODD_SIZES)
    elif odd < 0.03:
        end = random.choice(ODD_ENDS)
    elif odd < 0.04:
        return f"[{price},{size}]"
    return f'["{price}","{size}"{end}]'


def text_side(random: Random, middle: int) -> Any:
    levels = [text_level(random, middle) for _ in range(random.choice((0, 1, 2, 5, 12, 40)))]
    order = random.random()
    if order < 0.6:
        levels = sorted(dict.fromkeys(levels), reverse=order < 0.3)
    text = f"[{','.join(levels)}]"
    if random.random() < 0.1:
        text = text.replace(",", ", ")
    odd = random.random()
    if odd < 0.03:
        return damaged(random, text.encode())
    if odd < 0.05:
        return random.choice((text, None, b"", "", [["100.5", "2"], ("101", "0", "0", "4")]))
    return text.encode()


def assert_same_books(books: Books, given: object) -> None:
    python, compiled = books
    for name in ("rejected", "unreadable", "price_decimals", "size_decimals"):
        assert getattr(compiled, name) == getattr(python, name), (name, given)
    assert len(compiled) == len(python), given
    assert compiled.row_changes() == python.row_changes(), given
    for depth in (None, 1, 2, 5, 10, 30):
        view = compiled.view(depth)
        assert (type(view), view) == (type(python.view(depth)), python.view(depth)), given
        for form in FORMS:
            assert compiled.view_text(depth, form) == python.view_text(depth, form), given
        for how in range(4):
            asked: Any = {"delete_fallen": how % 2 == 0, "with_orders": how < 2}
            expected = python.changes(depth, **asked)
            assert compiled.changes(depth, **asked) == expected, (depth, asked, given)
            text = python.changes_text(depth, FORMS[how], **asked)
            assert compiled.changes_text(depth, FORMS[how], **asked) == text, (depth, asked, given)


def compare_text_books(random: Random) -> None:
    books = PythonTextBook(), native.TextBook()
    middle = random.choice((3, 100, 105_000))
    bids: Any
    asks: Any
    for _ in range(random.randrange(1, 12)):
        if random.random() < 0.05:
            bids, asks, snapshot = hostile_row(random)
        else:
            bids, asks = text_side(random, middle), text_side(random, middle)
            snapshot = random.random() < 0.15
        for book in books:
            book.read(bids, asks, snapshot=snapshot)
        assert_same_books(books, (bids, asks, snapshot))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**64))
def test_rows_of_text_make_the_same_book_and_the_same_text(seed: int) -> None:
    compare_text_books(Random(seed))


LEVELS = st.lists(
    st.builds(
        Level,
        st.sampled_from(["1", "1.0", "1.5", "01.50", "2", "2.25", "7", "12345678901234567890.5"]),
        st.sampled_from(["0", "0.0", "", ".", "1", "1.50", "x", "1" * 300]),
        st.sampled_from([None, "", "0", "3", "3" * 300]),
    ),
    max_size=6,
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(LEVELS, LEVELS, st.booleans()), max_size=6))
def test_levels_make_the_same_book(rows: list[tuple[list[Level], list[Level], bool]]) -> None:
    books = PythonTextBook(), native.TextBook()
    for bids, asks, snapshot in rows:
        for book in books:
            book.apply(bids, asks, snapshot=snapshot)
        assert_same_books(books, rows)


@pytest.mark.parametrize("price", ["12345678901234567890.5", "9" * 30])
def test_a_price_beyond_64_bits_is_kept_digit_for_digit(price: str) -> None:
    book = TextBook()
    book.read(b'[["100.5","1","0","2"]]', b"[]")
    book.read(f'[["{price}","3"],["100.50","4"]]'.encode(), b"[]")
    assert book.view_text(None, okx.LEVEL_FORM)[0] == (
        f'[["{price}","3","0","1"],["100.5","4","0","1"]]'.encode()
    )


def test_a_deep_book_is_the_same_when_few_levels_change() -> None:
    books = PythonTextBook(), native.TextBook()
    levels = [f'["{price}.5","1","0","1"]' for price in range(1000, 6000)]
    for row in (levels, levels[10:12], [f'["{price}","2"]' for price in (5999, 1000, 3500)]):
        side = f"[{','.join(row)}]".encode()
        for book in books:
            book.read(side, side)
        assert_same_books(books, row)


@pytest.mark.parametrize("book", [PythonTextBook(), native.TextBook()], ids=["python", "compiled"])
def test_a_view_of_no_level_is_refused(book: Any) -> None:
    uses: tuple[Callable[[], object], ...] = (
        lambda: book.view(0),
        lambda: book.changes(0, delete_fallen=True),
        lambda: book.view_text(-1, okx.LEVEL_FORM),
    )
    for use in uses:
        with pytest.raises(ValueError, match="1 level a side at least"):
            use()


# -- stored rows


IDS = st.one_of(st.none(), st.integers(-(2**63), 2**63))
SIDES = st.sampled_from([b"[]", b'[["1","2"]]', b'[["a","asks"]]', b'[["1",null]]', b""])
BOOKS = st.builds(
    lambda bids, asks, ids, lost, snapshot, reliable: book_content(
        bids, asks, ids=ids, lost=lost, snapshot=snapshot, reliable=reliable
    ),
    SIDES,
    SIDES,
    st.tuples(IDS, IDS),
    st.sampled_from([(), (("late_rows", 2, 10),)]),
    st.booleans(),
    st.booleans(),
)
WORDS = st.one_of(st.none(), st.sampled_from(["1", "buy", "sell", 'a"b', "a\\b", "\x01", "é", ""]))
TRADES = st.builds(lambda name, side: trade_content((0, name, 1.5, 2e-7, side, 5)), WORDS, WORDS)
ENDS = st.just(stored_rows.END_CONTENT)
NUMBERS = st.one_of(st.integers(-3, 3), st.integers(-(10**20), 10**20))


@settings(max_examples=1000, deadline=None)
@given(NUMBERS, NUMBERS, st.one_of(BOOKS, TRADES, ENDS), st.booleans())
def test_stored_rows_are_read_alike(seq: int, ts: int, content: bytes, line_break: bool) -> None:
    line = row_line(seq, ts, content)
    line = line if line_break else line[:-1]
    assume(min(seq, ts) >= -(2**63) and max(seq, ts) < 2**64)  # orjson reads no others
    expected, row = python_parse_row(line), native.parse_row(line)
    assert (type(row), row) == (type(expected), expected)
    assert list(map(type, row)) == list(map(type, expected))


def compare_stored_rows(random: Random) -> None:
    """Damage a row again and again; what the compiled reader takes it must read as Python does."""
    bids, asks = (text_side(random, 100) for _ in range(2))
    sides = [side if isinstance(side, bytes) else b"[]" for side in (bids, asks)]
    ids = random.choice(((None, None), (5, 4)))
    book = book_content(*sides, snapshot=False, reliable=True, ids=ids)
    content = random.choice((book, trade_content((0, "7", 1.5, 2.0, "buy", 5))))
    line = row_line(random.randrange(10**9), random.randrange(10**13), content)
    for _ in range(8):
        assert read_or_error(native.parse_row, line) == read_or_error(python_parse_row, line), line
        line = damaged(random, line)[:20_000]


def read_or_error(read: Callable[[bytes], Any], line: bytes) -> Any:
    try:
        return read(line)
    except (KeyError, TypeError, ValueError) as error:
        return type(error)


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 2**64))
def test_damaged_rows_are_read_alike_or_refused_alike(seed: int) -> None:
    compare_stored_rows(Random(seed))
