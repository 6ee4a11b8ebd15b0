"""hftbacktest on a recording's events: what its exchange makes of the same orders.

Its library is called by ctypes, so that nothing has to be compiled. Prices are given to it in
ticks and sizes in lots, as whole numbers, and fee rates are sums of few powers of two: so its
doubles are exact, in whatever order it adds them up.
"""

import ctypes
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import hftbacktest as hft
import numpy as np
from hftbacktest import binding
from hftbacktest.types import order_dtype, state_values_dtype
from real_recordings import DATA

from trading.orders import OrderRequest, OrderType, Side

BOTH = hft.EXCH_EVENT | hft.LOCAL_EVENT
NO_EVENT = 100
"""A kind of event that hftbacktest hands on and does nothing about."""
STATUS = {hft.NEW: "open", hft.EXPIRED: "expired", hft.FILLED: "filled", hft.CANCELED: "cancelled"}
CONTRACT_SIZE = 2.0


@dataclass(frozen=True)
class Scale:
    """How many decimals the prices and the sizes of a recording have."""

    price_decimals: int
    size_decimals: int

    def ticks(self, price: Any) -> int:
        return _whole(price, self.price_decimals)

    def lots(self, size: Any) -> int:
        return _whole(size, self.size_decimals)


class Market(NamedTuple):
    scale: Scale
    events: Any


class Outcome(NamedTuple):
    """Fills `(order, ms, side, ticks, lots, maker)`, ends `(order, status, ms)`, sums in ticks."""

    fills: list[tuple[int, int, str, int, int, bool]]
    ends: list[tuple[int, str, int]]
    fee: Decimal
    cash: Decimal
    position: Decimal


def _whole(number: Any, decimals: int) -> int:
    scaled = Decimal(str(number)).scaleb(decimals)
    assert scaled == int(scaled), f"{number} has more than {decimals} decimals"
    return int(scaled)


def _decimals(numbers: Sequence[Any]) -> int:
    texts = {format(Decimal(str(number)), "f").rstrip("0") for number in numbers}
    return max(len(text.partition(".")[2]) for text in texts)


def market_of(stem: str, instrument: str) -> Market:
    """Read a recording without the project, and make hftbacktest's events of it."""
    with closing(sqlite3.connect(f"file:{DATA / stem}.db?immutable=1", uri=True)) as connection:
        rows = connection.execute(
            "SELECT timestamp, bids, asks FROM book WHERE instrument = ? ORDER BY timestamp, id",
            (instrument,),
        ).fetchall()
        trades = connection.execute(
            "SELECT timestamp, price, size, side FROM trades WHERE instrument = ? "
            "AND timestamp >= ? ORDER BY timestamp, id",
            (instrument, rows[0][0]),
        ).fetchall()
    levels = [
        (ms, flag, price, size)
        for ms, *sides in rows
        for flag, text in zip((hft.BUY_EVENT, hft.SELL_EVENT), sides, strict=True)
        for price, size, *_ in json.loads(text)
    ]
    scale = Scale(
        _decimals([price for _, _, price, _ in levels] + [price for _, price, _, _ in trades]),
        _decimals([size for *_, size in levels] + [size for _, _, size, _ in trades]),
    )
    taken = [
        (ms, hft.BUY_EVENT if side == "buy" else hft.SELL_EVENT, price, size)
        for ms, price, size, side in trades
    ]
    events = np.concatenate(
        [_events(hft.DEPTH_EVENT, levels, scale), _events(hft.TRADE_EVENT, taken, scale)]
    )
    events = events[np.argsort(events["exch_ts"], kind="stable")]
    first, last = int(events["exch_ts"][0]) - 1, int(events["exch_ts"][-1])
    # The clock stands still after the last event, and answers are still on their way then.
    around = [_events(NO_EVENT, [(ms, 0, 1, 1)], Scale(0, 0)) for ms in (first, last + 10_000_000)]
    return Market(scale, np.concatenate([around[0], events, around[1]]))


def _events(kind: int, found: list[tuple[int, int, Any, Any]], scale: Scale) -> Any:
    events = np.zeros(len(found), hft.types.event_dtype)
    events["ev"] = np.array([flag for _, flag, _, _ in found], np.uint64) | np.uint64(kind | BOTH)
    events["exch_ts"] = events["local_ts"] = [ms for ms, *_ in found]
    # A recording has few prices and sizes, each many times.
    ticks = {price: scale.ticks(price) for price in {price for _, _, price, _ in found}}
    lots = {size: scale.lots(size) for size in {size for *_, size in found}}
    events["px"] = [ticks[price] for _, _, price, _ in found]
    events["qty"] = [lots[size] for *_, size in found]
    return events


def execute(
    market: Market, requests: Sequence[OrderRequest], latency: tuple[int, int], rates: Any
) -> Outcome:
    """Send orders into hftbacktest's exchange without partial fills; `rates` are maker, taker."""
    asset = (
        hft.BacktestAsset()
        .data([market.events])  # by address alone: `market` keeps it alive
        .linear_asset(CONTRACT_SIZE)
        .constant_order_latency(*latency)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(*map(float, rates))
        .tick_size(1.0)
        .lot_size(1.0)
    )
    backtest = hft.build_hashmap_backtest([asset])
    try:
        _send(backtest, market, requests)
        return _outcome(backtest, requests)
    finally:
        binding.hashmapbt_close(backtest)


def _send(backtest: int, market: Market, requests: Sequence[OrderRequest]) -> None:
    actions = [(request.sent_ms, request.order, request) for request in requests]
    cancels = [(r.cancel_ms, r.order, None) for r in requests if r.cancel_ms is not None]
    assert binding.hashmapbt_elapse(backtest, 0) == 0
    orders = binding.hashmapbt_orders(backtest, 0)
    for ms, number, request in sorted([*actions, *cancels], key=lambda action: action[:2]):
        now = binding.hashmapbt_current_timestamp(backtest)
        assert binding.hashmapbt_elapse(backtest, ms - now) == 0
        if request is not None:
            _submit(backtest, market.scale, request)
        elif _read(binding.orders_get(orders, number), order_dtype)["status"] == hft.NEW:
            assert binding.hashmapbt_cancel(backtest, 0, number, False) == 0
    now = binding.hashmapbt_current_timestamp(backtest)
    last = int(market.events["exch_ts"][-1])
    assert binding.hashmapbt_elapse(backtest, last - now - 1) == 0


def _submit(backtest: int, scale: Scale, request: OrderRequest) -> None:
    submit = {
        Side.BUY: binding.hashmapbt_submit_buy_order,
        Side.SELL: binding.hashmapbt_submit_sell_order,
    }[request.side]
    kind = hft.MARKET if request.type is OrderType.MARKET else hft.LIMIT
    patience = hft.GTX if request.type is OrderType.POST_ONLY else hft.GTC
    ticks = 0 if request.price is None else scale.ticks(request.price)
    lots = scale.lots(request.quantity)
    assert submit(backtest, 0, request.order, ticks, lots, patience, kind, False) == 0


def _outcome(backtest: int, requests: Sequence[OrderRequest]) -> Outcome:
    orders = binding.hashmapbt_orders(backtest, 0)
    fills, ends = [], []
    for request in requests:
        found = _read(binding.orders_get(orders, request.order), order_dtype)
        ms, status = int(found["exch_timestamp"]), STATUS[int(found["status"])]
        ends.append((request.order, status, 0 if status == "open" else ms))
        if status == "filled":
            ticks, lots = int(found["exec_price_tick"]), int(found["exec_qty"])
            maker = bool(found["maker"])
            fills.append((request.order, ms, request.side.value, ticks, lots, maker))
    sums = _read(binding.hashmapbt_state_values(backtest, 0), state_values_dtype)
    fee, cash, position = (Decimal(float(sums[n])) for n in ("fee", "balance", "position"))
    return Outcome(sorted(fills, key=lambda fill: (fill[1], fill[0])), ends, fee, cash, position)


def _read(address: int, dtype: Any) -> Any:
    """Return a copy of a record of the library's."""
    return np.frombuffer(ctypes.string_at(address, dtype.itemsize), dtype)[0]
