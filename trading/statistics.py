"""What a run was worth, and how well its orders were executed; docs/trading.md has each formula."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from math import fsum, sqrt
from statistics import median

from trading.account import ZERO, Account, Contract
from trading.equity import EquityPoint, Quotes, equity_curve
from trading.orders import MATH, Fill, OrderEnd, OrderRequest, OrderStatus, OrderType

YEAR_SECONDS = 365 * 86_400
DAY_SECONDS = 86_400
FEWEST_SAMPLES = 30
MARKOUT_SECONDS = (1, 5, 30)


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """An order, its end, and the mid when it was decided on, None where it was not said."""

    request: OrderRequest
    end: OrderEnd
    mid: float | None = None


# -- equity


def max_drawdown(equity: Sequence[float]) -> float:
    """Return the largest fall from the highest equity before it, the first included; 0 or more."""
    return _largest_fall(equity, lambda highest, value: highest - value)


def max_drawdown_share(equity: Sequence[float]) -> float | None:
    """Return the largest fall as a share of the highest equity before it.

    None where equity began at 0 or below, as of nothing there are no shares.
    """
    if not equity or equity[0] <= 0:
        return None
    return _largest_fall(equity, lambda highest, value: (highest - value) / highest)


def _largest_fall(equity: Sequence[float], fall: Callable[[float, float], float]) -> float:
    largest, highest = 0.0, float("-inf")
    for value in equity:
        highest = max(highest, value)
        largest = max(largest, fall(highest, value))
    return largest


@dataclass(frozen=True, slots=True)
class Sharpe:
    """A Sharpe ratio, None where there is none, with what it was made of.

    It is `factor` times mean by deviation; the factor is 1 where it is not annualised.
    """

    value: float | None
    samples: int
    sample_seconds: float
    factor: float
    annualised: bool


def returns_of(equity: Sequence[float], *, has_balance: bool) -> list[float]:
    """Return the changes of equity, as shares of the equity before where it has a balance.

    Without one they are in the currency of the cash. Nothing where a balance was used up: what
    follows has no return.
    """
    pairs = list(pairwise(equity))
    if not has_balance:
        return [after - before for before, after in pairs]
    if any(value <= 0 for value in equity):
        return []
    return [after / before - 1 for before, after in pairs]


def sharpe(returns: Sequence[float], sample_seconds: float) -> Sharpe:
    """Return the Sharpe ratio of returns per sample; of markets that never close.

    Annualised by the samples in 365 days, but not under one day. None under 30 samples, and where
    the returns do not differ.
    """
    count = len(returns)
    annualised = count * sample_seconds >= DAY_SECONDS
    factor = sqrt(YEAR_SECONDS / sample_seconds) if annualised else 1.0
    value = None
    if count >= FEWEST_SAMPLES and min(returns) < max(returns):
        mean = fsum(returns) / count
        deviation = sqrt(fsum((each - mean) ** 2 for each in returns) / (count - 1))
        value = mean / deviation * factor if deviation else None
    return Sharpe(value, count, sample_seconds, factor, annualised)


# -- execution


@dataclass(frozen=True, slots=True)
class LimitOrders:
    """What became of the limit and post-only orders that were accepted.

    Ratios are None where there was no order; times are ms from arrival to the last fill, of orders
    filled as a whole.
    """

    accepted: int
    filled: int
    fill_ratio: float | None
    fill_ratio_by_quantity: float | None
    share_cancelled: float | None
    mean_time_to_fill_ms: float | None
    median_time_to_fill_ms: float | None


def limit_orders(orders: Iterable[OrderRecord], entry_ms: int) -> LimitOrders:
    """Return the sums over the limit orders; a post-only one that would have taken is no such."""
    accepted = [order for order in orders if _is_accepted_limit(order)]
    filled = [order for order in accepted if order.end.status is OrderStatus.FILLED]
    cancelled = sum(order.end.status is OrderStatus.CANCELLED for order in accepted)
    asked = sum((order.request.quantity for order in accepted), ZERO)
    got = sum((order.end.filled for order in accepted), ZERO)
    count = len(accepted)
    times = [order.end.time_ms - order.request.sent_ms - entry_ms for order in filled]
    return LimitOrders(
        count,
        len(filled),
        len(filled) / count if count else None,
        float(MATH.divide(got, asked)) if count else None,
        cancelled / count if count else None,
        fsum(times) / len(times) if times else None,
        float(median(times)) if times else None,
    )


def _is_accepted_limit(order: OrderRecord) -> bool:
    if order.request.type is OrderType.MARKET or order.end.status is OrderStatus.REJECTED:
        return False
    return not (order.end.status is OrderStatus.EXPIRED and not order.end.filled)


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over fills in bp, weighted by their quantities, and their number."""

    bp: float | None
    fills: int


@dataclass(frozen=True, slots=True)
class FillQuality:
    """How good fills were: slippage costs where above 0, markout earns where above 0."""

    fills: int
    slippage_at_decision: Mean
    slippage_at_arrival: Mean
    markout_1s: Mean
    markout_5s: Mean
    markout_30s: Mean


def fill_quality(
    fills: Sequence[Fill], orders: dict[int, OrderRecord], quotes: Quotes, entry_ms: int
) -> FillQuality:
    """Return slippage and markout of fills; what has no mid to compare with is left out.

    A markout has none where the market ended before.
    """
    records = [(fill, orders[fill.order]) for fill in fills]

    def decided(order: OrderRecord) -> float | None:
        return quotes.mid_at(order.request.sent_ms) if order.mid is None else order.mid

    at_decision = [(fill, decided(order)) for fill, order in records]
    at_arrival = [
        (fill, quotes.mid_at(order.request.sent_ms + entry_ms)) for fill, order in records
    ]
    markouts = [_mean_markout(fills, quotes, seconds * 1000) for seconds in MARKOUT_SECONDS]
    return FillQuality(
        len(fills), _mean_slippage(at_decision), _mean_slippage(at_arrival), *markouts
    )


def _mean_slippage(compared: Iterable[tuple[Fill, float | None]]) -> Mean:
    return _mean(
        (fill.side.sign * (float(fill.price) - mid) / mid, fill) for fill, mid in compared if mid
    )


def _mean_markout(fills: Iterable[Fill], quotes: Quotes, after_ms: int) -> Mean:
    later = (
        (fill, quotes.mid_at(fill.time_ms + after_ms))
        for fill in fills
        if fill.time_ms + after_ms <= quotes.last_ms
    )
    return _mean(
        (fill.side.sign * (mid - float(fill.price)) / float(fill.price), fill)
        for fill, mid in later
        if mid is not None
    )


def _mean(values: Iterable[tuple[float, Fill]]) -> Mean:
    weighted = [(value, float(fill.quantity)) for value, fill in values]
    if not weighted:
        return Mean(None, 0)
    total = fsum(value * weight for value, weight in weighted)
    return Mean(10_000 * total / fsum(weight for _, weight in weighted), len(weighted))


# -- a run


@dataclass(frozen=True, slots=True)
class Statistics:
    """A run in figures, money in the currency of the cash (see `trading.account.Contract`).

    `equity`, `closing_equity` and `position` are those at the end. `turnover` is the value of all
    fills; `mean_exposure` and `largest_exposure` are over the points of the curve, and
    `time_in_market` is the share of them with a position. `max_drawdown_share` is None without a
    starting balance.
    """

    fills: int
    position: float
    cash: float
    equity: float
    closing_equity: float
    realised: float
    fees: float
    maker_fees: float
    taker_fees: float
    turnover: float
    mean_exposure: float
    largest_exposure: float
    time_in_market: float
    max_drawdown: float
    max_drawdown_share: float | None
    sharpe: Sharpe
    limit_orders: LimitOrders
    takers: FillQuality
    makers: FillQuality
    curve: list[EquityPoint]


def statistics_of(
    fills: Sequence[Fill],
    orders: dict[int, OrderRecord],
    quotes: Quotes,
    contract: Contract,
    *,
    entry_ms: int,
    window_ms: int = 60_000,
    start_ms: int | None = None,
    balance: Decimal | None = None,
) -> Statistics:
    """Return the statistics of a run; fills come in time order, and `orders` by their numbers."""
    account, turnover = Account(contract), ZERO
    for fill in fills:
        account.add(fill)
        turnover = MATH.add(turnover, contract.value(fill.price, fill.quantity))
    start = balance or ZERO
    curve = equity_curve(fills, quotes, contract, window_ms, start_ms=start_ms, balance=start)
    equity = [point.equity for point in curve]
    exposures = [point.exposure for point in curve]
    makers, takers = ([fill for fill in fills if fill.maker is kind] for kind in (True, False))
    return Statistics(
        fills=len(fills),
        position=float(account.position),
        cash=float(account.cash),
        equity=equity[-1] if curve else float(start),
        closing_equity=curve[-1].closing_equity if curve else float(start),
        realised=float(account.realised),
        fees=float(account.fees),
        maker_fees=float(account.maker_fees),
        taker_fees=float(account.taker_fees),
        turnover=float(turnover),
        mean_exposure=fsum(exposures) / len(exposures) if exposures else 0.0,
        largest_exposure=max(exposures, default=0.0),
        time_in_market=sum(map(bool, exposures)) / len(exposures) if exposures else 0.0,
        max_drawdown=max_drawdown(equity),
        max_drawdown_share=None if balance is None else max_drawdown_share(equity),
        sharpe=sharpe(returns_of(equity, has_balance=balance is not None), window_ms / 1000),
        limit_orders=limit_orders(orders.values(), entry_ms),
        takers=fill_quality(takers, orders, quotes, entry_ms),
        makers=fill_quality(makers, orders, quotes, entry_ms),
        curve=curve,
    )
