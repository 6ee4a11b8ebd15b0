"""What an account was worth through time, on the best prices of its market."""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from orderflow.events import BookRow, Quote
from trading.account import ZERO, Account, Contract
from trading.orders import MATH, Fill, exact


class Quotes:
    """The best prices of a market through time, the last of each ms; `last_ms` is how far it went.

    Books with an empty side, and crossed ones, have none: the prices before them hold.
    """

    def __init__(self) -> None:
        self.last_ms = 0
        self._times, self._bids, self._asks = array("q"), array("d"), array("d")

    def reached(self, time_ms: int) -> None:
        """Note that the market went as far as this."""
        self.last_ms = max(self.last_ms, time_ms)

    def add(self, time_ms: int, bid: float, ask: float) -> None:
        """Add the best prices after an event; they come in time order."""
        self.reached(time_ms)
        times, bids, asks = self._times, self._bids, self._asks
        if times and times[-1] == time_ms:
            bids[-1], asks[-1] = bid, ask
        elif not times or (bids[-1], asks[-1]) != (bid, ask):
            times.append(time_ms)
            bids.append(bid)
            asks.append(ask)

    def add_each(self, rows: Sequence[BookRow], quotes: Sequence[Quote | None]) -> None:
        """Add the best prices after each row; None after one that could not be read."""
        before: tuple[float | None, float | None] = (None, None)
        for row, quote in zip(rows, quotes, strict=True):
            if quote is None:
                continue
            bid, ask = best = quote[:2]
            if best != before and bid is not None and ask is not None and bid < ask:
                self.add(row[0], bid, ask)
                before = best

    @property
    def first_ms(self) -> int | None:
        """Return the time of the first prices, None where there are none."""
        return self._times[0] if self._times else None

    def at(self, time_ms: int) -> tuple[float, float] | None:
        """Return best bid and ask after all events up to and at a time, None before the first."""
        place = bisect_right(self._times, time_ms) - 1
        return None if place < 0 else (self._bids[place], self._asks[place])

    def mid_at(self, time_ms: int) -> float | None:
        """Return the mid after all events up to and at a time, None before the first."""
        best = self.at(time_ms)
        return best and best[0] / 2 + best[1] / 2


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """The account at the close of a bar.

    `equity` is marked at the mid, `closing_equity` at the price the position could be closed at:
    the best bid when long, the best ask when short. `exposure` is the value of the position.
    `realised` is the profit of what was closed, before `fees`, which are all that were paid so far.
    """

    time_ms: int
    position: float
    equity: float
    closing_equity: float
    exposure: float
    realised: float
    fees: float


class EquityCurve:
    """Points of the account at the start and at each bar's close, while its market goes on.

    Bars are aligned to the epoch; those without an event have a point like any other. A point has
    the fills and prices before it, the last one all there are. Fills come in time order.
    """

    def __init__(
        self,
        contract: Contract,
        window_ms: int,
        *,
        start_ms: int | None = None,
        balance: Decimal = ZERO,
    ) -> None:
        self._account = Account(contract)
        self._window_ms = window_ms
        self._start_ms = start_ms
        self._balance = balance
        self._place = 0
        self._next_ms: int | None = None
        self._best: tuple[float, float] | None = None

    def follow(self, fills: Sequence[Fill], quotes: Quotes) -> list[EquityPoint]:
        """Return the points that have become certain since the last call.

        `fills` and `quotes` are all there were so far, of a market that is given no more of what
        lies before `quotes.last_ms`.
        """
        begin = self._begin(quotes)
        if begin is None or quotes.last_ms <= begin:
            return []  # the prices of the first ms may yet change
        points = []
        if self._next_ms is None:
            points.append(self._point(begin, fills, quotes))
            self._next_ms = begin - begin % self._window_ms + self._window_ms
        for time_ms in range(self._next_ms, quotes.last_ms + 1, self._window_ms):
            points.append(self._point(time_ms, fills, quotes))
            self._next_ms = time_ms + self._window_ms
        return points

    def end(self, fills: Sequence[Fill], quotes: Quotes) -> list[EquityPoint]:
        """Return the points that are left when the market has ended; nothing without prices."""
        begin = self._begin(quotes)
        if begin is None:
            return []
        points = self.follow(fills, quotes)
        if self._next_ms is None:
            points.append(self._point(begin, fills, quotes))
        return [*points, self._point(quotes.last_ms + 1, fills, quotes)]

    def now(self, account: Account, quotes: Quotes) -> EquityPoint | None:
        """Return the point of an account with all fills so far, None before the first prices."""
        best = quotes.at(quotes.last_ms)
        return best and point_of(account, quotes.last_ms + 1, best, self._balance)

    def _begin(self, quotes: Quotes) -> int | None:
        first = quotes.first_ms
        if first is None or self._start_ms is None:
            return first
        return max(first, self._start_ms)

    def _point(self, time_ms: int, fills: Sequence[Fill], quotes: Quotes) -> EquityPoint:
        while self._place < len(fills) and fills[self._place].time_ms < time_ms:
            self._account.add(fills[self._place])
            self._place += 1
        self._best = quotes.at(time_ms - 1) or self._best or quotes.at(time_ms)
        assert self._best is not None, "no point is before the first prices"  # noqa: S101
        return point_of(self._account, time_ms, self._best, self._balance)


def equity_curve(
    fills: Sequence[Fill],
    quotes: Quotes,
    contract: Contract,
    window_ms: int,
    *,
    start_ms: int | None = None,
    balance: Decimal = ZERO,
) -> list[EquityPoint]:
    """Return the account at the start and at each bar's close, the bar in progress at the end too.

    See `EquityCurve`; nothing of a market that never had prices.
    """
    return EquityCurve(contract, window_ms, start_ms=start_ms, balance=balance).end(fills, quotes)


def point_of(
    account: Account, time_ms: int, best: tuple[float, float], balance: Decimal = ZERO
) -> EquityPoint:
    """Return an account as it stands, at the best bid and ask."""
    bid, ask = map(exact, best)
    mid = MATH.divide(MATH.add(bid, ask), Decimal(2))
    closing = bid if account.position > 0 else ask
    return EquityPoint(
        time_ms,
        float(account.position),
        float(MATH.add(account.equity(mid), balance)),
        float(MATH.add(account.equity(closing), balance)),
        float(account.contract.value(mid, account.position.copy_abs())),
        float(account.realised),
        float(account.fees),
    )
