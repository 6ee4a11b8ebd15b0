"""One run in one process: a recorded market, a list of orders, and what became of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import msgspec
import orjson

from orderflow.atomic import replace_file
from orderflow.errors import OrderflowError, OutputError
from orderflow.events import OrderbookUpdate, Trade
from trading.account import Account, RiskGate
from trading.matching import MatchingEngine
from trading.orders import Fill, OrderEnd, OrderRequest, OrderType, Side
from trading.rules import Rules

FILLS_FILE = "fills.json"
ORDERS_FILE = "orders.json"


class OrdersFileError(OrderflowError):
    """Report a file of orders that cannot be read; `path` names it."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path


class _OrderLine(msgspec.Struct, forbid_unknown_fields=True):
    time_ms: int
    side: Side
    type: OrderType
    qty: Decimal
    price: Decimal | None = None
    cancel_ms: int | None = None
    valid_until_ms: int | None = None


def read_orders(path: Path) -> list[OrderRequest]:
    """Read a list of orders; an order's number is its place in the list, from 0.

    Each is an object with `time_ms`, `side` (buy, sell), `type` (limit, post_only, market), `qty`
    and, as they apply, `price`, `cancel_ms` and `valid_until_ms`. Prices and quantities are numbers
    or text, and mean what their digits say.

    Raise `OrdersFileError` for a file that cannot be read or is no such list, and `OrderError` for
    an order that cannot be meant.
    """
    try:
        lines = msgspec.json.decode(path.read_bytes(), type=list[_OrderLine])
    except OSError as error:
        msg = f"cannot be read: {error.strerror}"
        raise OrdersFileError(msg, path) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"is no JSON list of orders: {error}; docs/trading.md has the fields"
        raise OrdersFileError(msg, path) from error
    return [
        OrderRequest(
            order=place,
            side=line.side,
            type=line.type,
            quantity=line.qty,
            price=line.price,
            sent_ms=line.time_ms,
            cancel_ms=line.cancel_ms,
            valid_until_ms=line.valid_until_ms,
        )
        for place, line in enumerate(lines)
    ]


@dataclass(frozen=True, slots=True)
class PaperResult:
    """What became of a run's orders: fills by time and order, ends by order, and their sums.

    `counts` is what the engine left undone (see `MatchingEngine`); `rejected` counts the orders
    rejected, by reason.
    """

    fills: list[Fill]
    ends: list[OrderEnd]
    account: Account
    counts: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)


def run_orders(
    market: Iterable[tuple[OrderbookUpdate, Sequence[Trade]]],
    requests: Iterable[OrderRequest],
    rules: Rules | None = None,
    gate: RiskGate | None = None,
    engine: type[MatchingEngine] = MatchingEngine,
) -> PaperResult:
    """Send a list of orders into a market, as `DBInterpreter.stream` yields it, and run it.

    Orders are sent by their time, and those of one time as they stand in the list. The same market,
    orders and rules give the same result.
    """
    matching = engine(rules, gate)
    for request in sorted(requests, key=lambda request: request.sent_ms):
        matching.submit(request)
    for update, trades in market:
        matching.on_update(update)
        for trade in trades:
            matching.on_trade(trade)
    matching.finish()
    return result_of(matching)


def result_of(matching: MatchingEngine) -> PaperResult:
    """Return the result of an engine whose market has ended."""
    fills = sorted(matching.fills, key=lambda fill: (fill.time_ms, fill.order))
    ends = [end for _, end in sorted(matching.ends.items())]
    rejected: dict[str, int] = {}
    for end in ends:
        if end.status == "rejected":
            rejected[end.reason] = rejected.get(end.reason, 0) + 1
    return PaperResult(fills, ends, matching.account, dict(matching.counts), rejected)


def fills_json(fills: Iterable[Fill]) -> bytes:
    """Return the content of `fills.json`; numbers are the doubles nearest to the exact ones."""
    return orjson.dumps(
        [
            {
                "order": fill.order,
                "time_ms": fill.time_ms,
                "side": fill.side,
                "price": float(fill.price),
                "qty": float(fill.quantity),
                "maker": fill.maker,
                "fee": float(fill.fee),
            }
            for fill in fills
        ]
    )


def orders_json(ends: Iterable[OrderEnd]) -> bytes:
    """Return the content of `orders.json`; the reason of a rejection stands beside it."""
    return orjson.dumps(
        [
            {"order": end.order, "status": end.status, "time_ms": end.time_ms}
            | ({"reason": end.reason} if end.reason else {})
            for end in ends
        ]
    )


def write_result(directory: Path, result: PaperResult) -> None:
    """Write `fills.json` and `orders.json`, each replaced as a whole; raise `OutputError`."""
    files = {FILLS_FILE: fills_json(result.fills), ORDERS_FILE: orders_json(result.ends)}
    for name, data in files.items():
        try:
            directory.mkdir(parents=True, exist_ok=True)
            replace_file(directory / name, data, durable=True)
        except OSError as error:
            msg = f"{directory / name} cannot be written: {error.strerror}"
            raise OutputError(msg, directory / name) from error
