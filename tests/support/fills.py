"""Make fills, and the best prices of a market, for tests of what they add up to."""

from decimal import Decimal

from trading.account import Contract
from trading.equity import Quotes
from trading.orders import Fill, Side

BUY, SELL = Side.BUY, Side.SELL
LINEAR = Contract()


def fill(
    time_ms: int, side: Side, price: str, quantity: str = "1", *, maker: bool = False,
    fee: str = "0", order: int = 0,
) -> Fill:  # fmt: skip
    return Fill(order, time_ms, side, Decimal(price), Decimal(quantity), maker, Decimal(fee))


def quotes_of(*prices: tuple[int, float, float], last_ms: int = 0) -> Quotes:
    quotes = Quotes()
    for time_ms, bid, ask in prices:
        quotes.add(time_ms, bid, ask)
    quotes.reached(last_ms)
    return quotes
