"""A made-up market of few prices, in which everything that matters to orders happens often."""

import random
from decimal import Decimal

from orderflow.events import OrderbookUpdate, Trade
from trading.orders import OrderRequest, OrderType, Side

Market = list[tuple[OrderbookUpdate, list[Trade]]]


def market_and_orders(seed: int, rows: int = 300) -> tuple[Market, list[OrderRequest]]:
    """Make rows with their trades, times in ms from 0, and orders sent while it lasts."""
    rng = random.Random(seed)
    market: Market = []
    now, mid = 0, 100
    for row in range(1, rows + 1):
        now += rng.choice([0, 1, 1, 5, 20])
        mid = max(50, mid + rng.choice([0, 0, 0, 1, -1]))
        bids = [[p, rng.randint(0, 9) / 10] for p in range(mid - 4, mid)] + [[mid, 0], [mid + 1, 0]]
        asks = [[p, rng.randint(0, 9) / 10] for p in range(mid + 1, mid + 5)] + [[mid, 0]]
        asks += [[mid - 1, 0]]
        update = OrderbookUpdate(bids, asks, now, None, row, row == 1 or rng.random() < 0.02)
        market.append((update, _trades(rng, now, mid)))
        now = max([now, *(trade[5] for trade in market[-1][1])])
    return market, [_order(rng, number, now) for number in range(rows // 3)]


def _trades(rng: random.Random, ms: int, mid: int) -> list[Trade]:
    times = sorted(ms + rng.choice([0, 0, 1, 3]) for _ in range(rng.choice([0, 0, 1, 2])))
    sides = [rng.choice(["buy", "sell"]) for _ in times]
    return [
        (1, None, float(mid + rng.randint(-3, 3)), rng.randint(1, 30) / 10, side, time)
        for side, time in zip(sides, times, strict=True)
    ]


def _order(rng: random.Random, number: int, last: int) -> OrderRequest:
    kind, sent = rng.choice(list(OrderType)), rng.randint(0, last)
    price = None if kind is OrderType.MARKET else Decimal(rng.randint(85, 115))
    cancel = rng.choice([None, sent, sent + rng.randint(0, 200)])
    side, quantity = rng.choice(list(Side)), Decimal(rng.randint(1, 40)) / 10
    return OrderRequest(number, side, kind, quantity, price, sent, cancel)
