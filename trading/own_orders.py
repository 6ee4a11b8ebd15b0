"""The own orders that rest on one side, by price, with the queue ahead of each."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from math import inf

from trading.orders import MATH, OrderRequest, Side


@dataclass(slots=True)
class RestingOrder:
    """An order in the book.

    `price` is the double that the book knows its price by. `left` is its quantity not yet filled,
    `queue` what is ahead of it. `crosses` says that it came to rest at a price that the other side
    had reached already, which therefore fills nothing until it has gone beyond and come back.
    """

    request: OrderRequest
    price: float
    left: Decimal
    queue: Decimal
    crosses: bool = False


class OwnOrders:
    """The resting orders of one side.

    `best` is the highest bid's price, or the lowest ask's price times -1, and -inf where there is
    no order. `levels` has the orders of each price in the order of their arrival, and `shown` the
    size that the book last showed at each of these prices.
    """

    def __init__(self, side: Side) -> None:
        self.sign = side.sign
        self.best = -inf
        self.levels: dict[float, list[RestingOrder]] = {}
        self.shown: list[float] = []
        self.crossing: list[RestingOrder] = []

    def add(self, order: RestingOrder, shown: float) -> None:
        """Add an order at whose price the book shows this size."""
        if order.price not in self.levels:
            self.levels[order.price] = []
            self.shown.append(shown)
            self.best = max(self.best, self.sign * order.price)
        self.levels[order.price].append(order)
        if order.crosses:
            self.crossing.append(order)

    def remove(self, order: RestingOrder) -> None:
        """Remove an order."""
        level = self.levels[order.price]
        level.remove(order)
        if order.crosses:
            self.crossing.remove(order)
        if not level:
            del self.shown[list(self.levels).index(order.price)]
            del self.levels[order.price]
            self.best = max((self.sign * price for price in self.levels), default=-inf)

    def let_go(self, best: float | None) -> None:
        """Take note of the best price of the other side, for orders that crossed it so far."""
        for order in self.crossing:
            order.crosses = best is not None and self.sign * order.price >= self.sign * best
        self.crossing = [order for order in self.crossing if order.crosses]

    def is_reached_by(self, price: float) -> bool:
        """Return whether an order rests at this price or beyond it."""
        return self.sign * price <= self.best

    def beyond(self, price: float) -> list[RestingOrder]:
        """Return the orders at better prices than this, the best first."""
        return self._where(p for p in self.levels if self.sign * p > self.sign * price)

    def up_to(self, price: float) -> list[RestingOrder]:
        """Return the orders at this price or better, the best first."""
        return self._where(p for p in self.levels if self.sign * p >= self.sign * price)

    def _where(self, prices: Iterable[float]) -> list[RestingOrder]:
        best_first = sorted(prices, key=lambda price: -self.sign * price)
        return [order for price in best_first for order in self.levels[price]]

    def at(self, price: float) -> list[RestingOrder]:
        """Return the orders at this price in the order of their arrival."""
        return list(self.levels.get(price, ()))

    @property
    def quantity(self) -> Decimal:
        """Return what all orders have left."""
        lefts = (order.left for orders in self.levels.values() for order in orders)
        return reduce(MATH.add, lefts, Decimal(0))
