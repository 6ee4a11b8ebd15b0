"""Find the tick size of a market from its prices, and count prices in ticks."""

from collections.abc import Iterable
from decimal import Decimal
from math import gcd

MAX_TICKS = float(2**45)
"""Prices are below so many ticks, or rounding a quotient of doubles would find the wrong tick."""
MOST_DECIMALS = 22
"""Powers of ten are doubles up to here; no market has a finer tick."""
TICK_ERROR = 2.0**-50
"""A multiple of the tick divided by it is an integer to within this share of it."""


class PriceGrid:
    """The tick size, `units` / 10^`decimals`: the greatest common divisor of all prices given.

    0 units before the first price. `refined` counts how often a later price made it finer.
    `off_tick` is True from when a price would need a tick so fine that prices have 2^45 ticks and
    more: the tick then stays, and a price counts as the nearest tick. `version` grows with each
    change. `highest` is the highest price of which only the tick was kept; who keeps ticks raises
    it, so that no finer tick makes them too many.
    """

    def __init__(self) -> None:
        self.units = 0
        self.decimals = 0
        self.refined = 0
        self.off_tick = False
        self.version = 0
        self.ticks_per_price = 0.0
        self.highest = 0.0

    def fits(self, price: float) -> bool:
        """Return whether `price` is a multiple of the tick."""
        ticks = price * self.ticks_per_price
        return 0.0 < ticks < MAX_TICKS and abs(ticks - round(ticks)) <= ticks * TICK_ERROR

    def fit(self, prices: Iterable[float]) -> None:
        """Make the tick so fine that all of `prices`, finite and positive, are multiples of it."""
        first, left = self.units == 0, set(prices)
        # A finer tick may be too fine for a price that fitted the coarser one.
        while not self.off_tick and (others := [price for price in left if not self.fits(price)]):
            self._refine(min(others), count=not first)

    def _refine(self, price: float, *, count: bool) -> None:
        exponent = Decimal(repr(price)).normalize().as_tuple().exponent
        decimals = min(max(-int(exponent), self.decimals, 0), MOST_DECIMALS)
        number = int(Decimal(repr(price)).scaleb(decimals))
        units = gcd(self.units * 10 ** (decimals - self.decimals), number)
        if number == 0 or number // units >= MAX_TICKS or not self._set(units, decimals):
            self.off_tick = True
            return
        self.refined += count
        self.off_tick = not self.fits(price)  # it has more decimals than a tick may have

    def join(self, other: "PriceGrid") -> None:
        """Make the tick so fine that it divides that of another grid too."""
        self.off_tick |= other.off_tick
        self.highest = max(self.highest, other.highest)
        if other.units:
            decimals = max(self.decimals, other.decimals)
            mine = self.units * 10 ** (decimals - self.decimals)
            units = gcd(mine, other.units * 10 ** (decimals - other.decimals))
            self.off_tick |= not self._set(units, decimals)

    def _set(self, units: int, decimals: int) -> bool:
        """Take a finer tick, and return True, unless the highest price is too high for it."""
        while decimals and units % 10 == 0:
            units, decimals = units // 10, decimals - 1
        ticks_per_price = 10.0**decimals / units
        if self.highest * ticks_per_price >= MAX_TICKS:
            return False
        self.units, self.decimals = units, decimals
        self.ticks_per_price = ticks_per_price
        self.version += 1
        return True

    def ticks_of(self, price: float) -> int:
        """Return the tick nearest to `price`, `MAX_TICKS` at most."""
        return round(min(price * self.ticks_per_price, MAX_TICKS))

    def price_of(self, ticks: float) -> float:
        """Return the price of so many ticks."""
        return ticks * float(self.units) / 10.0**self.decimals

    def ticks_in(self, units: int, decimals: int) -> int:
        """Return how many ticks an earlier tick, of `units` and `decimals`, has now."""
        return units * int(10**self.decimals) // (self.units * int(10**decimals))
