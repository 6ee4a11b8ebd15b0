"""What is asked of the paper exchange, and what becomes of it: requests, fills, ends of orders.

Prices and quantities are decimals, exact: what an order says in text is what it means, and a
recorded number, a double, stands for the shortest decimals that mean it. Times are ms since the
epoch, UTC, of events: nothing here knows what time it is.
"""

from dataclasses import dataclass
from decimal import Context, Decimal
from enum import StrEnum

from orderflow.errors import OrderflowError

MATH = Context(prec=60)
"""Arithmetic on prices, quantities and money. Products and sums are exact as far as 60 digits."""
LARGEST = Decimal(10) ** 15
LATEST_MS = 253_402_300_799_999
"""The end of the year 9999."""
MOST_DECIMALS = 18


class OrderError(OrderflowError):
    """Report an order that cannot be meant; `order` is its number and `value` what was found."""

    def __init__(self, message: str, order: int, value: object) -> None:
        super().__init__(f"order {order}: {message}; found {str(value)[:60]}")
        self.order = order
        self.value = value


class Side(StrEnum):
    """Whether an order buys or sells; of a trade, whether its taker did."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """Return 1 for a buy and -1 for a sell."""
        return 1 if self is Side.BUY else -1


class OrderType(StrEnum):
    """What an order does where it meets the other side, and whether it may rest.

    A market order takes and never rests; a limit order takes up to its price and rests; one that
    is post-only rests, or expires where it would take.
    """

    LIMIT = "limit"
    POST_ONLY = "post_only"
    MARKET = "market"


class OrderStatus(StrEnum):
    """How an order ended, or `open` where it had not when the market did."""

    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """One order as it is sent.

    `order` is its number, no other order's of the run. `price` is None for a market order.
    `cancel_ms` is when its cancellation is sent, None for never; `valid_until_ms` is the last
    moment at which it may arrive.

    Raise `OrderError` for what cannot be meant.
    """

    order: int
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal | None
    sent_ms: int
    cancel_ms: int | None = None
    valid_until_ms: int | None = None

    def __post_init__(self) -> None:
        if (self.price is None) != (self.type is OrderType.MARKET):
            msg = "a limit or post_only order has a price, and a market order none"
            raise OrderError(msg, self.order, f"{self.type.value} with price {self.price}")
        for name in ("sent_ms", "cancel_ms", "valid_until_ms"):
            ms = getattr(self, name)
            if ms is not None and not 0 <= ms <= LATEST_MS:
                msg = f"{name} is a time in ms from 1970 to 9999"
                raise OrderError(msg, self.order, ms)
        self._check("qty", self.quantity)
        if self.price is not None:
            self._check("price", self.price)
        if self.cancel_ms is not None and self.cancel_ms < self.sent_ms:
            msg = f"an order sent at {self.sent_ms} is cancelled at that time or later"
            raise OrderError(msg, self.order, self.cancel_ms)

    def _check(self, name: str, number: Decimal) -> None:
        usable = number.is_finite() and 0 < number < LARGEST
        if not usable or decimals_of(number) > MOST_DECIMALS:
            msg = f"{name} is above 0, below {LARGEST:g} and has at most {MOST_DECIMALS} decimals"
            raise OrderError(msg, self.order, number)


@dataclass(frozen=True, slots=True)
class Fill:
    """A trade of an own order.

    `fee` is in the currency of the cash (see `trading.account.Contract`); below 0 it is a rebate.
    """

    order: int
    time_ms: int
    side: Side
    price: Decimal
    quantity: Decimal
    maker: bool
    fee: Decimal


@dataclass(frozen=True, slots=True)
class OrderEnd:
    """How an order ended, and when at the exchange; `filled` is the quantity filled until then.

    `reason` says why it was rejected, or why part of it expired; it is empty otherwise.
    """

    order: int
    status: OrderStatus
    time_ms: int
    filled: Decimal
    reason: str = ""


def exact(number: float) -> Decimal:
    """Return the shortest decimals that mean a recorded number, the recorded ones up to 15 digits.

    Beyond 15 digits a recording's text is read as the nearest double, as everywhere else.
    """
    return Decimal(repr(number))


def signed(number: Decimal, sign: int) -> Decimal:
    """Return a number or, where the sign is -1, its negative, to the last digit."""
    return number if sign > 0 else number.copy_negate()


def decimals_of(number: Decimal) -> int:
    """Return how many decimals a finite number has, not counting zeros at its end."""
    exponent = MATH.create_decimal(number).normalize(MATH).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
