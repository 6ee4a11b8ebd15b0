"""Orders of every kind around the best prices of a recording, many on the ms of its events."""

import random
from bisect import bisect_left
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from real_recordings import DATA

from db_interpreter import DBInterpreter, OrderbookUpdate, Trade
from orderbook_manager import OrderbookManager
from trading.orders import OrderRequest, OrderType, Side

KINDS = ("at", "at", "behind", "behind", "inside", "inside", "post_only", "through", "market")
RECORDINGS = {
    "thin spot": ("binance_spot_nexousdt_202407", "NEXO-USDT"),
    "busy spot": ("binance_spot_ethusdt_20240808", "ETH-USDT"),
    "futures": ("binance_usdm_btcusdt_20230404", "BTC-USDT-SWAP"),
    "busy futures": ("binance_usdm_btcusdt_20240808", "BTC-USDT-SWAP"),
}


@dataclass(frozen=True)
class Tape:
    """A recording in memory: what `stream` yields, and the best prices after each row."""

    market: list[tuple[OrderbookUpdate, list[Trade]]]
    best: list[tuple[int, float, float]]
    trade_times: list[int]


def tape_of(stem: str, instrument: str) -> Tape:
    market = list(DBInterpreter(DATA / f"{stem}.db", instrument).stream())
    book, best = OrderbookManager(1), []
    for update, _ in market:
        if update.id is not None:
            book.update(update.bids, update.asks, update.snapshot)
            bids, asks = book.top_levels(1)
            best.append((update.timestamp, bids[0][0], asks[0][0]))
    return Tape(market, best, [trade[5] for _, trades in market for trade in trades])


def orders_of(
    tape: Tape, tick: Decimal, lot: Decimal, count: int, latency: tuple[int, int], seed: int
) -> list[OrderRequest]:
    """Make orders whose requests all arrive before the recording ends."""
    rng = random.Random(seed)
    last = max(tape.best[-1][0], tape.trade_times[-1])
    made: list[OrderRequest] = []
    while len(made) < count:
        row, bid, ask = rng.choice(tape.best)
        arrival = rng.choice([row, row, row + rng.randint(0, 300), _near(rng, tape, row)])
        if tape.best[0][0] < arrival - latency[0] and arrival <= last:
            kind, side = rng.choice(KINDS), rng.choice(list(Side))
            sent = arrival - latency[0]
            answered = arrival + latency[1]
            cancel = _cancel(rng, tape, answered, latency[0])
            price = None
            if kind != "market":
                price = _price(rng, kind, side, _exact(bid, tick), _exact(ask, tick), tick)
            made.append(
                OrderRequest(
                    order=len(made),
                    side=side,
                    type=_type(kind),
                    quantity=lot * rng.choice([1, 1, rng.randint(1, 5000)]),
                    price=price,
                    sent_ms=sent,
                    cancel_ms=cancel if cancel and cancel + latency[0] <= last else None,
                )
            )
    return made


def _type(kind: str) -> OrderType:
    return OrderType(kind) if kind in ("market", "post_only") else OrderType.LIMIT


def _exact(price: float, tick: Decimal) -> Decimal:
    return (Decimal(repr(price)) / tick).to_integral_value() * tick


def _near(rng: random.Random, tape: Tape, ms: int) -> int:
    """Return the time of one of the next three trades from `ms` on, or of any."""
    first = bisect_left(tape.trade_times, ms)
    return rng.choice(tape.trade_times[first : first + 3] or tape.trade_times)


def _cancel(rng: random.Random, tape: Tape, answered: int, entry: int) -> int | None:
    # The oracle takes no cancellation in the ms of the order itself.
    earliest = answered if entry else answered + 1
    aimed = _near(rng, tape, earliest + entry) - entry
    choices = [None, earliest, earliest + rng.randint(0, 2000), max(earliest, aimed)]
    return rng.choice([*choices, earliest + rng.randint(0, 60_000)])


def _price(rng: random.Random, kind: str, side: Side, bid: Any, ask: Any, tick: Any) -> Decimal:
    own, other = (bid, ask) if side is Side.BUY else (ask, bid)
    steps = {
        "at": 0,
        "behind": -rng.choice([1, 2, 5, 20]),
        "inside": rng.randint(0, max(0, int(abs(other - own) / tick) - 1)),
        "post_only": rng.choice([0, 0, -1, 1]),
        "through": int(abs(other - own) / tick) + rng.choice([0, 0, 1, 5]),
    }[kind]
    return Decimal(own + side.sign * steps * tick)
