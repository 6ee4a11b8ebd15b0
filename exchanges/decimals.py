"""Decimals as text: kept as recorded, padded with zeros, never with an exponent, never a float."""

import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation, localcontext
from functools import lru_cache

from orderflow.errors import OrderflowError

MOST_DECIMALS = 18
MOST_DIGITS = 30
"""Longest whole part: beyond it a text is no price and no size of this world."""
_PLAIN = re.compile(r"\d{1,30}(?:\.\d{1,18})?", re.ASCII).fullmatch
_WRITTEN = re.compile(r"\d*\.?\d*(?:[eE][+-]?\d{1,9})?", re.ASCII).fullmatch


class DecimalError(OrderflowError):
    """Report a value that is no decimal number an exchange could write; `value` is what it was."""

    def __init__(self, value: object) -> None:
        super().__init__(
            f"a price or size must be a decimal of at most {MOST_DIGITS} digits and "
            f"{MOST_DECIMALS} decimals, not negative; found {str(value)[:60]!r}"
        )
        self.value = value


def plain(value: object) -> str:
    """Return a number as recorded, text without sign or exponent; raise `DecimalError` otherwise.

    Plain text comes back as it is, digit for digit. A float, which a recording may hold where it
    stored a number, becomes the shortest decimals that mean it, and an exponent is written out.
    """
    if isinstance(value, str) and _PLAIN(value):
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise DecimalError(value)
    if isinstance(value, str) and not _WRITTEN(value):  # `Decimal` takes more: "1_0", blanks
        raise DecimalError(value)
    try:
        number = Decimal(repr(value) if isinstance(value, float) else value)
    except (InvalidOperation, ValueError) as error:
        raise DecimalError(value) from error
    # The exponent first: written out, "1e999999999" would be a gigabyte.
    if not number.is_finite() or not -2 * MOST_DIGITS < number.adjusted() < MOST_DIGITS:
        raise DecimalError(value)
    text = f"{number:f}"
    if isinstance(value, float):
        text = text.removesuffix(".0")
    if not _PLAIN(text):
        raise DecimalError(value)
    return text


def decimals_of(text: str) -> int:
    """Return how many decimals a plain text has."""
    return len(text.partition(".")[2])


def most_decimals(texts: Iterable[str]) -> int:
    """Return the most decimals that one of some plain texts has, 0 for none."""
    return max(map(len, [text.partition(".")[2] for text in texts]), default=0)


def pad(text: str, decimals: int) -> str:
    """Return a plain text with zeros added up to `decimals`; one with more keeps them all."""
    missing = decimals - decimals_of(text)
    if missing <= 0:
        return text
    return text + ("" if "." in text else ".") + "0" * missing


def json_number(text: str) -> str:
    """Return a plain text as a JSON number, which has no zeros before its whole part."""
    whole, dot, fraction = text.partition(".")
    return f"{whole.lstrip('0') or '0'}{dot}{fraction}"


def is_zero(text: str) -> bool:
    """Return whether a plain text says zero: as a size, that the level is deleted."""
    return not text.strip("0.")


@lru_cache(maxsize=1 << 16)  # a book's prices come again and again
def order_of(text: str) -> int:
    """Return an integer that orders plain texts by value, the same for `1.5` and `1.50`."""
    whole, _, fraction = text.partition(".")
    return int(whole + fraction.ljust(MOST_DECIMALS, "0"))


def multiply(text: str, factor: str) -> str:
    """Return the exact product of two plain texts, without the zeros that the factor adds."""
    if factor == "1":
        return text
    with localcontext() as context:
        context.prec = 4 * MOST_DIGITS
        product = f"{Decimal(text) * Decimal(factor):f}"
    return plain(product.rstrip("0").rstrip(".") if "." in product else product)
