"""What fills add up to, position, cash, fees and realised profit, and the limits set on them."""

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal

from orderflow.errors import UsageError
from trading.orders import MATH, Fill, Side, signed

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Contract:
    """What one unit of quantity is worth, and which prices and quantities there are.

    Linear: a unit is worth `size` times price, in quote currency. Inverse: `size` by price, in base
    currency, as of swaps that are margined in the coin. Cash, fees and profit are in this currency;
    a quotient is rounded to 60 digits. Orders must be multiples of `tick` and `lot`; without a
    tick, an order's price must have no more decimals than those in the book.

    Raise `UsageError` for a size, tick or lot that is not above 0.
    """

    size: Decimal = Decimal(1)
    inverse: bool = False
    tick: Decimal | None = None
    lot: Decimal | None = None

    def __post_init__(self) -> None:
        for name in ("size", "tick", "lot"):
            value = getattr(self, name)
            if value is not None and not (value.is_finite() and value > 0):
                msg = f"a contract's {name} is a number above 0; found {value}"
                raise UsageError(msg, name, value)

    def value(self, price: Decimal, quantity: Decimal) -> Decimal:
        """Return what a quantity is worth at a price."""
        units = MATH.multiply(self.size, quantity)
        return MATH.divide(units, price) if self.inverse else MATH.multiply(units, price)


@dataclass(frozen=True, slots=True)
class Fees:
    """The rates of the value that makers and takers pay; a rate below 0 is a rebate."""

    maker: Decimal = ZERO
    taker: Decimal = ZERO

    def of(self, value: Decimal, *, maker: bool) -> Decimal:
        """Return the fee on a fill of this value."""
        return MATH.multiply(value, self.maker if maker else self.taker)


@dataclass(slots=True)
class Account:
    """Position, cash, fees and realised profit, brought forward fill by fill.

    `position` is above 0 when long. `cash` is what sales brought in less what purchases cost, and
    for an inverse contract the other way round, as its profit is in the coin; fees are apart, in
    `maker_fees` and `taker_fees`. `realised` is the profit of what was closed, before fees, by
    average cost: closing a part takes the same part of the value the position was opened for.
    """

    contract: Contract = field(default_factory=Contract)
    position: Decimal = ZERO
    cash: Decimal = ZERO
    maker_fees: Decimal = ZERO
    taker_fees: Decimal = ZERO
    realised: Decimal = ZERO
    open_value: Decimal = ZERO

    @property
    def fees(self) -> Decimal:
        """Return all fees paid, less rebates."""
        return MATH.add(self.maker_fees, self.taker_fees)

    def add(self, fill: Fill) -> None:
        """Bring the account forward by a fill."""
        value = self.contract.value(fill.price, fill.quantity)
        self.cash = MATH.subtract(self.cash, self._signed(value, fill.side.sign))
        if fill.maker:
            self.maker_fees = MATH.add(self.maker_fees, fill.fee)
        else:
            self.taker_fees = MATH.add(self.taker_fees, fill.fee)
        held = self.position.copy_abs()
        closed = min(held, fill.quantity) if signed(self.position, fill.side.sign) < 0 else ZERO
        if closed:
            self._close(closed, held, MATH.divide(MATH.multiply(value, closed), fill.quantity))
        opened = MATH.subtract(fill.quantity, closed)
        if opened:
            share = MATH.divide(MATH.multiply(value, opened), fill.quantity)
            self.open_value = MATH.add(self.open_value, share)
        self.position = MATH.add(self.position, signed(fill.quantity, fill.side.sign))

    def _close(self, closed: Decimal, held: Decimal, brought: Decimal) -> None:
        """Realise the profit on `closed` of the `held` quantity, which brought in this value."""
        part = MATH.multiply(self.open_value, closed)
        cost = self.open_value if closed == held else MATH.divide(part, held)
        self.open_value = MATH.subtract(self.open_value, cost)
        gain = MATH.subtract(brought, cost)
        sign = 1 if self.position > 0 else -1
        self.realised = MATH.add(self.realised, self._signed(gain, sign))

    def _signed(self, value: Decimal, sign: int) -> Decimal:
        """Return what a value adds to a profit on this side: of the coin, a long position owes."""
        return signed(value, -sign if self.contract.inverse else sign)

    def equity(self, price: Decimal) -> Decimal:
        """Return cash, plus what the position is worth at `price`, less fees."""
        worth = self.contract.value(price, self.position)
        return MATH.subtract(MATH.add(self.cash, self._signed(worth, 1)), self.fees)

    @property
    def average_cost(self) -> Decimal | None:
        """Return the average price of the position that is open, None where there is none."""
        held = MATH.multiply(self.contract.size, self.position.copy_abs())
        if not held:
            return None
        if self.contract.inverse:
            return MATH.divide(held, self.open_value)
        return MATH.divide(self.open_value, held)


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """What orders are refused for.

    `max_position` is the most that may be held either way when all open orders of the side are
    filled. `max_orders` is how many orders may arrive in any `rate_window_ms` of event time. After
    a loss of `max_loss`, marked at the mid when an order arrives, every order is refused. None
    stands for no limit.

    Raise `UsageError` for a limit that is not above 0.
    """

    max_position: Decimal | None = None
    max_orders: int | None = None
    rate_window_ms: int = 1000
    max_loss: Decimal | None = None

    def __post_init__(self) -> None:
        for name in ("max_position", "max_orders", "rate_window_ms", "max_loss"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                msg = f"{name} is above 0; found {value}"
                raise UsageError(msg, name, value)


class RiskGate:
    """Refuse orders beyond the limits, and all orders once the kill switch was used.

    Orders are looked at when they arrive, in event time, so that the same run refuses the same.
    Cancellations are never refused.
    """

    def __init__(self, limits: RiskLimits | None = None) -> None:
        self.limits = limits or RiskLimits()
        self.killed = ""
        self._arrivals: deque[int] = deque()

    def kill(self, why: str) -> None:
        """Refuse every order from now on; `why` is part of the reason given."""
        self.killed = why

    def mark(self, equity: Decimal, now_ms: int) -> None:
        """Take note of what the run has gained so far, below 0 where it has lost."""
        most = self.limits.max_loss
        if most is not None and not self.killed and equity <= -most:
            self.kill(f"a loss of {-equity:.10g} at {now_ms}, the limit is {most:f}")

    def refusal(
        self, side: Side, quantity: Decimal, now_ms: int, position: Decimal, open_quantity: Decimal
    ) -> str:
        """Return why an order that arrives now is refused, or empty text where it is not.

        `open_quantity` is what the open orders of its side have left.
        """
        if self.killed:
            return f"kill switch: {self.killed}"
        limits, arrivals = self.limits, self._arrivals
        if limits.max_orders is not None:
            while arrivals and arrivals[0] <= now_ms - limits.rate_window_ms:
                arrivals.popleft()
            if len(arrivals) >= limits.max_orders:
                return f"order rate: more than {limits.max_orders} in {limits.rate_window_ms} ms"
            arrivals.append(now_ms)
        if limits.max_position is not None:
            reached = MATH.add(MATH.add(signed(position, side.sign), open_quantity), quantity)
            if reached > limits.max_position:
                return f"position limit: {reached:f} of {limits.max_position:f}"
        return ""
