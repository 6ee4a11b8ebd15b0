"""How an exchange writes the levels of a book."""

from collections.abc import Sequence
from typing import NamedTuple

from exchanges.decimals import is_zero, json_number, pad
from exchanges.levels import UNKNOWN_ORDERS, Level

Sides = tuple[bytes, bytes]
"""The text of bids and of asks, each a JSON array of levels."""
NO_LEVELS = b"[]"


class LevelForm(NamedTuple):
    """The text around price, size and orders of a level, and how numbers are written.

    `before_orders` is None where no orders are written. Prices and sizes have so many decimals at
    least; as `numbers` they have no zeros before their whole part, which JSON does not allow.
    """

    opening: bytes
    between: bytes
    before_orders: bytes | None
    closing: bytes
    price_decimals: int = 0
    size_decimals: int = 0
    numbers: bool = False


def write_levels(levels: Sequence[Level], form: LevelForm) -> bytes:
    """Return levels as a JSON array.

    Where the source has no number of orders, a level says 1, which is made up, and a delete 0.
    """
    opening, between, before_orders, closing, price_decimals, size_decimals, numbers = form
    written = []
    for level in levels:
        price, size = pad(level.price, price_decimals), pad(level.size, size_decimals)
        if numbers:
            price, size = json_number(price), json_number(size)
        orders = b""
        if before_orders is not None:
            orders = before_orders + (level.orders or _orders(level)).encode()
        written.append(
            b"%b%b%b%b%b%b" % (opening, price.encode(), between, size.encode(), orders, closing)
        )
    return b"[%b]" % b",".join(written)


def _orders(level: Level) -> str:
    return "0" if is_zero(level.size) else UNKNOWN_ORDERS
